package pipeline

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

var (
	errFromServer = errors.New("the server reset the stream")
	errMalformed  = errors.New("the response is malformed")
	errTooLarge   = errors.New("the response's header is too large")
)

// readState is used only by the reader.
type readState struct {
	in    *http2.Framer
	dec   *hpack.Decoder
	names map[string]string // canonical forms of lower-case names
	ready []*stream         // streams whose callers will be woken

	idle     int       // number of frames since idleFrom that contributed to no response
	idleFrom time.Time // time of the first of them
	// The current header block.
	blockID   uint32
	blockEnds bool // it ends the stream
	blockSize int  // compressed size in bytes
	listSize  uint32
	status    int // 0 if it has no status
	regular   bool
	declared  int64
	bad       error
	fields    []field
}

func (r *readState) init(emit func(hpack.HeaderField)) {
	r.dec = hpack.NewDecoder(4096, emit)
	r.dec.SetMaxStringLength(maxHeader)
	r.names = make(map[string]string)
}

// read handles the server's frames until the connection ends.
func (c *conn) read() {
	c.in = http2.NewFramer(io.Discard, bufio.NewReaderSize(c.tls, frameSize))
	c.in.SetMaxReadFrameSize(frameSize)
	c.in.SetReuseFrames()
	var err error
	for first := true; err == nil; first = false {
		err = c.readFrame(first)
	}
	c.deliver()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	c.o.mu.Lock()
	if c.broken != nil && !isFault(err) {
		err = c.broken
	}
	if c.goAway != nil && !isFault(err) {
		err = c.goAway
	}
	c.end(err)
	c.o.mu.Unlock()
	c.o.t.forget(c.o)
}

func isFault(err error) bool {
	var failure http2.ConnectionError
	return errors.As(err, &failure)
}

// deliver passes the responses that arrived in one read to the callers.
func (c *conn) deliver() {
	for i, st := range c.ready {
		st.ready = false
		c.ready[i] = nil
		switch {
		case !st.readyDone:
			c.o.mu.Lock()
			st.signal()
			c.o.mu.Unlock()
		case st.done != nil: // nothing else refers to the stream
			c.o.t.completeStarted(st)
		default:
			select {
			case st.wake <- true: // now the stream is the caller's
			default:
			}
		}
	}
	c.ready = c.ready[:0]
}

func (c *conn) toWake(st *stream, done bool) {
	st.readyDone = done
	if !st.ready {
		st.ready = true
		c.ready = append(c.ready, st)
	}
}

// readFrame reads and handles one frame; an error ends the connection.
func (c *conn) readFrame(first bool) error {
	h, err := c.in.ReadFrameHeader()
	if err != nil {
		return frameError(err)
	}
	if first && (h.Type != http2.FrameSettings || h.Flags.Has(http2.FlagSettingsAck)) {
		return errProtocol
	}
	f, err := c.in.ReadFrameForHeader(h)
	if err != nil {
		return c.unread(h, err)
	}

	// Header blocks are decoded before the mutex is locked.
	switch f := f.(type) {
	case *http2.HeadersFrame:
		c.blockID, c.blockEnds, c.blockSize = f.StreamID, f.StreamEnded(), 0
		c.listSize, c.status, c.regular, c.declared, c.bad, c.fields = 0, 0, false, -1, nil, c.fields[:0]
		c.dec.SetEmitEnabled(true)
		if done, err := c.fragment(f.HeaderBlockFragment(), f.HeadersEnded()); !done {
			return err
		}
	case *http2.ContinuationFrame:
		if done, err := c.fragment(f.HeaderBlockFragment(), f.HeadersEnded()); !done {
			return err
		}
	}

	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	progress, err := c.onFrame(f, first)
	if err == nil && (c.control.Len() > maxControl || c.idles(progress)) {
		err = errFlood
	}
	return err
}

// unread handles the error of a frame whose header was read. An error of a single
// stream ends only that stream.
func (c *conn) unread(h http2.FrameHeader, err error) error {
	var failure http2.StreamError
	if !errors.As(err, &failure) {
		return frameError(err)
	}
	if h.Type != http2.FrameWindowUpdate {
		return errProtocol // a header block may be lost
	}
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	st, err := c.stream(failure.StreamID)
	if st != nil {
		c.failStream(st, failure.Code, errMalformed)
	}
	return err
}

// onFrame handles a frame, of header blocks only the last one. It reports whether the
// frame contributed to a response. The caller holds the mutex.
func (c *conn) onFrame(f http2.Frame, first bool) (progress bool, err error) {
	switch f := f.(type) {
	case *http2.HeadersFrame, *http2.ContinuationFrame:
		return true, c.onBlock() // each request has a limit
	case *http2.DataFrame:
		return len(f.Data()) > 0 || f.StreamEnded(), c.onData(f)
	case *http2.SettingsFrame:
		return false, c.onSettings(f, first)
	case *http2.WindowUpdateFrame:
		return false, c.onWindow(f)
	case *http2.RSTStreamFrame:
		st, err := c.stream(f.StreamID)
		if st == nil {
			return false, err
		}
		st.err = http2.StreamError{StreamID: f.StreamID, Code: f.ErrCode, Cause: errFromServer}
		st.retry = f.ErrCode == http2.ErrCodeRefusedStream && st.status == 0
		c.forgetStream(st)
		st.signal()
		return true, nil
	case *http2.GoAwayFrame:
		c.onGoAway(f)
	case *http2.PingFrame:
		if f.IsAck() {
			c.pingAt = time.Time{}
		} else {
			c.framer.WritePing(true, f.Data)
			c.signal()
		}
	case *http2.PushPromiseFrame:
		return false, errProtocol // push is disabled
	}
	return false, nil
}

// idles counts the frames that contribute to no response, and reports whether there are
// too many.
func (c *conn) idles(progress bool) bool {
	if progress {
		c.idle = 0
		return false
	}
	if c.idle == 0 || time.Since(c.idleFrom) > idleFor {
		c.idle, c.idleFrom = 0, time.Now()
	}
	c.idle++
	return c.idle > maxIdle
}

// frameError distinguishes errors of the server from those of the network.
func frameError(err error) error {
	if errors.Is(err, http2.ErrFrameTooLarge) {
		return http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	return err
}

// stream returns an open stream, nil for a closed one, or an error for one that never
// existed.
func (c *conn) stream(id uint32) (*stream, error) {
	if id%2 == 0 || id >= c.nextID {
		return nil, errProtocol
	}
	return c.streams[id], nil
}

// failStream ends a stream because of an error of the server.
func (c *conn) failStream(st *stream, code http2.ErrCode, cause error) {
	st.err = http2.StreamError{StreamID: st.id, Code: code, Cause: cause}
	c.reset(st, code)
	st.signal()
}

// fragment decodes a part of a header block and reports whether it was the last one.
func (c *conn) fragment(b []byte, last bool) (bool, error) {
	if c.blockSize += len(b) + 9; c.blockSize > maxBlock {
		return false, errFlood
	}
	if _, err := c.dec.Write(b); err != nil {
		return false, http2.ConnectionError(http2.ErrCodeCompression)
	}
	if !last {
		return false, nil
	}
	if err := c.dec.Close(); err != nil {
		return false, http2.ConnectionError(http2.ErrCodeCompression)
	}
	return true, nil
}

// emit handles a field of the header block (RFC 9113, sections 8.2 and 8.3).
func (c *conn) emit(f hpack.HeaderField) {
	if c.listSize += f.Size(); c.listSize > maxHeader {
		c.bad = errTooLarge
		c.dec.SetEmitEnabled(false)
		return
	}
	if f.IsPseudo() {
		if f.Name != ":status" || c.regular || c.status != 0 || len(f.Value) != 3 {
			c.bad = errMalformed
			return
		}
		n, err := strconv.ParseUint(f.Value, 10, 16)
		if err != nil || n < 100 {
			c.bad = errMalformed
		}
		c.status = int(n)
		return
	}
	c.regular = true
	name, ok := c.names[f.Name]
	if !ok {
		if name = canonical(f.Name); name == "" {
			c.bad = errMalformed
			return
		}
		if len(c.names) < 256 && len(name) <= 64 {
			c.names[f.Name] = name
		}
	}
	if !httpguts.ValidHeaderFieldValue(f.Value) {
		c.bad = errMalformed
		return
	}
	if name == "Content-Length" {
		n, err := strconv.ParseUint(f.Value, 10, 63)
		if err != nil || c.declared >= 0 && c.declared != int64(n) {
			c.bad = errMalformed
			return
		}
		c.declared = int64(n)
	}
	c.fields = append(c.fields, field{name, f.Value})
}

// canonical returns the form of a name in [http.Header], or "" for a name that is not
// allowed in a response.
func canonical(name string) string {
	if !httpguts.ValidHeaderFieldName(name) {
		return ""
	}
	for i := range len(name) {
		if 'A' <= name[i] && name[i] <= 'Z' {
			return ""
		}
	}
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return ""
	}
	return http.CanonicalHeaderKey(name)
}

// onBlock handles a header block: of a response, an interim response, or trailers.
func (c *conn) onBlock() error {
	st, err := c.stream(c.blockID)
	if st == nil {
		return err
	}
	if st.status != 0 {
		if c.bad == nil && (c.status != 0 || !c.blockEnds) {
			c.bad = errMalformed
		}
		if c.bad == nil {
			st.trailer = slices.Clone(c.fields)
		}
	} else {
		if c.bad == nil && (c.status == 0 || c.status == 101 || c.status < 200 && c.blockEnds) {
			c.bad = errMalformed
		}
		if c.bad == nil && c.status < 200 {
			if st.interim++; st.interim > maxInterim {
				c.failStream(st, http2.ErrCodeEnhanceYourCalm, errMalformed)
			}
			return nil
		}
	}
	if c.bad != nil {
		code := http2.ErrCodeProtocol
		if c.bad == errTooLarge {
			code = http2.ErrCodeCancel
		}
		c.failStream(st, code, c.bad)
		return nil
	}
	if st.status == 0 {
		c.responded, c.o.useless = true, 0
		st.status, st.declared = c.status, c.declared
		st.header = append(st.header[:0], c.fields...)
	}
	c.progress(st, c.blockEnds)
	return nil
}

// progress wakes the caller because more of the response has arrived.
func (c *conn) progress(st *stream, end bool) {
	if !end {
		c.toWake(st, false)
		return
	}
	if st.declared >= 0 && st.received != st.declared && (st.status != http.StatusNotModified || st.received > 0) {
		c.failStream(st, http2.ErrCodeProtocol, errMalformed)
		return
	}
	if st.off < len(st.body) { // the server does not need the rest
		c.framer.WriteRSTStream(st.id, http2.ErrCodeNo)
		c.signal()
	}
	st.ended = true
	c.forgetStream(st)
	c.toWake(st, true)
}

func (c *conn) onData(f *http2.DataFrame) error {
	n := int64(f.Length) // with the padding
	if n > c.credit {
		return errFlow
	}
	// Each stream has a limit, so the connection does not need one.
	if c.credit -= n; c.credit < connCredit/2 {
		c.framer.WriteWindowUpdate(0, uint32(connCredit-c.credit))
		c.credit = connCredit
		c.signal()
	}
	st, err := c.stream(f.StreamID)
	if st == nil {
		return err
	}
	if n > st.credit {
		c.failStream(st, http2.ErrCodeFlowControl, errMalformed)
		return nil
	}
	data := f.Data()
	st.credit -= n
	st.received += int64(len(data))
	if st.status == 0 || st.declared >= 0 && st.received > st.declared {
		c.failStream(st, http2.ErrCodeProtocol, errMalformed)
		return nil
	}
	st.data = append(st.data, data...)
	if !f.StreamEnded() {
		c.consume(st, n-int64(len(data)))
	}
	c.progress(st, f.StreamEnded())
	return nil
}

func (c *conn) onSettings(f *http2.SettingsFrame, first bool) error {
	if f.IsAck() {
		return nil
	}
	if first {
		c.limit = maxStreams
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingMaxConcurrentStreams:
			c.limit = int(min(s.Val, maxStreams))
		case http2.SettingInitialWindowSize:
			change := int64(s.Val) - c.first
			c.first = int64(s.Val)
			for _, st := range c.streams {
				if st.window += change; st.window > maxWindow {
					return errFlow
				}
			}
		case http2.SettingMaxFrameSize:
			c.frameSize = int(s.Val)
		case http2.SettingMaxHeaderListSize:
			c.maxList = s.Val
		case http2.SettingHeaderTableSize:
			// Both the smallest and the last size are announced (RFC 7541, section 4.2).
			// A table that shrinks and grows at once is emptied, because Go's decoder
			// rejects the second change unless the table is empty.
			switch n := len(c.tables); {
			case n == 0:
				c.tables = append(c.tables, s.Val)
			case n == 1 && s.Val <= c.tables[0]:
				c.tables[0] = s.Val
			default:
				c.tables = append(c.tables[:0], 0, s.Val)
			}
		case http2.SettingEnablePush:
			if s.Val != 0 {
				return errProtocol
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.settled = true
	c.o.limit = c.limit
	c.framer.WriteSettingsAck()
	c.signal()
	c.o.dispatch()
	return nil
}

func (c *conn) onWindow(f *http2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		if c.window <= 0 {
			c.narrow = time.Since(c.dryAt) > dryFor
		}
		if c.window += int64(f.Increment); c.window > maxWindow {
			return errFlow
		}
	} else {
		st, err := c.stream(f.StreamID)
		if st == nil {
			return err
		}
		if st.window += int64(f.Increment); st.window > maxWindow {
			c.failStream(st, http2.ErrCodeFlowControl, errMalformed)
			return nil
		}
	}
	if c.work() {
		c.signal()
	}
	return nil
}

// onGoAway ends the streams that the server will not process; the others continue.
func (c *conn) onGoAway(f *http2.GoAwayFrame) {
	c.goAway = &goAwayError{f.LastStreamID, f.ErrCode}
	c.drain = true
	for id, st := range c.streams {
		if id > f.LastStreamID {
			st.err, st.retry = &ConnError{c.goAway}, st.status == 0
			c.forgetStream(st)
			st.signal()
		}
	}
	c.stopTaking()
}

// socket is the connection below TLS. It reads ahead, so many small records need one
// system call, and calls beforeBlock before each read that may block.
type socket struct {
	net.Conn
	buf         []byte
	start, end  int
	beforeBlock func()
	made        time.Time
	heard       atomic.Int64 // time of the last read, in nanoseconds since made
}

func newSocket(raw net.Conn, beforeBlock func()) *socket {
	return &socket{Conn: raw, buf: make([]byte, 16<<10), beforeBlock: beforeBlock, made: time.Now()}
}

func (s *socket) Read(p []byte) (int, error) {
	if s.start == s.end {
		s.beforeBlock()
		n, err := s.Conn.Read(s.buf)
		if n <= 0 {
			return 0, err
		}
		s.heard.Store(int64(time.Since(s.made)))
		s.start, s.end = 0, n
	}
	n := copy(p, s.buf[s.start:s.end])
	s.start += n
	return n, nil
}

// lastHeard returns the time at which something last arrived from the server.
func (s *socket) lastHeard() time.Time { return s.made.Add(time.Duration(s.heard.Load())) }
