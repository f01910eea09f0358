package useragent_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/pipetest"
	"github.com/seed81da77dd/webpush/pkg/useragent"
)

// autopush is a push service as Mozilla's speaks to user agents, by scripts: the
// n-th connection is served by the n-th of them. It judges what the user agent
// sends by itself, without package pushservice, and works over pipes, so that
// time may be that of a testing/synctest bubble.
type autopush struct {
	t       testing.TB
	listen  *pipetest.Listener
	scripts chan func(*agentConn)
	server  http.Server
	wait    sync.WaitGroup

	mu     sync.Mutex
	events []useragent.Event
}

const (
	autopushURL = "ws://127.0.0.1:8090"
	uaid        = "0123456789abcdef0123456789abcdef"
	uaid2       = "fedcba9876543210fedcba9876543210"
	endpoint    = "https://updates.push.services.mozilla.com/wpush/v1/gAAAAABsecret"
	endpoint2   = "https://updates.push.services.mozilla.com/wpush/v1/gAAAAABsecond"
)

// newAutopush starts one that refuses connections beyond its scripts with 503.
func newAutopush(t testing.TB, scripts ...func(*agentConn)) *autopush {
	a := &autopush{t: t, listen: pipetest.Listen(pipetest.Pipe), scripts: make(chan func(*agentConn), 100)}
	for _, s := range scripts {
		a.scripts <- s
	}
	a.server.Handler = a
	a.wait.Go(func() { _ = a.server.Serve(a.listen) })
	return a
}

func (a *autopush) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var script func(*agentConn)
	select {
	case script = <-a.scripts:
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.Method != http.MethodGet || r.URL.Path != "/" {
		a.t.Errorf("the handshake is %s %s", r.Method, r.URL)
	}
	if script == nil { // an answer that is no WebSocket's
		w.WriteHeader(http.StatusNotFound)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		a.t.Errorf("accepting: %v", err)
		return
	}
	defer conn.CloseNow()
	c := &agentConn{t: a.t, conn: conn, frames: make(chan map[string]any, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.collect()
	}()
	script(c)
	_ = conn.CloseNow()
	<-done
}

func (a *autopush) close() {
	_ = a.server.Close()
	a.wait.Wait()
}

func (a *autopush) options() useragent.Options {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return a.listen.Dial(ctx)
	}, DisableKeepAlives: true}
	return useragent.Options{HTTP: &http.Client{Transport: t}, Notify: func(e useragent.Event) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.events = append(a.events, e)
	}}
}

func (a *autopush) told() []useragent.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.events
}

func (a *autopush) subscribe() *useragent.Subscription {
	a.t.Helper()
	sub, err := useragent.Subscribe(a.t.Context(), autopushURL, a.options())
	if err != nil {
		a.t.Fatal(err)
	}
	return sub
}

// agentConn is the connection of a user agent.
type agentConn struct {
	t       testing.TB
	conn    *websocket.Conn
	frames  chan map[string]any // that were sent and not read yet
	channel string
}

// collect reads until the connection ends.
func (c *agentConn) collect() {
	defer close(c.frames)
	for {
		kind, b, err := c.conn.Read(context.Background())
		if err != nil {
			return
		}
		var v map[string]any
		if err := json.Unmarshal(b, &v); err != nil || kind != websocket.MessageText || len(c.frames) == cap(c.frames) {
			c.t.Errorf("the user agent sent %q: %v", b, err)
			return
		}
		c.frames <- v
	}
}

// read returns the next frame, or nil when the connection has ended.
func (c *agentConn) read() map[string]any { return <-c.frames }

// drain reads until the connection ends.
func (c *agentConn) drain() {
	for c.read() != nil {
	}
}

// expect reads a frame and compares it.
func (c *agentConn) expect(want string) {
	c.t.Helper()
	got := c.read()
	b, err := json.Marshal(got)
	if err != nil {
		c.t.Error(err)
	}
	var v any
	if err := json.Unmarshal([]byte(want), &v); err != nil {
		c.t.Errorf("%s: %v", want, err)
	}
	w, err := json.Marshal(v)
	if err != nil {
		c.t.Error(err)
	}
	if string(b) != string(w) {
		c.t.Errorf("the user agent sent %s, want %s", b, w)
	}
}

func (c *agentConn) send(format string, a ...any) {
	// The user agent may have gone, which the test sees there.
	_ = c.conn.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, format, a...))
}

// hello expects a hello with a uaid, or none, and answers with another.
func (c *agentConn) hello(with, answer string) {
	c.t.Helper()
	if with != "" {
		with = `,"uaid":"` + with + `"`
	}
	c.expect(`{"messageType":"hello","broadcasts":{},"use_webpush":true` + with + `}`)
	c.send(`{"messageType":"hello","uaid":"%s","status":200,"use_webpush":true,"broadcasts":{}}`, answer)
}

var channelIDs = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// register expects register and answers with the endpoint.
func (c *agentConn) register(key, endpoint string) {
	c.t.Helper()
	v := c.read()
	c.channel, _ = v["channelID"].(string)
	if !channelIDs.MatchString(c.channel) {
		c.t.Errorf("channelID is %q", c.channel)
	}
	if got, _ := v["key"].(string); v["messageType"] != "register" || got != key {
		c.t.Errorf("the user agent sent %v, want register with the key %q", v, key)
	}
	c.send(`{"messageType":"register","channelID":"%s","status":200,"pushEndpoint":"%s"}`, c.channel, endpoint)
}

// begin is what all first connections begin with.
func (c *agentConn) begin() {
	c.t.Helper()
	c.hello("", uaid)
	c.register("", endpoint)
}

// notify sends a message without payload.
func (c *agentConn) notify(version string) {
	c.send(`{"messageType":"notification","channelID":"%s","version":"%s"}`, c.channel, version)
}

// message sends an encrypted message.
func (c *agentConn) message(version string, m *ece.EncryptedMessage) {
	headers := map[string]string{"encoding": string(m.Encoding)}
	if m.Encoding == ece.AESGCM {
		headers["encryption"], headers["crypto_key"] = m.Encryption(), m.CryptoKey()
	}
	b, err := json.Marshal(map[string]any{"messageType": "notification", "channelID": c.channel, "version": version,
		"data": base64.RawURLEncoding.EncodeToString(m.Body), "headers": headers})
	if err != nil {
		c.t.Error(err)
	}
	c.send("%s", b)
}

// acked expects the acknowledgement of a message.
func (c *agentConn) acked(version string, code int) {
	c.t.Helper()
	c.expect(fmt.Sprintf(`{"messageType":"ack","updates":[{"channelID":%q,"version":%q,"code":%d}]}`, c.channel, version, code))
}

// hold reads until the user agent ends the connection, and expects nothing.
func (c *agentConn) hold() {
	if v := c.read(); v != nil {
		c.t.Errorf("the user agent sent %v, expected nothing", v)
	}
}

func random(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}
