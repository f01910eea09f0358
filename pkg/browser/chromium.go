package browser

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// quietChromium are switches that disable questions to the user and connections to
// the vendor in a new profile.
var quietChromium = []string{
	"--no-first-run",
	"--no-default-browser-check",
	"--disable-sync",
	"--disable-component-update",
	"--disable-default-apps",
	"--disable-search-engine-choice-screen",
	// A throwaway profile needs no keyring for passwords.
	"--password-store=basic",
	"--use-mock-keychain",
}

// setUpChromium writes the profile and returns the arguments.
func (p *Process) setUpChromium(o Options) ([]string, error) {
	push := []string{
		"--gcm-checkin-url=https://" + o.PushService.Address + "/checkin",
		"--gcm-registration-url=https://" + o.PushService.Address + "/c2dm/register3",
		"--gcm-mcs-endpoint=https://" + o.PushService.Address,
		"--ignore-certificate-errors-spki-list=" + o.PushService.PublicKeyHash,
	}
	p.Settings = append(p.Settings, push...)
	if err := p.writePreferences(o); err != nil {
		return nil, err
	}
	args := append([]string{"--user-data-dir=" + p.Profile}, push...)
	args = append(args, quietChromium...)
	if o.Headless {
		args = append(args, "--headless=new")
	}
	if privileged() {
		args = append(args, "--no-sandbox")
		p.Settings = append(p.Settings, "--no-sandbox")
	}
	if o.Offline {
		args = append(args, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1")
	}
	if o.Remote {
		args = append(args, "--remote-debugging-port=0")
	}
	return append(args, orBlank(o.URL)), nil
}

// writePreferences writes the profile's file of preferences, unless it exists.
func (p *Process) writePreferences(o Options) error {
	dir := filepath.Join(p.Profile, "Default")
	file := filepath.Join(dir, "Preferences")
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	type object map[string]any
	preferences := object{
		// Otherwise, the browser keeps running when the last window is closed.
		"background_mode": object{"enabled": false},
		// Otherwise, Brave does not receive push messages.
		"brave": object{"gcm": object{"channel_status": true}},
	}
	if o.AllowNotifications {
		preferences["profile"] = object{"default_content_setting_values": object{"notifications": 1}}
		p.Settings = append(p.Settings, "profile.default_content_setting_values.notifications = 1")
	}
	b, err := json.Marshal(preferences)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	return err
}
