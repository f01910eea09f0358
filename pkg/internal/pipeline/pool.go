package pipeline

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// errHTTP1 is the error of streams that wait for an origin without HTTP/2.
var errHTTP1 = errors.New("the origin has no HTTP/2")

// pool holds the connections to a host and port, and the requests that wait for one of
// them. The writers of the connections take as many requests from the queue as they can
// send, so no request waits for a stuck connection while another one is free.
type pool struct {
	t    *Transport
	host string // host, and port unless it is 443

	mu         sync.Mutex // guards the fields below, and those marked so in connections and streams
	head, tail *stream    // the queue
	queued     int        // length of the queue
	turns      int64      // number of turns given to streams
	conns      []*conn    // connections that accept new streams, or will
	live       []*conn    // connections that have not ended
	dialing    int        // connections being made, without those that are no longer needed
	stopDials  context.CancelFunc
	dialCtx    context.Context // context of the dials counted in dialing
	limit      int             // limit of streams that a connection learned last; 0 if unknown
	failures   int             // consecutive failed dials
	useless    int             // consecutive connections that ended without a response
	hold       time.Time       // no dial before this time
	held       bool            // a timer for hold is running
	http1      time.Time       // the origin counts as having no HTTP/2 until this time
	gone       bool            // removed from the transport's map
}

// push adds a stream to the queue: at the end, or, if the server has refused it, before
// the streams that came later. Otherwise those would use up the next connections until
// the refused stream has no attempts left.
func (o *pool) push(st *stream) {
	if st.turn == 0 {
		o.turns++
		st.turn = o.turns
	}
	st.o, st.queued = o, true
	st.prev, st.next = o.tail, nil
	if st.shared {
		st.prev, st.next = nil, o.head
		for st.next != nil && st.next.turn < st.turn {
			st.prev, st.next = st.next, st.next.next
		}
	}
	if st.prev != nil {
		st.prev.next = st
	} else {
		o.head = st
	}
	if st.next != nil {
		st.next.prev = st
	} else {
		o.tail = st
	}
	o.queued++
}

// remove removes a stream from the queue. If no stream waits any longer, it cancels the
// dials, whose connections are not needed.
func (o *pool) remove(st *stream) {
	if st.prev != nil {
		st.prev.next = st.next
	} else {
		o.head = st.next
	}
	if st.next != nil {
		st.next.prev = st.prev
	} else {
		o.tail = st.prev
	}
	st.prev, st.next, st.queued = nil, nil, false
	o.queued--
	if o.queued == 0 && len(o.conns) == 0 && st.err != nil {
		o.stopDialing()
	}
}

// stopDialing cancels the dials and no longer counts them: a dialer may be slow to
// notice, and the next stream gets its own dial.
func (o *pool) stopDialing() {
	if o.dialing > 0 {
		o.stopDials()
		o.dialing, o.stopDials = 0, nil
	}
}

// fail ends all waiting streams with an error.
func (o *pool) fail(err error) {
	for st := o.head; st != nil; st = o.head {
		st.err = err
		o.remove(st)
		st.signal()
	}
}

// dispatch wakes as many writers as the queue needs, and makes new connections if these
// are not enough.
func (o *pool) dispatch() {
	if o.queued == 0 {
		return
	}
	toWake, toServe, shut := o.queued, o.queued, 0
	for _, c := range o.conns {
		if c.limit == 0 {
			if shut++; shut == 2 { // two connections that allow no streams are enough
				toServe = 0
			}
		}
		room := c.room()
		if room <= 0 {
			continue
		}
		dry := c.window <= 0 && len(o.head.body) > 0
		if dry && c.narrow { // another connection has its own window
			continue
		}
		toServe -= room
		if !c.settled {
			toServe = 0
		}
		switch {
		case dry, c.writer == writing:
			continue
		case c.writer == waiting:
			c.signal()
		}
		if toWake -= room; toWake <= 0 {
			return
		}
	}
	each := o.limit
	if each <= 0 {
		each = maxStreams
	}
	for toServe -= o.dialing * each; toServe > 0 && len(o.conns)+o.dialing < o.t.maxConns; toServe -= each {
		// If there is no other connection, a dial is not held, because it finds the cause.
		if o.useless > 0 || o.failures > 0 && (len(o.conns) > 0 || o.dialing > 0) {
			if o.waits() {
				return
			}
		}
		if o.dialing == 0 {
			// The values of the first stream's context, but not its cancellation: others may wait.
			o.dialCtx, o.stopDials = context.WithCancel(context.WithoutCancel(o.head.ctx))
		}
		o.dialing++
		go o.connect(o.dialCtx)
	}
}

// connect makes a connection. If it fails, and no other connection exists or is being
// made, the waiting streams fail.
func (o *pool) connect(ctx context.Context) {
	c, err := o.dial(ctx)
	o.mu.Lock()
	stopped := ctx.Err() != nil
	if !stopped {
		if o.dialing--; o.dialing == 0 {
			o.stopDials() // releases the context
			o.stopDials = nil
		}
	}
	switch {
	case err == nil:
		o.failures, o.http1 = 0, time.Time{}
		o.conns, o.live = append(o.conns, c), append(o.live, c)
		c.start()
		if stopped && o.queued == 0 { // too late, and not needed
			c.retire()
		}
	case stopped: // the waiting streams came later
	case errors.Is(err, errHTTP1):
		o.http1 = time.Now().Add(rememberHTTP1)
		o.fail(err)
	default:
		o.failures++
		o.holdDials(o.failures)
		if len(o.conns) == 0 && o.dialing == 0 {
			o.fail(err)
		}
	}
	o.dispatch()
	o.mu.Unlock()
	o.t.forget(o)
}

// holdDials delays the next dial after n consecutive ones that were useless.
func (o *pool) holdDials(n int) {
	o.hold = time.Now().Add(100 * time.Millisecond << min(n-1, 6))
}

// waits reports whether dials are delayed; if so, dispatch runs again after the delay.
func (o *pool) waits() bool {
	wait := time.Until(o.hold)
	if wait > 0 && !o.held {
		o.held = true
		time.AfterFunc(wait, func() {
			o.mu.Lock()
			o.held = false
			o.dispatch()
			o.mu.Unlock()
			o.t.forget(o)
		})
	}
	return wait > 0
}

// timeout is the error of an operation that took too long.
type timeout string

func (t timeout) Error() string { return string(t) + " took too long" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// dial makes a connection and negotiates HTTP/2.
func (o *pool) dial(ctx context.Context) (*conn, error) {
	host, port, err := net.SplitHostPort(o.host)
	if err != nil {
		host, port = strings.Trim(o.host, "[]"), "443"
	}
	// All waiting streams may depend on this dial.
	ctx, cancel := context.WithTimeoutCause(ctx, maxDial, timeout("making the connection"))
	defer cancel()
	raw, err := o.t.dial(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	c := newConn(o, raw)
	cfg := o.t.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	conn := tls.Client(c.socket, cfg)
	c.tls = conn
	if d := o.t.handshakeTimeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, timeout("the TLS handshake"))
		defer cancel()
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		conn.Close()
		return nil, errHTTP1
	}
	c.state = &state
	return c, nil
}

// leave removes a connection from those that get new streams.
func (o *pool) leave(c *conn) { o.conns = without(o.conns, c) }

func without(conns []*conn, c *conn) []*conn {
	if i := slices.Index(conns, c); i >= 0 {
		return slices.Delete(conns, i, i+1)
	}
	return conns
}

// cancelStarted ends the streams that were started with the context, which is done.
func (o *pool) cancelStarted(ctx context.Context) {
	var found []*stream
	for st := o.head; st != nil; st = st.next {
		if st.done != nil && st.ctx == ctx {
			found = append(found, st)
		}
	}
	for _, c := range o.live {
		for _, st := range c.streams {
			if st.done != nil && st.ctx == ctx {
				found = append(found, st)
			}
		}
	}
	for _, st := range found {
		if st.err == nil {
			st.giveUp(ctx.Err())
			st.signal()
		}
	}
}

// retireIdle ends the connections without open requests.
func (o *pool) retireIdle() {
	for _, c := range slices.Clone(o.conns) {
		if c.open == 0 {
			c.retire()
		}
	}
}
