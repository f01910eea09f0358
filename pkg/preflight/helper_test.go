package preflight

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// testToken is the secret part of an endpoint: no text for people may have it.
const testToken = "gAAAAABsecretCAPABILITY0123456789abcdefghijklmnopqrstuvwxyz-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_0123456789ABCDEFGHIJ"

// The keys of RFC 8291, appendix A.
const (
	rfcP256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	rfcAuth   = "BTBZMqHH6r4Tts7J_aSIgg"
)

func testKey(tb testing.TB) *vapid.Key {
	tb.Helper()
	k, err := vapid.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// testSubscription returns a subscription of the identity at the endpoint.
func testSubscription(tb testing.TB, endpoint string, id *ece.Identity) *webpush.Subscription {
	tb.Helper()
	var p256dh, auth string
	if id != nil {
		p256dh, auth = base64.RawURLEncoding.EncodeToString(id.Recipient().P256DH()), base64.RawURLEncoding.EncodeToString(id.Recipient().Auth())
	}
	s, err := webpush.NewSubscription(endpoint, p256dh, auth)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func subscriptionJSON(endpoint, p256dh, auth string) string {
	return fmt.Sprintf(`{"endpoint":%q,"keys":{"p256dh":%q,"auth":%q}}`, endpoint, p256dh, auth)
}

// noSecret fails if a text for people has the endpoint below its origin or a
// token in it.
func noSecret(tb testing.TB, what, text string) {
	tb.Helper()
	for _, secret := range []string{testToken, testToken[:20], "wpush", "eyJ0eXAi"} {
		if strings.Contains(text, secret) {
			tb.Errorf("%s shows the secret %q: %s", what, secret, text)
		}
	}
}

type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// respond makes a response; header are pairs of name and value.
func respond(status int, body string, header ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func autopush(code, errno int, message string) string {
	return fmt.Sprintf(`{"code":%d,"errno":%d,"error":"x","message":%q}`, code, errno, message)
}
