package webpush

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// Code is the reason why a message was not accepted, independent of the push
// service.
type Code string

// The codes of an [Error].
const (
	CodeGone          Code = "gone"               // the subscription ended: delete it
	CodeKeyMismatch   Code = "vapid_key_mismatch" // the subscription was made with another key: subscribe again
	CodeVAPIDMissing  Code = "vapid_missing"      // the push must be signed
	CodeVAPIDInvalid  Code = "vapid_invalid"      // signature or claims are refused
	CodeVAPIDAudience Code = "vapid_audience"     // aud is not the service's origin
	CodeVAPIDExpired  Code = "vapid_expired"      // exp is past
	CodeVAPIDLifetime Code = "vapid_lifetime"     // exp is more than 24 hours ahead
	CodeVAPIDFormat   Code = "vapid_format"       // header or key are not readable
	CodeTopic         Code = "topic"              // the Topic is refused
	CodeTTL           Code = "ttl"                // the TTL is missing or refused
	CodeUrgency       Code = "urgency"            // the Urgency is refused
	CodeEncryption    Code = "encryption"         // body or encryption headers are refused
	CodeTooLarge      Code = "too_large"          // the body is too long
	CodeRateLimited   Code = "rate_limited"       // too many messages
	CodeUnavailable   Code = "unavailable"        // internal error of the service
	CodeOtherServer   Code = "other_server"       // a web server responded, not the push service
	CodeRedirect      Code = "redirect"           // a redirect, which is never followed
	CodeRejected      Code = "rejected"           // rejected for another reason
	CodeNetwork       Code = "network"            // no response
	CodeRefused       Code = "refused"            // not sent: this side's own rules forbid the endpoint
)

// rule is an entry of the dictionary of responses: the parts that must match,
// and the meaning. The first match counts, so specific rules precede general
// ones.
type rule struct {
	service Service // "" is any
	status  int     // 0 is any; 4 and 5 are 4xx and 5xx, 3 is 3xx
	errno   int     // 0 is any
	text    string  // part of the reason, the message, or an X-WNS- header, in any case; "" is any

	code    Code
	meaning string
	advice  string
}

const (
	adviceResubscribe = "subscribe this user agent again with the current application server key, or sign with the key that it subscribed with; the key of a subscription cannot be changed"
	adviceDelete      = "delete the subscription"
	adviceAud         = "aud must be the endpoint's origin: omit it to use that"
	adviceClock       = "sign a new token with exp about 12 hours ahead, and check the clock of this machine"
	adviceSub         = "check sub first: a mailto: or https: address at a real public domain, not localhost, .local or an IP address; then aud, exp and the clock"
	adviceSign        = "sign the message with an application server key"
	adviceK           = "send k as the key of 65 bytes in base64url without padding"
	adviceHeader      = "send Authorization: vapid t=TOKEN, k=KEY"
	adviceMozilla     = "check aud first: it must be the endpoint's origin, with its port if that is not the default; then exp, a whole number at most 24 hours ahead of the correct time; then that k is the public key of the signing key; sub does not matter here"
	adviceThrottled   = "wait for an hour to a day, then send fewer messages to this channel"
	adviceVerify      = "verify the token: its form, signature, aud, exp, and sub"
	adviceShrink      = "send a shorter payload, or a link to it"
	adviceEncoding    = "encrypt with aes128gcm, and send the body with its headers"
	adviceLater       = "try again later"
	adviceSlow        = "send more slowly, and not before the time in Retry-After"
	adviceRedirect    = "the endpoint is wrong, or something between this machine and the push service interferes"
	adviceWNSPolicy   = "X-WNS-Cache-Policy must be cache with a TTL above 0 and no-cache with TTL 0"
)

var dictionary = []rule{
	// Mozilla: autopush's error numbers.
	{Mozilla, 401, 0, "public key mismatch", CodeKeyMismatch, "the subscription was created with another application server key", adviceResubscribe},
	{Mozilla, 401, 0, "invalid vapid audience", CodeVAPIDAudience, "aud of the token is not this push service", adviceAud},
	{Mozilla, 401, 0, "expiration is too long", CodeVAPIDLifetime, "exp of the token is more than 24 hours ahead", adviceClock},
	{Mozilla, 401, 0, "expiredsignature", CodeVAPIDExpired, "exp of the token is past", adviceClock},
	{Mozilla, 401, 0, "missing vapid public key", CodeVAPIDMissing, "the message is not signed, or the service finds no k in the Authorization header: it accepts only commas between parameters", adviceSign + ": Authorization: vapid t=TOKEN, k=KEY"},
	{Mozilla, 401, 0, "missing vapid token", CodeVAPIDMissing, "the Authorization header has no parameter t, the token", adviceHeader},
	{Mozilla, 401, 0, "missing required aud", CodeVAPIDAudience, "aud is missing in the token", adviceAud},
	{Mozilla, 401, 0, "missing required exp", CodeVAPIDInvalid, "exp is missing in the token", adviceClock},
	{Mozilla, 401, 0, "missing required sub", CodeVAPIDInvalid, "sub is missing in the token", adviceSub},
	{Mozilla, 401, 0, "invalid vapid public key: invalid", CodeVAPIDFormat, "k in the Authorization header is not base64url", adviceK + ", without quotation marks"},
	{Mozilla, 401, 0, "invalid vapid public key", CodeVAPIDFormat, "the application server key in the header is not a point on P-256", adviceK},
	{Mozilla, 401, 0, "base64 error", CodeVAPIDFormat, "a part of the token is not base64url", adviceVerify},
	{Mozilla, 401, 0, "invalid symbol", CodeVAPIDFormat, "k or the token in the Authorization header is not base64url", adviceHeader + ", without quotation marks"},
	{Mozilla, 401, 0, "invalid last symbol", CodeVAPIDFormat, "k or the token in the Authorization header is not base64url, or truncated", adviceHeader + ", without quotation marks"},
	{Mozilla, 401, 0, "unknown auth scheme", CodeVAPIDFormat, "the Authorization header has an unknown scheme", "use the scheme vapid"},
	{Mozilla, 401, 0, "vapid claims", CodeVAPIDInvalid, "a claim is missing or has the wrong type", "aud and sub must be strings and exp a whole number; verify the token"},
	{Mozilla, 401, 0, "missing authorization header", CodeVAPIDInvalid, "the token is missing, or any part of it is rejected", adviceVerify},
	{Mozilla, 401, 109, "", CodeVAPIDInvalid, "the token's signature or claims are rejected", adviceMozilla},
	{Mozilla, 401, 0, "", CodeVAPIDInvalid, "the token's signature or claims are rejected", adviceMozilla},
	{Mozilla, 400, 0, "gzip header", CodeEncryption, "the body has Content-Encoding: gzip, so the service decompresses it before it reads it", adviceEncoding},
	{Mozilla, 400, 0, "payload reached eof", CodeEncryption, "the body is compressed, or shorter than its header says: the service decompresses it before it reads it", adviceEncoding},
	{Mozilla, 400, 101, "", CodeEncryption, "the encryption headers are missing", adviceEncoding},
	{Mozilla, 400, 110, "content-encoding", CodeEncryption, "Content-Encoding is missing or not aes128gcm or aesgcm", adviceEncoding},
	{Mozilla, 400, 110, "'dh'", CodeEncryption, "an aes128gcm body came with the aesgcm header Crypto-Key: dh=", adviceEncoding},
	{Mozilla, 400, 110, "p256ecdsa", CodeVAPIDFormat, "the draft's scheme WebPush needs Crypto-Key: p256ecdsa=", "use the scheme vapid"},
	{Mozilla, 400, 110, "", CodeEncryption, "the encryption headers are rejected", adviceEncoding},
	{Mozilla, 400, 111, "crypto", CodeEncryption, "the encryption headers are missing", adviceEncoding},
	{Mozilla, 400, 0, "missing ttl", CodeTTL, "the TTL header is missing or not a number", "send TTL, in whole seconds"},
	{Mozilla, 400, 111, "", CodeTTL, "the TTL header is missing or not a number", "send TTL, in whole seconds"},
	{Mozilla, 400, 112, "", CodeTTL, "the TTL is rejected", "send TTL, in whole seconds"},
	{Mozilla, 400, 113, "", CodeTopic, "the topic is longer than 32 characters or contains characters other than letters, digits, -, and _", "use 1 to 32 of A-Z a-z 0-9 - _"},
	{Mozilla, 400, 114, "", CodeTTL, "the TTL is negative", "send a TTL of 0 or more seconds"},
	{Mozilla, 400, 106, "", CodeRejected, "the subscription belongs to an app that is unknown to the service", adviceDelete},
	{Mozilla, 400, 108, "", CodeRejected, "the subscription's router type is unknown", adviceDelete},
	{Mozilla, 404, 102, "", CodeGone, "the endpoint is not valid: its token is damaged or from another service", "delete the subscription; if it is new, the endpoint was truncated when it was stored"},
	{Mozilla, 410, 103, "", CodeGone, "the user agent is no longer known", adviceDelete},
	{Mozilla, 410, 105, "", CodeGone, "the user agent disconnected while the message was being accepted", adviceDelete},
	{Mozilla, 410, 106, "", CodeGone, "the subscription was removed", adviceDelete},
	{Mozilla, 413, 104, "reached size limit", CodeTooLarge, "the body is longer than the service accepts for any user agent", adviceShrink},
	{Mozilla, 413, 104, "", CodeTooLarge, fmt.Sprintf("the payload is too large for this user agent; Firefox for Android accepts bodies of at most about %d to %d bytes", AndroidBody, AndroidMaxBody), "send a shorter payload without padding, or limit the size of the body"},
	{Mozilla, 502, 900, "", CodeUnavailable, "the bridge to Android is misconfigured", adviceLater},
	{Mozilla, 502, 901, "", CodeUnavailable, "the bridge to Android refused the service's own credentials", adviceLater},
	{Mozilla, 502, 902, "", CodeUnavailable, "the bridge to Android could not be reached", adviceLater},
	{Mozilla, 502, 903, "", CodeUnavailable, "the bridge to Android did not respond in time", adviceLater},
	{Mozilla, 502, 0, "", CodeUnavailable, "the bridge to Android has failed", adviceLater},
	{Mozilla, 5, 201, "", CodeUnavailable, "the service could not store the message", adviceLater},
	{Mozilla, 503, 202, "", CodeUnavailable, "the service could not store the message at the moment", "try again immediately"},
	{Mozilla, 5, 999, "", CodeUnavailable, "the service has failed for an unknown reason", adviceLater},

	// Apple: the reason in its JSON.
	{Apple, 0, 0, "VapidPkHashMismatch", CodeKeyMismatch, "the subscription was created with another application server key", adviceResubscribe},
	{Apple, 0, 0, "BadJwtToken", CodeVAPIDInvalid, "the token is rejected: sub, aud, exp or the signature", adviceSub},
	{Apple, 0, 0, "BadVapidPublicKey", CodeVAPIDFormat, "the application server key in the header is not readable", adviceK},
	{Apple, 0, 0, "BadAuthorizationHeader", CodeVAPIDFormat, "the Authorization header is not readable", adviceHeader},
	{Apple, 0, 0, "BadWebPushTopic", CodeTopic, "Apple decodes the topic as base64url, which never has this length: 5, 9, 13, and so on up to 29 characters are rejected", "use a topic with another number of characters"},
	{Apple, 0, 0, "BadWebPushRequest", CodeEncryption, "the body or the encoding is rejected", adviceEncoding},
	{Apple, 0, 0, "BadTtl", CodeTTL, "the TTL is rejected", "send a TTL above 0"},
	{Apple, 0, 0, "BadUrgency", CodeUrgency, "the urgency is rejected", "send very-low, low, normal, or high"},
	{Apple, 4, 0, "BadPath", CodeGone, "the endpoint is not valid", "delete the subscription; if it is new, the endpoint was truncated when it was stored"},
	{Apple, 4, 0, "Unregistered", CodeGone, "the subscription was removed", adviceDelete},
	{Apple, 4, 0, "ExpiredToken", CodeGone, "the subscription has expired", adviceDelete},
	{Apple, 0, 0, "MethodNotAllowed", CodeRejected, "the request was not a POST", "send a POST"},
	{Apple, 0, 0, "PayloadTooLarge", CodeTooLarge, "the body is longer than 4096 bytes", adviceShrink},
	{Apple, 0, 0, "TooManyRequests", CodeRateLimited, "too many messages for this subscription", adviceSlow},
	{Apple, 0, 0, "IdleTimeout", CodeUnavailable, "the connection was idle for too long", adviceLater},
	{Apple, 0, 0, "Shutdown", CodeUnavailable, "the service is shutting down", adviceLater},
	{Apple, 0, 0, "ServiceUnavailable", CodeUnavailable, "the service is not available", adviceLater},
	{Apple, 0, 0, "InternalServerError", CodeUnavailable, "the service has an internal error", adviceLater},
	{Apple, 403, 0, "Forbidden", CodeVAPIDInvalid, "the push is not allowed", adviceSub},

	// FCM: plain text or a page.
	{FCM, 0, 0, "do not correspond to the credentials", CodeKeyMismatch, "the subscription was created with another application server key", adviceResubscribe},
	{FCM, 0, 0, "does not correspond to the sender", CodeKeyMismatch, "the subscription was created with another application server key; no Firebase key is involved", adviceResubscribe},
	{FCM, 0, 0, "MismatchSenderId", CodeKeyMismatch, "the subscription was created with another application server key; no Firebase key is involved", adviceResubscribe},
	{FCM, 4, 0, "NotRegistered", CodeGone, "the subscription was removed", adviceDelete},
	{FCM, 0, 0, "UnauthorizedRegistration", CodeVAPIDMissing, "the message is not signed, or not with VAPID", adviceSign},
	{FCM, 0, 0, "sender is not authenticated", CodeVAPIDMissing, "the message is not signed, or not with VAPID", adviceSign},
	{FCM, 0, 0, "had no public application server key", CodeVAPIDFormat, "the header has no application server key", adviceHeader},
	{FCM, 0, 0, "had empty public application server key", CodeVAPIDFormat, "the application server key in the header is empty", adviceHeader},
	{FCM, 0, 0, "had invalid format", CodeVAPIDFormat, "the header is not readable", adviceHeader},
	{FCM, 0, 0, "must be base64 encoded", CodeVAPIDFormat, "the application server key is not base64url without padding", adviceK},
	{FCM, 0, 0, "base64url-encoded", CodeVAPIDFormat, "the application server key is not base64url without padding", adviceK},
	{FCM, 0, 0, "public key must be 65 bytes", CodeVAPIDFormat, "the application server key is not 65 bytes long", adviceK},
	{FCM, 0, 0, "uncompressed form", CodeVAPIDFormat, "the application server key is compressed", adviceK},
	{FCM, 0, 0, "must be on the p-256 curve", CodeVAPIDFormat, "the application server key is not a point on P-256", "sign with a key pair on P-256"},
	{FCM, 0, 0, "invalid jwt", CodeVAPIDInvalid, "the token's signature is rejected", adviceVerify},
	{FCM, 0, 0, "aud claim", CodeVAPIDAudience, "aud of the token is not this push service", adviceAud},
	{FCM, 0, 0, "exp claim must not be more than 24 hours", CodeVAPIDLifetime, "exp of the token is more than 24 hours ahead", adviceClock},
	{FCM, 0, 0, "exp claim is missing", CodeVAPIDInvalid, "exp is missing in the token", adviceClock},
	{FCM, 0, 0, "token has expired", CodeVAPIDExpired, "exp of the token is past", adviceClock},
	{FCM, 400, 0, "InvalidTokenFormat", CodeRejected, "the endpoint is damaged", "the endpoint was truncated or changed when it was stored"},
	{FCM, 400, 0, "", CodeRejected, "the request is malformed, or its body is longer than 4096 bytes", "see the text of the response; send a shorter payload if it is near the limit"},
	{FCM, 404, 0, "valid push subscription endpoint", CodeGone, "the endpoint is damaged, or was not used for 270 days", adviceDelete},
	{FCM, 410, 0, "", CodeGone, "the subscription was removed", adviceDelete},
	{FCM, 429, 0, "", CodeRateLimited, "too many messages, for this device or from this sender", adviceSlow},
	{FCM, 413, 0, "", CodeTooLarge, "the body is longer than 4096 bytes", adviceShrink},

	// WNS: empty bodies, the reason in headers.
	{WNS, 0, 0, "conflicts with x-wns-cache-policy", CodeTTL, "the TTL and X-WNS-Cache-Policy contradict each other", adviceWNSPolicy},
	{WNS, 400, 0, "", CodeRejected, "a header is missing or contradicts another", adviceWNSPolicy},
	{WNS, 401, 0, "", CodeVAPIDInvalid, "the token is rejected, or the subscription is old", "verify the token; if other messages are accepted, subscribe this user agent again"},
	{WNS, 403, 0, "", CodeKeyMismatch, "the sender is not the one that the subscription was created for", adviceResubscribe},
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

	// The meaning of the status alone, for any push service.
	{"", 0, 0, "public key mismatch", CodeKeyMismatch, "the subscription was created with another application server key", adviceResubscribe},
	{"", 3, 0, "", CodeRedirect, "the endpoint redirects, which push services never do", adviceRedirect},
	{"", 400, 0, "", CodeRejected, "the request is malformed", "see the text of the response"},
	{"", 401, 0, "", CodeVAPIDMissing, "the message is not signed, or its token is rejected", adviceVerify},
	{"", 403, 0, "", CodeVAPIDInvalid, "the token is rejected, or the subscription was created with another application server key", adviceSub},
	{"", 404, 0, "", CodeGone, "the subscription does not exist", adviceDelete},
	{"", 405, 0, "", CodeRejected, "the URL does not accept POST: it is not a push endpoint", "check the endpoint"},
	{"", 407, 0, "", CodeRejected, "the proxy requires credentials", "put them in the proxy's URL: http://user:password@proxy:3128"},
	{"", 408, 0, "", CodeUnavailable, "the service waited too long for the request", adviceLater},
	{"", 410, 0, "", CodeGone, "the subscription was removed", adviceDelete},
	{"", 413, 0, "", CodeTooLarge, "the body is too long; every push service must accept 4096 bytes", adviceShrink},
	{"", 415, 0, "", CodeEncryption, "the content encoding is not supported", adviceEncoding},
	{"", 429, 0, "", CodeRateLimited, "too many messages", adviceSlow},
	{"", 4, 0, "", CodeRejected, "the request is rejected", "see the text of the response"},
	{"", 5, 0, "", CodeUnavailable, "the service has an internal error", adviceLater},
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

// Explain explains a push service's response to a message, without sending
// anything. Use [ExplainAccepted] for a success, unless its body is a web page:
// Explain then returns an Error with [CodeOtherServer]. header may be nil.
//
// Responses of unknown push services are read like responses of autopush or
// Apple if they have that form, because other servers imitate them.
func Explain(service Service, status int, header http.Header, body []byte) *Error {
	e, _ := explain(service, status, header, body)
	return e
}

// ExplainAll explains a response from an unknown push service. It returns one
// Error for each push service that gives the response a specific meaning, and
// one with Service [Other] for the rest. If the wording identifies push
// services, only those are returned.
func ExplainAll(status int, header http.Header, body []byte) []*Error {
	other, general := explain(Other, status, header, body)
	if like := readWords(header, body[:min(len(body), maxBody)]).like; like != "" {
		return []*Error{Explain(like, status, header, body)}
	}
	var worded, own []*Error
	for _, service := range Services() {
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
// known, such as "BadJwtToken", "errno 109", a sentence of a log, or the body of a
// response: once for each service that uses them, or for each status that comes with an
// error number alone. Status is 0 if the words can come with more than one. It returns
// nil if no service is known to use them.
func ExplainReason(words string) []*Error {
	a := readWords(nil, []byte(words[:min(len(words), maxBody)]))
	said := strings.ToLower(strings.TrimSpace(a.all))
	list := a.find(func(r *rule) bool { return r.text != "" && strings.Contains(said, strings.ToLower(r.text)) })
	if list == nil && len(said) >= 8 && strings.Contains(said, " ") { // a part of the words
		list = a.find(func(r *rule) bool { return strings.Contains(strings.ToLower(r.text), said) })
	}
	if list == nil && a.errno != 0 {
		return a.find(func(r *rule) bool { return r.text == "" && r.errno == a.errno })
	}
	seen := make(map[Service]bool)
	list = slices.DeleteFunc(list, func(e *Error) bool { // the first meaning for each service
		again := seen[e.Service]
		seen[e.Service] = true
		return again
	})
	if len(list) > 1 { // the words of a service, not of others like it
		list = slices.DeleteFunc(list, func(e *Error) bool { return e.Service == Other })
	}
	return list
}

// appleStatus maps Apple's reasons in the dictionary to the status that comes with each.
var appleStatus = map[string]int{
	"BadTtl": 400, "BadUrgency": 400, "BadWebPushTopic": 400, "BadWebPushRequest": 400, "BadAuthorizationHeader": 400,
	"VapidPkHashMismatch": 400, "BadVapidPublicKey": 400, "BadJwtToken": 403, "Forbidden": 403, "BadPath": 404,
	"MethodNotAllowed": 405, "Unregistered": 410, "ExpiredToken": 410, "PayloadTooLarge": 413, "TooManyRequests": 429,
	"InternalServerError": 500, "ServiceUnavailable": 503, "Shutdown": 503, "IdleTimeout": 400,
}

// AppleStatus returns the HTTP status with which Apple sends a reason, such as 410 for
// "Unregistered", or 0 if the reason is not known.
func AppleStatus(reason string) int { return appleStatus[reason] }

// find returns what the words mean by each rule that means reports, except those that
// the form or the error number of the words excludes.
func (a *words) find(means func(*rule) bool) (list []*Error) {
	for i := range dictionary {
		r := &dictionary[i]
		switch {
		case a.like != "" && r.service != a.like, r.errno != 0 && a.errno != 0 && r.errno != a.errno,
			r.text == "Forbidden", // the phrase of a status
			!means(r):
			continue
		}
		e := &Error{Service: cmp.Or(r.service, Other), Errno: a.errno, Code: r.code, Reason: a.short, Problem: r.meaning, hint: r.advice}
		if r.status > 9 {
			e.Status = r.status
		}
		list = append(list, e)
	}
	return list
}

// explain also returns the rule that it used, or nil.
func explain(service Service, status int, header http.Header, body []byte) (*Error, *rule) {
	body = body[:min(len(body), maxBody)]
	e := &Error{Service: service, Status: status, Header: header, Body: body, RetryAfter: retryAfter(header, time.Now())}
	a := readWords(header, body)
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
			e.Code, e.Problem, e.hint = r.code, r.meaning, r.advice
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
	e.Code, e.Problem, e.hint = CodeRejected, "the response is not from a push service", "check the endpoint and the network path to it"
	return e, nil
}

// ExplainAccepted explains a success, a status of 2xx. header may be nil.
func ExplainAccepted(service Service, status int, header http.Header) *Receipt {
	return receiptOf(&Subscription{service: service}, nil, status, header)
}

// accepted maps statuses of success to their meaning.
var accepted = map[int]string{
	http.StatusOK:        "the service accepted the message; WNS and ntfy say it with 200",
	http.StatusCreated:   "the service accepted the message, as RFC 8030 has it",
	http.StatusAccepted:  "the service accepted the message and will report its delivery, or deliver it later",
	http.StatusNoContent: "the service accepted the message without giving it an address; for a DELETE: the message is canceled",
}

// Meaning returns the meaning of the status. It never says that the message was
// delivered: push services do not report delivery.
func (r *Receipt) Meaning() string {
	if m := accepted[r.Status]; m != "" {
		return m
	}
	return "the service accepted the message"
}

// Checklist returns the possible reasons why an accepted message is not shown,
// the most likely first.
func (r *Receipt) Checklist() []string {
	list := []string{
		"the service worker: it must handle push events and call showNotification within event.waitUntil; its errors are in the browser's console for service workers",
		"the keys: a body encrypted for other keys than the subscription's p256dh and auth is silently dropped; get the subscription from the browser again",
		"the content encoding: some browsers read only aes128gcm and silently drop aesgcm",
		"userVisibleOnly: a message that shows nothing costs the site its permission, immediately with Apple",
		"the system: notifications of the browser allowed, no focus mode or do not disturb, for the site too",
		"the device: it must be online before the TTL expires (with TTL 0: now); a low urgency waits for power or Wi-Fi",
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
	htmlTitle = pattern.New(`(?is)<title>(.*?)</title>`)
	htmlTag   = pattern.New(`(?s)<[^>]*>`)
	// errnoText is an error number of autopush as the beginning of a text: errno 109
	errnoText = pattern.New(`^(?i:errno)[\s"':=]{0,3}([1-9]\d\d)(?:$|[\s:,;]+)`)
)

// words holds the parts of a response in the service's own words.
type words struct {
	short string  // text to show, on one line
	errno int     // the service's own number, or 0
	all   string  // all the text, to look through
	like  Service // push service whose form the response has, or ""
}

func readWords(header http.Header, body []byte) words {
	var a words
	var texts []string
	for _, name := range []string{"X-Wns-Error-Description", "X-Wns-Notificationstatus", "X-Wns-Status"} {
		if v := header.Get(name); v != "" {
			texts = append(texts, v)
		}
	}
	whole := strings.TrimSpace(string(body))
	var fields map[string]json.RawMessage
	switch {
	case strings.HasPrefix(whole, "{") && json.Unmarshal(body, &fields) == nil:
		texts = append(texts, a.readJSON(fields)...)
		a.all = whole
	case strings.HasPrefix(whole, "<"):
		title := whole
		if m := htmlTitle.FindStringSubmatch(whole); m != nil {
			title = m[1]
		}
		texts = append(texts, html.UnescapeString(htmlTag.ReplaceAllString(title, " ")))
		a.all = whole
	default:
		if m := errnoText.FindStringSubmatch(whole); m != nil {
			a.errno, _ = strconv.Atoi(m[1])
			a.like, whole = Mozilla, strings.TrimSpace(whole[len(m[0]):])
		}
		if whole != "" {
			texts = append(texts, whole)
		}
	}
	a.all += "\n" + strings.Join(texts, "\n")
	a.short = text.OneLine(strings.Join(texts, "; "), 300)
	if a.errno != 0 {
		a.short = strings.TrimSuffix("errno "+strconv.Itoa(a.errno)+": "+a.short, ": ")
	}
	return a
}

// readJSON reads the fields that services use, each of which may be missing or
// of another type: Apple's reason, autopush's errno and message, ntfy's code
// and error, and the error object of Google's newer services.
func (a *words) readJSON(fields map[string]json.RawMessage) (texts []string) {
	get := func(from map[string]json.RawMessage, name string) (s string) {
		_ = json.Unmarshal(from[name], &s)
		return s
	}
	number := func(name string) (n int) {
		if json.Unmarshal(fields[name], &n) != nil {
			return 0
		}
		return n
	}
	if s := get(fields, "reason"); s != "" {
		texts, a.like = append(texts, s), Apple
	}
	if s := get(fields, "message"); s != "" {
		texts = append(texts, s)
	}
	if _, ok := fields["errno"]; ok {
		a.errno, a.like = number("errno"), Mozilla
	} else if n := number("code"); n > 999 { // otherwise it is the status
		a.errno = n
		if _, ok := fields["http"]; ok { // ntfy
			a.like = UnifiedPush
		}
	}
	var inner map[string]json.RawMessage
	switch {
	case len(texts) > 0:
	case get(fields, "error") != "":
		texts = append(texts, get(fields, "error"))
	case json.Unmarshal(fields["error"], &inner) == nil:
		for _, name := range []string{"status", "message"} {
			if s := get(inner, name); s != "" {
				texts = append(texts, s)
			}
		}
	}
	return texts
}

// Hint returns the next step for a code, independent of the push service, or
// "". [Error.Hint] may return a better one.
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
