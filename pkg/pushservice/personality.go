package pushservice

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Personality selects the push service to imitate: its endpoint format, its
// rules beyond RFC 8030 and RFC 8292, and the wording of its responses. It
// affects only application servers, not user agents or the routes under /api,
// except that [Mozilla] also forgets messages as autopush does.
type Personality string

// The personalities.
const (
	// Strict is the default: it checks everything and explains rejections, in
	// Mozilla's JSON form.
	Strict Personality = ""
	// Mozilla is autopush, Firefox's push service: it ignores Urgency, refuses an
	// unknown Content-Encoding with 400 instead of 415, does not require sub,
	// sends no body with 404, has no receipts, accepts bodies of up to 5630
	// bytes, reads Authorization in its own way, and delivers acknowledged
	// messages again after a reconnect.
	Mozilla Personality = "mozilla"
	// FCM is Firebase Cloud Messaging, Chrome's push service: it requires a token
	// with every message, responds with 403 in plain text, and with 400 to a body
	// that is too large, and keeps messages for at most 28 days.
	FCM Personality = "fcm"
	// Apple is Safari's push service: it requires aes128gcm, a token whose sub has a
	// public domain with every message, a TTL above 0 (as its documentation is
	// said to require), and a Topic that decodes as base64url. It responds with
	// {"reason": "…"} and without Location.
	Apple Personality = "apple"
	// WNS is Windows Push Notification Services, Edge's push service: its
	// responses have X-WNS-* headers and no body, it requires an
	// X-WNS-Cache-Policy that is consistent with TTL, and a Content-Length, which
	// chunked bodies lack. It accepts bodies of up to 5000 bytes and throttles with
	// 406.
	WNS Personality = "wns"
)

// Personalities returns the names of all personalities except Strict.
func Personalities() []string {
	var names []string
	for _, p := range personalities() {
		if p.name != Strict {
			names = append(names, string(p.name))
		}
	}
	return names
}

// personalities returns all personalities of a service.
func personalities() []*personality {
	return []*personality{strict(), mozilla(), fcm(), apple(), wns()}
}

// personalityOf returns the personality with a name, or false.
func personalityOf(name Personality) (*personality, bool) {
	for _, p := range personalities() {
		if p.name == name {
			return p, true
		}
	}
	return strict(), false
}

// personality holds the differences between push services. Each is defined in a file
// of its own, which changes fields of the result of strict.
type personality struct {
	name    Personality
	maxBody int           // maximum size of a body, in bytes
	maxTTL  time.Duration // longest time to keep a message

	// path returns the unguessable path of a new endpoint.
	path func(restricted bool) string
	// owns reports whether a path, in segments, has the form of its endpoints.
	owns func(parts []string) bool
	// needsToken makes it refuse messages without a token even to a subscription
	// without a key.
	needsToken bool
	// noToken is its message for a restricted subscription if the token is missing.
	noToken string
	// leeway is the time after exp during which it still accepts a token.
	leeway time.Duration
	// anyLifetime allows an exp later than 24 hours from now.
	anyLifetime bool
	// ignores reports whether it accepts a token with this problem.
	ignores func(part string, warning bool) bool
	// authorization applies its own rules for the form of the Authorization
	// header, before all others.
	authorization func(value string) error
	// header changes a message's headers before they are checked.
	header func(http.Header) http.Header
	// check applies its own rules to a message that is valid according to the RFCs.
	check func(r *http.Request, m *AcceptedMessage) error
	// receipts enables receipts (RFC 8030, section 5.1).
	receipts bool
	// preflights allows pages to send messages with fetch().
	preflights bool
	// forgetsBatches keeps acknowledged messages without a topic until everything
	// on the way to their user agent is acknowledged.
	forgetsBatches bool
	// accepted sets the headers of the response to a message.
	accepted func(h http.Header, origin string, m *AcceptedMessage)
	// status is the status code of its response to a refused message.
	status func(e *Error) int
	// refuse writes that response, after the headers of e.
	refuse func(w http.ResponseWriter, e *Error, status int)
}

// write writes its response to a refused message.
func (p *personality) write(w http.ResponseWriter, e *Error) {
	for name, value := range e.header {
		w.Header().Set(name, value)
	}
	p.refuse(w, e, p.statusOf(e))
}

// statusOf returns the status code of that response.
func (p *personality) statusOf(e *Error) int {
	if e.kind == kindFault {
		return e.Status
	}
	return p.status(e)
}

// strict is the personality of this service itself.
func strict() *personality {
	return &personality{
		name:    Strict,
		maxBody: DefaultMaxBody,
		maxTTL:  DefaultMaxTTL,
		path: func(restricted bool) string {
			if restricted {
				return "/wpush/v2/" + random(tokenSize)
			}
			return "/wpush/v1/" + random(tokenSize)
		},
		owns:          func([]string) bool { return false },
		noToken:       "Missing VAPID token",
		ignores:       func(_ string, warning bool) bool { return warning },
		authorization: func(string) error { return nil },
		header:        func(h http.Header) http.Header { return h },
		check:         func(*http.Request, *AcceptedMessage) error { return nil },
		receipts:      true,
		accepted: func(h http.Header, origin string, m *AcceptedMessage) {
			h.Set("Location", origin+"/m/"+m.ID)
			setTTL(h, m)
		},
		status: func(e *Error) int { return e.Status },
		refuse: func(w http.ResponseWriter, e *Error, status int) {
			response := *e
			response.Status = status
			writeJSON(w, status, &response)
		},
	}
}

func setTTL(h http.Header, m *AcceptedMessage) { h.Set("TTL", fmt.Sprint(int64(m.TTL/time.Second))) }

// ignoresSub ignores problems with sub, which most push services do not check.
func ignoresSub(part string, warning bool) bool { return warning || part == "sub" }

// writeText writes a body that is not JSON.
func writeText(w http.ResponseWriter, status int, contentType, body string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	// Writing fails if the client has disconnected.
	_, _ = w.Write([]byte(body))
}

func writeEmpty(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// endpointKey returns the part of a request's URL that identifies the endpoint.
func endpointKey(u *url.URL) string {
	if u.Path == "/w/" { // WNS has its token in the query
		return u.Path + "?" + u.RawQuery
	}
	return u.Path
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
