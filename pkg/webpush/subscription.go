package webpush

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Subscription is a subscription returned by PushManager.subscribe: the
// endpoint to send to (RFC 8030, section 4) and the keys to encrypt for (RFC
// 8291, section 3). It is valid by construction, immutable, safe for concurrent
// use, and prints only the origin of its endpoint. The zero value is not
// usable: nothing is sent to it.
type Subscription struct {
	origin    string
	loopback  bool
	service   Service
	recipient *ece.Recipient
	expires   time.Time
	secret    *hidden
}

// hidden keeps the secrets two pointers away: in an unexported field of another
// struct, fmt cannot call Format. It prints the value, and follows one pointer
// for some verbs.
type hidden struct{ p *secrets }

type secrets struct {
	endpoint string
	url      url.URL                    // the endpoint, to be copied into requests
	fields   map[string]json.RawMessage // all of the object that was parsed, or nil
	recorded json.RawMessage            // the application server key next to the subscription, or nil
	row      bool                       // see Subscription.Row
}

// secrets returns the secrets of s, or empty ones for the zero value.
func (s *Subscription) secrets() *secrets {
	if s == nil || s.secret == nil {
		return new(secrets)
	}
	return s.secret.p
}

func badSubscription(part, problem, hint string) error {
	return &InputError{Part: part, Problem: problem, hint: hint}
}

const subscriptionHint = `a subscription is what JSON.stringify(subscription) gives in the browser: {"endpoint": …, "keys": {"p256dh": …, "auth": …}}`

// NewSubscription returns a subscription with the given parts, such as the columns of a
// database: the endpoint's URL, and the 65-byte p256dh and 16-byte auth in base64 of
// either alphabet, padded or not, or in hexadecimal digits. Both keys may be empty; then only messages without a
// payload can be sent, and the endpoint may be the origin of a push service. The error is
// an [*InputError].
func NewSubscription(endpoint, p256dh, auth string) (*Subscription, error) {
	s, err := newEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	if p256dh == "" && auth == "" {
		return s, nil
	}
	if err := s.CheckEndpoint(); err != nil {
		return nil, err
	}
	if len(p256dh) < len(auth) && keySize(p256dh) == ece.AuthSize && keySize(auth) == ece.KeySize {
		return nil, badSubscription("keys", "p256dh and auth are swapped: p256dh has 16 bytes and auth 65", "swap them where they are stored")
	}
	point, err := decodeKey("keys.p256dh", p256dh, ece.KeySize)
	if err != nil {
		return nil, err
	}
	secret, err := decodeKey("keys.auth", auth, ece.AuthSize)
	if err != nil {
		return nil, err
	}
	if s.recipient, err = ece.NewRecipient(point, secret); err != nil {
		return nil, badSubscription("keys.p256dh", "keys."+err.Error(), "get the subscription from the browser again; a key of another curve or form cannot be used")
	}
	return s, nil
}

// ParseSubscription reads the JSON of a PushSubscription (Push API, toJSON),
// alone or in the field "subscription" of another object. It also reads the
// forms in which databases and libraries keep it: rows with the keys under
// other names, in any case (public_key and auth_token, publicKey and authToken,
// key_p256dh and key_auth, p256dh_key and auth_key, and others), the keys or
// the subscription as text, and a subscription next to its endpoint. Unknown
// fields are kept for [Subscription.MarshalJSON]. An expirationTime in another
// form than milliseconds is ignored. Keys may be null or absent; only messages
// without a payload can then be sent. But if fields with other names could be
// the keys, an error is returned, because an unknown name should not lead to
// empty messages. The error is an [*InputError] that says which field is wrong
// and why.
func ParseSubscription(data []byte) (*Subscription, error) {
	if endpoint, p256dh, auth, ok := plainSubscription(data); ok {
		return NewSubscription(endpoint, p256dh, auth)
	}
	return parseSubscription(data)
}

// parseSubscription is ParseSubscription for any text.
func parseSubscription(data []byte) (*Subscription, error) {
	fields, err := subscriptionMembers(data)
	if err != nil {
		return nil, err
	}
	if inner, ok := fields["subscription"]; ok && fields["endpoint"] == nil && len(inner) > 0 && inner[0] != '"' {
		if _, err := subscriptionMembers(inner); err != nil {
			return nil, err
		}
	}
	r, ok, err := readRow(fields, 0)
	switch {
	case err != nil:
		return nil, err
	case !ok && fields["endpoint"] != nil:
		return nil, badSubscription("endpoint", "the endpoint is not a string", subscriptionHint)
	case !ok:
		if other := otherObject(fields); other != "" {
			return nil, badSubscription("subscription", "found "+other+", expected a subscription", subscriptionHint)
		}
		return nil, badSubscription("endpoint", "the subscription has no endpoint", noEndpointHint(fields))
	}
	if raw, ok := r.fields["keys"]; ok && string(raw) != "null" && objectOf(raw) == nil {
		var text string
		if json.Unmarshal(raw, &text) == nil && strings.HasPrefix(text, "[object ") {
			return nil, badlySerialized("keys", fmt.Sprintf("the text %q", text[:min(len(text), 40)]))
		}
		return nil, badSubscription("keys", "keys is not an object with the strings p256dh and auth", subscriptionHint)
	}
	s, err := NewSubscription(r.endpoint, r.p256dh, r.auth)
	if err != nil {
		return nil, err
	}
	if err := s.CheckEndpoint(); err != nil {
		return nil, err
	}
	s.expires, _ = expiration(r.fields)
	s.secret.p.fields, s.secret.p.recorded = r.fields, r.recorded
	s.secret.p.row = fields["keys"] == nil && (fields["subscription"] == nil || fields["endpoint"] != nil) && s.recipient != nil || isText(fields["keys"])
	return s, nil
}

// expiration reads the expirationTime of a subscription, or says why it is ignored.
func expiration(fields map[string]json.RawMessage) (at time.Time, ignored string) {
	raw, ok := fields["expirationTime"]
	var ms float64
	switch {
	case !ok || string(raw) == "null":
	case json.Unmarshal(raw, &ms) != nil || ms < 0 || ms > 1e17:
		return at, "expirationTime is ignored: it is not a number of milliseconds since 1970"
	case ms < 1e11: // a time before 1973
		return at, "expirationTime is ignored: it looks like seconds, browsers write milliseconds"
	default:
		at = time.UnixMilli(int64(ms))
	}
	return at, ""
}

func isText(value json.RawMessage) bool { return len(value) > 0 && value[0] == '"' }

// otherObject names an object that was given as a subscription by mistake, or returns "".
func otherObject(fields map[string]json.RawMessage) string {
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return fields[name] == nil })
	}
	switch {
	case has("privateKey", "auth"):
		return "the keys of a receiver"
	case has("privateKey"), has("private_key"), has("kty", "crv"):
		return "a key"
	case has("sub", "aud"), has("sub", "exp"), len(fields) == 1 && has("sub"):
		return "claims"
	}
	return ""
}

// noEndpointHint names the fields that are there, if there are any.
func noEndpointHint(fields map[string]json.RawMessage) string {
	if len(fields) == 0 {
		return subscriptionHint
	}
	if name := listField(fields); name != "" {
		return fmt.Sprintf("the field %q has a list of subscriptions: write each on a line of its own", text.OneLine(name, 40))
	}
	return "the fields are " + fieldList(fields) + "; " + subscriptionHint
}

// recordedKey returns the application server key from the fields that sites
// keep next to a subscription, or nil.
func recordedKey(fields map[string]json.RawMessage) json.RawMessage {
	for _, name := range notation.ServerKeys {
		if raw := fields[name]; raw != nil && string(raw) != "null" {
			return raw
		}
	}
	var options struct {
		Key json.RawMessage `json:"applicationServerKey"`
	}
	if json.Unmarshal(fields["options"], &options) == nil && string(options.Key) != "null" && string(options.Key) != "{}" {
		return options.Key // an ArrayBuffer becomes {}
	}
	return nil
}

func subscriptionMembers(data []byte) (map[string]json.RawMessage, error) {
	bad := func(problem, hint string) (map[string]json.RawMessage, error) {
		return nil, badSubscription("subscription", problem, hint)
	}
	data = bytes.TrimSpace(text.TrimBOM(data))
	if len(data) == 0 {
		return bad("found no subscription: the text is empty", subscriptionHint)
	}
	if bytes.HasPrefix(data, []byte("-----BEGIN ")) {
		return bad("found a key or a certificate in PEM, expected a subscription", subscriptionHint)
	}
	if what := deviceToken(string(data)); what != "" {
		return bad("found "+what, adviceDeviceToken)
	}
	data, _ = notation.Unwrap(data)
	d := json.NewDecoder(bytes.NewReader(data))
	var fields map[string]json.RawMessage
	if err := d.Decode(&fields); err != nil {
		var kind *json.UnmarshalTypeError
		var syntax *json.SyntaxError
		if other := otherNotation(data); other != nil {
			return nil, other
		}
		switch {
		case errors.As(err, &kind):
			return bad("found a JSON "+kind.Value+", expected the object of one subscription", subscriptionHint)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return bad("the subscription is truncated: its JSON does not end", "copy it again completely")
		case errors.As(err, &syntax):
			return bad(fmt.Sprintf("the subscription is not valid JSON: %v at byte %d", err, syntax.Offset), subscriptionHint)
		}
		return bad("the subscription is not valid JSON", subscriptionHint)
	}
	if fields == nil {
		return bad("found null, expected the object of one subscription", "the browser was not subscribed: pushManager.getSubscription() gave null")
	}
	if _, err := d.Token(); err != io.EOF {
		return bad("found more text after the subscription's JSON", "give one subscription")
	}
	return fields, nil
}

// newEndpoint returns a subscription without keys.
//
// Endpoints are opaque (RFC 8030, section 8.3). Everything after the host is
// kept and sent byte for byte, even where net/url would write it in another way
// or refuse it; only the part before it is parsed. That also keeps the rest out
// of the errors.
func newEndpoint(endpoint string) (*Subscription, error) {
	const again = "get the subscription from the browser again"
	bad := func(problem string) (*Subscription, error) {
		return nil, badSubscription("endpoint", problem, again)
	}
	if endpoint == "" {
		return bad("the endpoint is empty")
	}
	if what := deviceToken(endpoint); what != "" {
		return nil, badSubscription("endpoint", "the endpoint is "+what, adviceDeviceToken)
	}
	plain := plainURL(endpoint)
	if !plain {
		if shortened(endpoint) {
			return nil, badSubscription("endpoint", "the endpoint was shortened for display: it has … in it", "copy the subscription with JSON.stringify, not from the display of the developer tools")
		}
		if problem := foreignTo(endpoint); problem != "" {
			return bad(problem)
		}
	}
	scheme, after, found := strings.Cut(endpoint, "://")
	if !found || !isScheme(scheme) { // may be part of a path, so it is not shown
		return bad("the endpoint is not an absolute URL, expected https://…")
	}
	if !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
		return bad(fmt.Sprintf("the endpoint's scheme is %q, expected https", text.OneLine(scheme, 20)))
	}
	end := strings.IndexAny(after, "/?\\")
	if end < 0 {
		end = len(after)
	}
	authority, rest := after[:end], after[end:]
	switch {
	case authority == "":
		return bad("the endpoint has no host")
	case strings.HasPrefix(rest, "\\"): // for browsers a slash, for others not
		return bad("the endpoint has a backslash after its host")
	case strings.Contains(authority, "@"):
		return bad("the endpoint has user information before its host")
	}
	b, problem := baseOf(endpoint[:len(endpoint)-len(rest)])
	if problem != "" {
		return bad(problem)
	}
	made := &struct { // allocated together
		Subscription
		hidden  hidden
		secrets secrets
	}{Subscription: Subscription{origin: b.origin, loopback: b.loopback, service: b.service}, secrets: secrets{endpoint: endpoint, url: b.url}}
	s, u := &made.Subscription, &made.secrets.url
	made.hidden.p, s.secret = &made.secrets, &made.hidden
	path, query, _ := strings.Cut(rest, "?")
	u.RawQuery, u.ForceQuery = query, strings.HasSuffix(endpoint, "?")
	if plain && !strings.HasPrefix(path, "//") {
		u.Path = path
	} else {
		var err error
		if u.Path, err = url.PathUnescape(path); err == nil {
			u.RawPath = path
		}
		if path != "" && (err != nil || u.EscapedPath() != path) {
			u.Opaque = path
			if strings.HasPrefix(path, "//") { // would be read as a host
				u.Opaque = "//" + u.Host + path
			}
		}
	}
	if isNative(u, path) {
		return nil, badSubscription("endpoint", "the endpoint belongs to the push service of native apps at "+s.origin, adviceDeviceToken)
	}
	if s.service == Other && isUnifiedPush(u) {
		s.service = UnifiedPush
	}
	return s, nil
}

// base is the part of an endpoint before its path. It is not secret.
type base struct {
	text     string // unchanged
	url      url.URL
	origin   string
	loopback bool
	service  Service
}

// bases are some that were parsed: endpoints are many, their bases few.
var (
	bases    [16]atomic.Pointer[base]
	baseSeed = maphash.MakeSeed()
)

// baseOf parses the part of an endpoint before its path, or returns the problem
// with it.
func baseOf(written string) (*base, string) {
	place := &bases[maphash.String(baseSeed, written)%uint64(len(bases))]
	if b := place.Load(); b != nil && b.text == written {
		return b, ""
	}
	written = strings.Clone(written) // do not keep the rest in memory
	u, err := url.Parse(written)
	if err != nil {
		return nil, "the endpoint's host or port is not valid"
	}
	origin, err := vapid.Origin(written)
	if err != nil {
		return nil, err.Error()
	}
	host := hostOf(u)
	b := &base{text: written, url: *u, origin: origin, loopback: netaddr.Loopback(host), service: serviceOf(host)}
	place.Store(b)
	return b, ""
}

// plainURL reports whether a URL has only characters that need no escaping in
// any part.
func plainURL(s string) bool {
	for i := range len(s) {
		if !isPlain[s[i]] {
			return false
		}
	}
	return true
}

var isPlain = func() (set [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:" {
		set[c] = true
	}
	return set
}()

// foreignTo says what in a text no URL has, or "".
func foreignTo(url string) string {
	if !utf8.ValidString(url) {
		return "the endpoint is not valid UTF-8"
	}
	for i, r := range url {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return fmt.Sprintf("the endpoint has a space or control character at byte %d", i+1)
		}
	}
	if strings.Contains(url, "#") {
		return "the endpoint has a fragment (#…), which is never sent"
	}
	return ""
}

func isScheme(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+-.", r)
	})
}

func decodeKey(part, value string, size int) ([]byte, error) {
	const again = "get the subscription from the browser again, whole"
	if value = strings.TrimSpace(value); value == "" {
		return nil, badSubscription(part, part+" is missing", again)
	}
	if strings.HasPrefix(value, "[object ") {
		return nil, badlySerialized(part, fmt.Sprintf("the text %q", text.OneLine(value, 40)))
	}
	b, err := b64.Decode(value)
	if err != nil || len(b) != size {
		if b := hexKey(value, size); b != nil {
			return b, nil
		}
		if what := unusualKey(value, size); what != "" {
			return nil, badlySerialized(part, what)
		}
	}
	if err != nil {
		return nil, badSubscription(part, part+": "+err.Error(), again)
	}
	switch n := len(b); {
	case n == size:
		return b, nil
	case n > size && twice(b, size):
		return nil, badSubscription(part, part+" was encoded in base64 twice", "decode it once before it is stored")
	case size == ece.KeySize && (n == 33 || n == 64 || n > size):
		return b, nil // a point in another form, which ece can name
	case n < size:
		return nil, badSubscription(part, fmt.Sprintf("%s has %d bytes, expected %d; it looks truncated", part, n, size), again)
	default:
		return nil, badSubscription(part, fmt.Sprintf("%s has %d bytes, expected %d", part, n, size), again)
	}
}

// keySize is the number of bytes of a key, or -1 if it is not base64.
func keySize(text string) int {
	if len(text) > 200 {
		return -1
	}
	for _, size := range []int{ece.KeySize, ece.AuthSize} {
		if hexKey(text, size) != nil {
			return size
		}
	}
	b, err := b64.Decode(text)
	if err != nil {
		return -1
	}
	return len(b)
}

func twice(b []byte, size int) bool {
	inner, err := b64.Decode(string(b))
	return err == nil && len(inner) == size
}

// Endpoint returns the URL to send to, a secret (RFC 8030 section 8.3).
func (s *Subscription) Endpoint() string { return s.secrets().endpoint }

// Hash returns a stable name for the endpoint that is not secret: the first 16
// bytes of the SHA-256 of its URL, as 32 hexadecimal digits.
func (s *Subscription) Hash() string {
	sum := sha256.Sum256([]byte(s.Endpoint()))
	return hex.EncodeToString(sum[:16])
}

// Origin returns scheme, host and port of the endpoint: the audience of a
// token for it, and what may be shown of it.
func (s *Subscription) Origin() string { return s.origin }

// Service returns the push service that the endpoint belongs to.
func (s *Subscription) Service() Service { return s.service }

// Loopback reports whether host, the host of a URL without port and brackets, is this
// machine: a loopback address, localhost, or a name below it (RFC 6761, section 6.3).
// Plain HTTP is safe only with such a host.
func Loopback(host string) bool { return netaddr.Loopback(host) }

// Loopback reports whether the endpoint's host is this machine; see [Loopback].
func (s *Subscription) Loopback() bool { return s.loopback }

// Recipient returns the recipient to encrypt for, or nil if the subscription
// has no keys.
func (s *Subscription) Recipient() *ece.Recipient { return s.recipient }

// CheckKeys returns an [*InputError] if the subscription has no keys. Only
// messages without a payload can be sent to such a subscription.
func (s *Subscription) CheckKeys() error {
	if s.recipient == nil {
		return badSubscription("keys", "the subscription has no keys, so no payload can be encrypted for it", "send without a payload, or get the subscription from the browser again")
	}
	return nil
}

// CheckExpiration returns an [*InputError] if the expirationTime of the subscription
// cannot be read and is ignored, or nil.
func (s *Subscription) CheckExpiration() error {
	if _, ignored := expiration(s.secrets().fields); ignored != "" {
		return badSubscription("expirationTime", ignored, "browsers write milliseconds since 1970, or null")
	}
	return nil
}

// ExpirationTime returns when the subscription ends, or the zero time when it
// does not say.
func (s *Subscription) ExpirationTime() time.Time { return s.expires }

// Row reports whether the subscription has keys but was not written as a browser
// writes it: it is the row of a database, or has its parts under other names.
func (s *Subscription) Row() bool { return s.secrets().row }

// ApplicationServerKey returns the key that the subscription was created with,
// if the JSON records it: as a string in applicationServerKey, vapidKey or
// vapidPublicKey, in options.applicationServerKey, or as the bytes that
// JSON.stringify makes of a Uint8Array. It returns the zero value if nothing is
// recorded, and an error if the recorded value is not such a key.
func (s *Subscription) ApplicationServerKey() (vapid.PublicKey, error) {
	raw := s.secrets().recorded
	if raw == nil {
		return vapid.PublicKey{}, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return vapid.ParsePublicKey([]byte(text))
	}
	var list []byte
	var array []uint8Number
	var indexed map[int]uint8
	switch {
	case json.Unmarshal(raw, &array) == nil:
		for _, n := range array {
			list = append(list, byte(n))
		}
	case json.Unmarshal(raw, &indexed) == nil:
		for i := range len(indexed) {
			list = append(list, indexed[i])
		}
	default:
		return vapid.PublicKey{}, badSubscription("applicationServerKey", "it is neither a string nor bytes", "")
	}
	return vapid.ParsePublicKey([]byte(b64.Encode(list)))
}

// uint8Number is a byte that is a number in JSON; a []byte would be base64.
type uint8Number uint8

// MadeWith returns the subscription with key recorded as the application server
// key that it was made with; see [Subscription.ApplicationServerKey].
func (s *Subscription) MadeWith(key vapid.PublicKey) *Subscription {
	changed, secret := *s, *s.secrets()
	secret.recorded = json.RawMessage(`"` + key.String() + `"`)
	changed.secret = &hidden{&secret}
	return &changed
}

// PermanentlyRemoved reports whether the endpoint is the one that Chrome uses
// for a permanently removed subscription.
func (s *Subscription) PermanentlyRemoved() bool {
	return s.origin == "https://permanently-removed.invalid"
}

// MarshalJSON writes the subscription as PushSubscription.toJSON does, its keys
// in base64url without padding, and all other fields unchanged.
func (s Subscription) MarshalJSON() ([]byte, error) {
	secret := s.secrets()
	fields := make(map[string]any, len(secret.fields)+3)
	for name, raw := range secret.fields {
		fields[name] = raw
	}
	fields["endpoint"] = secret.endpoint
	if _, ok := fields["expirationTime"]; !ok {
		fields["expirationTime"] = nil
	}
	if s.recipient != nil {
		p256dh, auth := b64.Encode(s.recipient.P256DH()), b64.Encode(s.recipient.Auth())
		var keys map[string]any
		if raw, ok := secret.fields["keys"]; ok && json.Unmarshal(raw, &keys) == nil && len(keys) > 2 {
			keys["p256dh"], keys["auth"] = p256dh, auth
			fields["keys"] = keys
		} else { // fields in the order of browsers
			fields["keys"] = struct {
				P256DH string `json:"p256dh"`
				Auth   string `json:"auth"`
			}{p256dh, auth}
		}
	}
	b, err := text.JSON(fields)
	if err != nil {
		return nil, fmt.Errorf("encoding the subscription: %w", err)
	}
	return b, nil
}

// UnmarshalJSON is [ParseSubscription].
func (s *Subscription) UnmarshalJSON(data []byte) error {
	parsed, err := ParseSubscription(data)
	if err != nil {
		return err
	}
	*s = *parsed
	return nil
}

// String describes the subscription by its origin.
func (s Subscription) String() string {
	if s.origin == "" {
		return "no subscription"
	}
	return "subscription at " + s.origin
}

// GoString returns String, to keep secrets out of %#v.
func (s Subscription) GoString() string { return s.String() }

// Format writes String for every verb, to keep secrets out of all of them.
func (s Subscription) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns String, to keep secrets out of log/slog.
func (s Subscription) LogValue() slog.Value { return slog.StringValue(s.String()) }
