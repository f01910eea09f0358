package useragent_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
	"github.com/seed81da77dd/webpush/pkg/internal/pipetest"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// startChromium starts a push service with the listener for Chromium, and returns
// with it the options of a user agent and a client for senders.
func startChromium(t *testing.T, o pushservice.ServerOptions) (*pushservice.Server, useragent.Options, *http.Client) {
	t.Helper()
	o.Chromium = &pushservice.ChromiumOptions{}
	s, err := pushservice.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, useragent.Options{ApplicationServerKey: newKey(t).PublicKey(), CAs: s.Chromium.CA()}, chromiumClient(t, s)
}

// chromiumClient returns a client for senders to the endpoints of Chromium.
func chromiumClient(t *testing.T, s *pushservice.Server) *http.Client {
	address, pool := s.Chromium.Addr, x509.NewCertPool()
	pool.AppendCertsFromPEM(s.Chromium.CA())
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: pool},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

var chromiumKeys sync.Map // of private keys by public ones

func newKey(t *testing.T) *vapid.Key {
	t.Helper()
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	chromiumKeys.Store(key.PublicKey(), key)
	return key
}

func keyOf(o useragent.Options) *vapid.Key {
	key, _ := chromiumKeys.Load(o.ApplicationServerKey)
	return key.(*vapid.Key)
}

func chromiumURL(s *pushservice.Server) string { return "chromium://" + s.Chromium.Addr }

// TestChromium is the whole loop over the channel of Chromium.
func TestChromium(t *testing.T) {
	s, o, client := startChromium(t, pushservice.ServerOptions{})
	sub, err := useragent.Subscribe(t.Context(), chromiumURL(s), o)
	if err != nil {
		t.Fatal(err)
	}
	endpoint, r := recipient(t, sub)
	if !strings.HasPrefix(endpoint, "https://fcm.googleapis.com/fcm/send/") {
		t.Fatalf("endpoint %s", endpoint)
	}
	for _, e := range []ece.Encoding{ece.AES128GCM, ece.AESGCM} {
		push(t, client, endpoint, encrypt(t, r, []byte(e), e), keyOf(o), "Topic", "topic")
		m, err := sub.Receive(t.Context())
		if err != nil || string(m.Payload) != string(e) || m.Encoding != e || m.TTL != time.Minute || m.Topic != "topic" || time.Since(m.Time) > time.Minute {
			t.Fatalf("got %+v, %v", m, err)
		}
		ack(t, sub, m)
	}
	push(t, client, endpoint, nil, keyOf(o))
	m, err := sub.Receive(t.Context())
	if err != nil || m.Payload != nil {
		t.Errorf("got %+v, %v", m, err)
	}
	ack(t, sub, m)
	left(t, s.Service, 0)
	closeSub(t, sub)

	state := sub.State()
	if text := fmt.Sprintf("%v %+v %#v", state, state, sub); strings.Contains(text, "APA91b") {
		t.Errorf("printed %s", text)
	}
	if err := useragent.Unsubscribe(t.Context(), state, o); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Service.Subscriptions()); n != 0 {
		t.Errorf("%d subscriptions after the end of the only one", n)
	}
	if err := useragent.Unsubscribe(t.Context(), state, o); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// TestChromiumRestarts: what was not acknowledged comes again after a restart, and
// nothing else; the device, its state file, and the endpoint stay.
func TestChromiumRestarts(t *testing.T) {
	s, o, client := startChromium(t, pushservice.ServerOptions{})
	name := filepath.Join(t.TempDir(), "state.json")
	open := func() (*useragent.File, *useragent.Subscription) {
		t.Helper()
		file, err := useragent.OpenFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var sub *useragent.Subscription
		if _, found := file.State(); found {
			sub, err = only(file.Open(t.Context(), o))
		} else {
			sub, err = begin(t, file, chromiumURL(s), o)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file, sub
	}
	file, sub := open()
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("the state file: %v, %v", info, err)
	}
	endpoint, r := recipient(t, sub)
	for i := range 6 {
		push(t, client, endpoint, encrypt(t, r, fmt.Append(nil, i), ece.AES128GCM), keyOf(o))
	}
	want := []string{"0", "1", "2", "3", "4", "5"}
	for round := range 3 { // each takes two, and acknowledges the second only, or the first
		var got []*useragent.ReceivedMessage
		for i := range len(want) {
			m, err := sub.Receive(t.Context())
			if err != nil || string(m.Payload) != want[i] {
				t.Fatalf("round %d: got %v, %v, want %s", round, m, err, want[i])
			}
			got = append(got, m)
		}
		ack(t, sub, got[1-round%2])
		want = append(want[:1-round%2:1-round%2], want[2-round%2:]...)
		switch round {
		case 0: // an orderly end
			closeSub(t, sub)
		default: // no end at all: the other login ends this one
			defer sub.Close()
		}
		file.Close()
		if round == 1 { // the first answer is lost: the id is in the file all the same
			s.Service.Disconnect()
		}
		file, sub = open()
		if sub.Endpoint() != endpoint {
			t.Error("another endpoint")
		}
	}
	defer file.Close()
	for _, w := range want {
		m, err := sub.Receive(t.Context())
		if err != nil || string(m.Payload) != w {
			t.Fatalf("got %v, %v, want %s", m, err, w)
		}
		ack(t, sub, m)
	}
	left(t, s.Service, 0)

	// Another subscription is one of the same device.
	other, err := sub.Device().Subscribe(t.Context(), "", o.ApplicationServerKey)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	device := func(state useragent.State) string {
		var v struct{ Device struct{ AndroidID string } }
		b, err := json.Marshal(state)
		if err != nil || json.Unmarshal(b, &v) != nil || v.Device.AndroidID == "" {
			t.Fatalf("%v: %s", err, b)
		}
		return v.Device.AndroidID
	}
	if device(other.State()) != device(sub.State()) || other.Endpoint() == endpoint {
		t.Error("another device, or the same endpoint")
	}
}

// TestChromiumPoison: a message that cannot be decrypted is reported,
// acknowledged, and does not block those behind it.
func TestChromiumPoison(t *testing.T) {
	s, o, client := startChromium(t, pushservice.ServerOptions{})
	sub, err := useragent.Subscribe(t.Context(), chromiumURL(s), o)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	endpoint, r := recipient(t, sub)
	stranger, err := ece.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	push(t, client, endpoint, encrypt(t, stranger.Recipient(), []byte("x"), ece.AES128GCM), keyOf(o))
	push(t, client, endpoint, encrypt(t, r, []byte("good"), ece.AES128GCM), keyOf(o))
	var got []string
	for m, err := range sub.Messages(t.Context()) {
		if damaged := (*useragent.DecryptError)(nil); errors.As(err, &damaged) {
			got = append(got, "damaged")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Payload))
		ack(t, sub, m)
		break
	}
	if fmt.Sprint(got) != "[damaged good]" {
		t.Errorf("got %q", got)
	}
	left(t, s.Service, 0)
}

// TestChromiumRefuses: answers that end a subscription or its beginning.
func TestChromiumRefuses(t *testing.T) {
	s, o, _ := startChromium(t, pushservice.ServerOptions{})
	if _, err := useragent.Subscribe(t.Context(), chromiumURL(s), useragent.Options{CAs: o.CAs}); !errors.Is(err, useragent.ErrKeyRequired) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := useragent.Subscribe(t.Context(), chromiumURL(s), useragent.Options{ApplicationServerKey: o.ApplicationServerKey}); err == nil || !strings.Contains(err.Error(), "x509: ") {
		t.Errorf("without the authority: %v", err)
	}
	for _, server := range []string{"chromium://127.0.0.1", "chromium://", "chromium://a:1/path", "chromium://u:p@a:1", "fcm:x"} {
		if _, err := useragent.Subscribe(t.Context(), server, o); err == nil || !strings.HasPrefix(err.Error(), "the push service's address ") {
			t.Errorf("%s: %v", server, err)
		}
	}
	for _, code := range []string{"INVALID_SENDER", "TOO_MANY_SUBSCRIBERS"} {
		if err := s.Service.AddFault(pushservice.Fault{On: pushservice.OnRegistration, Error: code}); err != nil {
			t.Fatal(err)
		}
		_, err := useragent.Subscribe(t.Context(), chromiumURL(s), o)
		refused, e := (*useragent.RegistrationError)(nil), (*useragent.Error)(nil)
		if !errors.As(err, &refused) || refused.Code != code || !errors.As(err, &e) || e.Gone() || e.Temporary() != (code == "TOO_MANY_SUBSCRIBERS") {
			t.Errorf("%s: %v", code, err)
		}
	}
	sub, err := useragent.Subscribe(t.Context(), chromiumURL(s), o)
	if err != nil {
		t.Fatal(err)
	}
	closeSub(t, sub)
	fault := func(on string, f pushservice.Fault) {
		t.Helper()
		f.On = on
		if err := s.Service.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	// A login that is refused is temporary, unless the check-in says otherwise.
	e := (*useragent.Error)(nil)
	fault(pushservice.OnLogin, pushservice.Fault{Error: "7"})
	if _, err := useragent.Open(t.Context(), sub.State(), o); !errors.As(err, &e) || !e.Temporary() || !strings.Contains(err.Error(), "code 7") {
		t.Errorf("a refused login: %v", err)
	}
	fault(pushservice.OnLogin, pushservice.Fault{Error: "7"})
	fault(pushservice.OnCheckin, pushservice.Fault{Status: http.StatusUnauthorized})
	if _, err := useragent.Open(t.Context(), sub.State(), o); !errors.As(err, &e) || !e.Gone() {
		t.Errorf("a forgotten device: %v", err)
	}
}

// TestChromiumKeepsDevice: a device that has checked in is kept though its
// registration was refused.
func TestChromiumKeepsDevice(t *testing.T) {
	s, o, _ := startChromium(t, pushservice.ServerOptions{})
	name := filepath.Join(t.TempDir(), "state.json")
	if err := s.Service.AddFault(pushservice.Fault{On: pushservice.OnRegistration, Error: "INTERNAL_SERVER_ERROR"}); err != nil {
		t.Fatal(err)
	}
	var before string
	for range 2 {
		file, err := useragent.OpenFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, found := file.State(); found {
			t.Error("a subscription that was refused is found")
		}
		sub, err := begin(t, file, chromiumURL(s), o)
		if (err != nil) != (before == "") {
			t.Fatal(err)
		}
		if sub != nil {
			closeSub(t, sub)
		}
		file.Close()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ Device struct{ AndroidID string } }
		if err := json.Unmarshal(b, &v); err != nil || v.Device.AndroidID == "" || before != "" && before != v.Device.AndroidID {
			t.Fatalf("the state: %s, %v, before: %s", b, err, before)
		}
		before = v.Device.AndroidID
	}
}

// google plays Google's hosts over pipes, in a bubble of synctest. Check-in and
// registration are those of package pushservice.
type google struct {
	t       *testing.T
	service *pushservice.Service
	listen  *pipetest.Listener
	http    http.Server
	tls     *tls.Config
	options useragent.Options
	serve   func(net.Conn) // MCS
	wait    sync.WaitGroup

	mu     sync.Mutex
	down   bool
	dials  []string
	events []useragent.Event
}

func newGoogle(t *testing.T) *google {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10000 * time.Hour),
		DNSNames: []string{"android.clients.google.com", "mtalk.google.com"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	g := &google{t: t, service: pushservice.New(pushservice.Options{}), listen: pipetest.Listen(pipetest.Pipe),
		tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	g.serve = func(c net.Conn) { _ = g.service.ServeMCS(c) }
	g.http = http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.UserAgent(), "webpush ") || len(r.Cookies()) > 0 { // it does not pretend to be a browser
			t.Errorf("%s: User-Agent %q", r.URL.Path, r.UserAgent())
		}
		g.service.ServeChromium(w, r)
	}), ErrorLog: log.New(io.Discard, "", 0)}
	g.wait.Go(func() { _ = g.http.Serve(tls.NewListener(g.listen, g.tls)) })
	g.options = useragent.Options{ApplicationServerKey: newKey(t).PublicKey(), CAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Notify: func(e useragent.Event) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.events = append(g.events, e)
		}}
	g.options.SetDial(g.dial)
	return g
}

func (g *google) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	g.mu.Lock()
	down := g.down
	g.dials = append(g.dials, addr)
	g.mu.Unlock()
	switch {
	case down:
		return nil, errors.New("nobody answers")
	case strings.HasPrefix(addr, "android.clients."):
		return g.listen.Dial(ctx)
	}
	client, server := pipetest.Pipe()
	g.wait.Go(func() {
		conn := tls.Server(server, g.tls)
		defer server.Close()
		if conn.HandshakeContext(g.t.Context()) == nil {
			g.serve(conn)
		}
	})
	return client, nil
}

func (g *google) close() {
	_ = g.http.Close()
	g.wait.Wait()
	if err := g.service.Close(); err != nil {
		g.t.Error(err)
	}
}

func (g *google) setDown(down bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = down
}

// told returns the events since the last call.
func (g *google) told() []useragent.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	events := g.events
	g.events = nil
	return events
}

// login plays the beginning of MCS.
func login(t *testing.T, conn net.Conn) *bufio.Reader {
	r := bufio.NewReader(conn)
	if err := mcs.ReadVersion(r); err != nil {
		return r
	}
	if tag, _, err := mcs.ReadFrame(r); err != nil || tag != mcs.TagLoginRequest {
		t.Errorf("tag %d, %v", tag, err)
	}
	_, _ = conn.Write(mcs.AppendFrame([]byte{mcs.Version}, mcs.TagLoginResponse, mcs.LoginResponse{LastStreamIDReceived: 1}.Append(nil)))
	return r
}

// serveUntil logs in and answers pings, until cut or the end of the connection.
func serveUntil(t *testing.T, conn net.Conn, cut <-chan struct{}) {
	r := login(t, conn)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			tag, _, err := mcs.ReadFrame(r)
			if err != nil {
				return
			}
			if tag == mcs.TagHeartbeatPing {
				_, _ = conn.Write(mcs.AppendFrame(nil, mcs.TagHeartbeatAck, nil))
			}
		}
	}()
	select {
	case <-cut:
	case <-ended:
	}
	_ = conn.Close()
	<-ended
}

// TestChromiumPatience: a new device's registration is tried again while it is
// not known everywhere.
func TestChromiumPatience(t *testing.T) {
	for _, refusals := range []int{3, 7} {
		synctest.Test(t, func(t *testing.T) {
			g := newGoogle(t)
			defer g.close()
			if err := g.service.AddFault(pushservice.Fault{On: pushservice.OnRegistration, Error: "PHONE_REGISTRATION_ERROR", Count: refusals}); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			sub, err := useragent.Subscribe(t.Context(), useragent.FCM, g.options)
			took := time.Since(began).Round(time.Second)
			e := (*useragent.Error)(nil)
			switch {
			case refusals == 3 && (err != nil || took != 14*time.Second):
				t.Errorf("after %v: %v", took, err)
			case refusals == 7 && (!errors.As(err, &e) || !e.Temporary() || took != 90*time.Second):
				t.Errorf("after %v: %v", took, err)
			}
			if n := len(g.told()); n != min(refusals, 6) {
				t.Errorf("%d events", n)
			}
			if sub != nil {
				closeSub(t, sub)
			}
		})
	}
}

// TestChromiumBackoff: a connection that is lost late is made again at once, and
// one that is lost early, or cannot be made, after waits that double from 30
// seconds to 10 minutes, less up to a third.
func TestChromiumBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		defer g.close()
		cut := make(chan struct{})
		g.serve = func(c net.Conn) { serveUntil(t, c, cut) }
		sub, err := useragent.Subscribe(t.Context(), useragent.FCM, g.options)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		wait := func(name string, longest time.Duration) {
			t.Helper()
			synctest.Wait()
			events := g.told()
			if len(events) == 0 || events[0].Err == nil {
				t.Fatalf("%s: events %v", name, events)
			}
			if d := events[0].Retry; d > longest || d < longest*2/3 {
				t.Errorf("%s: a wait of %v, want up to %v", name, d, longest)
			}
			time.Sleep(events[0].Retry)
			synctest.Wait()
		}
		back := func() {
			t.Helper()
			if events := g.told(); len(events) != 1 || events[0].Err != nil {
				t.Errorf("the connection is not back: %v", events)
			}
		}
		time.Sleep(time.Minute)
		cut <- struct{}{}
		wait("lost late", 0)
		// At once, so its event is among those that wait has taken.
		time.Sleep(time.Second)
		cut <- struct{}{}
		wait("lost early", 30*time.Second)
		back()
		cut <- struct{}{}
		wait("lost early again", time.Minute)
		back()
		time.Sleep(time.Minute)
		g.setDown(true)
		cut <- struct{}{}
		wait("lost late, and nobody answers", 0)
		g.mu.Lock()
		if last := strings.Join(g.dials[len(g.dials)-2:], " "); last != "mtalk.google.com:5228 mtalk.google.com:443" {
			t.Errorf("dialed %s", last)
		}
		g.mu.Unlock()
		g.told()
	})
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		defer g.close()
		cut := make(chan struct{})
		g.serve = func(c net.Conn) { serveUntil(t, c, cut) }
		sub, err := useragent.Subscribe(t.Context(), useragent.FCM, g.options)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		time.Sleep(time.Minute)
		g.setDown(true)
		cut <- struct{}{}
		time.Sleep(2 * time.Hour)
		events := g.told()
		if len(events) < 8 {
			t.Fatalf("%d events", len(events))
		}
		for i, e := range events[1:] { // the first is at once
			longest := min(10*time.Minute, 30*time.Second<<min(i, 10))
			if e.Retry > longest || e.Retry < longest*2/3 {
				t.Errorf("wait %d is %v, want up to %v", i, e.Retry, longest)
			}
		}
		g.setDown(false)
		time.Sleep(10 * time.Minute)
		if events := g.told(); len(events) != 1 || events[0].Err != nil {
			t.Errorf("the connection is not back: %v", events)
		}
	})
}

// TestChromiumHeartbeat: silence is broken by pings, and ends the connection if
// nothing answers; the device checks in every two days.
func TestChromiumHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		defer g.close()
		var answer atomic.Bool
		var pings atomic.Int64
		answer.Store(true)
		g.serve = func(c net.Conn) {
			r := login(t, c)
			for {
				tag, _, err := mcs.ReadFrame(r)
				if err != nil {
					return
				}
				if tag == mcs.TagHeartbeatPing {
					pings.Add(1)
					if answer.Load() {
						_, _ = c.Write(mcs.AppendFrame(nil, mcs.TagHeartbeatAck, nil))
					}
				}
			}
		}
		sub, err := useragent.Subscribe(t.Context(), useragent.FCM, g.options)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		time.Sleep(time.Hour + time.Second)
		if pings.Load() != 12 || len(g.told()) != 0 {
			t.Errorf("%d pings in an hour", pings.Load())
		}
		answer.Store(false)
		time.Sleep(6*time.Minute + time.Second)
		if events := g.told(); len(events) != 2 || !strings.Contains(fmt.Sprint(events[0].Err), "no response to a ping within 1m0s") || events[1].Err != nil {
			t.Errorf("events %v", events)
		}
		answer.Store(true)
		count := func() (n int) {
			g.mu.Lock()
			defer g.mu.Unlock()
			for _, addr := range g.dials {
				if strings.HasPrefix(addr, "android.") {
					n++
				}
			}
			return n
		}
		before := count()
		time.Sleep(10 * 24 * time.Hour)
		if n := count() - before; n != 5 {
			t.Errorf("%d check-ins in 10 days", n)
		}
	})
}

// TestChromiumHostile: whatever a push service sends, the user agent neither
// crashes nor grows, and comes back.
func TestChromiumHostile(t *testing.T) {
	big := mcs.AppendFrame(nil, 99, make([]byte, mcs.MaxFrame))
	data := func(m mcs.DataMessage) []byte { return mcs.AppendFrame(nil, mcs.TagDataMessage, m.Append(nil)) }
	lost := map[string]string{ // what follows the login, and why the connection is lost then
		"\x08\xff\xff\xff\xff\xff\xff\xff": "more than 5 bytes",
		"\x08\xff\xff\xff\x7f":             "the largest allowed",
		"GET / HTTP/1.1\r\n":               "largest allowed|closed|30s|no answer|timeout",
		string(mcs.AppendFrame(nil, mcs.TagHeartbeatPing, []byte{255})):                                                            "malformed",
		string(mcs.AppendFrame(nil, mcs.TagHeartbeatPing, mcs.Heartbeat{LastStreamIDReceived: 1 << 31}.Append(nil))):               "acknowledges frame 2147483648 of 1",
		string(data(mcs.DataMessage{PersistentID: "x", LastStreamIDReceived: 5})):                                                  "acknowledges frame 5 of 1",
		string(mcs.AppendFrame(nil, mcs.TagIq, mcs.Iq{LastStreamIDReceived: 2}.Append(nil))):                                       "acknowledges frame 2 of 1",
		string(mcs.AppendFrame(nil, mcs.TagLoginResponse, nil)):                                                                    "after the login",
		string(mcs.AppendFrame(nil, mcs.TagClose, nil)):                                                                            "the push service closed the connection",
		string(mcs.AppendFrame(nil, mcs.TagStreamError, mcs.StreamError{Type: "bad", Text: "\x1b[2J"}.Append(nil))):                "closed the connection: ",
		strings.Repeat(string(big), 200) + string(mcs.AppendFrame(nil, mcs.TagClose, nil)):                                         "closed the connection",
		strings.Repeat(string(mcs.AppendFrame(nil, mcs.TagDataMessage, []byte{255})), 50) + "\x04\x00":                             "closed the connection",
		strings.Repeat(string(data(mcs.DataMessage{PersistentID: "y", Category: "x"})), 5000) + "\x04\x00":                         "closed the connection",
		strings.Repeat(string(data(mcs.DataMessage{AppData: []mcs.AppData{{Key: "message_type", Value: "?"}}})), 999) + "\x04\x00": "closed the connection",
	}
	for input, want := range lost {
		synctest.Test(t, func(t *testing.T) {
			g := newGoogle(t)
			defer g.close()
			var once sync.Once
			g.serve = func(c net.Conn) {
				attack := false
				once.Do(func() { attack = true })
				if !attack {
					serveUntil(t, c, nil)
					return
				}
				r := login(t, c)
				g.wait.Go(func() { _, _ = io.Copy(io.Discard, r) })
				_, _ = io.WriteString(c, input)
				time.Sleep(45 * time.Second)
			}
			sub, err := useragent.Subscribe(t.Context(), useragent.FCM, g.options)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			events := g.told()
			if len(events) != 2 || events[0].Err == nil || events[1].Err != nil {
				t.Fatalf("%.30q: events %v", input, events)
			}
			ok := false
			for w := range strings.SplitSeq(want, "|") {
				ok = ok || strings.Contains(events[0].Err.Error(), w)
			}
			if !ok {
				t.Errorf("%.30q: %v, want %s", input, events[0].Err, want)
			}
			if err := sub.Close(); err != nil && !strings.Contains(err.Error(), "no response within 3s") {
				t.Error(err)
			}
		})
	}
}

// TestChromiumFirstAnswer: a push service that does not answer the login as one.
func TestChromiumFirstAnswer(t *testing.T) {
	for input, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n\r\n": "no response within 30s",
		"\x05":                             "unsupported version 5",
		"\x29\x08\x00":                     "the first frame has the tag 8",
		"\x29\x03\x01\xff":                 "malformed",
		"\x29":                             "no response within 30s",
		"":                                 "no response within 30s",
		"\x29\x03\x02\x30\x02":             "acknowledges frame 2 of 1",
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newGoogle(t)
			defer g.close()
			g.serve = func(c net.Conn) {
				g.wait.Go(func() { _, _ = io.Copy(io.Discard, c) })
				_, _ = io.WriteString(c, input)
				time.Sleep(time.Minute)
			}
			_, err := useragent.Subscribe(t.Context(), useragent.FCM, g.options)
			ok := false
			for w := range strings.SplitSeq(want, "|") {
				ok = ok || err != nil && strings.Contains(err.Error(), w)
			}
			if !ok {
				t.Errorf("%q: %v, want %s", input, err, want)
			}
			// Nobody would know of the registration.
			if n := len(g.service.Subscriptions()); n != 0 {
				t.Errorf("%q: %d subscriptions are left", input, n)
			}
		})
	}
	// Half a TLS handshake.
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		defer g.close()
		g.options.SetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "android.") {
				return g.dial(ctx, network, addr)
			}
			client, server := pipetest.Pipe()
			g.wait.Go(func() { _, _ = io.Copy(io.Discard, server) })
			return client, nil
		})
		if _, err := useragent.Subscribe(t.Context(), useragent.FCM, g.options); err == nil || !strings.Contains(err.Error(), "no response within 30s") {
			t.Errorf("got %v", err)
		}
	})
}

// TestChromiumLost: messages that the push service has removed are reported.
func TestChromiumLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		defer g.close()
		var acked atomic.Uint32
		g.serve = func(c net.Conn) {
			r := login(t, c)
			m := mcs.DataMessage{PersistentID: "x", Category: "org.chromium.linux", AppData: []mcs.AppData{{Key: "message_type", Value: "deleted_messages"}, {Key: "total_deleted", Value: "12"}}}
			_, _ = c.Write(mcs.AppendFrame(nil, mcs.TagDataMessage, m.Append(nil)))
			for {
				tag, b, err := mcs.ReadFrame(r)
				if err != nil {
					return
				}
				if m, _ := mcs.ParseIq(b); tag == mcs.TagIq {
					acked.Store(m.LastStreamIDReceived)
				}
			}
		}
		sub, err := useragent.Subscribe(t.Context(), useragent.FCM, g.options)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sub.Receive(t.Context())
		if e := (*useragent.LostError)(nil); !errors.As(err, &e) || e.Count != 12 {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if acked.Load() != 2 {
			t.Errorf("frames up to %d are acknowledged", acked.Load())
		}
		_ = sub.Close()
	})
}
