// Package pushtest has what the tests of several packages need to pretend to be a push
// service, and to find secrets in texts.
package pushtest

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Token stands for the secret part of an endpoint: no text for people may have it.
const Token = "gAAAAABsecretCAPABILITY0123456789abcdefghijklmnopqrstuvwxyz-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_0123456789ABCDEFGHIJ"

// Key returns a new key.
func Key(tb testing.TB) *vapid.Key {
	tb.Helper()
	k, err := vapid.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// NoSecret fails if a text for people has [Token], more of an endpoint than its origin,
// or a signed token in it.
func NoSecret(tb testing.TB, what, text string) {
	tb.Helper()
	for _, secret := range []string{Token, Token[:20], "wpush", "eyJ0eXAi"} {
		if strings.Contains(text, secret) {
			tb.Errorf("%s shows the secret %q: %s", what, secret, text)
		}
	}
}

// DoerFunc sends requests by a function.
type DoerFunc func(*http.Request) (*http.Response, error)

// Do calls f.
func (f DoerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// Respond returns a response; header has pairs of name and value.
func Respond(status int, body string, header ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}
