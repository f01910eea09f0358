package webpush

import (
	"bufio"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/pushtest"
)

const testToken = pushtest.Token

var (
	testKey  = pushtest.Key
	noSecret = pushtest.NoSecret
	respond  = pushtest.Respond
)

type doerFunc = pushtest.DoerFunc

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

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
