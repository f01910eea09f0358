// Package appserver is the application server of a site that uses Web Push: it
// stores the subscriptions that browsers make, sends messages to all of them or
// some, and has a page to try it with.
//
//	store, err := sqlite.Open("webpush.db")
//	server, err := appserver.New(appserver.Options{Store: store, Key: key, Subject: "mailto:ops@example.com", Token: token})
//	go server.Run(ctx)
//	http.Handle("/", server)
//
// Its routes are described in OpenAPI at /openapi.json. Those under
// /subscription, and /report, are for browsers; who knows an endpoint may end or
// change its subscription. All others need the token.
//
// A push is a job that survives the process: who has got the message is
// recorded in the [Store], many at once, so that after a crash the job goes on
// and only messages that were in flight are sent twice.
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
	DefaultClientRate      = 5 // requests a second
	DefaultTotalRate       = 2000
	DefaultShutdownTimeout = 20 * time.Second
)

// Options says how a [Server] works. Store, Key, Subject and Token are needed.
type Options struct {
	// Store keeps subscriptions and jobs; the server does not close it.
	Store Store
	// Key signs (RFC 8292); its public half is what browsers subscribe with.
	Key *vapid.Key
	// OldKeys are keys that Key has replaced. They sign for subscriptions that
	// were made with them, until those are renewed.
	OldKeys []*vapid.Key
	// Subject is the contact that push services get: a mailto: or https: URI.
	Subject string
	// Token is what administrators give as Authorization: Bearer; at least 16
	// characters.
	Token string
	// SiteName is the title of notifications that are sent without one; empty
	// means the host by which the server was reached.
	SiteName string

	// Origins are those of other sites whose pages may use the routes under
	// /subscription, such as https://www.example.com; "*" stands for any.
	Origins []string
	// Hosts are the names, without port, by which the server answers; empty
	// means any. A server that only this machine reaches should name its own,
	// as pages of the Internet can otherwise reach it by a name that they lead
	// to it (DNS rebinding).
	Hosts []string
	// BehindProxy takes the client's address from the last entry of
	// X-Forwarded-For, which must then be written by a proxy of your own.
	BehindProxy bool
	// User, when it is set, says to which user a request under /subscription
	// belongs, such as by its cookie; what the request says itself then does
	// not count. Its error refuses the request. Without it a visitor may claim to be any
	// user, and gets the messages to that one.
	User func(*http.Request) (string, error)

	// Transport says how push services are reached. Addresses that are not
	// public are refused whatever it says, unless AllowPrivate is set.
	Transport webpush.TransportOptions
	// AllowPrivate takes subscriptions at any address, and with plain http
	// those on this machine: for tries with a push service of your own.
	AllowPrivate bool
	// Ports are the ports at which push services are accepted, apart from 443.
	// AllowPrivate accepts any port.
	Ports []int
	// KnownServices takes only subscriptions of Apple, Google, Microsoft and Mozilla.
	KnownServices bool
	// GoneAfter keeps a subscription that is gone, as its push service says,
	// until the service says so again at least this long after. Zero removes
	// it at once.
	GoneAfter time.Duration
	// MaxSubscriptions is how many are stored at most; zero means no limit.
	MaxSubscriptions int64
	// HTTP, when it is set, sends instead of a client made of Transport.
	HTTP webpush.Doer

	// Jobs is how many are sent at the same time; zero means 2. The others wait.
	Jobs int
	// Bulk bounds the sending of each. Concurrency of zero means 32 for each
	// processor, so that visitors do not wait for a push; Stop and Commit are
	// the server's own, and a job ends when everybody had their turn, so
	// MaxFailures and DryRun must be zero. Without a Limiter, the jobs of this server
	// share the Rates.
	Bulk webpush.BulkOptions
	// KeepJobs is how long a job that is over is remembered; zero means 30 days.
	KeepJobs time.Duration
	// Track lets service workers report that a notification was shown, clicked,
	// or closed. Each notification gets an ID that is the same for all its
	// recipients, so only numbers are known. It is also what /report accepts.
	Track bool
	// ClientRate is how many requests a second one address (of IPv6, a /64) may
	// make under /subscription, after a burst of ten times as many; a whole
	// IPv6 /48 may make 16 times as many. TotalRate is how many all together
	// may make. Zero means 5 and 2000, negative no limit.
	ClientRate, TotalRate float64
	// ShutdownTimeout is how long what is in flight may take when the server
	// stops; zero means 20 seconds.
	ShutdownTimeout time.Duration
	// CertificatePEM and KeyPEM make Serve speak https.
	CertificatePEM, KeyPEM []byte
	// Log gets a line for each request and job, without secrets, endpoints and
	// users; nil means none.
	Log *slog.Logger
}

// Server is the handler of all routes, and what sends the messages.
type Server struct {
	o       Options
	store   Store
	client  *webpush.Client
	tester  *webpush.Client // answers at once
	log     *slog.Logger
	mux     *http.ServeMux
	token   [sha256.Size]byte
	metrics *metrics
	page    fs.FS
	keys    *keys
	news    news
	wake    chan struct{}
	// canceled says that messages may have to be withdrawn.
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
	broken  map[string]bool      // jobs that wait for the next start, as their end could not be recorded
	idle    map[string]time.Time // jobs of which no part was free, and when
	pruned  time.Time            // used by Run alone
}

// maxStreams is how many streams of events there are at most.
const maxStreams = 1000

// New makes a server. Nothing is sent before [Server.Run].
func New(o Options) (*Server, error) {
	switch {
	case o.Store == nil:
		return nil, errors.New("the server needs a store")
	case o.Key == nil:
		return nil, &hinted{errors.New("the server needs a private key to sign with"), "give a P-256 private key"}
	case len(o.Token) < 16:
		return nil, fmt.Errorf("the administrator's token has %d characters, expected 16 or more", len(o.Token))
	}
	if o.Bulk.MaxFailures != 0 || o.Bulk.DryRun {
		return nil, errors.New("Bulk.MaxFailures and Bulk.DryRun are not for a server, whose jobs end when everybody had their turn")
	}
	if strings.ContainsFunc(o.Token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, errors.New("the administrator's token has a space, or another character that a header does not carry")
	}
	for _, host := range o.Hosts {
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && (host == "" || strings.ContainsAny(host, ":/?#@*[] ")) {
			return nil, &hinted{fmt.Errorf("the host %q is no name", host), "write it as push.example.com, without scheme and port"}
		}
	}
	for _, port := range o.Ports {
		if port < 1 || port > 65535 {
			return nil, fmt.Errorf("the port %d is not one of 1 to 65535", port)
		}
	}
	for i, origin := range o.Origins {
		if origin == "*" {
			continue
		}
		normal, err := vapid.Origin(origin)
		if err != nil || strings.TrimSuffix(strings.ToLower(origin), "/") != normal {
			return nil, &hinted{fmt.Errorf("the origin %q is none", origin), "write it as https://www.example.com, without a path"}
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
	if _, err := s.probe(webpush.Message{}); err != nil { // the subject is signed
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

// probe makes a request of a message to nobody, and so finds what is wrong
// with the message before it is a job.
func (s *Server) probe(m webpush.Message) (*http.Request, error) {
	sub, err := webpush.NewSubscription("https://push.invalid/", s.o.Key.PublicKey().String(), "AAAAAAAAAAAAAAAAAAAAAA")
	if err != nil {
		return nil, err
	}
	return s.client.NewRequest(context.Background(), sub, m)
}

// Close ends the streams of events, which otherwise last as long as their
// jobs. It is called before [http.Server.Shutdown]; [Server.Serve] does so.
func (s *Server) Close() { s.once.Do(func() { close(s.closed) }) }

// times are the timeouts of Serve's connections, the most time between two
// signs of life of a stream of events, which sets timeouts of its own, the lease
// of a part, and how long to wait when the store is unavailable.
type times struct{ header, read, write, idle, heartbeat, lease, unavailable time.Duration }

var defaultTimes = times{header: 10 * time.Second, read: 30 * time.Second, write: 60 * time.Second, idle: 2 * time.Minute, heartbeat: 15 * time.Second,
	lease: Lease, unavailable: time.Second}

const maxHeader = 32 << 10

// Serve answers requests at l, with timeouts, and does what [Server.Run] does.
// When ctx ends it takes no more of either, finishes what is in flight, and
// returns; l is closed then.
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
	s.log.Info("stopping: what is in flight is finished", "within", s.o.ShutdownTimeout)
	s.Close()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.ShutdownTimeout)
	defer cancel()
	err := h.Shutdown(last)
	if err != nil {
		_ = h.Close()
		err = fmt.Errorf("requests were cut off: %w", err)
	}
	if failed := <-served; !errors.Is(failed, http.ErrServerClosed) {
		err = errors.Join(err, failed)
	}
	return errors.Join(err, <-sent)
}

// LoadToken returns the administrator's token from a file; where there is none
// it makes a token and the file, for its owner alone, and made is true. A file
// that other users can write is refused.
func LoadToken(file string) (token string, made bool, err error) {
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
	// Windows has no such bits, and its files are read-only or writable by all.
	if info, err := os.Stat(file); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return "", false, &hinted{fmt.Errorf("%s can be written by other users (mode %04o), who could replace the administrator's token", file, info.Mode().Perm()), "chmod go-w " + file}
	}
	if token = strings.TrimSpace(string(b)); len(token) < 16 || strings.ContainsAny(token, " \t\r\n") {
		return "", false, &hinted{fmt.Errorf("%s holds no token: expected one line of 16 characters or more", file), "remove it, and the next start makes a new one"}
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
		if a, err := netip.ParseAddrPort(last); err == nil { // as some proxies write it
			return a.Addr()
		}
	}
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return a.Addr()
}
