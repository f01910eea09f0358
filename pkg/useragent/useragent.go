// Package useragent is the receiving end of Web Push: it makes the keys of a
// subscription (RFC 8291 section 3), registers it with a push service, and
// receives and decrypts messages.
//
//	sub, err := useragent.Subscribe(ctx, "wss://push.services.mozilla.com/", useragent.Options{})
//	subscription, err := json.Marshal(sub) // what a page sends to its application server
//	state, err := json.Marshal(sub.State()) // what Open goes on with, after a restart
//	m, err := sub.Receive(ctx)
//	err = sub.Ack(ctx, m)
//	err = sub.Close()
//
// The scheme of the push service's address selects the protocol: wss, or ws on a
// loopback host, is the WebSocket protocol that Firefox and Mozilla's autopush
// speak; https, or http on a loopback host, is the REST channel of package
// pushservice; and chromium is the channel of Chromium, at the listener of package
// pushservice, or for [FCM] at Google.
package useragent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Mozilla is the address of Mozilla's public push service, which desktop
// Firefox uses.
const Mozilla = "wss://push.services.mozilla.com/"

// FCM is the address of Google's public push service, which Chromium uses. It is
// experimental: Google documents no protocol for it, and nothing here was tested
// against Google's servers.
const FCM = "fcm"

// ErrKeyRequired is the error of [Subscribe] at a push service of Chromium without
// an application server key.
var ErrKeyRequired = errors.New("push services of Chromium require an application server key")

// RequiresKey reports whether the push service at this address accepts only
// subscriptions with an application server key, see [ErrKeyRequired].
func RequiresKey(server string) bool {
	base, err := parseServer(server)
	return err == nil && isChromium(base)
}

// chromiumScheme is the scheme of a push service, chromium://HOST:PORT, that
// stands in for Google.
const chromiumScheme = "chromium"

// ErrClosed is the error of a subscription after [Subscription.Close].
var ErrClosed = errors.New("the subscription is closed")

// Options says how to subscribe. The zero value is good.
type Options struct {
	// ApplicationServerKey is who may send: messages have to be signed with it
	// (RFC 8292 section 4). If it is zero anyone may who knows the endpoint.
	// [Open] does not look at it.
	ApplicationServerKey vapid.PublicKey
	// HTTP sends the requests and the handshake of the WebSocket, an
	// *[http.Client] for example. It should not follow redirects, and have no
	// timeout under a minute: the context of each request has one. If it is nil
	// it is a client of this package. The channel of Chromium does not use it: its
	// requests go where its other connections go.
	HTTP interface {
		Do(*http.Request) (*http.Response, error)
	}
	// CAs are certificates in PEM that the channel of Chromium trusts in addition to
	// those of the system.
	CAs []byte
	// Notify is told when the connection is lost, each time that it cannot be
	// made again, and when it is back. It is called by one goroutine at a time
	// and must neither wait nor call the subscription. It may be nil.
	Notify func(Event)

	// dial makes the connections of Chromium's channel if it is not nil.
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Event is news of the connection.
type Event struct {
	// Err is why the connection was lost or could not be made, or nil: it is
	// back.
	Err error
	// Retry is after what time it is tried again; zero if Err is nil.
	Retry time.Duration
}

// Subscription is a subscription of this user agent. It is safe for concurrent
// use. It prints, by any verb of fmt and in slog, as the origin of its push
// service: the endpoint is a capability, and its keys decrypt.
type Subscription struct {
	server   string
	origin   string
	key      vapid.PublicKey
	identity *ece.Identity
	channel  channel

	file   *File      // or nil
	saving sync.Mutex // held while file is written
}

// channel is a way to speak to a push service. Its errors do not show ids and
// endpoints.
type channel interface {
	// registration is what the push service knows the subscription by.
	registration() registration
	// receive waits for the next message, through lost connections.
	receive(ctx context.Context) (wireMessage, error)
	// remember notes that a message is about to be acknowledged with that code,
	// and reports whether the state has changed: the push service could repeat it.
	remember(id string, code int) (changed bool)
	// progress returns the messages that it remembers.
	progress() progress
	// ack acknowledges a message with a code of autopush's.
	ack(ctx context.Context, id string, code int) error
	unsubscribe(ctx context.Context) error
	close() error
}

// registration is what the push service knows a subscription by.
type registration struct {
	uaid     string // of the user agent, on the WebSocket only
	id       string // the channel's, or in Chromium the subtype
	endpoint string

	// In Chromium only.
	instance string
	device   device
}

// progress is the messages that a channel remembers, by their IDs, oldest first.
type progress struct {
	acknowledged []string // at most maxKept
	unconfirmed  []string // in Chromium only, at most maxUnconfirmed
}

// wireMessage is a message as it arrives.
type wireMessage struct {
	ID      string
	Seq     uint64
	Time    time.Time
	TTL     int64
	Urgency string
	Topic   string
	Headers map[string]string
	Body    string

	damage error // why there is no body, though one was sent
}

// Subscribe makes an identity and registers it with the push service at server,
// a URL with wss, https, or chromium, or with ws or http on a loopback host, or
// [FCM]. The context is that of the registration only; the subscription lasts
// until Close. The errors are that of the URL, of ctx, [ErrKeyRequired], or an
// [*Error], which wraps a [*RegistrationError] for a code of Chromium's push
// service.
func Subscribe(ctx context.Context, server string, o Options) (*Subscription, error) {
	return subscribe(ctx, server, device{}, func(device) error { return nil }, o)
}

// subscribe is Subscribe, in Chromium for a device, or a new one. keep is called
// with it before the registration.
func subscribe(ctx context.Context, server string, d device, keep func(device) error, o Options) (*Subscription, error) {
	s, base, err := newSubscription(server)
	if err != nil {
		return nil, err
	}
	if s.identity, err = ece.GenerateIdentity(); err != nil {
		return nil, fmt.Errorf("making keys: %w", err)
	}
	s.key = o.ApplicationServerKey
	switch {
	case isChromium(base):
		s.channel, err = subscribeChromium(ctx, base, d, s.key, keep, o)
	case isSocket(base):
		s.channel, err = openSocket(ctx, base, registration{}, nil, s.key, o)
	default:
		s.channel, err = subscribeREST(ctx, base, s.key, o)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Open goes on with a subscription: messages that the push service kept
// meanwhile arrive first. Over a WebSocket and MCS it connects before it returns;
// the context is that of the first connection only. If the push service has
// forgotten the user agent, the first Receive returns a [*ChangedError]. The
// errors are that of ctx or an [*Error].
func Open(ctx context.Context, state State, o Options) (*Subscription, error) {
	if state.identity == nil {
		return nil, errors.New("the state is empty: there is no subscription to go on with")
	}
	s, base, err := newSubscription(state.server)
	if err != nil {
		return nil, err
	}
	s.identity, s.key = state.identity, state.key
	switch {
	case isChromium(base):
		s.channel, err = openChromium(ctx, base, state, o)
	case isSocket(base):
		s.channel, err = openSocket(ctx, base, state.registration, state.acknowledged, s.key, o)
	default:
		s.channel = newREST(base, state.registration, o)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Unsubscribe ends the subscription of a state that no [Subscription] uses:
// messages are refused from now on. It is not an error if it has ended before. In
// Chromium it works while another subscription of the same device is connected.
func Unsubscribe(ctx context.Context, state State, o Options) (err error) {
	if base, err := parseServer(state.server); err == nil && isChromium(base) && state.identity != nil {
		g, err := newGoogle(base, o)
		if err != nil {
			return err
		}
		return g.unregister(ctx, state.registration.device, state.registration)
	}
	s, err := Open(ctx, state, o)
	if err != nil {
		return unlessGone(err)
	}
	defer func() {
		if e := s.Close(); err == nil {
			err = e
		}
	}()
	return s.Unsubscribe(ctx)
}

func newSubscription(server string) (*Subscription, *url.URL, error) {
	base, err := parseServer(server)
	if err != nil {
		return nil, nil, fmt.Errorf("the push service's address %w", err)
	}
	return &Subscription{server: server, origin: serverOrigin(base)}, base, nil
}

// parseServer parses the address of a push service. The error continues a
// sentence that names it.
func parseServer(s string) (*url.URL, error) {
	if s == FCM {
		return &url.URL{Scheme: FCM}, nil
	}
	if u, err := url.Parse(s); err == nil && u.Scheme == chromiumScheme {
		switch {
		case u.Hostname() == "" || u.Port() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			return nil, fmt.Errorf("is %q, expected chromium://HOST:PORT", s)
		}
		return u, nil
	}
	return parseURL(s, "https", "wss")
}

func isChromium(u *url.URL) bool { return u.Scheme == FCM || u.Scheme == chromiumScheme }

// serverOrigin is the origin of a push service's address.
func serverOrigin(u *url.URL) string {
	if u.Scheme == FCM {
		return "https://fcm.googleapis.com"
	}
	return u.Scheme + "://" + u.Host
}

// Endpoint returns the URL that messages are sent to (RFC 8030 section 5), as
// it is now: see [ChangedError]. It is a capability: who has it can send, unless
// the subscription is restricted.
func (s *Subscription) Endpoint() string { return s.channel.registration().endpoint }

// Identity returns the keys of the subscription.
func (s *Subscription) Identity() *ece.Identity { return s.identity }

// State returns what Open needs to go on with the subscription, as it is now.
func (s *Subscription) State() State {
	p := s.channel.progress()
	return State{server: s.server, key: s.key, identity: s.identity, registration: s.channel.registration(), acknowledged: p.acknowledged, unconfirmed: p.unconfirmed}
}

// MarshalJSON writes what PushSubscription.toJSON of the Push API does, for the
// application server: endpoint, expirationTime, which is null, and in keys
// p256dh and auth as base64url without padding. The authentication secret is
// among them, the private key is not.
func (s *Subscription) MarshalJSON() ([]byte, error) { return s.State().Subscription() }

// Unsubscribe ends the subscription: messages are refused from now on. It is no
// error if it has ended before. Over a WebSocket it waits for a lost connection
// to be back.
func (s *Subscription) Unsubscribe(ctx context.Context) error { return s.channel.unsubscribe(ctx) }

// Close ends the connection; the subscription goes on, and [Open] of its State
// receives what arrives meanwhile. Calls that wait return [ErrClosed]. The error
// is that the push service did not confirm the end of the connection within 3
// seconds, so that the last acknowledgements may not have reached it. More
// calls do nothing.
func (s *Subscription) Close() error { return s.channel.close() }

// String tells the origin of the push service.
func (s *Subscription) String() string {
	if s == nil {
		return "no subscription"
	}
	return "subscription at " + s.origin
}

// GoString is String, so that %#v does not print the endpoint.
func (s *Subscription) GoString() string { return s.String() }

// Format writes String for every verb, so that none prints the endpoint.
func (s *Subscription) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String, so that log/slog does not write the endpoint.
func (s *Subscription) LogValue() slog.Value { return slog.StringValue(s.String()) }

// State is a subscription at rest: the address of the push service, what it
// knows the subscription by, and the keys. It is made by [Subscription.State] or
// from JSON. It holds secrets, which its JSON shows, and nothing else: it prints,
// by any verb of fmt and in slog, as the origin of its push service.
type State struct {
	server       string
	key          vapid.PublicKey
	identity     *ece.Identity
	registration registration
	acknowledged []string // IDs of messages, oldest first
	unconfirmed  []string
}

// stateJSON is the form of a state file.
type stateJSON struct {
	Server    string        `json:"server"`
	Endpoint  string        `json:"endpoint"`
	UAID      string        `json:"uaid,omitempty"`
	ChannelID string        `json:"channelID,omitempty"`
	Device    *deviceJSON   `json:"device,omitempty"`
	Subtype   string        `json:"subtype,omitempty"`
	Instance  string        `json:"instanceID,omitempty"`
	Key       *string       `json:"applicationServerKey"`
	Keys      *ece.Identity `json:"keys,omitempty"`
	Acked     []string      `json:"acknowledged,omitempty"`
	Unsure    []string      `json:"unconfirmed,omitempty"`
}

// deviceJSON is a device of Chromium. The numbers are decimal.
type deviceJSON struct {
	ID      uint64    `json:"androidID,string"`
	Token   uint64    `json:"securityToken,string"`
	Checkin time.Time `json:"checkin"`
}

// Server returns the address of the push service, as it was given to Subscribe.
func (s State) Server() string { return s.server }

// ApplicationServerKey returns who may send, or zero for anyone.
func (s State) ApplicationServerKey() vapid.PublicKey { return s.key }

// Endpoint returns the URL that messages are sent to, or "" for the zero State.
func (s State) Endpoint() string { return s.registration.endpoint }

// Subscription returns what [Subscription.MarshalJSON] writes.
func (s State) Subscription() ([]byte, error) {
	if s.identity == nil {
		return nil, errors.New("the state is empty: it has no subscription")
	}
	type keys struct {
		P256DH string `json:"p256dh"`
		Auth   string `json:"auth"`
	}
	r := s.identity.Recipient()
	return json.Marshal(struct {
		Endpoint       string `json:"endpoint"`
		ExpirationTime *int64 `json:"expirationTime"`
		Keys           keys   `json:"keys"`
	}{s.registration.endpoint, nil, keys{b64.Encode(r.P256DH()), b64.Encode(r.Auth())}})
}

// MarshalJSON writes the state with its secrets: server, endpoint, uaid (32
// hexadecimal digits; over WebSocket only), channelID, applicationServerKey
// (base64url, or null), in keys, privateKey, p256dh, and auth (base64url), and, in
// acknowledged, the IDs of the last few hundred messages that were acknowledged
// over a WebSocket or MCS, because the push service can send them again. A state of
// Chromium has, instead of uaid and channelID: device with androidID,
// securityToken, and checkin (RFC 3339); subtype; instanceID; and unconfirmed, the
// IDs of acknowledged messages that the next login lists.
func (s State) MarshalJSON() ([]byte, error) {
	r := s.registration
	if s.identity == nil && !r.device.known() {
		return nil, errors.New("the state is empty: there is nothing to keep")
	}
	v := stateJSON{Server: s.server, Endpoint: r.endpoint, Keys: s.identity, Acked: s.acknowledged, Unsure: s.unconfirmed}
	if r.device.known() {
		d := deviceJSON(r.device)
		v.Device, v.Subtype, v.Instance = &d, r.id, r.instance
	} else {
		v.UAID, v.ChannelID = r.uaid, r.id
	}
	if !s.key.IsZero() {
		v.Key = new(s.key.String())
	}
	return json.Marshal(v)
}

// UnmarshalJSON reads what MarshalJSON writes; other members are ignored. The
// errors name the member that is missing or wrong, and never repeat a secret. On
// error the state stays as it was.
func (s *State) UnmarshalJSON(data []byte) error {
	var v stateJSON
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("the state is damaged: %w", err)
	}
	base, err := parseServer(v.Server)
	if err != nil {
		return fmt.Errorf("the state's server %w", err)
	}
	var d device
	if isChromium(base) {
		if v.Device != nil {
			d = device(*v.Device)
		}
		switch {
		case !d.known():
			return errors.New("the state has no valid device")
		case v.Keys == nil && v.Endpoint == "": // its registration was refused
			*s = State{server: v.Server, registration: registration{device: d}}
			return nil
		case !isSubtype(v.Subtype):
			return errors.New("the state has no valid subtype")
		case !isID(v.Instance):
			return errors.New("the state has no valid instanceID")
		case v.Key == nil:
			return errors.New("the state has no applicationServerKey")
		}
		v.UAID, v.ChannelID = "", v.Subtype
	} else {
		v.Instance, v.Unsure = "", nil
	}
	if _, err := parseURL(v.Endpoint, "https"); err != nil {
		return fmt.Errorf("the state's endpoint %w", err)
	}
	parsed := State{server: v.Server, identity: v.Keys, registration: registration{v.UAID, v.ChannelID, v.Endpoint, v.Instance, d}, acknowledged: v.Acked, unconfirmed: v.Unsure}
	switch {
	case v.Keys == nil:
		return errors.New("the state has no keys")
	case !isChromium(base) && !isID(v.ChannelID):
		return errors.New("the state has no valid channelID")
	case isSocket(base) && !isUAID(v.UAID):
		return errors.New("the state has no valid uaid")
	}
	if v.Key != nil {
		if parsed.key, err = vapid.ParsePublicKey([]byte(*v.Key)); err != nil {
			return fmt.Errorf("the state's applicationServerKey: %w", err)
		}
	}
	*s = parsed
	return nil
}

// String tells the origin of the push service.
func (s State) String() string {
	if s.identity == nil {
		return "no subscription"
	}
	if base, err := parseServer(s.server); err == nil {
		return "subscription at " + serverOrigin(base)
	}
	return "subscription"
}

// GoString is String, so that %#v does not print the secrets.
func (s State) GoString() string { return s.String() }

// Format writes String for every verb, so that none prints the secrets.
func (s State) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String, so that log/slog does not write the secrets.
func (s State) LogValue() slog.Value { return slog.StringValue(s.String()) }

// parseURL refuses what messages should not travel by: schemes are those that
// are encrypted, which without their "s" are good for loopback hosts. The error
// does not repeat s and continues a sentence that names it.
func parseURL(s string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("is no URL: %w", bare(err))
	}
	var secure, plain string
	for _, scheme := range schemes {
		switch u.Scheme {
		case scheme:
			secure = scheme
		case strings.TrimSuffix(scheme, "s"):
			plain = scheme
		}
	}
	switch {
	case secure == "" && plain == "":
		return nil, fmt.Errorf("has the scheme %q, expected %s", u.Scheme, strings.Join(schemes, " or "))
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("has a user name or password")
	case plain != "" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("is %s at %q, expected %s, or a loopback host", u.Scheme, u.Hostname(), plain)
	}
	u.RawQuery, u.Fragment = "", ""
	return u, nil
}

func isSocket(u *url.URL) bool { return u.Scheme == "wss" || u.Scheme == "ws" }

func isLoopback(host string) bool {
	host = strings.ToLower(host)
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// isID reports whether s can be part of a path as it is.
func isID(s string) bool {
	return s != "" && strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_") == ""
}

// isUAID reports whether s can be the id of a user agent: Firefox takes any
// text of 1 to 128 characters.
func isUAID(s string) bool { return s != "" && len([]rune(s)) <= 128 }
