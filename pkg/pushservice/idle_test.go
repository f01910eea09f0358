package pushservice_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// maxIdleMemory is the maximum memory of an idle connection, in KiB.
const maxIdleMemory = 25

// BenchmarkIdle measures the memory of a push service in a child process for each of
// 5,000 user agents that are connected, have a subscription, and wait (the growth of
// the resident set). It fails if that is more than maxIdleMemory.
func BenchmarkIdle(b *testing.B) {
	const agents = 5000
	for name, connect := range map[string]func(testing.TB, *idleService) io.Closer{"websocket": idleWebSocket, "mcs": idleMCS} {
		b.Run(name, func(b *testing.B) {
			s := startIdleService(b, "")
			// The first connections need additional memory once.
			for range 50 {
				defer connect(b, s).Close()
			}
			before := s.resident(b)
			for range agents {
				defer connect(b, s).Close()
			}
			for range b.N {
				time.Sleep(10 * time.Second)
			}
			kib := float64(s.resident(b)-before) / agents
			b.ReportMetric(kib, "KiB/idle-conn")
			b.ReportMetric(0, "ns/op")
			if kib > maxIdleMemory {
				b.Errorf("an idle connection costs %.1f KiB, expected at most %d", kib, maxIdleMemory)
			}
		})
	}
}

// idleService is a push service in a child process.
type idleService struct {
	child    *child
	chromium struct{ Address, CA string }
	roots    *x509.CertPool
	n        int
}

// startIdleService starts a service that keeps its data in dir, or in memory.
func startIdleService(b testing.TB, dir string) *idleService {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		b.Skip("SKIPPED: this system does not show the memory of processes")
	}
	s := &idleService{child: startChild(b, childOptions{Dir: dir, Chromium: &pushservice.ChromiumOptions{}}), roots: x509.NewCertPool()}
	r, err := http.Get(s.child.url + "/api/chromium")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&s.chromium); err != nil {
		b.Fatal(err)
	}
	s.roots.AppendCertsFromPEM([]byte(s.chromium.CA))
	return s
}

// resident returns the memory of the service's process, in KiB.
func (s *idleService) resident(b testing.TB) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.child.c.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func idleWebSocket(b testing.TB, s *idleService) io.Closer {
	ws, _, err := websocket.Dial(b.Context(), strings.Replace(s.child.url, "http", "ws", 1), nil)
	if err != nil {
		b.Fatal(err)
	}
	s.n++
	for _, message := range []string{
		`{"messageType":"hello","use_webpush":true}`,
		fmt.Sprintf(`{"messageType":"register","channelID":"11111111-1111-4111-8111-%012d"}`, s.n),
	} {
		if err := ws.Write(b.Context(), websocket.MessageText, []byte(message)); err != nil {
			b.Fatal(err)
		}
		if _, answer, err := ws.Read(b.Context()); err != nil || !bytes.Contains(answer, []byte(`"status":200`)) {
			b.Fatalf("%s, %v", answer, err)
		}
	}
	return closer(func() { _ = ws.CloseNow() })
}

type closer func()

func (c closer) Close() error { c(); return nil }

func idleMCS(b testing.TB, s *idleService) io.Closer { return s.device(b).conn }

// mcsDevice is a device with a subscription, connected by MCS.
type mcsDevice struct {
	conn     *tls.Conn
	r        *bufio.Reader
	key      *vapid.Key
	path     string
	received uint32
}

// device registers a device and connects it.
func (s *idleService) device(b testing.TB) *mcsDevice {
	s.n++
	id := strconv.Itoa(s.n)
	d := &mcsDevice{key: generateKey(b)}
	form := url.Values{"app": {"org.chromium.linux"}, "X-subtype": {"wp:https://app.example/#1"}, "sender": {d.key.PublicKey().String()}}
	r, err := http.NewRequest(http.MethodPost, s.child.url+"/c2dm/register3", strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "AidLogin "+id+":1")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	token, ok := strings.CutPrefix(readAll(b, answer), "token=")
	if !ok {
		b.Fatal("the registration was refused")
	}
	d.path = "/fcm/send/" + token
	if d.conn, err = tls.Dial("tcp", s.chromium.Address, &tls.Config{RootCAs: s.roots, ServerName: "mtalk.google.com"}); err != nil {
		b.Fatal(err)
	}
	login := mcs.LoginRequest{User: id, Resource: id, AuthToken: "1"}
	if _, err := d.conn.Write(mcs.AppendFrame([]byte{mcs.Version}, mcs.TagLoginRequest, login.Append(nil))); err != nil {
		b.Fatal(err)
	}
	d.r = bufio.NewReaderSize(d.conn, 512)
	if err := mcs.ReadVersion(d.r); err != nil {
		b.Fatal(err)
	}
	if tag, _, err := mcs.ReadFrame(d.r); err != nil || tag != mcs.TagLoginResponse {
		b.Fatalf("tag %d, %v", tag, err)
	}
	d.received = 1
	return d
}

// cpu returns the CPU time that the service's process has used.
func (s *idleService) cpu(b testing.TB) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.child.c.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := bytes.Cut(text, []byte(") "))
	fields := strings.Fields(string(after))
	var ticks time.Duration
	for _, f := range fields[11:13] { // in user mode, and in the kernel
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}
