package vapid

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// Limits of exp (RFC 8292 section 2).
const (
	// MaxLifetime is the maximum time that exp can be in the future: 24 hours.
	MaxLifetime = 24 * time.Hour
	// DefaultLifetime is the recommended lifetime of tokens, 12 hours: a push
	// service whose clock is behind rejects a token for the full 24 hours.
	DefaultLifetime = 12 * time.Hour
)

// Claims are the claims of a token (RFC 8292, section 2). This package never
// modifies the Claims passed to it.
type Claims struct {
	// Audience is aud: the origin of the push service, "https://host" or
	// "https://host:port" where the port is not the default. See [Origin].
	Audience string
	// Expires is exp, in whole seconds on the wire. The zero time is absent.
	Expires time.Time
	// Subject is sub: a contact for the push service's operators, as a mailto:
	// or https: URI. Empty is absent.
	Subject string
	// Extra holds other claims, unchanged. The names aud, exp, and sub are
	// ignored.
	Extra map[string]any

	written []written // what [ParseClaims] saw in the text and the fields cannot show
}

// written is a problem with how a claim was written. It no longer applies once
// the claim has another value.
type written struct {
	Problem
	audience string
	expires  time.Time
}

func (w written) applies(c Claims) bool {
	return w.audience == c.Audience && w.Part == "aud" || w.expires.Equal(c.Expires) && w.Part == "exp"
}

// withAudience returns the claims with another aud. How the old one was written no longer
// matters, even if it has the same value.
func (c Claims) withAudience(aud string) Claims {
	c.Audience = aud
	if len(c.written) > 0 {
		c.written = slices.DeleteFunc(slices.Clone(c.written), func(w written) bool { return w.Part == "aud" })
	}
	return c
}

// Problem describes something about a token that a push service may reject.
type Problem struct {
	// Part is the claim: "aud", "exp", "sub", or "nbf"; or "signature"; "token",
	// "header", or "claims" for how the token is written (RFC 7515); or
	// "authorization" for the header that carries it.
	Part string `json:"part"`
	// Severity is [SeverityWarning] if a known push service rejects the token, or
	// will later, and [SeverityError] for a violation of RFC 8292.
	Severity Severity `json:"severity"`
	// Overlooked marks an error that some push services overlook. All others reject
	// the token, and every push service that checks tokens rejects one with any
	// other error.
	Overlooked bool `json:"overlooked,omitempty"`
	// Message describes the problem, with the value.
	Message string `json:"message"`
	// Hint is the next step to take, or "".
	Hint string `json:"hint,omitempty"`
}

// grade makes a problem: a warning, an error that some push services overlook, or
// another error.
type grade func(part, message, advice string) Problem

func warning(part, message, advice string) Problem {
	return Problem{Part: part, Severity: SeverityWarning, Message: message, Hint: advice}
}

func overlooked(part, message, advice string) Problem {
	return Problem{Part: part, Severity: SeverityError, Overlooked: true, Message: message, Hint: advice}
}

func fatal(part, message, advice string) Problem {
	return Problem{Part: part, Severity: SeverityError, Message: message, Hint: advice}
}

// sortProblems puts the most severe first, errors that are overlooked after the
// others, and keeps the order otherwise.
func sortProblems(problems []Problem) {
	rank := func(p Problem) int {
		if p.Overlooked {
			return 2*int(p.Severity) - 1
		}
		return 2 * int(p.Severity)
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return rank(b) - rank(a) })
}

// misplaced recognizes data that was given as claims by mistake; see
// [Error.Misplaced]. Signing it would put its secrets into a token. It looks into
// objects, lists, and JSON in strings, however deep.
func misplaced(object map[string]any, depth int) (kind, what string) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if kind, what = misplacedField(name, object[name]); kind == "" {
			kind, what = misplacedWithin(object[name], depth)
		}
		if kind != "" {
			return kind, what
		}
	}
	return "", ""
}

func misplacedWithin(v any, depth int) (kind, what string) {
	if depth > 8 {
		return "", ""
	}
	switch v := v.(type) {
	case map[string]any:
		return misplaced(v, depth+1)
	case []any:
		for _, element := range v {
			if kind, what = misplacedWithin(element, depth+1); kind != "" {
				return kind, what
			}
		}
	case string:
		var inner any
		if trimmed := strings.TrimSpace(v); trimmed != "" && (trimmed[0] == '{' || trimmed[0] == '[') && json.Unmarshal([]byte(v), &inner) == nil {
			return misplacedWithin(inner, depth+1)
		}
	}
	return "", ""
}

// misplacedField recognizes a field by its name, which may be written in any way
// that is read as the name of a part of a subscription.
func misplacedField(name string, v any) (kind, what string) {
	text, isText := v.(string)
	fields, _ := v.(map[string]any)
	canonical := notation.Canonical(name)
	switch {
	case notation.IsEndpoint(name) && strings.Contains(text, "://"),
		slices.Contains(notation.Keys, canonical) && (fields["p256dh"] != nil || fields["auth"] != nil):
		return "subscription", "a subscription"
	case isText && (canonical == "p256dh" || canonical == "auth"):
		return "subscription", "the keys of a subscription"
	case canonical == "kty":
		return "key", "a key (JWK)"
	case slices.Contains([]string{"privatekey", "publickey", "vapidprivatekey", "vapidpublickey"}, canonical):
		return "key", "a key"
	case isText && (canonical == "authorization" || canonical == "cryptokey"):
		return "headers", "headers with a token"
	}
	if b, err := b64.Decode(text); isText && err == nil && (len(b) == 16 && strings.Contains(canonical, "auth") || len(b) == PublicKeySize && strings.Contains(canonical, "p256")) {
		return "subscription", "the keys of a subscription"
	}
	return "", ""
}

// ParseClaims reads claims from JSON, such as a claims file or the middle part
// of a token. Every field is kept; numbers keep all their digits. It returns an
// [*Error] if data is not a JSON object or if aud, exp, or sub has an unusable
// type. A usable value of the wrong type, such as exp as a string, is accepted
// and reported by [Claims.Check].
func ParseClaims(data []byte) (Claims, error) {
	object, err := claimsObject(data)
	if err != nil {
		return Claims{}, err
	}
	if kind, what := misplaced(object, 0); kind != "" {
		return Claims{}, misplacedClaims(kind, what)
	}
	var c Claims
	for name, v := range object {
		if err := c.read(name, v); err != nil {
			return Claims{}, err
		}
	}
	slices.SortStableFunc(c.written, func(a, b written) int { return strings.Compare(a.Part, b.Part) })
	for i := range c.written {
		c.written[i].audience, c.written[i].expires = c.Audience, c.Expires
	}
	return c, nil
}

// badClaims returns an error about claims that cannot be read.
func badClaims(format string, a ...any) *Error {
	return &Error{Part: "claims", Problem: fmt.Sprintf(format, a...),
		hint: `claims look like {"sub": "mailto:you@your.domain"}; aud and exp are filled in`}
}

// misplacedClaims returns the error for another input in place of claims; see [misplaced].
func misplacedClaims(kind, what string) *Error {
	err := badClaims("found %s, expected claims", what)
	err.misplaced = kind
	return err
}

// claimsObject reads the JSON object. Numbers keep their digits.
func claimsObject(data []byte) (map[string]any, error) {
	data = text.TrimBOM(data)
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, badClaims("the claims are empty")
	}
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		return nil, misplacedClaims("key", "a key in PEM")
	}
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err := d.Decode(&object)
	var (
		kind   *json.UnmarshalTypeError
		syntax *json.SyntaxError
	)
	switch {
	case errors.As(err, &kind):
		return nil, badClaims("found a JSON %s, expected an object of claims", kind.Value)
	case errors.As(err, &syntax):
		return nil, badClaims("the claims are not valid JSON: %v at byte %d", err, syntax.Offset)
	case err != nil:
		return nil, badClaims("the claims are not valid JSON: they are truncated")
	case object == nil:
		return nil, badClaims("found null, expected a JSON object of claims")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, badClaims("found more text after the JSON object of claims")
	}
	return object, nil
}

// read sets a claim to a JSON value. It notes a value that is usable but not of the
// type that push services want.
func (c *Claims) read(name string, v any) error {
	switch name {
	case "aud":
		if list, ok := v.([]any); ok && len(list) == 1 {
			v = list[0]
			c.note("aud", overlooked, "aud is an array, push services want a string", "")
		}
		s, ok := v.(string)
		if !ok && v != nil {
			return badClaims("aud is %s, expected the origin of the push service as a string", describe(v))
		}
		c.Audience = s
	case "sub":
		s, ok := v.(string)
		if !ok && v != nil {
			return badClaims("sub is %s, expected a mailto: or https: URI as a string", describe(v))
		}
		c.Subject = s
	case "exp":
		if v != nil {
			return c.readExpires(v)
		}
	default:
		if c.Extra == nil {
			c.Extra = make(map[string]any)
		}
		c.Extra[name] = v
	}
	return nil
}

func (c *Claims) readExpires(v any) error {
	if s, ok := v.(string); ok {
		c.note("exp", overlooked, fmt.Sprintf("exp is the string %q, push services want a number", s), "write it without the quotes")
		v = json.Number(s)
	}
	n, ok := v.(json.Number)
	if !ok {
		return badClaims("exp is %s, expected seconds since 1970 as a number", describe(v))
	}
	t, whole, ok := seconds(n)
	if !ok {
		return badClaims("exp is %q, expected seconds since 1970 as a number", string(n))
	}
	if !whole {
		c.note("exp", overlooked, fmt.Sprintf("exp is %s, some push services want whole seconds", n), "write it without a fraction or an exponent")
	}
	c.Expires = t
	return nil
}

func (c *Claims) note(part string, g grade, message, advice string) {
	c.written = append(c.written, written{Problem: g(part, message, advice)})
}

func describe(v any) string {
	switch v := v.(type) {
	case bool:
		return fmt.Sprintf("%t", v)
	case json.Number:
		return "the number " + v.String()
	case []any:
		return fmt.Sprintf("an array of %d", len(v))
	case map[string]any:
		return "an object"
	case string:
		return fmt.Sprintf("the string %q", v)
	}
	return "null"
}

// seconds reads a NumericDate (RFC 7519 section 2). whole reports whether it
// was written as an integer.
func seconds(n json.Number) (t time.Time, whole, ok bool) {
	if i, err := n.Int64(); err == nil && i > -1<<53 && i < 1<<53 {
		return time.Unix(i, 0), true, true
	}
	if len(n) > 40 {
		return t, false, false
	}
	f, _, err := big.ParseFloat(string(n), 10, 64, big.ToZero)
	if err != nil {
		return t, false, false
	}
	i, _ := f.Int64()
	if i <= math.MinInt64/2 || i >= 1<<53 {
		return t, false, false
	}
	return time.Unix(i, 0), false, true
}

// MarshalJSON writes the claims as the token carries them: aud as a string, exp
// in whole seconds, and all fields sorted by name.
func (c Claims) MarshalJSON() ([]byte, error) {
	object := make(map[string]any, len(c.Extra)+3)
	for name, v := range c.Extra {
		object[name] = v
	}
	for _, name := range []string{"aud", "exp", "sub"} {
		delete(object, name)
	}
	if c.Audience != "" {
		object["aud"] = c.Audience
	}
	if !c.Expires.IsZero() {
		object["exp"] = c.Expires.Unix()
	}
	if c.Subject != "" {
		object["sub"] = c.Subject
	}
	b, err := text.JSON(object)
	if err != nil {
		return nil, fmt.Errorf("encoding the claims: %w", err)
	}
	return b, nil
}

// maxHost is the maximum length of a host, without a dot at its end (RFC 1035, section 2.3.4).
const maxHost = 253

// Origin returns the origin of an endpoint as aud must have it (RFC 8292
// section 2, RFC 6454 section 6): scheme and host in lower case, the port only
// if it is not the default port, no path, and no slash. It returns an error if
// endpoint is not an absolute http or https URL, or has a host or port that no
// browser writes, such as a host in Unicode and not in its xn-- form; the error
// does not repeat the endpoint.
func Origin(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		return "", fmt.Errorf("the endpoint is not a valid URL: %w", err)
	}
	scheme := strings.ToLower(u.Scheme)
	if scheme == "" {
		return "", errors.New("the endpoint is not an absolute URL, expected https://…")
	}
	if scheme != "https" && scheme != "http" {
		return "", fmt.Errorf("the endpoint's scheme is %q, expected https", u.Scheme)
	}
	host := strings.ToLower(u.Hostname())
	if host == "" {
		return "", errors.New("the endpoint has no host")
	}
	if strings.Contains(host, "%") { // a zone has a meaning on one machine only (RFC 6874 section 1)
		return "", errors.New("the endpoint's host is an IPv6 address with a zone, or has a percent sign, which no push service's host has")
	}
	switch {
	case strings.ContainsFunc(host, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == utf8.RuneError }):
		return "", errors.New("the endpoint's host has characters that no host has")
	case strings.ContainsFunc(u.Hostname(), beyondASCII): // before ToLower, which makes ASCII of some
		return "", errors.New("the endpoint's host has characters beyond ASCII, which browsers encode: expected its xn-- form")
	case len(strings.TrimSuffix(host, ".")) > maxHost:
		return "", fmt.Errorf("the endpoint's host has %d characters, expected at most %d", len(strings.TrimSuffix(host, ".")), maxHost)
	case netaddr.Number(host):
		return "", errors.New("the endpoint's host ends in a number but is not an IPv4 address of four decimal numbers")
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", fmt.Errorf("the endpoint's port is %q, expected 1 to 65535", text.OneLine(p, 20))
		}
		if !(scheme == "https" && n == 443) && !(scheme == "http" && n == 80) {
			host += ":" + strconv.FormatUint(n, 10)
		}
	}
	return scheme + "://" + host, nil
}

func beyondASCII(r rune) bool { return r > unicode.MaxASCII }

// NormalizeSubject puts "mailto:" before a bare mail address, once, and
// returns everything else as it is.
func NormalizeSubject(s string) string {
	at := strings.IndexByte(s, '@')
	if at <= 0 || at == len(s)-1 || strings.ContainsAny(s, ":/ \t<>") {
		return s
	}
	return "mailto:" + s
}

// Check returns the problems for which a push service would reject the claims
// if they were sent now, most severe first. A token is fit to send if none of
// them is an error.
func (c Claims) Check() []Problem {
	var problems []Problem
	for _, w := range c.written {
		if w.applies(c) {
			problems = append(problems, w.Problem)
		}
	}
	add := func(part string, g grade, message, advice string) {
		problems = append(problems, g(part, message, advice))
	}
	checkAudience(c.Audience, add)
	checkExpires(c, time.Now(), add)
	checkSubject(c.Subject, add)
	checkNotBefore(c.Extra, time.Now(), add)
	sortProblems(problems)
	return problems
}

type addProblem func(part string, g grade, message, advice string)

func checkAudience(aud string, add addProblem) {
	if aud == "" {
		add("aud", fatal, "aud is missing", "aud is the origin of the subscription's endpoint, such as https://fcm.googleapis.com")
		return
	}
	origin, err := Origin(aud)
	switch {
	case err != nil && strings.ContainsFunc(aud, beyondASCII):
		add("aud", overlooked, fmt.Sprintf("aud is %q, which is not an origin", aud), "write its host in ASCII, as browsers do: xn--…")
	case err != nil:
		add("aud", overlooked, fmt.Sprintf("aud is %q, which is not an origin", aud), "aud is scheme and host of the endpoint, such as https://fcm.googleapis.com")
	case origin != aud:
		add("aud", overlooked, fmt.Sprintf("aud is %q, which is not a bare origin", aud), fmt.Sprintf("write it as %q", origin))
	}
}

// Expiry is the state of exp at a time (RFC 8292, section 2).
type Expiry int

// The states of exp.
const (
	ExpiryValid   Expiry = iota // after now, and not later than MaxLifetime from now
	ExpiryMissing               // absent
	ExpiryPast                  // not after now
	ExpiryTooLate               // later than MaxLifetime from now
)

// Expiry returns the state of exp at the time now, without tolerance for clocks
// that differ.
func (c Claims) Expiry(now time.Time) Expiry {
	switch left := c.Expires.Sub(now); {
	case c.Expires.IsZero():
		return ExpiryMissing
	case left <= 0:
		return ExpiryPast
	case left > MaxLifetime:
		return ExpiryTooLate
	}
	return ExpiryValid
}

func checkExpires(c Claims, now time.Time, add addProblem) {
	exp := c.Expires
	left := exp.Sub(now)
	switch c.Expiry(now) {
	case ExpiryMissing:
		add("exp", fatal, "exp is missing", "exp is the time when the token expires, in seconds since 1970, at most 24 hours ahead")
		return
	case ExpiryPast:
		add("exp", fatal, fmt.Sprintf("exp is %s (%s), %s ago", text.Time(exp), unix(exp), span(-left)), "sign a new token; if it is new, the clock of this machine is wrong")
		return
	case ExpiryTooLate:
		add("exp", fatal, fmt.Sprintf("exp is %s (%s), %s ahead; push services allow at most 24 hours", text.Time(exp), unix(exp), span(left)), "omit exp to use 12 hours from now")
		return
	}
	switch {
	case left > MaxLifetime-10*time.Minute:
		add("exp", warning, fmt.Sprintf("exp is %s ahead; a push service whose clock is behind sees more than 24 hours and rejects it", span(left)), "omit exp to use 12 hours from now")
	case left < time.Minute:
		add("exp", warning, fmt.Sprintf("exp is only %s ahead", span(left)), "")
	}
}

// Text returns the claims for people, as names and values: aud, exp with the distance from
// now, sub, and the others, sorted by name. The value of a claim that is missing is "-".
// Values can have any characters.
func (c Claims) Text() [][2]string {
	exp := "-"
	if !c.Expires.IsZero() {
		left := time.Until(c.Expires).Round(time.Second)
		when := "in " + left.String()
		if left <= 0 {
			when = (-left).String() + " ago"
		}
		exp = fmt.Sprintf("%s (%s), %s", text.Time(c.Expires), unix(c.Expires), when)
	}
	lines := [][2]string{{"aud", cmp.Or(c.Audience, "-")}, {"exp", exp}, {"sub", cmp.Or(c.Subject, "-")}}
	for _, name := range slices.Sorted(maps.Keys(c.Extra)) {
		value, err := text.JSON(c.Extra[name])
		if err != nil {
			value = []byte("not representable as JSON")
		}
		lines = append(lines, [2]string{name, string(value)})
	}
	return lines
}

func unix(t time.Time) string { return fmt.Sprint(t.Unix()) }

// span writes a duration with its two largest units.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	days := d / (24 * time.Hour)
	h, m, s := d/time.Hour%24, d/time.Minute%60, d/time.Second%60
	switch {
	case days > 365:
		return fmt.Sprintf("%d years", days/365)
	case days > 1:
		return fmt.Sprintf("%dd%dh", days, h)
	case days > 0 || h > 0:
		return fmt.Sprintf("%dh%dm", days*24+h, m)
	case m > 0:
		return fmt.Sprintf("%dm%ds", m, s)
	}
	return fmt.Sprintf("%ds", s)
}

func checkSubject(sub string, add addProblem) {
	const apple = "use a mailto: or https: address at a public domain of yours"
	if sub == "" {
		add("sub", warning, "sub is missing; Apple refuses a push without it, and Mozilla asks for it", "add a contact, such as mailto:you@your.domain")
		return
	}
	if strings.ContainsFunc(sub, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		add("sub", fatal, fmt.Sprintf("sub is %q, with control characters", sub), apple)
		return
	}
	var host string
	rest, mail := cutPrefixFold(sub, "mailto:")
	_, web := cutPrefixFold(sub, "https:")
	switch {
	case mail:
		address := strings.TrimSpace(rest)
		if strings.HasPrefix(strings.ToLower(address), "mailto:") {
			add("sub", overlooked, fmt.Sprintf("sub is %q, with mailto: twice", sub), "write mailto: once")
			return
		}
		address, _, _ = strings.Cut(address, "?")
		at := strings.LastIndexByte(address, '@')
		if at <= 0 || at == len(address)-1 {
			add("sub", overlooked, fmt.Sprintf("sub is %q, which has no mail address after mailto:", sub), "write it as mailto:you@your.domain")
			return
		}
		host = strings.TrimRight(address[at+1:], "> ")
		if strings.ContainsAny(rest, " \t<>") {
			add("sub", warning, fmt.Sprintf("sub is %q; Apple responds to spaces and angle brackets with 403 BadJwtToken", sub), "write it as mailto:"+strings.Trim(address, " \t<>"))
		}
	case web:
		u, err := url.Parse(strings.TrimSpace(sub))
		if err != nil || u.Hostname() == "" {
			add("sub", overlooked, fmt.Sprintf("sub is %q, which is not an https URL", sub), "write it as https://your.domain/contact")
			return
		}
		host = u.Hostname()
		if strings.ContainsAny(sub, " \t") {
			add("sub", warning, fmt.Sprintf("sub is %q; Apple responds to spaces with 403 BadJwtToken", sub), "write it without spaces")
		}
	default:
		advice := "write it as mailto:you@your.domain or https://your.domain/contact"
		if fixed := NormalizeSubject(strings.TrimSpace(sub)); fixed != sub {
			advice = fmt.Sprintf("write it as %q", fixed)
		} else if strings.Contains(sub, ".") && !strings.ContainsAny(sub, ":/@ ") {
			advice = "write it as https://" + sub
		}
		add("sub", overlooked, fmt.Sprintf("sub is %q, expected a mailto: or https: URI", sub), advice)
		return
	}
	if why := notPublic(host); why != "" {
		add("sub", warning, fmt.Sprintf("sub is %q, at %s; Apple responds to that with 403 BadJwtToken", sub, why), apple)
	}
}

// notPublic returns the reason why a host is not a public domain, or "".
func notPublic(host string) string {
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err == nil || netaddr.Number(host) {
		return "an IP address"
	}
	return netaddr.Reserved(host)
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
