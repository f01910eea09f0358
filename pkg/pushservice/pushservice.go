// Package pushservice is a push service for tests and local development: it
// accepts messages from application servers (RFC 8030, section 5), checks them
// more strictly than the push services of browsers do, and keeps them for user
// agents. It cannot decrypt them.
//
// [Start] listens on a free port of this machine. In a test, package useragent subscribes
// and receives:
//
//	server, err := pushservice.Start(pushservice.ServerOptions{})
//	defer server.Close()
//	sub, err := useragent.Subscribe(ctx, server.WebSocket(), useragent.Options{})
//	subscription, err := json.Marshal(sub) // give it to the code under test
//	m, err := sub.Receive(ctx)             // m.Payload is decrypted
//
// A [Service] is an [http.Handler] that keeps everything in memory ([New]), or also
// in a [Storage] ([Open]). Application servers use
//
//	POST   /wpush/v1/{token}    send a message to an unrestricted subscription,
//	                            (v1/ is optional)
//	POST   /wpush/v2/{token}    send a message to a restricted subscription, signed with its
//	                            application server key (RFC 8292, section 4)
//	DELETE /m/{id}              cancel a message
//	GET    /r/{token}?wait=60&after=0
//	                            200 {"receipts": [{"seq": 1, "message": "/m/…", "status": 204}]}
//
// The response is 201 with the message resource in Location and the granted TTL.
// With Prefer: respond-async it is 202, with a Link to a receipt subscription as
// above (RFC 8030, section 5.1). The status of a receipt is 204 for a message that
// was acknowledged, and 410 for one that expired first. With another
// [Personality], endpoints and responses have the form of another push service.
//
// Firefox and other clients of autopush's protocol connect by WebSocket to GET /.
// Other user agents, and tests in any language, use JSON:
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
//	                             204: the next two message requests get this response. Instead of count:
//	                             "always": true; in addition: "after": 3, "share": 0.1. With "on":
//	                             "registration", "unregistration", "checkin", or "login", operations of user
//	                             agents fail, with "error": "PHONE_REGISTRATION_ERROR" for example; see [Fault]
//	DELETE /api/faults           204: all of them are removed
//	GET    /api/requests         200 {"requests": [{"time": "…", "method": "POST", "host": "…", "path": "…",
//	                             "proto": "HTTP/2.0", "headers": {"Ttl": ["60"]}, "bodyLength": 103,
//	                             "status": 201, "subscription": "id"}]}, see [Request]
//
// Receiving is a long poll: the response comes as soon as there is a message with
// a seq above after, or after wait seconds, at most 60. Messages stay until they
// are acknowledged. A message without payload has empty headers and body; a
// message in aesgcm has encryption and crypto-key in its headers.
//
// With [Options].NewReceiver, the routes of the npm package web-push-testing work
// as its documentation describes: POST to /status, /subscribe,
// /expire-subscription/{clientHash}, /get-notifications, and /notify/{clientHash}
// as the endpoint. For these routes the service is the user agent, too. It checks
// their messages as that package does, which ignores aud, for example.
//
// Chromium checks in with POST /checkin and registers with POST /c2dm/register3.
// It receives messages through MCS, which [Service.ServeMCS] speaks on a TLS
// connection of the caller. Chromium's endpoints are on hosts of Google; only
// [Service.ServeChromium] accepts these names, on a listener that clients are made
// to connect to. [ServerOptions].Chromium starts a listener for all of this, and
//
//	GET    /api/chromium         200 {"address": "127.0.0.1:5228", "hosts": ["fcm.googleapis.com", …],
//	                             "publicKeyHash": "base64", "ca": "-----BEGIN CERTIFICATE-----…"}
//
// describes it; see [ChromiumServer].
//
// Rejections have the status codes and the JSON object of Mozilla's autopush. The
// field message begins with autopush's own words, if it has any, followed by the
// problem with the value.
//
// The routes under /api need no credentials: anyone who can reach the service can
// read and expire every subscription. [Start] listens on the loopback address by
// default. Requests for an unknown host are refused, because a web page's own name
// can be pointed at this machine (DNS rebinding). The WebSocket and these routes
// refuse requests from web pages, except pages of the service's own origin and of
// [Options].AllowOrigins.
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

// Service is a push service. It is an [http.Handler] and safe for concurrent use.
// Its methods do the same as the routes under /api. Unless stated otherwise, their
// errors are of type [*Error].
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

// Close closes the connections of user agents, waits for them, and refuses new
// ones. A service from [Open] no longer stores or accepts anything after that; the
// error reports that something could not be stored. A service from [New] still
// handles requests, and the error is nil. Later calls return the same error.
func (s *Service) Close() error {
	s.sockets.close()
	if s.store.journal == nil {
		return nil
	}
	return s.store.journal.close()
}

// Disconnect closes the connections of user agents, like a network failure. They
// can connect again.
func (s *Service) Disconnect() { s.store.disconnect() }

// sockets holds the connections of user agents, which last until either side
// closes them.
type sockets struct {
	max  int
	mu   sync.Mutex
	open map[*line]struct{}
	done bool
	all  sync.WaitGroup
}

// errStops is the reason for closing connections when the service is closed.
var errStops = errors.New("the push service stops")

// enter adds a connection, which close closes, until leave.
func (k *sockets) enter(l *line) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.done || len(k.open) >= k.max {
		e := refuse(http.StatusServiceUnavailable, noErrno, "Too many connections", "there are %d, the maximum", len(k.open))
		e.header = map[string]string{"Retry-After": "60"}
		if k.done {
			e.Problem = "Unavailable: the push service stops"
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

// short returns the beginning of an ID, which distinguishes IDs and is not secret.
func short(id string) string {
	const n = 8
	if len(id) <= n {
		return id
	}
	return id[:n]
}

// Subscribe creates a subscription, restricted to key unless key is zero (RFC
// 8292, section 4). The error reports that there are too many.
func (s *Service) Subscribe(key vapid.PublicKey) (Subscription, error) {
	return s.store.subscribe(key)
}

// Unsubscribe expires the subscription: its waiting messages are dropped, its
// waiting user agents are notified, and later messages are refused with 410. The
// error reports that the ID is unknown, or that the subscription has already
// expired.
func (s *Service) Unsubscribe(id string) error { return s.store.unsubscribe(id) }

// Subscriptions returns the subscriptions that have not expired, oldest first.
func (s *Service) Subscriptions() []Subscription { return s.store.list() }

// Messages returns the waiting messages of the subscription whose Seq is greater
// than after, oldest first. If there are none, it waits for the next one for at
// most the duration wait, and then returns none. Messages stay until [Service.Ack]
// or until they expire; a message with a TTL of zero is returned once, to the calls
// that are waiting for it. The bodies are shared and must not be changed.
//
// The error reports that the ID is unknown, or that the subscription has expired,
// possibly while waiting; or it is the error of ctx.
func (s *Service) Messages(ctx context.Context, id string, after uint64, wait time.Duration) ([]AcceptedMessage, error) {
	return s.store.receive(ctx, id, after, wait)
}

// Ack removes a message, because its user agent has received it or its application
// server cancels it. The error reports that no message with that ID is waiting, or,
// after [Open], that the removal could not be stored yet.
func (s *Service) Ack(id string) error { return s.store.ack(id) }

// ServeHTTP handles a request to one of the routes. It panics with
// [http.ErrAbortHandler] if a [Fault] requests a reset, and only then.
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

// route does not use http.ServeMux, which has responses of its own and redirects
// to cleaned paths.
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
	// Endpoints remain valid when a service with stored data changes personality.
	if _, _, known := s.store.lookup(endpointKey(r.URL)); known || s.as.owns(parts) {
		s.servePush(w, r, parts)
		return nil
	}
	return notFound("Invalid path", "%q is not a route of this push service", clip(r.URL.Path))
}

// originOf returns the service's origin as r reached it.
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
	// Host can hold anything that does not end a header line, such as a path.
	origin, err := vapid.Origin(scheme + r.Host)
	if err != nil || strings.ContainsAny(r.Host, "/?#@\\") {
		return "", refuse(http.StatusBadRequest, noErrno, "Invalid Host header", "%q is not a host", clip(r.Host))
	}
	return origin, nil
}
