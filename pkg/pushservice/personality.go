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
	// Strict is the default: it checks everything and says what is wrong, in
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
	// Apple is Safari's push service: it requires a token with every message,
	// whose sub has a public domain, aes128gcm, a TTL above 0, as its
	// documentation is said to require, and a Topic that is base64url; it
	// responds with {"reason": "…"} and has no Location.
	Apple Personality = "apple"
	// WNS is Windows Push Notification Services, Edge's push service: its
	// responses have X-WNS-* headers and no body, it requires an
	// X-WNS-Cache-Policy that goes with TTL and a Content-Length, which chunked
	// bodies lack, accepts bodies of up to 5000 bytes, and throttles with 406.
	WNS Personality = "wns"
)

// Personalities lists the names of all but Strict.
func Personalities() []string {
	var names []string
	for _, p := range personalities() {
		if p.name != Strict {
			names = append(names, string(p.name))
		}
	}
	return names
}

// personalities are all that a service can have.
func personalities() []*personality {
	return []*personality{strict(), mozilla(), fcm(), apple(), wns()}
}

// personalityOf returns that of a name, or false.
func personalityOf(name Personality) (*personality, bool) {
	for _, p := range personalities() {
		if p.name == name {
			return p, true
		}
	}
	return strict(), false
}

// personality is everything in which one push service differs from the others.
// Each is a value in a file of its own, which changes fields of the one that
// strict returns.
type personality struct {
	name    Personality
	maxBody int           // size of the largest body, in bytes
	maxTTL  time.Duration // how long messages are kept

	// path returns the path of a new endpoint, which nobody can guess.
	path func(restricted bool) string
	// owns reports whether a path, in segments, has the form of its endpoints.
	owns func(parts []string) bool
	// needsToken is whether it refuses messages without a token even for a
	// subscription without a key.
	needsToken bool
	// noToken is what it says if a restricted subscription's message has none.
	noToken string
	// leeway is how long ago exp can be.
	leeway time.Duration
	// anyLifetime is whether exp can be later than 24 hours from now.
	anyLifetime bool
	// ignores reports whether it accepts a token with this problem.
	ignores func(part string, advice bool) bool
	// authorization applies its own rules for the form of the Authorization
	// header, before all others.
	authorization func(value string) error
	// header changes a message's header before it is read.
	header func(http.Header) http.Header
	// check applies its own rules to a message that is right by the RFCs.
	check func(r *http.Request, m *AcceptedMessage) error
	// receipts is whether it offers receipts (RFC 8030, section 5.1).
	receipts bool
	// preflights is whether pages may send messages with fetch().
	preflights bool
	// forgetsBatches is whether acknowledged messages without a topic are
	// forgotten only when everything on the way to a user agent is acknowledged.
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

// statusOf is the status code of that response.
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
		ignores:       func(_ string, advice bool) bool { return advice },
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
			answer := *e
			answer.Status = status
			writeJSON(w, status, &answer)
		},
	}
}

func setTTL(h http.Header, m *AcceptedMessage) { h.Set("TTL", fmt.Sprint(int64(m.TTL/time.Second))) }

// ignoresSub ignores what is wrong with sub, which most push services do not
// look at.
func ignoresSub(part string, advice bool) bool { return advice || part == "sub" }

// writeText writes a body that is not JSON.
func writeText(w http.ResponseWriter, status int, contentType, body string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	// An error is that the client went away.
	_, _ = w.Write([]byte(body))
}

func writeEmpty(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// endpointKey is the part of a request's URL that names the endpoint.
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
