package inspect

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// TestHeaderValueQuoted asserts that quoted parameters are read, alone and within
// quotes of a shell.
func TestHeaderValueQuoted(t *testing.T) {
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	token, err := key.Sign(vapid.Claims{Audience: "https://push.example.net", Expires: time.Now().Add(time.Hour), Subject: "mailto:a@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	quoted := `vapid t="` + token.JWT() + `", k="` + key.PublicKey().String() + `"`
	for _, text := range []string{quoted, "'" + quoted + "'", "vapid t=" + token.JWT() + ", k=" + key.PublicKey().String()} {
		thing := Inspect([]byte(text), Options{})
		if thing.Kind != KindHeaders || thing.Broken() {
			t.Errorf("%s…: %s, %v", text[:12], thing.Kind, thing.Problems)
		}
	}
	// What RFC 7515 forbids is an error, as it is for verify.
	parts := strings.Split(token.JWT(), ".")
	for _, header := range []string{`{"alg":"ES256","crit":["exp"]}`, `{"alg":"ES256","alg":"ES256"}`, `{"ALG":"ES256"}`, `{"alg":"ES256","b64":false}`} {
		parts[0] = base64.RawURLEncoding.EncodeToString([]byte(header))
		thing := Inspect([]byte("vapid t="+strings.Join(parts, ".")+", k="+key.PublicKey().String()), Options{})
		found := false
		for _, p := range thing.Problems {
			found = found || p.Severity.String() == "error" && strings.Contains(p.Message, "header")
		}
		if !found {
			t.Errorf("%s: %v", header, thing.Problems)
		}
	}
}
