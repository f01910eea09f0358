package webpush

import (
	"net/url"
	"slices"
	"strings"
)

// Service is a push service whose responses and rules are known.
type Service string

// The push services, identified by an endpoint's host.
const (
	Mozilla     Service = "mozilla"     // Firefox: autopush
	FCM         Service = "fcm"         // Chrome and most of its family: Firebase Cloud Messaging
	Apple       Service = "apple"       // Safari
	WNS         Service = "wns"         // Edge on Windows: Windows Push Notification Services
	UnifiedPush Service = "unifiedpush" // UnifiedPush distributors: ntfy, NextPush, and the gateway to FCM
	KaiOS       Service = "kaios"       // KaiOS: its own autopush
	Other       Service = "other"       // any other
)

// Services returns the push services whose rules are known in detail, all but KaiOS and
// Other.
func Services() []Service { return []Service{Apple, FCM, Mozilla, WNS, UnifiedPush} }

// String returns the name for people.
func (s Service) String() string {
	switch s {
	case Mozilla:
		return "Mozilla"
	case FCM:
		return "FCM"
	case Apple:
		return "Apple"
	case WNS:
		return "WNS"
	case UnifiedPush:
		return "UnifiedPush"
	case KaiOS:
		return "KaiOS"
	}
	return "the push service"
}

// serviceAt identifies the push service of an endpoint: by its host, and on hosts
// that are not known by the form of UnifiedPush's endpoints.
func serviceAt(u *url.URL) Service {
	s := serviceOf(hostOf(u))
	if s == Other && isUnifiedPush(u) {
		return UnifiedPush
	}
	return s
}

// serviceOf identifies a push service by its complete host name in the form of [hostOf],
// never by parts of a URL, which could be in the path of any host.
func serviceOf(host string) Service {
	under := func(domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }
	switch {
	case under("push.services.mozilla.com"), under("push.mozilla.com"), strings.HasPrefix(host, "updates") && under("mozaws.net"):
		return Mozilla
	case host == "fcm.googleapis.com", host == "jmt17.google.com", slices.Contains(gcmHosts, host):
		return FCM
	case under("push.apple.com"):
		return Apple
	case under("notify.windows.com"):
		return WNS
	case host == "ntfy.sh", host == "fcm.distributor.unifiedpush.org":
		return UnifiedPush
	case host == "push.kaiostech.com":
		return KaiOS
	}
	return Other
}

// isUnifiedPush reports whether an endpoint has the form of endpoints of ntfy
// or of NextPush, an app for Nextcloud, on any host.
func isUnifiedPush(u *url.URL) bool {
	return strings.HasPrefix(u.Path, "/up") && u.Query().Get("up") == "1" || strings.Contains(u.Path, "/apps/uppush/push/")
}
