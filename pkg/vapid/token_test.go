package vapid

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

func testKey(t testing.TB) *Key {
	t.Helper()
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// find returns the problem with a part, or nil.
func find(problems []Problem, part string) *Problem {
	for i := range problems {
		if problems[i].Part == part {
			return &problems[i]
		}
	}
	return nil
}

func TestVectorsVerify(t *testing.T) {
	for _, v := range readVectors(t).VAPID {
		for _, h := range [][2]string{{v.Authorization, ""}, {v.Draft, v.CryptoKey}} {
			token, err := ParseToken(h[0], h[1])
			if err != nil {
				t.Errorf("%s: %v", v.Name, err)
				continue
			}
			problems := token.Check("")
			if p := find(problems, "signature"); p != nil {
				t.Errorf("%s: %v", v.Name, p)
			}
			if p := find(problems, "exp"); p == nil || !strings.Contains(p.Message, "ago") {
				t.Errorf("%s: a token of the past was taken: %v", v.Name, problems)
			}
			if token.PublicKey().String() != v.PublicKey || token.JWT() != v.JWT {
				t.Errorf("%s: other parts were found", v.Name)
			}
			c, err := token.Claims()
			if err != nil || c.Audience != v.Claims["aud"] || float64(c.Expires.Unix()) != v.Claims["exp"] {
				t.Errorf("%s: claims %+v, %v", v.Name, c, err)
			}
		}
		// The signature must really be checked: change one of its bits.
		i := strings.LastIndexByte(v.JWT, '.')
		sig, _ := b64.Decode(v.JWT[i+1:])
		sig[40] ^= 1
		token, err := ParseToken("vapid t="+v.JWT[:i+1]+b64.Encode(sig)+",k="+v.PublicKey, "")
		if err != nil {
			t.Fatal(err)
		}
		if find(token.Check(""), "signature") == nil {
			t.Errorf("%s: an altered signature was taken", v.Name)
		}
	}
}

func TestPeerTokensVerify(t *testing.T) {
	var peers []struct {
		Name, Endpoint string
		Public         string `json:"vapid_public"`
		Private        string `json:"vapid_private"`
		Headers        map[string]string
	}
	readJSON(t, "testdata/peer-node.json", &peers)
	if len(peers) < 12 {
		t.Fatalf("%d messages of another implementation, expected 12", len(peers))
	}
	for _, p := range peers {
		token, err := ParseToken(p.Headers["Authorization"], p.Headers["Crypto-Key"])
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		aud, err := Origin(p.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		problems := token.Check(aud)
		for _, part := range []string{"signature", "aud", "claims"} {
			if bad := find(problems, part); bad != nil {
				t.Errorf("%s: %v", p.Name, bad)
			}
		}
		k, err := ParseKey(fmt.Appendf(nil, `{"publicKey":%q,"privateKey":%q}`, p.Public, p.Private))
		if err != nil || k.PublicKey() != token.PublicKey() {
			t.Errorf("%s: key %v, %v", p.Name, k, err)
		}
	}
}

func TestSignAndVerify(t *testing.T) {
	k := testKey(t)
	c := Claims{Audience: "https://push.example.net:8443", Expires: time.Now().Add(DefaultLifetime), Subject: "mailto:ops@example.com",
		Extra: map[string]any{"id": json.Number("12345678901234567890"), "exp": "ignored"}}
	before := fmt.Sprint(c)
	token, err := k.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(c) != before {
		t.Errorf("Sign changed the caller's claims: %v, before %v", c, before)
	}
	for _, s := range []Scheme{SchemeVAPID, SchemeWebPush} {
		h := token.Headers(s)
		got, err := ParseToken(h["Authorization"], h["Crypto-Key"])
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Verify("https://push.example.net:8443"); err != nil {
			t.Error(err)
		}
		if err := got.Verify("https://push.example.net"); err == nil || !strings.Contains(err.Error(), "aud is") {
			t.Errorf("another audience: %v", err)
		}
		back, err := got.Claims()
		if err != nil || back.Extra["id"] != json.Number("12345678901234567890") || back.Subject != c.Subject || back.Expires.Unix() != c.Expires.Unix() {
			t.Errorf("claims after a round trip: %+v, %v", back, err)
		}
	}
	payload, err := b64.Decode(strings.Split(token.JWT(), ".")[1])
	want := fmt.Sprintf(`{"aud":"https://push.example.net:8443","exp":%d,"id":12345678901234567890,"sub":"mailto:ops@example.com"}`, c.Expires.Unix())
	if err != nil || string(payload) != want {
		t.Errorf("payload %s, %v; want %s", payload, err, want)
	}
}

func TestAnotherKeyDoesNotVerify(t *testing.T) {
	c := Claims{Audience: "https://push.example.net", Expires: time.Now().Add(time.Hour), Subject: "mailto:ops@example.com"}
	token, err := testKey(t).Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := ParseToken("vapid t="+token.JWT()+", k="+testKey(t).PublicKey().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := forged.Verify("https://push.example.net"); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("a token with another key's k was taken: %v", err)
	}
}

func TestParseTokenForms(t *testing.T) {
	v := readVectors(t).VAPID[0]
	tk, k := v.JWT, v.PublicKey
	for _, h := range []string{
		"vapid t=" + tk + ", k=" + k,
		"vapid t=" + tk + ",k=" + k,
		"vapid k=" + k + ",t=" + tk,
		"VAPID  K=" + k + " , T=" + tk,
		`vapid t="` + tk + `", k="` + k + `"`,
		"vapid t = " + tk + " , k = " + k,
		"vapid x=1, t=" + tk + ", y=\"a,b\", k=" + k,
		"vapid t=" + tk + ";k=" + k,
		"vapid t=" + tk + ", k=" + k + "=",
	} {
		token, err := ParseToken(h, "")
		if err != nil || find(token.Check(""), "signature") != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
	for _, c := range [][2]string{
		{"WebPush " + tk, "p256ecdsa=" + k},
		{"webpush " + tk, `dh=BGpP;p256ecdsa="` + k + `"`},
		{"Bearer " + tk, "dh=BGpP, p256ecdsa=" + k + "="},
	} {
		if _, err := ParseToken(c[0], c[1]); err != nil {
			t.Errorf("%s with %s: %v", c[0], c[1], err)
		}
	}
	der := strings.LastIndexByte(tk, '.')
	for name, c := range map[string][3]string{
		"empty":       {"", "", "the Authorization header is missing"},
		"basic":       {"Basic dXNlcg==", "", `scheme "Basic"`},
		"bare token":  {tk, "", "bare token"},
		"no t":        {"vapid k=" + k, "", "parameter t (the token) is missing"},
		"no k":        {"vapid t=" + tk, "", "parameter k (the application server key) is missing"},
		"t twice":     {"vapid t=" + tk + ",t=" + tk + ",k=" + k, "", "t twice"},
		"no value":    {"vapid t", "", "without a value"},
		"open quote":  {`vapid t="abc`, "", "without its end"},
		"no p256":     {"WebPush " + tk, "", "Crypto-Key header"},
		"two parts":   {"vapid t=a.b, k=" + k, "", "2 parts"},
		"short k":     {"vapid t=" + tk + ", k=" + k[:80], "", "60 bytes"},
		"off curve":   {"vapid t=" + tk + ", k=" + k[:60] + "AAAA" + k[64:], "", "not a point"},
		"DER":         {"vapid t=" + tk[:der+1] + b64.Encode(append([]byte{0x30}, make([]byte, 69)...)) + ", k=" + k, "", "DER"},
		"alg none":    {"vapid t=" + b64.Encode([]byte(`{"alg":"none"}`)) + tk[strings.IndexByte(tk, '.'):] + ", k=" + k, "", "none"},
		"alg HS256":   {"vapid t=" + b64.Encode([]byte(`{"alg":"HS256"}`)) + tk[strings.IndexByte(tk, '.'):] + ", k=" + k, "", "HS256"},
		"k twice":     {"WebPush " + tk, "p256ecdsa=" + k + ",p256ecdsa=AA", "twice"},
		"bad base64":  {"vapid t=a!.b.c, k=" + k, "", "damaged"},
		"header text": {"vapid t=" + b64.Encode([]byte(`hi`)) + tk[strings.IndexByte(tk, '.'):] + ", k=" + k, "", "not a JSON"},
	} {
		_, err := ParseToken(c[0], c[1])
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		text := err.Error()
		if h, ok := err.(interface{ Hint() string }); ok {
			text += " " + h.Hint()
		}
		if !strings.Contains(text, c[2]) {
			t.Errorf("%s: %q, want it to say %q", name, text, c[2])
		}
		if strings.Contains(text, tk) {
			t.Errorf("%s: the error repeats the token", name)
		}
	}
}

func TestTokenNeverPrintsItself(t *testing.T) {
	k := testKey(t)
	token, err := k.Sign(Claims{Audience: "https://push.example.net", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", token)
	out := log.String() + fmt.Sprintf("%v %+v %#v %s %q %x", token, token, token, token, token, token)
	if sig := token.JWT()[strings.LastIndexByte(token.JWT(), '.')+1:]; strings.Contains(out, sig) || !strings.Contains(out, "https://push.example.net") {
		t.Errorf("printed as %s", out)
	}
}

var testKeyFixed = func() *Key {
	k, err := ParseKey([]byte("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		panic(err)
	}
	return k
}()

func FuzzParseToken(f *testing.F) {
	for _, v := range readVectors(f).VAPID {
		f.Add(v.Authorization, "")
		f.Add(v.Draft, v.CryptoKey)
	}
	f.Fuzz(func(t *testing.T, authorization, cryptoKey string) {
		token, err := ParseToken(authorization, cryptoKey)
		if err != nil {
			return
		}
		again, err := ParseToken(token.Authorization(), "")
		if err != nil || again.JWT() != token.JWT() || again.PublicKey() != token.PublicKey() {
			t.Fatalf("%q was read as %v and written as %q, which is read as %v", authorization, token, token.Authorization(), err)
		}
		token.Check("https://push.example.net")
	})
}

func FuzzParseClaims(f *testing.F) {
	for _, s := range []string{`{"aud":"https://x","exp":1700000000,"sub":"mailto:a@b.c","x":[1,{"y":null}]}`, `{"exp":"5"}`, `{"exp":1.5}`, `{}`, `{"aud":["x"]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseClaims(data)
		if err != nil {
			return
		}
		c.Check()
		b, err := c.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseClaims(b)
		if err != nil {
			t.Fatalf("%q was written as %s: %v", data, b, err)
		}
		if b2, err := again.MarshalJSON(); err != nil || !bytes.Equal(b, b2) {
			t.Fatalf("%q was written as %s, then as %s", data, b, b2)
		}
	})
}

func ExampleKey_Sign() {
	key, err := GenerateKey()
	if err != nil {
		panic(err)
	}
	token, err := key.Sign(Claims{
		Audience: "https://push.example.net",
		Expires:  time.Now().Add(DefaultLifetime),
		Subject:  "mailto:ops@example.com",
	})
	if err != nil {
		panic(err)
	}
	received, err := ParseToken(token.Authorization(), "")
	if err != nil {
		panic(err)
	}
	fmt.Println(received.Verify("https://push.example.net"))
	fmt.Println(received.Verify("https://other.example.org"))
	// Output:
	// <nil>
	// aud is "https://push.example.net", the push service is "https://other.example.org"
}

func BenchmarkSign(b *testing.B) {
	k := testKey(b)
	c := Claims{Audience: "https://push.example.net", Expires: time.Now().Add(time.Hour), Subject: "mailto:ops@example.com"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Sign(c); err != nil {
			b.Fatal(err)
		}
	}
}

// TestParseTokenShowsNoSecret: what stands where a scheme is expected may be a
// private key that was given by mistake.
func TestParseTokenShowsNoSecret(t *testing.T) {
	for _, text := range []string{
		"943WICKkdu3z78pnY0gXw143biOoCacwsVkQyhxjxFs",
		"943WICKkdu3z78pnY0gXw143biOoCacwsVkQyhxjxFs more",
		"eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQi",
		"Basic 943WICKkdu3z78pn",
	} {
		_, err := ParseToken(text, "")
		if err == nil {
			t.Errorf("%q is taken", text)
		} else if strings.Contains(err.Error(), "943W") || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("the error repeats it: %v", err)
		}
	}
}

// graded reports whether a problem has the severity of g.
func graded(p Problem, g grade) bool { return p == g(p.Part, p.Message, p.Hint) }
