//go:build e2e

package pushservice_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/browsertest"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const firefoxPage = `<!doctype html><title>push</title>`

// firefoxWorker forwards each push message to the site.
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

// pushed is a push message that the worker has forwarded.
type pushed struct {
	null bool
	data []byte
}

// startFirefox starts a Firefox that uses the push service at a URL.
func startFirefox(t *testing.T, url string) *browsertest.Browser {
	t.Helper()
	return browsertest.Start(t, browsertest.Options{Name: "firefox", PushService: browsertest.PushService{WebSocket: strings.Replace(url, "http", "ws", 1)}})
}

// subscribeIn creates a subscription. A request before Firefox has sent its hello to
// the push service never settles, so it is repeated. Chromium gets only one request,
// because a second one would replace the first.
func subscribeIn(t *testing.T, f *browsertest.Browser, key string) *webpush.Subscription {
	t.Helper()
	text := f.Run(`
		const registration = await navigator.serviceWorker.register('/worker.js');
		await navigator.serviceWorker.ready;
		const patience = navigator.userAgent.includes('Firefox') ? 3000 : 50000;
		for (let i = 0; i < 20; i++) {
			const subscription = await Promise.race([
				registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: '` + key + `'}),
				new Promise(resolve => setTimeout(resolve, patience)),
			]);
			if (subscription) return JSON.stringify(subscription);
		}
		throw new Error('subscribe() does not settle');`)
	sub, err := webpush.ParseSubscription([]byte(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return sub
}

// trust makes the browser trust a certificate authority for servers, like its
// settings.
func trust(f *browsertest.Browser, ca []byte) {
	block, _ := pem.Decode(ca)
	f.RunPrivileged(`
		const db = Components.classes['@mozilla.org/security/x509certdb;1'].getService(Components.interfaces.nsIX509CertDB);
		db.addCertFromBase64('` + base64.StdEncoding.EncodeToString(block.Bytes) + `', 'C,,');`)
}

// site is a web site with a page and a worker.
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

// TestFirefoxRestart kills and restarts a push service with stored data: the
// subscription of a real Firefox remains valid. It runs once over plain HTTP, and
// once over TLS with a certificate authority that Firefox trusts.
func TestFirefoxRestart(t *testing.T) {
	for _, name := range []string{"plain", "TLS"} {
		t.Run(name, func(t *testing.T) {
			o := childOptions{Dir: t.TempDir()}
			client := &webpush.Client{Key: generateKey(t), Subject: "mailto:ops@example.com"}
			var ca []byte
			if name == "TLS" {
				// Only the authority is used.
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
				trust(f, ca)
			}
			f.Open(s.url)
			sub := subscribeIn(t, f, client.Key.PublicKey().String())
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
			endpoint := f.Run(`
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

// TestFirefox lets a real Firefox subscribe, receive, and reconnect after the push
// service was away.
func TestFirefox(t *testing.T) {
	service := startService(t, "127.0.0.1:0")
	s := startSite(t)
	f := startFirefox(t, service.URL)
	f.Open(s.url)

	key := generateKey(t)
	sub := subscribeIn(t, f, key.PublicKey().String())
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

	// The connection is lost, and a message is sent before Firefox reconnects.
	service.Service.Disconnect()
	send(webpush.Message{Payload: []byte("meanwhile")})
	expect(pushed{data: []byte("meanwhile")})

	// After unsubscribe(), messages are refused.
	f.Run(`
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

	// A push service that restarts without its data gives Firefox a new ID and accepts
	// new subscriptions.
	sub = subscribeIn(t, f, key.PublicKey().String())
	address := strings.TrimPrefix(service.URL, "http://")
	if err := service.Close(); err != nil {
		t.Error(err)
	}
	service = startService(t, address)
	for i := 0; f.Run(`
		const registration = await navigator.serviceWorker.ready;
		return String(await registration.pushManager.getSubscription());`) != "null"; i++ {
		if i == 100 {
			t.Fatal("Firefox keeps a subscription that the push service does not know")
		}
		time.Sleep(100 * time.Millisecond)
	}
	sub = subscribeIn(t, f, key.PublicKey().String())
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

// TestFirefoxCertificate: a Firefox whose profile has an exception for the
// certificate of a push service over TLS subscribes and receives there.
func TestFirefoxCertificate(t *testing.T) {
	server := start(t, pushservice.ServerOptions{TLS: true})
	running, err := pushservice.Lookup(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := startSite(t)
	f := browsertest.Start(t, browsertest.Options{Name: "firefox", PushService: browsertest.PushService{WebSocket: running.WebSocket(), Certificate: running.Certificate}})
	f.Open(s.url)
	hc, err := webpush.NewHTTPClient(webpush.TransportOptions{CAs: server.CA()})
	if err != nil {
		t.Fatal(err)
	}
	client := &webpush.Client{Key: generateKey(t), Subject: "mailto:ops@example.com", HTTP: hc}
	sub := subscribeIn(t, f, client.Key.PublicKey().String())
	sender(t, client, sub)(webpush.Message{Payload: []byte("over TLS")})
	s.expect(t, pushed{data: []byte("over TLS")})
}
