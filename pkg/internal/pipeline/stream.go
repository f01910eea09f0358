package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// stream is a request and its response.
//
// A stream is reused only if nothing but its caller refers to it: the reader has removed
// it from its connection and sent true, and the writer has set sent. In all unusual cases
// it is left to the garbage collector.
type stream struct {
	host       string
	ctx        context.Context
	req        *http.Request
	fields     []hpack.HeaderField // headers of the request, pseudo-headers first
	size       uint32              // size of fields (RFC 9113, section 10.5.1)
	length     int                 // Content-Length of the request
	lengthText string              // length as text
	body       []byte

	wake chan bool   // true: the response is complete, and only the caller uses the stream
	sent atomic.Bool // the writer no longer uses the stream

	shared bool   // another stream has the same slices
	reply  *reply // the response for done; reused by the next request

	// Used only by the reader.
	ready, readyDone bool

	// The fields below are guarded by o.mu.
	o *pool
	// done is called with the outcome of a started stream. It is nil once a goroutine
	// waits for the stream.
	done       func(*http.Response, error)
	prev, next *stream // neighbors in the queue
	queued     bool
	turn       int64 // order in the queue, from the first time that it was added
	c          *conn // its connection, once it was taken from the queue
	id         uint32
	off        int   // number of bytes of the body that were taken for sending
	window     int64 // number of bytes that the server allows; may be negative

	status   int // 0 before the final headers
	header   []field
	trailer  []field
	declared int64 // Content-Length of the response, or -1
	received int64 // number of bytes of the response's body
	data     []byte
	credit   int64 // number of bytes that the server may still send
	consumed int64 // bytes that the caller has read, without credit for them yet
	interim  int   // number of 1xx responses
	ended    bool  // the server has ended the response
	err      error // reason why there is no response, or not all of it
	retry    bool  // the server has not processed the request
}

// field is a header of a response, with its name in canonical form.
type field struct{ name, value string }

func (t *Transport) newStream(ctx context.Context, req *http.Request, host string) *stream {
	st, _ := t.streams.Get().(*stream)
	if st == nil {
		st = &stream{wake: make(chan bool, 1)}
	}
	st.ctx, st.req, st.host, st.declared = ctx, req, host, -1
	return st
}

// drop makes a stream available for reuse.
func (t *Transport) drop(st *stream) {
	// Headers can contain secrets, and would keep their memory.
	clear(st.fields)
	clear(st.header)
	if st.reply != nil {
		st.reply.reset()
	}
	*st = stream{fields: st.fields[:0], header: st.header[:0], body: st.body[:0], wake: st.wake, length: st.length, lengthText: st.lengthText, reply: st.reply}
	t.streams.Put(st)
}

// release drops a stream whose response is complete if nothing else uses it.
func (t *Transport) release(st *stream) {
	if st.sent.Load() && !st.shared {
		t.drop(st)
	}
}

// again makes a new stream from one that the server has not processed.
func (st *stream) again() *stream {
	return &stream{host: st.host, ctx: st.ctx, req: st.req, fields: st.fields, size: st.size, body: st.body, turn: st.turn, declared: -1, wake: make(chan bool, 1),
		shared: true} // the old connection's writer may still read them
}

// cancel ends the stream from the caller's side. It reports false if the stream has
// already ended.
func (st *stream) cancel(err error) bool {
	o := st.o
	o.mu.Lock()
	defer o.mu.Unlock()
	if st.ended || st.err != nil {
		return false
	}
	st.giveUp(err)
	return true
}

// giveUp ends a stream that has not ended. The caller holds the mutex.
func (st *stream) giveUp(err error) {
	st.err = err
	if st.queued {
		st.o.remove(st)
	} else {
		st.c.reset(st, http2.ErrCodeCancel)
	}
}

// outcome returns the meaning of a signal other than "complete": a response, possibly
// with an incomplete body, an error, or that the stream may be sent again.
func (st *stream) outcome() (resp *http.Response, again bool, err error) {
	o := st.o
	o.mu.Lock()
	defer o.mu.Unlock()
	if st.status == 0 {
		return nil, st.retry, st.err
	}
	b := &body{st: st}
	resp = st.head(new(reply))
	resp.Body, b.resp = b, resp
	if !st.ended && st.err == nil {
		b.stop = context.AfterFunc(st.ctx, func() {
			if st.cancel(st.ctx.Err()) {
				st.signal()
			}
		})
	}
	return resp, false, nil
}

// signal wakes the caller, which then locks the mutex and looks at the stream. If the
// stream may have a done function, the caller of signal holds the mutex.
func (st *stream) signal() {
	if done := st.done; done != nil {
		st.done = nil
		go func() { done(st.o.t.follow(st, 1)) }()
		return
	}
	select {
	case st.wake <- false:
	default:
	}
}

// reply is a response with room for the values of the usual headers.
type reply struct {
	http.Response
	values [6]string
}

// reset makes the memory of a reply available for another response.
func (r *reply) reset() {
	h := r.Header
	clear(h)
	*r = reply{Response: http.Response{Header: h}}
}

// head makes the response without its body in r, which is new or was reset.
func (st *stream) head(r *reply) *http.Response {
	r.Status, r.StatusCode = statusText(st.status), st.status
	r.Proto, r.ProtoMajor = "HTTP/2.0", 2
	r.ContentLength = st.declared
	if st.ended && st.received == 0 {
		r.ContentLength = 0
	}
	r.Request, r.TLS = st.req, st.c.state
	if r.Header == nil {
		r.Header = make(http.Header, len(st.header))
	}
	addFields(r.Header, st.header, r.values[:])
	return &r.Response
}

// response makes the response of a stream that is complete in r.
func (st *stream) response(r *reply) *http.Response {
	resp := st.head(r)
	resp.Body = http.NoBody
	if len(st.data) > 0 {
		resp.Body = &whole{*bytes.NewReader(st.data)}
	}
	if st.trailer != nil {
		resp.Trailer = toTrailer(st.trailer)
	}
	return resp
}

func toTrailer(fields []field) http.Header {
	h := make(http.Header, len(fields))
	addFields(h, fields, nil)
	return h
}

// addFields adds fields to a header. Their values share one array, which is the given one
// if that is long enough.
func addFields(h http.Header, fields []field, values []string) {
	if len(values) < len(fields) {
		values = make([]string, len(fields))
	}
	for i, f := range fields {
		if before, ok := h[f.name]; ok {
			h[f.name] = append(before, f.value)
			continue
		}
		values[i] = f.value
		h[f.name] = values[i : i+1 : i+1]
	}
}

// statusText returns the Status of a response in net/http's form.
func statusText(code int) string {
	switch code { // usual statuses of push services
	case 200:
		return "200 OK"
	case 201:
		return "201 Created"
	case 404:
		return "404 Not Found"
	case 410:
		return "410 Gone"
	case 429:
		return "429 Too Many Requests"
	}
	return fmt.Sprintf("%d %s", code, http.StatusText(code))
}

// whole is a body that is completely in memory.
type whole struct{ bytes.Reader }

func (*whole) Close() error { return nil }

// body is a body of which more may arrive.
type body struct {
	st   *stream
	resp *http.Response
	stop func() bool // ends the watch on the context

	mu     sync.Mutex // held by Read; Close may be called concurrently
	closed bool       // guarded by the pool's mutex
}

var errClosedBody = errors.New("http: read on closed response body") // net/http's words

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	st := b.st
	for {
		st.o.mu.Lock()
		switch {
		case b.closed:
			st.o.mu.Unlock()
			return 0, errClosedBody
		case len(st.data) > 0:
			n := copy(p, st.data)
			if st.data = st.data[n:]; len(st.data) == 0 {
				st.data = nil
			}
			st.c.consume(st, int64(n))
			st.o.mu.Unlock()
			return n, nil
		case st.err != nil || st.ended:
			err := st.err
			if st.ended {
				err = io.EOF
				if st.trailer != nil && b.resp.Trailer == nil {
					b.resp.Trailer = toTrailer(st.trailer)
				}
			}
			st.o.mu.Unlock()
			b.unwatch()
			return 0, err
		}
		st.o.mu.Unlock()
		<-st.wake
	}
}

func (b *body) Close() error {
	st := b.st
	st.o.mu.Lock()
	b.closed = true
	if !st.ended && st.err == nil {
		st.err = errClosedBody
		st.c.reset(st, http2.ErrCodeCancel)
		st.signal()
	}
	st.data = nil
	st.o.mu.Unlock()
	b.unwatch()
	return nil
}

func (b *body) unwatch() {
	if b.stop != nil {
		b.stop()
	}
}
