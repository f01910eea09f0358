package pushservice_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// browser is a user agent that speaks autopush's protocol over a network.
type browser struct {
	t  testing.TB
	ws *websocket.Conn
}

// listen serves s on a port of this machine.
func listen(t testing.TB, s *pushservice.Service) string {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Cleanup(func() { _ = s.Close() })
	return server.URL
}

func connect(t testing.TB, url string) *browser {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: []string{"push-notification"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &browser{t, ws}
}

// patience is the time after which a test gives up on the other side: far more than
// it needs, even on a busy machine.
const patience = 30 * time.Second

func (b *browser) say(message string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if err := b.ws.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) read() (map[string]any, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	_, data, err := b.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	return m, json.Unmarshal(data, &m)
}

func (b *browser) hear() map[string]any {
	b.t.Helper()
	m, err := b.read()
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// quiet checks that no message is waiting: the next message is the response to a
// request that always has one.
func (b *browser) quiet() {
	b.t.Helper()
	b.say(`{"messageType":"broadcast_subscribe","broadcasts":{}}`)
	if m := b.hear(); m["messageType"] != "broadcast" {
		b.t.Errorf("heard %v", m)
	}
}

// hello sends a hello with an ID, or without one if it is empty, and returns the ID in
// the response.
func (b *browser) hello(uaid string) string {
	b.t.Helper()
	b.say(fmt.Sprintf(`{"messageType":"hello","broadcasts":{},"use_webpush":true,"uaid":%q,"other":1}`, uaid))
	m := b.hear()
	id, _ := m["uaid"].(string)
	if m["messageType"] != "hello" || m["status"] != 200.0 || m["use_webpush"] != true || len(id) != 32 {
		b.t.Fatalf("hello was answered with %v", m)
	}
	return id
}

func (b *browser) register(channel string, key vapid.PublicKey) string {
	b.t.Helper()
	text := ""
	if !key.IsZero() {
		text = `,"key":"` + base64.URLEncoding.EncodeToString(key.Bytes()) + `"` // with padding
	}
	b.say(`{"messageType":"register","channelID":"` + channel + `"` + text + `}`)
	m := b.hear()
	endpoint, _ := m["pushEndpoint"].(string)
	if m["messageType"] != "register" || m["status"] != 200.0 || m["channelID"] != channel || endpoint == "" {
		b.t.Fatalf("register was answered with %v", m)
	}
	return endpoint
}

func (b *browser) notification() map[string]any {
	b.t.Helper()
	m := b.hear()
	if m["messageType"] != "notification" {
		b.t.Fatalf("heard %v, want a notification", m)
	}
	return m
}

func (b *browser) ack(m map[string]any, code int) {
	b.t.Helper()
	b.say(fmt.Sprintf(`{"messageType":"ack","updates":[{"channelID":%q,"version":%q,"code":%d}]}`, m["channelID"], m["version"], code))
}

// closed checks that the service closes the connection with that code and reason.
func (b *browser) closed(code websocket.StatusCode, reason string) {
	b.t.Helper()
	for {
		_, err := b.read()
		if err == nil {
			continue
		}
		var e websocket.CloseError
		if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Reason, reason) {
			b.t.Errorf("the connection ended with %v, want %d %q", err, code, reason)
		}
		return
	}
}

const (
	channelA = "01234567-89ab-cdef-0123-456789abcdef"
	channelB = "fedcba98-7654-3210-fedc-ba9876543210"
)

// post sends a message to an endpoint and returns its resource.
func post(t testing.TB, endpoint string, body []byte, header ...string) string {
	t.Helper()
	r := request(endpoint, body)
	r.RequestURI = ""
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if text := readAll(t, answer); answer.StatusCode != 201 {
		t.Fatalf("status %d: %s", answer.StatusCode, text)
	}
	return answer.Header.Get("Location")
}

func TestWebSocket(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	url := listen(t, s)
	b := connect(t, url)
	if p := b.ws.Subprotocol(); p != "" {
		t.Errorf("the subprotocol is %q", p)
	}
	id := b.hello("")
	endpoint := b.register(channelA, vapid.PublicKey{})
	if !strings.HasPrefix(endpoint, url+"/wpush/v1/") {
		t.Errorf("the endpoint is %q", endpoint)
	}
	if again := b.register(channelA, vapid.PublicKey{}); again != endpoint {
		t.Errorf("registered again: %q, not %q", again, endpoint)
	}
	restricted := b.register(channelB, generateKey(t).PublicKey())
	if !strings.HasPrefix(restricted, url+"/wpush/v2/") {
		t.Errorf("the restricted endpoint is %q", restricted)
	}
	if other := b.register(channelB, generateKey(t).PublicKey()); other == restricted {
		t.Error("another key has the same endpoint")
	}
	list := s.Subscriptions()
	if len(list) != 2 || list[0].Channel != channelA || list[0].Waiting != 1 {
		t.Errorf("subscriptions are %+v", list)
	}

	// All kinds of bodies.
	body := aes128gcmBody(t, 4096, point(t), 30)
	location := post(t, endpoint, body)
	m := b.notification()
	if m["channelID"] != channelA || !strings.HasSuffix(location, m["version"].(string)) || m["data"] != encode(body) ||
		fmt.Sprint(m["headers"]) != "map[encoding:aes128gcm]" {
		t.Errorf("the notification is %v", m)
	}
	b.ack(m, 100)
	dh := encode(point(t))
	post(t, endpoint, make([]byte, 40), "Content-Encoding", "aesgcm",
		"Encryption", `keyid="p256dh"; salt="AAAAAAAAAAAAAAAAAAAAAA=="`, "Crypto-Key", `keyid=p256dh;dh="`+dh+`=",p256ecdsa=AAAA`)
	m = b.notification()
	if got, want := fmt.Sprint(m["headers"]), "map[crypto_key:dh="+dh+";keyid=p256dh,p256ecdsa=AAAA encoding:aesgcm encryption:keyid=p256dh;salt=AAAAAAAAAAAAAAAAAAAAAA]"; got != want {
		t.Errorf("the headers are %s, want %s", got, want)
	}
	b.ack(m, 101)
	post(t, endpoint, nil, "TTL", "0")
	m = b.notification()
	if _, ok := m["data"]; ok || m["headers"] != nil || len(m) != 3 {
		t.Errorf("without payload the notification is %v", m)
	}
	b.ack(m, 102)
	b.say(`{"messageType":"nack","version":"x","code":302}`)
	b.say(`{}`)
	if m := b.hear(); len(m) != 0 {
		t.Errorf("the ping was answered with %v", m)
	}
	b.say(`{"messageType":"broadcast_subscribe","broadcasts":{"remote-settings/monitor_changes":"1"}}`)
	if got, want := fmt.Sprint(b.hear()), "map[broadcasts:map[errors:map[remote-settings/monitor_changes:Broadcast not found]] messageType:broadcast]"; got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
	if list := s.Subscriptions(); list[0].Messages != 0 {
		t.Errorf("%d messages wait after they were acknowledged", list[0].Messages)
	}

	// Unacknowledged messages are sent again; canceled ones are not.
	post(t, endpoint, nil, "Topic", "x")
	first := b.notification()
	b.ws.Close(websocket.StatusGoingAway, "")
	canceled := post(t, endpoint, nil)
	r, _ := http.NewRequest("DELETE", canceled, nil)
	if answer, err := http.DefaultClient.Do(r); err != nil || answer.StatusCode != 204 {
		t.Errorf("canceling: %v, %v", answer, err)
	}
	b = connect(t, url)
	if again := b.hello(id); again != id {
		t.Fatalf("hello gave %s, not %s", again, id)
	}
	m = b.notification()
	if m["version"] != first["version"] {
		t.Errorf("%v came, not %v", m["version"], first["version"])
	}
	b.quiet()
	// It is replaced while it is on the way.
	post(t, endpoint, nil, "Topic", "x")
	second := b.notification()
	b.ack(m, 100)
	b.ack(second, 100)
	b.quiet()

	// A second connection replaces the first.
	ghost, b := b, connect(t, url)
	if again := b.hello(id); again != id {
		t.Fatalf("hello gave %s, not %s", again, id)
	}
	ghost.closed(websocket.StatusInternalError, "connected elsewhere")
	post(t, endpoint, nil)
	b.ack(b.notification(), 0)

	b.say(`{"messageType":"unregister","channelID":"` + channelA + `","code":200}`)
	if m := b.hear(); m["status"] != 200.0 || m["channelID"] != channelA || m["messageType"] != "unregister" {
		t.Errorf("unregister was answered with %v", m)
	}
	answer, err := http.DefaultClient.Post(endpoint, "", nil)
	if err != nil || answer.StatusCode != 410 {
		t.Errorf("a message after unregister: %v, %v", answer, err)
	}
	// The last subscription is removed through the API: the user agent must notice.
	if err := s.Unsubscribe(s.Subscriptions()[0].ID); err != nil {
		t.Fatal(err)
	}
	b.closed(websocket.StatusNormalClosure, "no longer has a subscription")
	if again := connect(t, url).hello(id); again == id {
		t.Error("the id is known after its last subscription ended")
	}
}

func TestWebSocketUnknownAgent(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	url := listen(t, s)
	b := connect(t, url)
	id := b.hello(strings.Repeat("0", 32))
	if id == strings.Repeat("0", 32) {
		t.Error("an unknown id was taken")
	}
	// An id that never registered anything is not kept.
	b.ws.Close(websocket.StatusNormalClosure, "")
	for range 2 {
		if again := connect(t, url).hello(id); again == id {
			t.Error("the id is kept")
		}
	}
}

func TestWebSocketBacklog(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	url := listen(t, s)
	b := connect(t, url)
	id := b.hello("")
	endpoint, other := b.register(channelA, vapid.PublicKey{}), b.register(channelB, vapid.PublicKey{})
	b.ws.Close(websocket.StatusNormalClosure, "")
	var want []string
	for i := range 25 {
		to := endpoint
		if i%2 == 1 {
			to = other
		}
		want = append(want, post(t, to, nil))
	}
	topic := post(t, endpoint, nil, "Topic", "t")
	want = append([]string{topic}, want...)

	b = connect(t, url)
	b.hello(id)
	var got []map[string]any
	for i := range want {
		m := b.notification()
		if !strings.HasSuffix(want[i], m["version"].(string)) {
			t.Errorf("number %d is not the one that was sent so", i)
		}
		if got = append(got, m); len(got) == 10 || i == len(want)-1 {
			if i < 20 {
				b.quiet() // until all are acknowledged
			}
			for _, m := range got {
				b.ack(m, 100)
			}
			got = nil
		}
	}
	b.quiet()
	// Immediately, but not in unlimited number.
	for range 150 {
		post(t, endpoint, nil)
	}
	for range 100 {
		got = append(got, b.notification())
	}
	b.quiet()
	for _, m := range got {
		b.ack(m, 100)
	}
	for range 5 {
		got = nil
		for range 10 {
			got = append(got, b.notification())
		}
		b.quiet()
		for _, m := range got {
			b.ack(m, 100)
		}
	}
	b.quiet()
}

func TestWebSocketProtocol(t *testing.T) {
	s := pushservice.New(pushservice.Options{MaxSubscriptions: 1})
	url := listen(t, s)
	for _, c := range []struct {
		name   string
		hello  bool
		say    string
		code   websocket.StatusCode
		reason string
	}{
		{"no JSON", true, "x", 1011, "not a JSON object"},
		{"no object", true, "[]", 1011, "not a JSON object"},
		{"no hello", false, "{}", 1011, "not a hello"},
		{"register first", false, `{"messageType":"register","channelID":"` + channelA + `"}`, 1011, "not a hello"},
		{"hello twice", true, `{"messageType":"hello"}`, 1011, "second hello"},
		{"unknown", true, `{"messageType":"x"}`, 1011, "unknown message type"},
		{"upper case", true, `{"messageType":"register","channelID":"` + strings.ToUpper(channelA) + `"}`, 1011, "not a lowercase UUID"},
		{"no channel", true, `{"messageType":"unregister"}`, 1011, "not a lowercase UUID"},
		{"too large", true, `{"x":"` + strings.Repeat("x", 1<<17) + `"}`, websocket.StatusMessageTooBig, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := connect(t, url)
			if c.hello {
				b.hello("")
			}
			// Writing fails if the service closes the connection before it has read
			// everything.
			_ = b.ws.Write(t.Context(), websocket.MessageText, []byte(c.say))
			b.closed(c.code, c.reason)
		})
	}
	t.Run("binary", func(t *testing.T) {
		b := connect(t, url)
		b.hello("")
		if err := b.ws.Write(t.Context(), websocket.MessageBinary, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		b.closed(websocket.StatusUnsupportedData, "text frames")
	})
	t.Run("pings", func(t *testing.T) {
		b := connect(t, url)
		b.hello("")
		b.say(`{"messageType":"ping"}`)
		b.say(`{}`)
		b.closed(1011, "45s apart")
	})
	t.Run("bad key, and too many", func(t *testing.T) {
		b := connect(t, url)
		b.hello("")
		b.say(`{"messageType":"register","channelID":"` + channelA + `","key":"AAAA"}`)
		if m := b.hear(); m["status"] != 400.0 || m["pushEndpoint"] != "Failed to generate endpoint" {
			t.Errorf("heard %v", m)
		}
		b.register(channelA, vapid.PublicKey{})
		b.say(`{"messageType":"register","channelID":"` + channelB + `"}`)
		if m := b.hear(); m["status"] != 500.0 || m["pushEndpoint"] != "" {
			t.Errorf("heard %v", m)
		}
	})
	t.Run("connections", func(t *testing.T) {
		url := listen(t, pushservice.New(pushservice.Options{MaxConnections: 2}))
		connect(t, url).hello("")
		connect(t, url).hello("")
		_, answer, err := websocket.Dial(t.Context(), url, nil)
		if err == nil || answer == nil || answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
			t.Errorf("the third: %v, %v", answer, err)
		}
	})
	t.Run("stop", func(t *testing.T) {
		s := pushservice.New(pushservice.Options{})
		b := connect(t, listen(t, s))
		b.hello("")
		go s.Close()
		b.closed(websocket.StatusGoingAway, "stops")
	})
}

// FuzzWebSocket sends two frames after hello, and arbitrary ones as the first. The
// service must continue to serve others.
func FuzzWebSocket(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"messageType":"hello","uaid":"x","broadcasts":{"a":1}}`, `{"messageType":"register","channelID":"` + channelA + `","key":"x"}`,
		`{"messageType":"ack","updates":[{"channelID":"x","version":"y","code":-1},{}]}`, `{"messageType":"ack","updates":null}`,
		`{"messageType":"broadcast_subscribe","broadcasts":{"x":null}}`, `{"messageType":"nack"}`, `null`, `[1]`, `"`, "\xff", `{"messageType":1}`,
	} {
		f.Add(s, s, true)
		f.Add(s, s, false)
	}
	s := pushservice.New(pushservice.Options{MaxSubscriptions: 10})
	url := listen(f, s)
	f.Fuzz(func(t *testing.T, first, second string, hello bool) {
		b := connect(t, url)
		if hello {
			b.hello("")
		}
		for _, m := range []string{first, second} {
			if b.ws.Write(t.Context(), websocket.MessageText, []byte(m)) != nil {
				break
			}
		}
		_ = b.ws.CloseNow()
		other := connect(t, url)
		other.hello("")
		_ = other.ws.CloseNow()
	})
}

// TestMozillaRepeats: autopush forgets the messages of a batch only when the whole
// batch is acknowledged. A user agent that reconnects earlier receives acknowledged
// messages again, except for messages with a topic, which are forgotten immediately.
func TestMozillaRepeats(t *testing.T) {
	const channel = "11111111-2222-3333-4444-555555555555"
	for _, as := range []pushservice.Personality{pushservice.Strict, pushservice.Mozilla} {
		s := pushservice.New(pushservice.Options{As: as})
		url := listen(t, s)
		b := connect(t, url)
		uaid := b.hello("")
		endpoint := b.register(channel, vapid.PublicKey{})
		_ = b.ws.Close(websocket.StatusNormalClosure, "")
		send := func(header ...string) string { return path.Base(post(t, endpoint, nil, header...)) }
		topic, one, two := send("Topic", "news"), send(), send()
		// again connects and returns the n waiting messages. An additional message would
		// make quiet or the next expectation fail.
		again := func(n int) []string {
			b = connect(t, url)
			if id := b.hello(uaid); id != uaid {
				t.Fatalf("the uaid is %s", id)
			}
			var versions []string
			for range n {
				version, _ := b.hear()["version"].(string)
				versions = append(versions, version)
			}
			b.quiet()
			return versions
		}
		ack := func(version string) {
			b.ack(map[string]any{"channelID": channel, "version": version}, 100)
			b.quiet()
		}
		if got := again(3); !slices.Equal(got, []string{topic, one, two}) {
			t.Fatalf("%q: got %v", as, got)
		}
		ack(topic)
		ack(one)
		_ = b.ws.Close(websocket.StatusNormalClosure, "")
		want := []string{two}
		if as == pushservice.Mozilla {
			want = []string{one, two}
		}
		if got := again(len(want)); !slices.Equal(got, want) {
			t.Fatalf("%q: got %v, want %v", as, got, want)
		}
		for _, version := range want {
			ack(version)
		}
		_ = b.ws.Close(websocket.StatusNormalClosure, "")
		if got := again(0); len(got) != 0 {
			t.Errorf("%q: got %v, which was acknowledged", as, got)
		}
	}
}

// TestRegistrationBounds: the number of subscriptions of a user agent is limited, and
// subscriptions that were never used are removed for new ones.
func TestRegistrationBounds(t *testing.T) {
	channel := func(n int) string { return fmt.Sprintf("%08d-2222-3333-4444-555555555555", n) }
	s := pushservice.New(pushservice.Options{})
	b := connect(t, listen(t, s))
	b.hello("")
	for n := range 256 {
		b.register(channel(n), vapid.PublicKey{})
	}
	b.say(`{"messageType":"register","channelID":"` + channel(256) + `"}`)
	if m := b.hear(); m["status"] != 500.0 {
		t.Errorf("one more is answered with %v", m)
	}

	s = pushservice.New(pushservice.Options{MaxSubscriptions: 8})
	url := listen(t, s)
	register := func() (uaid, endpoint string) {
		b := connect(t, url)
		defer func() { _ = b.ws.Close(websocket.StatusNormalClosure, "") }()
		uaid = b.hello("")
		return uaid, b.register(channel(0), vapid.PublicKey{})
	}
	used, endpoint := register()
	post(t, endpoint, nil)
	for range 50 {
		register()
	}
	if n := len(s.Subscriptions()); n != 5 { // one that is used, and 4 that are not
		t.Errorf("there are %d subscriptions", n)
	}
	for range 3 {
		subscribe(t, s, vapid.PublicKey{})
	}
	b = connect(t, url)
	if id := b.hello(used); id != used {
		t.Error("a user agent is forgotten although it has a message")
	}
	if m := b.notification(); m["channelID"] != channel(0) {
		t.Errorf("heard %v", m)
	}
}

// TestWebSocketFaults: hello, register, and unregister fail on request, and so do the
// routes of the JSON API.
func TestWebSocketFaults(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	server := httptest.NewServer(s)
	defer server.Close()
	add := func(f pushservice.Fault) {
		t.Helper()
		if err := s.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	add(pushservice.Fault{On: pushservice.OnLogin})
	b := connect(t, server.URL)
	b.say(`{"messageType":"hello","use_webpush":true}`)
	b.closed(websocket.StatusInternalError, "a fault was requested")
	add(pushservice.Fault{On: pushservice.OnLogin, Reset: true})
	b = connect(t, server.URL)
	b.say(`{"messageType":"hello","use_webpush":true}`)
	if _, err := b.read(); err == nil || websocket.CloseStatus(err) != -1 {
		t.Errorf("the connection ended with %v", err)
	}
	b = connect(t, server.URL)
	b.hello("")
	const channel = "11111111-1111-4111-8111-111111111111"
	add(pushservice.Fault{On: pushservice.OnRegistration, Status: 400})
	add(pushservice.Fault{On: pushservice.OnUnregistration})
	b.say(`{"messageType":"register","channelID":"` + channel + `"}`)
	if m := b.hear(); m["status"] != 400.0 || m["messageType"] != "register" {
		t.Errorf("register: %v", m)
	}
	b.register(channel, vapid.PublicKey{})
	b.say(`{"messageType":"unregister","channelID":"` + channel + `"}`)
	if m := b.hear(); m["status"] != 500.0 || m["messageType"] != "unregister" {
		t.Errorf("unregister: %v", m)
	}
	if n := len(s.Subscriptions()); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	w := do(s, newRequest(http.MethodPost, "/api/faults", strings.NewReader(`{"on":"registration","status":503}`)))
	if w.Code != http.StatusNoContent {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusCreated} {
		if w := do(s, newRequest(http.MethodPost, "/api/subscriptions", strings.NewReader(`{}`))); w.Code != want {
			t.Errorf("status %d, want %d", w.Code, want)
		}
	}
}
