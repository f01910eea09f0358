package pushservice_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func start(t *testing.T, o pushservice.ServerOptions) *pushservice.Server {
	t.Helper()
	s, err := pushservice.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestServerTLS(t *testing.T) {
	s := start(t, pushservice.ServerOptions{TLS: true})
	if !strings.HasPrefix(s.URL, "https://127.0.0.1:") {
		t.Errorf("URL is %q", s.URL)
	}
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost"} {
		r, err := s.Client().Get("https://" + host + port + "/api/subscriptions")
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, r); r.Proto != "HTTP/2.0" || r.StatusCode != 200 {
			t.Errorf("%s: %s, status %d: %s", host, r.Proto, r.StatusCode, body)
		}
	}
	if r, err := http.Get(s.URL + "/"); err == nil {
		t.Errorf("a client that does not trust the authority got status %d", r.StatusCode)
		r.Body.Close()
	}

	block, rest := pem.Decode(s.CA())
	if block == nil || len(rest) != 0 {
		t.Fatalf("CA is %q", s.CA())
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	leaf := conn.ConnectionState().PeerCertificates[0]
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if leaf.IsCA || !ca.IsCA {
		t.Error("the certificates are not what they should be")
	}
}

// TestServerAuthority: clients that trust the authority of one server trust the next
// server with it, but no server with another name.
func TestServerAuthority(t *testing.T) {
	t.Parallel()
	one := start(t, pushservice.ServerOptions{TLS: true})
	kept := one.AuthorityPEM()
	two := start(t, pushservice.ServerOptions{TLS: true, AuthorityPEM: kept})
	if !bytes.Equal(one.CA(), two.CA()) || !bytes.Equal(kept, two.AuthorityPEM()) || bytes.Contains(two.CA(), []byte("PRIVATE")) {
		t.Error("the authority is another one")
	}
	r, err := one.Client().Get(two.URL + "/api/subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	_ = readAll(t, r)
	block, _ := pem.Decode(one.CA())
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ca.PermittedDNSDomains, []string{"localhost"}) || len(ca.PermittedIPRanges) != 2 || !ca.PermittedDNSDomainsCritical {
		t.Errorf("the authority is good for %v and %v", ca.PermittedDNSDomains, ca.PermittedIPRanges)
	}

	made := func(name string, end time.Time) []byte {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: end.Add(-time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	soon := time.Now().Add(time.Minute)
	_, foreignKey := pem.Decode(made("x", soon))
	for want, c := range map[string]struct {
		pem  []byte
		addr string
	}{
		"the authority has no certificate":                                         {[]byte("x"), ""},
		"the authority has no private key":                                         {one.CA(), ""},
		"the authority expired on 2020-01-02":                                      {made("local push service authority", time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)), ""},
		`the authority was not made by a push service: it is "CN=My CA"`:           {made("My CA", soon), ""},
		`the authority was not made by a push service: it is "CN=x"`:               {append(kept[:len(kept):len(kept)], foreignKey...), ""},
		"the authority has a certificate and a private key that do not match":      {append(start(t, pushservice.ServerOptions{TLS: true}).AuthorityPEM(), one.CA()...), ""},
		`the authority is not valid for "127.0.0.2": it was made for another host`: {kept, "127.0.0.2:0"},
		"the authority cannot be read: x509: malformed certificate":                {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), ""},
	} {
		s, err := pushservice.Start(pushservice.ServerOptions{TLS: true, AuthorityPEM: c.pem, Addr: c.addr})
		if err == nil {
			_ = s.Close()
		}
		if e := (*pushservice.AuthorityError)(nil); !errors.As(err, &e) || err.Error() != want {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

func TestServerPlain(t *testing.T) {
	s := start(t, pushservice.ServerOptions{Addr: "localhost:0"})
	if !strings.HasPrefix(s.URL, "http://localhost:") || s.CA() != nil {
		t.Errorf("URL is %q, CA %q", s.URL, s.CA())
	}
	sub := subscribe(t, s.Service, vapid.PublicKey{})
	post := func() (*http.Response, error) {
		r, err := http.NewRequest("POST", s.URL+sub.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("TTL", "60")
		return s.Client().Do(r)
	}
	r, err := post()
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, r); r.StatusCode != 201 || !strings.HasPrefix(r.Header.Get("Location"), s.URL+"/m/") {
		t.Errorf("status %d, Location %q", r.StatusCode, r.Header.Get("Location"))
	}

	add := func(f pushservice.Fault) {
		if err := s.Service.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	add(pushservice.Fault{Status: 307, Header: map[string]string{"Location": s.URL + "/elsewhere"}})
	if r, err = post(); err != nil {
		t.Fatal(err)
	}
	if readAll(t, r); r.StatusCode != 307 {
		t.Errorf("the client followed a redirect to status %d", r.StatusCode)
	}
	add(pushservice.Fault{Reset: true})
	if r, err := post(); err == nil {
		readAll(t, r)
		t.Errorf("status %d instead of a reset", r.StatusCode)
	}
}

// TestServerStopsSlowBody: a client that does not send its body delays the stop of the
// server only briefly.
func TestServerStopsSlowBody(t *testing.T) {
	t.Parallel()
	s := start(t, pushservice.ServerOptions{})
	for _, path := range []string{subscribe(t, s.Service, vapid.PublicKey{}).Path, "/api/subscriptions"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nTTL: 1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		// The server sends this when it begins to read the body.
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
			t.Fatalf("answer %q, %v", line, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestServerAnswersLargeBodies(t *testing.T) {
	t.Parallel()
	for _, tls := range []bool{false, true} {
		s := start(t, pushservice.ServerOptions{TLS: tls})
		sub := subscribe(t, s.Service, vapid.PublicKey{})
		r, err := http.NewRequest("POST", s.URL+sub.Path, strings.NewReader(strings.Repeat("x", 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.Client().Do(r)
		if err != nil {
			t.Errorf("TLS %t: %v", tls, err)
			continue
		}
		if body := readAll(t, answer); answer.StatusCode != 413 {
			t.Errorf("TLS %t: status %d: %s", tls, answer.StatusCode, body)
		}
	}
}

func TestServerCloseEndsLongPolls(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s := start(t, pushservice.ServerOptions{TLS: tls})
		sub := subscribe(t, s.Service, vapid.PublicKey{})
		answered := make(chan string, 1)
		go func() {
			r, err := s.Client().Get(s.URL + "/api/subscriptions/" + sub.ID + "/messages?wait=60")
			if err != nil {
				answered <- err.Error()
				return
			}
			answered <- readAll(t, r)
		}()
		for s.Service.Subscriptions()[0].Waiting == 0 {
			time.Sleep(time.Millisecond)
		}
		begin := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d > 4*time.Second {
			t.Errorf("TLS %t: closing took %v", tls, d)
		}
		if got := <-answered; got != "{\"messages\":[]}\n" {
			t.Errorf("TLS %t: the long poll got %q", tls, got)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	busy := start(t, pushservice.ServerOptions{})
	for _, c := range []struct {
		o    pushservice.ServerOptions
		want string
	}{
		{pushservice.ServerOptions{Options: pushservice.Options{Origin: "push.example.net"}}, `Origin: "push.example.net" is not an origin`},
		{pushservice.ServerOptions{Options: pushservice.Options{Origin: "https://push.example.net/"}}, `Origin: "https://push.example.net/" is not an origin`},
		{pushservice.ServerOptions{Addr: "127.0.0.1"}, `Addr: "127.0.0.1" is not an address: missing port in address`},
		{pushservice.ServerOptions{Addr: "127.0.0.1:65536"}, `Addr: "127.0.0.1:65536" has the port "65536", expected 0 to 65535`},
		{pushservice.ServerOptions{Chromium: &pushservice.ChromiumOptions{Addr: "5228"}}, `Chromium.Addr: "5228" is not an address`},
		{pushservice.ServerOptions{TLS: true, AuthorityFile: "ca.pem", Chromium: &pushservice.ChromiumOptions{AuthorityFile: "ca.pem"}}, `Chromium.AuthorityFile: "ca.pem" is the file of the authority for TLS`},
		{pushservice.ServerOptions{TLS: true, AuthorityFile: "ca.pem", Chromium: &pushservice.ChromiumOptions{AuthorityFile: "./ca.pem"}}, `Chromium.AuthorityFile: "./ca.pem" is the file of the authority for TLS`},
		{pushservice.ServerOptions{TLS: true, AuthorityFile: "ca.pem", Chromium: &pushservice.ChromiumOptions{AuthorityFile: "ca-key.pem"}}, `Chromium.AuthorityFile: "ca-key.pem" is the file of the authority for TLS`},
		{pushservice.ServerOptions{Options: pushservice.Options{Hosts: []string{"http://push"}}}, `Hosts: "http://push" is not a host name`},
		{pushservice.ServerOptions{Options: pushservice.Options{AllowOrigins: []string{"localhost:3000"}}}, `AllowOrigins: "localhost:3000" is not an origin`},
		{pushservice.ServerOptions{Addr: strings.TrimPrefix(busy.URL, "http://")}, "cannot listen: "},
	} {
		s, err := pushservice.Start(c.o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.o, err, c.want)
		}
	}
}

// TestStartOnAnyPort: with AnyPort, addresses that are in use are replaced by free ones
// of the same host.
func TestStartOnAnyPort(t *testing.T) {
	busy := start(t, pushservice.ServerOptions{Chromium: &pushservice.ChromiumOptions{}})
	o := pushservice.ServerOptions{Addr: strings.TrimPrefix(busy.URL, "http://"), Chromium: &pushservice.ChromiumOptions{Addr: busy.Chromium.Addr}}
	if s, err := pushservice.Start(o); err == nil {
		s.Close()
		t.Fatal("two servers on a port")
	}
	o.AnyPort = true
	s := start(t, o)
	if s.URL == busy.URL || s.Chromium.Addr == busy.Chromium.Addr || !strings.HasPrefix(s.URL, "http://127.0.0.1:") || !strings.HasPrefix(s.Chromium.Addr, "127.0.0.1:") {
		t.Errorf("listens on %s and %s", s.URL, s.Chromium.Addr)
	}
	if _, err := pushservice.Lookup(t.Context(), s.URL); err != nil {
		t.Error(err)
	}
}

// TestStartWithFaults: a server begins with the faults in its options, and does not
// start with one that it refuses.
func TestStartWithFaults(t *testing.T) {
	o := pushservice.ServerOptions{Faults: []pushservice.Fault{{Status: 503}}}
	s := start(t, o)
	if w := do(s.Service, request(subscribe(t, s.Service, vapid.PublicKey{}).Path, nil)); w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
	o.Faults[0].Subscription = "unknown"
	if s, err := pushservice.Start(o); err == nil {
		s.Close()
		t.Error("it started with a fault for an unknown subscription")
	}
}

func TestMessagesOfCanceledContext(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	sub := subscribe(t, s, vapid.PublicKey{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if list, err := s.Messages(ctx, sub.ID, 0, time.Minute); err != context.Canceled || list != nil {
		t.Errorf("got %v, %v", list, err)
	}
}
