// Package useragent is the receiving side of Web Push: it creates the keys of a
// subscription (RFC 8291, section 3), registers it with a push service, and
// receives and decrypts messages.
//
//	sub, err := useragent.Subscribe(ctx, useragent.Mozilla, useragent.Options{})
//	subscription, err := json.Marshal(sub) // a page sends this to its application server
//	state, err := json.Marshal(sub.State()) // Open continues with this after a restart
//	m, err := sub.Receive(ctx)
//	err = sub.Ack(ctx, m)
//	err = sub.Close()
//
// A [Device] has any number of subscriptions and receives the messages of all of
// them over one connection; a [File] keeps its state.
//
// The scheme of the push service's address selects the protocol: wss, or ws on a
// loopback host, is the WebSocket protocol that Firefox and Mozilla's autopush
// use; https, or http on a loopback host, is the REST channel of package
// pushservice, with one subscription per device; and chromium is the channel of
// Chromium, at the listener of package pushservice, or with [FCM] at Google.
package useragent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// ErrClosed is the error of a device and its subscriptions after [Device.Close].
var ErrClosed = errors.New("the subscription is closed")

// Options configures a [Device]. The zero value is ready to use.
type Options struct {
	// ApplicationServerKey restricts who can send to the subscription that
	// [Subscribe], [File.Subscription], or [File.Renew] creates: messages must be signed with it (RFC 8292, section 4).
	// If it is zero, anyone who knows the endpoint can send. Other functions
	// ignore it.
	ApplicationServerKey vapid.PublicKey
	// HTTP sends the requests and the handshake of the WebSocket, for example an
	// *[http.Client]. It should not follow redirects or have a timeout under a
	// minute, because the context of each request has one. If it is nil, this
	// package uses a client of its own. The channel of Chromium ignores it,
	// because its requests go to the host of its other connections.
	HTTP interface {
		Do(*http.Request) (*http.Response, error)
	}
	// CAs are certificates in PEM that the channel of Chromium trusts in addition to
	// the system's.
	CAs []byte
	// Notify, if set, is called when the connection is lost, each time that it
	// cannot be restored, and when it is back. Calls do not overlap. Notify must
	// neither block nor call the device.
	Notify func(Event)

	// dial, if set, makes the connections of Chromium's channel.
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// ending makes a WebSocket end with an [*Error] that is Gone, instead of registering
	// subscriptions again, if the push service has forgotten the user agent.
	ending bool
}

func (o Options) notify(e Event) {
	if o.Notify != nil {
		o.Notify(e)
	}
}

// Event reports a change of the connection.
type Event struct {
	// Err is the reason why the connection was lost or could not be made, or nil
	// when it is back.
	Err error
	// Retry is the wait before the next attempt, or zero if there is none.
	Retry time.Duration
}

// Subscribe creates a device with one subscription at the push service with the
// address server: a URL with wss, https, or chromium, or with ws or http on a
// loopback host, or [FCM]. The context limits the registration only; the
// subscription lasts until Close. The errors come from [NewDevice] and
// [Device.Subscribe].
func Subscribe(ctx context.Context, server string, o Options) (*Subscription, error) {
	d, err := NewDevice(server, o)
	if err != nil {
		return nil, err
	}
	return d.Subscribe(ctx, "", o.ApplicationServerKey)
}

// Open continues with the subscriptions of a state: messages that the push
// service kept in the meantime arrive first. Over a WebSocket and MCS it connects
// before it returns; the context limits the first connection only. If the push
// service has forgotten the user agent, Receive returns a [*ChangedError] for
// each subscription. Other errors are the error of ctx or an [*Error], which is
// Gone if Chromium's push service has forgotten the device.
func Open(ctx context.Context, state State, o Options) (*Device, error) {
	if len(state.subscriptions) == 0 {
		return nil, errors.New("the state is empty: it has no subscription to continue with")
	}
	d, err := newDevice(state, o)
	if err != nil {
		return nil, err
	}
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Unsubscribe ends all subscriptions of a state that no [Device] uses: the push
// service rejects messages to them from now on. It is not an error if they have
// ended before.
func Unsubscribe(ctx context.Context, state State, o Options) error {
	return unsubscribe(ctx, state, o, state.subscriptions, func(State) error { return nil })
}
