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
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

const (
	// frameTimeout is how long the rest of a frame that has begun may take.
	frameTimeout = 30 * time.Second
	// heartbeatTimeout is how long the answer to a ping may take, or any frame.
	heartbeatTimeout = time.Minute
	// minHeartbeat is the shortest interval of pings that a push service can ask
	// for.
	minHeartbeat = 5 * time.Second
)

// LostError reports that the push service has removed messages that waited for
// this user agent, because they were too many or too old.
type LostError struct {
	// Service is the origin of the push service.
	Service string
	// Count is the number of messages, or 0 if the push service does not say.
	Count int
}

// Error says how many messages are lost.
func (e *LostError) Error() string {
	if e.Count == 0 {
		return fmt.Sprintf("the push service at %s has removed messages that waited here", e.Service)
	}
	return fmt.Sprintf("the push service at %s has removed %d messages that waited here", e.Service, e.Count)
}

// chromium is the channel of Chromium: check-in, registration, and MCS. One
// goroutine reads, and makes the connection again when it is lost.
type chromium struct {
	google *google
	key    vapid.PublicKey

	items chan *item    // for Receive
	done  chan struct{} // closed at the end, with err set
	err   error
	ctx   context.Context // ends with the channel
	end   context.CancelCauseFunc

	writing sync.Mutex // held while a frame is written, so that frames are in the order of their numbers

	mu        sync.Mutex
	known     registration
	receipts  receipts
	session   *mcsSession   // nil while the connection is lost
	confirmed chan struct{} // gets a token when the push service has confirmed something
	leaving   chan struct{} // closed when nothing is queued any longer
	final     error         // what ends the channel, once that is decided
	last      error         // why the connection was lost
}

// mcsSession is one connection, after the login.
type mcsSession struct {
	conn     *tls.Conn
	reader   *bufio.Reader
	began    time.Time
	interval time.Duration // of pings
	ctx      context.Context
	fail     context.CancelCauseFunc
	ping     atomic.Pointer[time.Timer] // runs until the next ping
	pong     atomic.Pointer[time.Timer] // runs while an answer is awaited
	blocked  atomic.Bool                // nothing is read as the queue is full
}

// subscribeChromium checks in, unless the device is known, registers, and
// connects. keep is called with the device before the registration.
func subscribeChromium(ctx context.Context, base *url.URL, d device, key vapid.PublicKey, keep func(device) error, o Options) (*chromium, error) {
	if key.IsZero() {
		return nil, ErrKeyRequired
	}
	g, err := newGoogle(base, o)
	if err != nil {
		return nil, err
	}
	if d, err = g.checkinIfDue(ctx, d); err != nil {
		return nil, err
	}
	if err := keep(d); err != nil {
		return nil, err
	}
	r := registration{id: newSubtype(), instance: newInstance(), device: d}
	if r.endpoint, err = g.register(ctx, d, r, key); err != nil {
		return nil, err
	}
	c, err := startChromium(ctx, g, r, nil, nil, key)
	if err != nil { // nobody would know of the registration
		forget, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		defer cancel()
		_ = g.unregister(forget, d, r)
	}
	return c, err
}

// openChromium connects a device that is registered.
func openChromium(ctx context.Context, base *url.URL, state State, o Options) (*chromium, error) {
	g, err := newGoogle(base, o)
	if err != nil {
		return nil, err
	}
	known := state.registration
	if known.device, err = g.checkinIfDue(ctx, known.device); err != nil && !isTemporary(err) {
		return nil, err
	}
	return startChromium(ctx, g, known, state.acknowledged, state.unconfirmed, state.key)
}

// checkinIfDue checks in a device that is new or has not done so for long. A
// clock that was set back makes it due.
func (g *google) checkinIfDue(ctx context.Context, d device) (device, error) {
	if age := time.Since(d.Checkin); d.known() && 0 <= age && age < checkinInterval {
		return d, nil
	}
	return g.checkin(ctx, d)
}

func startChromium(ctx context.Context, g *google, known registration, acknowledged, unconfirmed []string, key vapid.PublicKey) (*chromium, error) {
	c := &chromium{
		google: g, key: key, known: known,
		items: make(chan *item, maxQueue), done: make(chan struct{}), confirmed: make(chan struct{}, 1), leaving: make(chan struct{}),
	}
	for _, id := range acknowledged[max(0, len(acknowledged)-maxKept):] {
		c.receipts.seen.add(id)
		c.receipts.seen.acked(id, ackDelivered)
	}
	for _, id := range unconfirmed {
		c.receipts.confirmLater(id, 0)
	}
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

func (c *chromium) setSession(s *mcsSession, lost error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.last = s, lost
}

func (c *chromium) registration() registration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

func (c *chromium) progress() progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return progress{acknowledged: c.receipts.seen.kept(), unconfirmed: c.receipts.ids()}
}

// connect makes a connection and logs in. If the login is refused, a check-in
// finds out whether the device is gone.
func (c *chromium) connect(ctx context.Context) (*mcsSession, error) {
	s, err := c.login(ctx)
	var refused *loginError
	if !errors.As(err, &refused) {
		return s, err
	}
	if _, gone := c.google.checkin(ctx, c.registration().device); isGone(gone) {
		return nil, gone
	}
	return nil, err
}

// isGone reports whether err is an [*Error] that is Gone.
func isGone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Gone()
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
	ctx, cancel := context.WithTimeoutCause(caller, connectTimeout, fmt.Errorf("no answer within %v", connectTimeout))
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
	// The end of ctx ends what waits for the connection, until it is whole.
	stop := context.AfterFunc(ctx, func() { s.fail(context.Cause(ctx)) })

	op = "logging in"
	c.mu.Lock()
	d := c.known.device
	request := mcs.LoginRequest{
		ID: "chrome-" + chromiumVersion, Domain: "mcs.android.com", User: decimal(d.ID), Resource: decimal(d.ID),
		AuthToken: decimal(d.Token), DeviceID: "android-" + strconv.FormatUint(d.ID, 16),
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
	answer, err := mcs.ParseLoginResponse(body)
	switch {
	case tag != mcs.TagLoginResponse:
		err = fmt.Errorf("the first frame has the tag %d, expected the answer to a login", tag)
	case err == nil && answer.ErrorCode != 0:
		err = &loginError{answer.ErrorCode, clip(answer.ErrorMessage)}
	}
	if err == nil {
		c.mu.Lock()
		err = c.receipts.frame(answer.LastStreamIDReceived)
		c.mu.Unlock()
	}
	if err != nil {
		return fail(err)
	}
	if !stop() {
		return fail(context.Cause(ctx))
	}
	s.began, s.interval = time.Now(), pingInterval
	if ms := answer.HeartbeatInterval; ms > 0 {
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

// run reads until the subscription ends or is closed.
func (c *chromium) run(s *mcsSession) {
	defer close(c.done)
	stopCheckins := c.checkins()
	defer stopCheckins()
	var retry patience
	for {
		err := c.serve(s)
		s.fail(err)
		stop(&s.ping)
		stop(&s.pong)
		_ = s.conn.Close()
		err = failed(c.ctx, "receiving", c.google.origin, ending(context.Cause(s.ctx)))
		c.setSession(nil, err)
		wait := retry.lost(time.Since(s.began))
		for s = nil; s == nil; {
			if c.err = c.over(err); c.err != nil {
				return
			}
			c.google.notify(Event{Err: err, Retry: wait})
			if pause(c.ctx, wait) != nil {
				continue
			}
			if s, err = c.connect(c.ctx); err != nil {
				c.setSession(nil, err)
				wait = retry.failed()
			}
		}
		retry.connected()
		c.setSession(s, nil)
		c.google.notify(Event{})
	}
}

// checkins checks the device in when that is due, until stop is called.
func (c *chromium) checkins() (stop func()) {
	var all sync.WaitGroup
	all.Go(func() {
		var retry patience
		wait := time.Until(c.registration().device.Checkin.Add(checkinInterval))
		for pause(c.ctx, wait) == nil && c.ctx.Err() == nil {
			d, err := c.google.checkin(c.ctx, c.registration().device)
			switch {
			case isGone(err):
				c.fail(err)
				return
			case err != nil:
				wait = retry.failed()
				continue
			}
			retry = patience{}
			c.mu.Lock()
			c.known.device = d
			c.mu.Unlock()
			wait = checkinInterval
		}
	})
	return func() { c.end(nil); all.Wait() }
}

// fail ends the channel with an error, if it has not ended.
func (c *chromium) fail(err error) {
	c.mu.Lock()
	if c.final == nil {
		c.final = err
	}
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.fail(err)
	}
	c.end(err)
}

// over returns the error for Receive when the connection is not to be made
// again after err.
func (c *chromium) over(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final == nil && isGone(err) {
		c.final = err
	}
	return c.final
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
		if err := c.take(s, tag, body); err != nil {
			return err
		}
	}
}

// take deals with a frame.
func (c *chromium) take(s *mcsSession, tag mcs.Tag, body []byte) error {
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
		return fmt.Errorf("a frame with the tag %d in the middle of a connection", tag)
	}
	return c.count(0) // an unknown frame counts, and nothing else
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

// message passes a message on, once. One that cannot be used is passed on, too, as
// damaged: it has to be acknowledged, or it would come again at each login.
func (c *chromium) message(s *mcsSession, body []byte) error {
	m, damage := mcs.ParseDataMessage(body)
	if len(m.PersistentID) > maxPersistentID {
		damage = errors.Join(damage, fmt.Errorf("its id has more than %d bytes", maxPersistentID))
		m.PersistentID = ""
	}
	// Nothing may be sent between both: it would acknowledge the message.
	isNew := true
	c.mu.Lock()
	err := c.receipts.frame(m.LastStreamIDReceived)
	if m.PersistentID != "" { // one without cannot come again
		isNew = c.receipts.message(m.PersistentID)
	}
	c.mu.Unlock()
	c.confirm()
	if err != nil {
		return err
	}
	if isNew {
		i, ok := c.read(m, damage)
		switch {
		case ok && !c.put(s, i):
			c.mu.Lock()
			c.receipts.lose(m.PersistentID)
			c.mu.Unlock()
			return nil
		case !ok || i.err != nil: // nobody will acknowledge it
			c.remember(m.PersistentID, ackRefused)
		case m.PersistentID != "":
			return nil // Ack will come
		}
	}
	return c.tell(s)
}

// read makes an item of a message, if it is one for the caller.
func (c *chromium) read(m mcs.DataMessage, damage error) (_ *item, ok bool) {
	kind, _ := m.Value("message_type")
	subtype, _ := m.Value("subtype")
	switch {
	case damage != nil:
	case kind == "deleted_messages":
		text, _ := m.Value("total_deleted")
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			n = 0
		}
		return &item{err: &LostError{c.google.origin, n}}, true
	case kind != "" && kind != "gcm":
		return nil, false // such as send_error, about messages of applications
	case m.Category != chromiumApp:
		damage = errors.New("it is for another application of this device")
	case subtype != c.registration().id:
		damage = errors.New("it is for another subscription of this device")
	case m.From != c.key.String():
		damage = errors.New("it is from another application server key than that of the subscription")
	}
	w := wireMessage{ID: m.PersistentID, Time: time.Now(), TTL: int64(m.TTL), Topic: m.Token, damage: damage}
	if m.Sent > 0 && m.Sent < 1<<48 {
		w.Time = time.UnixMilli(int64(m.Sent))
	}
	if damage != nil {
		return &item{message: w}, true
	}
	w.Headers = make(map[string]string)
	for _, name := range []string{"content-encoding", "encryption", "crypto-key"} {
		if v, ok := m.Value(name); ok {
			w.Headers[name] = v
		}
	}
	if len(w.Headers) > 0 && w.Headers["content-encoding"] == "" {
		w.Headers["content-encoding"] = string(ece.AESGCM)
	}
	w.Body = b64.Encode(m.RawData)
	if raw, ok := m.Value("_googRawData"); ok && len(m.RawData) == 0 {
		w.Body = raw
	}
	if w.Body != "" && len(w.Headers) == 0 {
		w.damage = errors.New("its payload is not encrypted")
	}
	return &item{message: w}, true
}

// put queues for Receive, and reports whether it did. While the queue is full
// nothing is read, so that the push service waits.
func (c *chromium) put(s *mcsSession, i *item) bool {
	select {
	case c.items <- i:
		return true
	default:
	}
	s.blocked.Store(true)
	defer s.blocked.Store(false)
	select {
	case c.items <- i:
		return true
	case <-c.leaving:
	case <-s.ctx.Done():
	}
	return false
}

// tell acknowledges what is done, if the push service does not know.
func (c *chromium) tell(s *mcsSession) error {
	c.mu.Lock()
	behind := c.receipts.behind()
	c.mu.Unlock()
	if !behind {
		return nil
	}
	return c.write(s, mcs.TagIq)
}

// write sends a frame, with the number up to which all is done.
func (c *chromium) write(s *mcsSession, tag mcs.Tag) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	if s.ctx.Err() != nil || c.session != nil && c.session != s {
		c.mu.Unlock()
		return context.Cause(s.ctx)
	}
	if tag == mcs.TagIq && !c.receipts.behind() { // another frame has just told
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

// sendPing asks for a sign of life.
func (c *chromium) sendPing(s *mcsSession) {
	if s.ctx.Err() != nil {
		return
	}
	if !s.blocked.Load() {
		start(&s.pong, heartbeatTimeout, func() {
			if !s.blocked.Load() {
				s.fail(fmt.Errorf("no answer to a ping within %v", heartbeatTimeout))
			}
		})
		if err := c.write(s, mcs.TagHeartbeatPing); err != nil {
			s.fail(fmt.Errorf("a ping could not be sent: %w", ending(err)))
			return
		}
	}
	start(&s.ping, s.interval, func() { c.sendPing(s) })
}

func (c *chromium) receive(ctx context.Context) (wireMessage, error) {
	state := func() (final, last error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.final, c.last
	}
	return nextItem(ctx, c.items, c.done, state, func() error { return c.err })
}

func (c *chromium) remember(id string, code int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.receipts.done(id, code)
}

// ack tells the push service if the connection lasts; otherwise the next login
// does.
func (c *chromium) ack(_ context.Context, id string, code int) error {
	c.remember(id, code)
	c.mu.Lock()
	s, final := c.session, c.final
	c.mu.Unlock()
	switch {
	case final != nil:
		return unlessGone(&Error{Op: "acknowledging", Service: c.google.origin, Err: final, fatal: true})
	case s != nil:
		_ = c.tell(s) // if this fails, so does reading
	}
	return nil
}

func (c *chromium) unsubscribe(ctx context.Context) error {
	r := c.registration()
	if err := c.google.unregister(ctx, r.device, r); err != nil {
		return err
	}
	_ = c.finish(&Error{Op: "receiving", Service: c.google.origin, Status: http.StatusGone, Reason: "the subscription was ended here"})
	return nil
}

func (c *chromium) close() error { return c.finish(ErrClosed) }

// finish ends the channel with an error for Receive, if it has not ended.
func (c *chromium) finish(final error) (err error) {
	c.mu.Lock()
	s, over := c.session, c.final != nil
	if !over || final == ErrClosed {
		c.final = final
	}
	if !over {
		close(c.leaving)
	}
	c.mu.Unlock()
	if !over && s != nil {
		err = c.shut(s)
	}
	c.end(final)
	<-c.done
	return err
}

// shut waits until the push service has confirmed all acknowledgments, and closes
// the connection.
func (c *chromium) shut(s *mcsSession) error {
	limit := time.NewTimer(closeTimeout)
	defer limit.Stop()
	waits := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.receipts.carried()
	}
	if waits() {
		_ = c.write(s, mcs.TagHeartbeatPing) // if this fails, so does reading
	}
	for waits() {
		select {
		case <-c.confirmed:
		case <-s.ctx.Done():
			return &Error{Op: "closing", Service: c.google.origin, Err: errors.New("the connection was lost")}
		case <-limit.C:
			return &Error{Op: "closing", Service: c.google.origin, Err: fmt.Errorf("no answer within %v", closeTimeout)}
		}
	}
	_ = c.write(s, mcs.TagClose)
	return nil
}

// isSubtype reports whether s can be the name of a subscription.
func isSubtype(s string) bool {
	return strings.HasPrefix(s, "wp:") && len(s) <= 2000
}
