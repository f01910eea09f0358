package browser

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// preference is a preference of Firefox and its value.
type preference struct {
	name  string
	value any
}

// quietFirefox are preferences that disable questions to the user and connections to
// the vendor in a new profile.
var quietFirefox = []preference{
	{"browser.shell.checkDefaultBrowser", false},
	{"browser.startup.page", 0},
	{"browser.aboutwelcome.enabled", false},
	{"browser.startup.homepage_override.mstone", "ignore"},
	{"startup.homepage_welcome_url", ""},
	{"datareporting.policy.dataSubmissionEnabled", false},
	{"datareporting.policy.dataSubmissionPolicyBypassNotification", true},
	{"toolkit.telemetry.enabled", false},
	{"app.update.enabled", false},
	{"app.normandy.enabled", false},
	{"termsofuse.bypassNotification", true},
}

// offlineFirefox are preferences that limit Firefox to this machine.
var offlineFirefox = []preference{
	{"network.proxy.type", 1},
	{"network.proxy.allow_bypass", false},
	{"network.proxy.http", "127.0.0.1"},
	{"network.proxy.http_port", 9},
	{"network.proxy.ssl", "127.0.0.1"},
	{"network.proxy.ssl_port", 9},
	{"network.proxy.no_proxies_on", "127.0.0.1,localhost"},
	{"network.captive-portal-service.enabled", false},
	{"network.connectivity-service.enabled", false},
	{"services.settings.server", "data:,"},
}

// setUpFirefox writes the profile and returns the arguments.
func (p *Process) setUpFirefox(o Options) ([]string, error) {
	push := []preference{
		{"dom.push.serverURL", o.PushService.WebSocket + "/"},
		{"dom.push.enabled", true},
		{"dom.push.connection.enabled", true},
		{"dom.push.testing.allowInsecureServerURL", true},
		{"dom.push.retryBaseInterval", 200},
		{"dom.push.maxQuotaPerSubscription", 1000},
	}
	if o.AllowNotifications {
		push = append(push, preference{"permissions.default.desktop-notification", 1})
	}
	all := append(push[:len(push):len(push)], quietFirefox...)
	// In containers, many desktops have no notification service.
	all = append(all, preference{"alerts.useSystemBackend", !o.Headless && !o.Offline && hasNotificationService()})
	if o.Remote {
		all = append(all, preference{"remote.prefs.recommended", false})
	}
	if o.Offline {
		all = append(all, offlineFirefox...)
	}
	var text strings.Builder
	for i, pref := range all {
		value, err := json.Marshal(pref.value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, "user_pref(%q, %s);\n", pref.name, value)
		if i < len(push) {
			p.Settings = append(p.Settings, fmt.Sprintf("%s = %s", pref.name, value))
		}
	}
	if err := os.WriteFile(filepath.Join(p.Profile, "user.js"), []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	if err := p.trustCertificate(o.PushService); err != nil {
		return nil, err
	}
	args := []string{"--no-remote", "--profile", p.Profile}
	if runtime.GOOS == "windows" { // otherwise, the first process exits immediately
		args = append(args, "--wait-for-browser")
	}
	if o.Headless {
		args = append(args, "--headless")
	}
	if o.Remote {
		args = append(args, "--remote-debugging-port=0", "--remote-allow-system-access")
	}
	return append(args, orBlank(o.URL)), nil
}

// trustCertificate adds a certificate exception for the push service to the profile,
// like a user who accepts the browser's warning.
func (p *Process) trustCertificate(push PushService) error {
	if push.Certificate == nil {
		return nil
	}
	u, err := url.Parse(push.WebSocket)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	hash := sha256.Sum256(push.Certificate)
	fingerprint := strings.Trim(strings.ReplaceAll(fmt.Sprintf("% X", hash), " ", ":"), ":")
	// The object identifier stands for SHA-256.
	text := fmt.Sprintf("%s:%s:\tOID.2.16.840.1.101.3.4.2.1\t%s\t\n", u.Hostname(), port, fingerprint)
	p.Settings = append(p.Settings, "certificate exception for "+net.JoinHostPort(u.Hostname(), port))
	return os.WriteFile(filepath.Join(p.Profile, "cert_override.txt"), []byte(text), 0o600)
}

// hasNotificationService reports whether the desktop shows notifications for
// programs. Otherwise, Firefox shows them itself.
func hasNotificationService() bool {
	return runtime.GOOS == "windows" || runtime.GOOS == "darwin" || os.Getenv("DBUS_SESSION_BUS_ADDRESS") != ""
}

func orBlank(url string) string {
	if url == "" {
		return "about:blank"
	}
	return url
}
