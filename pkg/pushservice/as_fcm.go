package pushservice

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// fcm is Firebase Cloud Messaging.
func fcm() *personality {
	p := strict()
	p.name = FCM
	p.maxTTL = 28 * 24 * time.Hour
	p.path = func(bool) string { return "/fcm/send/" + random(8) + ":APA91b" + random(99) }
	p.owns = func(parts []string) bool {
		return len(parts) == 3 && parts[0] == "fcm" && parts[1] == "send" || len(parts) == 2 && parts[0] == "wp"
	}
	p.needsToken = true
	p.ignores = ignoresSub
	p.receipts = false
	p.accepted = func(h http.Header, origin string, m *AcceptedMessage) {
		// The percent sign does not begin an escape.
		h.Set("Location", fmt.Sprintf("%s/0:%d%%%s", origin, m.Time.UnixMicro(), hexID(8)))
		setTTL(h, m)
	}
	p.status = func(e *Error) int {
		switch {
		case e.kind.isToken():
			return http.StatusForbidden
		case e.kind == kindTooLarge, e.kind == kindUnknownEncoding:
			return http.StatusBadRequest
		}
		return e.Status
	}
	p.refuse = func(w http.ResponseWriter, e *Error, status int) {
		writeText(w, status, "text/plain; charset=utf-8", fcmText(e)+"\n")
	}
	return p
}

// fcmText returns the message of FCM, if known.
func fcmText(e *Error) string {
	switch e.kind {
	case kindNoToken:
		return "sender is not authenticated."
	case kindHeader:
		return "authorization header had invalid format. authorization header should have the following format: t=jwtToken; k=base64(publicApplicationServerKey)"
	case kindBadKey:
		switch {
		case strings.Contains(e.Problem, "expected 65"):
			return "public key must be 65 bytes long"
		case strings.Contains(e.Problem, "P-256"):
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
	return e.Problem
}
