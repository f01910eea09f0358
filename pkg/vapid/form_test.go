package vapid

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

// signed returns a token of a header and claims as they are written, and its key.
func signed(t *testing.T, header, claims string) (token, k string) {
	t.Helper()
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text := b64.Encode([]byte(header)) + "." + b64.Encode([]byte(claims))
	signature, err := key.signature(text)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64.Encode(signature), key.PublicKey().String()
}

// TestForm: what RFC 7515 and RFC 9110 forbid about a token that is signed well is
// found, and so is what they allow and a push service rejects.
func TestForm(t *testing.T) {
	const good = `{"typ":"JWT","alg":"ES256"}`
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	claims := fmt.Sprintf(`{"aud":"https://push.example.net","exp":%d,"sub":"mailto:a@example.com"}`, in(time.Hour))
	with := func(more string) string { return strings.TrimSuffix(claims, "}") + "," + more + "}" }
	pad := func(part int) func(string) string {
		return func(token string) string {
			parts := strings.Split(token, ".")
			parts[part] += strings.Repeat("=", -len(parts[part])&3)
			return strings.Join(parts, ".")
		}
	}
	for _, c := range []struct {
		name, header, claims string
		format               string // of the Authorization header
		change               func(token string) string
		part                 string
		grade                grade
		message              string // or "" if all is well
	}{
		{"good", good, claims, "vapid t=%s, k=%s", nil, "", nil, ""},
		{"other members", `{"typ":"JWT","alg":"ES256","kid":"1","b64":true}`, with(`"iat":1,"a":{"b":1},"c":{"b":2},"d":["b","b"]`), "vapid t=%s,k=%s", nil, "", nil, ""},
		{"upper-case alg", `{"typ":"JWT","ALG":"ES256"}`, claims, "vapid t=%s, k=%s", nil, "header", fatal, "no alg; names are case-sensitive"},
		{"crit", `{"alg":"ES256","crit":["exp"],"exp":1}`, claims, "vapid t=%s, k=%s", nil, "header", fatal, `crit, ["exp"]`},
		{"b64", `{"alg":"ES256","b64":false}`, claims, "vapid t=%s, k=%s", nil, "header", fatal, "b64, false"},
		{"alg twice", `{"alg":"none","alg":"ES256"}`, claims, "vapid t=%s, k=%s", nil, "header", overlooked, `the name "alg" twice`},
		{"aud twice", good, with(`"aud":"https://other.example.net"`), "vapid t=%s, k=%s", nil, "claims", overlooked, `the claims have the name "aud" twice`},
		{"twice, deep", good, with(`"x":[{"y":1,"y":2}]`), "vapid t=%s, k=%s", nil, "claims", overlooked, `the name "y" twice`},
		{"twice, escaped", good, with(`"\u0061ud":"https://other.example.net"`), "vapid t=%s, k=%s", nil, "claims", overlooked, `the name "aud" twice`},
		{"padded header", `{"typ":"JWT","alg":"ES256" }`, claims, "vapid t=%s, k=%s", pad(0), "token", fatal, "the token's header is padded"},
		{"padded signature", good, claims, "vapid t=%s, k=%s", pad(2), "token", fatal, "the token's signature is padded"},
		{"semicolon", good, claims, "vapid t=%s; k=%s", nil, "authorization", overlooked, "semicolon, expected a comma (RFC 9110, section 11.4); Mozilla rejects it"},
		{"tab", good, claims, "vapid\tt=%s, k=%s", nil, "authorization", overlooked, "tab, expected a space"},
		{"quoted", good, claims, `vapid t="%s", k=%s`, nil, "authorization", warning, "the value of t is quoted, which RFC 9110 allows and Mozilla rejects"},
		{"upper case", good, claims, "vapid t=%s, K=%s", nil, "authorization", warning, "the parameter K is in upper case"},
		{"other parameters", good, claims, `vapid X="1", t=%s, k=%s`, nil, "", nil, ""},
		{"nbf later", good, with(fmt.Sprintf(`"nbf":%d`, in(time.Hour))), "vapid t=%s, k=%s", nil, "nbf", warning, "ahead; push services that check it"},
		{"nbf text", good, with(`"nbf":"soon"`), "vapid t=%s, k=%s", nil, "nbf", warning, "expected seconds since 1970"},
		{"nbf now", good, with(fmt.Sprintf(`"nbf":%d`, in(-time.Second))), "vapid t=%s, k=%s", nil, "", nil, ""},
	} {
		token, k := signed(t, c.header, c.claims)
		if c.change != nil {
			token = c.change(token)
		}
		parsed, err := ParseToken(fmt.Sprintf(c.format, token, k), "")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		problems := parsed.Check("")
		if c.change != nil { // which the signature covers
			problems = append(problems[:0:0], problems...)
			for i, p := range problems {
				if p.Part == "signature" {
					problems = append(problems[:i], problems[i+1:]...)
					break
				}
			}
		}
		switch {
		case c.message == "" && len(problems) > 0:
			t.Errorf("%s: %v", c.name, problems)
		case c.message == "":
		case len(problems) != 1 || problems[0].Part != c.part || !graded(problems[0], c.grade) || !strings.Contains(problems[0].Message, c.message) || problems[0].Hint == "":
			t.Errorf("%s: %+v, want a problem of %s with %q", c.name, problems, c.part, c.message)
		}
	}
}
