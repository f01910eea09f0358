package pipeline

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestUnusual has the requests that are base's, and some that look so.
func TestUnusual(t *testing.T) {
	header := func(name, value string) func(r *http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	tests := map[string]struct {
		change func(r *http.Request)
		ours   bool
	}{
		"as it is":                  {func(r *http.Request) {}, true},
		"no body":                   {func(r *http.Request) { r.Body, r.GetBody, r.ContentLength = nil, nil, 0 }, true},
		"empty body":                {func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }, true},
		"port":                      {func(r *http.Request) { r.URL.Host = "example.com:8443" }, true},
		"opaque URL":                {func(r *http.Request) { r.URL.Opaque = "//example.com/a%zz" }, true},
		"other name":                {func(r *http.Request) { r.Host = "example.org" }, true},
		"http":                      {func(r *http.Request) { r.URL.Scheme = "http" }, false},
		"GET":                       {func(r *http.Request) { r.Method = "GET" }, false},
		"no URL":                    {func(r *http.Request) { r.URL = nil }, false},
		"no host":                   {func(r *http.Request) { r.URL.Host = "" }, false},
		"empty port":                {func(r *http.Request) { r.URL.Host = "example.com:" }, false},
		"host not ASCII":            {func(r *http.Request) { r.URL.Host, r.Host = "exämple.com", "exämple.com" }, false},
		"no header":                 {func(r *http.Request) { r.Header = nil }, false},
		"long body":                 {func(r *http.Request) { r.ContentLength = maxBody + 1 }, false},
		"unknown length":            {func(r *http.Request) { r.ContentLength = -1 }, false},
		"body of zero":              {func(r *http.Request) { r.ContentLength = 0 }, false},
		"body not in memory":        {func(r *http.Request) { r.GetBody = nil }, false},
		"opaque URL of another":     {func(r *http.Request) { r.URL.Opaque = "//example.org/a" }, false},
		"trailer":                   {func(r *http.Request) { r.Trailer = http.Header{"A": nil} }, false},
		"transfer encoding":         {func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, false},
		"close":                     {func(r *http.Request) { r.Close = true }, false},
		"expect":                    {header("Expect", "100-continue"), false},
		"upgrade":                   {header("Upgrade", "websocket"), false},
		"connection":                {header("Connection", "close"), false},
		"connection, not canonical": {func(r *http.Request) { r.Header["cONNECTION"] = []string{"close"} }, false},
		"bad name":                  {func(r *http.Request) { r.Header["a b"] = []string{"c"} }, false},
		"bad value":                 {func(r *http.Request) { r.Header["A"] = []string{"c\r\nd: e"} }, false},
		"trace": {func(r *http.Request) {
			*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{}))
		}, false},
	}
	tr := New(&http.Transport{})
	for name, test := range tests {
		req := newRequest(t.Context(), "https://example.com", 1, []byte("body"))
		test.change(req)
		if st := tr.prepare(req.Context(), req); (st != nil) != test.ours {
			t.Errorf("%s: taken is %v, want %v", name, st != nil, test.ours)
		}
	}

	proxied := New(&http.Transport{Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Host == "direct.example" {
			return nil, nil
		}
		return url.Parse("http://proxy.example:3128")
	}})
	if proxied.prepare(t.Context(), newRequest(t.Context(), "https://example.com", 1, nil)) != nil || proxied.prepare(t.Context(), newRequest(t.Context(), "https://direct.example", 1, nil)) == nil {
		t.Error("the proxy is not asked for each request")
	}

	http1 := new(http.Protocols)
	http1.SetHTTP1(true)
	for name, base := range map[string]*http.Transport{
		"DialTLSContext":  {DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return nil, nil }},
		"TLSNextProto":    {TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}},
		"HTTP/1":          {Protocols: http1},
		"TLSClientConfig": {TLSClientConfig: &tls.Config{}},
		"no keep-alive":   {DisableKeepAlives: true},
	} {
		if New(base).prepare(t.Context(), newRequest(t.Context(), "https://example.com", 1, nil)) != nil {
			t.Errorf("base with %s would not speak HTTP/2", name)
		}
	}
}

// TestHTTP1Origin is a service without HTTP/2: base sends, and one connection
// is wasted to find out, not one for each request.
func TestHTTP1Origin(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if r.ProtoMajor != 1 || len(b) != 100 || err != nil {
			t.Errorf("%s with %d bytes, %v", r.Proto, len(b), err)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	srv.StartTLS()
	defer srv.Close()
	var dials, ours atomic.Int32
	base := srv.Client().Transport.(*http.Transport)
	base.ForceAttemptHTTP2 = true
	base.MaxIdleConnsPerHost = 100
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	tr := New(base)
	dial := tr.dial
	tr.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		ours.Add(1)
		return dial(ctx, network, address)
	}
	defer tr.CloseIdleConnections()
	for range 3 {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				req := newRequest(t.Context(), srv.URL, i, make([]byte, 100))
				resp, err := do(tr, req)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != 201 || resp.Request != req {
					t.Errorf("%s for %p, want %p", resp.Status, resp.Request, req)
				}
			})
		}
		wg.Wait()
	}
	if ours.Load() != 1 || dials.Load() < 2 {
		t.Errorf("%d connections were wasted, of %d", ours.Load(), dials.Load())
	}
	// It may learn HTTP/2.
	tr.origins[strings.TrimPrefix(srv.URL, "https://")].http1 = time.Now().Add(-time.Second)
	if resp, err := do(tr, newRequest(t.Context(), srv.URL, 1, make([]byte, 100))); err != nil || resp.Body.Close() != nil || ours.Load() != 2 {
		t.Errorf("%v, and %d connections", err, ours.Load())
	}
}

// TestOriginLearntHTTP2: what it could not do once is forgotten, and so is it
// when its connections have ended.
func TestOriginLearntHTTP2(t *testing.T) {
	script(t, nil, func(p *peer) {
		p.WriteSettings()
		p.serveAll()
	}, func(t *testing.T, tr *Transport) {
		tr.origins["example.com"] = &pool{t: tr, host: "example.com", http1: time.Now().Add(-time.Second)}
		wantAll(t, postAll(t.Context(), tr, 3, 10))
	})
}

// TestOriginsAreBounded: the hosts of endpoints come from strangers.
func TestOriginsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := New(&http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }, ForceAttemptHTTP2: true})
		for i := range maxOrigins {
			host := fmt.Sprintf("%d.example", i)
			tr.origins[host] = &pool{t: tr, host: host, http1: time.Now().Add(time.Hour)}
		}
		for i := range 10 {
			if _, err := do(tr, newRequest(t.Context(), fmt.Sprintf("https://%d.example.com", i), 1, nil)); err == nil {
				t.Error("no error")
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(tr.origins) != 0 {
			t.Errorf("%d origins are kept", len(tr.origins))
		}
	})
}

// TestIdleConnectionsAreBounded: and each host may have a server.
func TestIdleConnectionsAreBounded(t *testing.T) {
	var conns, most atomic.Int32
	script(t, nil, func(p *peer) {
		most.Store(max(most.Load(), conns.Add(1)))
		defer conns.Add(-1)
		p.WriteSettings()
		p.serveAll()
	}, func(t *testing.T, tr *Transport) {
		tr.maxOrigins = 4
		tr.tls.InsecureSkipVerify = true
		for i := range 20 {
			resp, err := do(tr, newRequest(t.Context(), fmt.Sprintf("https://%d.example", i), 1, make([]byte, 10)))
			if err != nil || resp.StatusCode != 201 {
				t.Error(resp, err)
			}
			synctest.Wait()
		}
		if n := most.Load(); n > 5 {
			t.Errorf("%d connections at once", n)
		}
	})
}

func TestBodyOfAnotherLength(t *testing.T) {
	tr := New(&http.Transport{})
	for _, body := range []string{"", "123", "12345"} {
		req := newRequest(t.Context(), "https://example.com", 1, []byte("1234"))
		closed := &closeNoter{Reader: bytes.NewReader([]byte(body))}
		req.Body = closed
		if _, err := do(tr, req); err == nil || !strings.Contains(err.Error(), "ContentLength=4 with Body length") {
			t.Errorf("%q: %v", body, err)
		}
		if !closed.closed {
			t.Error("the body was not closed")
		}
	}
}

type closeNoter struct {
	*bytes.Reader
	closed bool
}

func (c *closeNoter) Close() error { c.closed = true; return nil }
