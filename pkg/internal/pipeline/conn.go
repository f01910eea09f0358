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
	// maxStreams is how many streams a connection has at most.
	maxStreams = 1000
	// unsettledStreams is how many it has before the server has said its limit:
	// RFC 9113 section 6.5.2 recommends that it is not below 100.
	unsettledStreams = 100
	// maxStreamID is the last stream of a connection (RFC 9113 section 5.1.1).
	maxStreamID = 1<<31 - 1

	// batchSize is how many bytes go into one write, about.
	batchSize = 32 << 10
	// dryFor is how long a connection may wait for its window to open before it
	// counts as one that lets through what the window holds in a round trip, and
	// no more. A server that is near, or busy for a moment, opens it sooner.
	dryFor = 30 * time.Millisecond
	// maxControl is how many bytes of answers to PING, SETTINGS and the like may
	// wait for a server that does not read.
	maxControl = 256 << 10
	// maxIdle is how many frames a server may send within idleFor of which none
	// brings an answer forward: PING, SETTINGS, WINDOW_UPDATE, empty DATA, and what
	// is unknown. It is the bound of net/http, and more than a server needs that
	// opens the windows of all streams.
	maxIdle = 10000
	idleFor = time.Minute

	frameSize     = 16 << 10 // of the frames that are taken
	streamCredit  = 16 << 10 // bytes of an answer's body that lie here unread at most
	connCredit    = 1 << 20  // bytes under way on a connection
	maxHeader     = 64 << 10 // of an answer, as RFC 9113 section 10.5.1 counts
	maxBlock      = 2 * maxHeader
	maxInterim    = 16 // 1xx answers to a request
	initialWindow = 65535
	maxWindow     = 1<<31 - 1
)

// ConnError is why a connection ended on which a request waited for its
// answer. Whether the server has processed it is not known.
type ConnError struct{ Err error }

func (e *ConnError) Error() string { return "the HTTP/2 connection broke: " + e.Err.Error() }
func (e *ConnError) Unwrap() error { return e.Err }

// HeaderSizeError tells that a request was not sent because its header fields
// are more than the server takes, both in bytes as RFC 9113 section 10.5.1
// counts them: 32 for each field, its name and its value.
type HeaderSizeError struct{ Size, Max uint32 }

func (e *HeaderSizeError) Error() string {
	return fmt.Sprintf("the header fields are %d bytes, and the server takes %d", e.Size, e.Max)
}

// goAwayError is a GOAWAY of the server, without its text, which may repeat
// secrets.
type goAwayError struct {
	last uint32 // stream that was looked at
	code http2.ErrCode
}

func (e *goAwayError) Error() string {
	return fmt.Sprintf("the server sent GOAWAY (%v, last stream %d)", e.code, e.last)
}

var (
	errSilent   = errors.New("the server does not answer a ping")
	errFlood    = http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	errFlow     = http2.ConnectionError(http2.ErrCodeFlowControl)
	errProtocol = http2.ConnectionError(http2.ErrCodeProtocol)
	errRetired  = errors.New("the connection was not needed any more")
)

// What a writer does.
const (
	waiting = iota // for a signal
	woken
	writing
)

// conn is an HTTP/2 connection with two goroutines, a reader and a writer. The
// writer closes it.
type conn struct {
	o      *pool
	socket *socket
	tls    net.Conn // on the socket
	state  *tls.ConnectionState

	// Guarded by o.mu.
	cond      *sync.Cond // wakes the writer
	writer    int
	streams   map[uint32]*stream
	open      int // streams, those included that have no number yet
	nextID    uint32
	limit     int  // of streams
	settled   bool // the server's first SETTINGS were there
	window    int64
	dryAt     time.Time // when the window was used up
	narrow    bool      // the last time, it took long to open
	first     int64     // the window of a new stream
	frameSize int
	maxList   uint32    // what the server takes as a list of header fields
	partial   []*stream // whose body is not all sent
	control   bytes.Buffer
	framer    *http2.Framer // writes to control
	tables    []uint32      // sizes of the server's table, to be used from now on
	drain     bool          // takes no new streams
	broken    error         // of writing; the reader looks for what the server said
	goAway    *goAwayError
	answered  bool      // a request
	err       error     // why it ended
	polite    bool      // it ends with a GOAWAY
	credit    int64     // what the server may still send
	busySince time.Time // of the write after which it had streams again
	idleSince time.Time
	pingAt    time.Time // when a ping went out that had no answer, or zero
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

// start sends the preface with the first requests and lets the goroutines run.
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

// every is how often a connection is looked after; 0 is never.
func (t *Transport) every() time.Duration {
	switch {
	case t.ping <= 0:
		return t.idle
	case t.idle <= 0:
		return t.ping
	}
	return min(t.ping, t.idle)
}

// tick closes the connection when it was idle for too long, and asks whether
// the server is there when it is silent while requests wait.
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

// room is how many streams may be added.
func (c *conn) room() int {
	if c.drain || c.broken != nil || c.err != nil {
		return 0
	}
	return c.limit - c.open
}

// signal wakes the writer, if it waits.
func (c *conn) signal() {
	if c.writer == waiting {
		c.writer = woken
		c.cond.Signal()
	}
}

// stopTaking lets the connection end when its last stream does.
func (c *conn) stopTaking() {
	c.drain = true
	c.o.leave(c)
	if c.open == 0 {
		c.retire()
	}
	c.o.dispatch()
}

// retire ends a connection that has no streams.
func (c *conn) retire() {
	c.end(errRetired)
}

// end ends the connection and its streams. A [http2.ConnectionError] and
// errRetired are told to the server.
func (c *conn) end(err error) {
	if c.err != nil {
		return
	}
	c.err, c.drain = err, true
	c.o.leave(c)
	c.o.live = without(c.o.live, c)
	if !c.answered && (err != errRetired || c.goAway != nil) {
		c.o.useless++
		c.o.holdDials(c.o.useless)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	code := http2.ErrCodeNo
	var fault http2.ConnectionError
	if errors.As(err, &fault) {
		code = http2.ErrCode(fault)
	}
	if fault != 0 || err == errRetired {
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
	// A write that is stuck ends now, or after what is left was said.
	wait := time.Duration(0)
	if c.polite {
		wait = time.Second
	}
	c.socket.SetWriteDeadline(time.Now().Add(wait))
	c.cond.Signal()
	c.o.dispatch()
}

// forgetStream takes a stream from the connection, which makes room for
// another.
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

// reset ends a stream from this side; the caller sets its error.
func (c *conn) reset(st *stream, code http2.ErrCode) {
	if c.streams[st.id] != st {
		return
	}
	c.framer.WriteRSTStream(st.id, code)
	c.forgetStream(st)
	c.signal()
}

// consume gives the server credit for what the caller has read.
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

// writeState is the writer's own.
type writeState struct {
	out   bytes.Buffer
	enc   *hpack.Encoder
	block bytes.Buffer
	frame *http2.Framer // writes to out
	items []item
	seen  []seenField
	table int // counts the changes of the table
}

// item is a part of a stream to send.
type item struct {
	st       *stream
	id       uint32
	headers  bool
	from, to int
}

// seenField is the latest value of a header field, and how it was written last.
type seenField struct {
	name, value string
	wire        [4]byte
	size        int // of wire, 0 when it is not in the table
	table       int
}

func (w *writeState) init() {
	w.enc = hpack.NewEncoder(&w.block)
	w.frame = http2.NewFramer(&w.out, nil)
}

// write sends what waits until the connection ends, and closes it.
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
		// Those whom the reader has just woken come with their next requests:
		// let them, so that these go along.
		o.mu.Unlock()
		runtime.Gosched()
		o.mu.Lock()
		if c.err != nil {
			break
		}
		tables, frames := c.take()
		o.dispatch() // others may take what is left
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
			// The server may have said why.
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

// take takes what is to be sent next: control frames to out, the rest to items.
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
		// The first header block tells of the changes since the last: before, more
		// may come.
		if c.tables != nil {
			tables, c.tables = c.tables, nil
		}
	}
	return tables, c.items
}

// part is how much of the body may be sent.
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

// writeHeaders writes the block, in as many frames as it needs.
func (c *conn) writeHeaders(id uint32, end bool) {
	block := c.block.Bytes()
	part := block[:min(len(block), frameSize)] // which every server takes
	block = block[len(part):]
	c.frame.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndStream: end, EndHeaders: len(block) == 0})
	for len(block) > 0 {
		part, block = block[:min(len(block), frameSize)], block[min(len(block), frameSize):]
		c.frame.WriteContinuation(id, len(block) == 0, part)
	}
}

// field appends a header field to the block. A value is put into the table of
// RFC 7541 when it comes for the second time in a row: so what repeats
// (:authority, authorization, ttl) costs one byte, and what never does
// (:path) displaces nothing. The token in authorization may lie there: it has
// too many bits to be guessed by length at once, which is all that section 7.1
// leaves to an attacker, who would have to send on this connection as well.
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
		if len(c.seen) >= 32 { // names from a caller that makes them up
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

// literal appends a field that is not put into the table.
func (c *conn) literal(f *hpack.HeaderField) {
	f2 := *f
	f2.Sensitive = true
	c.enc.WriteField(f2)
}
