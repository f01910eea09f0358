package pushservice_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// TestHostileConnections: 1,000 simultaneous connections to each port, with each kind
// of hostile input, neither stop the service nor make its memory grow without bound.
func TestHostileConnections(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("SKIPPED: this system does not show the memory of processes")
	}
	s := startIdleService(t, "")
	everyday := strings.TrimPrefix(s.child.url, "http://")
	login := mcs.AppendFrame([]byte{mcs.Version}, mcs.TagLoginRequest, mcs.LoginRequest{User: "1", AuthToken: "1"}.Append(nil))
	secure := func(conn net.Conn) net.Conn {
		return tls.Client(conn, &tls.Config{RootCAs: s.roots, ServerName: "mtalk.google.com"})
	}
	endless := bytes.Repeat(mcs.AppendFrame(nil, 99, make([]byte, 1000)), 300)
	kinds := map[string]func(net.Conn){
		"silent":         func(net.Conn) {},
		"garbage":        func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0xff, 0, '\n', 7}, 1000)) },
		"half-open TLS":  func(c net.Conn) { _, _ = c.Write([]byte{22, 3, 1, 2, 0, 1}) },
		"huge TLS":       func(c net.Conn) { _, _ = c.Write([]byte{22, 3, 1, 0xff, 0xff, 1}) },
		"endless header": func(c net.Conn) { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 100_000)) },
		"many CONNECTs": func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Repeat("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 100))
		},
		"huge frame": func(c net.Conn) {
			_, _ = secure(c).Write(append(login[:len(login):len(login)], 7, 0xff, 0xff, 0xff, 0xff, 0x0f))
		},
		"huge login": func(c net.Conn) {
			_, _ = secure(c).Write([]byte{mcs.Version, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		},
		"endless frames": func(c net.Conn) { _, _ = secure(c).Write(append(login[:len(login):len(login)], endless...)) },
		"no login":       func(c net.Conn) { _, _ = secure(c).Write(endless) },
		"half a frame":   func(c net.Conn) { _, _ = secure(c).Write(append(login[:len(login):len(login)], 8, 0xff, 0x7f, 1)) },
	}
	before := s.resident(t)
	for name, do := range kinds {
		for _, addr := range []string{everyday, s.chromium.Address} {
			count := 1000
			if strings.Contains(name, "frame") || strings.Contains(name, "login") {
				if addr == everyday {
					continue // where nobody speaks TLS
				}
				count = 40 // for whose handshakes a busy machine needs seconds
			}
			var conns []net.Conn
			var wg sync.WaitGroup
			for range count {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				conns = append(conns, conn)
				wg.Go(func() { do(conn) })
			}
			wg.Wait()
			for _, conn := range conns {
				_ = conn.Close()
			}
			w, err := http.Get(s.child.url + "/api/chromium")
			if err != nil {
				t.Fatalf("after %s: %v", name, err)
			}
			_ = w.Body.Close()
		}
	}
	most := 100 << 10 // KiB
	if raceDetector {
		most *= 10
	}
	grown := s.resident(t) - before
	t.Logf("the service has grown by %d KiB", grown)
	if grown > most {
		t.Errorf("the service has grown by %d KiB", grown)
	}
	idleMCS(t, s) // which still gets through
	idleWebSocket(t, s)
}

// TestMaxConnections: user agents above the maximum are refused, on either channel,
// until another one disconnects.
func TestMaxConnections(t *testing.T) {
	s := pushservice.New(pushservice.Options{MaxConnections: 1})
	url := listen(t, s)
	c := newChromium(t, s)
	c.login()
	w, err := http.DefaultClient.Do(upgradeRequest(t, url))
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Body.Close()
	if w.StatusCode != http.StatusServiceUnavailable || w.Header.Get("Retry-After") == "" {
		t.Errorf("WebSocket: status %d", w.StatusCode)
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := s.ServeMCS(theirs); err == nil || !strings.Contains(err.Error(), "Too many connections") {
		t.Errorf("MCS: %v", err)
	}
	c.close()
	connect(t, url).hello("")
}

func upgradeRequest(t *testing.T, url string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		r.Header.Set(name, value)
	}
	return r
}

// TestListenerRoom: a port has a maximum number of connections, and accepts more when
// connections are closed.
func TestListenerRoom(t *testing.T) {
	server := startChromiumServer(t, pushservice.ServerOptions{Options: pushservice.Options{MaxConnections: 1}})
	for name, addr := range map[string]string{"everyday": strings.TrimPrefix(server.URL, "http://"), "Chromium": server.Chromium.Addr} {
		open := func() net.Conn {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			return conn
		}
		ask := func(conn net.Conn) error {
			_, _ = fmt.Fprintf(conn, "GET /api/chromium HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			b, err := io.ReadAll(conn)
			if err == nil && !bytes.HasPrefix(b, []byte("HTTP/1.1 ")) {
				err = fmt.Errorf("the answer is %q", b)
			}
			return err
		}
		var conns []net.Conn
		for range 1001 {
			conns = append(conns, open())
		}
		conn := open()
		if err := ask(conn); err == nil {
			t.Errorf("%s: connection 1,002 is served", name)
		}
		_ = conn.Close()
		for _, conn := range conns {
			_ = conn.Close()
		}
		for i := 0; ; i++ {
			conn := open()
			err := ask(conn)
			_ = conn.Close()
			if err == nil {
				break
			}
			if i == 100 {
				t.Fatalf("%s: no room again: %v", name, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}
