package vapid

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/fields"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// jwtProblems returns the problems of a token's outer form (RFC 7515): raw holds
// the decoded header and claims of the parts.
func jwtProblems(parts []string, header, claims []byte) []Problem {
	var problems []Problem
	add := func(part string, g grade, advice, format string, a ...any) {
		problems = append(problems, g(part, fmt.Sprintf(format, a...), advice))
	}
	for i, name := range []string{"header", "claims", "signature"} {
		switch {
		case strings.Contains(parts[i], "="):
			add("token", fatal, "remove every = from the token", "the token's %s is padded with =, which RFC 7515 does not allow", name)
		case strings.ContainsAny(parts[i], "+/"):
			add("token", fatal, "replace + with - and / with _", "the token's %s is in standard base64, which has + and /; tokens are base64url", name)
		}
	}
	const sign = `sign with the header {"typ":"JWT","alg":"ES256"}`
	var object map[string]json.RawMessage
	if json.Unmarshal(header, &object) == nil {
		if _, ok := object["alg"]; !ok {
			add("header", fatal, sign, "the token's header has no alg; names are case-sensitive")
		}
		if list, ok := object["crit"]; ok {
			add("header", fatal, sign, "the token's header demands extensions with crit, %s, which push services do not know", text.Clip(string(list), 40))
		}
		if v, ok := object["b64"]; ok && string(v) != "true" {
			add("header", fatal, sign, "the token's header has b64, %s, which says that its claims are not encoded (RFC 7797)", text.Clip(string(v), 20))
		}
	}
	const once = "write each name once; some push services read the first value and others the last"
	if name, twice := text.DuplicateName(header); twice {
		add("header", overlooked, once, "the token's header has the name %q twice", text.Clip(name, 40))
	}
	if name, twice := text.DuplicateName(claims); twice {
		add("claims", overlooked, once, "the claims have the name %q twice", text.Clip(name, 40))
	}
	return problems
}

// headerProblems returns the problems in the form of an Authorization header
// with the vapid scheme, if the token can be read despite them. gap is the text
// between the scheme and the parameters.
func headerProblems(gap string, params []fields.Parameter) []Problem {
	const advice = "write it as: vapid t=…, k=…"
	var problems []Problem
	add := func(g grade, format string, a ...any) {
		problems = append(problems, g("authorization", fmt.Sprintf(format, a...), advice))
	}
	if strings.Contains(gap, "\t") {
		add(overlooked, "the scheme is followed by a tab, expected a space (RFC 9110, section 11.4); Mozilla rejects it")
	}
	for i, p := range params {
		if i > 0 && p.Before == ';' {
			add(overlooked, "the parameters are separated by a semicolon, expected a comma (RFC 9110, section 11.4); Mozilla rejects it")
			break
		}
	}
	for _, p := range params {
		lower := strings.ToLower(p.Name)
		if lower != "t" && lower != "k" {
			continue
		}
		if p.Name != lower {
			add(warning, "the parameter %s is in upper case, which RFC 9110 allows and Mozilla rejects", p.Name)
		}
		if p.Quoted {
			add(warning, "the value of %s is quoted, which RFC 9110 allows and Mozilla rejects", lower)
		}
	}
	return problems
}

// checkNotBefore reports an nbf in the future (RFC 7519, section 4.1.5).
func checkNotBefore(extra map[string]any, now time.Time, add addProblem) {
	v, ok := extra["nbf"]
	if !ok {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	t, _, ok := seconds(json.Number(b))
	switch {
	case !ok:
		add("nbf", warning, fmt.Sprintf("nbf is %s, expected seconds since 1970 as a number", describe(v)), "omit nbf; push services do not need it")
	case t.After(now):
		add("nbf", warning, fmt.Sprintf("nbf is %s (%s), %s ahead; push services that check it reject the token until then", text.Time(t), unix(t), span(t.Sub(now))), "omit nbf; if the token is new, the clock of this machine is wrong")
	}
}
