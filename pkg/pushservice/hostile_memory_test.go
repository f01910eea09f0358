package pushservice_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// heap returns the memory that is in use after garbage collection, in bytes:
// objects, and the stacks of goroutines.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // also empties pools
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// boundedHeap fails if do leaves more memory in use than most bytes. Connections
// that do opens stay open, since their memory is measured.
func boundedHeap(t *testing.T, most int, do func()) {
	t.Helper()
	if raceDetector {
		most *= 10
	}
	before := heap()
	do()
	grown := heap() - before
	t.Logf("the memory in use has grown by %d KiB", grown>>10)
	if grown > most {
		t.Errorf("the memory in use has grown by %d KiB, expected at most %d KiB", grown>>10, most>>10)
	}
}

// waitGoroutines waits until at least n goroutines exist.
func waitGoroutines(t *testing.T, n int) {
	t.Helper()
	for i := 0; runtime.NumGoroutine() < n; i++ {
		if i == 3000 {
			t.Fatalf("%d goroutines, expected at least %d", runtime.NumGoroutine(), n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestHostileHalfOpen: 1,000 connections that stop in the middle of a message, on
// either port, use little memory while they are open.
func TestHostileHalfOpen(t *testing.T) {
	const count = 1000
	for name, beginning := range map[string]string{
		"silent":        "",
		"half a hello":  "\x16\x03\x01\x02\x00\x01",
		"huge record":   "\x16\x03\x01\xff\xff\x01",
		"half a header": "POST /wpush/v1/x HTTP/1.1\r\nX: ",
		"half a body":   "POST /c2dm/register3 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\nx",
		"half a CONNECT": "CONNECT fcm.googleapis.com:443 HTTP/1.1\r\nHost: fcm.googleapis.com:443\r\n\r\n" +
			"\x16\x03\x01\x02\x00\x01",
		"half a frame": "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\xfe\xff\x00\x01\x02\x03\x04x",
	} {
		for _, port := range []string{"everyday", "Chromium"} {
			t.Run(name+"/"+port, func(t *testing.T) {
				server := startChromiumServer(t, pushservice.ServerOptions{})
				addr := server.Chromium.Addr
				if port == "everyday" {
					addr = strings.TrimPrefix(server.URL, "http://")
				}
				var conns []net.Conn
				defer func() {
					for _, conn := range conns {
						_ = conn.Close()
					}
				}()
				boundedHeap(t, count*32<<10, func() {
					goroutines := runtime.NumGoroutine()
					for range count {
						conn, err := net.Dial("tcp", addr)
						if err != nil {
							t.Fatal(err)
						}
						conns = append(conns, conn)
						if _, err := io.WriteString(conn, beginning); err != nil {
							t.Fatal(err)
						}
					}
					if name == "huge record" && port == "Chromium" { // the only one that is refused at once
						_ = conns[count-1].SetReadDeadline(time.Now().Add(30 * time.Second))
						if _, err := conns[count-1].Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
							t.Error("the connection stays open")
						}
						return
					}
					// Goroutines of earlier tests may still end.
					waitGoroutines(t, goroutines+count*9/10)
				})
			})
		}
	}
}

// pipeMCS connects a device by MCS, without a network: a write returns when the
// service has read it.
func pipeMCS(t *testing.T, s *pushservice.Service, id int) (net.Conn, *bufio.Reader) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close() })
	go func() { _ = s.ServeMCS(theirs) }()
	login := mcs.LoginRequest{User: fmt.Sprint(id), Resource: fmt.Sprint(id), AuthToken: "1"}
	if _, err := ours.Write(mcs.AppendFrame([]byte{mcs.Version}, mcs.TagLoginRequest, login.Append(nil))); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReaderSize(ours, 16)
	if err := mcs.ReadVersion(r); err != nil {
		t.Fatal(err)
	}
	if tag, _, err := mcs.ReadFrame(r); err != nil || tag != mcs.TagLoginResponse {
		t.Fatalf("tag %d, %v", tag, err)
	}
	return ours, r
}

// TestHostileFrames: a device that never stops sending frames does not use more and
// more memory, and 1,000 devices that announce a frame of the maximum size do not
// make the service allocate it before it arrives.
func TestHostileFrames(t *testing.T) {
	t.Run("endless", func(t *testing.T) {
		s := pushservice.New(pushservice.Options{})
		defer s.Close()
		boundedHeap(t, 4<<20, func() {
			conn, r := pipeMCS(t, s, 1)
			frames := mcs.AppendFrame(nil, 99, make([]byte, mcs.MaxFrame))
			frames = mcs.AppendFrame(frames, mcs.TagIq, mcs.Iq{Extension: 12, IDs: slices.Repeat([]string{"x"}, 20_000)}.Append(nil))
			frames = mcs.AppendFrame(frames, mcs.TagDataMessage, mcs.DataMessage{RawData: make([]byte, 60_000)}.Append(nil))
			for range 200 { // 37 MB
				if _, err := conn.Write(frames); err != nil {
					t.Fatal(err)
				}
			}
			go func() { _, _ = conn.Write(mcs.AppendFrame(nil, mcs.TagHeartbeatPing, nil)) }()
			if tag, _, err := mcs.ReadFrame(r); err != nil || tag != mcs.TagHeartbeatAck {
				t.Errorf("tag %d, %v", tag, err)
			}
		})
	})
	t.Run("announced", func(t *testing.T) {
		s := pushservice.New(pushservice.Options{})
		defer s.Close()
		const count = 1000
		boundedHeap(t, count*24<<10, func() {
			for i := range count {
				conn, _ := pipeMCS(t, s, i+1)
				if _, err := conn.Write([]byte{byte(mcs.TagIq), 0x80, 0x80, 0x04, 1}); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
	for name, header := range map[string][]byte{"too large": {7, 0x81, 0x80, 0x04}, "huge": {7, 0xff, 0xff, 0xff, 0xff, 0x0f}, "longer than any": {7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
		t.Run(name, func(t *testing.T) {
			s := pushservice.New(pushservice.Options{})
			defer s.Close()
			boundedHeap(t, 4<<20, func() {
				for i := range 1000 {
					conn, r := pipeMCS(t, s, i+1)
					_, _ = conn.Write(header) // it may be closed in the middle
					if _, err := r.ReadByte(); err == nil {
						t.Fatal("the connection stays open")
					}
				}
			})
		})
	}
}

// TestHostileMessages: a user agent that never stops sending messages by WebSocket,
// or never reads the messages that it gets, does not use more and more memory.
func TestHostileMessages(t *testing.T) {
	t.Run("endless", func(t *testing.T) {
		s := pushservice.New(pushservice.Options{})
		url := listen(t, s)
		boundedHeap(t, 4<<20, func() {
			b := connect(t, url)
			b.hello("")
			large := strings.Repeat("x", 60_000)
			for range 500 { // 30 MB
				b.say(`{"messageType":"nack","version":"` + large + `","code":301}`)
				b.say(`{"messageType":"ack","updates":[{"channelID":"` + channelA + `","version":"` + large + `"}]}`)
			}
			b.quiet()
		})
	})
	t.Run("unread", func(t *testing.T) {
		const messages, size = 3000, 4000
		s := pushservice.New(pushservice.Options{MaxMessages: 500})
		defer s.Close()
		device := newChromium(t, s)
		path := device.register("wp:https://app.example/#1")
		body := aes128gcmBody(t, 4096, point(t), size)
		// 500 messages wait, and 100 with a TTL of zero.
		boundedHeap(t, 2<<20+600*size, func() {
			device.login()
			accepted, refused := 0, 0
			for i := range messages {
				ttl := "0"
				if i%2 == 0 {
					ttl = "60"
				}
				switch status := device.push(path, body, "TTL", ttl); status {
				case http.StatusCreated:
					accepted++
				case http.StatusTooManyRequests:
					refused++
				default:
					t.Fatalf("status %d", status)
				}
			}
			if accepted < 500 || refused < 500 {
				t.Errorf("%d messages were accepted and %d refused", accepted, refused)
			}
		})
	})
}

// endless is a body that never ends; it counts the bytes that are read.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	if e.read += len(b); e.read > 64<<20 {
		panic("more than 64 MiB of a body were read")
	}
	for i := range b {
		b[i] = 'a'
	}
	return len(b), nil
}

// TestHostileBodies: no route reads a body beyond its limit, or keeps it in memory.
func TestHostileBodies(t *testing.T) {
	s := pushservice.New(pushservice.Options{NewReceiver: newReceiver})
	defer s.Close()
	path := subscribe(t, s, generateKey(t).PublicKey()).Path
	boundedHeap(t, 4<<20, func() {
		for _, route := range []string{path, "/wpush/v1/unknown", "/checkin", "/c2dm/register3", "/api/subscriptions", "/api/faults", "/subscribe", "/get-notifications"} {
			for range 10 {
				body := &endless{}
				r := newRequest(http.MethodPost, route, body)
				r.ContentLength = -1
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				if w.Code < 400 || body.read > 4<<20 {
					t.Errorf("%s: status %d after %d bytes", route, w.Code, body.read)
				}
			}
		}
	})
}

// TestHostileFaults: the size of each fault is limited, since many can be waiting.
func TestHostileFaults(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	defer s.Close()
	large := strings.Repeat("x", 60_000)
	if err := s.AddFault(pushservice.Fault{Status: 500, Body: bytes.Repeat([]byte("x"), 60_000)}); err != nil {
		t.Errorf("a body of 60,000 bytes: %v", err)
	}
	for name, f := range map[string]pushservice.Fault{
		"body":    {Status: 500, Body: bytes.Repeat([]byte("x"), 65<<10)},
		"headers": {Status: 500, Header: map[string]string{"A": large, "B": large}},
		"error":   {On: pushservice.OnRegistration, Error: strings.Repeat("X", 65<<10)},
	} {
		if err := s.AddFault(f); err == nil || !strings.Contains(err.Error(), "Invalid fault") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
