package pushservice

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/certificate"
)

// Server is a listening [Service].
type Server struct {
	// URL is scheme://host:port, without a slash at the end.
	URL string
	// Service handles the requests.
	Service *Service
	// Chromium is the listener for Chromium's channel, or nil.
	Chromium *ChromiumServer

	http   *http.Server
	client *http.Client
	signer *authority   // or nil
	save   func() error // writes a new authority to its files
	leaf   []byte       // the certificate in DER, or nil
	cancel context.CancelFunc
	served chan struct{}
	once   sync.Once
	err    error
}

const (
	headerTimeout   = 10 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second
	maxHeader       = 64 << 10 // bytes
)

// Start creates a service and serves it until [Server.Close]. The error reports an
// invalid option ([*OptionError]), or that listening ([*ListenError]), the certificate
// authority ([*AuthorityError]), or the storage failed.
func Start(o ServerOptions) (_ *Server, err error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	host := reachable(o.Addr)
	s := &Server{served: make(chan struct{}), save: func() error { return nil }}
	var certificate tls.Certificate
	if err = o.Check(); err == nil && o.TLS {
		certificate, err = s.certificate(o, host)
	}
	if err != nil {
		if o.Storage != nil {
			err = errors.Join(err, o.Storage.Close())
		}
		return nil, err
	}
	o.Options.Hosts = append(slices.Clone(o.Options.Hosts), host)
	if s.Service, err = o.open(); err != nil {
		return nil, err
	}
	for _, f := range o.Faults {
		if err := s.Service.AddFault(f); err != nil {
			return nil, errors.Join(err, s.Service.Close())
		}
	}
	l, err := s.listen(o)
	if err != nil {
		return nil, errors.Join(err, s.Service.Close())
	}
	s.serve(l, host, o, certificate)
	if err := s.saveAuthorities(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open creates the service, which closes the storage, even if open fails.
func (o ServerOptions) open() (*Service, error) {
	if o.Storage == nil {
		return New(o.Options), nil
	}
	return Open(o.Storage, o.Options)
}

// listen listens on all addresses.
func (s *Server) listen(o ServerOptions) (net.Listener, error) {
	l, err := listen(o.Addr, o.AnyPort, s.Service.sockets.max+maxOther)
	if err != nil {
		return nil, &ListenError{Err: err}
	}
	if o.Chromium != nil {
		if s.Chromium, err = startChromium(s.Service, *o.Chromium, o.AnyPort); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		s.Service.chromium = s.Chromium
	}
	return l, nil
}

// serve serves on all listeners until Close.
func (s *Server) serve(l net.Listener, host string, o ServerOptions, certificate tls.Certificate) {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s.URL = "http://" + net.JoinHostPort(host, port)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http = &http.Server{
		Handler:           s.Service,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// Clients that do not trust the certificate see that themselves.
		ErrorLog: log.New(io.Discard, "", 0),
		// Close cancels it, which makes long polls return.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, IdleConnTimeout: idleTimeout}
	s.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	serve := s.http.Serve
	if o.TLS {
		s.URL, s.leaf = "https://"+net.JoinHostPort(host, port), certificate.Certificate[0]
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(s.CA())
		pool.AppendCertsFromPEM(o.CertificatePEM)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	go func() {
		defer close(s.served)
		// The error reports that Close was called, or that the listener failed, which
		// clients notice.
		_ = serve(l)
	}()
	if s.Chromium != nil {
		s.Chromium.run()
	}
}

// saveAuthorities writes new authorities to their files.
func (s *Server) saveAuthorities() error {
	if err := s.save(); err != nil || s.Chromium == nil {
		return err
	}
	return certificateProblem(s.Chromium.save(), true)
}

// maxOther is the maximum number of connections to one port in addition to
// connected user agents.
const maxOther = 1000

// limited is a listener that immediately closes connections above a maximum.
type limited struct {
	net.Listener
	room chan struct{} // one token per connection
}

// listen listens on an address with a maximum of connections, or, if anyPort is true
// and that is impossible, on a free port of the same host.
func listen(addr string, anyPort bool, most int) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil && anyPort {
		host, _, _ := net.SplitHostPort(addr)
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, err
	}
	return &limited{l, make(chan struct{}, most)}, nil
}

// Accept returns the next connection within the maximum.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.room <- struct{}{}:
			return &counted{Conn: conn, l: l}, nil
		default:
			_ = conn.Close()
		}
	}
}

// counted is a connection of a limited listener.
type counted struct {
	net.Conn
	l    *limited
	left atomic.Bool
}

// Close closes the connection and makes room for another.
func (c *counted) Close() error {
	if !c.left.Swap(true) {
		<-c.l.room
	}
	return c.Conn.Close()
}

// reachable returns the host that this machine uses to reach a listener on addr.
func reachable(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return "localhost"
	}
	return host
}

// certificate returns the certificate in the options, or makes one.
func (s *Server) certificate(o ServerOptions, host string) (c tls.Certificate, err error) {
	if len(o.CertificatePEM) > 0 {
		return certificate.Parse(o.CertificatePEM, o.KeyPEM)
	}
	s.signer, s.save, err = loadAuthority(o.AuthorityPEM, o.AuthorityFile, authorityName, namesOf(host))
	if err == nil {
		if c, err = s.signer.sign(namesOf(host), host); err != nil {
			err = inFiles(o.AuthorityFile, err)
		}
	}
	return c, certificateProblem(err, false)
}

func certificateProblem(err error, chromium bool) error {
	var unusable *AuthorityError
	switch {
	case errors.As(err, &unusable):
		unusable.Chromium = chromium
	case err != nil:
		err = fmt.Errorf("making a certificate: %w", err)
	}
	return err
}

// ListenError reports that an address cannot be listened on.
type ListenError struct {
	Err error // error of the operating system
	// Chromium reports that it is the address in [ChromiumOptions].
	Chromium bool
}

// Error names the address and the problem.
func (e *ListenError) Error() string {
	if e.Chromium {
		return "cannot listen for Chromium: " + e.Err.Error()
	}
	return "cannot listen: " + e.Err.Error()
}

// Unwrap returns the problem.
func (e *ListenError) Unwrap() error { return e.Err }

// CA returns the certificate of the server's own certificate authority in PEM. It is
// nil without TLS, or if the options have a certificate.
func (s *Server) CA() []byte {
	if s.signer == nil {
		return nil
	}
	return s.signer.certificatePEM()
}

// AuthorityPEM returns the private key of the server's own certificate authority in
// PEM, followed by the result of CA, or nil if there is none. Keep it secret from
// everyone except those who trust the authority.
func (s *Server) AuthorityPEM() []byte {
	return s.signer.encode()
}

// WebSocket returns the URL for user agents that connect by WebSocket.
func (s *Server) WebSocket() string { return webSocketURL(s.URL) }

// Client returns a client for this server. It trusts only CA, or the certificate in
// the options; it uses no proxy and does not follow redirects.
func (s *Server) Client() *http.Client { return s.client }

// Close makes long polls return, closes the connections of user agents, waits up to
// 5 seconds for other requests, and then closes their connections. The error reports
// that requests were interrupted, or is the error of [Service.Close]. Later calls
// return the same error.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.cancel()
		s.client.CloseIdleConnections()
		s.Service.sockets.close()
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if err := s.http.Shutdown(ctx); err != nil {
			s.err = fmt.Errorf("requests were interrupted: %w", err)
			_ = s.http.Close()
		}
		<-s.served
		if s.Chromium != nil {
			s.err = errors.Join(s.err, s.Chromium.close())
		}
		s.err = errors.Join(s.err, s.Service.Close())
	})
	return s.err
}
