package pushservice

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// wns is Windows Push Notification Services.
func wns() *personality {
	p := strict()
	p.name = WNS
	p.maxBody = 5000
	p.path = func(bool) string {
		b := make([]byte, 64)
		rand.Read(b)
		return "/w/?token=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b))
	}
	p.owns = func(parts []string) bool { return parts[0] == "w" }
	p.ignores = ignoresSub
	p.check = func(r *http.Request, m *AcceptedMessage) error {
		if r.ContentLength < 0 {
			return refuse(http.StatusLengthRequired, noErrno, "Missing Content-Length", "a chunked body is not supported")
		}
		policy := strings.ToLower(r.Header.Get("X-WNS-Cache-Policy"))
		if m.TTL == 0 && policy != "no-cache" || m.TTL > 0 && policy == "no-cache" {
			return badRequest("Ttl value conflicts with X-WNS-Cache-Policy.", "").as(kindTTL)
		}
		return nil
	}
	p.receipts = false
	p.accepted = func(h http.Header, _ string, _ *AcceptedMessage) {
		h.Set("X-WNS-Status", "received")
		h.Set("X-WNS-NotificationStatus", "received")
		setWNS(h)
	}
	p.status = func(e *Error) int {
		switch e.kind {
		case kindMismatch:
			return http.StatusForbidden
		case kindFull:
			return http.StatusNotAcceptable
		case kindUnknownEncoding:
			return http.StatusBadRequest
		}
		return e.Status
	}
	p.refuse = func(w http.ResponseWriter, e *Error, status int) {
		h := w.Header()
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
			}, strings.TrimSuffix(e.Problem, ": ")))
		}
		writeEmpty(w, status)
	}
	return p
}

func setWNS(h http.Header) {
	h.Set("X-WNS-Msg-ID", strings.ToUpper(hexID(8)))
	h.Set("X-WNS-Debug-Trace", "local")
	h.Set("MS-CV", random(12)+".0")
}
