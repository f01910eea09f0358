package pushservice

import "net/http"

// testing is the npm package web-push-testing, for the subscriptions of its routes
// only.
func testing() *personality {
	p := strict()
	p.name = "web-push-testing"
	// It checks only the signature and exp.
	p.ignores = func(part string, _ bool) bool { return part != "signature" && part != "exp" && part != "claims" }
	p.anyLifetime = true
	p.receipts = false
	p.accepted = func(h http.Header, _ string, m *AcceptedMessage) { setTTL(h, m) }
	p.status = func(e *Error) int {
		if e.Status < 500 && e.kind != kindGone && e.kind != kindFull {
			return http.StatusBadRequest
		}
		return e.Status
	}
	p.refuse = func(w http.ResponseWriter, e *Error, status int) {
		if e.kind == kindGone {
			writeJSON(w, status, map[string]string{"reason": "Push subscription has unsubscribed or expired."})
			return
		}
		message := e.Problem
		if words := testingWords(e); words != "" {
			message = words + ": " + message
		}
		writeTestingError(w, status, message)
	}
	return p
}

// testingWords returns the package's own message, which its users compare.
func testingWords(e *Error) string {
	switch e.kind {
	case kindTTL:
		return "TTL header is invalid"
	case kindUnknownEncoding:
		return "Unsupported encoding"
	case kindNoToken:
		return "Missing or invalid authorization header"
	case kindHeader, kindBadKey:
		return "Invalid Authorization header sent"
	case kindMismatch:
		return "Invalid Crypto-Key header sent"
	case kindToken, kindNoExpires, kindExpired:
		return "Invalid authentication token supplied"
	}
	return ""
}
