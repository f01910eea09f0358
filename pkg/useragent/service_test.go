package useragent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/pushservice/sqlite"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func socketURL(s *pushservice.Server) string { return "ws" + strings.TrimPrefix(s.URL, "http") }

// TestService is the whole loop over the WebSocket of package pushservice, with
// TLS, a key and both encodings.
func TestService(t *testing.T) {
	s := start(t, true)
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := useragent.Subscribe(t.Context(), socketURL(s), useragent.Options{ApplicationServerKey: key.PublicKey(), HTTP: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	endpoint, r := recipient(t, sub)
	for _, e := range []ece.Encoding{ece.AES128GCM, ece.AESGCM} {
		push(t, s.Client(), endpoint, encrypt(t, r, []byte(e), e), key)
		m, err := sub.Receive(t.Context())
		if err != nil || string(m.Payload) != string(e) || m.Encoding != e {
			t.Fatalf("got %+v, %v", m, err)
		}
		ack(t, sub, m)
	}
	push(t, s.Client(), endpoint, nil, key)
	if m, err := sub.Receive(t.Context()); err != nil || m.Payload != nil {
		t.Errorf("got %+v, %v", m, err)
	}
	if err := sub.Unsubscribe(t.Context()); err != nil {
		t.Error(err)
	}
	closeSub(t, sub)
}

// TestRestarts: a user agent that is started again, with its state, receives
// what it has not acknowledged, all of it and nothing twice.
func TestRestarts(t *testing.T) {
	s := start(t, false)
	sub, err := useragent.Subscribe(t.Context(), socketURL(s), useragent.Options{HTTP: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	endpoint, r := recipient(t, sub)
	const rounds, each = 5, 7
	next := 0
	for round := range rounds {
		for i := range each {
			push(t, s.Client(), endpoint, encrypt(t, r, fmt.Append(nil, round*each+i), ece.AES128GCM), nil)
		}
		for i := range each - 2 + round%2 { // some are left for the next
			m, err := sub.Receive(t.Context())
			if err != nil || string(m.Payload) != fmt.Sprint(next) {
				t.Fatalf("round %d, message %d: got %v, %v, want %d", round, i, m, err, next)
			}
			ack(t, sub, m)
			next++
		}
		if m, err := sub.Receive(t.Context()); err != nil || string(m.Payload) != fmt.Sprint(next) { // and not acknowledged
			t.Fatalf("got %v, %v, want %d", m, err, next)
		}
		b, err := json.Marshal(sub.State())
		if err != nil {
			t.Fatal(err)
		}
		left(t, s.Service, (round+1)*each-next)
		closeSub(t, sub)
		var state useragent.State
		if err := json.Unmarshal(b, &state); err != nil {
			t.Fatal(err)
		}
		if sub, err = only(useragent.Open(t.Context(), state, useragent.Options{HTTP: s.Client()})); err != nil {
			t.Fatal(err)
		}
	}
	for ; next < rounds*each; next++ {
		m, err := sub.Receive(t.Context())
		if err != nil || string(m.Payload) != fmt.Sprint(next) {
			t.Fatalf("got %v, %v, want %d", m, err, next)
		}
		ack(t, sub, m)
	}
	left(t, s.Service, 0)
	closeSub(t, sub)
}

// TestServiceRestarts: a push service that keeps its data may go away and come
// back: the subscription is the same, and each message is received once.
func TestServiceRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := pushservice.ServerOptions{Storage: openStorage(t, dir)}
	s, err := pushservice.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Addr = strings.TrimPrefix(s.URL, "http://")
	sub, err := useragent.Subscribe(t.Context(), socketURL(s), useragent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	endpoint, r := recipient(t, sub)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range 5 {
		push(t, client, endpoint, encrypt(t, r, fmt.Append(nil, i), ece.AES128GCM), nil)
		if i%2 == 0 { // sometimes before it is received, or acknowledged
			m, err := sub.Receive(t.Context())
			if err != nil || string(m.Payload) != fmt.Sprint(i) {
				t.Fatalf("got %v, %v, want %d", m, err, i)
			}
			ack(t, sub, m)
		}
		if i < 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			o.Storage = openStorage(t, dir)
			if s, err = pushservice.Start(o); err != nil {
				t.Fatal(err)
			}
		}
		if i%2 == 1 {
			m, err := sub.Receive(t.Context())
			if err != nil || string(m.Payload) != fmt.Sprint(i) {
				t.Fatalf("got %v, %v, want %d", m, err, i)
			}
			ack(t, sub, m)
		}
	}
	left(t, s.Service, 0)
	closeSub(t, sub)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// left waits until the service has so many messages of its only subscription:
// it takes acknowledgements after they were sent.
func left(t *testing.T, s *pushservice.Service, want int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); s.Subscriptions()[0].Messages != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d messages are left, want %d", s.Subscriptions()[0].Messages, want)
		}
	}
}

// TestLostConnections cuts the connection again and again while messages
// arrive: each is received once.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var conns []net.Conn
	service := pushservice.New(pushservice.Options{})
	server := httptest.NewUnstartedServer(service)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateHijacked {
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, c)
		}
	}
	server.Start()
	defer server.Close()
	var lost atomic.Int64
	sub, err := useragent.Subscribe(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), useragent.Options{Notify: func(e useragent.Event) {
		if e.Err != nil {
			lost.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	endpoint, r := recipient(t, sub)
	const n = 40
	for i := range n {
		push(t, server.Client(), endpoint, encrypt(t, r, fmt.Append(nil, i), ece.AES128GCM), nil)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range n {
		m, err := sub.Receive(ctx)
		if err != nil || string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("got %v, %v, want %d", m, err, i)
		}
		if i == n/2 || i == n/2+3 {
			mu.Lock()
			for _, c := range conns {
				_ = c.Close()
			}
			conns = nil
			mu.Unlock()
		}
		if err := sub.Ack(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if m, err := sub.Receive(brief); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("received %v, %v after the last", m, err)
	}
	if lost.Load() == 0 {
		t.Error("no connection was lost")
	}
	closeSub(t, sub)
}

func openStorage(t testing.TB, dir string) *sqlite.Storage {
	t.Helper()
	storage, err := sqlite.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return storage
}

// BenchmarkAgents is 1,000 user agents connected by WebSocket to a service in
// the same process, which keeps messages in memory or also in a folder. Each
// operation is one message to each of them, and the
// benchmark fails if one is lost or comes twice. B/idle-conn is the memory, of
// both sides together, of a connection on which nothing happens. Sending is part
// of what is measured; encrypting is not.
func BenchmarkAgents(b *testing.B) {
	o := pushservice.Options{MaxMessages: 1 << 20}
	b.Run("memory", func(b *testing.B) { benchmarkAgents(b, pushservice.New(o)) })
	b.Run("data", func(b *testing.B) {
		service, err := pushservice.Open(openStorage(b, b.TempDir()), o)
		if err != nil {
			b.Fatal(err)
		}
		benchmarkAgents(b, service)
		if err := service.Close(); err != nil {
			b.Error(err)
		}
	})
}

func benchmarkAgents(b *testing.B, service *pushservice.Service) {
	const agents = 1000
	server := httptest.NewServer(service)
	defer server.Close()
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	memory := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	subs := make([]*useragent.Subscription, agents)
	for i := range subs {
		var err error
		if subs[i], err = useragent.Subscribe(b.Context(), url, useragent.Options{HTTP: client}); err != nil {
			b.Fatal(err)
		}
	}
	perConn := float64(memory()-before) / agents
	messages := make([]*ece.EncryptedMessage, agents)
	for i, sub := range subs {
		m, err := sub.Identity().Recipient().Encrypt(fmt.Append(nil, "for ", i), ece.Options{})
		if err != nil {
			b.Fatal(err)
		}
		messages[i] = m
	}
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	b.ResetTimer()
	began := time.Now()
	var delivered atomic.Int64
	var wg sync.WaitGroup
	for i, sub := range subs {
		wg.Go(func() {
			ids := make(map[string]bool, b.N)
			for range b.N {
				m, err := sub.Receive(ctx)
				if err != nil {
					b.Errorf("user agent %d: %v", i, err)
					return
				}
				if string(m.Payload) != fmt.Sprint("for ", i) || ids[m.ID] {
					b.Errorf("user agent %d received %q, seen before: %v", i, m.Payload, ids[m.ID])
				}
				ids[m.ID] = true
				delivered.Add(1)
				if err := sub.Ack(ctx, m); err != nil {
					b.Errorf("user agent %d: %v", i, err)
					return
				}
			}
		})
	}
	const senders = 32
	for worker := range senders {
		wg.Go(func() {
			for range b.N {
				for i := worker; i < agents; i += senders {
					if err := post(ctx, client, subs[i].Endpoint(), messages[i]); err != nil {
						b.Errorf("sending to user agent %d: %v", i, err)
						cancel()
						return
					}
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	b.StopTimer()
	if want := int64(agents) * int64(b.N); delivered.Load() != want {
		b.Errorf("%d of %d messages were delivered", delivered.Load(), want)
	}
	for i, sub := range subs {
		if err := sub.Close(); err != nil {
			b.Errorf("user agent %d: %v", i, err)
		}
	}
	for _, sub := range service.Subscriptions() {
		if sub.Messages != 0 {
			b.Errorf("%d messages are left", sub.Messages)
			break
		}
	}
	b.ReportMetric(perConn, "B/idle-conn")
	b.ReportMetric(float64(delivered.Load())/took.Seconds(), "deliveries/s")
	b.ReportMetric(0, "ns/op")
}

// post sends a message of a benchmark.
func post(ctx context.Context, c *http.Client, endpoint string, m *ece.EncryptedMessage) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(string(m.Body)))
	if err != nil {
		return err
	}
	r.Header.Set("TTL", "600")
	r.Header.Set("Content-Encoding", string(m.Encoding))
	answer, err := c.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}
