package pushservice

import "net/http"

// apple is Safari's push service.
func apple() *personality {
	p := strict()
	p.name = Apple
	p.path = func(bool) string { return "/Q" + random(tokenSize+18) }
	p.owns = func(parts []string) bool { return len(parts) == 1 && parts[0] != "" }
	p.needsToken = true
	p.ignores = func(part string, warning bool) bool { return warning && part != "sub" }
	p.check = func(_ *http.Request, m *AcceptedMessage) error {
		if m.TTL == 0 {
			return badRequest("Invalid TTL value", "found 0, expected 1 or more").as(kindTTL)
		}
		if len(m.Topic)%4 == 1 {
			return badRequest("Invalid Topic header", "%q has %d characters, which is not a length of base64", m.Topic, len(m.Topic)).as(kindTopic)
		}
		if m.Encoding == aesgcm {
			return badEncryption("Invalid Content-Encoding header", "found aesgcm, expected aes128gcm")
		}
		return nil
	}
	p.receipts = false
	p.accepted = func(h http.Header, _ string, _ *AcceptedMessage) { h.Set("apns-id", uuid()) }
	p.status = func(e *Error) int {
		switch e.kind {
		case kindNoToken, kindToken, kindAudience, kindNoExpires, kindExpired, kindLifetime, kindSubject:
			return http.StatusForbidden
		case kindHeader, kindBadKey, kindMismatch, kindUnknownEncoding:
			return http.StatusBadRequest
		}
		return e.Status
	}
	p.refuse = func(w http.ResponseWriter, e *Error, status int) {
		w.Header().Set("apns-id", uuid())
		writeJSON(w, status, map[string]string{"reason": appleReason(e, status)})
	}
	return p
}

// appleReason returns Apple's reason code.
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
