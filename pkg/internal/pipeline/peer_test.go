package pipeline

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// identity is a certificate for example.com and 127.0.0.1, and who trusts it. That of
// httptest has an RSA key, whose signatures took a third of the time of these tests.
var identity = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(100, 0, 0), // in bubbles it is 2000
		DNSNames: []string{"example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if cert.Leaf, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return cert, pool
})

// peer is the server's end of a connection, which does what a test says.
type peer struct {
	*http2.Framer
	t    *testing.T
	n    int // of the connection, from 0
	conn *tls.Conn
	dec  *hpack.Decoder
	enc  *hpack.Encoder
	buf  bytes.Buffer

	got    map[uint32]*received
	header http.Header // of the block that is read
	resets map[uint32]http2.ErrCode
	acks   int // of SETTINGS
	goAway *http2.GoAwayFrame
}

// received is a request.
type received struct {
	id     uint32
	header http.Header
	body   []byte
	ended  bool
}

// script runs a test in a bubble of its own, against servers that do what
// serve says with each connection; whatever goroutine is left when the client
// is through and its connections are closed fails the test.
func script(t *testing.T, base *http.Transport, serve func(p *peer), client func(t *testing.T, tr *Transport)) {
	t.Helper()
	cert, pool := identity()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		var peers sync.WaitGroup
		if base == nil {
			base = new(http.Transport)
		}
		base.ForceAttemptHTTP2 = true
		base.TLSClientConfig = &tls.Config{RootCAs: pool}
		if base.DialContext == nil {
			base.DialContext = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				p := &peer{t: t, n: int(n.Add(1)) - 1, got: make(map[uint32]*received), resets: make(map[uint32]http2.ErrCode)}
				peers.Go(func() {
					defer theirs.Close()
					p.conn = tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
					if p.conn.Handshake() != nil {
						return
					}
					preface := make([]byte, len(http2.ClientPreface))
					if _, err := io.ReadFull(p.conn, preface); err == io.EOF && unneeded.Load() {
						return
					} else if err != nil || string(preface) != http2.ClientPreface {
						t.Errorf("preface %q, %v", preface, err)
						return
					}
					p.Framer = http2.NewFramer(p.conn, p.conn)
					p.AllowIllegalWrites = true
					p.dec = hpack.NewDecoder(4096, func(f hpack.HeaderField) { p.header.Add(f.Name, f.Value) })
					p.enc = hpack.NewEncoder(&p.buf)
					serve(p)
				})
				return ours, nil
			}
		}
		tr := New(base)
		client(t, tr)
		tr.CloseIdleConnections()
		peers.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if len(tr.origins) > 0 {
			t.Errorf("%d origins are left", len(tr.origins))
		}
	})
}

// unneeded tells that a connection may end right after its handshake, since
// nobody waits for it any more.
var unneeded atomic.Bool

// start makes do send with Start.
var start atomic.Bool

// TestStart runs the tests in which requests are sent once more, with Start.
func TestStart(t *testing.T) {
	start.Store(true)
	defer start.Store(false)
	for name, test := range map[string]func(*testing.T){
		"Request":                   TestRequest,
		"MaxConcurrentStreams":      TestMaxConcurrentStreams,
		"FlowControl":               TestFlowControl,
		"HeaderTableSize":           TestHeaderTableSize,
		"ManyTableSizes":            TestManyTableSizes,
		"TableSizesWhenIdle":        TestTableSizesWhenIdle,
		"LongRequestHeader":         TestLongRequestHeader,
		"GoAway":                    TestGoAway,
		"Reset":                     TestReset,
		"Ping":                      TestPing,
		"Idle":                      TestIdle,
		"StreamIDsRunOut":           TestStreamIDsRunOut,
		"Answers":                   TestAnswers,
		"Malformed":                 TestMalformed,
		"ConnectionFaults":          TestConnectionFaults,
		"HugeHeader":                TestHugeHeader,
		"LongNames":                 TestLongNames,
		"EndlessBody":               TestEndlessBody,
		"Cancel":                    TestCancel,
		"ConnectionEnds":            TestConnectionEnds,
		"UselessConnections":        TestUselessConnections,
		"DialErrors":                TestDialErrors,
		"Chaos":                     TestChaos,
		"Unusual":                   TestUnusual,
		"HTTP1Origin":               TestHTTP1Origin,
		"OriginLearntHTTP2":         TestOriginLearntHTTP2,
		"OriginsAreBounded":         TestOriginsAreBounded,
		"IdleConnectionsAreBounded": TestIdleConnectionsAreBounded,
		"BodyOfAnotherLength":       TestBodyOfAnotherLength,
		"NetHTTPServer":             TestNetHTTPServer,
	} {
		t.Run(name, test)
	}
}

// do sends a request and waits for the answer.
func do(tr *Transport, req *http.Request) (*http.Response, error) {
	if !start.Load() {
		return tr.RoundTrip(req)
	}
	type outcome struct {
		resp *http.Response
		err  error
	}
	c := make(chan outcome, 1)
	var calls atomic.Int32
	tr.Start(req.Context(), req, func(resp *http.Response, err error) {
		if calls.Add(1) > 1 {
			panic("done was called twice")
		}
		if resp != nil && !isLater(resp.Body) { // valid only until done returns
			copied := *resp
			copied.Header = resp.Header.Clone()
			resp = &copied
		}
		c <- outcome{resp, err}
	})
	o := <-c
	return o.resp, o.err
}

// isLater reports whether more of a body may arrive.
func isLater(b io.ReadCloser) bool {
	_, later := b.(*body)
	return later
}

// read reads a frame and takes note of it; it returns nil at the end.
func (p *peer) read() http2.Frame {
	f, err := p.ReadFrame()
	if err != nil {
		return nil
	}
	switch f := f.(type) {
	case *http2.HeadersFrame:
		p.header = make(http.Header)
		p.got[f.StreamID] = &received{id: f.StreamID, header: p.header, ended: f.StreamEnded()}
		p.decode(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.ContinuationFrame:
		p.decode(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.DataFrame:
		r := p.got[f.StreamID]
		if r == nil {
			p.t.Errorf("DATA without HEADERS on stream %d", f.StreamID)
			return nil
		}
		r.body = append(r.body, f.Data()...)
		r.ended = f.StreamEnded()
	case *http2.RSTStreamFrame:
		if p.got[f.StreamID] == nil {
			p.t.Errorf("RST_STREAM without HEADERS on stream %d", f.StreamID)
		}
		p.resets[f.StreamID] = f.ErrCode
	case *http2.SettingsFrame:
		if f.IsAck() {
			p.acks++
		} else {
			p.WriteSettingsAck()
		}
	case *http2.GoAwayFrame:
		p.goAway = f
	}
	return f
}

func (p *peer) decode(block []byte, last bool) {
	if _, err := p.dec.Write(block); err != nil {
		p.t.Errorf("header block: %v", err)
	}
	if last {
		if err := p.dec.Close(); err != nil {
			p.t.Errorf("header block: %v", err)
		}
	}
}

// until reads frames until the condition holds, and reports false when the
// connection ended before.
func (p *peer) until(cond func() bool) bool {
	for !cond() {
		if p.read() == nil {
			return false
		}
	}
	return true
}

// request reads the next request that is complete; nil is the end.
func (p *peer) request() *received {
	var found *received
	p.until(func() bool {
		for _, r := range p.got {
			if r.ended && (found == nil || r.id < found.id) {
				found = r
			}
		}
		return found != nil
	})
	if found != nil {
		delete(p.got, found.id)
		p.got[found.id] = &received{id: found.id} // still known
	}
	return found
}

// rest reads until the end.
func (p *peer) rest() { p.until(func() bool { return false }) }

// fields writes a header block: names and values in turn.
func (p *peer) fields(id uint32, end bool, fields ...string) {
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block(fields...), EndStream: end, EndHeaders: true})
}

func (p *peer) block(fields ...string) []byte {
	p.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return slices.Clone(p.buf.Bytes())
}

// created answers a request.
func (p *peer) created(r *received) { p.fields(r.id, true, ":status", "201") }

// serveAll answers every request.
func (p *peer) serveAll() {
	for r := p.request(); r != nil; r = p.request() {
		p.created(r)
	}
}

// answered is what came of a request.
type answered struct {
	status  int
	body    string
	header  http.Header
	trailer http.Header
	err     error // of RoundTrip
	bodyErr error
}

// post sends a request with a body of size bytes.
func post(ctx context.Context, tr *Transport, n, size int) answered {
	resp, err := do(tr, newRequest(ctx, "https://example.com", n, make([]byte, size)))
	if err != nil {
		return answered{err: err}
	}
	a := answered{status: resp.StatusCode, header: resp.Header}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	a.body, a.bodyErr, a.trailer = string(b), err, resp.Trailer
	return a
}

func (a answered) String() string {
	return fmt.Sprintf("%d %q err %v, body's %v", a.status, a.body, a.err, a.bodyErr)
}

// within is a context that ends.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
