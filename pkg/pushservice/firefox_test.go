//go:build e2e

package pushservice_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// firefoxPreferences let Firefox use a push service on this machine over plain
// HTTP without asking anybody, and keep it off the network.
const firefoxPreferences = `
user_pref("dom.push.serverURL", "%s/");
user_pref("dom.push.enabled", true);
user_pref("dom.push.connection.enabled", true);
user_pref("dom.push.testing.allowInsecureServerURL", true);
user_pref("dom.push.testing.ignorePermission", true);
user_pref("dom.push.retryBaseInterval", 200);
user_pref("dom.push.maxQuotaPerSubscription", 1000);
user_pref("remote.prefs.recommended", false);
user_pref("network.proxy.type", 1);
user_pref("network.proxy.allow_bypass", false);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("network.proxy.no_proxies_on", "127.0.0.1,localhost");
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("app.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.page", 0);
`

const firefoxPage = `<!doctype html><title>push</title>`

// firefoxWorker passes on what it gets.
const firefoxWorker = `
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));
self.addEventListener('push', event => event.waitUntil(fetch('/pushed', {
	method: 'POST',
	headers: {'X-Data': event.data === null ? 'null' : 'bytes'},
	body: event.data === null ? '' : event.data.arrayBuffer(),
})));
self.addEventListener('pushsubscriptionchange', event => event.waitUntil(fetch('/changed', {method: 'POST'})));
`

// pushed is what the worker passed on.
type pushed struct {
	null bool
	data []byte
}

// firefox is a browser that is driven by WebDriver BiDi.
type firefox struct {
	t       *testing.T
	ws      *websocket.Conn
	id      int
	context string
}

// startFirefox starts one that uses the push service at url, or skips the test.
func startFirefox(t *testing.T, push string) *firefox {
	name := ""
	for _, candidate := range []string{"firefox-esr", "firefox"} {
		if path, err := exec.LookPath(candidate); err == nil {
			name = path
			break
		}
	}
	if name == "" {
		t.Skip("SKIPPED the test with a real Firefox: neither firefox-esr nor firefox is installed")
	}
	profile := t.TempDir()
	if err := os.WriteFile(filepath.Join(profile, "user.js"), fmt.Appendf(nil, firefoxPreferences, strings.Replace(push, "http", "ws", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(name, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "--remote-allow-system-access", "about:blank")
	c.Env = append(os.Environ(), "HOME="+t.TempDir(), "MOZ_CRASHREPORTER_DISABLE=1")
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		done := make(chan struct{})
		go func() { _ = c.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = c.Process.Kill()
			<-done
		}
	})
	address := make(chan string, 1)
	go func() {
		line := regexp.MustCompile(`WebDriver BiDi listening on (ws://\S+)`)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			if m := line.FindStringSubmatch(scanner.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	f := &firefox{t: t}
	select {
	case url := <-address:
		if f.ws, _, err = websocket.Dial(t.Context(), url+"/session", nil); err != nil {
			t.Fatal(err)
		}
		f.ws.SetReadLimit(16 << 20)
	case <-time.After(60 * time.Second):
		t.Fatal("Firefox has not started within a minute")
	}
	t.Cleanup(func() { _ = f.ws.CloseNow() })
	f.call("session.new", `{"capabilities":{}}`, nil)
	var tree struct{ Contexts []struct{ Context string } }
	f.call("browsingContext.getTree", `{}`, &tree)
	f.context = tree.Contexts[0].Context
	return f
}

// call makes a command of WebDriver BiDi and reads its result.
func (f *firefox) call(method, params string, result any) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 60*time.Second)
	defer cancel()
	f.id++
	if err := f.ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"id":%d,"method":%q,"params":%s}`, f.id, method, params)); err != nil {
		f.t.Fatal(err)
	}
	for {
		_, b, err := f.ws.Read(ctx)
		if err != nil {
			f.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID      int
			Type    string
			Result  json.RawMessage
			Message string
		}
		if err := json.Unmarshal(b, &answer); err != nil {
			f.t.Fatal(err)
		}
		if answer.ID != f.id {
			continue // an event
		}
		if answer.Type != "success" {
			f.t.Fatalf("%s: %s", method, b)
		}
		if result != nil {
			if err := json.Unmarshal(answer.Result, result); err != nil {
				f.t.Fatal(err)
			}
		}
		return
	}
}

// evaluate runs a function of the page and returns the string it resolves to.
func (f *firefox) evaluate(script string) string {
	f.t.Helper()
	expression, _ := json.Marshal("(async () => {" + script + "})()")
	var v struct {
		Type             string
		Result           struct{ Value any }
		ExceptionDetails struct{ Text string }
	}
	f.call("script.evaluate", fmt.Sprintf(`{"expression":%s,"awaitPromise":true,"target":{"context":%q}}`, expression, f.context), &v)
	if v.Type != "success" {
		f.t.Fatalf("the page: %s", v.ExceptionDetails.Text)
	}
	s, _ := v.Result.Value.(string)
	return s
}

// subscribe makes a subscription. One that is asked for before Firefox has said
// hello to the push service never settles, so it is asked for again.
func (f *firefox) subscribe(key string) *webpush.Subscription {
	f.t.Helper()
	text := f.evaluate(`
		const registration = await navigator.serviceWorker.register('/worker.js');
		await navigator.serviceWorker.ready;
		for (let i = 0; i < 20; i++) {
			const subscription = await Promise.race([
				registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: '` + key + `'}),
				new Promise(resolve => setTimeout(resolve, 3000)),
			]);
			if (subscription) return JSON.stringify(subscription);
		}
		throw new Error('subscribe() does not settle');`)
	sub, err := webpush.ParseSubscription([]byte(text))
	if err != nil {
		f.t.Fatalf("%v: %s", err, text)
	}
	return sub
}

// trust makes the browser trust an authority for servers, as its settings do:
// with a script that has the browser's own rights.
func (f *firefox) trust(ca []byte) {
	f.t.Helper()
	block, _ := pem.Decode(ca)
	var tree struct{ Contexts []struct{ Context string } }
	f.call("browsingContext.getTree", `{"moz:scope":"chrome"}`, &tree)
	page := f.context
	f.context = tree.Contexts[0].Context
	defer func() { f.context = page }()
	f.evaluate(`
		const db = Components.classes['@mozilla.org/security/x509certdb;1'].getService(Components.interfaces.nsIX509CertDB);
		db.addCertFromBase64('` + base64.StdEncoding.EncodeToString(block.Bytes) + `', 'C,,');`)
}

// site is where the page and its worker are.
type site struct {
	url     string
	arrived chan pushed
	changed chan struct{}
}

func startSite(t *testing.T) *site {
	s := &site{arrived: make(chan pushed, 10), changed: make(chan struct{}, 10)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/worker.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = io.WriteString(w, firefoxWorker)
		case "/pushed":
			b, _ := io.ReadAll(r.Body)
			s.arrived <- pushed{r.Header.Get("X-Data") == "null", b}
		case "/changed":
			s.changed <- struct{}{}
		default:
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, firefoxPage)
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *site) expect(t *testing.T, want pushed) {
	t.Helper()
	select {
	case got := <-s.arrived:
		if got.null != want.null || !bytes.Equal(got.data, want.data) {
			t.Errorf("the worker has %d bytes (null: %v), want %d (null: %v)", len(got.data), got.null, len(want.data), want.null)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("no push came within a minute")
	}
}

func (f *firefox) navigate(url string) {
	f.t.Helper()
	f.call("browsingContext.navigate", fmt.Sprintf(`{"context":%q,"url":%q,"wait":"complete"}`, f.context, url), nil)
}

// TestFirefoxRestart kills a push service that keeps its data, and starts it
// again: the subscription of a real Firefox stays good. Once over plain HTTP,
// once over TLS with an authority that Firefox was made to trust.
func TestFirefoxRestart(t *testing.T) {
	for _, name := range []string{"plain", "TLS"} {
		t.Run(name, func(t *testing.T) {
			o := childOptions{Dir: t.TempDir()}
			client := &webpush.Client{Key: generateKey(t), Subject: "mailto:ops@example.com"}
			var ca []byte
			if name == "TLS" {
				// Only its authority is used.
				server := start(t, pushservice.ServerOptions{TLS: true})
				o.Authority, ca = server.AuthorityPEM(), server.CA()
				hc, err := webpush.NewHTTPClient(webpush.TransportOptions{CAs: ca})
				if err != nil {
					t.Fatal(err)
				}
				client.HTTP = hc
			}
			service := startChild(t, o)
			_, o.Addr, _ = strings.Cut(service.url, "://")
			s := startSite(t)
			f := startFirefox(t, service.url)
			if ca != nil {
				f.trust(ca)
			}
			f.navigate(s.url)
			sub := f.subscribe(client.Key.PublicKey().String())
			send := func(text string) {
				t.Helper()
				if _, err := client.Send(t.Context(), sub, webpush.Message{Payload: []byte(text)}); err != nil {
					t.Fatal(err)
				}
			}
			send("before")
			s.expect(t, pushed{data: []byte("before")})
			for i := range 2 {
				service.kill()
				service = startChild(t, o)
				text := fmt.Sprint("after SIGKILL ", i)
				send(text)
				s.expect(t, pushed{data: []byte(text)})
			}
			endpoint := f.evaluate(`
				const registration = await navigator.serviceWorker.ready;
				return (await registration.pushManager.getSubscription()).endpoint;`)
			if endpoint != sub.Endpoint() {
				t.Errorf("the subscription is another one: %s", endpoint)
			}
			select {
			case <-s.changed:
				t.Error("the subscription changed")
			case <-s.arrived:
				t.Error("a message came twice")
			default:
			}
		})
	}
}

// TestFirefox lets a real Firefox subscribe, receive, and come back after the
// push service was away.
func TestFirefox(t *testing.T) {
	service := startService(t, "127.0.0.1:0")
	s := startSite(t)
	f := startFirefox(t, service.URL)
	f.navigate(s.url)

	key := generateKey(t)
	sub := f.subscribe(key.PublicKey().String())
	client := &webpush.Client{Key: key, Subject: "mailto:ops@example.com"}
	send := func(m webpush.Message) {
		t.Helper()
		if _, err := client.Send(t.Context(), sub, m); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want pushed) {
		t.Helper()
		s.expect(t, want)
	}
	send(webpush.Message{})
	expect(pushed{null: true})
	for _, encoding := range []ece.Encoding{ece.AES128GCM, ece.AESGCM} {
		for _, payload := range [][]byte{{}, []byte("x"), []byte("Grüße 👋 \x00\r\n"), bytes.Repeat([]byte{0xff, 0, 7}, 1331)} {
			send(webpush.Message{Payload: payload, Encoding: encoding})
			expect(pushed{data: payload})
		}
	}
	waiting := func() (n int) {
		for _, sub := range service.Service.Subscriptions() {
			n += sub.Messages
		}
		return n
	}
	for i := 0; waiting() > 0; i++ {
		if i == 100 {
			t.Fatalf("%d messages are not acknowledged", waiting())
		}
		time.Sleep(50 * time.Millisecond)
	}

	// The connection is lost, and a message comes before Firefox is back.
	service.Service.Disconnect()
	send(webpush.Message{Payload: []byte("meanwhile")})
	expect(pushed{data: []byte("meanwhile")})

	// Unsubscribing ends it for senders.
	f.evaluate(`
		const registration = await navigator.serviceWorker.ready;
		const subscription = await registration.pushManager.getSubscription();
		return String(await subscription.unsubscribe());`)
	for i := 0; len(service.Service.Subscriptions()) > 0; i++ {
		if i == 100 {
			t.Fatal("the subscription is there after unsubscribe()")
		}
		time.Sleep(50 * time.Millisecond)
	}
	select {
	case <-s.changed:
		t.Error("the subscription changed")
	default:
	}
	if _, err := client.Send(t.Context(), sub, webpush.Message{}); err == nil {
		t.Error("a message was accepted after unsubscribe()")
	}

	// A push service that comes back without its data gives Firefox a new id,
	// and takes new subscriptions.
	sub = f.subscribe(key.PublicKey().String())
	address := strings.TrimPrefix(service.URL, "http://")
	if err := service.Close(); err != nil {
		t.Error(err)
	}
	service = startService(t, address)
	for i := 0; f.evaluate(`
		const registration = await navigator.serviceWorker.ready;
		return String(await registration.pushManager.getSubscription());`) != "null"; i++ {
		if i == 100 {
			t.Fatal("Firefox keeps a subscription that the push service does not know")
		}
		time.Sleep(100 * time.Millisecond)
	}
	sub = f.subscribe(key.PublicKey().String())
	send(webpush.Message{Payload: []byte("after the restart")})
	expect(pushed{data: []byte("after the restart")})
}

func startService(t *testing.T, address string) *pushservice.Server {
	t.Helper()
	server, err := pushservice.Start(pushservice.ServerOptions{Addr: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}
