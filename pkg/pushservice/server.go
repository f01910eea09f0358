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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// ServerOptions configures [Start].
type ServerOptions struct {
	// Addr is the host:port to listen on; empty means 127.0.0.1:0. Port 0 means any
	// free port.
	Addr string
	// TLS serves https, with HTTP/2, with a certificate for Addr's host, localhost,
	// 127.0.0.1, and ::1. It is signed by a certificate authority that is
	// constrained to these names.
	TLS bool
	// AuthorityPEM is the certificate authority of another server, as returned by
	// [Server.AuthorityPEM]: clients that trust that server also trust this one. If
	// empty, a new authority is made. If it cannot be used, the error is an
	// [*AuthorityError].
	AuthorityPEM []byte
	// AuthorityFile keeps the authority in files, for the next start, if
	// AuthorityPEM is empty: the certificate in the file with this name, and the
	// private key, readable by its owner alone, in [AuthorityKeyFile]. They are
	// created if neither exists.
	AuthorityFile string
	// CertificatePEM and KeyPEM, if given, are used instead of that certificate,
	// with TLS.
	CertificatePEM, KeyPEM []byte
	// Chromium, if not nil, adds the listener for Chromium's channel.
	Chromium *ChromiumOptions
	// Storage keeps the service's data, as [Open] describes, and is closed with
	// the server or if Start fails. If nil, everything is kept in memory.
	Storage Storage
	// Options configures the service.
	Options Options
}

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
// invalid option, or that listening ([*ListenError]), the certificate authority
// ([*AuthorityError]), or the storage failed.
func Start(o ServerOptions) (_ *Server, err error) {
	defer func() {
		if err != nil && o.Storage != nil {
			err = errors.Join(err, o.Storage.Close())
		}
	}()
	if o.Options.Origin != "" {
		if origin, err := vapid.Origin(o.Options.Origin); err != nil || origin != o.Options.Origin {
			return nil, fmt.Errorf("the origin %q does not have the form scheme://host[:port]", o.Options.Origin)
		}
	}
	if _, known := personalityOf(o.Options.As); !known {
		return nil, fmt.Errorf("unknown personality %q, expected one of %s", o.Options.As, strings.Join(Personalities(), ", "))
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		return nil, &ListenError{Err: err}
	}
	host := reachable(o.Addr)
	o.Options.Hosts = append(slices.Clone(o.Options.Hosts), host)
	s := &Server{served: make(chan struct{}), save: func() error { return nil }}
	var certificate tls.Certificate
	if o.TLS {
		if certificate, err = s.certificate(o, host); err != nil {
			return nil, err
		}
	}
	service := New(o.Options)
	if o.Storage != nil {
		service, err = Open(o.Storage, o.Options)
		o.Storage = nil // the service closes it
		if err != nil {
			return nil, err
		}
	}
	l, err := listen(o.Addr, service.sockets.max+maxOther)
	if err != nil {
		return nil, errors.Join(&ListenError{Err: err}, service.Close())
	}
	if o.Chromium != nil {
		if s.Chromium, err = startChromium(service, *o.Chromium); err != nil {
			return nil, errors.Join(err, l.Close(), service.Close())
		}
		service.chromium = s.Chromium
		s.Chromium.run()
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())

	ctx, cancel := context.WithCancel(context.Background())
	s.URL, s.Service, s.cancel = "http://"+net.JoinHostPort(host, port), service, cancel
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
	if o.TLS {
		s.URL, s.leaf = "https://"+net.JoinHostPort(host, port), certificate.Certificate[0]
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(s.CA())
		pool.AppendCertsFromPEM(o.CertificatePEM)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	go func() {
		defer close(s.served)
		// The error reports that Close was called, or that the listener failed, which
		// clients notice.
		if o.TLS {
			_ = s.http.ServeTLS(l, "", "")
		} else {
			_ = s.http.Serve(l)
		}
	}()
	err = s.save()
	if s.Chromium != nil && err == nil {
		if err = s.Chromium.save(); err != nil {
			err = certificateProblem(err, true)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// maxOther is the maximum number of connections to one port in addition to
// connected user agents.
const maxOther = 1000

// limited is a listener that immediately closes connections above a maximum.
type limited struct {
	net.Listener
	room chan struct{} // one token per connection
}

func listen(addr string, most int) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
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
		if c, err = tls.X509KeyPair(o.CertificatePEM, o.KeyPEM); err != nil {
			err = fmt.Errorf("the certificate or its key cannot be used: %w", err)
		}
		return c, err
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
