package browser

import (
	"io/fs"
	"strings"
	"testing"
)

// TestCanOpen: the browser opens for a person in front of the machine, and for
// nobody else.
func TestCanOpen(t *testing.T) {
	there := func(string) (string, error) { return "/usr/bin/x", nil }
	missing := func(string) (string, error) { return "", fs.ErrNotExist }
	for _, c := range []struct {
		name   string
		system string
		env    map[string]string
		look   func(string) (string, error)
		want   bool
	}{
		{"X11", "linux", map[string]string{"DISPLAY": ":0"}, there, true},
		{"Wayland", "linux", map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, there, true},
		{"macOS", "darwin", nil, there, true},
		{"Windows", "windows", nil, there, true},
		{"a console", "linux", nil, there, false},
		{"SSH", "darwin", map[string]string{"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}, there, false},
		{"SSH with a display", "linux", map[string]string{"DISPLAY": "localhost:10", "SSH_TTY": "/dev/pts/0"}, there, false},
		{"nothing to open it with", "linux", map[string]string{"DISPLAY": ":0"}, missing, false},
	} {
		if got := canOpen(c.system, func(name string) string { return c.env[name] }, c.look); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestOpener(t *testing.T) {
	for system, want := range map[string]string{
		"linux":   "xdg-open http://localhost:1/",
		"freebsd": "xdg-open http://localhost:1/",
		"darwin":  "open http://localhost:1/",
		"windows": "rundll32 url.dll,FileProtocolHandler http://localhost:1/",
	} {
		name, args := opener(system, "http://localhost:1/")
		if got := name + " " + strings.Join(args, " "); got != want {
			t.Errorf("%s: %s, want %s", system, got, want)
		}
	}
}
