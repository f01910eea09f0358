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
	// Firefox drops a request that comes before it is connected; Chromium does not,
	// and would end up with two subscriptions.
	const patience = navigator.userAgent.includes('Firefox') ? 3000 : 50000;
	for (;;) {
		const subscription = await Promise.race([
			registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey}),
			new Promise(resolve => setTimeout(resolve, patience)),
		]);
		if (subscription) return fetch('/subscription', {method: 'POST', body: JSON.stringify(subscription)});
	}
})().catch(error => fetch('/failed', {method: 'POST', body: String(error)}));
</script>`

const siteWorker = `
self.addEventListener('push', event => event.waitUntil(fetch('/pushed', {method: 'POST', body: event.data.text()})));
`

// siteBrowser is webpush browser with the user's own site, which has subscribed.
type siteBrowser struct {
	t      *testing.T
	dir    string
	events chan [2]string
	ended  chan error
	c      *exec.Cmd
	talk   *buffer
}

// startSiteBrowser builds webpush, makes a key pair, and runs webpush browser until
// the site has subscribed: subscription.json is in dir.
func startSiteBrowser(t *testing.T, name string) *siteBrowser {
	t.Helper()
	if _, err := browser.Find(name, ""); err != nil {
		t.Skipf("SKIPPED the test with a real %s: %v", name, err)
	}
	b := &siteBrowser{t: t, dir: t.TempDir(), events: make(chan [2]string, 10), ended: make(chan error, 1), talk: new(buffer)}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(b.dir, "webpush"), "..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	b.run("./webpush", "gen")
	key := strings.TrimSpace(b.run("./webpush", "app-server-key"))
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
			text, _ := io.ReadAll(r.Body)
			b.events <- [2]string{r.URL.Path, string(text)}
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(site.Close)
	b.c = b.command("./webpush", "browser", name, "--headless", site.URL)
	b.c.Stderr = b.talk
	if err := b.c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { b.ended <- b.c.Wait(); close(b.ended) }()
	t.Cleanup(func() {
		_ = b.c.Process.Signal(os.Interrupt)
		select {
		case <-b.ended:
		case <-time.After(30 * time.Second):
			_ = b.c.Process.Kill()
			<-b.ended
		}
	})
	if err := os.WriteFile(filepath.Join(b.dir, "subscription.json"), []byte(b.expect("/subscription")), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *siteBrowser) command(name string, args ...string) *exec.Cmd {
	if name == "./webpush" {
		name = filepath.Join(b.dir, "webpush")
	}
	c := exec.CommandContext(b.t.Context(), name, args...)
	c.Dir = b.dir
	// Killed, it would leave the browser behind.
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 30 * time.Second
	c.Env = append(os.Environ(), "HOME="+b.dir, "TMPDIR="+b.dir,
		// The browsers reach this machine only.
		"http_proxy=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9", "no_proxy=localhost,127.0.0.1")
	return c
}

func (b *siteBrowser) run(name string, args ...string) string {
	b.t.Helper()
	out, err := b.command(name, args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// expect waits for the site to get a request with that path.
func (b *siteBrowser) expect(path string) string {
	b.t.Helper()
	select {
	case e := <-b.events:
		if e[0] != path {
			b.t.Fatalf("%s: %s\n%s", e[0], e[1], b.talk)
		}
		return e[1]
	case err := <-b.ended:
		b.t.Fatalf("the command has exited: %v\n%s", err, b.talk)
	case <-time.After(time.Minute):
		b.t.Fatalf("no %s within a minute\n%s", path, b.talk)
	}
	return ""
}

// printed returns the rest of the line of the talk that begins so.
func (b *siteBrowser) printed(beginning string) string {
	_, after, _ := strings.Cut(b.talk.String(), beginning)
	line, _, _ := strings.Cut(after, "\n")
	return line
}

// TestBrowserSite: webpush browser opens the user's own site in Firefox and in
// Chromium, with a push service of its own, and webpush send reaches it with the
// flags that were printed.
func TestBrowserSite(t *testing.T) {
	for _, name := range []string{"firefox", "chromium"} {
		t.Run(name, func(t *testing.T) {
			b := startSiteBrowser(t, name)
			args := []string{"send", "-f", "subscription.json", "--subject", "mailto:ops@example.com", "-p", "Grüße"}
			b.run("./webpush", append(args, strings.Fields(b.printed("send to Chromium with: webpush send "))...)...)
			if got := b.expect("/pushed"); got != "Grüße" {
				t.Errorf("the worker got %q", got)
			}
			_ = b.c.Process.Signal(os.Interrupt)
			select {
			case err := <-b.ended:
				if err != nil {
					t.Errorf("interrupted: %v\n%s", err, b.talk)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("the command does not end\n%s", b.talk)
			}
			if left, _ := filepath.Glob(filepath.Join(b.dir, "webpush-browser-*")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// npmProxySender sends with the npm package web-push, through the proxy.
const npmProxySender = `
const webpush = require('web-push'), fs = require('fs');
const keys = JSON.parse(fs.readFileSync('vapid.json')), sub = JSON.parse(fs.readFileSync('subscription.json'));
webpush.setVapidDetails('mailto:ops@example.com', keys.publicKey, keys.privateKey);
webpush.sendNotification(sub, 'Grüße von npm', {TTL: 60, proxy: process.env.HTTPS_PROXY})
  .then(answer => console.log(answer.statusCode), e => { console.error(e.message, e.body); process.exit(1); });
`

// pythonProxySender sends with the Python package pywebpush, which finds the proxy
// in the environment.
const pythonProxySender = `
import json
from pywebpush import webpush
sub = json.load(open('subscription.json'))
answer = webpush(sub, 'Grüße von Python', vapid_private_key='private_key.pem', vapid_claims={'sub': 'mailto:ops@example.com'}, ttl=60)
print(answer.status_code)
`

// TestBrowserOtherSenders: the npm package web-push and the Python package
// pywebpush reach a real Chromium with the environment variables that were
// printed.
func TestBrowserOtherSenders(t *testing.T) {
	for name, test := range map[string]struct {
		tools   []string
		install [][]string
		script  string
		send    []string
		want    string
	}{
		"npm": {[]string{"npm", "node"}, [][]string{{"npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "web-push@3.6.7"}},
			npmProxySender, []string{"node", "script"}, "Grüße von npm"},
		"python": {[]string{"python3"}, [][]string{{"python3", "-m", "venv", "venv"}, {"venv/bin/pip", "install", "-q", "--disable-pip-version-check", "pywebpush==2.5.0"}},
			pythonProxySender, []string{"venv/bin/python", "script"}, "Grüße von Python"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, tool := range test.tools {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skipf("SKIPPED: %s is not installed", tool)
				}
			}
			dir := t.TempDir()
			for _, args := range test.install {
				if strings.HasPrefix(args[0], "venv/") {
					args[0] = filepath.Join(dir, args[0])
				}
				c := exec.CommandContext(t.Context(), args[0], args[1:]...)
				c.Dir = dir
				if out, err := c.CombinedOutput(); err != nil {
					t.Skipf("SKIPPED: %v: %v\n%s", args, err, out)
				}
			}
			b := startSiteBrowser(t, "chromium")
			b.run("./webpush", "convert", "private_key.pem", "--to", "json", "-o", "vapid.json")
			for _, name := range []string{"vapid.json", "private_key.pem", "subscription.json"} {
				if err := os.Link(filepath.Join(b.dir, name), filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "script"), []byte(test.script), 0o600); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(test.send[0], "venv/") {
				test.send[0] = filepath.Join(dir, test.send[0])
			}
			proxy := b.printed("with other senders: HTTPS_PROXY=")
			ca, _, _ := strings.Cut(b.printed("and NODE_EXTRA_CA_CERTS="), " ")
			c := b.command(test.send[0], test.send[1:]...)
			c.Dir = dir
			c.Env = append(os.Environ(), "HTTPS_PROXY="+proxy, "NODE_EXTRA_CA_CERTS="+ca, "REQUESTS_CA_BUNDLE="+ca)
			out, err := c.CombinedOutput()
			if err != nil || string(out) != "201\n" {
				t.Fatalf("%v\n%s\n%s", err, out, b.talk)
			}
			if got := b.expect("/pushed"); got != test.want {
				t.Errorf("the worker got %q", got)
			}
		})
	}
}
