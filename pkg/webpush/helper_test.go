package webpush

import (
	"bufio"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// testToken stands for the secret part of an endpoint: no text for people may
// have it.
const testToken = "gAAAAABsecretCAPABILITY0123456789abcdefghijklmnopqrstuvwxyz-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_0123456789ABCDEFGHIJ"

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func testKey(tb testing.TB) *vapid.Key {
	tb.Helper()
	k, err := vapid.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func testIdentity(tb testing.TB) *ece.Identity {
	tb.Helper()
	id, err := ece.GenerateIdentity()
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// testSubscription returns a subscription of the identity at the endpoint.
func testSubscription(tb testing.TB, endpoint string, id *ece.Identity) *Subscription {
	tb.Helper()
	var p256dh, auth string
	if id != nil {
		p256dh, auth = encode64(id.Recipient().P256DH()), encode64(id.Recipient().Auth())
	}
	s, err := NewSubscription(endpoint, p256dh, auth)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// noSecret fails when a text for people has the endpoint below its origin, the
// authentication secret or a token in it.
func noSecret(tb testing.TB, what, text string) {
	tb.Helper()
	for _, secret := range []string{testToken, testToken[:20], "wpush", "eyJ0eXAi"} {
		if strings.Contains(text, secret) {
			tb.Errorf("%s shows the secret %q: %s", what, secret, text)
		}
	}
}

// doerFunc is a Doer.
type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// respond makes an answer; header are pairs of name and value.
func respond(status int, body string, header ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// raw is a server that answers every connection with the same bytes, after it
// has read the head of a request.
type raw struct {
	url  string
	mu   sync.Mutex
	head string
	n    int
}

func newRaw(tb testing.TB, answer string) *raw {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r := &raw{url: "http://" + l.Addr().String()}
	var open sync.WaitGroup
	tb.Cleanup(func() {
		_ = l.Close()
		open.Wait()
	})
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				var head strings.Builder
				for in := bufio.NewReader(conn); ; {
					line, err := in.ReadString('\n')
					head.WriteString(line)
					if err != nil || line == "\r\n" {
						break
					}
				}
				r.mu.Lock()
				r.head, r.n = head.String(), r.n+1
				r.mu.Unlock()
				if answer == "" { // cut the connection hard
					_ = conn.(*net.TCPConn).SetLinger(0)
					return
				}
				_, err := io.WriteString(conn, answer)
				for err == nil && strings.HasSuffix(answer, endless) {
					_, err = io.WriteString(conn, strings.Repeat("x", 4096))
				}
			})
		}
	})
	return r
}

// endless at the end of an answer makes its body one that never ends.
const endless = "\r\n\r\nendless"

func (r *raw) request() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head
}

func (r *raw) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// certificate returns the server's own certificate in PEM, which is its
// authority too.
func certificate(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// quietLog is for servers whose clients break off on purpose.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
