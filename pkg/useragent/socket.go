package useragent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

const (
	// connectTimeout is for all of connecting, hello and register.
	connectTimeout = 30 * time.Second
	// writeTimeout is for one frame.
	writeTimeout = 10 * time.Second
	// closeTimeout is for the end of the connection, by handshake.
	closeTimeout = 3 * time.Second
	// pingInterval keeps the connection open. Autopush closes it when pings are
	// less than 45 seconds apart.
	pingInterval = 5 * time.Minute
	// pongTimeout is how long the answer may take, or any other frame.
	pongTimeout = 20 * time.Second
	// maxFrame is the size of the largest frame that is read, in bytes. A
	// notification with a body of 4096 bytes has some 5800.
	maxFrame = 128 << 10
	// maxQueue is how many messages wait for Receive before nothing more is
	// read from the connection.
	maxQueue = 128
	// closeForGood is the code with which a push service closes the connection
	// of a user agent that is not to come back by itself.
	closeForGood = 4774
)

// CloseError is a connection that the push service closed (RFC 6455 section
// 7.4). Autopush closes with 1000 when it forgets the user agent, and with 1011
// for most faults, one of which is a second connection of the same user agent.
type CloseError struct {
	// Service is the origin of the push service.
	Service string
	// Code is the status code of the closing frame. After 4774 the connection
	// is not made again: Receive returns the error.
	Code int
	// Reason is the service's own words, up to 123 bytes, or empty.
	Reason string
}

// Error tells the code and the reason.
func (e *CloseError) Error() string {
	text := fmt.Sprintf("the push service at %s closed the connection with code %d", e.Service, e.Code)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// socket is the WebSocket protocol of autopush. One goroutine reads, and makes
// the connection again when it is lost.
type socket struct {
	url     string
	origin  string
	key     vapid.PublicKey
	http    *http.Client
	options Options

	items chan *item    // for Receive
	done  chan struct{} // closed at the end, with err set
	err   error
	ctx   context.Context // ends with the channel
	end   context.CancelCauseFunc
	turn  chan struct{} // holds one token while nobody unsubscribes

	mu      sync.Mutex
	known   registration
	seen    seen
	session *session      // nil while the connection is lost
	news    chan struct{} // closed when session changes
	leaving chan struct{} // closed while unsubscribing
	left    chan int      // gets the status of the answer to unregister
	final   error         // what ends the channel, once that is decided
	last    error         // why the connection was lost
}

// item is a message, or news that Receive returns in its place.
type item struct {
	message wireMessage
	err     error
}

// session is one connection, after hello.
type session struct {
	conn    *websocket.Conn
	began   time.Time
	ctx     context.Context
	fail    context.CancelCauseFunc
	ping    atomic.Pointer[time.Timer] // runs until the next ping
	pong    atomic.Pointer[time.Timer] // runs while an answer is awaited
	blocked atomic.Bool                // nothing is read as the queue is full
}

// openSocket connects, and registers if known is empty or forgotten.
func openSocket(ctx context.Context, base *url.URL, known registration, acknowledged []string, key vapid.PublicKey, o Options) (*socket, error) {
	if base.Path == "" {
		base.Path = "/"
	}
	c := &socket{
		url: base.String(), origin: base.Scheme + "://" + base.Host, key: key, options: o, known: known,
		items: make(chan *item, maxQueue), done: make(chan struct{}), turn: make(chan struct{}, 1), news: make(chan struct{}),
		leaving: make(chan struct{}),
	}
	if hc, ok := o.httpClient().(*http.Client); ok {
		c.http = hc
	} else {
		c.http = &http.Client{Transport: roundTripper{o.HTTP}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	for _, version := range acknowledged[max(0, len(acknowledged)-maxKept):] {
		c.seen.add(version)
		c.seen.acked(version, ackDelivered)
	}
	c.turn <- struct{}{}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	s, err := c.connect(ctx)
	if err != nil {
		c.end(err)
		return nil, err
	}
	c.setSession(s, nil)
	go c.run(s)
	return c, nil
}

// roundTripper is a doer as a transport.
type roundTripper struct{ doer }

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return r.Do(req) }

func (c *socket) registration() registration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
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

// connect makes a connection, says hello, and registers if the push service
// does not know the user agent.
func (c *socket) connect(ctx context.Context) (_ *session, err error) {
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %v", connectTimeout))
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
	conn, answer, err := websocket.Dial(ctx, c.url, &websocket.DialOptions{HTTPClient: c.http})
	switch {
	case err != nil && answer != nil && answer.StatusCode != http.StatusSwitchingProtocols:
		return nil, &Error{Op: "connecting", Service: c.origin, Status: answer.StatusCode, handshake: true}
	case err != nil && answer != nil:
		return nil, misread("connecting", c.origin, "the answer is no WebSocket's: %w", err)
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
	// The end of ctx ends what waits for the connection, until it is whole.
	stop := context.AfterFunc(ctx, func() { s.fail(context.Cause(ctx)) })

	known := c.registration()
	if err := s.write(hello(known.uaid)); err != nil {
		return nil, fail("saying hello", c.lost(s, err))
	}
	f, err := c.await(s, "hello", "")
	switch {
	case err != nil:
		return nil, fail("saying hello", err)
	case f.Status != 0 && f.Status != http.StatusOK:
		return nil, &Error{Op: "saying hello", Service: c.origin, Status: f.Status, handshake: true}
	case !isUAID(f.UAID):
		return nil, misread("saying hello", c.origin, "the answer has no valid uaid")
	case !truthy(f.UseWebPush):
		return nil, misread("saying hello", c.origin, "the push service does not speak Web Push: use_webpush is not true")
	}
	if f.UAID != known.uaid || known.endpoint == "" {
		if err := c.register(s, f.UAID); err != nil {
			return nil, fail("subscribing", err)
		}
	}
	if !stop() {
		return nil, fail("connecting", context.Cause(ctx))
	}
	start(&s.ping, pingInterval, s.sendPing)
	return s, nil
}

// register makes the subscription known under another id of the user agent.
func (c *socket) register(s *session, uaid string) error {
	const op = "subscribing"
	id := newChannelID()
	if err := s.write(register(id, c.key)); err != nil {
		return c.lost(s, err)
	}
	f, err := c.await(s, "register", id)
	if err != nil {
		return err
	}
	if f.Status != http.StatusOK {
		return &Error{Op: op, Service: c.origin, Status: f.Status, Reason: clip(f.PushEndpoint), handshake: true}
	}
	if _, err := parseURL(f.PushEndpoint, "https"); err != nil {
		return misread(op, c.origin, "the endpoint in the answer %w", err)
	}
	c.mu.Lock()
	before := c.known
	c.known = registration{uaid: uaid, id: id, endpoint: f.PushEndpoint}
	c.mu.Unlock()
	if before.endpoint != "" {
		c.put(s, &item{err: &ChangedError{c.origin}})
	}
	return nil
}

// await reads until an answer has come, and takes notifications meanwhile.
func (c *socket) await(s *session, kind, channelID string) (frame, error) {
	for {
		f, err := c.read(s)
		switch {
		case err != nil:
			if g := (*garbageError)(nil); errors.As(err, &g) {
				return f, misread(map[string]string{"hello": "saying hello", "register": "subscribing"}[kind], c.origin, "the answer is no push service's: %w", g.err)
			}
			return f, err
		case f.MessageType == kind && strings.EqualFold(f.ChannelID, channelID):
			return f, nil
		}
		c.take(s, f)
	}
}

// garbageError is a frame that is no message of the protocol; the connection is
// good nevertheless.
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

// lost says why a connection was lost.
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
		err = errors.New("the connection has ended")
	}
	return &Error{Op: "receiving", Service: c.origin, Err: err}
}

// run reads until the subscription ends or is closed.
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

// over returns the error for Receive when the connection is not to be made
// again after err.
func (c *socket) over(err error) error {
	c.mu.Lock()
	final := c.final
	c.mu.Unlock()
	var (
		closed *CloseError
		answer *Error
	)
	switch {
	case final != nil:
		return final
	case errors.As(err, &closed) && closed.Code == closeForGood:
		return err
	case errors.As(err, &answer) && answer.Op == "subscribing" && answer.Status != 0 && !answer.Temporary():
		return err
	}
	return nil
}

// serve reads frames until the connection is lost.
func (c *socket) serve(s *session) error {
	for {
		f, err := c.read(s)
		if g := (*garbageError)(nil); errors.As(err, &g) {
			continue // as in Firefox; what was a notification comes again
		}
		if err != nil {
			return err
		}
		c.take(s, f)
	}
}

// take deals with a frame that no call waits for.
func (c *socket) take(s *session, f frame) {
	switch f.MessageType {
	case "notification":
		c.notification(s, f)
	case "unregister":
		c.mu.Lock()
		left, ours := c.left, strings.EqualFold(f.ChannelID, c.known.id)
		c.mu.Unlock()
		if left != nil && ours {
			select {
			case left <- f.Status:
			default:
			}
		}
	}
}

// notification passes a message on, once.
func (c *socket) notification(s *session, f frame) {
	if f.Version == "" {
		return // it cannot be acknowledged
	}
	c.mu.Lock()
	ours := strings.EqualFold(f.ChannelID, c.known.id)
	code, repeated := c.seen.find(f.Version)
	if ours && !repeated {
		c.seen.add(f.Version) // before Ack can come
	}
	c.mu.Unlock()
	switch {
	case !ours:
		code = ackRefused
	case !repeated:
		if !c.put(s, &item{message: f.message()}) {
			c.mu.Lock()
			c.seen.drop(f.Version)
			c.mu.Unlock()
		}
		return
	case code == 0:
		return // Ack will come
	}
	_ = s.write(acknowledge(f.ChannelID, f.Version, code)) // if this fails, so does reading
}

// put queues for Receive, and reports whether it did. While the queue is full
// nothing is read, so that the push service waits.
func (c *socket) put(s *session, i *item) bool {
	select {
	case c.items <- i:
		return true
	default:
	}
	c.mu.Lock()
	leaving := c.leaving
	c.mu.Unlock()
	s.blocked.Store(true)
	defer s.blocked.Store(false)
	select {
	case c.items <- i:
		return true
	case <-leaving:
	case <-s.ctx.Done():
	}
	return false
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

// sendPing asks for a sign of life.
func (s *session) sendPing() {
	if s.ctx.Err() != nil {
		return
	}
	if !s.blocked.Load() {
		start(&s.pong, pongTimeout, func() {
			if !s.blocked.Load() {
				s.fail(fmt.Errorf("no answer to a ping within %v", pongTimeout))
			}
		})
		if err := s.write(struct{}{}); err != nil {
			s.fail(fmt.Errorf("a ping could not be sent: %w", err))
			return
		}
	}
	start(&s.ping, pingInterval, s.sendPing)
}

// start starts a timer in place of another.
func start(t *atomic.Pointer[time.Timer], d time.Duration, f func()) {
	if old := t.Swap(time.AfterFunc(d, f)); old != nil {
		old.Stop()
	}
}

func stop(t *atomic.Pointer[time.Timer]) {
	if old := t.Swap(nil); old != nil {
		old.Stop()
	}
}

func (c *socket) receive(ctx context.Context) (wireMessage, error) {
	state := func() (final, last error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.final, c.last
	}
	return nextItem(ctx, c.items, c.done, state, func() error { return c.err })
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

func (c *socket) ack(ctx context.Context, id string, code int) error {
	const op = "acknowledging"
	if id == "" {
		return misread(op, c.origin, "the message has no valid id")
	}
	c.remember(id, code)
	var s *session
	for {
		var err error
		if s, err = c.connected(ctx, s); err != nil {
			return unlessGone(&Error{Op: op, Service: c.origin, Err: err, fatal: true})
		}
		if s.write(acknowledge(c.registration().id, id, code)) == nil {
			return nil
		}
	}
}

func (c *socket) unsubscribe(ctx context.Context) (err error) {
	const op = "unsubscribing"
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return &Error{Op: op, Service: c.origin, Err: context.Cause(ctx), fatal: true}
	}
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %v", connectTimeout))
	defer cancel()
	left := make(chan int, 1)
	c.mu.Lock()
	c.left = left
	close(c.leaving)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.leaving, c.left = make(chan struct{}), nil
		c.mu.Unlock()
	}()
	var s *session
	for {
		if s, err = c.connected(ctx, s); err != nil {
			return unlessGone(&Error{Op: op, Service: c.origin, Err: err, fatal: caller.Err() != nil})
		}
		if s.write(unregister(c.registration().id)) != nil {
			continue
		}
		select {
		case status := <-left:
			if status != http.StatusOK {
				return &Error{Op: op, Service: c.origin, Status: status, handshake: true}
			}
			_ = c.finish(&Error{Op: "receiving", Service: c.origin, Status: http.StatusGone, Reason: "the subscription was ended here"})
			return nil
		case <-s.ctx.Done(): // once more, on the next connection
		case <-ctx.Done():
			s.fail(context.Cause(ctx)) // what was not queued meanwhile comes again
			return &Error{Op: op, Service: c.origin, Err: context.Cause(ctx), fatal: caller.Err() != nil}
		}
	}
}

// unlessGone returns no error if the subscription has ended.
func unlessGone(err error) error {
	var e *Error
	for inner := err; errors.As(inner, &e); inner = e.Err {
		if e.Gone() {
			return nil
		}
	}
	return err
}

// close ends the connection by handshake, which tells that the push service has
// read all acknowledgements.
func (c *socket) close() error {
	err := c.finish(ErrClosed)
	if c.options.HTTP == nil {
		c.http.CloseIdleConnections()
	}
	return err
}

// finish ends the channel with an error for Receive, if it has not ended.
func (c *socket) finish(final error) (err error) {
	c.mu.Lock()
	s, over := c.session, c.final != nil
	if !over || final == ErrClosed {
		c.final = final
	}
	c.mu.Unlock()
	if !over && s != nil {
		err = c.shut(s)
	}
	c.end(final)
	<-c.done
	return err
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
		return &Error{Op: "closing", Service: c.origin, Err: fmt.Errorf("no answer within %v", closeTimeout)}
	}
}
