// Package browser finds installed browsers and starts them with a new profile that
// uses a push service on this machine. It never touches the user's own profile.
package browser

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// family is a group of browsers with the same settings.
type family string

const (
	firefox  family = "firefox"
	chromium family = "chromium"
)

// product is a browser and the places where it is installed: programs in PATH and
// paths below /opt (Linux and other Unix systems), applications (macOS), and paths
// below the directories for programs (Windows).
type product struct {
	name    string
	title   string
	family  family
	unix    []string
	opt     []string
	darwin  []string
	windows []string
}

// products are the supported browsers, the preferred ones first.
var products = []product{
	{"firefox", "Firefox", firefox, []string{"firefox"}, []string{"firefox/firefox"}, []string{"Firefox.app/Contents/MacOS/firefox"}, []string{`Mozilla Firefox\firefox.exe`}},
	{"firefox-esr", "Firefox ESR", firefox, []string{"firefox-esr"}, nil, []string{"Firefox ESR.app/Contents/MacOS/firefox"}, []string{`Mozilla Firefox ESR\firefox.exe`}},
	{"chromium", "Chromium", chromium, []string{"chromium", "chromium-browser"}, nil, []string{"Chromium.app/Contents/MacOS/Chromium"}, []string{`Chromium\Application\chrome.exe`}},
	{"chrome", "Google Chrome", chromium, []string{"google-chrome", "google-chrome-stable", "google-chrome-beta"}, []string{"google/chrome/chrome"}, []string{"Google Chrome.app/Contents/MacOS/Google Chrome"}, []string{`Google\Chrome\Application\chrome.exe`}},
	{"edge", "Microsoft Edge", chromium, []string{"microsoft-edge", "microsoft-edge-stable"}, []string{"microsoft/msedge/msedge"}, []string{"Microsoft Edge.app/Contents/MacOS/Microsoft Edge"}, []string{`Microsoft\Edge\Application\msedge.exe`}},
	{"brave", "Brave", chromium, []string{"brave-browser", "brave-browser-stable", "brave"}, []string{"brave.com/brave/brave"}, []string{"Brave Browser.app/Contents/MacOS/Brave Browser"}, []string{`BraveSoftware\Brave-Browser\Application\brave.exe`}},
}

// Names returns the names that [Find] accepts. "firefox" includes Firefox ESR, and
// "chromium" includes all browsers that are based on Chromium.
func Names() []string {
	names := make([]string, len(products))
	for i, p := range products {
		names[i] = p.name
	}
	return names
}

// Browser is a browser that can be started.
type Browser struct {
	// Name is one of [Names].
	Name string
	// Title is the product's full name.
	Title string
	// Path is the path of the program.
	Path string

	family family
}

// Chromium reports whether the browser is based on Chromium; otherwise, it is a
// Firefox.
func (b *Browser) Chromium() bool { return b.family == chromium }

// NotFoundError reports that no matching browser is installed in a usual place.
type NotFoundError struct {
	Titles []string // the names of the browsers
}

// Error names the browsers.
func (e *NotFoundError) Error() string {
	if len(e.Titles) == 1 {
		return e.Titles[0] + " is not installed in a usual place"
	}
	return fmt.Sprintf("none of %s is installed in a usual place", strings.Join(e.Titles, ", "))
}

// Find returns the installed browser with one of the [Names]. If binary is not empty,
// it uses that program instead of searching. The error is a [*NotFoundError], or
// reports that the name is unknown, the program does not exist, or the browser
// cannot use another push service on this system.
func Find(name, binary string) (*Browser, error) {
	return find(name, binary, runtime.GOOS, os.Getenv)
}

func find(name, binary, system string, getenv func(string) string) (*Browser, error) {
	var choice []product
	for _, p := range products {
		if p.name == name || string(p.family) == name {
			choice = append(choice, p)
		}
	}
	if len(choice) == 0 {
		return nil, fmt.Errorf("unknown browser %q, expected one of %s", name, strings.Join(Names(), ", "))
	}
	if binary != "" {
		path, err := exec.LookPath(binary)
		if err != nil {
			return nil, err
		}
		return &Browser{choice[0].name, choice[0].title, path, choice[0].family}, nil
	}
	missing := &NotFoundError{}
	for _, p := range choice {
		if p.name == "edge" && system == "windows" {
			if name == p.name {
				return nil, errors.New("on Windows, Microsoft Edge receives through Windows' own push service")
			}
			continue
		}
		if path := p.locate(system, getenv); path != "" {
			return &Browser{p.name, p.title, path, p.family}, nil
		}
		missing.Titles = append(missing.Titles, p.title)
	}
	return nil, missing
}

// locate returns the path of the program, or "".
func (p *product) locate(system string, getenv func(string) string) string {
	for _, path := range p.candidates(system, getenv) {
		if !strings.ContainsAny(path, `/\`) { // a program in PATH
			if found, err := exec.LookPath(path); err == nil {
				return found
			}
		} else if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// candidates returns the places to search, best first: names of programs in PATH,
// and paths.
func (p *product) candidates(system string, getenv func(string) string) (list []string) {
	add := func(separator string, relative []string, dirs ...string) {
		for _, dir := range dirs {
			for _, name := range relative {
				if dir != "" {
					list = append(list, dir+separator+name)
				}
			}
		}
	}
	switch system {
	case "darwin":
		home := getenv("HOME")
		if home != "" {
			home += "/Applications"
		}
		add("/", p.darwin, "/Applications", home)
	case "windows":
		add(`\`, p.windows, getenv("ProgramFiles"), getenv("ProgramFiles(x86)"), getenv("LocalAppData"))
	default:
		list = append(list, p.unix...)
		add("/", p.unix, "/snap/bin")
		add("/", p.opt, "/opt")
	}
	return list
}

// snap returns the name of the snap package that contains the program, or "". Such a
// program cannot access hidden directories and /tmp.
func snap(path string) string {
	const bin = "/snap/bin/"
	if name, ok := strings.CutPrefix(path, bin); ok {
		return name
	}
	// Ubuntu's packages are scripts that run the snap.
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	text := make([]byte, 4096)
	n, _ := f.Read(text)
	_, after, ok := bytes.Cut(text[:n], []byte(bin))
	if !ok || !bytes.HasPrefix(text, []byte("#!")) {
		return ""
	}
	end := bytes.IndexFunc(after, func(r rune) bool { return !(r == '-' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9') })
	if end < 0 {
		end = len(after)
	}
	return string(after[:end])
}
