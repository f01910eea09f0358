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
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// startChromiumServer starts a push service with the listener for Chromium.
func startChromiumServer(t testing.TB, o pushservice.ServerOptions) *pushservice.Server {
	t.Helper()
	if o.Chromium == nil {
		o.Chromium = &pushservice.ChromiumOptions{}
	}
	server, err := pushservice.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// trusted returns a TLS configuration for a host that trusts only the listener's
// authority.
func trusted(c *pushservice.ChromiumServer, host string, protocols ...string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.CA())
	return &tls.Config{RootCAs: pool, ServerName: host, NextProtos: protocols}
}

// dialChromium makes a TLS connection to the listener as to a host.
func dialChromium(t testing.TB, c *pushservice.ChromiumServer, host string, protocols ...string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", c.Addr, trusted(c, host, protocols...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

// loginRequest returns the first bytes of the device's connection.
func (c *chromium) loginRequest() []byte {
	request := mcs.LoginRequest{ID: "chrome-156.0.0.0", Domain: "mcs.android.com", User: c.id, Resource: c.id, AuthToken: c.token}
	return mcs.AppendFrame([]byte{mcs.Version}, mcs.TagLoginRequest, request.Append(nil))
}

// TestChromiumServer: one port speaks HTTP/2, HTTP/1.1 with and without ALPN,
// and MCS, directly and by CONNECT.
func TestChromiumServer(t *testing.T) {
	server := startChromiumServer(t, pushservice.ServerOptions{})
	c := server.Chromium
	device := newChromium(t, server.Service)
	path := device.register("wp:https://app.example/#1")
	claims := goodClaims()
	claims["aud"] = chromiumEndpointOrigin

	proxyURL := &url.URL{Scheme: "http", Host: c.Addr}
	transports := map[string]*http.Transport{
		"HTTP/2.0 direct": {ForceAttemptHTTP2: true, TLSClientConfig: trusted(c, "")},
		"HTTP/1.1 direct": {TLSClientConfig: trusted(c, "", "http/1.1")},
		"HTTP/1.1 proxy":  {Proxy: http.ProxyURL(proxyURL), TLSClientConfig: trusted(c, "", "http/1.1")},
		"HTTP/2.0 proxy":  {Proxy: http.ProxyURL(proxyURL), ForceAttemptHTTP2: true, TLSClientConfig: trusted(c, "")},
	}
	for name, tr := range transports {
		proto, way, _ := strings.Cut(name, " ")
		if way == "direct" {
			tr.DialContext = dialing(c.Addr)
		}
		defer tr.CloseIdleConnections()
		r, err := http.NewRequest(http.MethodPost, chromiumEndpointOrigin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("TTL", "60")
		r.Header.Set("Authorization", sign(t, device.key, claims).Authorization())
		w, err := tr.RoundTrip(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = w.Body.Close()
		if w.StatusCode != http.StatusCreated || w.Proto != proto {
			t.Errorf("%s: status %d by %s", name, w.StatusCode, w.Proto)
		}
	}
	// A client without ALPN speaks HTTP/1.1, or MCS.
	conn := dialChromium(t, c, "android.clients.google.com")
	checkin := mcs.CheckinRequest{ChromeVersion: "156"}.Append(nil)
	r, _ := http.NewRequest(http.MethodPost, "https://android.clients.google.com/checkin", bytes.NewReader(checkin))
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	if w, err := http.ReadResponse(bufio.NewReader(conn), r); err != nil || w.StatusCode != http.StatusOK {
		t.Errorf("check-in without ALPN: %+v, %v", w, err)
	}
	speak := func(name string, conn net.Conn) {
		t.Helper()
		if _, err := conn.Write(device.loginRequest()); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		if err := mcs.ReadVersion(reader); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if tag, _, err := mcs.ReadFrame(reader); err != nil || tag != mcs.TagLoginResponse {
			t.Errorf("%s: tag %d, %v", name, tag, err)
		}
		if tag, _, err := mcs.ReadFrame(reader); err != nil || tag != mcs.TagDataMessage {
			t.Errorf("%s: tag %d, %v", name, tag, err)
		}
	}
	speak("MCS direct", dialChromium(t, c, "mtalk.google.com"))
	plain, err := net.Dial("tcp", c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_, _ = io.WriteString(plain, "CONNECT mtalk.google.com:5228 HTTP/1.1\r\nHost: mtalk.google.com:5228\r\n\r\n")
	if w, err := http.ReadResponse(bufio.NewReaderSize(plain, 16), nil); err != nil || w.StatusCode != http.StatusOK {
		t.Fatalf("CONNECT: %+v, %v", w, err)
	}
	secure := tls.Client(plain, trusted(c, "mtalk.google.com"))
	_ = secure.SetDeadline(time.Now().Add(30 * time.Second))
	speak("MCS by CONNECT", secure)
}

// TestChromiumServerRefuses: clients cannot reach any other host through the
// listener, and it does not stand in for any other host.
func TestChromiumServerRefuses(t *testing.T) {
	server := startChromiumServer(t, pushservice.ServerOptions{})
	c := server.Chromium
	ask := func(request string) string {
		t.Helper()
		conn, err := net.Dial("tcp", c.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = io.WriteString(conn, request)
		w, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%q: %v", request, err)
		}
		defer w.Body.Close()
		b, _ := io.ReadAll(w.Body)
		return w.Status + " " + string(b)
	}
	for _, target := range []string{"example.com:443", "localhost:443", "127.0.0.1:22", "www.google.com:443", "fcm.googleapis.com:80", "fcm.googleapis.com:5228", "fcm.googleapis.com", "x.fcm.googleapis.com:443"} {
		if got := ask("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"); !strings.HasPrefix(got, "403 ") && !strings.HasPrefix(got, "400 ") {
			t.Errorf("CONNECT %s: %s", target, got)
		}
	}
	if got := ask("POST /checkin HTTP/1.1\r\nHost: android.clients.google.com\r\nContent-Length: 0\r\n\r\n"); !strings.HasPrefix(got, "421 ") {
		t.Errorf("plain HTTP: %s", got)
	}
	// CONNECT leads to TLS, and not to another proxy.
	conn, err := net.Dial("tcp", c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	connect := "CONNECT fcm.googleapis.com:443 HTTP/1.1\r\nHost: fcm.googleapis.com:443\r\n\r\n"
	_, _ = io.WriteString(conn, connect+connect)
	if got, _ := io.ReadAll(conn); strings.Count(string(got), "HTTP/1.1") != 1 {
		t.Errorf("CONNECT in CONNECT: %q", got)
	}
	tr := &http.Transport{TLSClientConfig: trusted(c, "fcm.googleapis.com"), DialContext: dialing(c.Addr)}
	defer tr.CloseIdleConnections()
	for target, want := range map[string]int{
		"https://fcm.googleapis.com/api/subscriptions": http.StatusNotFound,
		"https://fcm.googleapis.com/checkin":           http.StatusNotFound,
		"https://localhost/api/subscriptions":          http.StatusMisdirectedRequest,
		"https://localhost/checkin":                    http.StatusMethodNotAllowed,
		"https://evil.example/checkin":                 http.StatusMisdirectedRequest,
		"https://android.clients.google.com/":          http.StatusMisdirectedRequest,
	} {
		r, _ := http.NewRequest(http.MethodGet, target, nil)
		w, err := tr.RoundTrip(r)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		_ = w.Body.Close()
		if w.StatusCode != want {
			t.Errorf("%s: status %d, want %d", target, w.StatusCode, want)
		}
	}
}

// TestChromiumAuthority: the authority can sign certificates for the required hosts
// of Google, and for no other name or address.
func TestChromiumAuthority(t *testing.T) {
	server := startChromiumServer(t, pushservice.ServerOptions{TLS: true})
	c := server.Chromium
	var certificate *x509.Certificate
	var key *ecdsa.PrivateKey
	for block, rest := pem.Decode(c.AuthorityPEM()); block != nil; block, rest = pem.Decode(rest) {
		var err error
		if block.Type == "CERTIFICATE" {
			certificate, err = x509.ParseCertificate(block.Bytes)
		} else {
			var k any
			k, err = x509.ParsePKCS8PrivateKey(block.Bytes)
			if key == nil { // the other one is the listener's
				key = k.(*ecdsa.PrivateKey)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	verify := func(leaf *x509.Certificate, usage x509.ExtKeyUsage, host string) error {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		leaf.SerialNumber, leaf.NotBefore, leaf.NotAfter = big.NewInt(1), certificate.NotBefore, certificate.NotBefore.Add(24*time.Hour)
		leaf.ExtKeyUsage = []x509.ExtKeyUsage{usage}
		der, err := x509.CreateCertificate(rand.Reader, leaf, certificate, own.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parsed.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	for _, host := range []string{"fcm.googleapis.com", "jmt17.google.com", "android.clients.google.com", "mtalk.google.com"} {
		if err := verify(&x509.Certificate{DNSNames: []string{host}}, x509.ExtKeyUsageServerAuth, host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if !slices.Contains(c.Hosts(), host) {
			t.Errorf("%s is not listed", host)
		}
	}
	for _, host := range []string{"www.google.com", "google.com", "googleapis.com", "storage.googleapis.com", "localhost", "example.com"} {
		if err := verify(&x509.Certificate{DNSNames: []string{host}}, x509.ExtKeyUsageServerAuth, host); err == nil {
			t.Errorf("a certificate for %s is valid", host)
		}
	}
	for _, ip := range []string{"127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"} {
		if err := verify(&x509.Certificate{IPAddresses: []net.IP{net.ParseIP(ip)}}, x509.ExtKeyUsageServerAuth, ip); err == nil {
			t.Errorf("a certificate for %s is valid", ip)
		}
	}
	if err := verify(&x509.Certificate{DNSNames: []string{"fcm.googleapis.com"}}, x509.ExtKeyUsageClientAuth, "fcm.googleapis.com"); err == nil {
		t.Error("a client's certificate is valid")
	}
	// Neither authority can replace the other.
	for name, o := range map[string]pushservice.ServerOptions{
		"that of the everyday listener": {Chromium: &pushservice.ChromiumOptions{AuthorityPEM: server.AuthorityPEM()}},
		"that of Chromium's":            {TLS: true, AuthorityPEM: c.AuthorityPEM()},
	} {
		if s, err := pushservice.Start(o); err == nil {
			t.Errorf("%s is accepted", name)
			_ = s.Close()
		}
	}
	// The next listener uses the same authority and key, since browsers identify it
	// by the key.
	if again := startChromiumServer(t, pushservice.ServerOptions{Chromium: &pushservice.ChromiumOptions{AuthorityPEM: c.AuthorityPEM()}}).Chromium; !bytes.Equal(again.CA(), c.CA()) || again.PublicKeyHash != c.PublicKeyHash {
		t.Error("another authority or key was made")
	}
	if other := startChromiumServer(t, pushservice.ServerOptions{}).Chromium; other.PublicKeyHash == c.PublicKeyHash {
		t.Error("two listeners have one key")
	}
}

// TestChromiumDescription: tests and browsers find the listener.
func TestChromiumDescription(t *testing.T) {
	server := startChromiumServer(t, pushservice.ServerOptions{})
	w := do(server.Service, newRequest(http.MethodGet, "/api/chromium", nil))
	var v struct{ Address, PublicKeyHash, CA string }
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || v.Address != server.Chromium.Addr || v.PublicKeyHash == "" || v.PublicKeyHash != server.Chromium.PublicKeyHash || v.CA != string(server.Chromium.CA()) {
		t.Errorf("%s: %v", w.Body, err)
	}
	if w := do(pushservice.New(pushservice.Options{}), newRequest(http.MethodGet, "/api/chromium", nil)); w.Code != http.StatusNotFound {
		t.Errorf("without the listener: status %d", w.Code)
	}
	r := newRequest(http.MethodGet, "/api/chromium", nil)
	r.Header.Set("Origin", "https://evil.example")
	if w := do(server.Service, r); w.Code != http.StatusForbidden {
		t.Errorf("from a web page: status %d", w.Code)
	}
}

// TestChromiumServerOpenings: connections with an unknown protocol are limited, and
// are closed with the server.
func TestChromiumServerOpenings(t *testing.T) {
	server := startChromiumServer(t, pushservice.ServerOptions{})
	hello := []byte{22, 3, 1, 0x02, 0} // the beginning of a TLS handshake
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for i := range 1100 {
		conn, err := net.Dial("tcp", server.Chromium.Addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		_, _ = conn.Write(hello[:i%(len(hello)+1)])
	}
	last := conns[len(conns)-1]
	_ = last.SetReadDeadline(time.Now().Add(5 * time.Second)) // before the handshake's own end
	if _, err := last.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("connection 1,100 is open: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	_ = conns[0].SetReadDeadline(time.Now().Add(patience))
	if _, err := conns[0].Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("connection 1 is open after the end: %v", err)
	}
}

// dialing always connects to the same address.
func dialing(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}
