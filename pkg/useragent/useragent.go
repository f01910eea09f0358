// Package useragent is the receiving end of Web Push: it makes the keys of a
// subscription (RFC 8291 section 3), registers it with a push service, and
// receives and decrypts messages. It speaks the REST channel of package
// pushservice, over HTTP only:
//
//	sub, err := useragent.Subscribe(ctx, server, useragent.Options{})
//	subscription, err := json.Marshal(sub) // what a page sends to its application server
//	m, err := sub.Receive(ctx)
//	err = sub.Ack(ctx, m)
package useragent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Options says how to subscribe. The zero value is good.
type Options struct {
	// ApplicationServerKey is who may send: messages have to be signed with it
	// (RFC 8292 section 4). If it is zero anyone may who knows the endpoint.
	ApplicationServerKey vapid.PublicKey
	// HTTP sends the requests, an *[http.Client] for example. It should not
	// follow redirects, and have no timeout under a minute: the context of each
	// request has one. If it is nil it is a client of this package.
	HTTP interface {
		Do(*http.Request) (*http.Response, error)
	}
}

// Subscription is a subscription of this user agent. It is safe for concurrent
// use. It prints, by any verb of fmt and in slog, as the origin of its push
// service: the endpoint is a capability, and its keys decrypt.
type Subscription struct {
	client   client
	id       string
	endpoint string
	identity *ece.Identity
	inbox    inbox
}

// Subscribe makes an identity and registers it with the push service at server,
// a URL with https, or with http on a loopback host. The errors are that of the
// URL, of ctx, of the network, or an [*Error].
func Subscribe(ctx context.Context, server string, o Options) (*Subscription, error) {
	base, err := parseURL(server)
	if err != nil {
		return nil, fmt.Errorf("the push service's address %w", err)
	}
	identity, err := ece.GenerateIdentity()
	if err != nil {
		return nil, fmt.Errorf("making keys: %w", err)
	}
	s := &Subscription{identity: identity, client: client{http: o.HTTP, base: base}, inbox: newInbox()}
	if s.client.http == nil {
		s.client.http = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	request := make(map[string]string)
	if !o.ApplicationServerKey.IsZero() {
		request["applicationServerKey"] = o.ApplicationServerKey.String()
	}
	var answer struct{ ID, Endpoint string }
	if err := s.client.call(ctx, "subscribing", http.MethodPost, "api/subscriptions", request, http.StatusCreated, &answer); err != nil {
		return nil, err
	}
	if !isID(answer.ID) {
		return nil, fmt.Errorf("subscribing at %s: the answer has no valid id", s.client.origin())
	}
	if _, err := parseURL(answer.Endpoint); err != nil {
		return nil, fmt.Errorf("subscribing at %s: the endpoint in the answer %w", s.client.origin(), err)
	}
	s.id, s.endpoint = answer.ID, answer.Endpoint
	return s, nil
}

// Endpoint returns the URL that messages are sent to (RFC 8030 section 5). It
// is a capability: who has it can send, unless the subscription is restricted.
func (s *Subscription) Endpoint() string { return s.endpoint }

// Identity returns the keys of the subscription.
func (s *Subscription) Identity() *ece.Identity { return s.identity }

// MarshalJSON writes what PushSubscription.toJSON of the Push API does, for the
// application server: endpoint, expirationTime, which is null, and in keys
// p256dh and auth as base64url without padding. The authentication secret is
// among them, the private key is not.
func (s *Subscription) MarshalJSON() ([]byte, error) {
	type keys struct {
		P256DH string `json:"p256dh"`
		Auth   string `json:"auth"`
	}
	r := s.identity.Recipient()
	return json.Marshal(struct {
		Endpoint       string `json:"endpoint"`
		ExpirationTime *int64 `json:"expirationTime"`
		Keys           keys   `json:"keys"`
	}{s.endpoint, nil, keys{b64.Encode(r.P256DH()), b64.Encode(r.Auth())}})
}

// Unsubscribe ends the subscription: messages are refused from now on. It is no
// error if it has ended before.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	err := s.client.call(ctx, "unsubscribing", http.MethodDelete, "api/subscriptions/"+s.id, nil, http.StatusNoContent, nil)
	return ignoreStatus(err, http.StatusNotFound, http.StatusGone)
}

// String tells the origin of the push service.
func (s *Subscription) String() string {
	if s == nil {
		return "no subscription"
	}
	return "subscription at " + s.client.origin()
}

// GoString is String, so that %#v does not print the endpoint.
func (s *Subscription) GoString() string { return s.String() }

// Format writes String for every verb, so that none prints the endpoint.
func (s *Subscription) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String, so that log/slog does not write the endpoint.
func (s *Subscription) LogValue() slog.Value { return slog.StringValue(s.String()) }

// parseURL refuses what messages should not travel by. The error does not
// repeat s and continues a sentence that names it.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("is no URL: %w", bare(err))
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("has the scheme %q, expected https", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("has a user name or password")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("is http at %q, expected https, or a loopback host", u.Hostname())
	}
	u.RawQuery, u.Fragment = "", ""
	return u, nil
}

func isLoopback(host string) bool {
	host = strings.ToLower(host)
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// isID reports whether s can be part of a path as it is.
func isID(s string) bool {
	return s != "" && strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_") == ""
}
