// Package appserver is the application server of a site that uses Web Push. It stores
// the subscriptions of browsers, sends messages to all of them or to some, and has a
// page to try everything.
//
//	store, err := sqlite.Open("webpush.db")
//	server, err := appserver.New(appserver.Options{Store: store, Key: key, Subject: "mailto:ops@example.com", Token: token})
//	go server.Run(ctx)
//	http.Handle("/", server)
//
// Its routes are described in OpenAPI at /openapi.json. The routes under /subscription,
// and /report, are for browsers; anyone who knows an endpoint can change or remove its
// subscription. All other routes require the token.
//
// A push is a job that survives the process. The results of its messages are recorded
// in the [Store] in batches. After a crash the job continues, and only messages that
// were in flight are sent twice.
package appserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

//go:embed page
var pageFiles embed.FS

//go:embed openapi.json
var openAPI []byte

// Defaults of [Options].
const (
	DefaultJobs            = 2
	DefaultKeepJobs        = 30 * 24 * time.Hour
	DefaultClientRate      = 5 // requests per second
	DefaultTotalRate       = 2000
	DefaultShutdownTimeout = 20 * time.Second
)

// Options configures a [Server]. Store, Key, Subject, and Token are required.
type Options struct {
	// Store keeps subscriptions and jobs; the server does not close it.
	Store Store
	// Key signs messages (RFC 8292); browsers subscribe with its public key.
	Key *vapid.Key
	// OldKeys are the keys that Key has replaced. They sign for the subscriptions that
	// were created with them, until those are renewed.
	OldKeys []*vapid.Key
	// Subject is the contact for push services: a mailto: or https: URI.
	Subject string
	// Token is the administrator's token, which requests send as Authorization: Bearer.
	// It has at least 16 characters.
	Token string
	// SiteName is the title of notifications that are sent without one; empty means
	// the host of the request.
	SiteName string

	// Origins lists other sites whose pages may use the routes under /subscription,
	// such as https://www.example.com; "*" allows any.
	Origins []string
	// Hosts lists the host names, without port, for which the server accepts requests;
	// empty means any. Set it for a server on a loopback or private address: otherwise
	// web pages can reach the server by a name that resolves to it (DNS rebinding).
	Hosts []string
	// BehindProxy reads the client's address from the last entry of X-Forwarded-For,
	// which your own proxy must write.
	BehindProxy bool
	// User, if set, returns the user of a request under /subscription, for example
	// from a cookie, and overrides the user named in the request. If it returns an
	// error, the request is refused. If User is nil, a visitor can claim to be any
	// user and receive that user's messages.
	User func(*http.Request) (string, error)

	// Transport configures the connections to push services. Addresses that are not
	// public are always refused unless AllowPrivate is set.
	Transport webpush.TransportOptions
	// AllowPrivate accepts subscriptions at any address, and with plain http on this
	// machine, to test with your own push service.
	AllowPrivate bool
	// Ports lists the ports at which push services are accepted in addition to 443.
	// AllowPrivate accepts any port.
	Ports []int
	// KnownServices accepts only subscriptions of Apple, Google, Microsoft, and Mozilla.
	KnownServices bool
	// GoneAfter is the minimum time between two responses that a subscription is gone
	// before it is removed. Zero removes it after the first one.
	GoneAfter time.Duration
	// MaxSubscriptions is the maximum number of stored subscriptions; zero means no
	// limit.
	MaxSubscriptions int64
	// HTTP, if set, sends the requests instead of a client created from Transport.
	HTTP webpush.Doer

	// Jobs is the maximum number of jobs that are sent at the same time; zero means 2.
	// The others wait.
	Jobs int
	// Bulk limits the sending of each job. A Concurrency of zero means 32 for each
	// processor, so that visitors do not wait for a push. The server sets Stop and
	// Commit itself. MaxFailures and DryRun must be zero, because a job always runs to
	// the end. Without a Limiter, the jobs of this server share the Rates.
	Bulk webpush.BulkOptions
	// KeepJobs is how long a finished job is kept; zero means 30 days.
	KeepJobs time.Duration
	// Track lets service workers report to /report that a notification was shown,
	// clicked, or closed. Each notification gets an ID that is the same for all its
	// recipients, so the reports only yield numbers.
	Track bool
	// ClientRate is the maximum number of requests per second under /subscription from
	// one address (for IPv6, one /64), after a burst of ten times as many; an IPv6 /48
	// may make 16 times as many. TotalRate is the limit for all clients together. Zero
	// means 5 and 2000; a negative value means no limit.
	ClientRate, TotalRate float64
	// ShutdownTimeout is the time limit for requests in flight when the server stops;
	// zero means 20 seconds.
	ShutdownTimeout time.Duration
	// CertificatePEM and KeyPEM make Serve speak https.
	CertificatePEM, KeyPEM []byte
	// Log gets a line for each request and job, without secrets, endpoints, and users;
	// nil means no log.
	Log *slog.Logger
}

// Server handles all routes and sends the messages.
type Server struct {
	o       Options
	store   Store
	client  *webpush.Client
	tester  *webpush.Client // sends once, without retries
	log     *slog.Logger
	mux     *http.ServeMux
	token   [sha256.Size]byte
	metrics *metrics
	page    fs.FS
	keys    *keys
	news    news
	wake    chan struct{}
	// canceled signals that there may be messages to withdraw.
	canceled chan struct{}
	closed   chan struct{}
	once     sync.Once
	streams  chan struct{} // one for each stream of events
	trials   chan struct{} // one for each test message in flight
	delayed  chan struct{} // one for each test message that waits for its delay
	times    times

	certificate *tls.Certificate // nil without https

	clients, sites, tests, guesses *limiter
	total                          *rate.Limiter
	health                         health
	reports                        reports

	mu      sync.Mutex
	running map[string]*run
	broken  map[string]bool      // jobs that wait for the next start because a failure could not be recorded
	idle    map[string]time.Time // jobs without a free part, and the time of the attempt
	pruned  time.Time            // used only by Run
}

// maxStreams is the maximum number of open event streams.
const maxStreams = 1000

// New returns a server. It sends nothing until [Server.Run] is called.
func New(o Options) (*Server, error) {
	switch {
	case o.Store == nil:
		return nil, errors.New("the server needs a store")
	case o.Key == nil:
		return nil, webpush.WithHint(errors.New("the server needs a private key to sign with"), "pass a P-256 private key")
	case len(o.Token) < 16:
		return nil, fmt.Errorf("the administrator's token has %d characters, expected 16 or more", len(o.Token))
	}
	if o.Bulk.MaxFailures != 0 || o.Bulk.DryRun {
		return nil, errors.New("Bulk.MaxFailures and Bulk.DryRun must not be set: a server's jobs always run to the end")
	}
	if strings.ContainsFunc(o.Token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, errors.New("the administrator's token contains a space or another character that is not allowed in a header")
	}
	for _, host := range o.Hosts {
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && (host == "" || strings.ContainsAny(host, ":/?#@*[] ")) {
			return nil, webpush.WithHint(fmt.Errorf("%q is not a host name", host), "write it as push.example.com, without scheme and port")
		}
	}
	for _, port := range o.Ports {
		if port < 1 || port > 65535 {
			return nil, fmt.Errorf("invalid port %d, expected 1 to 65535", port)
		}
	}
	for i, origin := range o.Origins {
		if origin == "*" {
			continue
		}
		normal, err := vapid.Origin(origin)
		if err != nil || strings.TrimSuffix(strings.ToLower(origin), "/") != normal {
			return nil, webpush.WithHint(fmt.Errorf("%q is not an origin", origin), "write it as https://www.example.com, without a path")
		}
		o.Origins = slices.Clone(o.Origins)
		o.Origins[i] = normal
	}
	if o.Jobs <= 0 {
		o.Jobs = DefaultJobs
	}
	if o.Bulk.Concurrency <= 0 {
		o.Bulk.Concurrency = 32 * runtime.GOMAXPROCS(0)
	}
	if o.Bulk.Limiter == nil {
		o.Bulk.Limiter = webpush.NewLimiter()
	}
	if o.KeepJobs <= 0 {
		o.KeepJobs = DefaultKeepJobs
	}
	if o.ShutdownTimeout <= 0 {
		o.ShutdownTimeout = DefaultShutdownTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HTTP == nil {
		t := o.Transport
		t.DenyPrivate = !o.AllowPrivate
		c, err := webpush.NewHTTPClient(t)
		if err != nil {
			return nil, err
		}
		o.HTTP = c
	}
	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	keys, err := newKeys(o.Key, o.OldKeys)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, store: o.Store, log: o.Log, page: page, keys: keys, token: sha256.Sum256([]byte(o.Token)),
		client:   &webpush.Client{Key: o.Key, OldKeys: o.OldKeys, Subject: o.Subject, HTTP: o.HTTP},
		tester:   o.tester(o.HTTP),
		wake:     make(chan struct{}, 1),
		canceled: make(chan struct{}, 1),
		closed:   make(chan struct{}),
		streams:  make(chan struct{}, maxStreams),
		trials:   make(chan struct{}, maxTrials),
		delayed:  make(chan struct{}, maxDelayed),
		times:    defaultTimes,
		health:   health{keep: healthFor},
		reports:  reports{rate: rate.NewLimiter(reportRate, reportRate)},
		running:  make(map[string]*run),
		broken:   make(map[string]bool),
		idle:     make(map[string]time.Time),
		clients:  newLimiter(perSecond(o.ClientRate, DefaultClientRate), 10*DefaultClientRate, 10_000),
		tests:    newLimiter(rate.Every(5*time.Second), 5, 10_000),
		guesses:  newLimiter(rate.Every(10*time.Second), 10, 10_000),
		total:    rate.NewLimiter(perSecond(o.TotalRate, DefaultTotalRate), DefaultTotalRate),
	}
	if o.ClientRate > 0 {
		s.clients.burst = max(1, int(min(10*o.ClientRate, 1e9)))
	}
	s.sites = newLimiter(s.clients.every, siteFactor*s.clients.burst, 10_000)
	if s.sites.every != rate.Inf {
		s.sites.every *= siteFactor
	}
	if o.TotalRate > 0 {
		s.total.SetBurst(max(1, int(min(o.TotalRate, 1e9))))
	}
	if _, err := s.probe(webpush.Message{}); err != nil { // signs the subject
		return nil, err
	}
	if len(o.CertificatePEM) > 0 {
		pair, err := tls.X509KeyPair(o.CertificatePEM, o.KeyPEM)
		if err != nil {
			return nil, fmt.Errorf("the certificate or its key cannot be used: %w", err)
		}
		s.certificate = &pair
	}
	s.metrics = newMetrics(s)
	s.routes()
	return s, nil
}

func perSecond(n, otherwise float64) rate.Limit {
	switch {
	case n < 0:
		return rate.Inf
	case n == 0:
		return rate.Limit(otherwise)
	}
	return rate.Limit(n)
}

// probe builds a request that is not sent, to find errors in a message before it
// becomes a job.
func (s *Server) probe(m webpush.Message) (*http.Request, error) {
	sub, err := webpush.NewSubscription("https://push.invalid/", s.o.Key.PublicKey().String(), "AAAAAAAAAAAAAAAAAAAAAA")
	if err != nil {
		return nil, err
	}
	return s.client.NewRequest(context.Background(), sub, m)
}

// Close closes the event streams, which otherwise stay open as long as their jobs. Call
// it before [http.Server.Shutdown]; [Server.Serve] does so.
func (s *Server) Close() { s.once.Do(func() { close(s.closed) }) }

// times holds the timeouts of Serve's connections, the interval of heartbeats in an
// event stream (which sets its own timeouts), the lease of a part, and the pause while
// the store is unavailable.
type times struct{ header, read, write, idle, heartbeat, lease, unavailable time.Duration }

var defaultTimes = times{header: 10 * time.Second, read: 30 * time.Second, write: 60 * time.Second, idle: 2 * time.Minute, heartbeat: 15 * time.Second,
	lease: Lease, unavailable: time.Second}

const maxHeader = 32 << 10

// Serve handles requests at l, with timeouts, and sends messages like [Server.Run]. When
// ctx is done, it accepts no new requests, finishes the requests and messages in flight,
// closes l, and returns.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{Handler: s, ReadHeaderTimeout: s.times.header, ReadTimeout: s.times.read, WriteTimeout: s.times.write,
		IdleTimeout: s.times.idle, MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0)}
	if s.certificate != nil {
		h.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*s.certificate}, MinVersion: tls.VersionTLS12}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		defer stop()
		if h.TLSConfig != nil {
			served <- h.ServeTLS(l, "", "")
		} else {
			served <- h.Serve(l)
		}
	}()
	sent := make(chan error, 1)
	go func() { sent <- s.Run(ctx) }()
	<-ctx.Done()
	s.log.Info("stopping after requests in flight", "within", s.o.ShutdownTimeout)
	s.Close()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.ShutdownTimeout)
	defer cancel()
	err := h.Shutdown(last)
	if err != nil {
		_ = h.Close()
		err = fmt.Errorf("requests were aborted: %w", err)
	}
	if failed := <-served; !errors.Is(failed, http.ErrServerClosed) {
		err = errors.Join(err, failed)
	}
	return errors.Join(err, <-sent)
}

// LoadToken returns the administrator's token from a file. If the file does not exist,
// LoadToken generates a token and creates the file, readable only by its owner, and
// created is true. It refuses a file that other users can write.
func LoadToken(file string) (token string, created bool, err error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		token = rand.Text()
		f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return "", false, err
		}
		_, err = f.WriteString(token + "\n")
		if err2 := f.Close(); err == nil {
			err = err2
		}
		return token, true, err
	}
	if err != nil {
		return "", false, err
	}
	// On Windows, the mode does not contain these permissions.
	if info, err := os.Stat(file); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return "", false, webpush.WithHint(fmt.Errorf("%s can be written by other users (mode %04o), who could replace the administrator's token", file, info.Mode().Perm()), "chmod go-w "+file)
	}
	if token = strings.TrimSpace(string(b)); len(token) < 16 || strings.ContainsAny(token, " \t\r\n") {
		return "", false, webpush.WithHint(fmt.Errorf("%s does not contain a token, expected one line of at least 16 characters", file), "remove it; the next start creates a new one")
	}
	return token, false, nil
}

// authorized reports whether a request has the token.
func (s *Server) authorized(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1 && strings.EqualFold(scheme, "bearer")
}

// clientAddr returns the address of the client.
func (s *Server) clientAddr(r *http.Request) netip.Addr {
	if s.o.BehindProxy {
		all := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		last := strings.TrimSpace(all[len(all)-1])
		if a, err := netip.ParseAddr(last); err == nil {
			return a
		}
		if a, err := netip.ParseAddrPort(last); err == nil { // some proxies add the port
			return a.Addr()
		}
	}
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return a.Addr()
}
