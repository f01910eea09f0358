package useragent

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
)

const (
	// frameTimeout limits the rest of a frame that has begun.
	frameTimeout = 30 * time.Second
	// heartbeatTimeout limits the wait for the response to a ping, or any frame.
	heartbeatTimeout = time.Minute
	// minHeartbeat is the shortest interval of pings that a push service can ask
	// for.
	minHeartbeat = 5 * time.Second
)

// mcsSession is one connection, after the login.
type mcsSession struct {
	conn     *tls.Conn
	reader   *bufio.Reader
	began    time.Time
	interval time.Duration // between pings
	ctx      context.Context
	fail     context.CancelCauseFunc
	ping     atomic.Pointer[time.Timer] // runs until the next ping
	pong     atomic.Pointer[time.Timer] // runs while a response is awaited
	blocked  atomic.Bool                // nothing is read because the queue is full
}

// loginError is a login that was refused.
type loginError struct {
	code    int32
	message string
}

func (e *loginError) Error() string {
	text := fmt.Sprintf("the push service refused it with code %d", e.code)
	if e.message != "" {
		text += ": " + e.message
	}
	return text
}

func (c *chromium) login(caller context.Context) (_ *mcsSession, err error) {
	ctx, cancel := context.WithTimeoutCause(caller, connectTimeout, fmt.Errorf("no response within %v", connectTimeout))
	defer cancel()
	op := "connecting"
	fail := func(err error) (*mcsSession, error) {
		if caller.Err() == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, failed(caller, op, c.google.origin, ending(err))
	}
	conn, err := c.google.connect(ctx)
	if err != nil {
		return fail(err)
	}
	s := &mcsSession{conn: conn, reader: bufio.NewReaderSize(conn, 8<<10)}
	s.ctx, s.fail = context.WithCancelCause(c.ctx)
	context.AfterFunc(s.ctx, func() { _ = conn.Close() })
	defer func() {
		if err != nil {
			s.fail(err)
		}
	}()
	// The end of ctx ends every wait for the connection, until it is complete.
	stop := context.AfterFunc(ctx, func() { s.fail(context.Cause(ctx)) })

	op = "logging in"
	c.mu.Lock()
	a := c.android
	request := mcs.LoginRequest{
		ID: "chrome-" + chromiumVersion, Domain: "mcs.android.com", User: decimal(a.ID), Resource: decimal(a.ID),
		AuthToken: decimal(a.Token), DeviceID: "android-" + strconv.FormatUint(a.ID, 16),
		HeartbeatInterval: uint64(pingInterval / time.Millisecond), ReceivedPersistentIDs: c.receipts.login(),
	}
	c.mu.Unlock()
	if _, err := conn.Write(mcs.AppendFrame([]byte{mcs.Version}, mcs.TagLoginRequest, request.Append(nil))); err != nil {
		return fail(err)
	}
	if err := mcs.ReadVersion(s.reader); err != nil {
		return fail(err)
	}
	tag, body, err := mcs.ReadFrame(s.reader)
	if err != nil {
		return fail(err)
	}
	response, err := mcs.ParseLoginResponse(body)
	switch {
	case tag != mcs.TagLoginResponse:
		err = fmt.Errorf("the first frame has the tag %d, expected the response to a login", tag)
	case err == nil && response.ErrorCode != 0:
		err = &loginError{response.ErrorCode, clip(response.ErrorMessage)}
	}
	if err == nil {
		c.mu.Lock()
		err = c.receipts.frame(response.LastStreamIDReceived)
		c.mu.Unlock()
	}
	if err != nil {
		return fail(err)
	}
	if !stop() {
		return fail(context.Cause(ctx))
	}
	s.began, s.interval = time.Now(), pingInterval
	if ms := response.HeartbeatInterval; ms > 0 {
		s.interval = max(minHeartbeat, time.Duration(min(ms, uint64(time.Hour/time.Millisecond)))*time.Millisecond)
	}
	start(&s.ping, s.interval, func() { c.sendPing(s) })
	return s, nil
}

// ending words the end of a connection.
func ending(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed):
		return errors.New("the connection was closed")
	case errors.As(err, &op):
		return op
	}
	return err
}

// serve reads frames until the connection is lost.
func (c *chromium) serve(s *mcsSession) error {
	for {
		if _, err := s.reader.Peek(1); err != nil {
			return err
		}
		_ = s.conn.SetReadDeadline(time.Now().Add(frameTimeout))
		tag, body, err := mcs.ReadFrame(s.reader)
		if err != nil {
			return err
		}
		_ = s.conn.SetReadDeadline(time.Time{})
		stop(&s.pong)
		start(&s.ping, s.interval, func() { c.sendPing(s) })
		if err := c.handle(s, tag, body); err != nil {
			return err
		}
	}
}

// handle processes a frame.
func (c *chromium) handle(s *mcsSession, tag mcs.Tag, body []byte) error {
	switch tag {
	case mcs.TagHeartbeatPing, mcs.TagHeartbeatAck:
		m, err := mcs.ParseHeartbeat(body)
		if err != nil {
			return err
		}
		if err := c.count(m.LastStreamIDReceived); err != nil || tag == mcs.TagHeartbeatAck {
			return err
		}
		return c.write(s, mcs.TagHeartbeatAck)
	case mcs.TagIq:
		m, err := mcs.ParseIq(body)
		if err != nil {
			return err
		}
		return c.count(m.LastStreamIDReceived)
	case mcs.TagDataMessage:
		return c.message(s, body)
	case mcs.TagClose:
		return errors.New("the push service closed the connection")
	case mcs.TagStreamError:
		m, err := mcs.ParseStreamError(body)
		if err != nil {
			return err
		}
		return fmt.Errorf("the push service closed the connection: %s", clip(cmp.Or(m.Text, m.Type, "no reason given")))
	case mcs.TagLoginRequest, mcs.TagLoginResponse:
		return fmt.Errorf("a frame with the tag %d after the login", tag)
	}
	return c.count(0) // an unknown frame is counted and ignored
}

// count counts a frame that acknowledges up to a number.
func (c *chromium) count(last uint32) error {
	c.mu.Lock()
	err := c.receipts.frame(last)
	c.mu.Unlock()
	c.confirm()
	return err
}

// confirm wakes shut.
func (c *chromium) confirm() {
	select {
	case c.confirmed <- struct{}{}:
	default:
	}
}

// put queues for Receive, and reports whether it did. While the queue is full
// nothing is read, so the push service waits.
func (c *chromium) put(s *mcsSession, i *item) bool {
	return c.queue(s.ctx, i, &s.blocked, c.leaving)
}

// acknowledge acknowledges all finished messages, if the push service does not
// know.
func (c *chromium) acknowledge(s *mcsSession) error {
	c.mu.Lock()
	behind := c.receipts.behind()
	c.mu.Unlock()
	if !behind {
		return nil
	}
	return c.write(s, mcs.TagIq)
}

// write sends a frame that acknowledges all finished messages.
func (c *chromium) write(s *mcsSession, tag mcs.Tag) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	if s.ctx.Err() != nil || c.session != nil && c.session != s {
		c.mu.Unlock()
		return context.Cause(s.ctx)
	}
	if tag == mcs.TagIq && !c.receipts.behind() { // another frame has just acknowledged it
		c.mu.Unlock()
		return nil
	}
	last := c.receipts.carry()
	c.mu.Unlock()
	var message []byte
	switch tag {
	case mcs.TagIq:
		message = mcs.Iq{Extension: mcs.StreamAck, LastStreamIDReceived: last}.Append(nil)
	case mcs.TagHeartbeatPing, mcs.TagHeartbeatAck:
		message = mcs.Heartbeat{LastStreamIDReceived: last}.Append(nil)
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.conn.Write(mcs.AppendFrame(nil, tag, message))
	return err
}

// sendPing checks that the connection is alive.
func (c *chromium) sendPing(s *mcsSession) {
	if s.ctx.Err() != nil {
		return
	}
	if !s.blocked.Load() {
		start(&s.pong, heartbeatTimeout, func() {
			if !s.blocked.Load() {
				s.fail(fmt.Errorf("no response to a ping within %v", heartbeatTimeout))
			}
		})
		if err := c.write(s, mcs.TagHeartbeatPing); err != nil {
			s.fail(fmt.Errorf("a ping could not be sent: %w", ending(err)))
			return
		}
	}
	start(&s.ping, s.interval, func() { c.sendPing(s) })
}
