package webpush

import (
	"cmp"
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// Code says in one word, the same for every push service, why a message was
// not accepted.
type Code string

// The codes of an [Error].
const (
	CodeGone          Code = "gone"               // the subscription ended: delete it
	CodeKeyMismatch   Code = "vapid_key_mismatch" // the subscription was made with another key: subscribe again
	CodeVAPIDMissing  Code = "vapid_missing"      // the push must be signed
	CodeVAPIDInvalid  Code = "vapid_invalid"      // signature or claims are refused
	CodeVAPIDAudience Code = "vapid_audience"     // aud is not the service's origin
	CodeVAPIDExpired  Code = "vapid_expired"      // exp is past
	CodeVAPIDLifetime Code = "vapid_lifetime"     // exp is more than 24 h ahead
	CodeVAPIDFormat   Code = "vapid_format"       // header or key are not readable
	CodeTopic         Code = "topic"              // the Topic is refused
	CodeTTL           Code = "ttl"                // the TTL is missing or refused
	CodeUrgency       Code = "urgency"            // the Urgency is refused
	CodeEncryption    Code = "encryption"         // body or encryption headers are refused
	CodeTooLarge      Code = "too_large"          // the body is too long
	CodeRateLimited   Code = "rate_limited"       // too many messages
	CodeUnavailable   Code = "unavailable"        // the service has a fault of its own
	CodeOtherServer   Code = "other_server"       // a web server responded, not the push service
	CodeRedirect      Code = "redirect"           // a redirect, which is never followed
	CodeRejected      Code = "rejected"           // refused for another reason
	CodeNetwork       Code = "network"            // no answer
	CodeRefused       Code = "refused"            // not sent: this side's own rules forbid the endpoint
)

// rule is an entry of the dictionary of answers: what must match, and what it
// means. The first that matches counts, so the special stand before the general.
type rule struct {
	service Service // "" is any
	status  int     // 0 is any; 4 and 5 are 4xx and 5xx, 3 is 3xx
	errno   int     // 0 is any
	text    string  // in the reason, the message or a X-WNS- header; any case; "" is any

	code    Code
	meaning string
	advice  string
}

const (
	adviceResubscribe = "subscribe this user agent again with the application server key that is in use now, or sign with the key of that time; the pair cannot be changed afterwards"
	adviceDelete      = "delete the subscription"
	adviceAud         = "aud must be the endpoint's origin: it is filled in if none is given"
	adviceClock       = "sign a new token with exp about 12 h ahead, and compare the clock of this machine with the real time"
	adviceSub         = "check sub first: a mailto: or https: address at a real public domain, not localhost, .local or an IP address; then aud, exp and the clock"
	adviceSign        = "sign the message with an application server key"
	adviceK           = "send k as the key of 65 bytes in base64url without padding"
	adviceHeader      = "send Authorization: vapid t=TOKEN, k=KEY"
	adviceMozilla     = "check aud first: it must be the endpoint's origin, with its port if that is not the default; then exp, a whole number at most 24 h ahead of the real time; then that k is the public half of the key that signed; sub does not matter here"
	adviceThrottled   = "wait for an hour to a day, and then send this channel less"
	adviceVerify      = "verify the token: its form, signature, aud, exp, and sub"
	adviceShrink      = "send a shorter payload, or a link to it"
	adviceEncoding    = "encrypt with aes128gcm, and send the headers that belong to the body"
	adviceLater       = "try again later"
	adviceSlow        = "send more slowly, and not before the time in Retry-After"
	adviceRedirect    = "the endpoint is wrong or something stands between here and the push service"
	adviceWNSPolicy   = "X-WNS-Cache-Policy must be cache with a TTL above 0 and no-cache with TTL 0"
)

var dictionary = []rule{
	// Mozilla: autopush's error numbers.
	{Mozilla, 401, 0, "public key mismatch", CodeKeyMismatch, "the subscription was made with another application server key", adviceResubscribe},
	{Mozilla, 401, 0, "invalid vapid audience", CodeVAPIDAudience, "aud of the token is not this push service", adviceAud},
	{Mozilla, 401, 0, "expiration is too long", CodeVAPIDLifetime, "exp of the token is more than 24 h ahead", adviceClock},
	{Mozilla, 401, 0, "expiredsignature", CodeVAPIDExpired, "exp of the token is past", adviceClock},
	{Mozilla, 401, 0, "missing vapid public key", CodeVAPIDMissing, "the message is not signed, or its Authorization header has no k that the service finds: it separates parameters by commas alone", adviceSign + ": Authorization: vapid t=TOKEN, k=KEY"},
	{Mozilla, 401, 0, "missing vapid token", CodeVAPIDMissing, "the Authorization header has no parameter t, the token", adviceHeader},
	{Mozilla, 401, 0, "missing required aud", CodeVAPIDAudience, "aud is missing in the token", adviceAud},
	{Mozilla, 401, 0, "missing required exp", CodeVAPIDInvalid, "exp is missing in the token", adviceClock},
	{Mozilla, 401, 0, "missing required sub", CodeVAPIDInvalid, "sub is missing in the token", adviceSub},
	{Mozilla, 401, 0, "invalid vapid public key: invalid", CodeVAPIDFormat, "k in the Authorization header is not base64url", adviceK + ", without quotation marks"},
	{Mozilla, 401, 0, "invalid vapid public key", CodeVAPIDFormat, "the application server key in the header is no point on P-256", adviceK},
	{Mozilla, 401, 0, "unknown auth scheme", CodeVAPIDFormat, "the Authorization header has a scheme that is not known", "use the scheme vapid"},
	{Mozilla, 401, 0, "vapid claims", CodeVAPIDInvalid, "a claim is missing or of the wrong kind", "aud and sub must be strings and exp a whole number; verify the token"},
	{Mozilla, 401, 0, "missing authorization header", CodeVAPIDInvalid, "the token is missing or any part of it is refused", adviceVerify},
	{Mozilla, 401, 0, "", CodeVAPIDInvalid, "the token's signature or claims are refused", adviceMozilla},
	{Mozilla, 400, 0, "gzip header", CodeEncryption, "the body has Content-Encoding: gzip, so the service decompresses it before it reads it", adviceEncoding},
	{Mozilla, 400, 0, "payload reached eof", CodeEncryption, "the body is compressed, or shorter than its header says: the service decompresses it before it reads it", adviceEncoding},
	{Mozilla, 400, 101, "", CodeEncryption, "the encryption headers are missing", adviceEncoding},
	{Mozilla, 400, 110, "content-encoding", CodeEncryption, "Content-Encoding is missing or not aes128gcm or aesgcm", adviceEncoding},
	{Mozilla, 400, 110, "'dh'", CodeEncryption, "an aes128gcm body came with the aesgcm header Crypto-Key: dh=", adviceEncoding},
	{Mozilla, 400, 110, "p256ecdsa", CodeVAPIDFormat, "the draft's scheme WebPush needs Crypto-Key: p256ecdsa=", "use the scheme vapid"},
	{Mozilla, 400, 110, "", CodeEncryption, "the encryption headers are refused", adviceEncoding},
	{Mozilla, 400, 111, "crypto", CodeEncryption, "the encryption headers are missing", adviceEncoding},
	{Mozilla, 400, 0, "missing ttl", CodeTTL, "the TTL header is missing or no number", "send TTL, in whole seconds"},
	{Mozilla, 400, 111, "", CodeTTL, "the TTL header is missing or no number", "send TTL, in whole seconds"},
	{Mozilla, 400, 112, "", CodeTTL, "the TTL is refused", "send TTL, in whole seconds"},
	{Mozilla, 400, 113, "", CodeTopic, "the topic is longer than 32 characters or has others than letters, digits, - and _", "use 1 to 32 of A-Z a-z 0-9 - _"},
	{Mozilla, 400, 114, "", CodeTTL, "the TTL is negative", "send a TTL of 0 or more seconds"},
	{Mozilla, 400, 106, "", CodeRejected, "the subscription belongs to an app that the service does not know", adviceDelete},
	{Mozilla, 400, 108, "", CodeRejected, "the subscription's kind of router is not known", adviceDelete},
	{Mozilla, 404, 102, "", CodeGone, "the endpoint is not valid: its token is damaged or of another service", "delete the subscription; if it is new, the endpoint was cut off when it was stored"},
	{Mozilla, 410, 103, "", CodeGone, "the user agent is not known any more", adviceDelete},
	{Mozilla, 410, 105, "", CodeGone, "the user agent went away while the message was taken", adviceDelete},
	{Mozilla, 410, 106, "", CodeGone, "the subscription was ended", adviceDelete},
	{Mozilla, 413, 104, "reached size limit", CodeTooLarge, "the body is longer than the service accepts for any user agent", adviceShrink},
	{Mozilla, 413, 104, "", CodeTooLarge, "the payload is too large for this user agent; Firefox for Android takes bodies of some 2744 to 3070 bytes only", "send a shorter payload without padding, or limit the size of the body"},
	{Mozilla, 502, 900, "", CodeUnavailable, "the bridge to Android is set up wrongly", adviceLater},
	{Mozilla, 502, 901, "", CodeUnavailable, "the bridge to Android refused the service's own credentials", adviceLater},
	{Mozilla, 502, 902, "", CodeUnavailable, "the bridge to Android could not be reached", adviceLater},
	{Mozilla, 502, 903, "", CodeUnavailable, "the bridge to Android did not answer in time", adviceLater},
	{Mozilla, 502, 0, "", CodeUnavailable, "the bridge to Android has a fault", adviceLater},
	{Mozilla, 5, 201, "", CodeUnavailable, "the service could not store the message", adviceLater},
	{Mozilla, 503, 202, "", CodeUnavailable, "the service could not store the message just now", "try again at once"},
	{Mozilla, 5, 999, "", CodeUnavailable, "the service has an unknown fault", adviceLater},

	// Apple: the reason in its JSON.
	{Apple, 0, 0, "VapidPkHashMismatch", CodeKeyMismatch, "the subscription was made with another application server key", adviceResubscribe},
	{Apple, 0, 0, "BadJwtToken", CodeVAPIDInvalid, "the token is refused: sub, aud, exp or the signature", adviceSub},
	{Apple, 0, 0, "BadVapidPublicKey", CodeVAPIDFormat, "the application server key in the header is not readable", adviceK},
	{Apple, 0, 0, "BadAuthorizationHeader", CodeVAPIDFormat, "the Authorization header is not readable", adviceHeader},
	{Apple, 0, 0, "BadWebPushTopic", CodeTopic, "Apple decodes the topic as base64url, and no base64 has its length: 5, 9, 13 and so on up to 29 are refused", "use a topic with another number of characters"},
	{Apple, 0, 0, "BadWebPushRequest", CodeEncryption, "body or encoding are refused", adviceEncoding},
	{Apple, 0, 0, "BadTtl", CodeTTL, "the TTL is refused", "send a TTL above 0"},
	{Apple, 0, 0, "BadUrgency", CodeUrgency, "the urgency is refused", "send very-low, low, normal or high"},
	{Apple, 4, 0, "BadPath", CodeGone, "the endpoint is not valid", "delete the subscription; if it is new, the endpoint was cut off when it was stored"},
	{Apple, 4, 0, "Unregistered", CodeGone, "the subscription was ended", adviceDelete},
	{Apple, 4, 0, "ExpiredToken", CodeGone, "the subscription has expired", adviceDelete},
	{Apple, 0, 0, "MethodNotAllowed", CodeRejected, "the request was no POST", "send a POST"},
	{Apple, 0, 0, "PayloadTooLarge", CodeTooLarge, "the body is longer than 4096 bytes", adviceShrink},
	{Apple, 0, 0, "TooManyRequests", CodeRateLimited, "too many messages for this subscription", adviceSlow},
	{Apple, 0, 0, "IdleTimeout", CodeUnavailable, "the connection was idle for too long", adviceLater},
	{Apple, 0, 0, "Shutdown", CodeUnavailable, "the service is shutting down", adviceLater},
	{Apple, 0, 0, "ServiceUnavailable", CodeUnavailable, "the service is not available", adviceLater},
	{Apple, 0, 0, "InternalServerError", CodeUnavailable, "the service has a fault of its own", adviceLater},
	{Apple, 403, 0, "Forbidden", CodeVAPIDInvalid, "the push is not allowed", adviceSub},

	// FCM: plain text or a page.
	{FCM, 0, 0, "do not correspond to the credentials", CodeKeyMismatch, "the subscription was made with another application server key", adviceResubscribe},
	{FCM, 0, 0, "does not correspond to the sender", CodeKeyMismatch, "the subscription was made with another application server key; no Firebase key is involved", adviceResubscribe},
	{FCM, 0, 0, "MismatchSenderId", CodeKeyMismatch, "the subscription was made with another application server key; no Firebase key is involved", adviceResubscribe},
	{FCM, 4, 0, "NotRegistered", CodeGone, "the subscription was ended", adviceDelete},
	{FCM, 0, 0, "UnauthorizedRegistration", CodeVAPIDMissing, "the message is not signed, or not with VAPID", adviceSign},
	{FCM, 0, 0, "sender is not authenticated", CodeVAPIDMissing, "the message is not signed, or not with VAPID", adviceSign},
	{FCM, 0, 0, "had no public application server key", CodeVAPIDFormat, "the header names no application server key", adviceHeader},
	{FCM, 0, 0, "had empty public application server key", CodeVAPIDFormat, "the application server key in the header is empty", adviceHeader},
	{FCM, 0, 0, "had invalid format", CodeVAPIDFormat, "the header is not readable", adviceHeader},
	{FCM, 0, 0, "must be base64 encoded", CodeVAPIDFormat, "the application server key is not base64url without padding", adviceK},
	{FCM, 0, 0, "base64url-encoded", CodeVAPIDFormat, "the application server key is not base64url without padding", adviceK},
	{FCM, 0, 0, "public key must be 65 bytes", CodeVAPIDFormat, "the application server key has not 65 bytes", adviceK},
	{FCM, 0, 0, "uncompressed form", CodeVAPIDFormat, "the application server key is compressed", adviceK},
	{FCM, 0, 0, "must be on the p-256 curve", CodeVAPIDFormat, "the application server key is not a point on P-256", "sign with a key pair on P-256"},
	{FCM, 0, 0, "invalid jwt", CodeVAPIDInvalid, "the token's signature is refused", adviceVerify},
	{FCM, 0, 0, "aud claim", CodeVAPIDAudience, "aud of the token is not this push service", adviceAud},
	{FCM, 0, 0, "exp claim must not be more than 24 hours", CodeVAPIDLifetime, "exp of the token is more than 24 h ahead", adviceClock},
	{FCM, 0, 0, "exp claim is missing", CodeVAPIDInvalid, "exp is missing in the token", adviceClock},
	{FCM, 0, 0, "token has expired", CodeVAPIDExpired, "exp of the token is past", adviceClock},
	{FCM, 400, 0, "InvalidTokenFormat", CodeRejected, "the endpoint is damaged", "the endpoint was cut off or changed when it was stored"},
	{FCM, 400, 0, "", CodeRejected, "the request is malformed, or its body is longer than 4096 bytes", "see the answer's text; send a shorter payload if it is near the limit"},
	{FCM, 404, 0, "valid push subscription endpoint", CodeGone, "the endpoint is damaged, or was not used for 270 days", adviceDelete},
	{FCM, 410, 0, "", CodeGone, "the subscription was ended", adviceDelete},
	{FCM, 429, 0, "", CodeRateLimited, "too many messages, for this device or from this sender", adviceSlow},
	{FCM, 413, 0, "", CodeTooLarge, "the body is longer than 4096 bytes", adviceShrink},

	// WNS: empty bodies, the reason in headers.
	{WNS, 0, 0, "conflicts with x-wns-cache-policy", CodeTTL, "the TTL and X-WNS-Cache-Policy contradict each other", adviceWNSPolicy},
	{WNS, 400, 0, "", CodeRejected, "a header is missing or contradicts another", adviceWNSPolicy},
	{WNS, 401, 0, "", CodeVAPIDInvalid, "the token is refused, or the subscription is old", "verify the token; if others go through, subscribe this user agent again"},
	{WNS, 403, 0, "", CodeKeyMismatch, "the sender is not the one that the subscription was made for", adviceResubscribe},
	{WNS, 404, 0, "", CodeGone, "the channel is not valid", adviceDelete},
	{WNS, 410, 0, "", CodeGone, "the channel has expired", adviceDelete},
	{WNS, 406, 0, "", CodeRateLimited, "the channel or the app is throttled, for an hour to a day", adviceThrottled},
	{WNS, 413, 0, "", CodeTooLarge, "the body is longer than 5000 bytes", adviceShrink},

	// ntfy as a UnifiedPush distributor: its own access rules, which know no VAPID.
	{UnifiedPush, 403, 40301, "", CodeRejected, "the ntfy server does not allow everyone to publish to this topic", "allow anonymous write access to topics that begin with up on the ntfy server: ntfy access everyone 'up*' write-only; VAPID plays no part"},
	{UnifiedPush, 401, 40101, "", CodeRejected, "the ntfy server requires a login to publish to this topic", "allow anonymous write access to topics that begin with up on the ntfy server: ntfy access everyone 'up*' write-only; VAPID plays no part"},
	{UnifiedPush, 403, 0, "", CodeRejected, "the distributor's server does not allow publishing to this endpoint", "check the access rules of the distributor's server; VAPID plays no part"},
	{UnifiedPush, 507, 0, "", CodeUnavailable, "nobody listens on this topic yet", "try again later; do not delete the subscription"},
	{UnifiedPush, 429, 0, "", CodeRateLimited, "the server's request limit is reached", adviceSlow},

	// What any service means by the status alone.
	{"", 0, 0, "public key mismatch", CodeKeyMismatch, "the subscription was made with another application server key", adviceResubscribe},
	{"", 3, 0, "", CodeRedirect, "the endpoint redirects, which push services never need", adviceRedirect},
	{"", 400, 0, "", CodeRejected, "the request is malformed", "see the answer's text"},
	{"", 401, 0, "", CodeVAPIDMissing, "the message is not signed, or its token is refused", adviceVerify},
	{"", 403, 0, "", CodeVAPIDInvalid, "the token is refused, or the subscription was made with another application server key", adviceSub},
	{"", 404, 0, "", CodeGone, "the subscription does not exist", adviceDelete},
	{"", 405, 0, "", CodeRejected, "the address takes no POST: it is no push endpoint", "check the endpoint"},
	{"", 407, 0, "", CodeRejected, "the proxy wants credentials", "write them into the proxy's URL: http://user:password@proxy:3128"},
	{"", 408, 0, "", CodeUnavailable, "the service waited too long for the request", adviceLater},
	{"", 410, 0, "", CodeGone, "the subscription was ended", adviceDelete},
	{"", 413, 0, "", CodeTooLarge, "the body is too long; every service must take 4096 bytes", adviceShrink},
	{"", 415, 0, "", CodeEncryption, "the content coding is not supported", adviceEncoding},
	{"", 429, 0, "", CodeRateLimited, "too many messages", adviceSlow},
	{"", 4, 0, "", CodeRejected, "the request is refused", "see the answer's text"},
	{"", 5, 0, "", CodeUnavailable, "the service has a fault of its own", adviceLater},
}

func (r *rule) matches(s Service, status, errno int, text string) bool {
	switch {
	case r.service != "" && r.service != s,
		r.status > 9 && r.status != status,
		r.status > 0 && r.status <= 9 && r.status != status/100,
		r.errno != 0 && r.errno != errno:
		return false
	}
	return r.text == "" || strings.Contains(text, strings.ToLower(r.text))
}

// Explain says what the answer of a push service to a message means, without
// sending anything. [ExplainAccepted] is for a success, unless its body is a web
// page: Explain then returns an Error with [CodeOtherServer]. header may be nil.
//
// The answers of push services that are not known are read like those of
// autopush, or of Apple, if they have that form: other servers imitate them.
func Explain(service Service, status int, header http.Header, body []byte) *Error {
	e, _ := explain(service, status, header, body)
	return e
}

// ExplainAll says what the answer means where it is not known which push
// service gave it: once for each service that has a meaning of its own for it,
// and for the others as [Other]. Services in whose words the answer is come
// alone.
func ExplainAll(status int, header http.Header, body []byte) []*Error {
	other, general := explain(Other, status, header, body)
	if like := readAnswer(header, body[:min(len(body), maxAnswer)]).like; like != "" {
		return []*Error{Explain(like, status, header, body)}
	}
	var worded, own []*Error
	for _, service := range []Service{Mozilla, FCM, Apple, WNS, UnifiedPush} {
		e, r := explain(service, status, header, body)
		switch {
		case r == nil || r.service == "":
		case r.text != "" || r.errno != 0:
			worded = append(worded, e)
		case r.status < 10 || r.meaning != general.meaning || r.advice != general.advice:
			own = append(own, e)
		}
	}
	if len(worded) > 0 {
		return worded
	}
	return append(own, other)
}

// ExplainReason says what words of a push service mean where the status is not
// known, such as "BadJwtToken", a sentence of a log, or the body of a response: once
// for each service that uses them. Status is 0 if the words can come with more than
// one. It returns nil if no service is known to use them.
func ExplainReason(words string) []*Error {
	a := readAnswer(nil, []byte(words[:min(len(words), maxAnswer)]))
	said := strings.ToLower(strings.TrimSpace(a.all))
	var list []*Error
	seen := make(map[Service]bool)
	find := func(means func(text string) bool) {
		for i := range dictionary {
			r := &dictionary[i]
			service := cmp.Or(r.service, Other)
			if r.text == "" || r.text == "Forbidden" || seen[service] || a.like != "" && r.service != a.like || r.errno != 0 && a.errno != 0 && r.errno != a.errno || !means(strings.ToLower(r.text)) {
				continue
			}
			seen[service] = true
			e := &Error{Service: service, Errno: a.errno, Code: r.code, Reason: a.short, Meaning: r.meaning, hint: r.advice}
			if r.status > 9 {
				e.Status = r.status
			}
			list = append(list, e)
		}
	}
	find(func(text string) bool { return strings.Contains(said, text) })
	if list == nil && len(said) >= 8 { // a part of the words
		find(func(text string) bool { return strings.Contains(text, said) })
	}
	if len(list) > 1 { // the words of a service, not of others like it
		list = slices.DeleteFunc(list, func(e *Error) bool { return e.Service == Other })
	}
	return list
}

// explain returns the rule by which it explains, too, or nil.
func explain(service Service, status int, header http.Header, body []byte) (*Error, *rule) {
	body = body[:min(len(body), maxAnswer)]
	e := &Error{Service: service, Status: status, Header: header, Body: body, RetryAfter: retryAfter(header, time.Now())}
	a := readAnswer(header, body)
	e.Reason, e.Errno = a.short, a.errno
	text := strings.ToLower(a.all)
	switch {
	case service == Other && a.like != "":
		service = a.like
	case service == KaiOS: // an autopush
		service = Mozilla
	}
	for i := range dictionary {
		if r := &dictionary[i]; r.matches(service, status, e.Errno, text) {
			e.Code, e.Meaning, e.hint = r.code, r.meaning, r.advice
			if r.text == "" && r.errno == 0 && !believable(status) && fromOtherServer(header, body) {
				e.otherServer()
				return e, nil
			}
			return e, r
		}
	}
	if fromOtherServer(header, body) {
		e.otherServer()
		return e, nil
	}
	e.Code, e.Meaning, e.hint = CodeRejected, "the answer is not one that a push service gives", "check the endpoint and what stands between here and it"
	return e, nil
}

// ExplainAccepted says what a success means, a status of 2xx. header may be nil.
func ExplainAccepted(service Service, status int, header http.Header) *Receipt {
	return receiptOf(&Subscription{service: service}, nil, status, header)
}

// accepted is what the statuses of success mean.
var accepted = map[int]string{
	http.StatusOK:        "the service accepted the message; WNS and ntfy say it with 200",
	http.StatusCreated:   "the service accepted the message, as RFC 8030 has it",
	http.StatusAccepted:  "the service took the message and will report its delivery, or deliver it later",
	http.StatusNoContent: "the service accepted the message without giving it an address; for a DELETE: the message is canceled",
}

// Meaning says what the status means. It is never that the message was
// delivered: no push service tells that.
func (r *Receipt) Meaning() string {
	if m := accepted[r.Status]; m != "" {
		return m
	}
	return "the service accepted the message"
}

// Checklist names what keeps an accepted message from being shown, the most
// likely first.
func (r *Receipt) Checklist() []string {
	list := []string{
		"the service worker: it must handle push events and call showNotification within event.waitUntil; its errors stand in the browser's console for service workers",
		"the keys: a body encrypted for other keys than the subscription's p256dh and auth is dropped without a word; get the subscription from the browser again",
		"the coding: some browsers read aes128gcm only, and drop aesgcm without a word",
		"userVisibleOnly: a push that shows nothing costs the site its permission, at Apple at once",
		"the system: notifications of the browser allowed, no focus mode or do not disturb, for the site too",
		"the device: it must be online before the TTL ends; with TTL 0 at this moment; a low urgency waits for power or Wi-Fi",
		"the topic: a newer message of the same topic has replaced this one, and a tag replaces a notification without a sound",
	}
	switch r.Service {
	case Apple:
		return append(list, "iOS and iPadOS: the site must be on the Home Screen, and opened from there to subscribe")
	case WNS:
		return append(list, "the headers X-WNS-Status and X-WNS-NotificationStatus: dropped or channelthrottled means that it does not arrive")
	case UnifiedPush:
		return append(list, "the distributor: its app must run and not be stopped by the battery saver")
	}
	return list
}

var (
	htmlTitle = regexp.MustCompile(`(?is)<title>(.*?)</title>`)
	htmlTag   = regexp.MustCompile(`(?s)<[^>]*>`)
)

// answer is what a service says in its own words.
type answer struct {
	short string  // to show, on one line
	errno int     // the service's own number, or 0
	all   string  // all the text, to look through
	like  Service // whose form the answer has, or ""
}

func readAnswer(header http.Header, body []byte) answer {
	var a answer
	var texts []string
	for _, name := range []string{"X-Wns-Error-Description", "X-Wns-Notificationstatus", "X-Wns-Status"} {
		if v := header.Get(name); v != "" {
			texts = append(texts, v)
		}
	}
	whole := strings.TrimSpace(string(body))
	var members map[string]json.RawMessage
	switch {
	case strings.HasPrefix(whole, "{") && json.Unmarshal(body, &members) == nil:
		texts = append(texts, a.readJSON(members)...)
		a.all = whole
	case strings.HasPrefix(whole, "<"):
		title := whole
		if m := htmlTitle.FindStringSubmatch(whole); m != nil {
			title = m[1]
		}
		texts = append(texts, html.UnescapeString(htmlTag.ReplaceAllString(title, " ")))
		a.all = whole
	case whole != "":
		texts = append(texts, whole)
	}
	a.all += "\n" + strings.Join(texts, "\n")
	a.short = text.OneLine(strings.Join(texts, "; "), 300)
	if a.errno != 0 {
		a.short = strings.TrimSuffix("errno "+strconv.Itoa(a.errno)+": "+a.short, ": ")
	}
	return a
}

// readJSON reads the members that services use, each of which may be missing
// or of another kind: Apple's reason, autopush's errno and message, ntfy's
// code and error, and the error object of Google's newer services.
func (a *answer) readJSON(members map[string]json.RawMessage) (texts []string) {
	get := func(from map[string]json.RawMessage, name string) (s string) {
		_ = json.Unmarshal(from[name], &s)
		return s
	}
	number := func(name string) (n int) {
		if json.Unmarshal(members[name], &n) != nil {
			return 0
		}
		return n
	}
	if s := get(members, "reason"); s != "" {
		texts, a.like = append(texts, s), Apple
	}
	if s := get(members, "message"); s != "" {
		texts = append(texts, s)
	}
	if _, ok := members["errno"]; ok {
		a.errno, a.like = number("errno"), Mozilla
	} else if n := number("code"); n > 999 { // else it is the status
		a.errno = n
		if _, ok := members["http"]; ok { // ntfy
			a.like = UnifiedPush
		}
	}
	var inner map[string]json.RawMessage
	switch {
	case len(texts) > 0:
	case get(members, "error") != "":
		texts = append(texts, get(members, "error"))
	case json.Unmarshal(members["error"], &inner) == nil:
		for _, name := range []string{"status", "message"} {
			if s := get(inner, name); s != "" {
				texts = append(texts, s)
			}
		}
	}
	return texts
}

// Hint returns the next step for a code, whatever the push service, or "".
// [Error.Hint] may know a better one.
func (c Code) Hint() string {
	switch c {
	case CodeGone:
		return adviceDelete
	case CodeKeyMismatch:
		return adviceResubscribe
	case CodeVAPIDAudience:
		return adviceAud
	case CodeVAPIDMissing:
		return adviceSign
	case CodeTooLarge:
		return adviceShrink
	case CodeRateLimited:
		return adviceSlow
	case CodeUnavailable:
		return adviceLater
	}
	return ""
}
