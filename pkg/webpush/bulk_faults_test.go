package webpush

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// misbehaving is a push service with a fault.
type misbehaving struct {
	name string
	// handle answers the nth request of a message, from 0.
	handle func(w http.ResponseWriter, r *http.Request, message string, n int)
	http1  bool
	raw    func(net.Conn) // serves connections in place of handle
	dial   error          // of every connection; there is no server
	oldTLS bool           // it speaks no version of TLS that is spoken here

	want     Class
	wantGone int // of the messages, where some are gone
	most     int // requests at most for one message; 0 means 1

	url string
	n   atomic.Int64
}

// TestSendAllFaults sends to many services at once, each of which misbehaves in
// its own way, with net/http and with the pipelined sender.
func TestSendAllFaults(t *testing.T) {
	t.Parallel()
	accept := func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated) }
	first := func(status int, header ...string) func(http.ResponseWriter, *http.Request, string, int) {
		return func(w http.ResponseWriter, _ *http.Request, _ string, n int) {
			if n > 0 {
				accept(w)
				return
			}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
		}
	}
	forever := func(w io.Writer) {
		for {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	}
	services := func() []*misbehaving {
		return []*misbehaving{
			{name: "well", handle: first(201), want: ClassDelivered},
			{name: "HTTP/1.1 only", http1: true, handle: first(201), want: ClassDelivered},
			{name: "429 and Retry-After in seconds", handle: first(429, "Retry-After", "1"), want: ClassDelivered, most: 2},
			{name: "429 and Retry-After as a date", handle: first(429, "Retry-After", time.Now().Add(time.Second).UTC().Format(http.TimeFormat)), want: ClassDelivered, most: 2},
			{name: "429 and Retry-After in the past", handle: first(429, "Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"), want: ClassDelivered, most: 2},
			{name: "429 and no Retry-After", handle: first(429), want: ClassDelivered, most: 2},
			{name: "429 and an absurd Retry-After", handle: first(429, "Retry-After", "99999999999999999999"), want: ClassTemporary},
			{name: "500", handle: first(500), want: ClassDelivered, most: 2},
			{name: "502", handle: first(502), want: ClassDelivered, most: 2},
			{name: "503", handle: first(503, "Retry-After", "soon"), want: ClassDelivered, most: 2},
			{name: "503 for ever", handle: func(w http.ResponseWriter, _ *http.Request, _ string, _ int) { w.WriteHeader(503) }, want: ClassTemporary, most: 3},
			{name: "reset", handle: func(w http.ResponseWriter, _ *http.Request, _ string, n int) {
				if n == 0 {
					panic(http.ErrAbortHandler)
				}
				accept(w)
			}, want: ClassDelivered, most: 3},
			{name: "reset over HTTP/1.1", http1: true, handle: func(w http.ResponseWriter, _ *http.Request, _ string, n int) {
				if n == 0 {
					panic(http.ErrAbortHandler)
				}
				accept(w)
			}, want: ClassDelivered, most: 3},
			{name: "reset before the body is read", handle: func(w http.ResponseWriter, r *http.Request, _ string, n int) {
				if n == 0 {
					_ = http.NewResponseController(w).SetReadDeadline(time.Now())
					panic(http.ErrAbortHandler)
				}
				accept(w)
			}, want: ClassDelivered, most: 3},
			{name: "GOAWAY", handle: func(w http.ResponseWriter, _ *http.Request, message string, _ int) {
				if strings.HasSuffix(message, "3") {
					w.Header().Set("Connection", "close")
				}
				accept(w)
			}, want: ClassDelivered, most: 2},
			{name: "10 % gone", handle: func(w http.ResponseWriter, _ *http.Request, message string, _ int) {
				if strings.HasSuffix(message, "7") {
					w.WriteHeader(410)
					return
				}
				accept(w)
			}, want: ClassDelivered, wantGone: 2},
			{name: "slow body", handle: func(w http.ResponseWriter, _ *http.Request, _ string, _ int) {
				accept(w)
				for range 4 {
					_, _ = io.WriteString(w, "x")
					_ = http.NewResponseController(w).Flush()
					time.Sleep(20 * time.Millisecond)
				}
			}, want: ClassDelivered},
			{name: "endless body of a success", handle: func(w http.ResponseWriter, _ *http.Request, _ string, _ int) { accept(w); forever(w) }, want: ClassDelivered},
			{name: "endless body of an error", handle: func(w http.ResponseWriter, _ *http.Request, _ string, _ int) { w.WriteHeader(400); forever(w) }, want: ClassRejected},
			{name: "endless body over HTTP/1.1", http1: true, handle: func(w http.ResponseWriter, _ *http.Request, _ string, _ int) { w.WriteHeader(400); forever(w) }, want: ClassRejected},
			{name: "redirect", handle: first(307, "Location", "https://127.0.0.1:1/elsewhere"), want: ClassRejected},
			{name: "TLS 1.1", handle: first(201), oldTLS: true, want: ClassTemporary, most: -1},
			{name: "no TLS", raw: func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, want: ClassTemporary, most: -1},
			{name: "cuts off", raw: func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, want: ClassTemporary, most: -1},
			{name: "does not listen", dial: os.NewSyscallError("connect", syscall.ECONNREFUSED), want: ClassTemporary, most: -1}, // a closed port may be another test's by now
			{name: "no such host", dial: &net.DNSError{Err: "no such host", Name: "no-such-host.example", IsNotFound: true}, want: ClassTemporary, most: -1},
		}
	}
	for _, standard := range []bool{false, true} {
		o, name := BulkOptions{StandardHTTP: standard}, map[bool]string{false: "pipelined", true: "standard"}[standard]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sendToFaults(t, services(), o, 5*time.Minute) // a request that a busy machine times out would be sent again
		})
		t.Run(name+"/never answers", func(t *testing.T) {
			t.Parallel()
			sendToFaults(t, []*misbehaving{
				{name: "never answers", raw: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, want: ClassTemporary, most: -1},
			}, o, 100*time.Millisecond)
		})
	}
}

func sendToFaults(t *testing.T, services []*misbehaving, o BulkOptions, timeout time.Duration) {
	var authorities []byte
	unreachable := map[string]error{} // by address
	for _, s := range services {
		if s.raw != nil {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s.url = "https://" + l.Addr().String()
			var open sync.WaitGroup
			t.Cleanup(func() { _ = l.Close(); open.Wait() })
			open.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					s.n.Add(1)
					open.Go(func() {
						defer c.Close()
						_ = c.SetDeadline(time.Now().Add(20 * time.Second))
						s.raw(c)
					})
				}
			})
			continue
		}
		if s.dial != nil {
			host := strings.ReplaceAll(s.name, " ", "-") + ".example"
			s.url, unreachable[host+":443"] = "https://"+host, s.dial
			continue
		}
		var mu sync.Mutex
		seen := map[string]int{}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.n.Add(1)
			if want := map[bool]int{true: 1, false: 2}[s.http1]; r.ProtoMajor != want {
				t.Errorf("%s: a request came by %s", s.name, r.Proto)
			}
			mu.Lock()
			n := seen[r.URL.Path]
			seen[r.URL.Path]++
			if n+1 > max(1, s.most) {
				t.Errorf("%s: the same message came %d times", s.name, n+1)
			}
			mu.Unlock()
			s.handle(w, r, r.URL.Path, n)
		}))
		server.EnableHTTP2 = !s.http1
		server.Config.ErrorLog = quietLog()
		if s.oldTLS {
			server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
		}
		server.StartTLS()
		t.Cleanup(server.Close)
		s.url = server.URL
		if authorities == nil {
			authorities = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		}
	}
	hc, err := NewHTTPClient(TransportOptions{CAs: authorities, Proxy: "none"})
	if err != nil {
		t.Fatal(err)
	}
	transport := hc.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := unreachable[address]; err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		return dial(ctx, network, address)
	}
	t.Cleanup(transport.CloseIdleConnections)

	const each = 20
	id := testIdentity(t)
	jobs := func(yield func(Job, error) bool) {
		for i := range each {
			for _, s := range services {
				sub := testSubscription(t, fmt.Sprintf("%s/%s/%d", s.url, testToken, i), id)
				if !yield(Job{Subscription: sub, Message: Message{Payload: []byte("hi")}, Value: s}, nil) {
					return
				}
			}
		}
	}
	c := &Client{HTTP: hc, Key: testKey(t), Subject: "mailto:ops@example.com", Timeout: timeout, Attempts: 3, MaxWait: 5 * time.Minute}
	got := map[*misbehaving]map[Class]int{}
	why := map[*misbehaving]error{}
	for r := range c.SendAll(t.Context(), jobs, o) {
		s := r.Job.Value.(*misbehaving)
		if got[s] == nil {
			got[s] = map[Class]int{}
		}
		got[s][r.Class]++
		if r.Err != nil {
			why[s] = r.Err
			noSecret(t, s.name, r.Err.Error())
			var e *Error
			if !errors.As(r.Err, &e) || e.Hint() == "" {
				t.Errorf("%s: %v has no hint", s.name, r.Err)
			}
		}
	}
	for _, s := range services {
		if got[s][s.want] != each-s.wantGone || got[s][ClassGone] != s.wantGone {
			t.Errorf("%s: %v after %d requests, want %s: %v", s.name, got[s], s.n.Load(), s.want, why[s])
		}
	}
}

// TestSendAllClientTimeout: what a caller's http.Client adds is kept.
func TestSendAllClientTimeout(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	hc := s.Client()
	hc.Timeout = 50 * time.Millisecond
	c := &Client{HTTP: hc, Attempts: 1, Timeout: -1} // without the limit of hc, the request would never end
	sub, err := NewSubscription(s.URL+"/1", "", "")
	if err != nil {
		t.Fatal(err)
	}
	jobs := func(yield func(Job, error) bool) { yield(Job{Subscription: sub}, nil) }
	for r := range c.SendAll(t.Context(), jobs, BulkOptions{}) {
		if r.Class != ClassTemporary {
			t.Errorf("%s: %v", r.Class, r.Err)
		}
	}
}

// OnRetry may wait, whatever the response was, even a success that is not one.
func TestSendAllOnRetryWaits(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	both := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch n.Add(1) {
		case 1: // a success that is not one
			<-both
			_, _ = io.WriteString(w, `{"failure":1,"results":[{"error":"Unavailable"}]}`)
		case 2: // after the first, on the same connection
			close(both)
			time.Sleep(300 * time.Millisecond)
			_, _ = io.WriteString(w, `{"success":1}`)
		default:
			_, _ = io.WriteString(w, `{"success":1}`)
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	delivered := make(chan struct{})
	var once sync.Once
	// If OnRetry held up the other messages, it would wait forever.
	c := &Client{HTTP: s.Client(), Attempts: 2, OnRetry: func(*Error, time.Duration) { <-delivered }}
	sub := testSubscription(t, s.URL+"/1", nil)
	msg := Message{GCM: &GCM{Key: "key", URL: s.URL + "/gcm"}}
	jobs := func(yield func(Job, error) bool) {
		for range 2 {
			if !yield(Job{Subscription: sub, Message: msg}, nil) {
				return
			}
		}
	}
	for r := range c.SendAll(t.Context(), jobs, BulkOptions{}) {
		if r.Class != ClassDelivered {
			t.Errorf("%s: %v", r.Class, r.Err)
		}
		once.Do(func() { close(delivered) })
	}
}

// A caller's own Proxy is asked with the values of SendAll's context, and may
// wait: many are asked at a time.
func TestSendAllProxyFunction(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	type key struct{}
	messages := 10 * runtime.GOMAXPROCS(0)
	var asked atomic.Int32
	all := make(chan struct{})
	hc := s.Client()
	hc.Transport.(*http.Transport).Proxy = func(r *http.Request) (*url.URL, error) {
		if r.Context().Value(key{}) == nil {
			t.Error("Proxy was asked without the context's values")
		}
		if asked.Add(1) == int32(messages) {
			close(all)
		}
		<-all // forever, if a Proxy that waits made the other messages wait
		return nil, nil
	}
	sub := testSubscription(t, s.URL+"/1", nil)
	jobs := func(yield func(Job, error) bool) {
		for range messages {
			if !yield(Job{Subscription: sub}, nil) {
				return
			}
		}
	}
	for r := range (&Client{HTTP: hc}).SendAll(context.WithValue(t.Context(), key{}, 1), jobs, BulkOptions{}) {
		if r.Class != ClassDelivered {
			t.Error(r.Err)
		}
	}
}

// What a service does not take is not tried again.
func TestSendAllHeaderTooLarge(t *testing.T) {
	var taken atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { taken.Add(1); w.WriteHeader(201) }))
	s.EnableHTTP2 = true
	s.Config.MaxHeaderBytes = 2000
	s.StartTLS()
	defer s.Close()
	sub := testSubscription(t, s.URL+"/1", nil)
	small, large := Message{}, Message{Header: http.Header{"X-Large": {strings.Repeat("x", 4000)}}}
	for _, standard := range []bool{false, true} {
		c := &Client{HTTP: s.Client()}
		jobs := func(yield func(Job, error) bool) {
			// The first tells what the service takes.
			if yield(Job{Subscription: sub, Message: small}, nil) {
				yield(Job{Subscription: sub, Message: large}, nil)
			}
		}
		var classes []Class
		for r := range c.SendAll(t.Context(), jobs, BulkOptions{Concurrency: 1, StandardHTTP: standard}) {
			classes = append(classes, r.Class)
			if r.Class == ClassRejected && (r.Attempts != 1 || !strings.Contains(r.Err.Error(), "was not asked: the headers of the message are larger than the service accepts")) {
				t.Errorf("%d attempts: %v", r.Attempts, r.Err)
			}
		}
		if !slices.Equal(classes, []Class{ClassDelivered, ClassRejected}) {
			t.Errorf("net/http alone %v: %v", standard, classes)
		}
	}
	if taken.Load() != 2 {
		t.Errorf("%d messages arrived", taken.Load())
	}
}
