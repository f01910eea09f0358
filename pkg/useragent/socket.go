package useragent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	// connectTimeout limits connecting, hello, and register together, and any other
	// exchange of frames.
	connectTimeout = 30 * time.Second
	// writeTimeout limits one frame.
	writeTimeout = 10 * time.Second
	// closeTimeout limits the closing handshake.
	closeTimeout = 3 * time.Second
	// closeForGood is the closing code of a push service for a user agent that must
	// not reconnect automatically.
	closeForGood = 4774
	// closeFailed is the closing code of autopush for most failures, such as another
	// connection of the same user agent.
	closeFailed = 1011
)

// CloseError is a connection that the push service closed (RFC 6455, section
// 7.4). Autopush closes with 1000 when it forgets the user agent, and with 1011
// for most failures, such as a second connection of the same user agent.
type CloseError struct {
	// Service is the origin of the push service.
	Service string
	// Code is the status code of the closing frame. After 4774 the connection is
	// not restored: Receive returns the error.
	Code int
	// Reason is the service's own explanation, up to 123 bytes, or empty.
	Reason string
}

// Error returns the code and the reason.
func (e *CloseError) Error() string {
	text := fmt.Sprintf("the push service at %s closed the connection with code %d", e.Service, e.Code)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Hint returns the next step for some codes, or "".
func (e *CloseError) Hint() string {
	switch e.Code {
	case closeForGood:
		return "the push service asked not to reconnect immediately; try again later"
	case closeFailed:
		return "another program may use the same state; only one can"
	}
	return ""
}

// socket is the WebSocket protocol of autopush. One goroutine reads, and
// reconnects when the connection is lost.
type socket struct {
	url     string
	origin  string
	roster  *roster
	http    *http.Client
	options Options
	changed []*item       // the goroutine's: errors for Receive, of new endpoints
	turn    chan struct{} // holds one token while no call runs
	lasting

	// The fields below are protected by mu.
	uaid    string
	seen    seen
	session *session      // nil while the connection is lost
	news    chan struct{} // closed when session changes
	calling chan struct{} // closed while a call runs
	call    *call         // nil while none runs
}

// call is a frame that waits for its response.
type call struct {
	kind, channelID string
	response        chan frame // has room for one
}

// openSocket connects, and registers the subscriptions that the push service does
// not know.
func openSocket(ctx context.Context, base *url.URL, all *roster, before State, o Options) (*socket, error) {
	if base.Path == "" {
		base.Path = "/"
	}
	c := &socket{
		url: base.String(), origin: base.Scheme + "://" + base.Host, roster: all, options: o, uaid: before.uaid,
		lasting: newLasting(), turn: make(chan struct{}, 1), news: make(chan struct{}), calling: make(chan struct{}),
	}
	if hc, ok := o.httpClient().(*http.Client); ok {
		c.http = hc
	} else {
		c.http = &http.Client{Transport: roundTripper{o.HTTP}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	c.seen.restore(before.acknowledged)
	c.turn <- struct{}{}
	s, err := c.connect(ctx)
	if err != nil {
		c.end(err)
		return nil, err
	}
	c.setSession(s, nil)
	go c.run(s)
	return c, nil
}

// roundTripper adapts a doer to http.RoundTripper.
type roundTripper struct{ doer }

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return r.Do(req) }

func (c *socket) identity() (string, android) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uaid, android{}
}

func (c *socket) setSession(s *session, lost error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.last = s, lost
	close(c.news)
	c.news = make(chan struct{})
}

// connected waits for a connection other than one that is known to be lost.
func (c *socket) connected(ctx context.Context, but *session) (*session, error) {
	for {
		c.mu.Lock()
		s, news, last := c.session, c.news, c.last
		c.mu.Unlock()
		if s != nil && s != but {
			return s, nil
		}
		select {
		case <-news:
		case <-c.done:
			return nil, c.err
		case <-ctx.Done():
			return nil, ended(ctx, last)
		}
	}
}

// run reads until the device has no subscription or is closed.
func (c *socket) run(s *session) {
	defer close(c.done)
	var retry backoff
	for {
		err := c.serve(s)
		s.fail(err)
		stop(&s.ping)
		stop(&s.pong)
		_ = s.conn.CloseNow()
		c.setSession(nil, err)
		retry.succeeded(time.Since(s.began))
		for s = nil; s == nil; {
			if c.err = c.over(err); c.err != nil {
				return
			}
			wait := retry.next()
			c.options.notify(Event{Err: err, Retry: wait})
			if pause(c.ctx, wait) != nil {
				continue
			}
			if s, err = c.connect(c.ctx); err != nil {
				c.setSession(nil, err)
			}
		}
		c.setSession(s, nil)
		c.options.notify(Event{})
	}
}

// over returns the error for Receive if the connection must not be restored
// after err.
func (c *socket) over(err error) error {
	c.mu.Lock()
	final := c.final
	c.mu.Unlock()
	var (
		closed   *CloseError
		response *Error
	)
	switch {
	case final != nil:
		return final
	case isGone(err):
		return err
	case errors.As(err, &closed) && closed.Code == closeForGood:
		return err
	case errors.As(err, &response) && response.Op == "subscribing" && response.Status != 0 && !response.Temporary():
		return err
	}
	return nil
}

func (c *socket) remember(id string, code int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.acked(id, code)
	return true
}

func (c *socket) progress() progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return progress{acknowledged: c.seen.kept()}
}

func (c *socket) ack(ctx context.Context, to *Subscription, id string, code int) error {
	const op = "acknowledging"
	switch {
	case id == "":
		return misread(op, c.origin, "the message has no valid id")
	case to == nil:
		return misread(op, c.origin, "the message is not for a subscription of this device")
	}
	c.remember(id, code)
	var s *session
	for {
		var err error
		if s, err = c.connected(ctx, s); err != nil {
			return unlessGone(&Error{Op: op, Service: c.origin, Err: err, fatal: true})
		}
		if s.write(acknowledge(to.registration().id, id, code)) == nil {
			return nil
		}
	}
}

func (c *socket) subscribe(ctx context.Context, s *Subscription) error {
	const op = "subscribing"
	id := newChannelID()
	f, err := c.request(ctx, op, "register", func() (string, any) { return id, register(id, s.ApplicationServerKey()) })
	if err != nil {
		return err
	}
	c.resend()
	return c.registered(s, id, f)
}

// resend reconnects if a call has dropped messages, to have them sent again.
func (c *socket) resend() {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil && s.dropped.Load() {
		s.fail(errors.New("the queue was full: the messages that did not fit must be sent again"))
	}
}

// registered notes the endpoint in the response to register.
func (c *socket) registered(s *Subscription, id string, f frame) error {
	const op = "subscribing"
	if f.Status != http.StatusOK {
		return &Error{Op: op, Service: c.origin, Status: f.Status, Reason: clip(f.PushEndpoint), handshake: true}
	}
	if _, err := parseURL(f.PushEndpoint, "https"); err != nil {
		return misread(op, c.origin, "the endpoint in the response %w", err)
	}
	s.registered(id, "", f.PushEndpoint)
	return nil
}

func (c *socket) unsubscribe(ctx context.Context, s *Subscription) error {
	const op = "unsubscribing"
	if !c.roster.has(s) {
		return nil
	}
	f, err := c.request(ctx, op, "unregister", func() (string, any) {
		id := s.registration().id
		return id, unregister(id)
	})
	switch {
	case err != nil:
		return unlessGone(err)
	case f.Status != http.StatusOK:
		return &Error{Op: op, Service: c.origin, Status: f.Status, handshake: true}
	}
	if c.roster.remove(s) == 0 {
		_ = c.finish(&Error{Op: "receiving", Service: c.origin, Status: http.StatusGone, Reason: "it was unsubscribed here"})
		return nil
	}
	c.resend()
	return nil
}

// request sends a frame and returns its response, on the next connection if one is
// lost. newFrame returns the frame with its channel ID.
func (c *socket) request(caller context.Context, op, kind string, newFrame func() (channelID string, v any)) (frame, error) {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-caller.Done():
		return frame{}, &Error{Op: op, Service: c.origin, Err: context.Cause(caller), fatal: true}
	}
	ctx, cancel := context.WithTimeoutCause(caller, connectTimeout, fmt.Errorf("no response within %v", connectTimeout))
	defer cancel()
	response := make(chan frame, 1)
	c.mu.Lock()
	close(c.calling)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.calling, c.call = make(chan struct{}), nil
		c.mu.Unlock()
	}()
	var s *session
	for {
		var err error
		if s, err = c.connected(ctx, s); err != nil {
			return frame{}, &Error{Op: op, Service: c.origin, Err: err, fatal: caller.Err() != nil}
		}
		id, v := newFrame()
		c.mu.Lock()
		c.call = &call{kind, id, response}
		c.mu.Unlock()
		if s.write(v) != nil {
			continue
		}
		select {
		case f := <-response:
			return f, nil
		case <-s.ctx.Done(): // again, on the next connection
		case <-ctx.Done():
			s.fail(context.Cause(ctx)) // messages that were not queued are sent again
			return frame{}, &Error{Op: op, Service: c.origin, Err: context.Cause(ctx), fatal: caller.Err() != nil}
		}
	}
}

// responded passes a frame to the call that waits for it.
func (c *socket) responded(f frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call == nil || c.call.kind != f.MessageType || !strings.EqualFold(c.call.channelID, f.ChannelID) {
		return
	}
	select {
	case c.call.response <- f:
	default:
	}
}

// close closes the connection by handshake, to be sure that the push service has
// read all acknowledgments.
func (c *socket) close() error {
	err := c.finish(ErrClosed)
	if c.options.HTTP == nil {
		c.http.CloseIdleConnections()
	}
	return err
}

// finish ends the channel with an error for Receive.
func (c *socket) finish(final error) error {
	return c.lasting.finish(final, func() func() error {
		s := c.session
		if s == nil {
			return nil
		}
		return func() error { return c.shut(s) }
	})
}

// shut closes a connection by handshake.
func (c *socket) shut(s *session) error {
	done := make(chan error, 1)
	go func() { done <- s.conn.Close(websocket.StatusNormalClosure, "") }()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		var closed websocket.CloseError
		if err == nil || errors.As(err, &closed) {
			return nil
		}
		return &Error{Op: "closing", Service: c.origin, Err: errors.New("the connection was lost")}
	case <-timer.C:
		_ = s.conn.CloseNow()
		<-done
		return &Error{Op: "closing", Service: c.origin, Err: fmt.Errorf("no response within %v", closeTimeout)}
	}
}

// unlessGone returns nil if err says that the subscription is gone.
func unlessGone(err error) error {
	var e *Error
	for inner := err; errors.As(inner, &e); inner = e.Err {
		if e.Gone() {
			return nil
		}
	}
	return err
}
