package webpush

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

func TestDenyPrivateAddress(t *testing.T) {
	for _, address := range []string{"", "host:1", "[fe80::1%eth0]:443", "[::1%25lo]:443"} {
		if denyPrivate("tcp", address, nil) == nil {
			t.Errorf("%q is allowed", address)
		}
	}
	if err := denyPrivate("tcp6", "[2606:4700::1111]:443", nil); err != nil {
		t.Error(err)
	}
}

func TestDenyPrivate(t *testing.T) {
	// Nothing of the environment may bring the request around the check.
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { n++ }))
	defer s.Close()
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	hc, err := NewHTTPClient(TransportOptions{DenyPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{
		"127.0.0.1", "localhost", // by its name, looked at when it is dialed
		"[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "10.0.0.1", "192.168.0.1", "169.254.169.254", "[64:ff9b::7f00:1]", "[fd00::1]", "[::]",
	} {
		c := &Client{HTTP: hc, AllowHTTP: true}
		e := sendError(t, c, testSubscription(t, "http://"+host+port+"/wpush/"+testToken, nil), Message{})
		if e.Code != CodeRefused || e.Attempts != 1 || e.Temporary() || !strings.Contains(e.Error(), "is not public") {
			t.Errorf("%s: %v", host, e)
		}
	}
	hc, err = NewHTTPClient(TransportOptions{DenyPrivate: true, ConnectTo: []string{"127.0.0.1" + port}})
	if err != nil {
		t.Fatal(err)
	}
	if e := sendError(t, &Client{HTTP: hc, AllowHTTP: true}, testSubscription(t, "http://push.example.net/wpush", nil), Message{}); e.Code != CodeRefused {
		t.Errorf("by connect-to: %v", e)
	}
	if n != 0 {
		t.Errorf("%d requests came through", n)
	}
}

func TestConnectTo(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	for _, tt := range []struct{ rule, from, want string }{
		{"h:1", "a:443", "h:1"},
		{"[::1]:1", "a:443", "[::1]:1"},
		{"127.0.0.1:1", "[2001:db8::1]:443", "127.0.0.1:1"},
		{"::h:1", "a:443", "h:1"},
		{"::h:", "a:443", "h:443"},
		{":::8443", "a:443", "a:8443"},
		{"::[::1]:8443", "a:443", "[::1]:8443"},
		{"a:443:h:1", "a:443", "h:1"},
		{"A.example:443:h:1", "a.EXAMPLE:443", "h:1"},
		{"a:443:h:1", "a:444", "a:444"},
		{"a:443:h:1", "b:443", "b:443"},
		{"a::h:1", "a:444", "h:1"},
		{":443:h:1", "b:443", "h:1"},
		{":443:h:1", "b:444", "b:444"},
		{"[2001:db8::1]:443:[::1]:1", "[2001:db8::1]:443", "[::1]:1"},
		{"h:", "a:443", "h:443"},
		{":1", "a:443", "a:1"},
	} {
		rules, err := parseConnectTo([]string{tt.rule})
		if err != nil {
			t.Errorf("%q: %v", tt.rule, err)
		} else if got := rules.target(tt.from); got != tt.want {
			t.Errorf("%q sends %s to %s, want %s", tt.rule, tt.from, got, tt.want)
		}
	}
	rules, err := parseConnectTo([]string{"a:443:first:1", "a::second:2", "third:3"})
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{"a:443": "first:1", "a:444": "second:2", "b:443": "third:3"} {
		if got := rules.target(from); got != want {
			t.Errorf("%s goes to %s, want %s", from, got, want)
		}
	}
	for _, rule := range []string{"", "h", "a:1:h", "a:1:h:1:x", "[::1", "[::1]x:1", "::1", ":", ":::", "a:1::", "::1:8080:x:y", "h:port", "h:65536", "h:0", "x:-1:h:1"} {
		_, err := NewHTTPClient(TransportOptions{ConnectTo: []string{rule}})
		var e *InputError
		if !errors.As(err, &e) || e.Part != "connect-to" || e.Hint() == "" {
			t.Errorf("%q: %v", rule, err)
		}
	}

	// The whole way: name, aud and certificate are those of the endpoint.
	id := testIdentity(t)
	s, got := pushServer(t, id, true, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })
	hc, err := NewHTTPClient(TransportOptions{CAs: certificate(s), ConnectTo: []string{"example.com:443:" + strings.TrimPrefix(s.URL, "https://")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signing(t, hc).Send(t.Context(), testSubscription(t, "https://example.com/wpush/"+testToken, id), Message{Payload: []byte("hello")}); err != nil {
		t.Error(err)
	}
	if n, last := got(); n != 1 || last != "hello" {
		t.Errorf("%d requests, %q", n, last)
	}
}

func TestNewHTTPClientRefuses(t *testing.T) {
	for part, options := range map[string][]TransportOptions{
		"ca-file": {{CAs: []byte("no PEM")}},
		"proxy": {{Proxy: "::"}, {Proxy: "proxy:3128"}, {Proxy: "ftp://proxy"}, {Proxy: "http://"}, {Proxy: "http://u:" + testToken + "@pro xy"},
			{Proxy: "http://proxy:3128", DenyPrivate: true}, {Proxy: "http://proxy:3128", ConnectTo: []string{"h:1"}}},
	} {
		for _, o := range options {
			_, err := NewHTTPClient(o)
			var e *InputError
			if !errors.As(err, &e) || e.Part != part {
				t.Errorf("%+v: %v", o, err)
				continue
			}
			noSecret(t, "the error", err.Error())
		}
	}
}

// connectProxy is a proxy that tunnels (RFC 9110 section 9.3.6), for those who
// have the password.
type connectProxy struct {
	mu     sync.Mutex
	lines  []string
	server *httptest.Server
}

func newConnectProxy(t *testing.T) *connectProxy {
	p := &connectProxy{}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.lines = append(p.lines, r.Method+" "+r.RequestURI)
		p.mu.Unlock()
		if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("user:pass")) {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		out, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer out.Close()
		in, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer in.Close()
		_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
		done := make(chan struct{})
		go func() { _, _ = bufio.NewReader(buffered).WriteTo(out); _ = out.Close(); close(done) }()
		_, _ = io.Copy(in, out)
		_ = in.Close()
		<-done
	}))
	t.Cleanup(p.server.Close)
	return p
}

func TestProxy(t *testing.T) {
	id := testIdentity(t)
	s, got := pushServer(t, id, true, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })
	sub := testSubscription(t, s.URL+"/wpush/"+testToken, id)
	p := newConnectProxy(t)

	address := strings.Replace(p.server.URL, "://", "://user:pass@", 1)
	hc, err := NewHTTPClient(TransportOptions{CAs: certificate(s), Proxy: address})
	if err != nil {
		t.Fatal(err)
	}
	defer hc.CloseIdleConnections()
	if _, err := signing(t, hc).Send(t.Context(), sub, Message{Payload: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	if n, last := got(); n != 1 || last != "hello" {
		t.Errorf("%d requests, %q", n, last)
	}
	// The proxy sees the host only.
	if want := "CONNECT " + strings.TrimPrefix(s.URL, "https://"); len(p.lines) != 1 || p.lines[0] != want {
		t.Errorf("the proxy saw %q, want %q", p.lines, want)
	}

	wrong, err := NewHTTPClient(TransportOptions{CAs: certificate(s), Proxy: strings.Replace(p.server.URL, "://", "://user:"+testToken+"@", 1)})
	if err != nil {
		t.Fatal(err)
	}
	c := signing(t, wrong)
	c.Attempts = 1
	if e := sendError(t, c, sub, Message{}); e.Code != CodeRefused || !strings.Contains(e.Error(), "407 Proxy Authentication Required") || !strings.Contains(e.Hint(), "credentials") || strings.Contains(e.Error(), testToken) {
		t.Errorf("%v", e)
	}

	none, err := NewHTTPClient(TransportOptions{Proxy: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if none.Transport.(*http.Transport).Proxy != nil {
		t.Error("none is a proxy")
	}
	env, err := NewHTTPClient(TransportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if env.Transport.(*http.Transport).Proxy == nil {
		t.Error("the proxy of the environment is not used")
	}
	for _, scheme := range []string{"http", "https", "socks5", "socks5h"} {
		hc, err := NewHTTPClient(TransportOptions{Proxy: scheme + "://proxy:1"})
		if err != nil {
			t.Fatal(err)
		}
		u, err := hc.Transport.(*http.Transport).Proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: "h"}})
		if err != nil || u.String() != scheme+"://proxy:1" {
			t.Errorf("%v, %v", u, err)
		}
	}
}

// A proxy that hangs up: the hint names the proxy.
func TestProxyHangsUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_ = c.Close()
		}
	}()
	for _, scheme := range []string{"http", "https", "socks5"} {
		hc, err := NewHTTPClient(TransportOptions{Proxy: scheme + "://" + l.Addr().String()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&Client{HTTP: hc, Attempts: 1}).Send(t.Context(), testSubscription(t, "https://push.example/1", nil), Message{})
		var e *Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		if !strings.Contains(e.Hint(), "proxy") {
			t.Errorf("%s: %v: the hint is %q", scheme, err, e.Hint())
		}
	}
}
