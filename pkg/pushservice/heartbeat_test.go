package pushservice_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
	"github.com/seed81da77dd/webpush/pkg/internal/pipetest"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// TestMCSHeartbeat: the service pings a device every 5 minutes as long as it
// responds. It closes the connection of a device that does not respond, or that
// stops in the middle of a frame or before its login.
func TestMCSHeartbeat(t *testing.T) {
	login := mcs.AppendFrame([]byte{mcs.Version}, mcs.TagLoginRequest, mcs.LoginRequest{User: "1", AuthToken: "1"}.Append(nil))
	start := func(t *testing.T) (*bufio.Reader, net.Conn, chan error) {
		s := pushservice.New(pushservice.Options{})
		ours, theirs := net.Pipe() // one case needs a write that blocks
		ended := make(chan error, 1)
		go func() { ended <- s.ServeMCS(theirs) }()
		return bufio.NewReader(ours), ours, ended
	}
	enter := func(t *testing.T, r *bufio.Reader, conn net.Conn) {
		t.Helper()
		if _, err := conn.Write(login); err != nil {
			t.Fatal(err)
		}
		if err := mcs.ReadVersion(r); err != nil {
			t.Fatal(err)
		}
		if tag, _, err := mcs.ReadFrame(r); err != nil || tag != mcs.TagLoginResponse {
			t.Fatalf("tag %d, %v", tag, err)
		}
	}
	t.Run("pings", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, conn, ended := start(t)
			enter(t, r, conn)
			began := time.Now()
			for i := range 5 {
				tag, body, err := mcs.ReadFrame(r)
				if err != nil || tag != mcs.TagHeartbeatPing {
					t.Fatalf("tag %d, %v", tag, err)
				}
				// The login and the earlier responses were received.
				if m, err := mcs.ParseHeartbeat(body); err != nil || m.LastStreamIDReceived != uint32(i+1) {
					t.Errorf("ping %d: %+v, %v", i, m, err)
				}
				if passed := time.Since(began); passed != time.Duration(i+1)*5*time.Minute {
					t.Errorf("ping %d came after %v", i, passed)
				}
				if _, err := conn.Write(mcs.AppendFrame(nil, mcs.TagHeartbeatAck, mcs.Heartbeat{LastStreamIDReceived: uint32(i + 2)}.Append(nil))); err != nil {
					t.Fatal(err)
				}
			}
			_ = conn.Close()
			<-ended
		})
	})
	for name, test := range map[string]struct {
		before, after []byte // the login
		want          time.Duration
	}{
		"no answer":      {login, nil, 6 * time.Minute},
		"half a frame":   {login, []byte{7}, 30 * time.Second},
		"no login":       {nil, nil, 30 * time.Second},
		"half a login":   {login[:10], nil, 30 * time.Second},
		"a slow version": {login[:1], nil, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, conn, ended := start(t)
				began := time.Now()
				if len(test.before) == len(login) {
					enter(t, r, conn)
				} else if _, err := conn.Write(test.before); err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.Copy(io.Discard, r) }() // reads, and says nothing
				if _, err := conn.Write(test.after); err != nil {
					t.Fatal(err)
				}
				err := <-ended
				if passed := time.Since(began); err == nil || passed != test.want {
					t.Errorf("ended after %v, want %v: %v", passed, test.want, err)
				}
				_ = conn.Close()
			})
		})
	}
	// A device that does not read is disconnected when a write takes 10 seconds.
	t.Run("does not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, conn, ended := start(t)
			enter(t, r, conn)
			began := time.Now()
			if err := <-ended; err == nil || time.Since(began) != 5*time.Minute+10*time.Second {
				t.Errorf("ended after %v: %v", time.Since(began), err)
			}
			_ = conn.Close()
		})
	})
}

// TestWebSocketHeartbeat: the service pings a user agent every 5 minutes, and closes
// the connection of a user agent that does not respond, or does not send a hello.
func TestWebSocketHeartbeat(t *testing.T) {
	for name, test := range map[string]struct {
		hello, reads bool
		want         time.Duration
	}{
		"no answer": {hello: true, want: 5*time.Minute + 10*time.Second},
		"answers":   {hello: true, reads: true, want: time.Hour},
		"no hello":  {reads: true, want: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, server, ws, ours := dialPipe(t)
				began := time.Now()
				if test.hello {
					sayHello(t, ws)
				}
				stop := time.AfterFunc(time.Hour, func() { _ = s.Close() })
				var err error
				if test.reads {
					_, _, err = ws.Read(t.Context())
				} else { // takes everything, and answers nothing
					_, err = io.Copy(io.Discard, ours)
				}
				if passed := time.Since(began); passed != test.want {
					t.Errorf("ended after %v, want %v: %v", passed, test.want, err)
				}
				stop.Stop()
				_ = ws.CloseNow()
				_ = s.Close()
				_ = server.Close()
			})
		})
	}
}

// TestWebSocketFragments: an endless message closes the connection.
func TestWebSocketFragments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, server, ws, ours := dialPipe(t)
		sayHello(t, ws)
		began := time.Now()
		go func() { _, _ = io.Copy(io.Discard, ours) }()
		fragment := []byte{1, 0x80, 0, 0, 0, 0} // text, not the last, empty, masked
		var err error
		for err == nil && time.Since(began) < time.Hour {
			_, err = ours.Write(fragment)
			fragment[0] = 0
			time.Sleep(100 * time.Millisecond)
		}
		if passed := time.Since(began); err == nil || passed < 30*time.Second || passed > 40*time.Second {
			t.Errorf("ended after %v: %v", passed, err)
		}
		_ = ws.CloseNow()
		_ = s.Close()
		_ = server.Close()
	})
}

// dialPipe connects a WebSocket to a new push service over a pipe, whose end at the user
// agent is conn.
func dialPipe(t *testing.T) (s *pushservice.Service, server *http.Server, ws *websocket.Conn, conn net.Conn) {
	t.Helper()
	s = pushservice.New(pushservice.Options{})
	l := pipetest.Listen(pipetest.Pipe)
	server = &http.Server{Handler: s}
	go func() { _ = server.Serve(l) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (_ net.Conn, err error) {
		conn, err = l.Dial(ctx)
		return conn, err
	}}}
	ws, _, err := websocket.Dial(t.Context(), "ws://localhost", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	return s, server, ws, conn
}

func sayHello(t *testing.T, ws *websocket.Conn) {
	t.Helper()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(`{"messageType":"hello","use_webpush":true}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
}
