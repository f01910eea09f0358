package useragent

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
)

// Mozilla is the address of Mozilla's public push service, which desktop
// Firefox uses.
const Mozilla = "wss://push.services.mozilla.com/"

// FCM is the address of Google's public push service, which Chromium uses. It is
// experimental: Google documents no protocol for it, and nothing here was tested
// against Google's servers.
const FCM = "fcm"

// chromiumScheme is the scheme of a local push service that imitates Google's,
// chromium://HOST:PORT.
const chromiumScheme = "chromium"

// ErrKeyRequired is the error of [Device.Subscribe] without an application
// server key at a push service for Chromium.
var ErrKeyRequired = errors.New("push services for Chromium require an application server key")

// RequiresKey reports whether the push service at this address accepts only
// subscriptions with an application server key, see [ErrKeyRequired].
func RequiresKey(server string) bool {
	base, err := parseServer(server)
	return err == nil && isChromium(base)
}

// SingleOnly reports whether a device at this address can have only one
// subscription, see [ErrSingle].
func SingleOnly(server string) bool {
	base, err := parseServer(server)
	return err == nil && !isChromium(base) && !isSocket(base)
}

// CheckServer returns an error if server is not the address of a push service that a
// [Device] can use.
func CheckServer(server string) error {
	if _, err := parseServer(server); err != nil {
		return fmt.Errorf("the push service's address %w", err)
	}
	return nil
}

// parseServer parses the address of a push service. The error continues a
// sentence that names it.
func parseServer(s string) (*url.URL, error) {
	if s == FCM {
		return &url.URL{Scheme: FCM}, nil
	}
	if u, err := url.Parse(s); err == nil && u.Scheme == chromiumScheme {
		switch {
		case u.Hostname() == "" || u.Port() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			return nil, fmt.Errorf("is %q, expected chromium://HOST:PORT", s)
		}
		return u, nil
	}
	return parseURL(s, "https", "wss")
}

func isChromium(u *url.URL) bool { return u.Scheme == FCM || u.Scheme == chromiumScheme }

func isSocket(u *url.URL) bool { return u.Scheme == "wss" || u.Scheme == "ws" }

// serverOrigin returns the origin of a push service's address.
func serverOrigin(u *url.URL) string {
	if u.Scheme == FCM {
		return "https://fcm.googleapis.com"
	}
	return u.Scheme + "://" + u.Host
}

// parseURL refuses URLs over which messages must not travel. schemes are the
// encrypted ones; their forms without "s" are accepted for loopback hosts. The
// error does not repeat s and continues a sentence that names it.
func parseURL(s string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("is not a URL: %w", bare(err))
	}
	var secure, plain string
	for _, scheme := range schemes {
		switch u.Scheme {
		case scheme:
			secure = scheme
		case strings.TrimSuffix(scheme, "s"):
			plain = scheme
		}
	}
	switch {
	case secure == "" && plain == "":
		return nil, fmt.Errorf("has the scheme %q, expected %s", u.Scheme, strings.Join(schemes, " or "))
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("has a user name or password")
	case plain != "" && !netaddr.Loopback(u.Hostname()):
		return nil, fmt.Errorf("is %s at %q, expected %s, or a loopback host", u.Scheme, u.Hostname(), plain)
	}
	u.RawQuery, u.Fragment = "", ""
	return u, nil
}

// isID reports whether s can be used unescaped as a path segment.
func isID(s string) bool {
	return s != "" && strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_") == ""
}

// isUAID reports whether s can be the ID of a user agent: Firefox accepts any
// text of 1 to 128 characters.
func isUAID(s string) bool { return s != "" && len([]rune(s)) <= 128 }

// isSubtype reports whether s can be Chromium's name of a subscription.
func isSubtype(s string) bool {
	return strings.HasPrefix(s, "wp:") && len(s) <= 2000
}
