package pushservice

import (
	"log/slog"
	"time"
)

// Defaults of [Options].
const (
	// DefaultMaxBody is 4096 bytes, the size that every push service must accept
	// (RFC 8030, section 7.2).
	DefaultMaxBody = 4096
	// DefaultMaxTTL is 30 days, as at autopush.
	DefaultMaxTTL = 30 * 24 * time.Hour
	// DefaultMaxSubscriptions is the maximum number of subscriptions.
	DefaultMaxSubscriptions = 10_000
	// DefaultMaxMessages is the maximum number of waiting messages of all
	// subscriptions: about 50 MB if each has the maximum size.
	DefaultMaxMessages = 10_000
	// DefaultMaxRequests is the maximum number of requests in the list.
	DefaultMaxRequests = 100
	// DefaultMaxConnections is the maximum number of connected user agents.
	DefaultMaxConnections = 10_000
)

// Options configures a [Service]. Limits that are zero or less mean the defaults.
type Options struct {
	// Origin is the service's scheme://host[:port] as clients reach it. Endpoints
	// begin with it, and the aud of VAPID tokens must be equal to it. If empty, it
	// is derived from each request: https for a request over TLS, and the Host
	// header. It is normalized by [vapid.Origin]; no token has an aud for a value
	// that is not an origin.
	Origin string
	// Hosts are additional names, without ports, that clients use for the service.
	// Requests for a host other than these, localhost, a loopback address, the
	// address that the client has connected to, and the host of Origin are refused
	// with 421.
	Hosts []string
	// HostHint is the advice in the 421 response. If empty, the advice is to add the
	// name to the service's host names.
	HostHint string
	// AllowOrigins are the origins, scheme://host[:port], of web pages that can use
	// the WebSocket, the routes under /api, and the routes of web-push-testing, in
	// addition to the service's own pages. All other pages are refused with 403.
	AllowOrigins []string
	// MaxBody is the maximum size of a message's body, in bytes. The default is
	// 5630 for Mozilla and 5000 for WNS.
	MaxBody int
	// MaxTTL is the longest time to keep a message, in whole seconds, at least one. A
	// longer TTL is reduced to it. The default is 28 days for FCM.
	MaxTTL time.Duration
	// MaxSubscriptions is the maximum number of subscriptions; more are refused
	// with 429. The same number of expired subscriptions is remembered, for
	// responses with 410.
	MaxSubscriptions int
	// MaxMessages is the maximum number of waiting messages of all subscriptions;
	// more are refused with 429.
	MaxMessages int
	// MaxRequests is the maximum number of requests that [Service.Requests]
	// returns.
	MaxRequests int
	// MaxConnections is the maximum number of user agents that are connected by
	// WebSocket or MCS. More are refused, by WebSocket with 503.
	MaxConnections int
	// Log receives messages, rejections, and user agent connections, without
	// secrets: IDs are shortened and endpoints omitted. If nil, nothing is logged.
	Log *slog.Logger
	// As is the push service to imitate toward application servers. Unknown values
	// mean Strict.
	As Personality
	// NewReceiver generates the keys of a user agent for each subscription of the
	// routes of web-push-testing, such as the function New of package receiver. If
	// nil, these routes respond with 501.
	NewReceiver func() (Receiver, error)
}
