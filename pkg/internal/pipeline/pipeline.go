// Package pipeline sends many small requests over HTTP/2 in a fraction of the processor
// time that [http.Transport] needs for each. Each connection has one goroutine that
// writes, many requests at a time, and one that reads; no goroutine needs to wait for a
// response. Requests that it does not support are sent by an [http.Transport].
package pipeline

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

const (
	// maxBody is the maximum size of a request's body in bytes. It fits in one frame of
	// the smallest size that a server may require.
	maxBody = 16 << 10
	// maxConns is the maximum number of connections to an origin if base has no limit.
	maxConns = 32
	// maxDial is the time limit for making a connection if base and its dialer have no
	// shorter limits.
	maxDial = time.Minute
	// maxAttempts is the maximum number of attempts for a request that the server says it
	// has not processed.
	maxAttempts = 6
	// rememberHTTP1 is the time for which an origin counts as one without HTTP/2.
	rememberHTTP1 = 5 * time.Minute
	// maxOrigins is the number of origins above which those are dropped that have only
	// idle connections, each with its buffers, or are known to have no HTTP/2.
	maxOrigins = 512
)

// Transport is an [http.RoundTripper], created by [New]. It is safe for concurrent use.
type Transport struct {
	base *http.Transport
	off  bool // base does not speak HTTP/2, so it sends everything
	asks bool // base.Proxy is the caller's function: it may block, or use the context

	dial                                               func(ctx context.Context, network, address string) (net.Conn, error)
	tls                                                *tls.Config
	handshakeTimeout, idle, ping, pingTimeout, stalled time.Duration
	maxConns, maxOrigins                               int

	streams   sync.Pool // has *stream
	preambles [16]atomic.Pointer[preamble]

	mu      sync.Mutex
	origins map[string]*pool
	watched map[context.Context]bool // contexts of started requests, until they are done
	latest  context.Context          // context of the last started request
}

// New returns a Transport that sends small requests over HTTP/2, many in one TLS record:
// POST requests over https with a body of at most 16 KiB in memory (GetBody is set).
// All other requests are sent by base, including those through a proxy, with Expect, Trailer,
// or Upgrade, with a trace in their context, or to origins without HTTP/2. Connections
// are made with the current values of base's DialContext, TLSClientConfig,
// TLSHandshakeTimeout, IdleConnTimeout, MaxConnsPerHost, Proxy, and HTTP2; base must no
// longer be changed, but may be used.
//
// A response's body that is not complete when RoundTrip returns occupies a stream of its
// connection until it is read or closed, or until the request's context is done.
func New(base *http.Transport) *Transport {
	t := &Transport{
		base:             base,
		dial:             base.DialContext,
		handshakeTimeout: base.TLSHandshakeTimeout,
		idle:             base.IdleConnTimeout,
		maxConns:         maxConns,
		maxOrigins:       maxOrigins,
		origins:          make(map[string]*pool),
		watched:          make(map[context.Context]bool),
	}
	custom := base.DialContext != nil || base.TLSClientConfig != nil
	switch {
	case base.DialTLSContext != nil:
		t.off = true
	case base.Protocols != nil:
		t.off = !base.Protocols.HTTP2()
	case base.TLSNextProto != nil && base.TLSNextProto["h2"] == nil:
		t.off = true
	default:
		t.off = custom && !base.ForceAttemptHTTP2
	}
	//lint:ignore SA1019 deprecated, but still used
	if base.DisableKeepAlives || base.DialTLS != nil || base.Dial != nil {
		t.off = true
	}
	if base.Proxy != nil {
		t.asks = reflect.ValueOf(base.Proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer()
	}
	if t.dial == nil {
		t.dial = new(net.Dialer).DialContext
	}
	if base.MaxConnsPerHost > 0 {
		t.maxConns = base.MaxConnsPerHost
	}
	if h := base.HTTP2; h != nil {
		t.ping, t.pingTimeout, t.stalled = h.SendPingTimeout, h.PingTimeout, h.WriteByteTimeout
		if h.StrictMaxConcurrentRequests {
			t.maxConns = 1
		}
	}
	if t.pingTimeout <= 0 {
		t.pingTimeout = 15 * time.Second
	}
	if t.tls = base.TLSClientConfig.Clone(); t.tls == nil {
		t.tls = new(tls.Config)
	}
	t.tls.NextProtos = []string{"h2", "http/1.1"}
	t.tls.DynamicRecordSizingDisabled = true // small first records help only pages that are shown while they load
	return t
}

// RoundTrip sends the request and returns the response once its headers have arrived; a
// small body is then usually complete. A request is sent again only if the server says
// that it has not processed it. Errors of the dialer, crypto/tls, and the context are
// returned as by [http.Transport]. An invalid response is an [http2.StreamError], a
// broken connection a [*ConnError], and a request whose headers are too large a
// [*HeaderSizeError].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	st, err := t.open(req.Context(), req)
	if st == nil || err != nil {
		return t.unopened(req, err)
	}
	return t.send(st, 1)
}

// Start is RoundTrip without waiting: done is called with the results that RoundTrip would
// return. The context replaces that of the request. Many requests should share it, and it
// must be comparable, as contexts of package context are. done is called once, never from
// within Start, and usually from the goroutine that reads for all requests of a
// connection. If the response's Body is [http.NoBody] or in memory, done must therefore
// be quick and not wait for another request, and the response and its Header are valid
// only until done returns. If there is an error, or more of the body will arrive, done has
// its own goroutine.
func (t *Transport) Start(ctx context.Context, req *http.Request, done func(*http.Response, error)) {
	if t.asks {
		go func() { done(t.RoundTrip(req.WithContext(ctx))) }()
		return
	}
	st, err := t.open(ctx, req)
	if st == nil || err != nil {
		go func() { done(t.unopened(req.WithContext(ctx), err)) }()
		return
	}
	st.done = done
	if !t.enqueue(st) {
		go func() { done(t.fallBack(st)) }()
	}
}

// open makes a stream of the request and reads its body. It returns nil if base has to
// send the request.
func (t *Transport) open(ctx context.Context, req *http.Request) (*stream, error) {
	st := t.prepare(ctx, req)
	if st != nil && req.Body != nil {
		err := st.readBody(req)
		if closed := req.Body.Close(); err == nil && closed != nil {
			err = closed
		}
		if err != nil {
			return nil, err
		}
	}
	return st, nil
}

// unopened handles a request for which open returned no stream.
func (t *Transport) unopened(req *http.Request, err error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	return t.base.RoundTrip(req)
}

// send sends a stream and waits for the outcome.
func (t *Transport) send(st *stream, attempt int) (*http.Response, error) {
	if err := st.ctx.Err(); err != nil {
		return nil, err
	}
	if !t.enqueue(st) {
		return t.fallBack(st)
	}
	var done bool
	select {
	case done = <-st.wake:
	case <-st.ctx.Done():
		if st.cancel(st.ctx.Err()) {
			return nil, st.ctx.Err()
		}
		done = <-st.wake // the response arrived at the same time
	}
	if done {
		return t.complete(st), nil
	}
	return t.follow(st, attempt)
}

// complete returns the response of a stream that is complete and used only by the caller,
// and releases the stream.
func (t *Transport) complete(st *stream) *http.Response {
	resp := st.response(new(reply))
	t.release(st)
	return resp
}

// completeStarted passes the response of a started stream to its done function, and
// releases the stream. The stream must be complete, and nothing else may refer to it.
func (t *Transport) completeStarted(st *stream) {
	if st.reply == nil {
		st.reply = new(reply)
	}
	done := st.done
	done(st.response(st.reply), nil)
	t.release(st)
}

// follow continues after a signal other than "complete".
func (t *Transport) follow(st *stream, attempt int) (*http.Response, error) {
	resp, again, err := st.outcome()
	switch {
	case errors.Is(err, errHTTP1):
		return t.fallBack(st)
	case again && attempt < maxAttempts:
		if attempt > 1 {
			wait := 100 * time.Millisecond << (attempt - 2)
			timer := time.NewTimer(wait/2 + rand.N(wait))
			select {
			case <-timer.C:
			case <-st.ctx.Done():
				timer.Stop()
			}
		}
		return t.send(st.again(), attempt+1)
	}
	return resp, err
}

// fallBack lets base send the request of a stream whose body has been read.
func (t *Transport) fallBack(st *stream) (*http.Response, error) {
	r := st.req.WithContext(st.ctx)
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		r.Body = body
	}
	resp, err := t.base.RoundTrip(r)
	if resp != nil {
		resp.Request = st.req
	}
	return resp, err
}

// CloseIdleConnections closes the connections without open requests, dials for which no
// request waits, and base's idle connections.
func (t *Transport) CloseIdleConnections() {
	for _, o := range t.all() {
		o.mu.Lock()
		o.retireIdle()
		if o.queued == 0 {
			o.stopDialing()
		}
		o.mu.Unlock()
		t.forget(o)
	}
	t.base.CloseIdleConnections()
}

// enqueue adds the stream to its origin's queue. It reports false if the origin has no
// HTTP/2.
func (t *Transport) enqueue(st *stream) bool {
	for {
		t.mu.Lock()
		o := t.origins[st.host]
		if o == nil {
			if len(t.origins) >= t.maxOrigins {
				t.sweep()
			}
			o = &pool{t: t, host: st.host}
			t.origins[st.host] = o
		}
		if st.done != nil && st.ctx != t.latest {
			t.watch(st.ctx)
		}
		t.mu.Unlock()
		o.mu.Lock()
		switch {
		case o.gone:
			o.mu.Unlock()
			continue
		case !o.http1.IsZero() && time.Now().Before(o.http1):
			o.mu.Unlock()
			return false
		}
		if st.done != nil && st.ctx.Err() != nil { // the watch on the context may have run already
			st.o, st.err = o, st.ctx.Err()
			st.signal()
		} else {
			o.push(st)
			o.dispatch()
		}
		o.mu.Unlock()
		return true
	}
}

// watch ends the requests that are started with the context when it is done. There are
// few contexts, each for many requests. The caller holds t.mu.
func (t *Transport) watch(ctx context.Context) {
	t.latest = ctx
	if t.watched[ctx] || ctx.Done() == nil {
		return
	}
	t.watched[ctx] = true
	context.AfterFunc(ctx, func() {
		t.mu.Lock()
		delete(t.watched, ctx)
		if t.latest == ctx {
			t.latest = nil
		}
		t.mu.Unlock()
		for _, o := range t.all() {
			o.mu.Lock()
			o.cancelStarted(ctx)
			o.mu.Unlock()
		}
	})
}

// all returns the pools of all origins.
func (t *Transport) all() []*pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.AppendSeq(make([]*pool, 0, len(t.origins)), maps.Values(t.origins))
}

// forget drops an origin about which there is nothing to remember.
func (t *Transport) forget(o *pool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.live) == 0 && o.dialing == 0 && o.queued == 0 && o.http1.IsZero() && !o.gone && !o.waits() {
		o.gone = true
		delete(t.origins, o.host)
	}
}

// sweep drops unused origins. The caller holds t.mu.
func (t *Transport) sweep() {
	for host, o := range t.origins {
		o.mu.Lock()
		o.retireIdle()
		if len(o.live) == 0 && o.dialing == 0 && o.queued == 0 {
			o.gone = true
			delete(t.origins, host)
		}
		o.mu.Unlock()
	}
}

// prepare makes a stream of the request, or returns nil if base has to send it. It does
// not read the body.
func (t *Transport) prepare(ctx context.Context, req *http.Request) *stream {
	if t.off || !supported(req) || t.proxied(req) || httptrace.ContextClientTrace(ctx) != nil {
		return nil
	}
	p := t.preamble(req)
	if p == nil {
		return nil
	}
	path := requestPath(req.URL, p.authority)
	if path == "" {
		return nil
	}
	st := t.newStream(ctx, req, p.host)
	st.fields, st.size = append(st.fields, p.fields...), p.size+uint32(len(path))
	st.fields[pathAt].Value = path
	length := int(req.ContentLength)
	if length != st.length || st.lengthText == "" {
		st.length, st.lengthText = length, strconv.Itoa(length)
	}
	st.add("content-length", st.lengthText, true) // varies, and is short
	return st
}

// supported reports whether a request is a POST over https whose body is small and in
// memory, and uses no feature that only net/http has.
func supported(req *http.Request) bool {
	if u := req.URL; u == nil || u.Scheme != "https" || req.Method != http.MethodPost || req.Header == nil ||
		len(req.Trailer) > 0 || len(req.TransferEncoding) > 0 || req.Close {
		return false
	}
	//lint:ignore SA1019 deprecated, but still used
	if req.Cancel != nil {
		return false
	}
	if req.Body == nil || req.Body == http.NoBody {
		return req.ContentLength == 0
	}
	return req.ContentLength > 0 && req.ContentLength <= maxBody && req.GetBody != nil
}

// proxied reports whether a proxy sends the request, or it is not known.
func (t *Transport) proxied(req *http.Request) bool {
	if t.base.Proxy == nil {
		return false
	}
	proxy, err := t.base.Proxy(req)
	return proxy != nil || err != nil
}

// requestPath returns the pseudo-header :path, or "" if net/http would change or reject
// it.
func requestPath(u *url.URL, authority string) string {
	if u.Opaque == "" && u.RawPath == "" && u.RawQuery == "" && !u.ForceQuery && isPlainPath(u.Path) {
		return u.Path
	}
	path := u.RequestURI()
	if !strings.HasPrefix(path, "/") { // an opaque URL includes scheme and host
		path = strings.TrimPrefix(path, "https://"+authority)
	}
	if !strings.HasPrefix(path, "/") || !httpguts.ValidHeaderFieldValue(path) {
		return ""
	}
	return path
}

// isPlainPath reports whether [url.URL.RequestURI] certainly returns a path unchanged.
func isPlainPath(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for i := range len(path) {
		if c := path[i]; (c < 'a' || c > 'z') && (c < '-' || c > ':') && (c < 'A' || c > 'Z') && c != '_' {
			return false
		}
	}
	return true
}

// readBody reads the body, whose length must equal the request's ContentLength.
func (st *stream) readBody(req *http.Request) error {
	want := int(req.ContentLength)
	st.body = slices.Grow(st.body[:0], want+1)[:want+1]
	n := 0
	for n <= want {
		m, err := req.Body.Read(st.body[n:])
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if n != want {
		return fmt.Errorf("http: ContentLength=%d with Body length %d", want, n)
	}
	st.body = st.body[:n]
	return nil
}

// add appends a header.
func (st *stream) add(name, value string, secret bool) {
	st.fields = append(st.fields, hpack.HeaderField{Name: name, Value: value, Sensitive: secret})
	st.size += uint32(len(name) + len(value) + 32)
}
