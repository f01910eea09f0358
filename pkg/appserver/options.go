package appserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/time/rate"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

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
	// empty means any. Set it for a server on a loopback address, see [LoopbackHosts], or
	// on a private one: otherwise web pages can reach the server by a name that resolves
	// to it (DNS rebinding).
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
	// KeepJobs is the retention time of finished jobs; zero means 30 days.
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

// LoopbackHosts returns the names of this machine, for the Hosts of a server that listens on
// a loopback address.
func LoopbackHosts() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// UserHeader returns a User for [Options] that reads the user from a header, which a proxy
// in front of the server must set. The error is an [*webpush.InputError] with Part
// "user-header".
func UserHeader(name string) (func(*http.Request) (string, error), error) {
	if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) }) {
		return nil, wrong("user-header", "write it as X-User", "%q is not the name of a header", name)
	}
	return func(r *http.Request) (string, error) { return r.Header.Get(name), nil }, nil
}

// wrong returns an [*webpush.InputError] for an option, with a hint.
func wrong(part, hint, format string, a ...any) error {
	return webpush.WithHint(&webpush.InputError{Part: part, Problem: fmt.Sprintf(format, a...)}, hint)
}

// check returns an error if the options cannot be used.
func (o *Options) check() error {
	switch {
	case o.Store == nil:
		return errors.New("the server needs a store")
	case o.Key == nil:
		return webpush.WithHint(errors.New("the server needs a private key to sign with"), "pass a P-256 private key")
	case len(o.Token) < 16:
		return fmt.Errorf("the administrator's token has %d characters, expected 16 or more", len(o.Token))
	}
	if o.Bulk.MaxFailures != 0 || o.Bulk.DryRun {
		return errors.New("Bulk.MaxFailures and Bulk.DryRun must not be set: a server's jobs always run to the end")
	}
	if strings.ContainsFunc(o.Token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("the administrator's token contains a space or another character that is not allowed in a header")
	}
	for _, host := range o.Hosts {
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && (host == "" || strings.ContainsAny(host, ":/?#@*[] ")) {
			return wrong("host", "write it as push.example.com, without scheme and port", "%q is not a host name", host)
		}
	}
	for _, port := range o.Ports {
		if port < 1 || port > 65535 {
			return wrong("port", "", "invalid port %d, expected 1 to 65535", port)
		}
	}
	return nil
}

// complete checks the options, sets defaults, and normalizes origins.
func (o *Options) complete() error {
	if err := o.check(); err != nil {
		return err
	}
	for i, origin := range o.Origins {
		if origin == "*" {
			continue
		}
		normal, err := vapid.Origin(origin)
		if err != nil || strings.TrimSuffix(strings.ToLower(origin), "/") != normal {
			hint := "write it as https://www.example.com, without a path"
			if strings.ContainsFunc(origin, func(r rune) bool { return r > unicode.MaxASCII }) {
				hint = "write its host in ASCII, as browsers do: xn--…"
			}
			return wrong("origin", hint, "%q is not an origin", origin)
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
			return err
		}
		o.HTTP = c
	}
	return nil
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
