package browser

import (
	"os"
	"os/exec"
	"runtime"
)

// opener returns the command that opens a web page in the user's default browser.
func opener(system, url string) (name string, args []string) {
	switch system {
	case "darwin":
		return "open", []string{url}
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	return "xdg-open", []string{url}
}

// Open opens a web page in the user's default browser, with the user's own
// profile, and does not wait for it.
func Open(url string) error {
	name, args := opener(runtime.GOOS, url)
	c := exec.Command(name, args...)
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }()
	return nil
}

// CanOpen reports whether [Open] shows the page to the person who runs this
// process: not over SSH, without a display, or without a program that opens it.
func CanOpen() bool { return canOpen(runtime.GOOS, os.Getenv, exec.LookPath) }

func canOpen(system string, getenv func(string) string, look func(string) (string, error)) bool {
	if getenv("SSH_CONNECTION") != "" || getenv("SSH_TTY") != "" {
		return false
	}
	if system != "darwin" && system != "windows" && getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "" {
		return false
	}
	name, _ := opener(system, "")
	_, err := look(name)
	return err == nil
}
