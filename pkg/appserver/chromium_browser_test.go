//go:build e2e

package appserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// npmPackages drive Chromium and check the accessibility of the page.
var npmPackages = []string{"playwright-core@1.65.1", "axe-core@4.14.1"}

// pageSink is a push service that accepts nearly everything, and keeps the size of each
// body.
type pageSink struct {
	*httptest.Server
	mu    sync.Mutex
	sizes map[string]int
}

func startPageSink(t *testing.T) *pageSink {
	s := &pageSink{sizes: make(map[string]int)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		s.mu.Lock()
		defer s.mu.Unlock()
		if size, ok := strings.CutPrefix(name, "size/"); ok { // for the script
			fmt.Fprint(w, s.sizes[size])
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		s.sizes[name] = int(n)
		switch {
		case strings.HasPrefix(name, "gone-"):
			w.WriteHeader(http.StatusGone)
		case strings.HasPrefix(name, "refused-"):
			http.Error(w, "this sink refuses it", http.StatusBadRequest)
		default:
			w.WriteHeader(http.StatusCreated)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// TestChromiumPage tests the whole page in Chromium, driven by Playwright: forms and their
// errors, the token, a message with its size and preview, a running push, keyboard, screen
// reader, themes, and widths. WEBPUSH_SCREENSHOTS is a directory for the screenshots.
func TestChromiumPage(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED the test with Chromium: %s is not installed", tool)
		}
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIPPED the test with Chromium: chromium is not installed")
	}
	script, err := filepath.Abs(filepath.Join("testdata", "browser", "page.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	modules := t.TempDir()
	install := exec.CommandContext(ctx, "npm", append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts"}, npmPackages...)...)
	install.Dir = modules
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED the test with Chromium: npm cannot install %v: %v\n%s", npmPackages, err, out)
	}

	p := buildProgram(t)
	push := startPageSink(t)
	server := p.serve("127.0.0.1:0", "--client-rate", "0", "--host", "insecure.test", "--rate-per-origin", "30", "--track")
	subscribe := func(name, user string, tags ...string) {
		t.Helper()
		body, err := json.Marshal(map[string]any{"endpoint": push.URL + "/" + name, "user": user, "tags": tags,
			"keys": map[string]string{"p256dh": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM", "auth": "tBHItJI5svbpez7KI4CCXg"}})
		if err != nil {
			t.Fatal(err)
		}
		server.ask("POST", "/subscription", string(body), nil)
	}
	for i := range 300 {
		switch {
		case i%50 == 7:
			subscribe(fmt.Sprintf("gone-%d", i), "")
		case i%50 == 9:
			subscribe(fmt.Sprintf("refused-%d", i), "")
		case i == 3:
			subscribe("good-3", strings.Repeat("long-name-", 20), strings.Repeat("w", 200), "b", "c")
		case i < 3:
			subscribe(fmt.Sprintf("news-%d", i), "<b>ann</b>", "news")
		default:
			subscribe(fmt.Sprintf("good-%d", i), "")
		}
	}
	command := p.start("subscribe", "-o", "own.json", "--listen", "localhost:0")
	shots := os.Getenv("WEBPUSH_SCREENSHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	config, err := json.Marshal(map[string]any{"url": server.URL, "token": server.token, "command": command.URL, "sink": push.URL, "total": 300,
		"chromium": chromium, "modules": filepath.Join(modules, "node_modules"), "shots": shots, "profile": t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(ctx, "node", script)
	node.Stdin = strings.NewReader(string(config)) // the token is in no process list
	node.Env = append(os.Environ(), "HOME="+t.TempDir())
	node.WaitDelay = 10 * time.Second
	out, err := node.CombinedOutput()
	t.Logf("\n%s", out)
	if err != nil {
		t.Fatalf("%v; the server:\n%s", err, server.log)
	}
	if !strings.Contains(string(out), "\nall steps passed") {
		t.Error("the script has not come to its end")
	}
	if err := command.wait(); err != nil {
		t.Errorf("webpush subscribe: %v\n%s", err, command.log)
	}
	if b, err := os.ReadFile(filepath.Join(p.dir, "own.json")); err != nil || !strings.Contains(string(b), push.URL+"/own") {
		t.Errorf("%v: webpush subscribe wrote %s", err, b)
	}
	pictures, err := filepath.Glob(filepath.Join(shots, "*.png"))
	if err != nil || len(pictures) < 9 {
		t.Errorf("%v: there are %d screenshots", err, len(pictures))
	}
}
