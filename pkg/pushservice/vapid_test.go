package pushservice_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func TestVAPID(t *testing.T) {
	key, other := generateKey(t), generateKey(t)
	good := sign(t, key, goodClaims())
	k := key.PublicKey().String()
	with := func(name string, value any) string {
		claims := goodClaims()
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
		return sign(t, key, claims).Authorization()
	}
	altered := strings.Replace(sign(t, other, goodClaims()).Authorization(), other.PublicKey().String(), k, 1)
	offCurve := key.PublicKey().Bytes()
	offCurve[64] ^= 1
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	unsigned := "vapid t=" + header + good.JWT()[strings.IndexByte(good.JWT(), '.'):] + ", k=" + k
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(25*time.Hour).Unix()

	const accepted = ""
	for _, c := range []struct {
		name          string
		authorization string
		cryptoKey     string
		message       string // begins so
		errno         int
		restricted    bool // only with a restricted subscription
	}{
		{"good", good.Authorization(), "", accepted, 0, false},
		{"other order and case", "VAPID k=" + k + " , t=" + good.JWT() + ",unknown=1", "", accepted, 0, false},
		{"quoted", `vapid t="` + good.JWT() + `",k="` + k + `"`, "", accepted, 0, false},
		{"draft", "WebPush " + good.JWT(), "p256ecdsa=" + k, accepted, 0, false},
		{"draft bearer", "Bearer " + good.JWT(), "dh=x;p256ecdsa=" + k, accepted, 0, false},
		{"no sub", with("sub", nil), "", accepted, 0, false},

		{"missing", "", "", "Missing VAPID token: the subscription is restricted to an application server key, and the request has no Authorization header", 109, true},
		{"no t", "vapid k=" + k, "", "Missing VAPID token: Authorization has no parameter t", 109, false},
		{"no k", "vapid t=" + good.JWT(), "", "Missing VAPID public key: Authorization has no parameter k", 109, false},
		{"short k", "vapid t=" + good.JWT() + ", k=AAAA", "", "Invalid VAPID public key: k: the key has 3 bytes, expected 65", 109, false},
		{"cut k", "vapid t=" + good.JWT() + ", k=" + k[:85], "", "Invalid VAPID public key: k: 85 characters of base64 is a length that no encoding has; is it cut off?", 109, false},
		{"k off the curve", "vapid t=" + good.JWT() + ", k=" + encode(offCurve), "", "Invalid VAPID public key: k: the key is not a point on P-256", 109, false},
		{"draft without key", "WebPush " + good.JWT(), "dh=x", "Missing p256ecdsa in Crypto-Key header: the scheme WebPush requires the application server key there", 110, false},
		{"draft with short key", "WebPush " + good.JWT(), "p256ecdsa=AAAA", "Invalid VAPID public key: p256ecdsa: the key has 3 bytes, expected 65", 109, false},
		{"draft with junk", "WebPush " + good.JWT(), "p256ecdsa", `Invalid Crypto-Key header: parameter "p256ecdsa" has no value`, 110, false},
		{"basic", "Basic YTpi", "", `Unknown auth scheme: found the scheme "Basic", expected vapid`, 109, false},
		{"bare", good.JWT(), "", "Unknown auth scheme: found a bare token without its scheme and key, expected vapid", 109, false},
		{"junk", "vapid " + good.JWT(), "", "Invalid VAPID token: Authorization: a parameter has no value", 109, false},
		{"t twice", "vapid t=a,t=b,k=" + k, "", "Invalid VAPID token: found the parameter t twice", 109, false},
		{"cut t", "vapid t=" + good.JWT()[:60] + ", k=" + k, "", "Invalid VAPID token: the token has 2 parts, expected 3 with dots between; is it truncated?", 109, false},
		{"not signed", unsigned, "", `Invalid VAPID token: the token is signed with "none", expected ES256`, 109, false},
		{"signed by another", altered, "", "Invalid VAPID token: the signature does not match the public key sent with the token", 109, false},
		{"no aud", with("aud", nil), "", "Invalid VAPID audience: aud is missing", 109, false},
		{"other aud", with("aud", "https://example.com"), "", `Invalid VAPID audience: aud is "https://example.com", the push service is "http://localhost"`, 109, false},
		{"endpoint as aud", with("aud", origin+"/"), "", `Invalid VAPID audience: aud is "http://localhost/", the push service is "http://localhost"`, 109, false},
		{"list of aud", with("aud", []string{origin}), "", "Invalid VAPID audience: aud is an array, push services want a string", 109, false},
		{"no exp", with("exp", nil), "", "Invalid VAPID token: exp is missing", 109, false},
		{"exp as text", with("exp", fmt.Sprint(goodClaims()["exp"])), "", "Invalid VAPID token: exp is the string", 109, false},
		{"expired", with("exp", past), "", fmt.Sprintf("Invalid VAPID token: exp is %s (%d), ", stamp(past), past), 109, false},
		{"long", with("exp", future), "", fmt.Sprintf("The VAPID token expiration is too long: exp is %s (%d), ", stamp(future), future), 109, false},
		{"bad sub", with("sub", "me"), "", `Invalid VAPID token: sub is "me", expected a mailto: or https: URI`, 109, false},
		{"another key", sign(t, other, goodClaims()).Authorization(), "",
			"VAPID public key mismatch: the message is signed with the key " + other.PublicKey().String() + ", but the subscription was created for " + k, 109, true},
	} {
		for _, restriction := range []vapid.PublicKey{{}, key.PublicKey()} {
			name := c.name + " unrestricted"
			message := c.message
			if !restriction.IsZero() {
				name = c.name + " restricted"
			} else if c.restricted {
				message = accepted
			}
			t.Run(name, func(t *testing.T) {
				s := pushservice.New(pushservice.Options{})
				sub := subscribe(t, s, restriction)
				r := request(sub.Path, nil)
				if c.authorization != "" {
					r.Header.Set("Authorization", c.authorization)
				}
				if c.cryptoKey != "" {
					r.Header.Set("Crypto-Key", c.cryptoKey)
				}
				w := do(s, r)
				if message == accepted {
					if w.Code != 201 {
						t.Fatalf("status %d: %s", w.Code, w.Body)
					}
					return
				}
				status := http.StatusUnauthorized
				if c.errno == 110 {
					status = http.StatusBadRequest
				}
				got := messageOf(t, w.Body.Bytes())
				if !strings.HasPrefix(got, message) {
					t.Fatalf("message is %q, want %q", got, message)
				}
				wantError(t, w, status, c.errno, got)
				if strings.Contains(w.Body.String(), good.JWT()[:30]) {
					t.Errorf("the answer has the token: %s", w.Body)
				}
				if len(receive(t, s, sub.ID, 0)) != 0 {
					t.Error("the message is there all the same")
				}
			})
		}
	}

	t.Run("two headers", func(t *testing.T) {
		s := pushservice.New(pushservice.Options{})
		r := request(subscribe(t, s, key.PublicKey()).Path, nil)
		r.Header["Authorization"] = []string{good.Authorization(), good.Authorization()}
		wantError(t, do(s, r), 401, 109, "Invalid VAPID token: the request has 2 Authorization headers")
	})
}

func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04:05Z") }
