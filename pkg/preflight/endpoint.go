package preflight

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const (
	takeAgain = "get the subscription from the browser again, and store the complete endpoint"

	// minFernet is less than the number of characters of any Fernet token.
	minFernet = 100
	// minFCMToken is far below the length of FCM's tokens, about 150
	// characters.
	minFCMToken = 100
)

// columnWidths are the lengths to which databases and forms truncate text.
var columnWidths = []int{191, 255, 256, 500, 512}

// ColumnWidth reports whether n is a common width of database columns: a text of
// that length may have been cut off.
func ColumnWidth(n int) bool { return slices.Contains(columnWidths, n) }

// Endpoint returns findings about the endpoint of a subscription, most severe
// first. They never show more of the endpoint than its origin, because the rest
// is a secret (RFC 8030, section 8.3). The subscription must not be nil or the
// zero value.
func Endpoint(sub *webpush.Subscription) []Finding {
	e := &endpoint{sub: sub, path: sub.Path()}
	if u, err := url.Parse(sub.Origin()); err == nil {
		e.host = strings.ToLower(u.Hostname())
	}
	if sub.PermanentlyRemoved() { // see Refused
		return nil
	}
	if strings.HasPrefix(sub.Origin(), "http:") && !sub.Loopback() {
		e.say(SeverityWarning, "endpoint-http", "the endpoint uses plain http: anyone who sees the request can send to it too", sourceCapability, "use https")
	}
	e.address()
	e.form()
	Sort(e.found)
	return e.found
}

// Refused returns the finding about a subscription that the client refuses: one that
// the browser has removed, or one with plain http. Otherwise, ok is false.
func Refused(client *webpush.Client, sub *webpush.Subscription) (f Finding, ok bool) {
	err := client.CheckSubscription(sub)
	if err == nil {
		return Finding{}, false
	}
	f = Finding{Severity: SeverityError, Rule: "endpoint-http", Message: err.Error(), Source: sourceCapability, Hint: webpush.HintOf(err), Err: err}
	if sub.PermanentlyRemoved() {
		f.Rule, f.Source = "subscription-removed", "observed: Chrome's endpoint of a removed subscription"
	}
	if e, ok := errors.AsType[*webpush.Error](err); ok {
		f.Message = e.Problem
	}
	return f, true
}

// Expiration returns the finding about an expirationTime that has passed or is ignored.
// Otherwise, ok is false.
func Expiration(sub *webpush.Subscription) (f Finding, ok bool) {
	const source = "Push API, expirationTime"
	if err := sub.CheckExpiration(); err != nil {
		return Finding{Severity: SeverityNote, Rule: "expiration-ignored", Message: err.Error(), Source: source, Hint: webpush.HintOf(err)}, true
	}
	t := sub.ExpirationTime()
	if t.IsZero() || t.After(time.Now()) {
		return Finding{}, false
	}
	return Finding{Severity: SeverityWarning, Rule: "subscription-expired", Message: fmt.Sprintf("according to its expirationTime, the subscription expired on %s", text.Time(t)),
		Source: source, Hint: "have the user agent subscribe again, or delete the subscription"}, true
}

// RecordedKey returns the finding about an application server key next to the subscription
// that is not readable. Otherwise, ok is false.
func RecordedKey(sub *webpush.Subscription) (f Finding, ok bool) {
	_, err := sub.ApplicationServerKey()
	if err == nil {
		return Finding{}, false
	}
	return Finding{Severity: SeverityNote, Rule: "recorded-key", Message: "the application server key recorded in the subscription is not readable: " + text.OneLine(err.Error(), 200),
		Source: sourceRestricted}, true
}

type endpoint struct {
	sub        *webpush.Subscription
	host, path string
	found      []Finding
}

func (e *endpoint) say(severity Severity, rule, message, source, fix string, services ...webpush.Service) {
	e.found = append(e.found, Finding{Severity: severity, Rule: rule, Services: services, Message: message, Source: source, Hint: fix})
}

// address looks at the host.
func (e *endpoint) address() {
	const strangers = "refuse private addresses if the subscription is untrusted"
	if strings.HasSuffix(e.host, ".") && !e.sub.Loopback() {
		e.say(SeverityWarning, "endpoint-characters", "the endpoint's host ends with a dot; push services compare aud with their name without it", sourceCapability, takeAgain)
	}
	address, err := netip.ParseAddr(e.host)
	switch {
	case e.sub.Loopback():
		e.say(SeverityNote, "endpoint-private", "the endpoint is on this machine: a push service for tests", sourceCapability, "")
	case err == nil && !netaddr.Public(address):
		e.say(SeverityWarning, "endpoint-private", fmt.Sprintf("the endpoint's address %s is not public; untrusted endpoints can point into your network", address), sourceCapability, strangers)
	case err == nil:
	case netaddr.Reserved(e.host) != "":
		e.say(SeverityNote, "endpoint-private", fmt.Sprintf("the endpoint's host %s is not public", text.OneLine(e.host, 80)), sourceCapability, strangers)
	}
}

// form looks at the path, and at the token in it where a service's are known.
func (e *endpoint) form() {
	size := len(e.sub.Endpoint())
	service := e.sub.Service()
	if err := e.sub.CheckEndpoint(); err != nil {
		e.say(SeverityError, "endpoint-dead", err.Error(), sourceCapability, webpush.HintOf(err))
		return
	}
	switch {
	case strings.Trim(e.path, "/") == "":
		e.say(SeverityError, "endpoint-dead", "the endpoint has no path: it is the origin of a push service", sourceCapability, "the endpoint is the value of subscription.endpoint in the browser")
		return
	case strings.Contains(e.path, "..."):
		e.say(SeverityWarning, "endpoint-shortened", "the endpoint has ... in it: it may have been shortened for display", sourceCapability, takeAgain)
	case strings.Contains(e.path, "***"), strings.ContainsAny(e.path, "<>{}"), strings.Contains(strings.ToUpper(e.path), "%3C"), strings.Contains(strings.ToUpper(e.path), "REDACTED"):
		e.say(SeverityWarning, "endpoint-placeholder", "the endpoint has a placeholder in it, such as <token> or ***", sourceCapability, takeAgain)
	case strings.Contains(e.path, "https://"):
		e.say(SeverityWarning, "endpoint-twice", "the endpoint has another URL in it: two were joined", sourceCapability, takeAgain)
	case strings.ContainsFunc(e.sub.Endpoint(), func(r rune) bool { return r > unicode.MaxASCII }):
		e.say(SeverityWarning, "endpoint-characters", "the endpoint has characters beyond ASCII, which browsers encode: it was altered", sourceCapability, takeAgain)
	case strings.HasSuffix(e.path, `"`), strings.HasSuffix(e.path, "'"), strings.HasSuffix(e.path, ","):
		e.say(SeverityWarning, "endpoint-quote", "the endpoint ends with a quote or comma, which is not part of it", sourceCapability, "remove everything except the URL")
	case ColumnWidth(size) && service != webpush.Mozilla: // whose lengths are known
		e.say(SeverityWarning, "endpoint-cut", fmt.Sprintf("the endpoint has %d characters, a common width of database columns: it may be truncated", size), sourceCapability, "compare it with subscription.endpoint in the browser; endpoints can have more than 500 characters")
	}
	switch {
	case service == webpush.FCM:
		e.fcm()
	case service == webpush.Mozilla, strings.HasPrefix(e.path, "/wpush/v"):
		e.autopush()
	case service == webpush.UnifiedPush && size > unifiedPushEndpoint:
		e.say(SeverityWarning, "endpoint-length", fmt.Sprintf("the endpoint has %d characters, UnifiedPush allows %d", size, unifiedPushEndpoint), sourceUnifiedPush, "get the subscription from the app again", webpush.UnifiedPush)
	}
}

func (e *endpoint) fcm() {
	token := e.path[strings.LastIndexByte(e.path, '/')+1:]
	switch {
	case e.sub.GCM():
		e.say(SeverityError, "endpoint-dead", "the endpoint belongs to Google Cloud Messaging, which has been shut down", sourceFirebase, "delete the subscription, and subscribe this browser again", webpush.FCM)
	case !strings.Contains(e.path, "/wp/") && !strings.Contains(e.path, "/fcm/send/"):
		e.say(SeverityWarning, "endpoint-token", "the path is not one of FCM's: /fcm/send/ or /wp/", sourceFirebase, takeAgain, webpush.FCM)
	case len(token) < minFCMToken:
		e.say(SeverityNote, "endpoint-token", fmt.Sprintf("the token has %d characters, real tokens have about 150: it is truncated or made up", len(token)), sourceFirebase, takeAgain, webpush.FCM)
	}
}

var wpush = pattern.New(`^/wpush/(?:(v[0-9]+)/)?([A-Za-z0-9_=-]+)`)

// autopush checks the token of an autopush endpoint. It is a Fernet token,
// whose length depends on the version. Servers other than Mozilla's may use
// other tokens.
func (e *endpoint) autopush() {
	mozilla := e.sub.Service() == webpush.Mozilla
	m := wpush.FindStringSubmatch(e.path)
	switch {
	case !mozilla:
		if m != nil && strings.HasPrefix(m[2], "gAAAAA") && len(m[2]) < minFernet {
			e.say(SeverityWarning, "endpoint-token", "the token at the end of the endpoint is truncated", sourceAutopush, takeAgain)
		}
		return
	case m == nil:
		e.say(SeverityWarning, "endpoint-token", "the path is not one of Mozilla's: /wpush/v1/ or /wpush/v2/ and a token", sourceAutopush, takeAgain, webpush.Mozilla)
		return
	}
	want, version := 105, "v1"
	switch m[1] {
	case "", "v1":
	case "v2":
		want, version = 137, "v2"
	default:
		return
	}
	token := strings.TrimRight(m[2], "=")
	b, err := base64.RawURLEncoding.DecodeString(token)
	switch {
	case err != nil, len(b) != want:
		e.say(SeverityNote, "endpoint-token", fmt.Sprintf("the token has %d characters, tokens of version %s have %d: it is truncated, damaged, or made up", len(token), version, base64.RawURLEncoding.EncodedLen(want)), sourceAutopush, takeAgain, webpush.Mozilla)
	case b[0] != 0x80:
		e.say(SeverityWarning, "endpoint-token", "the token does not have the form of tokens from Mozilla's push service", sourceAutopush, takeAgain, webpush.Mozilla)
	}
}

// tokenVersions are the forms of endpoints that say something about a subscription.
var tokenVersions = []struct {
	service             webpush.Service
	path, name, meaning string
}{
	{webpush.Mozilla, "/wpush/v2/", "v2", "v2: bound to the application server key that it was subscribed with, VAPID is required"},
	{webpush.Mozilla, "/wpush/", "v1", "v1: not bound to an application server key, VAPID is optional"},
	{webpush.FCM, "/gcm/", "gcm", "old GCM endpoint, before VAPID"},
	{webpush.FCM, "/wp/", "wp", "/wp/, the newer form"},
	{webpush.FCM, "/fcm/send/", "fcm/send", "/fcm/send/, the older form"},
}

// TokenVersion returns the form of an endpoint of Mozilla or FCM, such as "v2", and its
// meaning. Both are empty for other endpoints.
func TokenVersion(sub *webpush.Subscription) (name, meaning string) {
	for _, v := range tokenVersions {
		if v.service == sub.Service() && strings.HasPrefix(sub.Path(), v.path) {
			return v.name, v.meaning
		}
	}
	return "", ""
}

// Subscribed returns when an endpoint of autopush was made, which its token says
// unencrypted, or the zero time.
func Subscribed(sub *webpush.Subscription) time.Time {
	m := wpush.FindStringSubmatch(sub.Path())
	if m == nil {
		return time.Time{}
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(m[2], "="))
	if err != nil || len(b) < 10 || b[0] != 0x80 {
		return time.Time{}
	}
	at := time.Unix(int64(binary.BigEndian.Uint64(b[1:])&0xffffffffff), 0)
	if at.Year() <= 2014 || at.Year() >= 2200 {
		return time.Time{}
	}
	return at
}
