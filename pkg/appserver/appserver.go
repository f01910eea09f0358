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
	"crypto/sha256"
	"crypto/tls"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed81da77dd/webpush/pkg/internal/certificate"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

//go:embed page
var pageFiles embed.FS

//go:embed openapi.json
var openAPI []byte

// Server handles all routes and sends the messages.
type Server struct {
	o       Options
	store   Store
	client  *webpush.Client
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

// New returns a server. It sends nothing until [Server.Run] is called. The error is an
// [*webpush.InputError] for four of the options: Hosts (Part "host"), Origins ("origin"),
// Ports ("port"), and Transport (a part of [webpush.NewHTTPClient]). It is a
// [*vapid.ClaimsError] for Subject, and has no type for the others.
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
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
		pair, err := certificate.Parse(o.CertificatePEM, o.KeyPEM)
		if err != nil {
			return nil, err
		}
		s.certificate = &pair
	}
	s.metrics = newMetrics(s)
	s.routes()
	return s, nil
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
