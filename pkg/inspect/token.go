package inspect

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

var (
	jwtLike     = pattern.New(`^eyJ[A-Za-z0-9+/=_-]*(\.[A-Za-z0-9+/=_-]*){0,4}$`)
	jwtWithin   = pattern.New(`eyJ[A-Za-z0-9+/=_-]*(?:\.[A-Za-z0-9+/=_-]*){0,4}`)
	kParameter  = pattern.New(`(?i)(?:^|[\s,;])k\s*=\s*"?([A-Za-z0-9+/=_-]+)`)
	p256Within  = pattern.New(`(?i)p256ecdsa\s*=\s*"?([A-Za-z0-9+/=_-]+)`)
	tokenScheme = pattern.New(`(?i)^(vapid|webpush|bearer)\s+(?:\w+\s*=|ey|[\w-]{16,})`)
)

var (
	vapidWithin = pattern.New(`(?i)\bvapid\s+t=[A-Za-z0-9_.-]+\s*,\s*k=[A-Za-z0-9_-]+`)
	hostSent    = pattern.New(`(?mi)^> host: *([\w.:-]+)`)
	urlWithin   = pattern.New(`https://[^\s'"\x60<>]+`)
)

// requestIn finds the token of the request in text that also shows its response, and the
// origin of the push service that it was sent to. The token is nil if there is none or
// more than one, and the origin is "" if it is not certain.
func requestIn(text string) (token *vapid.Token, audience string) {
	text = text[:min(len(text), 1<<16)]
	found := vapidWithin.FindAllString(text, 10)
	if found == nil || slices.ContainsFunc(found, func(s string) bool { return s != found[0] }) {
		return nil, ""
	}
	token, err := vapid.ParseToken(found[0], "")
	if err != nil {
		return nil, ""
	}
	if m := hostSent.FindStringSubmatch(text); m != nil {
		audience, _ = vapid.Origin("https://" + m[1] + "/")
		claims, err := token.Claims()
		local, _ := vapid.Origin("http://" + m[1] + "/")
		if sub, bad := webpush.NewSubscription(local+"/", "", ""); err == nil && bad == nil && sub.Loopback() && claims.Audience == local {
			audience = local // a push service for tests, without TLS
		}
		return token, audience
	}
	for _, url := range urlWithin.FindAllString(text, 20) {
		sub, err := webpush.NewSubscription(url, "", "")
		switch {
		case err != nil || sub.Service() == webpush.Other:
		case audience != "" && audience != sub.Origin():
			return token, ""
		default:
			audience = sub.Origin()
		}
	}
	return token, audience
}

// TokenProblems returns what is wrong with the token of the request, if the text shows the
// request as well, as the output of curl -v does. All are warnings or notes. The exp of
// the token is compared with the Date of the response; without that field, an expired token is only noted.
func (r Response) TokenProblems() []Problem {
	if r.token == nil {
		return nil
	}
	var list []Problem
	date, err := http.ParseTime(r.Header.Get("Date"))
	for _, p := range r.token.Check(r.audience) {
		problem := Problem{min(p.Severity, vapid.SeverityWarning), "the token of the request: " + p.Message, p.Hint}
		// Other problems of exp do not depend on the time.
		if claims, readable := r.token.Claims(); p.Part == "exp" && strings.HasSuffix(p.Message, " ago") && readable == nil && claims.Expires.Before(time.Now()) && !claims.Expires.IsZero() {
			switch {
			case err == nil && claims.Expires.After(date):
				continue
			case err != nil:
				problem = Problem{vapid.SeverityNote, "the token of the request was valid until " + showTime(claims.Expires), "compare it with the time of the request"}
			}
		}
		list = append(list, problem)
	}
	return list
}

// bareToken recognizes a JWT without its header.
func (in inspector) bareToken(s string) *Thing {
	s = strings.Join(strings.Fields(strings.Trim(s, "\"'`")), "")
	if !jwtLike.MatchString(s) || !strings.Contains(s, ".") {
		return nil
	}
	t := &Thing{Kind: KindToken, Title: "token (JWT) of VAPID, without the header and its key", Secret: true}
	token, err := vapid.ParseJWT(s)
	if err != nil {
		t.Title = "token (JWT)"
		t.failErr(err)
		in.looseToken(t, s)
		return t
	}
	t.add("token", len(s), text.Count(len(s), "character")+", not shown; signed with ES256")
	claims, err := token.Claims()
	if err != nil {
		t.failErr(err)
		return t
	}
	in.addClaims(t, claims)
	t.addClaimProblems(slices.DeleteFunc(token.Check(""), func(p vapid.Problem) bool { return p.Part == "signature" }))
	t.add("signature", "not checked", "not checked: that requires the key, which is next to the token in the Authorization header")
	return t
}

// looseToken shows the readable parts of an invalid token.
func (in inspector) looseToken(t *Thing, s string) {
	parts := strings.Split(s, ".")
	t.add("token", len(s), fmt.Sprintf("%s in %s, not shown", text.Count(len(s), "character"), text.Count(len(parts), "part")))
	if b, _, ok := decodeBase64(parts[0]); ok {
		var header struct {
			Alg string `json:"alg"`
			Typ string `json:"typ"`
			Kid string `json:"kid"`
		}
		if json.Unmarshal(b, &header) == nil && header.Alg != "" {
			t.add("signed with", header.Alg)
		}
	}
	if len(parts) < 2 {
		return
	}
	if b, _, ok := decodeBase64(parts[1]); ok {
		if claims, err := vapid.ParseClaims(b); err == nil {
			in.addClaims(t, claims)
		}
	}
}

// addToken shows an Authorization header and checks it.
func (in inspector) addToken(t *Thing, authorization, cryptoKey, audience string) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	lower := strings.ToLower(scheme)
	if strings.HasPrefix(lower, "key=") {
		t.Secret = true
		t.add("scheme", "key", "key=…, a legacy GCM server key, not shown")
		f := preflight.GCMKey()
		t.problem(f.Severity, f.Message, f.Hint)
		return
	}
	t.add("scheme", scheme)
	if strings.Contains(rest, "…") || strings.Contains(rest, "...") {
		t.add("token", "left out", "omitted when this was printed")
		if m := kParameter.FindStringSubmatch(rest); m != nil {
			t.foundKey("k", m[1])
		}
		return
	}
	t.Secret = true
	switch lower {
	case "webpush", "bearer":
		t.add("form", "draft", "of draft-ietf-webpush-vapid-01, with the key in Crypto-Key")
		if cryptoKey == "" {
			t.warn("the draft's scheme "+scheme+" needs Crypto-Key: p256ecdsa=…, which is missing, so the signature is not checked", "pass both headers")
			if raw := jwtWithin.FindString(rest); raw != "" {
				inner := in.bareToken(raw)
				if inner != nil {
					t.Fields = append(t.Fields, inner.Fields...)
					t.Problems = append(t.Problems, inner.Problems...)
				}
			}
			return
		}
	}
	token, err := vapid.ParseToken(authorization, cryptoKey)
	key := ""
	if m := kParameter.FindStringSubmatch(" " + rest); m != nil && lower == "vapid" {
		key = m[1]
	} else if m := p256Within.FindStringSubmatch(cryptoKey); m != nil {
		key = m[1]
	}
	if err != nil {
		t.failErr(err)
		t.exposed("k", key)
		if raw := jwtWithin.FindString(rest); raw != "" {
			in.looseToken(t, raw)
		}
		return
	}
	t.add("token", len(token.JWT()), text.Count(len(token.JWT()), "character")+", not shown; signed with ES256")
	t.addPublicKey("application server key", token.PublicKey())
	if p := alphabetProblem(key); p != "" {
		t.warn("the application server key "+p+", which FCM rejects", "send k as the key of 65 bytes in base64url without padding")
	}
	v := token.Judge(audience, false)
	signature := "bad"
	if v.Signature {
		signature = "good"
	}
	t.add("signature", signature, signature+" for that key")
	if claims, err := token.Claims(); err == nil {
		in.addClaims(t, claims)
	}
	t.addClaimProblems(v.Problems)
}

// addClaimProblems reports the problems: as an error if they make a token
// permanently invalid, and as a warning if they depend on time and place.
func (t *Thing) addClaimProblems(problems []vapid.Problem) {
	for _, p := range problems {
		switch p.Part {
		case "signature", "claims", "header":
			t.fail(p.Message, p.Hint)
		default:
			t.warn(p.Message, p.Hint)
		}
	}
}

// addClaims shows claims and their meaning.
func (in inspector) addClaims(t *Thing, c vapid.Claims) {
	if c.Audience != "" {
		text := c.Audience
		if sub, err := webpush.NewSubscription(c.Audience, "", ""); err == nil && sub.Service() != webpush.Other {
			text += ", " + sub.Service().String()
		}
		t.add("aud", c.Audience, text)
	}
	if !c.Expires.IsZero() {
		t.add("exp", c.Expires.Unix(), showTime(c.Expires))
	}
	if c.Subject != "" {
		t.add("sub", c.Subject)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Extra)) {
		v := c.Extra[name]
		n, number := v.(json.Number)
		if seconds, err := n.Int64(); number && err == nil && (name == "iat" || name == "nbf") && seconds > 0 && seconds < 1<<40 {
			t.add(name, seconds, showTime(time.Unix(seconds, 0)))
			continue
		}
		b, err := text.JSON(v)
		if err != nil {
			continue
		}
		t.add(text.Clip(name, 40), v, string(b))
	}
}

// claims describes a claims file, which may omit aud and exp.
func (in inspector) claims(s string) *Thing {
	t := &Thing{Kind: KindClaims, Title: "VAPID claims"}
	c, err := vapid.ParseClaims([]byte(s))
	if err != nil {
		t.failErr(err)
		return t
	}
	in.addClaims(t, c)
	if c.Audience == "" {
		t.add("aud", nil, "not given: filled in with the origin of the endpoint")
	}
	if c.Expires.IsZero() {
		t.add("exp", nil, "not given: filled in with 12 hours from the time of signing")
	}
	for _, p := range (&vapid.Signer{Claims: c}).Filled("").Check() { // Check what would be signed.
		if p.Part == "aud" { // replaced, or filled in, for each push service
			if c.Audience != "" {
				t.warn(p.Message, p.Hint)
			}
			continue
		}
		t.problem(p.Severity, p.Message, p.Hint)
	}
	return t
}

// unquoted removes the quotes that surround a whole text.
func unquoted(s string) string {
	if last := len(s) - 1; last > 0 && s[0] == s[last] && strings.IndexByte("\"'`", s[0]) >= 0 {
		return s[1:last]
	}
	return s
}

// headerValue recognizes the values of headers without their names.
func (in inspector) headerValue(s string) *Thing {
	s = strings.Join(strings.Fields(unquoted(s)), " ")
	lower := strings.ToLower(s)
	switch {
	case tokenScheme.MatchString(s), strings.HasPrefix(lower, "key=aaaa"):
		t := &Thing{Kind: KindHeaders, Title: "value of an Authorization header"}
		in.addToken(t, s, "", "")
		return t
	case strings.HasPrefix(lower, "salt="), strings.HasPrefix(lower, "dh="), strings.HasPrefix(lower, "p256ecdsa="), strings.HasPrefix(lower, "keyid=") && strings.Contains(lower, "="):
		name, t := "Crypto-Key", &Thing{Kind: KindHeaders, Title: "value of a Crypto-Key header"}
		if strings.Contains(lower, "salt=") {
			name, t.Title = "Encryption", "value of an Encryption header, of the content encoding aesgcm"
		}
		if name == "Encryption" {
			in.addFields(t, s, "", nil, false)
		} else {
			in.addFields(t, "", s, nil, false)
		}
		return t
	}
	return nil
}
