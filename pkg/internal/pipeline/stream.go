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

// stream is a request and its answer. What belongs to the connection is
// guarded by the origin's mutex.
//
// A stream is used again only when nothing but its caller can know of it: the
// reader has taken it from its connection and sent true, and the writer has set
// sent. After anything unusual it is left to the garbage collector.
type stream struct {
	host       string
	ctx        context.Context
	req        *http.Request
	fields     []hpack.HeaderField // of the request, pseudo-fields first
	size       uint32              // of fields, as RFC 9113 section 10.5.1 counts
	length     int
	lengthText string // of length
	body       []byte

	wake chan bool   // true: the answer is complete and the stream the caller's alone
	sent atomic.Bool // the writer has let go of it

	shared bool // the slices are another stream's, too

	// The reader's own.
	ready, readyDone bool

	// Guarded by origin.mu.
	o *pool
	// done gets the outcome of a stream for which nobody waits. It is nil once
	// somebody does.
	done       func(*http.Response, error)
	prev, next *stream // in the origin's queue
	queued     bool
	turn       int64 // in the queue, by its first coming
	c          *conn // when it was taken from the queue
	id         uint32
	off        int   // bytes of the body that were taken for sending
	window     int64 // that the server gives; it may be negative

	status   int // 0 before the final headers
	header   []field
	trailer  []field
	declared int64 // the Content-Length of the answer, or -1
	received int64 // bytes of the answer's body
	data     []byte
	credit   int64 // what the server may still send
	consumed int64 // read by the caller and not given back yet
	interim  int   // 1xx answers
	ended    bool  // by the server
	err      error // why there is no answer, or no more of it
	retry    bool  // the server has not looked at it
}

// field is a header field of an answer, its name in the canonical form.
type field struct{ name, value string }

func (t *Transport) newStream(ctx context.Context, req *http.Request, host string) *stream {
	st, _ := t.streams.Get().(*stream)
	if st == nil {
		st = &stream{wake: make(chan bool, 1)}
	}
	st.ctx, st.req, st.host, st.declared = ctx, req, host, -1
	return st
}

// drop gives a stream back that was never enqueued.
func (t *Transport) drop(st *stream) {
	// Header fields hold secrets, and would keep their memory.
	clear(st.fields)
	clear(st.header)
	*st = stream{fields: st.fields[:0], header: st.header[:0], body: st.body[:0], wake: st.wake, length: st.length, lengthText: st.lengthText}
	t.streams.Put(st)
}

// release gives a stream back whose answer was complete.
func (t *Transport) release(st *stream) {
	if st.sent.Load() && !st.shared {
		t.drop(st)
	}
}

// again makes a new stream of one that the server has not looked at.
func (st *stream) again() *stream {
	return &stream{host: st.host, ctx: st.ctx, req: st.req, fields: st.fields, size: st.size, body: st.body, turn: st.turn, declared: -1, wake: make(chan bool, 1),
		shared: true} // the old connection's writer may still read them
}

// cancel ends the stream from the caller's side, and reports false when it has
// ended already.
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

// giveUp ends a stream that has not ended, under the mutex.
func (st *stream) giveUp(err error) {
	st.err = err
	if st.queued {
		st.o.remove(st)
	} else {
		st.c.reset(st, http2.ErrCodeCancel)
	}
}

// outcome tells what a signal other than "complete" means: there is an answer,
// with more of its body to come or not, or an error, or the stream may be sent
// again.
func (st *stream) outcome() (resp *http.Response, again bool, err error) {
	o := st.o
	o.mu.Lock()
	defer o.mu.Unlock()
	if st.status == 0 {
		return nil, st.retry, st.err
	}
	b := &body{st: st}
	resp = st.head()
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

// signal wakes the caller, who looks at the stream under the mutex. Holds that
// as long as the stream may have nobody who waits for it.
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

// head makes the response without its body.
func (st *stream) head() *http.Response {
	r := &struct {
		http.Response
		values [6]string // of the usual fields
	}{Response: http.Response{
		Status:        statusText(st.status),
		StatusCode:    st.status,
		Proto:         "HTTP/2.0",
		ProtoMajor:    2,
		ContentLength: st.declared,
		Request:       st.req,
		TLS:           st.c.state,
	}}
	r.Header = toHeader(st.header, r.values[:])
	if st.ended && st.received == 0 {
		r.ContentLength = 0
	}
	return &r.Response
}

// response makes the response of a stream that is complete.
func (st *stream) response() *http.Response {
	resp := st.head()
	resp.Body = http.NoBody
	if len(st.data) > 0 {
		resp.Body = &whole{*bytes.NewReader(st.data)}
	}
	if st.trailer != nil {
		resp.Trailer = toHeader(st.trailer, nil)
	}
	return resp
}

// toHeader makes a header whose values are cut from one array, which is the
// given one if that is long enough.
func toHeader(fields []field, values []string) http.Header {
	h := make(http.Header, len(fields))
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
	return h
}

// statusText returns what net/http has in Status.
func statusText(code int) string {
	switch code { // what push services say
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

// whole is a body that is there.
type whole struct{ bytes.Reader }

func (*whole) Close() error { return nil }

// body is a body of which more may come.
type body struct {
	st   *stream
	resp *http.Response
	stop func() bool // ends the watch on the context

	mu     sync.Mutex // of Read; Close may come at the same time
	closed bool       // guarded by origin.mu
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
					b.resp.Trailer = toHeader(st.trailer, nil)
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
