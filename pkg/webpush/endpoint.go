package webpush

import (
	"net/url"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
)

// shortened reports whether an endpoint was cut for display, as browsers'
// developer tools and logs shorten long texts: it contains …, possibly
// percent-encoded.
func shortened(endpoint string) bool {
	return strings.Contains(endpoint, "…") || strings.Contains(strings.ToUpper(endpoint), "%E2%80%A6")
}

var (
	expoToken = pattern.New(`^Expo(?:nent)?PushToken\[[^\]]*\]$`)
	apnsToken = pattern.New(`^[0-9A-Fa-f]{64}$`)
)

// deviceToken names the token of a native app that was given in place of a
// subscription or its endpoint, or returns "".
func deviceToken(text string) string {
	switch text = strings.TrimSpace(text); {
	case len(text) > 500, strings.HasPrefix(text, "https:"):
	case notation.FirebaseToken.MatchString(text):
		return "a registration token of Firebase Cloud Messaging, for apps"
	case expoToken.MatchString(text):
		return "an Expo push token, for apps"
	case apnsToken.MatchString(text):
		return "a device token of Apple's push service, for apps"
	}
	return ""
}

const adviceDeviceToken = "web push needs the subscription of a browser: what JSON.stringify(subscription) gives there"

// isNative reports whether an endpoint belongs to the push service of native
// apps.
func isNative(u *url.URL, path string) bool {
	switch host := hostOf(u); host {
	case "api.push.apple.com", "api.sandbox.push.apple.com", "api.development.push.apple.com", "exp.host":
		return true
	default:
		return strings.HasSuffix(host, ".push.apple.com") && strings.HasPrefix(path, "/3/device")
	}
}

// hostOf returns the host of a URL in lower case, without the dot that may be at its end.
func hostOf(u *url.URL) string { return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") }

// minAutopushToken is the least number of characters of a Fernet token of autopush:
// 41 bytes, 48 of content, and 16 more of authentication code, in base64.
const minAutopushToken = 140

// CheckEndpoint returns an [*InputError] if the push service of the endpoint cannot
// know it, because its token is missing or truncated. A subscription with keys
// always passes.
func (s *Subscription) CheckEndpoint() error {
	if problem := s.deadEnd(); problem != "" {
		return badSubscription("endpoint", problem, "get the subscription from the browser again, and store the complete endpoint")
	}
	return nil
}

// deadEnd returns what shows that the service of an endpoint cannot know it, or "".
// Endpoints are opaque, so this applies only to the services whose form is known, and
// to tokens that are missing or too short to be one.
func (s *Subscription) deadEnd() string {
	if s.service == Other {
		return ""
	}
	rest := s.Path()
	path, query, _ := strings.Cut(rest, "?")
	last := path[strings.LastIndexByte(path, '/')+1:]
	missing := false
	switch s.service {
	case FCM:
		missing = (last == "" || path == "/fcm/send" || path == "/wp") && !s.GCM()
	case Mozilla:
		missing = last == "" || path == "/wpush/v1" || path == "/wpush/v2"
	case WNS:
		_, token, _ := strings.Cut(query, "token=")
		missing = token == ""
	case Apple:
		missing = last == ""
	}
	switch {
	case missing && strings.Trim(rest, "/") == "":
		return "the endpoint has no path: it is the origin of a push service"
	case missing:
		return "the endpoint has no token after its path"
	case s.service == Mozilla && strings.HasPrefix(last, "gAAAAA") && len(last) < minAutopushToken:
		return "the token at the end of the endpoint is truncated"
	}
	return ""
}

// gcmHosts are the hosts of Google Cloud Messaging.
var gcmHosts = []string{"android.googleapis.com", "gcm-http.googleapis.com"}

// GCM reports whether the endpoint belongs to Google Cloud Messaging, the predecessor of
// FCM, which Google has shut down.
func (s *Subscription) GCM() bool { return slices.Contains(gcmHosts, hostOf(&s.secrets().url)) }

// Path returns the path and query of the endpoint, byte for byte, or "" if it is only an
// origin. It is a secret (RFC 8030, section 8.3).
func (s *Subscription) Path() string {
	_, after, _ := strings.Cut(s.Endpoint(), "://")
	if i := strings.IndexAny(after, "/?"); i >= 0 {
		return after[i:]
	}
	return ""
}
