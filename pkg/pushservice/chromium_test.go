package pushservice_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

const chromiumEndpointOrigin = "https://fcm.googleapis.com"

// chromium is a device that behaves like Chromium's.
type chromium struct {
	t         testing.TB
	service   *pushservice.Service
	id, token string
	key       *vapid.Key

	conn     net.Conn
	r        *bufio.Reader
	received uint32
	ended    chan error
}

func newChromium(t testing.TB, s *pushservice.Service) *chromium {
	w := do(s, newRequest(http.MethodPost, "/checkin", bytes.NewReader(mcs.CheckinRequest{ChromeVersion: "156.0.0.0"}.Append(nil))))
	answer, err := mcs.ParseCheckinResponse(w.Body.Bytes())
	if err != nil || w.Code != http.StatusOK || answer.AndroidID == 0 || answer.SecurityToken == 0 {
		t.Fatalf("check-in: status %d, %+v, %v", w.Code, answer, err)
	}
	return &chromium{t: t, service: s, key: generateKey(t), id: strconv.FormatUint(answer.AndroidID, 10), token: strconv.FormatUint(answer.SecurityToken, 10)}
}

// form sends a registration and returns the response.
func (c *chromium) form(subtype string, more ...string) string {
	c.t.Helper()
	form := url.Values{"app": {"org.chromium.linux"}, "X-subtype": {subtype}, "device": {c.id}, "sender": {c.key.PublicKey().String()}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	r := newRequest(http.MethodPost, "/c2dm/register3", strings.NewReader(form.Encode()))
	r.Header.Set("Authorization", "AidLogin "+c.id+":"+c.token)
	w := do(c.service, r)
	if w.Code != http.StatusOK {
		c.t.Fatalf("registration: status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func (c *chromium) register(subtype string) (path string) {
	c.t.Helper()
	token, ok := strings.CutPrefix(c.form(subtype, "appid", "dGVzdHRlc3Q"), "token=")
	if !ok || !strings.HasPrefix(token, "dGVzdHRlc3Q:APA91b") {
		c.t.Fatalf("token %q", token)
	}
	return "/fcm/send/" + token
}

// push sends a message and returns the status.
func (c *chromium) push(path string, body []byte, header ...string) int {
	c.t.Helper()
	r := newRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Host = "fcm.googleapis.com"
	r.Header.Set("TTL", "60")
	if len(body) > 0 {
		r.Header.Set("Content-Encoding", "aes128gcm")
	}
	claims := goodClaims()
	claims["aud"] = chromiumEndpointOrigin
	for i := 0; i < len(header); i += 2 {
		if header[i] == "aud" {
			claims["aud"] = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	r.Header.Set("Authorization", sign(c.t, c.key, claims).Authorization())
	w := httptest.NewRecorder()
	c.service.ServeChromium(w, r)
	return w.Code
}

func (c *chromium) login(received ...string) {
	c.t.Helper()
	if answer := c.tryLogin(received...); answer.ErrorCode != 0 || answer.LastStreamIDReceived != 1 {
		c.t.Fatalf("login: %+v", answer)
	}
}

func (c *chromium) tryLogin(received ...string) mcs.LoginResponse {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = c.service.ServeMCS(conn)
		}
		ended <- err
	}()
	if c.conn, err = net.Dial("tcp", l.Addr().String()); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.conn.Close() })
	c.ended, c.r, c.received = ended, bufio.NewReader(c.conn), 0
	request := mcs.LoginRequest{ID: "chrome-156.0.0.0", Domain: "mcs.android.com", User: c.id, Resource: c.id, AuthToken: c.token, ReceivedPersistentIDs: received}
	c.write(mcs.AppendFrame([]byte{mcs.Version}, mcs.TagLoginRequest, request.Append(nil)))
	if err := mcs.ReadVersion(c.r); err != nil {
		c.t.Fatal(err)
	}
	answer, err := mcs.ParseLoginResponse(c.read(mcs.TagLoginResponse))
	if err != nil {
		c.t.Fatal(err)
	}
	return answer
}

func (c *chromium) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chromium) read(want mcs.Tag) []byte {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	tag, body, err := mcs.ReadFrame(c.r)
	if err != nil || tag != want {
		c.t.Fatalf("a frame with tag %d, want %d: %v", tag, want, err)
	}
	c.received++
	return body
}

func (c *chromium) message() mcs.DataMessage {
	c.t.Helper()
	m, err := mcs.ParseDataMessage(c.read(mcs.TagDataMessage))
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// ping acknowledges frames and waits for the response: no other frame may precede
// it.
func (c *chromium) ping(number uint32) {
	c.t.Helper()
	c.write(mcs.AppendFrame(nil, mcs.TagHeartbeatPing, mcs.Heartbeat{LastStreamIDReceived: number}.Append(nil)))
	c.read(mcs.TagHeartbeatAck)
}

func (c *chromium) close() {
	_ = c.conn.Close()
	<-c.ended
}

func TestChromiumMessages(t *testing.T) {
	c := newChromium(t, pushservice.New(pushservice.Options{}))
	const subtype = "wp:https://app.example/#CCE6713C-66EC-4362-BA06-940B18319-V2"
	path := c.register(subtype)
	if again := c.register(subtype); again != path {
		t.Errorf("registering again gave another endpoint")
	}
	body := aes128gcmBody(t, 4096, point(t), 20)
	for name, status := range map[string]int{"https://jmt17.google.com": http.StatusUnauthorized, "http://localhost": http.StatusUnauthorized, chromiumEndpointOrigin: http.StatusCreated} {
		if got := c.push(path, body, "aud", name); got != status {
			t.Errorf("aud %s: status %d, want %d", name, got, status)
		}
	}
	c.login()
	m := c.message()
	if got, _ := m.Value("subtype"); got != subtype || m.From != c.key.PublicKey().String() || m.Category != "org.chromium.linux" || !bytes.Equal(m.RawData, body) || !m.ImmediateAck || m.LastStreamIDReceived != 1 {
		t.Errorf("message %+v", m)
	}
	if got, _ := m.Value("content-encoding"); got != "aes128gcm" {
		t.Errorf("content-encoding %q", got)
	}
	// Neither acknowledged nor listed: it is sent again.
	c.close()
	c.login()
	if again := c.message(); again.PersistentID != m.PersistentID {
		t.Errorf("redelivered %q, want %q", again.PersistentID, m.PersistentID)
	}
	// Listed: it is not.
	c.close()
	c.login(m.PersistentID)
	c.ping(1)
	// Acknowledging one of several messages acknowledges all earlier ones.
	for i := range 3 {
		if got := c.push(strings.Replace(path, "/fcm/send/", "/preprod/wp/", 1), nil, "TTL", strconv.Itoa(60+i)); got != http.StatusCreated {
			t.Fatalf("status %d", got)
		}
	}
	first, second, third := c.message(), c.message(), c.message()
	if first.RawData != nil || first.TTL != 60 || third.TTL != 62 {
		t.Errorf("messages %+v, %+v", first, third)
	}
	c.ping(c.received - 1)
	c.close()
	c.login()
	if m := c.message(); m.PersistentID != third.PersistentID || m.PersistentID == second.PersistentID {
		t.Errorf("redelivered %q, want %q", m.PersistentID, third.PersistentID)
	}
	// SelectiveAck acknowledges messages by ID, independent of the number.
	c.write(mcs.AppendFrame(nil, mcs.TagIq, mcs.Iq{Extension: mcs.SelectiveAck, IDs: []string{third.PersistentID}, LastStreamIDReceived: 1}.Append(nil)))
	c.ping(1)
	c.close()
	// A message with a TTL of zero arrives now or never, and only the newest message
	// of a topic arrives.
	c.push(path, nil, "TTL", "0")
	c.push(path, nil, "Topic", "t", "TTL", "100")
	c.push(path, nil, "Topic", "t", "TTL", "200")
	c.login()
	if m := c.message(); m.Token != "t" || m.TTL != 200 {
		t.Errorf("message %+v", m)
	}
	c.write(mcs.AppendFrame(nil, mcs.TagIq, mcs.Iq{Extension: mcs.StreamAck, LastStreamIDReceived: c.received}.Append(nil)))
	c.ping(c.received)
	if n := c.service.Subscriptions()[0].Messages; n != 0 {
		t.Errorf("%d messages wait", n)
	}
	// The messages of an unregistered subscription are dropped.
	c.close()
	c.push(path, nil)
	if answer := c.form(subtype, "delete", "true", "sender", "*"); !strings.HasPrefix(answer, "token=") {
		t.Errorf("unregister: %q", answer)
	}
	if got := c.push(path, nil); got != http.StatusGone {
		t.Errorf("after that: status %d", got)
	}
	c.login()
	c.ping(1)
}

func TestChromiumRegistration(t *testing.T) {
	c := newChromium(t, pushservice.New(pushservice.Options{}))
	for name, test := range map[string]struct {
		more []string
		want string
	}{
		"without instance id": {nil, "token=d"},
		"sender":              {[]string{"sender", "745476177629"}, "Error=INVALID_SENDER"},
		"instance id":         {[]string{"appid", "a/b"}, "Error=INVALID_PARAMETERS"},
		"no app":              {[]string{"app", ""}, "Error=INVALID_PARAMETERS"},
		"Chromium's own":      {[]string{"app", "com.google.android.gms", "X-subtype", "", "sender", "745476177629"}, "token="},
	} {
		got := c.form("wp:https://"+strings.ReplaceAll(name, " ", "")+".example/#1", test.more...)
		if name == "without instance id" { // 0111 begins c to f in base64url
			if token, ok := strings.CutPrefix(got, "token="); !ok || !strings.Contains("cdef", token[:1]) || strings.Index(token, ":") != 11 {
				t.Errorf("%s: %q", name, got)
			}
		} else if !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if n := len(c.service.Subscriptions()); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	c.token = "x"
	if got := c.form("wp:x"); got != "Error=AUTHENTICATION_FAILED" {
		t.Errorf("a token that is not a number: %q", got)
	}
}

// TestChromiumHosts: the hosts of Chromium's endpoints are accepted only on their
// own listener, which accepts no other hosts.
func TestChromiumHosts(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	if hosts := pushservice.ChromiumHosts(); !slices.Contains(hosts, "fcm.googleapis.com") {
		t.Errorf("hosts %q", hosts)
	}
	r := newRequest(http.MethodPost, "/fcm/send/x", nil)
	r.Host = "fcm.googleapis.com"
	if w := do(s, r); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("everyday listener: status %d", w.Code)
	}
	for host, want := range map[string]int{"localhost": http.StatusMisdirectedRequest, "example.com": http.StatusMisdirectedRequest, "fcm.googleapis.com": http.StatusNotFound, "fcm.googleapis.com:443": http.StatusNotFound} {
		for _, path := range []string{"/api/subscriptions", "/fcm/send/x", "/"} {
			r := newRequest(http.MethodPost, path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			s.ServeChromium(w, r)
			if w.Code != want {
				t.Errorf("%s%s: status %d, want %d", host, path, w.Code, want)
			}
		}
	}
}

// TestMCSHostile: a device that violates the protocol loses its connection, and the
// service continues.
func TestMCSHostile(t *testing.T) {
	c := newChromium(t, pushservice.New(pushservice.Options{}))
	for name, frame := range map[string][]byte{
		"counter of the future": mcs.AppendFrame(nil, mcs.TagHeartbeatPing, mcs.Heartbeat{LastStreamIDReceived: 2}.Append(nil)),
		"second login":          mcs.AppendFrame(nil, mcs.TagLoginRequest, nil),
		"garbage in a ping":     mcs.AppendFrame(nil, mcs.TagHeartbeatPing, []byte{0xff, 0xff}),
		"huge frame":            {byte(mcs.TagIq), 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		c.login()
		c.write(frame)
		_ = c.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, c.r); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: the connection stays: %v", name, err)
		}
		if err := <-c.ended; err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	c.login()
	c.write(mcs.AppendFrame(nil, 99, []byte("unknown"))) // is counted
	c.write(mcs.AppendFrame(nil, mcs.TagHeartbeatPing, nil))
	if m, err := mcs.ParseHeartbeat(c.read(mcs.TagHeartbeatAck)); err != nil || m.LastStreamIDReceived != 3 {
		t.Errorf("answer to the ping: %+v, %v", m, err)
	}
	// A second connection of the device replaces the first.
	first, ended := c.conn, c.ended
	c.login()
	_ = first.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, first); err != nil {
		t.Errorf("the first connection: %v", err)
	}
	<-ended
	// Close closes the connection and waits for it.
	if err := c.service.Close(); err != nil {
		t.Error(err)
	}
	<-c.ended
}

// TestChromiumFaults: check-in, registration, and login fail on request, and work
// afterward.
func TestChromiumFaults(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	c := newChromium(t, s)
	add := func(f pushservice.Fault) {
		t.Helper()
		if err := s.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	const subtype = "wp:https://app.example/#1"
	for _, code := range append(pushservice.RegistrationErrors(), "A_CODE_OF_TOMORROW") {
		add(pushservice.Fault{On: pushservice.OnRegistration, Error: code})
		if got := c.form("", "app", "com.google.android.gms", "sender", "745476177629"); !strings.HasPrefix(got, "token=") {
			t.Errorf("Chromium's own registration: %q", got)
		}
		if got := c.form(subtype); got != "Error="+code {
			t.Errorf("%s: %q", code, got)
		}
	}
	path := c.register(subtype)
	add(pushservice.Fault{On: pushservice.OnUnregistration, Error: "INTERNAL_SERVER_ERROR"})
	if got := c.form(subtype, "delete", "true"); got != "Error=INTERNAL_SERVER_ERROR" {
		t.Errorf("unregistration: %q", got)
	}
	if got := c.push(path, nil); got != http.StatusCreated {
		t.Errorf("the subscription has ended: %d", got)
	}
	add(pushservice.Fault{On: pushservice.OnCheckin, Status: http.StatusUnauthorized})
	add(pushservice.Fault{On: pushservice.OnRegistration, Status: http.StatusBadGateway, Body: []byte("<html>")})
	for _, path := range []string{"/checkin", "/c2dm/register3"} {
		r := newRequest(http.MethodPost, path, strings.NewReader(url.Values{"app": {"x"}, "X-subtype": {"y"}}.Encode()))
		r.Header.Set("Authorization", "AidLogin 1:1")
		if path == "/checkin" {
			r = newRequest(http.MethodPost, path, bytes.NewReader(mcs.CheckinRequest{AndroidID: 1, SecurityToken: 1}.Append(nil)))
		}
		if w := do(s, r); w.Code != http.StatusUnauthorized && w.Code != http.StatusBadGateway {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	// Faults apply to messages to Chromium like to any other.
	add(pushservice.Fault{Status: http.StatusServiceUnavailable})
	if got := c.push(path, nil); got != http.StatusServiceUnavailable {
		t.Errorf("message: status %d", got)
	}
	add(pushservice.Fault{On: pushservice.OnLogin, Error: "3"})
	if answer := c.tryLogin(); answer.ErrorCode != 3 {
		t.Errorf("login: %+v", answer)
	}
	c.login()
	if m := c.message(); m.PersistentID == "" {
		t.Errorf("message %+v", m)
	}
}
