package appserver_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// bubble is a server without connections, for tests with synctest.
type bubble struct {
	*appserver.Server
	store appserver.Store
	log   lockedBuffer
}

func newBubble(t *testing.T, change func(*appserver.Options)) *bubble {
	t.Helper()
	b := new(bubble)
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if b.store, err = sqlite.Open(filepath.Join(t.TempDir(), "webpush.db")); err != nil {
		t.Fatal(err)
	}
	o := appserver.Options{Store: b.store, Key: key, Subject: "mailto:ops@example.com", Token: token, BehindProxy: true, ClientRate: -1, TotalRate: -1,
		Log: slog.New(slog.NewTextHandler(&b.log, nil))}
	change(&o)
	if b.Server, err = appserver.New(o); err != nil {
		t.Fatal(err)
	}
	return b
}

// post makes a request from the n-th client.
func (b *bubble) post(ctx context.Context, n int, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.%d.%d", n/250, 1+n%250))
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

// A client that requests a test message must not learn from the response, or from
// its duration, which names exist in the server's network, and what can be reached
// there.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := []struct {
			after time.Duration
			err   error
		}{
			{20 * time.Millisecond, &net.DNSError{Err: "no such host", Name: "intranet.example", IsNotFound: true}},
			{3 * time.Second, &net.DNSError{Err: "server misbehaving", Name: "intranet.example", IsTemporary: true}},
			{time.Millisecond, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}},
			{5 * time.Second, &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}},
			{time.Hour, nil}, // until the client's own timeout
			{40 * time.Millisecond, x509.UnknownAuthorityError{}},
			{40 * time.Millisecond, x509.HostnameError{Host: "intranet.example", Certificate: new(x509.Certificate)}},
			{0, errors.New("the endpoint's address 10.0.0.1 is not public")},
			{30 * time.Millisecond, errors.New(`malformed HTTP response "SSH-2.0"`)},
			{0, io.ErrUnexpectedEOF},
		}
		i := 0
		b := newBubble(t, func(o *appserver.Options) {
			o.HTTP = doer(func(r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(failures[i].after):
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
				return nil, failures[i].err
			})
		})
		defer b.store.Close()
		defer b.Close()
		var first string
		for i = range failures {
			endpoint := fmt.Sprintf("https://host-%d.example/x", i)
			if w := b.post(t.Context(), i, "/subscription", subscription(endpoint)); w.Code != 201 {
				t.Fatal(w.Code, w.Body)
			}
			start := time.Now()
			w := b.post(t.Context(), i, "/subscription/test", `{"endpoint":"`+endpoint+`"}`)
			got := fmt.Sprint(w.Code, w.Header().Get("Retry-After"), w.Body, time.Since(start))
			if first == "" {
				first = got
			}
			if w.Code != 502 || got != first {
				t.Errorf("%v: %s, want the same as for the others: %s", failures[i], got, first)
			}
			if !strings.Contains(b.log.String(), fmt.Sprintf("host-%d.example", i)) {
				t.Errorf("%v: the log does not have the endpoint's origin", failures[i])
			}
		}
	})
}

// The requests that wait are bounded, and end with their client or the server.
func TestUnreachableIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(o *appserver.Options) {
			o.HTTP = doer(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
		})
		defer b.store.Close()
		start := time.Now()
		clients, leave := context.WithCancel(t.Context())
		codes := make(chan int, 2*appserver.MaxTrials)
		test := func(i int, delay string) {
			endpoint := fmt.Sprintf("https://host-%d.example/x", i)
			if w := b.post(t.Context(), i, "/subscription", subscription(endpoint)); w.Code != 201 {
				t.Fatal(w.Code, w.Body)
			}
			go func() {
				codes <- b.post(clients, i, "/subscription/test", `{"endpoint":"`+endpoint+`"`+delay+`}`).Code
			}()
			synctest.Wait()
		}
		for i := range appserver.MaxTrials {
			test(i, "")
		}
		if len(codes) != 0 {
			t.Fatalf("a request got %d at once", <-codes)
		}
		test(appserver.MaxTrials, "")
		if code := <-codes; code != 429 {
			t.Errorf("the request above the limit got %d, want 429", code)
		}
		leave()
		for range appserver.MaxTrials {
			if code := <-codes; code != 499 && code != 200 { // nobody reads it
				t.Fatalf("a request whose client left got %d", code)
			}
		}
		clients = t.Context()
		test(appserver.MaxTrials+1, "")
		b.Close()
		if code := <-codes; code != 502 || time.Since(start) > time.Second {
			t.Errorf("a request got %d after %v, when the server was closed", code, time.Since(start))
		}
	})
}

// Delayed test messages are bounded.
func TestDelayedIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(o *appserver.Options) {
			o.HTTP = doer(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
		})
		defer b.store.Close()
		defer b.Close()
		for i := range appserver.MaxDelayed + 1 {
			endpoint := fmt.Sprintf("https://host-%d.example/x", i)
			b.post(t.Context(), i, "/subscription", subscription(endpoint))
			want := 202
			if i == appserver.MaxDelayed {
				want = 429
			}
			if w := b.post(t.Context(), i, "/subscription/test", `{"endpoint":"`+endpoint+`","delay":60}`); w.Code != want {
				t.Fatalf("request %d got %d, want %d", i, w.Code, want)
			}
		}
		time.Sleep(2 * time.Minute)
	})
}

// noSpaceStore simulates a full disk.
type noSpaceStore struct {
	appserver.Store
	full   atomic.Bool
	probes atomic.Int64
}

func (s *noSpaceStore) Put(ctx context.Context, r appserver.Record) (appserver.Record, bool, error) {
	if s.full.Load() {
		return r, false, fmt.Errorf("writing: %w", appserver.ErrFull)
	}
	return s.Store.Put(ctx, r)
}

func (s *noSpaceStore) CommitPart(ctx context.Context, p appserver.Part, b appserver.Batch) (appserver.Committed, error) {
	if s.full.Load() {
		return appserver.Committed{}, appserver.ErrFull
	}
	return s.Store.CommitPart(ctx, p, b)
}

func (s *noSpaceStore) Probe(ctx context.Context) error {
	s.probes.Add(1)
	if s.full.Load() {
		return appserver.ErrFull
	}
	return s.Store.Probe(ctx)
}

// A full disk is temporary: requests get 507 with Retry-After, /healthz notices,
// and a push waits instead of failing.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	store := new(noSpaceStore)
	sink := newSink(t, nil)
	f := newFixture(t, func(o *appserver.Options) {
		store.Store = o.Store
		o.Store = store
	})
	f.server.SetHealthFor(0)
	f.want(200, "GET", "/healthz", "")
	f.want(201, "POST", "/subscription", subscription(sink.URL+"/a"))
	store.full.Store(true)
	for _, c := range [][3]string{{"POST", "/subscription", subscription(sink.URL + "/b")}, {"GET", "/healthz", ""}} {
		r := f.want(507, c[0], c[1], c[2])
		if r.Header.Get("Retry-After") == "" || r.json(t)["code"] != "store-full" {
			t.Errorf("%s %s: %v, %s", c[0], c[1], r.Header, r.text)
		}
	}
	f.server.SetUnavailable(1)
	f.run()
	id := f.push(`{"payload":"x"}`)
	until(t, "the message is sent", func() bool { return sink.count("/a") == 1 })
	store.full.Store(false)
	if v := f.finished(id); v["state"] != "done" || sink.count("/a") != 1 {
		t.Errorf("the push ended as %v, after %d messages", v, sink.count("/a"))
	}
	f.want(200, "GET", "/healthz", "")
}

// Anyone can request the health, so the result of a probe is reused.
func TestHealthIsRemembered(t *testing.T) {
	store := new(noSpaceStore)
	f := newFixture(t, func(o *appserver.Options) {
		store.Store = o.Store
		o.Store = store
	})
	f.server.SetHealthFor(1 << 40)
	for range 20 {
		f.want(200, "GET", "/healthz", "", "Authorization", "")
	}
	if n := store.probes.Load(); n != 1 {
		t.Errorf("the store was probed %d times, want once", n)
	}
}

// A token file that other users can write is refused.
func TestTokenFileOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no permission bits")
	}
	file := filepath.Join(t.TempDir(), "token")
	if _, made, err := appserver.LoadToken(file); err != nil || !made {
		t.Fatal(made, err)
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o440: true, 0o644: true, 0o660: false, 0o602: false, 0o666: false} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		token, _, err := appserver.LoadToken(file)
		var hint interface{ Hint() string }
		if ok != (err == nil) || !ok && (!errors.As(err, &hint) || hint.Hint() == "" || token != "") {
			t.Errorf("%04o: %v", mode, err)
		}
	}
}

// Each route has one path, without redirects to it.
func TestPaths(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{"//", "///", "//push", "/push//", "/./", "/a/../push", "//push/"} {
		r := f.do("GET", path, "")
		if r.StatusCode != 404 || r.Header.Get("Location") != "" {
			t.Errorf("GET %s: %d, Location %q", path, r.StatusCode, r.Header.Get("Location"))
		}
	}
	f.want(200, "GET", "/", "")
}

// Push services are at port 443. A server that connects to any port can be used to scan.
func TestPorts(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.AllowPrivate, o.Ports = false, []int{8443, 444} })
	for endpoint, ok := range map[string]bool{
		"https://push.example/x": true, "https://push.example:443/x": true, "https://push.example:8443/x": true, "https://push.example:444/x": true,
		"https://push.example:22/x": false, "https://push.example:80/x": false, "https://push.example:44/x": false, "https://push.example:65535/x": false,
	} {
		r := f.do("POST", "/subscription", subscription(endpoint))
		if ok != (r.StatusCode/100 == 2) || !ok && r.json(t)["code"] != "endpoint-refused" {
			t.Errorf("%s: %d %s", endpoint, r.StatusCode, r.text)
		}
	}
	f = newFixture(t, nil) // with AllowPrivate
	f.want(201, "POST", "/subscription", subscription("https://push.example:22/x"))
	for _, port := range []int{0, -1, 65536} {
		if _, err := appserver.New(appserver.Options{Store: f.store, Key: f.key, Subject: "mailto:a@b.example", Token: token, Ports: []int{port}}); err == nil {
			t.Errorf("the port %d is accepted", port)
		}
	}
}

// The 65,536 networks of a /48 have a common limit in addition to their own.
func TestLimitOfSite(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.ClientRate, o.BehindProxy = 0.001, true })
	get := func(from string) int {
		return f.do("GET", "/subscription", "", "X-Forwarded-For", from).StatusCode
	}
	allowed := 0
	for i := range 40 {
		if get(fmt.Sprintf("2001:db8:1:%x::1", i)) == 200 {
			allowed++
		}
	}
	if allowed != 16 {
		t.Errorf("40 networks of a site may make %d requests, want 16", allowed)
	}
	if get("2001:db8:2::1") != 200 {
		t.Error("another site is refused, too")
	}
	for i := range 40 {
		if get(fmt.Sprint("192.0.2.", i)) != 200 {
			t.Fatal("addresses of IPv4 count as a site")
		}
	}
}
