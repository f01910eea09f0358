//go:build e2e

package appserver_test

import (
	"context"
	"encoding/base64"
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

	"github.com/seed81da77dd/webpush/pkg/ece"
)

// npmPackages drive Chromium and check the accessibility of the page.
var npmPackages = []string{"playwright-core@1.65.1", "axe-core@4.14.1"}

// pageSink is a push service that accepts nearly everything, and keeps the size of each
// body. It also stands for the service workers, which report each tracked notification
// that it accepts.
type pageSink struct {
	*httptest.Server
	identity *ece.Identity // of one subscription, whose messages name the track
	report   func(track, event string)

	mu       sync.Mutex
	sizes    map[string]int
	track    string
	accepted int // after track
}

func startPageSink(t *testing.T) *pageSink {
	identity, err := ece.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	s := &pageSink{identity: identity, sizes: make(map[string]int)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		s.mu.Lock()
		defer s.mu.Unlock()
		if size, ok := strings.CutPrefix(name, "size/"); ok { // for the script
			fmt.Fprint(w, s.sizes[size])
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.sizes[name] = len(body)
		switch {
		case strings.HasPrefix(name, "gone-"):
			w.WriteHeader(http.StatusGone)
		case strings.HasPrefix(name, "refused-"):
			http.Error(w, "this sink refuses it", http.StatusBadRequest)
		default:
			s.reports(t, name, body)
			w.WriteHeader(http.StatusCreated)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// tracked is the name of the subscription with the sink's identity. It is among the first
// of each push to all.
const tracked = "good-4"

// reports reports a notification as shown, and every tenth as clicked.
func (s *pageSink) reports(t *testing.T, name string, body []byte) {
	if name == tracked {
		m, err := ece.ParseEncryptedMessage(ece.AES128GCM, "", "", body)
		if err != nil {
			t.Error(err)
			return
		}
		payload, err := s.identity.Decrypt(m)
		if err != nil {
			t.Error(err)
			return
		}
		var v struct {
			Data struct{ Webpush struct{ Track string } }
		}
		_ = json.Unmarshal(payload, &v) // not a notification: no track
		s.track, s.accepted = v.Data.Webpush.Track, 0
	}
	if s.track == "" {
		return
	}
	s.accepted++
	s.report(s.track, "shown")
	if s.accepted%10 == 5 {
		s.report(s.track, "clicked")
	}
}

// TestChromiumPage tests the whole page in Chromium, driven by Playwright: forms and their
// errors, the token, a message with its size and preview, a running push, keyboard, screen
// reader, themes, and widths. WEBPUSH_SCREENSHOTS is a directory for the screenshots; the
// README shows readme-desktop.png and readme-phone.png, as .github/page-*.png.
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
	push.report = func(track, event string) {
		answer, err := http.Post(server.URL+"/report", "application/json", strings.NewReader(fmt.Sprintf(`{"id":%q,"event":%q}`, track, event)))
		if err != nil || answer.Body.Close() != nil || answer.StatusCode != http.StatusNoContent {
			t.Errorf("a report: %v, %v", answer, err)
		}
	}
	recipient := push.identity.Recipient()
	subscribe := func(name, user string, tags ...string) {
		t.Helper()
		keys := map[string]string{"p256dh": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM", "auth": "tBHItJI5svbpez7KI4CCXg"}
		if name == tracked {
			keys["p256dh"], keys["auth"] = base64.RawURLEncoding.EncodeToString(recipient.P256DH()), base64.RawURLEncoding.EncodeToString(recipient.Auth())
		}
		body, err := json.Marshal(map[string]any{"endpoint": push.URL + "/" + name, "user": user, "tags": tags, "keys": keys})
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
