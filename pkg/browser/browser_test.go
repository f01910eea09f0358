package browser

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// program writes an executable file.
func program(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: programs are found in PATH by other rules")
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	none := func(string) string { return "" }
	var missing *NotFoundError
	if _, err := find("chromium", "", "linux", none); !errors.As(err, &missing) || !strings.Contains(err.Error(), "none of Chromium, Google Chrome, Microsoft Edge, Brave is installed") {
		t.Errorf("without any: %v", err)
	}
	if _, err := find("brave", "", "linux", none); !errors.As(err, &missing) || err.Error() != "Brave is not installed in a usual place" {
		t.Errorf("without Brave: %v", err)
	}
	if _, err := find("safari", "", "linux", none); err == nil || errors.As(err, &missing) {
		t.Errorf("safari: %v", err)
	}
	chrome := program(t, filepath.Join(dir, "google-chrome-stable"), "")
	esr := program(t, filepath.Join(dir, "firefox-esr"), "")
	for name, want := range map[string]Browser{
		"chromium":    {"chrome", "Google Chrome", chrome, chromium},
		"chrome":      {"chrome", "Google Chrome", chrome, chromium},
		"firefox":     {"firefox-esr", "Firefox ESR", esr, firefox},
		"firefox-esr": {"firefox-esr", "Firefox ESR", esr, firefox},
	} {
		if b, err := find(name, "", "linux", none); err != nil || *b != want {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
	if _, err := find("edge", "", "linux", none); !errors.As(err, &missing) {
		t.Errorf("edge: %v", err)
	}
	if b, err := find("edge", chrome, "linux", none); err != nil || b.Path != chrome || b.Title != "Microsoft Edge" || !b.Chromium() {
		t.Errorf("edge by its program: %+v, %v", b, err)
	}
	if _, err := find("edge", filepath.Join(dir, "none"), "linux", none); err == nil {
		t.Error("a program that does not exist is accepted")
	}
	// macOS and Windows.
	home := program(t, filepath.Join(dir, "home", "Applications", "Firefox.app", "Contents", "MacOS", "firefox"), "")
	if b, err := find("firefox", "", "darwin", func(name string) string { return map[string]string{"HOME": filepath.Join(dir, "home")}[name] }); err != nil || b.Path != home {
		t.Errorf("darwin: %+v, %v", b, err)
	}
	program(t, dir+`/pf\Microsoft\Edge\Application\msedge.exe`, "")
	brave := program(t, dir+`/pf\BraveSoftware\Brave-Browser\Application\brave.exe`, "")
	windows := func(name string) string { return map[string]string{"ProgramFiles(x86)": dir + "/pf"}[name] }
	if b, err := find("chromium", "", "windows", windows); err != nil || b.Path != brave {
		t.Errorf("windows: %+v, %v", b, err)
	}
	// Edge on Windows does not receive by this protocol.
	if b, err := find("edge", "", "windows", windows); err == nil || errors.As(err, &missing) {
		t.Errorf("windows, edge: %+v, %v", b, err)
	}
}

// TestCandidates lists every place that is searched on each system.
func TestCandidates(t *testing.T) {
	environment := map[string]string{"HOME": "/Users/me", "ProgramFiles": `C:\Program Files`, "ProgramFiles(x86)": `C:\Program Files (x86)`, "LocalAppData": `C:\Users\me\AppData\Local`}
	getenv := func(name string) string { return environment[name] }
	mac := func(app string) []string { return []string{"/Applications/" + app, "/Users/me/Applications/" + app} }
	windows := func(path string) []string {
		return []string{`C:\Program Files\` + path, `C:\Program Files (x86)\` + path, `C:\Users\me\AppData\Local\` + path}
	}
	want := map[string]map[string][]string{
		"linux": {
			"firefox":     {"firefox", "/snap/bin/firefox", "/opt/firefox/firefox"},
			"firefox-esr": {"firefox-esr", "/snap/bin/firefox-esr"},
			"chromium":    {"chromium", "chromium-browser", "/snap/bin/chromium", "/snap/bin/chromium-browser"},
			"chrome": {"google-chrome", "google-chrome-stable", "google-chrome-beta",
				"/snap/bin/google-chrome", "/snap/bin/google-chrome-stable", "/snap/bin/google-chrome-beta", "/opt/google/chrome/chrome"},
			"edge": {"microsoft-edge", "microsoft-edge-stable", "/snap/bin/microsoft-edge", "/snap/bin/microsoft-edge-stable", "/opt/microsoft/msedge/msedge"},
			"brave": {"brave-browser", "brave-browser-stable", "brave",
				"/snap/bin/brave-browser", "/snap/bin/brave-browser-stable", "/snap/bin/brave", "/opt/brave.com/brave/brave"},
		},
		"darwin": {
			"firefox":     mac("Firefox.app/Contents/MacOS/firefox"),
			"firefox-esr": mac("Firefox ESR.app/Contents/MacOS/firefox"),
			"chromium":    mac("Chromium.app/Contents/MacOS/Chromium"),
			"chrome":      mac("Google Chrome.app/Contents/MacOS/Google Chrome"),
			"edge":        mac("Microsoft Edge.app/Contents/MacOS/Microsoft Edge"),
			"brave":       mac("Brave Browser.app/Contents/MacOS/Brave Browser"),
		},
		"windows": {
			"firefox":     windows(`Mozilla Firefox\firefox.exe`),
			"firefox-esr": windows(`Mozilla Firefox ESR\firefox.exe`),
			"chromium":    windows(`Chromium\Application\chrome.exe`),
			"chrome":      windows(`Google\Chrome\Application\chrome.exe`),
			"edge":        windows(`Microsoft\Edge\Application\msedge.exe`),
			"brave":       windows(`BraveSoftware\Brave-Browser\Application\brave.exe`),
		},
	}
	for system, browsers := range want {
		for _, p := range products {
			if got := p.candidates(system, getenv); !slices.Equal(got, browsers[p.name]) {
				t.Errorf("%s, %s: %q, want %q", system, p.name, got, browsers[p.name])
			}
		}
	}
	// Directories that the environment does not name are omitted.
	none := func(string) string { return "" }
	for _, p := range products {
		if got := p.candidates("windows", none); len(got) != 0 {
			t.Errorf("windows, %s, without directories: %q", p.name, got)
		}
		if got := p.candidates("darwin", none); len(got) != 1 {
			t.Errorf("darwin, %s, without a home directory: %q", p.name, got)
		}
	}
}

func TestSnap(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct{ path, want string }{
		"snap":    {"/snap/bin/chromium", "chromium"},
		"script":  {program(t, filepath.Join(dir, "script"), "#!/bin/sh\nexec /snap/bin/firefox-beta \"$@\"\n"), "firefox-beta"},
		"at end":  {program(t, filepath.Join(dir, "end"), "#!/bin/sh\nexec /snap/bin/firefox"), "firefox"},
		"other":   {program(t, filepath.Join(dir, "other"), "#!/bin/sh\nexec /usr/lib/firefox/firefox\n"), ""},
		"program": {program(t, filepath.Join(dir, "program"), "\x7fELF/snap/bin/x"), ""},
		"missing": {filepath.Join(dir, "missing"), ""},
	} {
		if got := snap(test.path); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestStart: the profile has the listed settings, and is removed after the browser
// exits. The browsers are scripts.
func TestStart(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: there is no shell")
	}
	push := PushService{WebSocket: "ws://127.0.0.1:1", Address: "127.0.0.1:2", PublicKeyHash: "hash="}
	for _, test := range []struct {
		family family
		want   []string // in the arguments or files of the profile
	}{
		{firefox, []string{`user_pref("dom.push.serverURL", "ws://127.0.0.1:1/");`, `user_pref("permissions.default.desktop-notification", 1);`, "--headless", "http://localhost:3"}},
		{chromium, []string{"--gcm-mcs-endpoint=https://127.0.0.1:2", "--ignore-certificate-errors-spki-list=hash=", `"notifications":1`, "--headless=new", "http://localhost:3"}},
	} {
		dir := t.TempDir()
		path := program(t, filepath.Join(dir, "browser"), "#!/bin/sh\necho \"$@\" > '"+dir+"/arguments'\ncat '"+dir+"/fifo'\n")
		b := &Browser{"x", "X", path, test.family}
		p, err := b.Start(Options{PushService: push, URL: "http://localhost:3", Headless: true, AllowNotifications: true})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done() // since there is no fifo
		if err := p.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 1; its last message: ") {
			t.Errorf("%s: %v", test.family, err)
		}
		text, _ := os.ReadFile(filepath.Join(dir, "arguments"))
		for _, name := range []string{"user.js", "Default/Preferences"} {
			b, _ := os.ReadFile(filepath.Join(p.Profile, name))
			text = append(text, b...)
		}
		for _, want := range test.want {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: %q is missing in %s", test.family, want, text)
			}
		}
		if sandbox := !strings.Contains(string(text), "--no-sandbox"); test.family == chromium && sandbox == privileged() {
			t.Errorf("sandbox: %v, root: %v", sandbox, privileged())
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(p.Profile); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the profile is left over: %v", test.family, err)
		}
	}
	// A browser that does not start leaves nothing behind.
	b := &Browser{"x", "X", filepath.Join(t.TempDir(), "none"), firefox}
	t.Setenv("TMPDIR", t.TempDir())
	if _, err := b.Start(Options{}); err == nil {
		t.Error("a program that does not exist was started")
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}
