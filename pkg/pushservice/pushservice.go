// Package pushservice is a push service for tests and for local work: it takes
// messages from application servers as RFC 8030 section 5 says, checks them
// more strictly than the services of browsers do, and keeps them for user
// agents. It cannot decrypt what it carries.
//
// A [Service] is an [http.Handler] that keeps everything in memory ([New]), or also
// in a [Storage] ([Open]). Application servers use
//
//	POST   /wpush/v1/{token}    send a message to an unrestricted subscription,
//	                            also without v1/
//	POST   /wpush/v2/{token}    the same, with VAPID by the subscription's key (RFC 8292 section 4)
//	DELETE /m/{id}              cancel a message
//	GET    /r/{token}?wait=60&after=0
//	                            200 {"receipts": [{"seq": 1, "message": "/m/…", "status": 204}]}
//
// and get 201 with the message's resource in Location and the granted TTL, or
// 202 and a Link to a receipt subscription, as above, when they ask for that
// with Prefer: respond-async (RFC 8030 section 5.1): 204 is a message that was
// acknowledged, 410 one whose TTL ended before. With another [Personality] the
// endpoints and answers are those of another service.
//
// Firefox, and whatever else speaks autopush's protocol, connects by WebSocket
// to GET /. Other user agents and tests, in any language, use JSON:
//
//	POST   /api/subscriptions    {} or {"applicationServerKey": "BA1Hx…"}
//	                             201 {"id": "…", "endpoint": "https://…/wpush/v2/…"}
//	GET    /api/subscriptions    200 {"subscriptions": [{"id": "…", "endpoint": "…", "applicationServerKey": null,
//	                             "created": "2000-01-01T00:00:00Z", "messages": 0, "waiting": 1, "channelID": null}]}
//	DELETE /api/subscriptions/{id}    204, and 410 to all later messages
//	GET    /api/subscriptions/{id}/messages?wait=60&after=0
//	                             200 {"messages": [{"id": "…", "seq": 1, "time": "2000-01-01T00:00:00Z",
//	                             "ttl": 60, "urgency": "normal", "topic": "",
//	                             "headers": {"content-encoding": "aes128gcm"}, "body": "base64url"}]}
//	DELETE /m/{id}               204: the message is acknowledged
//	POST   /api/faults           {"subscription": "id", "status": 429, "headers": {"Retry-After": "1"},
//	                             "body": "…", "count": 2, "delay": "100ms", "reset": false}
//	                             204: the next two message requests are answered so; instead of
//	                             count "always": true, and "after": 3, "share": 0.1; with
//	                             "on": "registration", "unregistration", "checkin", or "login" these operations of
//	                             user agents, also with "error": "PHONE_REGISTRATION_ERROR", see [Fault]
//	DELETE /api/faults           204: they are not
//	GET    /api/requests         200 {"requests": [{"time": "…", "method": "POST", "host": "…", "path": "…",
//	                             "proto": "HTTP/2.0", "headers": {"Ttl": ["60"]}, "bodyLength": 103,
//	                             "status": 201, "subscription": "id"}]}, see [Request]
//
// Receiving is a long poll: it is answered when there is a message with a seq
// above after, or when wait seconds, at most 60, are over. Messages stay until
// they are acknowledged. A message without payload has empty headers and body;
// one with aesgcm has encryption and crypto-key in its headers.
//
// With [Options].NewReceiver there are also the routes of the npm package
// web-push-testing, as its documentation has them: POST to /status, /subscribe,
// /expire-subscription/{clientHash}, /get-notifications, and /notify/{clientHash}
// as the endpoint. For these the service plays the user agent too. Their
// messages are checked as that package does, which does not look at aud, for
// example.
//
// Chromium checks in with POST /checkin and registers with POST /c2dm/register3.
// It receives by MCS, which [Service.ServeMCS] speaks on a TLS connection of the
// caller's. Its endpoints have hosts of Google, whose names only
// [Service.ServeChromium] accepts, on a listener for clients that are made to
// connect there. [ServerOptions].Chromium starts one for all of it, and
//
//	GET    /api/chromium         200 {"address": "127.0.0.1:5228", "hosts": ["fcm.googleapis.com", …],
//	                             "publicKeyHash": "base64", "ca": "-----BEGIN CERTIFICATE-----…"}
//
// describes it: see [ChromiumServer].
//
// What it refuses it answers with the status codes and the JSON object of
// Mozilla's autopush, whose member message begins with autopush's own words,
// where it has some, and goes on with what is wrong with the value.
//
// The routes under /api need no credentials: anyone who can reach the service can
// read and expire every subscription. [Start] listens on the loopback address by
// default. Requests for an unknown host are refused, because a web page's own
// name can be pointed at this machine (DNS rebinding), and the WebSocket and these
// routes refuse requests of web pages, except those of the service's own origin
// and of [Options].AllowOrigins.
package pushservice

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Defaults of [Options].
const (
	// DefaultMaxBody is 4096 bytes, what every push service has to take (RFC
	// 8030 section 7.2).
	DefaultMaxBody = 4096
	// DefaultMaxTTL is 30 days, as with autopush.
	DefaultMaxTTL = 30 * 24 * time.Hour
	// DefaultMaxSubscriptions is how many subscriptions there can be.
	DefaultMaxSubscriptions = 10_000
	// DefaultMaxMessages is how many messages can wait, of all subscriptions
	// together: some 50 MB when each is of the largest size.
	DefaultMaxMessages = 10_000
	// DefaultMaxRequests is how many requests are remembered.
	DefaultMaxRequests = 100
	// DefaultMaxConnections is how many user agents can be connected.
	DefaultMaxConnections = 10_000
)

// Options says how a [Service] behaves. Limits that are zero or less are the
// defaults.
type Options struct {
	// Origin is scheme://host[:port] under which the service is reached: it
	// begins the endpoints and is what aud of VAPID tokens must be. When it is
	// empty it is taken from each request: https if that came by TLS, and its
	// Host. It is brought into the form that [vapid.Origin] returns; what has
	// no such form is no aud that any message could have.
	Origin string
	// Hosts are further names, without ports, by which clients reach the service.
	// Requests for a host other than these, localhost, a loopback address, the
	// address that the client has connected to, and the host of Origin are refused
	// with 421.
	Hosts []string
	// HostHint is what the 421 response advises; empty is to add the name to the
	// service's host names.
	HostHint string
	// AllowOrigins are the origins, scheme://host[:port], of web pages that can use
	// the WebSocket, the routes under /api, and those of web-push-testing, besides
	// the service's own. Pages of all other origins are refused with 403.
	AllowOrigins []string
	// MaxBody is the size of the largest body, in bytes; the default is 5630 as
	// Mozilla and 5000 as WNS.
	MaxBody int
	// MaxTTL is how long a message is kept at most, in whole seconds and at
	// least one; a longer TTL is cut to it. The default is 28 days as FCM.
	MaxTTL time.Duration
	// MaxSubscriptions is how many subscriptions there can be. The next is
	// refused with 429. As many expired ones are remembered, to answer 410.
	MaxSubscriptions int
	// MaxMessages is how many messages can wait in all. The next is refused
	// with 429.
	MaxMessages int
	// MaxRequests is how many of the last message requests [Service.Requests]
	// lists.
	MaxRequests int
	// MaxConnections is how many user agents can be connected by WebSocket or MCS.
	// The next is refused, by WebSocket with 503.
	MaxConnections int
	// Log is told of each message, of refusals and of user agents, without
	// secrets: ids are cut short, and endpoints left out. nil tells nobody.
	Log *slog.Logger
	// As is whose ways the service has towards application servers. What is no
	// personality is Strict.
	As Personality
	// NewReceiver makes the keys of a user agent for each subscription of the
	// routes of web-push-testing, which are answered with 501 if it is nil.
	NewReceiver func() (Receiver, error)
}

// Service is a push service. It is an [http.Handler] and safe for concurrent
// use. The methods are what the routes under /api do; their errors are all of
// type [*Error] unless said otherwise.
type Service struct {
	origin  string
	maxBody int
	maxTTL  int64 // seconds
	store   *store
	faults  faults
	log     requestLog
	logger  *slog.Logger
	sockets sockets
	as      *personality
	testing *personality // of the routes of web-push-testing

	newReceiver func() (Receiver, error)
	chromium    *ChromiumServer // or nil

	hosts        []string
	hostHint     string
	allowOrigins []string
}

// New returns a service without subscriptions, which keeps everything in memory.
func New(o Options) *Service {
	orDefault := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	as, _ := personalityOf(o.As)
	orDefault(&o.MaxBody, as.maxBody)
	orDefault(&o.MaxSubscriptions, DefaultMaxSubscriptions)
	orDefault(&o.MaxMessages, DefaultMaxMessages)
	orDefault(&o.MaxRequests, DefaultMaxRequests)
	orDefault(&o.MaxConnections, DefaultMaxConnections)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxTTL <= 0 {
		o.MaxTTL = as.maxTTL
	}
	if origin, err := vapid.Origin(o.Origin); err == nil {
		o.Origin = origin
	}
	s := &Service{
		origin:  o.Origin,
		maxBody: o.MaxBody,
		maxTTL:  max(1, int64(o.MaxTTL/time.Second)),
		store:   newStore(o.MaxSubscriptions, o.MaxMessages),
		log:     requestLog{max: o.MaxRequests},
		logger:  o.Log,
		sockets: sockets{max: o.MaxConnections, open: make(map[*line]struct{})},
	}
	s.as, s.testing = as, testing()
	s.store.path, s.store.forgetsBatches = as.path, as.forgetsBatches
	s.newReceiver = o.NewReceiver
	s.hostHint = o.HostHint
	for _, host := range o.Hosts {
		s.hosts = append(s.hosts, hostName(host))
	}
	if u, err := url.Parse(o.Origin); err == nil && u.Host != "" {
		s.hosts = append(s.hosts, hostName(u.Host))
	}
	for _, allowed := range o.AllowOrigins {
		if origin, err := vapid.Origin(allowed); err == nil {
			allowed = origin
		}
		s.allowOrigins = append(s.allowOrigins, allowed)
	}
	return s
}

// Close ends the connections of user agents and waits for them, and refuses new
// ones. After [Open] it also ends what the service does, as
// nothing is stored any more; the error is that something could not be stored.
// After [New] there is no error, and what else the service does goes on. More
// calls do nothing but return the same.
func (s *Service) Close() error {
	s.sockets.close()
	if s.store.journal == nil {
		return nil
	}
	return s.store.journal.close()
}

// Disconnect ends the connections of user agents, as a network would that
// fails. They may connect again.
func (s *Service) Disconnect() { s.store.disconnect() }

// sockets are the connections that have no end of their own.
type sockets struct {
	max  int
	mu   sync.Mutex
	open map[*line]struct{}
	done bool
	all  sync.WaitGroup
}

// errStops is why connections end when the service is closed.
var errStops = errors.New("the push service stops")

// enter counts a connection, which close ends, until leave.
func (k *sockets) enter(l *line) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.done || len(k.open) >= k.max {
		e := refuse(http.StatusServiceUnavailable, noErrno, "Too many connections", "there are %d, the most that this service has", len(k.open))
		e.header = map[string]string{"Retry-After": "60"}
		if k.done {
			e.Message = "Unavailable: the push service stops"
		}
		return e
	}
	k.open[l] = struct{}{}
	k.all.Add(1)
	return nil
}

func (k *sockets) leave(l *line) {
	k.mu.Lock()
	delete(k.open, l)
	k.mu.Unlock()
	k.all.Done()
}

func (k *sockets) close() {
	k.mu.Lock()
	k.done = true
	for l := range k.open {
		go l.end(errStops)
	}
	k.mu.Unlock()
	k.all.Wait()
}

// short is the beginning of an id, which tells ids apart and is no secret.
func short(id string) string {
	const n = 8
	if len(id) <= n {
		return id
	}
	return id[:n]
}

// Subscribe makes a subscription, restricted to key unless that is zero (RFC
// 8292 section 4). The error is that there are too many.
func (s *Service) Subscribe(key vapid.PublicKey) (Subscription, error) {
	return s.store.subscribe(key)
}

// Unsubscribe expires the subscription: messages that wait are dropped, user
// agents that wait are told, and later messages are refused with 410. The error
// is that there is none with that id, or that it expired before.
func (s *Service) Unsubscribe(id string) error { return s.store.unsubscribe(id) }

// Subscriptions lists the subscriptions that did not expire, oldest first.
func (s *Service) Subscriptions() []Subscription { return s.store.list() }

// Messages returns the messages of the subscription that are waiting, oldest
// first, without those whose Seq is after or less. If there is none it waits
// for the next one, as long as wait says, and returns none after that.
// Messages stay until [Service.Ack] or the end of their TTL; only those with a
// TTL of zero are seen but once, by whom is waiting. The bodies are shared and
// must not be changed.
//
// Errors are that there is no subscription with that id, that it expired, now
// or while waiting, or that of ctx.
func (s *Service) Messages(ctx context.Context, id string, after uint64, wait time.Duration) ([]AcceptedMessage, error) {
	return s.store.receive(ctx, id, after, wait)
}

// Ack removes a message: its user agent has it, or its application server
// cancels it. The error is that no message with that id is waiting, or, after
// [Open], that it could not be written yet that this one does not any more.
func (s *Service) Ack(id string) error { return s.store.ack(id) }

// ServeHTTP answers a request to one of the routes. It panics with
// [http.ErrAbortHandler] when a [Fault] demands a reset, and never else.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	if chromiumOrigin(r) == "" {
		err = s.checkHost(r)
	}
	if err == nil {
		err = s.route(w, r)
	}
	if err != nil {
		writeError(w, err)
	}
}

// route does not use http.ServeMux, which answers in its own words and
// redirects to paths that it likes better.
func (s *Service) route(w http.ResponseWriter, r *http.Request) error {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/" && isWebSocket(r):
		return s.serveWebSocket(w, r)
	case parts[0] == "wpush" && (len(parts) == 3 || len(parts) == 2), parts[0] == "notify" && len(parts) == 2:
		s.servePush(w, r, parts)
		return nil
	case r.URL.Path == checkinPath:
		return s.serveCheckin(w, r)
	case r.URL.Path == registerPath:
		return s.serveRegister(w, r)
	case parts[0] == "m" && len(parts) == 2:
		return s.serveMessage(w, r, parts[1])
	case parts[0] == "r" && len(parts) == 2:
		return s.serveReceipts(w, r, parts[1])
	case parts[0] == "api":
		return s.serveAPI(w, r, parts[1:])
	}
	if handled, err := s.serveTesting(w, r, parts); handled {
		return err
	}
	// Endpoints stay when a service takes another personality with its data.
	if _, _, known := s.store.lookup(endpointKey(r.URL)); known || s.as.owns(parts) {
		s.servePush(w, r, parts)
		return nil
	}
	return notFound("Invalid path", "%q is not a route of this push service", clip(r.URL.Path))
}

// originOf returns the origin under which r reached the service.
func (s *Service) originOf(r *http.Request) (string, error) {
	if origin := chromiumOrigin(r); origin != "" {
		return origin, nil
	}
	if s.origin != "" {
		return s.origin, nil
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	// Host can hold anything that does not end a header line, a path for one.
	origin, err := vapid.Origin(scheme + r.Host)
	if err != nil || strings.ContainsAny(r.Host, "/?#@\\") {
		return "", refuse(http.StatusBadRequest, noErrno, "Invalid Host header", "%q is no host", clip(r.Host))
	}
	return origin, nil
}
