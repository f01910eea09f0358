package pipeline

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// newRequest is a request as webpush makes it.
func newRequest(ctx context.Context, url string, n int, body []byte) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%s/wpush/v2/%0160d", url, n), bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header = http.Header{
		"Ttl":              {"3600"},
		"Urgency":          {"high"},
		"Topic":            {"bench"},
		"Content-Encoding": {"aes128gcm"},
		"Content-Type":     {"application/octet-stream"},
		"Authorization":    {testToken},
	}
	return req
}

var testToken = "vapid t=" + strings.Repeat("eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9", 6) + ", k=" + strings.Repeat("BA1Hxzyi", 11)

func newServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	cert, _ := identity()
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func TestNetHTTPServer(t *testing.T) {
	srv := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Got", fmt.Sprintf("%s %s %s %d %d", r.Proto, r.URL.Path, r.Header.Get("Ttl"), len(b), r.ContentLength))
		w.WriteHeader(201)
		if r.Header.Get("Urgency") == "high" {
			io.WriteString(w, "hello "+r.URL.Path)
		}
	})
	tr := New(srv.Client().Transport.(*http.Transport))
	defer tr.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			for j := range 20 {
				req := newRequest(context.Background(), srv.URL, i*1000+j, make([]byte, 10+i*j))
				resp, err := do(tr, req)
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(b) != "hello "+req.URL.Path || resp.Status != "201 Created" {
					t.Errorf("%s %q %v", resp.Status, b, err)
				}
				if want := fmt.Sprintf("HTTP/2.0 %s 3600 %d %d", req.URL.Path, 10+i*j, 10+i*j); resp.Header.Get("X-Got") != want {
					t.Errorf("got %q, want %q", resp.Header.Get("X-Got"), want)
				}
			}
		})
	}
	wg.Wait()
}
