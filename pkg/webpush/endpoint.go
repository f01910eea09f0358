package webpush

import (
	"net/url"
	"regexp"
	"strings"
)

// shortened reports whether an endpoint was cut for display, as browsers'
// developer tools and logs shorten long texts: it contains …, possibly
// percent-encoded.
func shortened(endpoint string) bool {
	return strings.Contains(endpoint, "…") || strings.Contains(strings.ToUpper(endpoint), "%E2%80%A6")
}

var (
	fcmToken  = regexp.MustCompile(`^[A-Za-z0-9_-]{8,}:APA91[A-Za-z0-9_-]+$`)
	expoToken = regexp.MustCompile(`^Expo(?:nent)?PushToken\[[^\]]*\]$`)
	apnsToken = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)
)

// deviceToken names the token of a native app that was given in place of a
// subscription or its endpoint, or returns "".
func deviceToken(text string) string {
	switch text = strings.TrimSpace(text); {
	case len(text) > 500, strings.HasPrefix(text, "https:"):
	case fcmToken.MatchString(text):
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
	switch strings.ToLower(u.Hostname()) {
	case "api.push.apple.com", "api.sandbox.push.apple.com", "api.development.push.apple.com":
		return true
	case "exp.host":
		return true
	}
	return strings.HasSuffix(strings.ToLower(u.Hostname()), ".push.apple.com") && strings.HasPrefix(path, "/3/device")
}
