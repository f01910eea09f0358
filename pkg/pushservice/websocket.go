package pushservice

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/fields"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

const (
	// helloTimeout is the time limit for the hello of a user agent.
	helloTimeout = 5 * time.Second
	// messageTimeout is the time limit for a message of a user agent, from its first
	// byte to its last.
	messageTimeout = 30 * time.Second
	// writeTimeout is the time limit for sending a message to a user agent.
	writeTimeout = 10 * time.Second
	// pingInterval is the time between two pings of the service, and pongTimeout the
	// time limit for the response.
	pingInterval = 5 * time.Minute
	pongTimeout  = 10 * time.Second
	// minPing is the minimum time between two pings of a user agent.
	minPing = 45 * time.Second
	// maxFrame is the maximum size of a message of a user agent, in bytes.
	maxFrame = 64 << 10
	// batch is the number of messages that are sent together if they were waiting
	// when the user agent connected.
	batch = 10
	// maxUnacknowledged is the maximum number of messages that are sent to a user
	// agent before it acknowledges one.
	maxUnacknowledged = 100
)

// socket is a connection of a user agent that speaks autopush's protocol.
type socket struct {
	line     line
	service  *Service
	ws       *websocket.Conn
	origin   string
	at       *attachment // nil before hello
	backlog  bool        // whether messages are sent in batches
	lastPing time.Time
	name     atomic.Value // the user agent's name in the log, a string
}

// ending is the reason for closing a connection, as sent in the close frame.
type ending struct {
	code   websocket.StatusCode
	reason string
}

func (c ending) Error() string { return c.reason }

// errFault is a failure that a fault has requested.
var errFault = errors.New("a fault was requested")

// protocol returns a violation of the protocol; autopush has one code for all.
func protocol(format string, a ...any) error {
	return ending{websocket.StatusInternalError, fmt.Sprintf(format, a...)}
}

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// serveWebSocket serves a user agent until either side closes the connection.
func (s *Service) serveWebSocket(w http.ResponseWriter, r *http.Request) error {
	origin, err := s.originOf(r)
	if err == nil {
		err = s.checkOrigin(w, r)
	}
	if err != nil {
		return err
	}
	c := &socket{service: s, origin: origin}
	c.line.wake = c.wake
	connected := make(chan struct{})
	c.line.hangUp = func(cause error) {
		<-connected
		c.hangUp(cause)
	}
	if err := s.sockets.enter(&c.line); err != nil {
		return err
	}
	// checkOrigin has already verified Origin.
	c.ws, err = websocket.Accept(smallBuffers{w}, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	close(connected)
	if err != nil {
		s.sockets.leave(&c.line)
		return nil // Accept has written a response
	}
	c.ws.SetReadLimit(maxFrame)
	// In another goroutine, to free the server's buffers and stack for the request.
	go func() {
		defer s.sockets.leave(&c.line)
		c.run()
	}()
	return nil
}

// smallBuffers is a ResponseWriter whose hijacked connection has small buffers, since
// a user agent that waits for messages sends little.
type smallBuffers struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (w smallBuffers) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	const size = 512 // bytes
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early := make([]byte, rw.Reader.Buffered())
	if _, err := io.ReadFull(rw.Reader, early); err != nil {
		return nil, nil, err
	}
	if len(early) > 0 {
		conn = &prefixed{conn, early}
	}
	return conn, bufio.NewReadWriter(bufio.NewReaderSize(conn, size), bufio.NewWriterSize(conn, size)), nil
}

func (c *socket) log(message string, a ...any) {
	agent, _ := c.name.Load().(string)
	c.service.logger.Info("websocket "+message, append([]any{"agent", agent}, a...)...)
}

// run reads the messages of the user agent, and handles each before it reads the
// next.
func (c *socket) run() {
	// A context that is canceled would close the connection without a close frame.
	ctx := context.Background()
	c.line.after(helloTimeout, func() error {
		if c.at == nil {
			return protocol("no hello within %v", helloTimeout)
		}
		return nil
	})
	c.line.every(pingInterval, func() error {
		ctx, cancel := context.WithTimeout(ctx, pongTimeout)
		defer cancel()
		return c.ws.Ping(ctx)
	})
	var err error
	for err == nil {
		var kind websocket.MessageType
		var b []byte
		if kind, b, err = c.read(ctx); err == nil && kind != websocket.MessageText {
			err = ending{websocket.StatusUnsupportedData, "messages are JSON in text frames"}
		}
		if err == nil {
			err = c.line.do(func() error { return c.handle(ctx, b) })
		}
	}
	c.line.end(err)
	c.line.close()
	if c.at != nil {
		c.service.store.detach(c.at)
	}
}

// read reads a message within a time limit: otherwise, empty fragments could
// continue forever without reaching the size limit.
func (c *socket) read(ctx context.Context) (websocket.MessageType, []byte, error) {
	kind, r, err := c.ws.Reader(ctx)
	if err != nil {
		return kind, nil, err
	}
	late := time.AfterFunc(messageTimeout, func() { c.line.end(protocol("a message is not complete within %v", messageTimeout)) })
	defer late.Stop()
	b, err := io.ReadAll(r)
	return kind, b, err
}

// hangUp closes the connection, with a close frame if this side has a reason.
func (c *socket) hangUp(cause error) {
	if c.ws == nil { // Accept failed
		return
	}
	if errors.Is(cause, errStops) {
		cause = ending{websocket.StatusGoingAway, errStops.Error()}
	}
	var end ending
	if errors.As(cause, &end) {
		c.log("closed", "code", int(end.code), "reason", end.reason)
		// This fails if the user agent does not respond.
		_ = c.ws.Close(end.code, end.reason)
		return
	}
	reason := "the connection broke"
	if code := websocket.CloseStatus(cause); code != -1 {
		reason = fmt.Sprintf("the user agent closed it with %d", code)
	}
	c.log("closed", "reason", reason)
	_ = c.ws.CloseNow()
}

// wake sends waiting messages, unless the store has ended the connection.
func (c *socket) wake() error {
	switch cause := c.service.store.causeOf(c.at); {
	case errors.Is(cause, errReset):
		return ending{websocket.StatusNormalClosure, errReset.Error()}
	case cause != nil:
		return protocol("%v", cause)
	}
	return c.deliver(context.Background())
}

// fromAgent is any message of a user agent; unknown fields are ignored.
type fromAgent struct {
	Type       string                     `json:"messageType"`
	UAID       string                     `json:"uaid"`
	Broadcasts map[string]json.RawMessage `json:"broadcasts"`
	Channel    string                     `json:"channelID"`
	Key        *string                    `json:"key"`
	Code       int                        `json:"code"`
	Version    string                     `json:"version"`
	Updates    []struct {
		Channel string `json:"channelID"`
		Version string `json:"version"`
		Code    int    `json:"code"`
	} `json:"updates"`
}

// channelForm matches a channel ID: a UUID in lower case.
var channelForm = pattern.New(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (c *socket) handle(ctx context.Context, b []byte) error {
	var m fromAgent
	if err := json.Unmarshal(b, &m); err != nil {
		return protocol("the message is not a JSON object of this protocol")
	}
	if (m.Type == "hello") != (c.at == nil) {
		if c.at == nil {
			return protocol("the first message is not a hello")
		}
		return protocol("a second hello")
	}
	switch m.Type {
	case "hello":
		return c.hello(ctx, m)
	case "register":
		return c.register(ctx, m)
	case "unregister":
		return c.unregister(ctx, m)
	case "broadcast_subscribe":
		return c.write(ctx, map[string]any{"messageType": "broadcast", "broadcasts": unknownBroadcasts(m.Broadcasts)})
	case "ack":
		return c.ack(ctx, m)
	case "nack":
		c.log("nack", "code", m.Code, "message", clip(m.Version))
		return nil
	case "ping", "":
		t := time.Now()
		if !c.lastPing.IsZero() && t.Sub(c.lastPing) < minPing {
			return protocol("pings must be %v apart", minPing)
		}
		c.lastPing = t
		return c.write(ctx, struct{}{})
	}
	return protocol("unknown message type %q", clip(m.Type))
}

// unknownBroadcasts returns autopush's response for IDs without a broadcast; this
// service has no broadcasts.
func unknownBroadcasts(asked map[string]json.RawMessage) map[string]any {
	broadcasts := make(map[string]any)
	if len(asked) > 0 {
		problems := make(map[string]string)
		for id := range asked {
			problems[id] = "Broadcast not found"
		}
		broadcasts["errors"] = problems
	}
	return broadcasts
}

func (c *socket) hello(ctx context.Context, m fromAgent) error {
	if f := c.service.misbehave(ctx, OnLogin); f != nil {
		if f.Reset {
			return errFault
		}
		return protocol("%v", errFault)
	}
	c.at = c.service.store.attach(m.UAID, c.line.poke)
	c.name.Store(short(c.at.agent.id))
	c.backlog = true
	c.log("hello", "known", c.at.agent.id == m.UAID)
	return c.write(ctx, map[string]any{
		"messageType": "hello",
		"uaid":        c.at.agent.id,
		"status":      http.StatusOK,
		"use_webpush": true,
		"broadcasts":  unknownBroadcasts(m.Broadcasts),
	})
}

func (c *socket) register(ctx context.Context, m fromAgent) error {
	if !channelForm.MatchString(m.Channel) {
		return protocol("channelID is not a lowercase UUID with dashes")
	}
	response := map[string]any{"messageType": "register", "channelID": m.Channel}
	refused := func(status int, endpoint string, err error) error {
		c.log("register refused", "channel", m.Channel, "status", status, "reason", err.Error())
		response["status"], response["pushEndpoint"] = status, endpoint
		return c.write(ctx, response)
	}
	var key vapid.PublicKey
	if m.Key != nil && *m.Key != "" {
		raw, err := b64.Decode(*m.Key)
		if err == nil {
			key, err = parseKey(raw)
		}
		if err != nil {
			return refused(http.StatusBadRequest, "Failed to generate endpoint", err)
		}
	}
	if f := c.service.misbehave(ctx, OnRegistration); f != nil {
		if f.Reset {
			return errFault
		}
		return refused(f.statusOr500(), "", errFault)
	}
	sub, err := c.service.store.register(c.at, m.Channel, key)
	if err != nil {
		return refused(http.StatusInternalServerError, "", err)
	}
	c.log("register", "channel", m.Channel, "subscription", short(sub.ID), "restricted", !key.IsZero())
	response["status"], response["pushEndpoint"] = http.StatusOK, c.origin+sub.Path
	return c.write(ctx, response)
}

func (c *socket) unregister(ctx context.Context, m fromAgent) error {
	if !channelForm.MatchString(m.Channel) {
		return protocol("channelID is not a lowercase UUID with dashes")
	}
	respond := func(status int) error {
		return c.write(ctx, map[string]any{"messageType": "unregister", "channelID": m.Channel, "status": status})
	}
	if f := c.service.misbehave(ctx, OnUnregistration); f != nil {
		if f.Reset {
			return errFault
		}
		return respond(f.statusOr500())
	}
	known, err := c.service.store.unregister(c.at, m.Channel)
	status := http.StatusOK
	if err != nil {
		status = http.StatusInternalServerError
		c.log("unregister failed", "channel", m.Channel, "reason", err.Error())
	}
	c.log("unregister", "channel", m.Channel, "code", m.Code, "known", known)
	return respond(status)
}

// ack removes messages from the store, whether or not the user agent could decrypt
// and deliver them. When all are acknowledged, it sends the waiting ones.
func (c *socket) ack(ctx context.Context, m fromAgent) error {
	waits := false
	for _, u := range m.Updates {
		left, ok := c.service.store.acknowledge(c.at, u.Channel, u.Version)
		waits = left == 0
		result := "delivered"
		switch u.Code {
		case 101:
			result = "cannot decrypt"
		case 102:
			result = "not delivered"
		}
		level := slog.LevelInfo
		if u.Code == 101 || u.Code == 102 {
			level = slog.LevelWarn
		}
		c.service.logger.Log(ctx, level, "websocket ack", "agent", short(c.at.agent.id), "message", short(u.Version), "result", result, "known", ok)
	}
	// An acknowledgment has no response.
	if err := c.service.store.settled(); err != nil {
		c.log("ack not stored", "reason", err.Error())
	}
	if waits {
		return c.deliver(ctx)
	}
	return nil
}

// deliver sends waiting messages. New messages are sent immediately. Messages that
// were waiting while the user agent was away or slow are sent in batches, each when
// the previous one is acknowledged.
func (c *socket) deliver(ctx context.Context) error {
	n := maxUnacknowledged - len(c.at.sent)
	if c.backlog {
		if n = batch; len(c.at.sent) > 0 {
			n = 0
		}
	}
	c.at.batch = c.backlog
	list, more := c.service.store.next(c.at, n)
	c.backlog = more
	for _, d := range list {
		m := map[string]any{"messageType": "notification", "channelID": d.channel, "version": d.ID}
		if len(d.Body) > 0 {
			headers := map[string]string{"encoding": d.Encoding}
			if d.Encryption != "" {
				headers["encryption"] = forAgent(d.Encryption)
			}
			if d.CryptoKey != "" {
				headers["crypto_key"] = forAgent(d.CryptoKey)
			}
			m["headers"], m["data"] = headers, b64.Encode(d.Body)
		}
		if err := c.write(ctx, m); err != nil {
			return err
		}
		c.log("notification", "message", short(d.ID), "channel", d.channel, "bytes", len(d.Body))
	}
	return nil
}

// forAgent writes a header as autopush does: without quotes and without base64
// padding, which Firefox rejects.
func forAgent(field string) string {
	list, err := fields.List(field)
	if err != nil { // not possible: checkEncryption has parsed it
		return field
	}
	var entries []string
	for _, entry := range list {
		var parameters []string
		for _, name := range slices.Sorted(maps.Keys(entry)) {
			parameters = append(parameters, name+"="+strings.TrimRight(entry[name], "="))
		}
		entries = append(entries, strings.Join(parameters, ";"))
	}
	return strings.Join(entries, ",")
}

func (c *socket) write(ctx context.Context, v any) error {
	b, err := text.JSON(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, b)
}
