// Package pipeline sends many small requests over HTTP/2 at a fraction of the
// time that [http.Transport] takes for each: one goroutine writes for a
// connection and puts all that waits into one write, one reads, and no
// goroutine needs to wait for an answer. What it is not made for goes to an
// [http.Transport].
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
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

const (
	// maxBody is the longest body of a request that is sent here, in bytes. It
	// fits in one frame of the smallest size that a server may ask for.
	maxBody = 16 << 10
	// maxConns is how many connections an origin gets, if base has no limit.
	maxConns = 32
	// maxDial is how long it may take to make a connection, if base and its dialer
	// have no shorter limits.
	maxDial = time.Minute
	// maxAttempts is how often a request is sent that the server says it has
	// not looked at.
	maxAttempts = 6
	// rememberHTTP1 is for how long an origin counts as one without HTTP/2.
	rememberHTTP1 = 5 * time.Minute
	// maxOrigins is how many origins are kept before those are dropped that have
	// only idle connections, each with its buffers, or remember that they lack HTTP/2.
	maxOrigins = 512
)

// Transport is an [http.RoundTripper]; [New] makes it. It is safe for
// concurrent use.
type Transport struct {
	base *http.Transport
	off  bool // base does not speak HTTP/2, so everything is its
	asks bool // base.Proxy is the caller's own: it may wait, or look at the context

	dial                                               func(ctx context.Context, network, address string) (net.Conn, error)
	tls                                                *tls.Config
	handshakeTimeout, idle, ping, pingTimeout, stalled time.Duration
	maxConns, maxOrigins                               int

	streams sync.Pool // of *stream

	mu      sync.Mutex
	origins map[string]*pool
	watched map[context.Context]bool // of requests that were started, until they end
	latest  context.Context          // of the last that was
}

// New makes a Transport that sends small requests over HTTP/2, many in one TLS
// record; what it cannot do goes to base by itself. That is all but a POST over
// https with a body of at most 16 KiB that lies in memory (GetBody is set):
// also requests through a proxy, with Expect, Trailer or Upgrade or a trace in
// their context, and those to origins that have no HTTP/2. Connections are made
// with base's DialContext, TLSClientConfig, TLSHandshakeTimeout,
// IdleConnTimeout, MaxConnsPerHost, Proxy and HTTP2 as they are now; base must
// not be changed any more, but may be used.
//
// A response's body that is not complete when RoundTrip returns holds one of
// the streams of its connection until it is read or closed, or until the
// request's context ends.
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
	//lint:ignore SA1019 they are old, and they count
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
	t.tls.DynamicRecordSizingDisabled = true // small first records are for pages that are shown while they load
	return t
}

// RoundTrip sends the request and returns the answer when its headers are
// there; a small body is then mostly complete. A request is sent again only
// when the server says that it has not looked at it. Errors are those of the
// dialer, of crypto/tls and of the context, as from [http.Transport]; an
// answer that is none is an [http2.StreamError], a connection that broke a
// [*ConnError], and a request that cannot be sent a [*HeaderSizeError].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	st, err := t.open(req.Context(), req)
	if st == nil || err != nil {
		return t.unopened(req, err)
	}
	return t.send(st, 1)
}

// Start is RoundTrip without the wait, with a context in place of the
// request's, which is one for many requests and comparable, as those of package
// context are: done gets what RoundTrip would return. It is called once, never
// from within Start, and mostly from the goroutine that reads for all requests
// of a connection: so when the response's Body is [http.NoBody] or lies in
// memory it must be quick, and not wait for another request. When an error is
// returned, or more of the body is to come, it has a goroutine of its own.
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

// open makes a stream of the request and reads its body; it returns nil when
// the request is one for base.
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

// unopened ends what open made no stream of.
func (t *Transport) unopened(req *http.Request, err error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	return t.base.RoundTrip(req)
}

// send sends a stream and waits for what comes of it.
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
		done = <-st.wake // the answer came at the same moment
	}
	if done {
		return t.complete(st), nil
	}
	return t.follow(st, attempt)
}

// complete returns the response of a stream that is complete and the caller's
// alone, and gives the stream back.
func (t *Transport) complete(st *stream) *http.Response {
	resp := st.response()
	t.release(st)
	return resp
}

// follow goes on after a signal other than "complete".
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

// fallBack lets base send the request of a stream, whose body was read here.
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

// CloseIdleConnections closes the connections on which no request waits, those
// that are being made and nobody waits for, and base's.
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

// enqueue gives the stream to its origin, and reports false when that has no
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
		if st.done != nil && st.ctx.Err() != nil { // what watches the context may be through
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

// watch sees to it that the requests that are started with the context end with
// it. There are few contexts, each for many requests. Holds t.mu.
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

// all returns the origins.
func (t *Transport) all() []*pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.AppendSeq(make([]*pool, 0, len(t.origins)), maps.Values(t.origins))
}

// forget drops an origin of which there is nothing to remember.
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

// sweep drops the origins that nobody uses. Holds t.mu.
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

// prepare makes a stream of the request, or returns nil when it is one for
// base. It does not touch the body.
func (t *Transport) prepare(ctx context.Context, req *http.Request) *stream {
	u := req.URL
	if t.off || u == nil || u.Scheme != "https" || req.Method != http.MethodPost || req.Header == nil ||
		len(req.Trailer) > 0 || len(req.TransferEncoding) > 0 || req.Close {
		return nil
	}
	//lint:ignore SA1019 it is old, and it counts
	if req.Cancel != nil {
		return nil
	}
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		if req.ContentLength != 0 {
			return nil
		}
	case req.ContentLength <= 0 || req.ContentLength > maxBody || req.GetBody == nil:
		return nil
	}
	if t.base.Proxy != nil {
		if proxy, err := t.base.Proxy(req); proxy != nil || err != nil {
			return nil
		}
	}
	if httptrace.ContextClientTrace(ctx) != nil {
		return nil
	}
	host, authority := plainHost(u.Host), req.Host
	if authority == "" {
		authority = u.Host
	}
	if authority = plainAuthority(authority); host == "" || authority == "" {
		return nil
	}
	path := u.RequestURI()
	if !strings.HasPrefix(path, "/") { // an opaque URL has it all
		if path = strings.TrimPrefix(path, "https://"+authority); !strings.HasPrefix(path, "/") {
			return nil
		}
	}
	if !httpguts.ValidHeaderFieldValue(path) {
		return nil
	}

	st := t.newStream(ctx, req, host)
	st.add(":method", http.MethodPost, false)
	st.add(":scheme", "https", false)
	st.add(":authority", authority, false)
	st.add(":path", path, true)
	agent := false
	for name, values := range req.Header {
		n, ok := names[name]
		if !ok {
			if !httpguts.ValidHeaderFieldName(name) {
				t.drop(st)
				return nil
			}
			n.lower = strings.ToLower(name)
			if canonical := http.CanonicalHeaderKey(name); canonical != name {
				if special := names[canonical]; special.use == useNone || special.use == useBase || special.use == useAgent {
					t.drop(st)
					return nil
				}
			}
		}
		switch n.use {
		case useBase:
			t.drop(st)
			return nil
		case useNone:
			continue
		case useAgent:
			agent = true
			if len(values) == 0 || values[0] == "" {
				continue
			}
			values = values[:1]
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				t.drop(st)
				return nil
			}
			st.add(n.lower, v, n.use == useSecret)
		}
	}
	if !agent {
		st.add("user-agent", "Go-http-client/2.0", false)
	}
	length := int(req.ContentLength)
	if length != st.length || st.lengthText == "" {
		st.length, st.lengthText = length, strconv.Itoa(length)
	}
	st.add("content-length", st.lengthText, true) // it varies, and is short
	return st
}

// How a header field of a request is sent.
const (
	usePlain  = iota // as it is; what comes twice is indexed
	useSecret        // never indexed
	useAgent         // net/http's name, unless there is another
	useNone          // left out
	useBase          // by base
)

// names are the header fields that are common, or special.
var names = map[string]struct {
	lower string
	use   int
}{
	"Accept":              {lower: "accept"},
	"Authorization":       {lower: "authorization"},
	"Content-Encoding":    {lower: "content-encoding"},
	"Content-Length":      {use: useNone},
	"Content-Type":        {lower: "content-type"},
	"Cookie":              {lower: "cookie", use: useSecret},
	"Connection":          {use: useBase},
	"Crypto-Key":          {lower: "crypto-key"},
	"Encryption":          {lower: "encryption", use: useSecret},
	"Expect":              {use: useBase},
	"Host":                {use: useNone},
	"Keep-Alive":          {use: useBase},
	"Proxy-Authorization": {lower: "proxy-authorization", use: useSecret},
	"Proxy-Connection":    {use: useBase},
	"Te":                  {use: useBase},
	"Topic":               {lower: "topic"},
	"Trailer":             {use: useBase},
	"Transfer-Encoding":   {use: useBase},
	"Ttl":                 {lower: "ttl"},
	"Upgrade":             {use: useBase},
	"Urgency":             {lower: "urgency"},
	"User-Agent":          {lower: "user-agent", use: useAgent},
}

// plainHost returns the host and port of a URL in the form that tells origins
// apart, or "" when it is none that is simply ASCII.
func plainHost(host string) string {
	if host = plainAuthority(host); host == "" || host[0] == ':' || host[len(host)-1] == ':' {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(host), ":443")
}

// plainAuthority returns the host, or "" when net/http would have to change
// it.
func plainAuthority(host string) string {
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '@' || c == '/' {
			return ""
		}
	}
	if !httpguts.ValidHostHeader(host) {
		return ""
	}
	return host
}

// readBody reads the body, which must be as long as the request says.
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

// add appends a header field.
func (st *stream) add(name, value string, secret bool) {
	st.fields = append(st.fields, hpack.HeaderField{Name: name, Value: value, Sensitive: secret})
	st.size += uint32(len(name) + len(value) + 32)
}
