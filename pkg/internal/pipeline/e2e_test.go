//go:build e2e

package pipeline

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const nginxConfig = `
daemon off;
master_process off;
user root;
pid DIR/nginx.pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path DIR/body;
	proxy_temp_path DIR/proxy;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;
	http2_max_concurrent_streams 16;
	keepalive_requests 300; # then it sends GOAWAY
	upstream back { server BACK; keepalive 16; }
	server {
		listen FRONT ssl http2;
		ssl_certificate DIR/cert.pem;
		ssl_certificate_key DIR/key.pem;
		location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; }
	}
}
`

func TestPipelineNginx(t *testing.T) {
	throughProxy(t, "nginx", func(dir, front, back string) []string {
		config := strings.NewReplacer("DIR", dir, "FRONT", front, "BACK", back).Replace(nginxConfig)
		file := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"-p", dir, "-c", file}
	})
}

func TestPipelineNghttpx(t *testing.T) {
	throughProxy(t, "nghttpx", func(dir, front, back string) []string {
		comma := func(address string) string { return strings.Replace(address, ":", ",", 1) }
		return []string{"--conf=/dev/null", "--frontend=" + comma(front), "--backend=" + comma(back), "--workers=1", "--no-ocsp", "--errorlog-file=/dev/stderr", "--log-level=FATAL",
			"--frontend-http2-max-concurrent-streams=16", "--frontend-http2-window-size=20000", "--frontend-http2-connection-window-size=70000",
			filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")}
	})
}

// throughProxy sends many requests through a real server to one that counts:
// each must come exactly once, whole, and be answered.
func throughProxy(t *testing.T, name string, args func(dir, front, back string) []string) {
	program, err := exec.LookPath(name)
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skipf("SKIPPED: %s is not installed (apt-get install nginx nghttp2-proxy)", name)
		}
	}
	var mu sync.Mutex
	seen := make(map[string]int)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		seen[r.URL.Path]++
		mu.Unlock()
		w.Header().Set("X-Got", fmt.Sprintf("%d %s %s", len(b), r.Header.Get("Ttl"), r.Header.Get("Authorization")))
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, strings.Repeat("x", len(b)%5000)) // a body for most
	}))
	defer back.Close()

	dir := t.TempDir()
	cert, pool := identity()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := ln.Addr().String()
	ln.Close()

	cmd := exec.Command(program, args(dir, front, back.Listener.Addr().String())...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", front)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}

	base := &http.Transport{ForceAttemptHTTP2: true}
	base.TLSClientConfig = &tls.Config{RootCAs: pool}
	tr := New(base)
	defer tr.CloseIdleConnections()
	for _, way := range []string{"RoundTrip", "Start"} {
		t.Run(way, func(t *testing.T) {
			start.Store(way == "Start")
			defer start.Store(false)
			clear(seen)
			const callers, each = 200, 25
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					for j := range each {
						size := (i*each + j) * 3 % 8192
						resp, err := do(tr, newRequest(t.Context(), "https://"+front, i*each+j, make([]byte, size)))
						if err != nil {
							t.Error(err)
							continue
						}
						b, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if want := fmt.Sprintf("%d 3600 %s", size, testToken); resp.StatusCode != 201 || err != nil || len(b) != size%5000 || resp.Header.Get("X-Got") != want {
							t.Errorf("%s, %d bytes, %v, %q", resp.Status, len(b), err, resp.Header.Get("X-Got"))
						}
					}
				})
			}
			wg.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(seen) != callers*each {
				t.Errorf("%d requests came of %d", len(seen), callers*each)
			}
			for path, n := range seen {
				if n != 1 {
					t.Errorf("%s came %d times", path, n)
				}
			}
		})
	}
}
