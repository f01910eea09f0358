package webpush

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Receipt is a push service's response to a message that it accepted (RFC 8030,
// section 5). Accepted does not mean delivered; push services do not report
// delivery.
type Receipt struct {
	// Service and Origin identify the push service that accepted.
	Service Service
	Origin  string
	// Status is 201, or another 2xx.
	Status int
	// Location is the message's own URL, a secret; DELETE cancels the message
	// where the service supports it. It may be empty.
	Location string
	// TTL is the TTL that the service granted, or nil if it did not say. It may
	// be less than requested (RFC 8030 section 5.2).
	TTL *time.Duration
	// ReceiptSubscription is the URL from the Link header of a 202, or empty
	// (RFC 8030 section 5.1).
	ReceiptSubscription string
	// Note describes anything unusual about the acceptance, or is empty.
	Note string
	// Key is the public half of the key that signed, or zero. With
	// [Client].OldKeys, it is the one that the subscription was made with.
	Key vapid.PublicKey
	// Attempts counts the requests, 1 when the first was accepted.
	Attempts int
	// Latency is the duration of the last request.
	Latency time.Duration
}

// ReplacedKey returns the key that signed an accepted message if it is one of
// OldKeys, and the zero key otherwise. The subscription was made with it.
func (c *Client) ReplacedKey(r *Receipt) vapid.PublicKey {
	if vapid.Ring(c.OldKeys).Find(r.Key) == nil {
		return vapid.PublicKey{}
	}
	return r.Key
}

// Error reports why a message was not accepted: the push service's response, or
// the lack of one.
type Error struct {
	// Service and Origin identify the push service that rejected.
	Service Service
	Origin  string
	// Status is the status of the response, or 0 without one.
	Status int
	// Code is the reason, independent of the push service.
	Code Code
	// Reason is the service's own error text, on one line, and Errno its own error
	// number, or 0.
	Reason string
	Errno  int
	// Problem is the meaning of the response, or describes why there is none.
	Problem string
	// RetryAfter is the time that the service asks to wait, or 0.
	RetryAfter time.Duration
	// Skew is the time by which this machine's clock is ahead of the service's
	// (behind if negative), if the difference is at least [MinSkew] and may have
	// caused the response.
	Skew time.Duration
	// Header and Body are the header and body of the response. The body is
	// limited to 4096 bytes, and secrets of the request that it repeats are
	// removed.
	Header http.Header
	Body   []byte
	// Attempts is the number of requests sent.
	Attempts int

	hint  string
	cause error
}

// Error returns the push service, its response, and the meaning of the
// response.
func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString(e.Service.String())
	if e.Origin != "" && (e.Service == Other || e.Status == 0) {
		fmt.Fprintf(&s, " at %s", e.Origin)
	}
	switch {
	case e.Status == 0:
		s.WriteString(" was not asked: ")
		if e.Code == CodeNetwork {
			s.Reset()
			fmt.Fprintf(&s, "no response from %s: ", e.Origin)
		}
	default:
		fmt.Fprintf(&s, " returned %d", e.Status)
		if text := http.StatusText(e.Status); text != "" {
			s.WriteString(" " + text)
		}
		if e.Reason != "" {
			fmt.Fprintf(&s, " (%s)", e.Reason)
		}
		s.WriteString(": ")
	}
	s.WriteString(e.Problem)
	if e.RetryAfter > 0 {
		fmt.Fprintf(&s, "; it asks to wait %v", e.RetryAfter.Round(time.Second))
	}
	if e.Skew != 0 && e.aboutTime(0) {
		s.WriteString("; " + SkewText(e.Skew, "the service's"))
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&s, ", after %d attempts", e.Attempts)
	}
	return s.String()
}

// Unwrap returns the error of the network, if that was the cause.
func (e *Error) Unwrap() error { return e.cause }

// Hint returns the next step to take.
func (e *Error) Hint() string {
	if e.Skew != 0 && e.aboutTime(10*time.Minute) {
		return SkewHint
	}
	return e.hint
}

// aboutTime reports whether a wrong clock may be why a token was refused: it
// is when the service says so, and may be from a difference of least on where
// the service gives no reason.
func (e *Error) aboutTime(least time.Duration) bool {
	switch e.Code {
	case CodeVAPIDExpired, CodeVAPIDLifetime:
		return true
	case CodeVAPIDInvalid, CodeVAPIDMissing:
		return e.Skew.Abs() >= least
	}
	return false
}

// otherKey reports whether the push service says in its own words that the
// subscription was made with another application server key. WNS has only a
// status for it, which may mean other things.
func (e *Error) otherKey() bool { return e.Code == CodeKeyMismatch && e.Service != WNS }

// Gone reports whether the subscription no longer exists and may be deleted:
// for the responses 404 and 410, other 4xx in which a known service says so in
// words, and Chrome's mark of a removed subscription. A web page, a failure of
// a service or of the network, and the legacy GCM service's 404 never mean it.
func (e *Error) Gone() bool { return e.Code == CodeGone }

// TemporaryStatuses names the statuses that mean a temporary failure unless a push service
// says otherwise. WNS also uses 406.
const TemporaryStatuses = "408, 429, 5xx"

// Temporary reports whether the same message may be accepted later: after rate
// limits and after failures of the service or the network.
func (e *Error) Temporary() bool {
	switch e.Code {
	case CodeRateLimited, CodeUnavailable, CodeNetwork, CodeOtherServer:
		return true
	}
	return false
}

// retryable reports whether it is worth trying again at once.
func (e *Error) retryable() bool {
	var permanent *permanentError
	return e.Temporary() && !errors.As(e.cause, &permanent)
}

// maxRetryAfter is the maximum time that a Retry-After can ask for.
const maxRetryAfter = 30 * 24 * time.Hour

// retryAfter reads a Retry-After header: seconds or a date (RFC 9110 section
// 10.2.3), and WNS's own. A date is compared with the service's Date, if
// present, because the local clock may be wrong. Past and invalid values mean
// 0; excessive values are capped.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		v = strings.TrimSpace(h.Get("X-Wns-Continue-After"))
	}
	if v == "" {
		return 0
	}
	var d time.Duration
	if strings.Trim(v, "0123456789.") == "" {
		s, err := strconv.ParseFloat(v, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0
		}
		if s > maxRetryAfter.Seconds() {
			return maxRetryAfter
		}
		d = time.Duration(s * float64(time.Second))
	} else if t, err := http.ParseTime(v); err == nil {
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// receiptOf reads the headers of a success; those of the request, sent, may be nil.
func receiptOf(sub *Subscription, sent http.Header, status int, h http.Header) *Receipt {
	r := &Receipt{Service: sub.service, Origin: sub.origin, Status: status, Location: absolute(sub, h.Get("Location"))}
	var notes []string
	if v := h.Get("Ttl"); v != "" {
		ttl, err := ParseTTL(v)
		if err == nil {
			r.TTL = &ttl
		}
		if asked, unknown := ParseTTL(sent.Get("Ttl")); err == nil && unknown == nil && ttl < asked {
			notes = append(notes, fmt.Sprintf("the service keeps the message for only %d seconds, and not %d as requested", ttl/time.Second, asked/time.Second))
		}
	}
	for _, link := range h.Values("Link") {
		if target := linkTo(link, "urn:ietf:params:push:receipt"); target != "" {
			r.ReceiptSubscription = absolute(sub, target)
		}
	}
	if sub.service == WNS {
		for _, name := range []string{"X-Wns-Notificationstatus", "X-Wns-Status"} {
			if v := h.Get(name); v != "" && !strings.EqualFold(v, "received") {
				notes = append(notes, "WNS accepted the message but reports it as "+text.OneLine(v, 40)+": it will not arrive")
				break
			}
		}
	}
	if status == http.StatusAccepted && r.ReceiptSubscription == "" {
		notes = append(notes, "the service accepted the message for later processing")
	}
	r.Note = strings.Join(notes, "; ")
	return r
}

// receipt reads the response of a success, or returns an error if the body
// reports a failure.
func receipt(sub *Subscription, msg *Message, sent http.Header, status int, h http.Header, body []byte) (*Receipt, *Error) {
	r := receiptOf(sub, sent, status, h)
	if fromOtherServer(h, body) {
		return nil, Explain(sub.service, status, h, body)
	}
	if msg.GCM != nil {
		var result struct {
			Failure int
			Results []struct{ Error string }
		}
		if json.Unmarshal(body, &result) == nil && result.Failure > 0 {
			e := Explain(FCM, status, h, body)
			e.Code, e.Problem, e.hint = CodeRejected, "the legacy service accepted the request but rejected the message", "Google has shut the legacy service down; use VAPID"
			for _, result := range result.Results {
				if result.Error != "" {
					e.Reason = text.OneLine(result.Error, 80)
				}
				switch result.Error {
				case "NotRegistered":
					e.Code, e.hint = CodeGone, adviceDelete
				case "Unavailable", "InternalServerError":
					e.Code, e.hint = CodeUnavailable, adviceLater
				}
			}
			return nil, e
		}
	}
	return r, nil
}

// absolute completes a reference to a path, which RFC 9110 section 10.2.2
// allows. The rest is as it was: FCM's references have a % that is not an
// escape.
func absolute(sub *Subscription, reference string) string {
	if strings.HasPrefix(reference, "/") && !strings.HasPrefix(reference, "//") {
		return sub.origin + reference
	}
	return reference
}

// linkTo returns the target of the first link of that relation in a Link
// header (RFC 8288 section 3), or "".
func linkTo(header, rel string) string {
	for {
		_, rest, ok := strings.Cut(header, "<")
		if !ok {
			return ""
		}
		target, rest, ok := strings.Cut(rest, ">")
		if !ok {
			return ""
		}
		// The parameters end at a comma that is not quoted.
		quoted, end := false, len(rest)
		for i, c := range rest {
			if c == '"' {
				quoted = !quoted
			} else if c == ',' && !quoted {
				end = i
				break
			}
		}
		for param := range strings.SplitSeq(rest[:end], ";") {
			name, value, _ := strings.Cut(param, "=")
			if strings.EqualFold(strings.TrimSpace(name), "rel") {
				for _, r := range strings.Fields(strings.Trim(strings.TrimSpace(value), `"`)) {
					if strings.EqualFold(r, rel) {
						return target
					}
				}
			}
		}
		header = rest[end:]
	}
}
