package pushservice_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// TestLookup: a running push service is found by its URL, and by its address with
// either scheme. Other servers are not mistaken for a push service.
func TestLookup(t *testing.T) {
	for name, o := range map[string]pushservice.ServerOptions{
		"plain":               {},
		"TLS":                 {TLS: true},
		"plain with Chromium": {Chromium: &pushservice.ChromiumOptions{}},
		"TLS with Chromium":   {TLS: true, Chromium: &pushservice.ChromiumOptions{}},
	} {
		server := start(t, o)
		_, address, _ := strings.Cut(server.URL, "://")
		for _, where := range []string{server.URL, server.URL + "/", address} {
			found, err := pushservice.Lookup(t.Context(), where)
			if err != nil {
				t.Errorf("%s, %s: %v", name, where, err)
				continue
			}
			if want := server.Running(); !reflect.DeepEqual(found, want) || (found.Certificate != nil) != o.TLS || (found.Chromium != nil) != (o.Chromium != nil) || found.WebSocket() != server.WebSocket() {
				t.Errorf("%s, %s: %+v, want %+v", name, where, found, want)
			}
		}
		scheme := "https://"
		if o.TLS {
			scheme = "http://"
		}
		if found, err := pushservice.Lookup(t.Context(), scheme+address); err == nil {
			t.Errorf("%s, %s: %+v", name, scheme, found)
		}
	}
	// Only certificates of this machine's addresses are accepted unverified.
	_, port, err := net.SplitHostPort(strings.TrimPrefix(start(t, pushservice.ServerOptions{TLS: true}).URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pushservice.Lookup(t.Context(), "https://LOCALHOST:"+port); err != nil {
		t.Errorf("LOCALHOST: %v", err)
	}
	untrusted := &url.Error{Op: "Get", URL: "https://push.example/", Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}
	if err := pushservice.LookupProblem("push.example", untrusted); err.Error() != "its certificate is not trusted, and push.example is not an address of this machine: x509: certificate signed by unknown authority" {
		t.Errorf("an untrusted certificate: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if found, err := pushservice.Lookup(t.Context(), l.Addr().String()); !errors.As(err, new(*net.OpError)) {
		t.Errorf("where nothing listens: %+v, %v", found, err)
	}
	for name, handler := range map[string]http.HandlerFunc{
		"not found": http.NotFound,
		"a page":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<p>Hello")) },
		"JSON":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"address":""}`)) },
		"JSON 404":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"code":404,"errno":null}`, 404) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, start(t, pushservice.ServerOptions{}).URL+"/api/chromium", http.StatusFound)
		},
	} {
		other := httptest.NewServer(handler)
		defer other.Close()
		if found, err := pushservice.Lookup(t.Context(), other.URL); err == nil || !strings.Contains(err.Error(), "it is not a push service of this kind") {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
}

// TestChromiumAccess: senders get an address for each host of endpoints.
func TestChromiumAccess(t *testing.T) {
	a := pushservice.ChromiumAccess{Address: "127.0.0.1:5228"}
	if got := strings.Join(a.ConnectTo(), " "); got != "fcm.googleapis.com:443:127.0.0.1:5228 jmt17.google.com:443:127.0.0.1:5228" {
		t.Errorf("ConnectTo: %s", got)
	}
	if got := a.Proxy(); got != "http://127.0.0.1:5228" {
		t.Errorf("Proxy: %s", got)
	}
}
