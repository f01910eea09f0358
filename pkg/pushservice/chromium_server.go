package pushservice

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The hosts that Chromium itself connects to: for check-in and registration, and
// for MCS.
const (
	checkinHost = "android.clients.google.com"
	mcsHost     = "mtalk.google.com"
	mcsPort     = "5228"
)

// googleHosts are the only hosts that the listener for Chromium's channel has a
// certificate for and lets clients CONNECT to.
var googleHosts = append([]string{checkinHost, mcsHost}, chromiumHosts...)

// ChromiumOptions configures the listener for Chromium's channel.
type ChromiumOptions struct {
	// Addr is the host:port to listen on; empty means 127.0.0.1:0.
	Addr string
	// AuthorityPEM is the certificate authority of an earlier listener, as
	// returned by [ChromiumServer.AuthorityPEM]; empty means a new one. If it
	// cannot be used, the error is an [*AuthorityError].
	AuthorityPEM []byte
	// AuthorityFile is as in [ServerOptions].
	AuthorityFile string
}

// ChromiumServer is the listener for Chromium's channel: a port on which a push
// service stands in for the four hosts of Google that Chromium and its application
// servers connect to. Clients are made to connect to this port instead.
//
// Over TLS, it accepts HTTP requests to the hosts of the endpoints, check-in,
// registration, and MCS, which it recognizes by the first byte (the version). Over
// plain HTTP, it accepts only CONNECT to these hosts: the port is also a proxy for
// HTTPS. Everything else is refused.
//
// Its certificate has the names of these hosts and is signed by a certificate
// authority that is constrained to them. Make only individual processes in tests
// trust this authority, never a system: the owner of its key can impersonate these
// hosts to everyone who trusts it.
type ChromiumServer struct {
	// Addr is the host:port that it listens on.
	Addr string
	// PublicKeyHash is the SHA-256 hash of its certificate's public key
	// (SubjectPublicKeyInfo) in standard base64: a value of Chromium's switch
	// --ignore-certificate-errors-spki-list.
	PublicKeyHash string

	service  *Service
	listener net.Listener
	signer   *authority
	save     func() error // writes a new authority to its files
	tls      *tls.Config
	http     *http.Server
	requests chan net.Conn // connections for http
	room     chan struct{} // one token per connection that is not yet served
	ctx      context.Context
	cancel   context.CancelFunc
	all      sync.WaitGroup

	mu     sync.Mutex
	closed bool // true when goroutines must not be added to all
}

// maxOpening is the maximum number of connections to the listener for Chromium's
// channel whose TLS handshake is unfinished or whose protocol is unknown. More are
// closed.
const maxOpening = 1000

// startChromium listens for Chromium. It serves requests after run is called.
func startChromium(s *Service, o ChromiumOptions, anyPort bool) (*ChromiumServer, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	names := func() *x509.Certificate { return &x509.Certificate{DNSNames: googleHosts} }
	var certificate tls.Certificate
	signer, save, err := loadAuthority(o.AuthorityPEM, o.AuthorityFile, chromiumAuthorityName, names())
	// Browsers identify the listener by its key, so the key stays the same.
	if err == nil && signer.server == nil {
		signer.server, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err == nil {
		certificate, err = signer.sign(names(), checkinHost)
		err = inFiles(o.AuthorityFile, err)
	}
	if err != nil {
		return nil, certificateProblem(err, true)
	}
	l, err := listen(o.Addr, anyPort, s.sockets.max+maxOther)
	if err != nil {
		return nil, &ListenError{Err: err, Chromium: true}
	}
	hash := sha256.Sum256(certificate.Leaf.RawSubjectPublicKeyInfo)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	c := &ChromiumServer{
		Addr:          net.JoinHostPort(reachable(o.Addr), port),
		PublicKeyHash: base64.StdEncoding.EncodeToString(hash[:]),
		service:       s,
		listener:      l,
		signer:        signer,
		save:          save,
		tls: &tls.Config{
			Certificates: []tls.Certificate{certificate},
			MinVersion:   tls.VersionTLS12,
			NextProtos:   []string{"h2", "http/1.1"},
		},
		requests: make(chan net.Conn),
		room:     make(chan struct{}, maxOpening),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.http = &http.Server{
		Handler:           c,
		TLSConfig:         c.tls,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return c.ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			_, plain := conn.(*plainConn)
			return context.WithValue(ctx, plainKey{}, plain)
		},
	}
	return c, nil
}

// CA returns the certificate of the listener's own authority in PEM.
func (c *ChromiumServer) CA() []byte { return c.signer.certificatePEM() }

// AuthorityPEM returns the private key of the listener's own authority in PEM,
// and after it its certificate and the listener's private key. Keep it secret.
func (c *ChromiumServer) AuthorityPEM() []byte { return c.signer.encode() }

// run serves until close.
func (c *ChromiumServer) run() {
	c.all.Go(func() { _ = c.http.Serve(handed{c}) })
	c.all.Go(func() {
		for {
			conn, err := c.listener.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil: // such as too many open files
				select {
				case <-time.After(100 * time.Millisecond):
				case <-c.ctx.Done():
					return
				}
			default:
				c.open(conn, true)
			}
		}
	})
}

// close closes all connections except for MCS, which [Service.Close] closes.
func (c *ChromiumServer) close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	_ = c.listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := c.http.Shutdown(ctx)
	if err != nil {
		_ = c.http.Close()
	}
	c.all.Wait()
	return err
}

// open detects the protocol of a connection, in a goroutine, and serves it.
func (c *ChromiumServer) open(conn net.Conn, proxy bool) {
	select {
	case c.room <- struct{}{}:
	default:
		_ = conn.Close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return
	}
	c.all.Go(func() {
		defer func() { <-c.room }()
		unblock := context.AfterFunc(c.ctx, func() { _ = conn.Close() })
		serve, err := c.recognize(conn, proxy)
		if !unblock() || err != nil {
			_ = conn.Close()
			return
		}
		_ = conn.SetDeadline(time.Time{})
		// In another goroutine, because the TLS handshake has enlarged the stack of
		// this one.
		c.all.Go(serve)
	})
}

// tlsHandshake is the first byte of a TLS connection.
const tlsHandshake = 22

// isMethod reports whether an HTTP method can begin with b.
func isMethod(b byte) bool { return 'A' <= b && b <= 'Z' }

// recognize reads the beginning of a connection and returns a function that serves
// it.
func (c *ChromiumServer) recognize(conn net.Conn, proxy bool) (serve func(), err error) {
	_ = conn.SetDeadline(time.Now().Add(headerTimeout))
	conn, first, err := peek(conn)
	if err != nil {
		return nil, err
	}
	if first != tlsHandshake {
		if proxy && isMethod(first) {
			return func() { c.hand(&plainConn{conn}) }, nil
		}
		return nil, errors.New("neither TLS nor HTTP")
	}
	secure := tls.Server(conn, c.tls)
	if err := secure.HandshakeContext(c.ctx); err != nil {
		return nil, err
	}
	if secure.ConnectionState().NegotiatedProtocol != "" {
		return func() { c.hand(secure) }, nil
	}
	conn, first, err = peek(secure)
	if err != nil {
		return nil, err
	}
	if isMethod(first) {
		return func() { c.hand(conn) }, nil
	}
	return func() {
		// ServeMCS logs the error.
		_ = c.service.ServeMCS(conn)
	}, nil
}

// hand passes a connection to the HTTP server.
func (c *ChromiumServer) hand(conn net.Conn) {
	select {
	case c.requests <- conn:
	case <-c.ctx.Done():
		_ = conn.Close()
	}
}

// peek reads one byte; reading the returned connection returns that byte again.
func peek(conn net.Conn) (net.Conn, byte, error) {
	b := make([]byte, 1)
	if _, err := io.ReadFull(conn, b); err != nil {
		return nil, 0, err
	}
	return &prefixed{conn, b}, b[0], nil
}

// prefixed is a connection whose first bytes have already been read.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.prefix)
	p.prefix = p.prefix[n:]
	return n, nil
}

// plainConn marks a connection without TLS.
type plainConn struct{ net.Conn }

type plainKey struct{}

// handed is the net.Listener of the connections that speak HTTP.
type handed struct{ c *ChromiumServer }

func (h handed) Accept() (net.Conn, error) {
	select {
	case conn := <-h.c.requests:
		return conn, nil
	case <-h.c.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (h handed) Close() error   { return nil }
func (h handed) Addr() net.Addr { return h.c.listener.Addr() }

// ServeHTTP handles the HTTP requests to this listener.
func (c *ChromiumServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if plain, _ := r.Context().Value(plainKey{}).(bool); plain {
		c.connect(w, r)
		return
	}
	c.service.ServeChromium(w, r)
}

// connect is the proxy for HTTPS to the hosts of Google that this listener stands in
// for.
func (c *ChromiumServer) connect(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	host = strings.ToLower(host)
	switch {
	case r.Method != http.MethodConnect:
		writeError(w, refuse(http.StatusMisdirectedRequest, noErrno, "Not an HTTPS request", "this port accepts HTTPS, MCS, and CONNECT to %s", strings.Join(googleHosts, ", ")))
		return
	case err != nil || !slices.Contains(googleHosts, host) || port != "443" && (host != mcsHost || port != mcsPort):
		c.service.logger.Warn("CONNECT refused", "host", clip(r.Host))
		writeError(w, refuse(http.StatusForbidden, noErrno, "Host not allowed", "%q is not a host that this proxy stands in for; expected port 443 of %s", clip(r.Host), strings.Join(googleHosts, ", ")))
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		writeError(w, refuse(http.StatusHTTPVersionNotSupported, noErrno, "Not HTTP/1.1", "%v", err))
		return
	}
	early := make([]byte, rw.Reader.Buffered())
	_, err = io.ReadFull(rw.Reader, early)
	if err == nil {
		_, err = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	}
	if err != nil {
		_ = conn.Close()
		return
	}
	c.open(&prefixed{conn, early}, false)
}
