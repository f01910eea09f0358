//go:build e2e

package cmd

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/browser"
)

// sitePage subscribes as soon as it is opened, and the worker passes on what
// it gets: a developer's own site.
const sitePage = `<!doctype html><title>site</title><script>
(async () => {
	const registration = await navigator.serviceWorker.register('/worker.js');
	await navigator.serviceWorker.ready;
	const applicationServerKey = await (await fetch('/key')).text();
	for (;;) {
		const subscription = await Promise.race([
			registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey}),
			new Promise(resolve => setTimeout(resolve, 3000)),
		]);
		if (subscription) return fetch('/subscription', {method: 'POST', body: JSON.stringify(subscription)});
	}
})().catch(error => fetch('/failed', {method: 'POST', body: String(error)}));
</script>`

const siteWorker = `
self.addEventListener('push', event => event.waitUntil(fetch('/pushed', {method: 'POST', body: event.data.text()})));
`

// TestBrowserSite: webpush browser opens the user's own site in Firefox and in
// Chromium, with a push service of its own, and webpush send reaches it with the
// flags that were printed.
func TestBrowserSite(t *testing.T) {
	for _, name := range []string{"firefox", "chromium"} {
		t.Run(name, func(t *testing.T) {
			if _, err := browser.Find(name, ""); err != nil {
				t.Skipf("SKIPPED the test with a real %s: %v", name, err)
			}
			dir := t.TempDir()
			bin := filepath.Join(dir, "webpush")
			if out, err := exec.Command("go", "build", "-o", bin, "..").CombinedOutput(); err != nil {
				t.Fatalf("go build: %v\n%s", err, out)
			}
			webpush := func(args ...string) *exec.Cmd {
				c := exec.Command(bin, args...)
				c.Dir = dir
				c.Env = append(os.Environ(), "HOME="+t.TempDir(), "TMPDIR="+dir,
					// The browsers reach this machine only.
					"http_proxy=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9", "no_proxy=localhost,127.0.0.1")
				return c
			}
			output := func(args ...string) string {
				t.Helper()
				out, err := webpush(args...).CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %v\n%s", args, err, out)
				}
				return string(out)
			}
			output("gen")
			key := strings.TrimSpace(output("app-server-key"))
			events := make(chan [2]string, 10)
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/":
					w.Header().Set("Content-Type", "text/html")
					_, _ = io.WriteString(w, sitePage)
				case "/worker.js":
					w.Header().Set("Content-Type", "text/javascript")
					_, _ = io.WriteString(w, siteWorker)
				case "/key":
					_, _ = io.WriteString(w, key)
				case "/subscription", "/pushed", "/failed":
					b, _ := io.ReadAll(r.Body)
					events <- [2]string{r.URL.Path, string(b)}
				default:
					http.NotFound(w, r)
				}
			}))
			defer site.Close()
			talk := new(buffer)
			c := webpush("browser", name, "--headless", site.URL)
			c.Stderr = talk
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- c.Wait() }()
			stopped := false
			defer func() {
				if !stopped {
					_ = c.Process.Kill()
					<-ended
				}
			}()
			expect := func(path string) string {
				t.Helper()
				select {
				case e := <-events:
					if e[0] != path {
						t.Fatalf("%s: %s\n%s", e[0], e[1], talk)
					}
					return e[1]
				case err := <-ended:
					stopped = true
					t.Fatalf("the command has exited: %v\n%s", err, talk)
				case <-time.After(time.Minute):
					t.Fatalf("no %s within a minute\n%s", path, talk)
				}
				return ""
			}
			if err := os.WriteFile(filepath.Join(dir, "subscription.json"), []byte(expect("/subscription")), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"send", "-f", "subscription.json", "--subject", "mailto:ops@example.com", "-p", "Grüße"}
			if _, after, ok := strings.Cut(talk.String(), "sending to Chromium: webpush send "); ok {
				line, _, _ := strings.Cut(after, "\n")
				args = append(args, strings.Fields(line)...)
			}
			output(args...)
			if got := expect("/pushed"); got != "Grüße" {
				t.Errorf("the worker got %q", got)
			}
			_ = c.Process.Signal(os.Interrupt)
			select {
			case err := <-ended:
				stopped = true
				if err != nil {
					t.Errorf("interrupted: %v\n%s", err, talk)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("the command does not end\n%s", talk)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "webpush-browser-*")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}
