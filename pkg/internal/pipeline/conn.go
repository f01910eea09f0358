package pipeline

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// maxStreams is the maximum number of streams on a connection.
	maxStreams = 1000
	// unsettledStreams is the maximum number of streams before the server has sent
	// its limit; RFC 9113, section 6.5.2, recommends a limit of at least 100.
	unsettledStreams = 100
	// maxStreamID is the last stream of a connection (RFC 9113, section 5.1.1).
	maxStreamID = 1<<31 - 1

	// batchSize is the approximate size of a write in bytes.
	batchSize = 32 << 10
	// dryFor is the time that a window may take to open before its connection counts
	// as narrow: the window, rather than the server, limits its throughput. A server
	// that is near, or briefly busy, opens the window sooner.
	dryFor = 30 * time.Millisecond
	// maxControl is the maximum size in bytes of responses to PING, SETTINGS, and
	// other frames that are queued for a server that does not read.
	maxControl = 256 << 10
	// maxIdle is the maximum number of frames within idleFor that contribute nothing
	// to a response: PING, SETTINGS, WINDOW_UPDATE, empty DATA, and unknown frames. It
	// is net/http's limit, and more than a server needs to open the windows of all
	// streams.
	maxIdle = 10000
	idleFor = time.Minute

	frameSize     = 16 << 10 // maximum size of received frames
	streamCredit  = 16 << 10 // maximum number of unread bytes of a response's body
	connCredit    = 1 << 20  // maximum number of bytes in flight to a connection
	maxHeader     = 64 << 10 // maximum size of a response's header (RFC 9113, section 10.5.1)
	maxBlock      = 2 * maxHeader
	maxInterim    = 16 // maximum number of 1xx responses to a request
	initialWindow = 65535
	maxWindow     = 1<<31 - 1
)

// ConnError is the error of a request whose connection ended before the response. It is
// not known whether the server has processed the request.
type ConnError struct{ Err error }

func (e *ConnError) Error() string { return "the HTTP/2 connection broke: " + e.Err.Error() }
func (e *ConnError) Unwrap() error { return e.Err }

// HeaderSizeError is the error of a request that was not sent because its headers are
// larger than the server accepts. Both sizes are in bytes, counted as in RFC 9113,
// section 10.5.1: the name, the value, and 32 for each header.
type HeaderSizeError struct{ Size, Max uint32 }

func (e *HeaderSizeError) Error() string {
	return fmt.Sprintf("the headers are %d bytes, the server accepts %d", e.Size, e.Max)
}

// goAwayError is a GOAWAY from the server, without its text, which may repeat secrets.
type goAwayError struct {
	last uint32 // last stream that the server may have processed
	code http2.ErrCode
}

func (e *goAwayError) Error() string {
	return fmt.Sprintf("the server sent GOAWAY (%v, last stream %d)", e.code, e.last)
}

var (
	errSilent   = errors.New("the server did not respond to a ping")
	errFlood    = http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	errFlow     = http2.ConnectionError(http2.ErrCodeFlowControl)
	errProtocol = http2.ConnectionError(http2.ErrCodeProtocol)
	errRetired  = errors.New("the connection is no longer needed")
)

// States of a writer.
const (
	waiting = iota // waiting for a signal
	woken
	writing
)

// conn is an HTTP/2 connection with two goroutines, a reader and a writer. The writer
// closes it.
type conn struct {
	o      *pool
	socket *socket
	tls    net.Conn // the TLS connection over socket
	state  *tls.ConnectionState

	// Guarded by o.mu.
	cond      *sync.Cond // wakes the writer
	writer    int
	streams   map[uint32]*stream
	open      int // number of open streams, including those without an ID yet
	nextID    uint32
	limit     int  // maximum number of open streams
	settled   bool // the server's first SETTINGS have arrived
	window    int64
	dryAt     time.Time // time at which the window was used up
	narrow    bool      // the window took long to open the last time
	first     int64     // window of a new stream
	frameSize int
	maxList   uint32    // maximum size of a header list that the server accepts
	partial   []*stream // streams whose bodies are not completely sent
	control   bytes.Buffer
	framer    *http2.Framer // writes to control
	tables    []uint32      // new sizes of the server's header table
	drain     bool          // no new streams
	broken    error         // error of a write; the reader looks for the server's reason
	goAway    *goAwayError
	responded bool      // the server has responded to a request
	err       error     // reason why the connection ended
	polite    bool      // the connection ends with a GOAWAY
	credit    int64     // number of bytes that the server may still send
	busySince time.Time // time of the write with which it had streams again
	idleSince time.Time
	pingAt    time.Time // time of the unanswered ping, or zero
	timer     *time.Timer

	readState
	writeState
}

func newConn(o *pool, raw net.Conn) *conn {
	c := &conn{o: o, streams: make(map[uint32]*stream), nextID: 1, limit: unsettledStreams, window: initialWindow, first: initialWindow,
		frameSize: frameSize, maxList: 1<<32 - 1, credit: connCredit, idleSince: time.Now()}
	c.cond = sync.NewCond(&o.mu)
	c.socket = newSocket(raw, c.deliver)
	c.framer = http2.NewFramer(&c.control, nil)
	c.writeState.init()
	c.readState.init(c.emit)
	return c
}

// start sends the preface with the first requests and starts the goroutines.
func (c *conn) start() {
	c.control.WriteString(http2.ClientPreface)
	c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamCredit},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeader},
	)
	c.framer.WriteWindowUpdate(0, connCredit-initialWindow)
	c.writer = woken
	if every := c.o.t.every(); every > 0 {
		c.timer = time.AfterFunc(every, c.tick)
	}
	go c.read()
	go c.write()
}

// every returns the interval at which a connection is checked; 0 means never.
func (t *Transport) every() time.Duration {
	switch {
	case t.ping <= 0:
		return t.idle
	case t.idle <= 0:
		return t.ping
	}
	return min(t.ping, t.idle)
}

// tick closes the connection if it has been idle for too long, and sends a ping if the
// server has been silent while requests wait.
func (c *conn) tick() {
	o := c.o
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.err != nil {
		return
	}
	now, next := time.Now(), o.t.every()
	switch {
	case c.open == 0 && c.writer != writing:
		c.pingAt = time.Time{}
		if idle := now.Sub(c.idleSince); o.t.idle > 0 {
			if idle >= o.t.idle {
				c.retire()
				return
			}
			next = min(next, o.t.idle-idle)
		}
	case o.t.ping > 0:
		heard := c.busySince
		if t := c.socket.lastHeard(); t.After(heard) {
			heard = t
		}
		if heard.After(c.pingAt) {
			c.pingAt = time.Time{}
		}
		switch silent := now.Sub(heard); {
		case !c.pingAt.IsZero():
			if waited := now.Sub(c.pingAt); waited >= o.t.pingTimeout {
				c.end(errSilent)
				return
			} else {
				next = o.t.pingTimeout - waited
			}
		case silent >= o.t.ping:
			c.pingAt = now
			c.framer.WritePing(false, [8]byte{'w', 'e', 'b', 'p', 'u', 's', 'h'})
			c.signal()
			next = o.t.pingTimeout
		default:
			next = min(next, o.t.ping-silent)
		}
	}
	c.timer.Reset(next)
}

// room returns the number of streams that may be added.
func (c *conn) room() int {
	if c.drain || c.broken != nil || c.err != nil {
		return 0
	}
	return c.limit - c.open
}

// signal wakes the writer if it waits.
func (c *conn) signal() {
	if c.writer == waiting {
		c.writer = woken
		c.cond.Signal()
	}
}

// stopTaking makes the connection accept no new streams and end with its last one.
func (c *conn) stopTaking() {
	c.drain = true
	c.o.leave(c)
	if c.open == 0 {
		c.retire()
	}
	c.o.dispatch()
}

// retire ends a connection without streams.
func (c *conn) retire() {
	c.end(errRetired)
}

// end ends the connection and its streams. If err is an [http2.ConnectionError] or
// errRetired, the server gets a GOAWAY.
func (c *conn) end(err error) {
	if c.err != nil {
		return
	}
	c.err, c.drain = err, true
	c.o.leave(c)
	c.o.live = without(c.o.live, c)
	if !c.responded && (err != errRetired || c.goAway != nil) {
		c.o.useless++
		c.o.holdDials(c.o.useless)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	code := http2.ErrCodeNo
	var reported http2.ConnectionError
	if errors.As(err, &reported) {
		code = http2.ErrCode(reported)
	}
	if reported != 0 || err == errRetired {
		c.polite = true
		c.framer.WriteGoAway(0, code, nil)
	}
	failure := &ConnError{err}
	for _, st := range c.streams {
		if st.err == nil {
			st.err = failure
			st.signal()
		}
	}
	clear(c.streams)
	c.partial, c.open = nil, 0
	// A stuck write ends now, or after time for the GOAWAY.
	wait := time.Duration(0)
	if c.polite {
		wait = time.Second
	}
	c.socket.SetWriteDeadline(time.Now().Add(wait))
	c.cond.Signal()
	c.o.dispatch()
}

// forgetStream removes a stream from the connection, which makes room for another one.
func (c *conn) forgetStream(st *stream) {
	delete(c.streams, st.id)
	c.open--
	if st.off < len(st.body) {
		c.dropPartial(st)
	}
	if c.open == 0 {
		c.idleSince = time.Now()
		if c.drain {
			c.retire()
			return
		}
	}
	if c.o.queued > 0 {
		c.o.dispatch()
	}
}

func (c *conn) dropPartial(st *stream) {
	for i, s := range c.partial {
		if s == st {
			c.partial = append(c.partial[:i], c.partial[i+1:]...)
			return
		}
	}
}

// reset ends a stream from this side; the caller sets the stream's error.
func (c *conn) reset(st *stream, code http2.ErrCode) {
	if c.streams[st.id] != st {
		return
	}
	c.framer.WriteRSTStream(st.id, code)
	c.forgetStream(st)
	c.signal()
}

// consume gives the server credit for n bytes that the caller has read.
func (c *conn) consume(st *stream, n int64) {
	st.consumed += n
	if st.ended || st.err != nil || c.err != nil || st.consumed < streamCredit/2 {
		return
	}
	c.framer.WriteWindowUpdate(st.id, uint32(st.consumed))
	st.credit += st.consumed
	st.consumed = 0
	c.signal()
}

// The writer.

// writeState is used only by the writer.
type writeState struct {
	out   bytes.Buffer
	enc   *hpack.Encoder
	block bytes.Buffer
	frame *http2.Framer // writes to out
	items []item
	seen  []seenField
	table int // number of changes of the header table
}

// item is a part of a stream to send: the headers, bytes of the body, or both.
type item struct {
	st       *stream
	id       uint32
	headers  bool
	from, to int
}

// seenField is the latest value of a header, and its last encoding.
type seenField struct {
	name, value string
	wire        [4]byte
	size        int // length of wire, or 0 if the value is not in the table
	table       int
}

func (w *writeState) init() {
	w.enc = hpack.NewEncoder(&w.block)
	w.frame = http2.NewFramer(&w.out, nil)
}

// write sends frames until the connection ends, and then closes it.
func (c *conn) write() {
	o := c.o
	o.mu.Lock()
	for {
		for c.err == nil && !c.work() {
			c.writer = waiting
			c.cond.Wait()
		}
		c.writer = writing
		if c.err != nil {
			break
		}
		if c.open == 0 {
			c.busySince = time.Now()
		}
		// Let the callers that the reader has just woken add their next requests to
		// this write.
		o.mu.Unlock()
		runtime.Gosched()
		o.mu.Lock()
		if c.err != nil {
			break
		}
		tables, frames := c.take()
		o.dispatch() // other connections may take the rest
		o.mu.Unlock()

		for _, size := range tables {
			c.enc.SetMaxDynamicTableSize(size)
			c.table++
		}
		c.encode(frames)
		if d := o.t.stalled; d > 0 {
			c.socket.SetWriteDeadline(time.Now().Add(d))
		}
		_, err := c.tls.Write(c.out.Bytes())
		c.out.Reset()

		o.mu.Lock()
		if err != nil && c.broken == nil {
			// The reader may receive the server's reason.
			c.broken = err
			c.socket.SetReadDeadline(time.Now().Add(time.Second))
			o.leave(c)
			o.dispatch()
		}
	}
	if !c.polite || c.broken != nil {
		o.mu.Unlock()
		c.socket.Close()
		return
	}
	last := bytes.Clone(c.control.Bytes())
	o.mu.Unlock()
	c.tls.Write(last)
	c.tls.Close()
}

// work reports whether there is something to send.
func (c *conn) work() bool {
	if c.broken != nil {
		return false
	}
	if c.control.Len() > 0 {
		return true
	}
	if c.window > 0 {
		for _, st := range c.partial {
			if st.window > 0 {
				return true
			}
		}
	}
	st := c.o.head
	return st != nil && c.room() > 0 && (c.window > 0 || len(st.body) == 0)
}

// take collects the next write: control frames in out, the rest in items.
func (c *conn) take() (tables []uint32, frames []item) {
	c.out.Write(c.control.Bytes())
	c.control.Reset()
	size := c.out.Len()
	c.items = c.items[:0]

	kept := c.partial[:0]
	for _, st := range c.partial {
		if n := c.part(st); n > 0 && size < batchSize {
			c.items = append(c.items, item{st: st, id: st.id, from: st.off, to: st.off + n})
			c.advance(st, n)
			size += n
		}
		if st.off < len(st.body) {
			kept = append(kept, st)
		}
	}
	clear(c.partial[len(kept):])
	c.partial = kept

	o := c.o
	for size < batchSize && o.head != nil && c.room() > 0 && (c.window > 0 || len(o.head.body) == 0) {
		st := o.head
		o.remove(st)
		if st.size > c.maxList {
			st.err = &HeaderSizeError{st.size, c.maxList}
			st.signal()
			continue
		}
		st.c, st.id, st.window, st.credit = c, c.nextID, c.first, streamCredit
		c.streams[st.id] = st
		c.open++
		if c.nextID >= maxStreamID {
			c.drain = true
			o.leave(c)
		}
		c.nextID += 2
		n := c.part(st)
		c.items = append(c.items, item{st: st, id: st.id, headers: true, to: n})
		c.advance(st, n)
		if st.off < len(st.body) {
			c.partial = append(c.partial, st)
		}
		size += n + 100
		// The first header block announces the changes of the table since the last one.
		if c.tables != nil {
			tables, c.tables = c.tables, nil
		}
	}
	return tables, c.items
}

// part returns the number of bytes of the body that may be sent.
func (c *conn) part(st *stream) int {
	return int(max(0, min(int64(len(st.body)-st.off), st.window, c.window, int64(c.frameSize))))
}

func (c *conn) advance(st *stream, n int) {
	st.off += n
	st.window -= int64(n)
	if c.window -= int64(n); c.window == 0 && n > 0 {
		c.dryAt = time.Now()
	}
}

// encode writes the items' frames to out.
func (c *conn) encode(items []item) {
	for i := range items {
		it := &items[i]
		st := it.st
		end := it.to == len(st.body)
		if it.headers {
			c.block.Reset()
			for j := range st.fields {
				c.field(&st.fields[j])
			}
			c.writeHeaders(it.id, end && it.to == 0)
		}
		if it.to > it.from {
			c.frame.WriteData(it.id, end, st.body[it.from:it.to])
		}
		if end {
			st.sent.Store(true)
		}
		it.st = nil
	}
}

// writeHeaders writes the block in as many frames as it needs.
func (c *conn) writeHeaders(id uint32, end bool) {
	block := c.block.Bytes()
	part := block[:min(len(block), frameSize)] // every server accepts this size
	block = block[len(part):]
	c.frame.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndStream: end, EndHeaders: len(block) == 0})
	for len(block) > 0 {
		part, block = block[:min(len(block), frameSize)], block[min(len(block), frameSize):]
		c.frame.WriteContinuation(id, len(block) == 0, part)
	}
}

// field appends a header to the block. A value is added to the table of RFC 7541 when it
// occurs for the second time in a row. Repeated values (:authority, authorization, ttl)
// then need one byte, and values that never repeat (:path) displace nothing. The token in
// authorization may be in the table: an attacker would have to send on this connection
// too, and could only guess the whole token at once from the length (section 7.1), for
// which it has too many bits.
func (c *conn) field(f *hpack.HeaderField) {
	if f.Sensitive {
		c.enc.WriteField(*f)
		return
	}
	var s *seenField
	for i := range c.seen {
		if c.seen[i].name == f.Name {
			s = &c.seen[i]
			break
		}
	}
	if s == nil {
		if len(c.seen) >= 32 { // the caller makes up names
			c.literal(f)
			return
		}
		c.seen = append(c.seen, seenField{name: f.Name, value: f.Value})
		c.literal(f)
		return
	}
	if s.value != f.Value {
		s.value, s.size = f.Value, 0
		c.literal(f)
		return
	}
	if s.size > 0 && s.table == c.table {
		c.block.Write(s.wire[:s.size])
		return
	}
	before := c.block.Len()
	c.enc.WriteField(*f)
	wire := c.block.Bytes()[before:]
	s.size = 0
	switch {
	case wire[0]&0x80 != 0 && len(wire) <= len(s.wire):
		s.size, s.table = copy(s.wire[:], wire), c.table
	case wire[0]&0xc0 == 0x40:
		c.table++
	}
}

// literal appends a header that is not added to the table.
func (c *conn) literal(f *hpack.HeaderField) {
	f2 := *f
	f2.Sensitive = true
	c.enc.WriteField(f2)
}
