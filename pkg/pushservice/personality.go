package pushservice

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Personality is whose ways a service has: the form of its endpoints, its rules
// beyond RFC 8030 and RFC 8292, and the words of its answers. It changes what
// application servers see only; user agents and the routes under /api are
// answered alike by all.
type Personality string

// The personalities.
const (
	// Strict is the default: it checks everything and says what is wrong, as
	// JSON in the form of Mozilla's.
	Strict Personality = ""
	// Mozilla is autopush, Firefox's service: it ignores Urgency, refuses an
	// unknown Content-Encoding with 400 instead of 415, does not ask for sub,
	// sends no body with 404, has no receipts, and takes bodies of up to 5630
	// bytes.
	Mozilla Personality = "mozilla"
	// FCM is Firebase Cloud Messaging, Chrome's service: it wants a token with
	// every message, answers 403 in plain text, and 400 to what is too large, and
	// keeps messages for 28 days at most.
	FCM Personality = "fcm"
	// Apple is Safari's service: it wants a token with every message, whose sub
	// is at a public domain, aes128gcm only, a TTL above 0, as its documentation
	// is said to have it, and a Topic that is base64url; it answers {"reason":
	// "…"} and has no Location.
	Apple Personality = "apple"
	// WNS is Windows Push Notification Services, Edge's service: its answers
	// have no body but X-WNS-* headers, it wants X-WNS-Cache-Policy to go with
	// TTL and a Content-Length, which chunked bodies lack, takes bodies of up to
	// 5000 bytes, and throttles with 406.
	WNS Personality = "wns"
)

// Personalities lists the names of all but Strict.
func Personalities() []string {
	return []string{string(Mozilla), string(FCM), string(Apple), string(WNS)}
}

// testing is that of web-push-testing, which only its own subscriptions have.
const testing Personality = "web-push-testing"

func (p Personality) known() bool {
	return p == Strict || slices.Contains(Personalities(), string(p))
}

// maxBody is the size of the largest body that it takes, in bytes.
func (p Personality) maxBody() int {
	switch p {
	case Mozilla:
		return 5630
	case WNS:
		return 5000
	}
	return DefaultMaxBody
}

// maxTTL is how long it keeps messages.
func (p Personality) maxTTL() time.Duration {
	if p == FCM {
		return 28 * 24 * time.Hour
	}
	return DefaultMaxTTL
}

// path returns that of a new endpoint, which nobody can guess.
func (p Personality) path(restricted bool) string {
	switch p {
	case FCM:
		return "/fcm/send/" + random(8) + ":APA91b" + random(99)
	case Apple:
		return "/Q" + random(tokenSize+18)
	case WNS:
		b := make([]byte, 64)
		rand.Read(b)
		return "/w/?token=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b))
	}
	if restricted {
		return "/wpush/v2/" + random(tokenSize)
	}
	return "/wpush/v1/" + random(tokenSize)
}

// owns reports whether a path, in segments, has the form of its endpoints.
func (p Personality) owns(parts []string) bool {
	switch p {
	case FCM:
		return len(parts) == 3 && parts[0] == "fcm" && parts[1] == "send" || len(parts) == 2 && parts[0] == "wp"
	case Apple:
		return len(parts) == 1 && parts[0] != ""
	case WNS:
		return parts[0] == "w"
	}
	return false
}

// endpointKey is what of a request's URL names the endpoint.
func endpointKey(u *url.URL) string {
	if u.Path == "/w/" { // WNS has its token in the query
		return u.Path + "?" + u.RawQuery
	}
	return u.Path
}

// needsToken reports whether it refuses messages without a token even for a
// subscription that has no key.
func (p Personality) needsToken() bool { return p == FCM || p == Apple }

// ignores reports whether it takes a token with this problem.
func (p Personality) ignores(part string, advice bool) bool {
	switch p {
	case Strict:
		return advice
	case Apple:
		return advice && part != "sub"
	case testing: // it looks at signature and exp
		return part != "signature" && part != "exp" && part != "claims"
	}
	return advice || part == "sub"
}

// check applies the rules that are its own to a message that is right by the
// RFCs.
func (p Personality) check(r *http.Request, m *Message) error {
	switch p {
	case Apple:
		if m.TTL == 0 {
			return badRequest("Invalid TTL value", "found 0, expected 1 or more").as(kindTTL)
		}
		if len(m.Topic)%4 == 1 {
			return badRequest("Invalid Topic header", "%q has %d characters, which no base64 has", m.Topic, len(m.Topic)).as(kindTopic)
		}
		if m.Encoding == aesgcm {
			return badEncryption("Invalid Content-Encoding header", "found aesgcm, expected aes128gcm")
		}
	case WNS:
		if r.ContentLength < 0 {
			return refuse(http.StatusLengthRequired, noErrno, "Missing Content-Length", "a chunked body is not supported")
		}
		policy := strings.ToLower(r.Header.Get("X-WNS-Cache-Policy"))
		if m.TTL == 0 && policy != "no-cache" || m.TTL > 0 && policy == "no-cache" {
			return badRequest("Ttl value conflicts with X-WNS-Cache-Policy.", "").as(kindTTL)
		}
	}
	return nil
}

// accepted sets the headers of the answer to a message.
func (p Personality) accepted(h http.Header, origin string, m *Message) {
	switch p {
	case FCM:
		// The percent sign is not that of an escape.
		h.Set("Location", fmt.Sprintf("%s/0:%d%%%s", origin, m.Time.UnixMicro(), hexID(8)))
	case Apple:
		h.Set("apns-id", uuid())
	case WNS:
		h.Set("X-WNS-Status", "received")
		h.Set("X-WNS-NotificationStatus", "received")
		setWNS(h)
	case testing:
	default:
		h.Set("Location", origin+"/m/"+m.ID)
	}
	if p != Apple && p != WNS {
		h.Set("TTL", fmt.Sprint(int64(m.TTL/time.Second)))
	}
}

func setWNS(h http.Header) {
	h.Set("X-WNS-Msg-ID", strings.ToUpper(hexID(8)))
	h.Set("X-WNS-Debug-Trace", "local")
	h.Set("MS-CV", random(12)+".0")
}

func hexID(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func uuid() string {
	s := strings.ToUpper(hexID(16))
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// status is that of its answer to a message that is refused.
func (p Personality) status(e *Error) int {
	if e.kind == kindFault {
		return e.Status
	}
	switch p {
	case Mozilla:
		if e.kind == kindCoding {
			return http.StatusBadRequest
		}
	case FCM:
		switch {
		case e.kind.isToken():
			return http.StatusForbidden
		case e.kind == kindTooLarge, e.kind == kindCoding:
			return http.StatusBadRequest
		}
	case Apple:
		switch e.kind {
		case kindNoToken, kindToken, kindAudience, kindNoExpires, kindExpired, kindLifetime, kindSubject:
			return http.StatusForbidden
		case kindHeader, kindBadKey, kindMismatch, kindCoding:
			return http.StatusBadRequest
		}
	case WNS:
		switch e.kind {
		case kindMismatch:
			return http.StatusForbidden
		case kindFull:
			return http.StatusNotAcceptable
		case kindCoding:
			return http.StatusBadRequest
		}
	case testing:
		if e.Status < 500 && e.kind != kindGone && e.kind != kindFull {
			return http.StatusBadRequest
		}
	}
	return e.Status
}

// refuse writes its answer to a message that is refused.
func (p Personality) refuse(w http.ResponseWriter, e *Error) {
	h := w.Header()
	for name, value := range e.header {
		h.Set(name, value)
	}
	status := p.status(e)
	text := func(contentType, body string) {
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(status)
		// An error is that the client went away.
		_, _ = w.Write([]byte(body))
	}
	switch p {
	case FCM:
		text("text/plain; charset=utf-8", fcmText(e)+"\n")
	case Apple:
		h.Set("apns-id", uuid())
		writeJSON(w, status, map[string]string{"reason": appleReason(e, status)})
	case WNS:
		setWNS(h)
		h.Set("X-WNS-NotificationStatus", "dropped")
		h.Set("X-WNS-Status", "dropped")
		if status == http.StatusNotAcceptable || status == http.StatusTooManyRequests {
			h.Set("X-WNS-Status", "channelthrottled")
		}
		if e.kind != kindFault {
			h.Set("X-WNS-Error-Description", strings.Map(func(r rune) rune {
				if r < ' ' || r > '~' {
					return '?'
				}
				return r
			}, strings.TrimSuffix(e.Message, ": ")))
		}
		h.Set("Content-Length", "0")
		w.WriteHeader(status)
	case testing:
		if e.kind == kindGone {
			writeJSON(w, status, map[string]string{"reason": "Push subscription has unsubscribed or expired."})
			return
		}
		writeTestingError(w, status, e.Message)
	default:
		if p == Mozilla && status == http.StatusNotFound {
			h.Set("Content-Length", "0")
			w.WriteHeader(status)
			return
		}
		answer := *e
		answer.Status = status
		if p == Mozilla && e.kind == kindExpired {
			answer.Message = "ExpiredSignature"
		}
		writeJSON(w, status, &answer)
	}
}

// fcmText is in the words of FCM, where they are known.
func fcmText(e *Error) string {
	switch e.kind {
	case kindNoToken:
		return "sender is not authenticated."
	case kindHeader:
		return "authorization header had invalid format. authorization header should have the following format: t=jwtToken; k=base64(publicApplicationServerKey)"
	case kindBadKey:
		switch {
		case strings.Contains(e.Message, "expected 65"):
			return "public key must be 65 bytes long"
		case strings.Contains(e.Message, "P-256"):
			return "VAPID public key must be on the P-256 curve"
		}
		return "make sure the public key is base64url-encoded [RFC7515]"
	case kindMismatch:
		return "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions."
	case kindToken, kindSubject:
		return "invalid JWT provided"
	case kindAudience:
		return "aud claim in the token MUST include the origin of the push resource URL"
	case kindNoExpires:
		return "exp claim is missing"
	case kindExpired:
		return "token has expired"
	case kindLifetime:
		return "exp claim MUST NOT be more than 24 hours from the time of the request"
	case kindPath:
		return "A valid push subscription endpoint should be specified in the URL as such: https://fcm.googleapis.com/wp/dHIoDxE7Hdg:APA91b1Zj0kO"
	case kindGone:
		return "push subscription has unsubscribed or expired."
	}
	return e.Message
}

// appleReason is Apple's word.
func appleReason(e *Error, status int) string {
	switch e.kind {
	case kindTTL:
		return "BadTtl"
	case kindUrgency:
		return "BadUrgency"
	case kindTopic:
		return "BadWebPushTopic"
	case kindHeader:
		return "BadAuthorizationHeader"
	case kindBadKey:
		return "BadVapidPublicKey"
	case kindMismatch:
		return "VapidPkHashMismatch"
	}
	switch status {
	case http.StatusForbidden, http.StatusUnauthorized:
		return "BadJwtToken"
	case http.StatusNotFound:
		return "BadPath"
	case http.StatusMethodNotAllowed:
		return "MethodNotAllowed"
	case http.StatusGone:
		return "Unregistered"
	case http.StatusRequestEntityTooLarge:
		return "PayloadTooLarge"
	case http.StatusTooManyRequests:
		return "TooManyRequests"
	case http.StatusServiceUnavailable:
		return "ServiceUnavailable"
	}
	if status >= 500 {
		return "InternalServerError"
	}
	return "BadWebPushRequest"
}
