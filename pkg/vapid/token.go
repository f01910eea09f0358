package vapid

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/fields"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// Scheme is the form in which headers carry a token.
type Scheme string

const (
	// SchemeVAPID is RFC 8292 section 3: Authorization: vapid t=…, k=….
	SchemeVAPID Scheme = "vapid"
	// SchemeWebPush is draft-ietf-webpush-vapid-01: Authorization: WebPush …
	// with Crypto-Key: p256ecdsa=…. Only old push services need it.
	SchemeWebPush Scheme = "webpush"
)

// jwtHeader is {"typ":"JWT","alg":"ES256"}, the only header that Web Push uses.
const jwtHeader = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9"

// Token is a signed token with the public key that signed it, or is claimed to
// have signed it. Because it is a credential until it expires, it prints only
// its audience.
type Token struct {
	jwt     string
	key     PublicKey
	payload []byte
	form    []Problem // problems in the form of the token and the header
}

// ClaimsError lists the errors in claims or a token that made [Key.Sign],
// [Signer.Sign], or [Token.Verify] fail.
type ClaimsError struct {
	// Problems has at least one element, the most severe first.
	Problems []Problem
}

// Error returns the messages, joined with semicolons.
func (e *ClaimsError) Error() string {
	var s []string
	for _, p := range e.Problems {
		s = append(s, p.Message)
	}
	return strings.Join(s, "; ")
}

// Hint returns the advice for the most severe problem.
func (e *ClaimsError) Hint() string { return e.Problems[0].Hint }

// claimsError returns a [*ClaimsError] with the errors among the problems, or nil.
func claimsError(problems []Problem) error {
	var worse []Problem
	for _, p := range problems {
		if p.Severity == SeverityError {
			worse = append(worse, p)
		}
	}
	if worse == nil {
		return nil
	}
	return &ClaimsError{worse}
}

// Sign makes a token of the claims: a JWT signed with ES256 (RFC 8292 section
// 2). The error is a [*ClaimsError] if [Claims.Check] finds an error, or a
// [*SignerError] of a key of [NewKey].
func (k *Key) Sign(c Claims) (*Token, error) {
	if err := claimsError(c.Check()); err != nil {
		return nil, err
	}
	return k.sign(c)
}

// sign makes a token of any claims, even of those that every push service rejects.
func (k *Key) sign(c Claims) (*Token, error) {
	payload, err := c.MarshalJSON()
	if err != nil {
		return nil, err
	}
	signing := jwtHeader + "." + b64.Encode(payload)
	signature, err := k.signature(signing)
	if err != nil {
		return nil, err
	}
	return &Token{jwt: signing + "." + b64.Encode(signature), key: k.public, payload: payload}, nil
}

// JWT returns the token itself (RFC 7515 section 7.1), a secret.
func (t *Token) JWT() string { return t.jwt }

// PublicKey returns the key that the headers name, k or p256ecdsa.
func (t *Token) PublicKey() PublicKey { return t.key }

// Claims returns the token's claims; it returns the errors of [ParseClaims].
func (t *Token) Claims() (Claims, error) { return ParseClaims(t.payload) }

// Authorization returns the value of the Authorization header (RFC 8292
// section 3), a secret.
func (t *Token) Authorization() string { return "vapid t=" + t.jwt + ", k=" + t.key.String() }

// Headers returns the headers that carry the token in the given scheme, by
// name: Authorization, and Crypto-Key for [SchemeWebPush].
func (t *Token) Headers(s Scheme) map[string]string {
	if s == SchemeWebPush {
		return map[string]string{"Authorization": "WebPush " + t.jwt, "Crypto-Key": "p256ecdsa=" + t.key.String()}
	}
	return map[string]string{"Authorization": t.Authorization()}
}

// String describes the token without its signature.
func (t *Token) String() string {
	if t == nil {
		return "no VAPID token"
	}
	c, err := t.Claims()
	if err != nil {
		return "VAPID token with unreadable claims"
	}
	return "VAPID token for " + c.Audience
}

// GoString returns String, to keep the token out of %#v.
func (t *Token) GoString() string { return t.String() }

// Format writes String for every verb, to keep the token out of all of them.
func (t *Token) Format(s fmt.State, _ rune) { fmt.Fprint(s, t.String()) }

// LogValue returns String, to keep the token out of log/slog.
func (t *Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

var schemeLike = pattern.New(`^[A-Za-z][A-Za-z0-9-]{0,15}$`)

func badHeader(format string, a ...any) error {
	return &Error{Part: "authorization", Problem: fmt.Sprintf(format, a...),
		hint: "expected: vapid t=<token>, k=<application server key>"}
}

// ParseToken reads the value of an Authorization header: RFC 8292's vapid
// scheme, with its parameters in any order, with or without spaces and quotes,
// unknown ones ignored; or the draft's WebPush (or Bearer) scheme, which also
// needs cryptoKey, the value of the Crypto-Key header. It checks the form, but
// not the signature or the claims: see [Token.Check]. The error is an [*Error].
func ParseToken(authorization, cryptoKey string) (*Token, error) {
	scheme, rest, form := strings.TrimSpace(authorization), "", []Problem(nil)
	if i := strings.IndexAny(scheme, " \t"); i >= 0 {
		scheme, rest = scheme[:i], scheme[i:]
	}
	var signed, k string
	var err error
	switch strings.ToLower(scheme) {
	case "":
		return nil, badHeader("the Authorization header is missing")
	case "vapid":
		var params []fields.Parameter
		if signed, k, params, err = vapidParameters(rest); err != nil {
			return nil, err
		}
		gap, _, _ := strings.Cut(rest, params[0].Name)
		form = headerProblems(gap, params)
	case "webpush", "bearer":
		signed = strings.TrimSpace(rest)
		params, err := fields.Loose(cryptoKey)
		if err != nil {
			return nil, badHeader("Crypto-Key: %v", err)
		}
		for _, p := range params {
			if strings.EqualFold(p.Name, "p256ecdsa") {
				if k != "" && k != p.Value {
					return nil, badHeader("Crypto-Key has p256ecdsa twice")
				}
				k = p.Value
			}
		}
		if k == "" {
			return nil, &Error{Part: "authorization", Problem: "the draft's scheme " + scheme + " needs Crypto-Key: p256ecdsa=<application server key>, which is missing",
				hint: "also pass the value of the Crypto-Key header"}
		}
	default:
		if strings.Count(scheme, ".") == 2 && rest == "" {
			return nil, badHeader("found a bare token without its scheme and key")
		}
		if !schemeLike.MatchString(scheme) { // may be a secret, so it is not shown
			return nil, badHeader("found text that does not start with a scheme, expected vapid or WebPush")
		}
		return nil, badHeader("found the scheme %q, expected vapid or WebPush", scheme)
	}
	t := &Token{jwt: signed, form: form}
	point, err := b64.Decode(k)
	if err != nil {
		return nil, badHeader("the application server key is damaged: %v", err)
	}
	if len(point) != PublicKeySize {
		return nil, badHeader("the application server key has %d bytes, expected %d", len(point), PublicKeySize)
	}
	f, err := fromPoint(point)
	if err != nil {
		return nil, badHeader("the application server key is not a point on P-256")
	}
	t.key = *f.public
	return t, t.split()
}

// ParseJWT reads a token without the header that names its key. It checks the
// form. [Token.Check] cannot check the signature without the key, and reports
// it as bad. The error is an [*Error].
func ParseJWT(jwt string) (*Token, error) {
	t := &Token{jwt: strings.TrimSpace(jwt)}
	return t, t.split()
}

// vapidParameters returns all parameters, and of them t and k of RFC 8292 section
// 3.
func vapidParameters(s string) (t, k string, params []fields.Parameter, err error) {
	params, err = fields.Loose(s)
	if err != nil {
		return "", "", nil, badHeader("%v", err)
	}
	for _, p := range params {
		var to *string
		switch strings.ToLower(p.Name) {
		case "t":
			to = &t
		case "k":
			to = &k
		default:
			continue
		}
		if *to != "" {
			return "", "", nil, badHeader("found the parameter %s twice", p.Name)
		}
		*to = p.Value
	}
	switch {
	case t == "":
		return "", "", nil, badHeader("the parameter t (the token) is missing")
	case k == "":
		return "", "", nil, badHeader("the parameter k (the application server key) is missing")
	}
	return t, k, params, nil
}

func shorten(s string) string { return text.Clip(s, 20) }

// split checks the outer form of the token and decodes its payload.
func (t *Token) split() error {
	parts := strings.Split(t.jwt, ".")
	if len(parts) != 3 {
		return badHeader("the token has %d parts, expected 3 with dots between; is it truncated?", len(parts))
	}
	var raw [3][]byte
	for i, name := range []string{"header", "claims", "signature"} {
		b, err := b64.Decode(parts[i])
		if err != nil {
			return badHeader("the token's %s is damaged: %v", name, err)
		}
		raw[i] = b
	}
	var header struct{ Alg string } // upper or lower case; jwtProblems reports it
	if err := json.Unmarshal(raw[0], &header); err != nil {
		return badHeader("the token's header is not a JSON object")
	}
	if header.Alg != jwt.SigningMethodES256.Alg() {
		return badHeader("the token is signed with %q, expected ES256", shorten(header.Alg))
	}
	if n := len(raw[2]); n != 64 {
		note := ""
		if n > 8 && raw[2][0] == 0x30 {
			note = " (it looks like DER)"
		}
		return badHeader("the token's signature has %d bytes%s, expected 64: r and s of 32 each", n, note)
	}
	t.payload = bytes.Clone(raw[1])
	t.form = append(t.form, jwtProblems(parts, raw[0], raw[1])...)
	return nil
}

// Check returns the problems for which a push service at the given origin would
// reject the token now, most severe first: in its signature, its claims, or its
// audience. An empty audience is not compared.
func (t *Token) Check(audience string) []Problem {
	var problems []Problem
	public, err := t.key.ecdsa()
	if err == nil {
		i := strings.LastIndexByte(t.jwt, '.')
		var sig []byte
		if sig, err = b64.Decode(t.jwt[i+1:]); err == nil {
			err = jwt.SigningMethodES256.Verify(t.jwt[:i], sig, public)
		}
	}
	if err != nil {
		problems = append(problems, fatal("signature", "the signature does not match the public key sent with the token",
			"the token was altered, or the public key does not belong to the signing key"))
	}
	problems = append(problems, t.form...)
	c, err := t.Claims()
	if err != nil {
		return append(problems, fatal("claims", err.Error(), ""))
	}
	if audience != "" && c.Audience != "" && c.Audience != audience {
		problems = append(problems, fatal("aud", fmt.Sprintf("aud is %q, the push service is %q", c.Audience, audience),
			"sign a token for each push service; aud is the origin of the endpoint"))
	}
	problems = append(problems, c.Check()...)
	sortProblems(problems)
	return problems
}

// Verify returns a [*ClaimsError] with the errors from [Token.Check], or nil.
func (t *Token) Verify(audience string) error { return claimsError(t.Check(audience)) }
