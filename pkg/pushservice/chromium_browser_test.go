//go:build e2e

package pushservice_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/browsertest"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// startChromium starts a Chromium that uses a push service. If profile is not empty,
// the profile is kept.
func startChromium(t *testing.T, c *pushservice.ChromiumServer, profile string) *browsertest.Browser {
	t.Helper()
	return browsertest.Start(t, browsertest.Options{Name: "chromium", Profile: profile,
		PushService: browsertest.PushService{Address: c.Addr, PublicKeyHash: c.PublicKeyHash}})
}

// chromiumClient returns a client that sends to Chromium's endpoints at the push
// service.
func chromiumClient(t *testing.T, c *pushservice.ChromiumServer) *webpush.Client {
	t.Helper()
	hc, err := webpush.NewHTTPClient(webpush.TransportOptions{CAs: c.CA(), ConnectTo: []string{c.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	return &webpush.Client{Key: generateKey(t), Subject: "mailto:ops@example.com", HTTP: hc}
}

// sender returns a function that sends a message.
func sender(t *testing.T, client *webpush.Client, sub *webpush.Subscription) func(webpush.Message) {
	return func(m webpush.Message) {
		t.Helper()
		if _, err := client.Send(t.Context(), sub, m); err != nil {
			t.Fatal(err)
		}
	}
}

// ackLog counts the acknowledgments of each message in the log of a service.
type ackLog struct {
	slog.Handler
	mu   sync.Mutex
	acks map[string]int
}

func newAckLog() *ackLog { return &ackLog{Handler: slog.DiscardHandler, acks: make(map[string]int)} }

func (l *ackLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *ackLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "mcs ack" {
		r.Attrs(func(a slog.Attr) bool {
			l.mu.Lock()
			l.acks[a.Value.String()]++
			l.mu.Unlock()
			return false
		})
	}
	return nil
}

// acknowledged waits until no message is left at the service.
func acknowledged(t *testing.T, s *pushservice.Service) {
	t.Helper()
	for i := 0; ; i++ {
		n := 0
		for _, sub := range s.Subscriptions() {
			n += sub.Messages
		}
		if n == 0 {
			return
		}
		if i == 200 {
			t.Fatalf("%d messages are not acknowledged", n)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// silence fails if the worker got more than was expected.
func (s *site) silence(t *testing.T) {
	t.Helper()
	select {
	case got := <-s.arrived:
		t.Errorf("the worker got %q as well", got.data)
	case <-s.changed:
		t.Error("the subscription changed")
	default:
	}
}

// TestChromium lets a real Chromium subscribe, receive every payload in both
// encodings and 100 messages in a row, reconnect after a lost connection, and
// unsubscribe.
func TestChromium(t *testing.T) {
	log := newAckLog()
	server := startChromiumServer(t, pushservice.ServerOptions{Options: pushservice.Options{Log: slog.New(log)}})
	s := startSite(t)
	b := startChromium(t, server.Chromium, "")
	b.Open(s.url)
	client := chromiumClient(t, server.Chromium)
	sub := subscribeIn(t, b, client.Key.PublicKey().String())
	began := time.Now() // after the login
	if origin := sub.Origin(); origin != "https://fcm.googleapis.com" && origin != "https://jmt17.google.com" {
		t.Errorf("the endpoint's origin is %s", origin)
	}
	send := sender(t, client, sub)
	send(webpush.Message{})
	s.expect(t, pushed{null: true})
	for _, encoding := range []ece.Encoding{ece.AES128GCM, ece.AESGCM} {
		for _, payload := range [][]byte{[]byte("x"), []byte("Grüße 👋 \x00\r\n"), bytes.Repeat([]byte("y"), 3993)} {
			send(webpush.Message{Payload: payload, Encoding: encoding})
			s.expect(t, pushed{data: payload})
		}
		// Decrypted, but event.data is null.
		send(webpush.Message{Payload: bytes.Repeat([]byte{0xff, 0, 7}, 1331), Encoding: encoding})
		s.expect(t, pushed{null: true})
	}
	// An empty payload arrives; in aes128gcm, because it is padded.
	for _, encoding := range []ece.Encoding{ece.AES128GCM, ece.AESGCM} {
		send(webpush.Message{Payload: []byte{}, Encoding: encoding})
		s.expect(t, pushed{})
	}
	acknowledged(t, server.Service)

	log.mu.Lock()
	clear(log.acks)
	log.mu.Unlock()
	const many = 100
	got := make(map[string]int)
	go func() {
		for i := range many {
			_, _ = client.Send(t.Context(), sub, webpush.Message{Payload: fmt.Append(nil, "message ", i)})
		}
	}()
	for range many {
		select {
		case p := <-s.arrived:
			got[string(p.data)]++
		case <-time.After(time.Minute):
			t.Fatalf("%d of %d messages came", len(got), many)
		}
	}
	if len(got) != many {
		t.Errorf("%d of %d messages came, some more than once", len(got), many)
	}
	acknowledged(t, server.Service)
	log.mu.Lock()
	for id, n := range log.acks {
		if n != 1 {
			t.Errorf("message %s was acknowledged %d times", id, n)
		}
	}
	if n := len(log.acks); n != many {
		t.Errorf("%d messages were acknowledged, want %d", n, many)
	}
	log.mu.Unlock()

	// The connection is lost, and a message is sent before Chromium reconnects. Within
	// 10 seconds of its login, Chromium would wait up to 30 seconds.
	time.Sleep(time.Until(began.Add(11 * time.Second)))
	server.Service.Disconnect()
	send(webpush.Message{Payload: []byte("meanwhile")})
	s.expect(t, pushed{data: []byte("meanwhile")})

	// A message signed with a key other than the subscription's is refused.
	other := chromiumClient(t, server.Chromium)
	var refused *webpush.Error
	if _, err := other.Send(t.Context(), sub, webpush.Message{}); !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
		t.Errorf("with another key: %v", err)
	}
	// After unsubscribe(), messages are refused.
	b.Run(`
		const registration = await navigator.serviceWorker.ready;
		const subscription = await registration.pushManager.getSubscription();
		return String(await subscription.unsubscribe());`)
	for i := 0; ; i++ {
		_, err := client.Send(t.Context(), sub, webpush.Message{})
		if errors.As(err, &refused) && refused.Status == http.StatusGone {
			break
		}
		if i == 100 {
			t.Fatalf("after unsubscribe(): %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	// It can subscribe again.
	subscribeIn(t, b, client.Key.PublicKey().String())
	s.silence(t)
}

// TestChromiumRestart stops a Chromium with its subscription, sends to it, and
// starts it again with its profile.
func TestChromiumRestart(t *testing.T) {
	server := startChromiumServer(t, pushservice.ServerOptions{})
	s := startSite(t)
	profile := t.TempDir()
	b := startChromium(t, server.Chromium, profile)
	b.Open(s.url)
	client := chromiumClient(t, server.Chromium)
	sub := subscribeIn(t, b, client.Key.PublicKey().String())
	send := sender(t, client, sub)
	send(webpush.Message{Payload: []byte("before")})
	s.expect(t, pushed{data: []byte("before")})
	acknowledged(t, server.Service)
	b.Stop()
	for server.Service.Subscriptions()[0].Waiting > 0 {
		time.Sleep(20 * time.Millisecond)
	}
	now, short := time.Duration(0), time.Second
	send(webpush.Message{Payload: []byte("now or never"), TTL: &now})
	send(webpush.Message{Payload: []byte("expires"), TTL: &short})
	send(webpush.Message{Payload: []byte("old news"), Topic: "news"})
	send(webpush.Message{Payload: []byte("kept")})
	send(webpush.Message{Payload: []byte("news"), Topic: "news"})
	time.Sleep(short + 100*time.Millisecond)
	b = startChromium(t, server.Chromium, profile)
	// Messages with a topic come first.
	s.expect(t, pushed{data: []byte("news")})
	s.expect(t, pushed{data: []byte("kept")})
	acknowledged(t, server.Service)
	b.Open(s.url)
	endpoint := b.Run(`
		const registration = await navigator.serviceWorker.ready;
		return (await registration.pushManager.getSubscription()).endpoint;`)
	if endpoint != sub.Endpoint() {
		t.Errorf("the subscription is another one: %s", endpoint)
	}
	s.silence(t)
}

// TestChromiumKilledService kills and restarts a push service with stored data while
// a Chromium and a Firefox use it: their subscriptions remain valid.
func TestChromiumKilledService(t *testing.T) {
	// Only the authority and the address are used.
	first := startChromiumServer(t, pushservice.ServerOptions{})
	o := childOptions{Dir: t.TempDir(), Chromium: &pushservice.ChromiumOptions{Addr: first.Chromium.Addr, AuthorityPEM: first.Chromium.AuthorityPEM()}}
	o.Addr = first.URL[len("http://"):]
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	service := startChild(t, o)
	client := chromiumClient(t, first.Chromium)
	everyday := &webpush.Client{Key: client.Key, Subject: client.Subject}
	key := client.Key.PublicKey().String()
	sites := [2]*site{startSite(t), startSite(t)}
	browsers := [2]*browsertest.Browser{startChromium(t, first.Chromium, ""), startFirefox(t, service.url)}
	clients := [2]*webpush.Client{client, everyday}
	var subs [2]*webpush.Subscription
	for i, b := range browsers {
		b.Open(sites[i].url)
		subs[i] = subscribeIn(t, b, key)
	}
	round := func(text string) {
		t.Helper()
		for i := range browsers {
			sender(t, clients[i], subs[i])(webpush.Message{Payload: []byte(text)})
		}
		for i := range browsers {
			sites[i].expect(t, pushed{data: []byte(text)})
		}
	}
	round("before")
	service.kill()
	startChild(t, o)
	// Chromium's first attempt fails, and it retries after 20 to 30 seconds.
	round("after SIGKILL")
	for _, s := range sites {
		s.silence(t)
	}
}
