package useragent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	// pingInterval keeps the connection open. Autopush closes it if pings are
	// less than 45 seconds apart.
	pingInterval = 5 * time.Minute
	// pongTimeout limits the wait for the response, or any other frame.
	pongTimeout = 20 * time.Second
	// maxFrame is the maximum size of a frame, in bytes. A notification with a body
	// of 4096 bytes has about 5800.
	maxFrame = 128 << 10
)

// session is one connection, after hello.
type session struct {
	conn    *websocket.Conn
	began   time.Time
	ctx     context.Context
	fail    context.CancelCauseFunc
	ping    atomic.Pointer[time.Timer] // runs until the next ping
	pong    atomic.Pointer[time.Timer] // runs while a response is awaited
	blocked atomic.Bool                // nothing is read because the queue is full
	dropped atomic.Bool                // a message was not queued, because a call waited for its response
}

// connect makes a connection, says hello, and registers the subscriptions that
// the push service does not know: all of them if it has forgotten the user agent.
func (c *socket) connect(ctx context.Context) (_ *session, err error) {
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no response within %v", connectTimeout))
	defer cancel()
	fail := func(op string, err error) error {
		if e := (*Error)(nil); errors.As(err, &e) {
			return err
		}
		if caller.Err() == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return failed(caller, op, c.origin, err)
	}
	conn, response, err := websocket.Dial(ctx, c.url, &websocket.DialOptions{HTTPClient: c.http})
	switch {
	case err != nil && response != nil && response.StatusCode != http.StatusSwitchingProtocols:
		return nil, &Error{Op: "connecting", Service: c.origin, Status: response.StatusCode, handshake: true}
	case err != nil && response != nil:
		return nil, misread("connecting", c.origin, "the response is not a WebSocket's: %w", err)
	case err != nil:
		return nil, fail("connecting", err)
	}
	conn.SetReadLimit(maxFrame)
	s := &session{conn: conn, began: time.Now()}
	s.ctx, s.fail = context.WithCancelCause(c.ctx)
	defer func() {
		if err != nil {
			s.fail(err)
			_ = conn.CloseNow()
		}
	}()
	// The end of ctx ends every wait for the connection, until it is complete.
	stop := context.AfterFunc(ctx, func() { s.fail(context.Cause(ctx)) })

	known, _ := c.identity()
	if err := s.write(hello(known)); err != nil {
		return nil, fail("saying hello", c.lost(s, err))
	}
	f, err := c.await(s, "hello", "")
	switch {
	case err != nil:
		return nil, fail("saying hello", err)
	case f.Status != 0 && f.Status != http.StatusOK:
		return nil, &Error{Op: "saying hello", Service: c.origin, Status: f.Status, handshake: true}
	case !isUAID(f.UAID):
		return nil, misread("saying hello", c.origin, "the response has no valid uaid")
	case !truthy(f.UseWebPush):
		return nil, misread("saying hello", c.origin, "the push service does not speak Web Push: use_webpush is not true")
	case c.options.ending && f.UAID != known:
		return nil, &Error{Op: "saying hello", Service: c.origin, Status: http.StatusGone, Reason: "the push service no longer knows this user agent"}
	}
	for _, sub := range c.roster.all() {
		if f.UAID == known && sub.Endpoint() != "" {
			continue
		}
		if err := c.register(s, sub); err != nil {
			return nil, fail("subscribing", err)
		}
	}
	// Only now: a state with the new ID and an old endpoint would receive nothing.
	c.mu.Lock()
	c.uaid = f.UAID
	c.mu.Unlock()
	if !stop() {
		return nil, fail("connecting", context.Cause(ctx))
	}
	start(&s.ping, pingInterval, s.sendPing)
	return s, nil
}

// register registers a subscription on a connection that is not complete.
func (c *socket) register(s *session, sub *Subscription) error {
	id := newChannelID()
	if err := s.write(register(id, sub.ApplicationServerKey())); err != nil {
		return c.lost(s, err)
	}
	f, err := c.await(s, "register", id)
	if err != nil {
		return err
	}
	before := sub.Endpoint()
	if err := c.registered(sub, id, f); err != nil {
		return err
	}
	if before != "" {
		c.changed = append(c.changed, &item{message: wireMessage{to: sub}, err: &ChangedError{c.origin, sub}})
	}
	return nil
}

// await reads until a response has come, and handles other frames in the meantime.
func (c *socket) await(s *session, kind, channelID string) (frame, error) {
	for {
		f, err := c.read(s)
		switch {
		case err != nil:
			if g := (*garbageError)(nil); errors.As(err, &g) {
				return f, misread(map[string]string{"hello": "saying hello", "register": "subscribing"}[kind], c.origin, "the response is not a push service's: %w", g.err)
			}
			return f, err
		case f.MessageType == kind && strings.EqualFold(f.ChannelID, channelID):
			return f, nil
		}
		c.handle(s, f)
	}
}

// garbageError is a frame that is not a message of the protocol; the connection
// remains usable.
type garbageError struct{ err error }

func (e *garbageError) Error() string { return e.err.Error() }

// read returns the next frame. Its error is a [*garbageError], or that the
// connection is lost.
func (c *socket) read(s *session) (frame, error) {
	kind, b, err := s.conn.Read(s.ctx)
	if err != nil {
		return frame{}, c.lost(s, err)
	}
	stop(&s.pong)
	if kind != websocket.MessageText {
		return frame{}, &garbageError{errors.New("a frame is binary")}
	}
	f, err := parseFrame(b)
	if err != nil {
		return f, &garbageError{err}
	}
	return f, nil
}

// lost returns the reason why a connection was lost.
func (c *socket) lost(s *session, err error) error {
	var (
		closed websocket.CloseError
		op     *net.OpError
	)
	switch {
	case s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	case errors.As(err, &closed):
		return &CloseError{c.origin, int(closed.Code), clip(closed.Reason)}
	case errors.Is(err, websocket.ErrMessageTooBig):
		err = fmt.Errorf("a frame has more than %d bytes", maxFrame)
	case errors.As(err, &op):
		err = op
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed):
		err = errors.New("the connection was closed")
	}
	return &Error{Op: "receiving", Service: c.origin, Err: err}
}

// serve reads frames until the connection is lost.
func (c *socket) serve(s *session) error {
	for len(c.changed) > 0 && c.put(s, c.changed[0]) {
		c.changed = c.changed[1:]
	}
	for {
		if len(c.changed) > 0 && len(c.items) < cap(c.items) { // a call kept it from waiting for room
			c.items <- c.changed[0]
			c.changed = c.changed[1:]
		}
		f, err := c.read(s)
		if g := (*garbageError)(nil); errors.As(err, &g) {
			continue // Firefox does the same; a damaged notification is sent again
		}
		if err != nil {
			return err
		}
		c.handle(s, f)
	}
}

// handle processes a frame other than the responses while connecting.
func (c *socket) handle(s *session, f frame) {
	switch f.MessageType {
	case "notification":
		c.notification(s, f)
	case "register", "unregister":
		c.responded(f)
	}
}

// notification passes a message on, once.
func (c *socket) notification(s *session, f frame) {
	if f.Version == "" {
		return // an acknowledgment is impossible
	}
	to := c.roster.find(func(id string) bool { return id != "" && strings.EqualFold(id, f.ChannelID) })
	c.mu.Lock()
	code, repeated := c.seen.find(f.Version)
	if to != nil && !repeated {
		c.seen.add(f.Version) // before Ack can come
	}
	c.mu.Unlock()
	switch {
	case to == nil:
		code = ackRefused
	case !repeated:
		m := f.message()
		m.to = to
		if !c.put(s, &item{message: m}) {
			c.mu.Lock()
			c.seen.drop(f.Version)
			c.mu.Unlock()
			s.dropped.Store(true)
		}
		return
	case code == 0:
		return // Ack will come
	}
	_ = s.write(acknowledge(f.ChannelID, f.Version, code)) // if this fails, so does reading
}

// put queues for Receive, and reports whether it did. While the queue is full
// nothing is read, so the push service waits.
func (c *socket) put(s *session, i *item) bool {
	c.mu.Lock()
	calling := c.calling
	c.mu.Unlock()
	return c.queue(s.ctx, i, &s.blocked, calling)
}

// write sends one frame.
func (s *session) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, b)
}

// sendPing checks that the connection is alive.
func (s *session) sendPing() {
	if s.ctx.Err() != nil {
		return
	}
	if !s.blocked.Load() {
		start(&s.pong, pongTimeout, func() {
			if !s.blocked.Load() {
				s.fail(fmt.Errorf("no response to a ping within %v", pongTimeout))
			}
		})
		if err := s.write(struct{}{}); err != nil {
			s.fail(fmt.Errorf("a ping could not be sent: %w", err))
			return
		}
	}
	start(&s.ping, pingInterval, s.sendPing)
}
