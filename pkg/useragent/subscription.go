package useragent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync/atomic"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Subscription is a subscription of a [Device]. It is safe for concurrent use. It
// prints, with any verb of fmt and in slog, as the origin of its push service,
// because the endpoint is a capability URL and the keys decrypt.
//
// Receive, Messages, Ack, State, and Close are the device's: they apply to all of
// its subscriptions.
type Subscription struct {
	device *Device
	known  atomic.Pointer[Registration]
}

func newSubscription(d *Device, r Registration) *Subscription {
	s := &Subscription{device: d}
	s.known.Store(&r)
	return s
}

// registration returns the current registration.
func (s *Subscription) registration() Registration { return *s.known.Load() }

// registered notes the IDs that the push service knows the subscription by.
func (s *Subscription) registered(id, instance, endpoint string) {
	r := s.registration()
	r.id, r.instance, r.endpoint = id, instance, endpoint
	s.known.Store(&r)
}

// Device returns the device.
func (s *Subscription) Device() *Device { return s.device }

// Name returns the name given to [Device.Subscribe], or "".
func (s *Subscription) Name() string { return s.registration().name }

// Endpoint returns the URL that messages are sent to (RFC 8030, section 5). It
// can change: see [ChangedError]. It is a capability URL: anyone who knows it can
// send, unless the subscription is restricted to a key.
func (s *Subscription) Endpoint() string { return s.registration().endpoint }

// ApplicationServerKey returns the key that messages must be signed with (RFC
// 8292, section 4), or zero if anyone can send.
func (s *Subscription) ApplicationServerKey() vapid.PublicKey { return s.registration().key }

// Identity returns the keys of the subscription.
func (s *Subscription) Identity() *ece.Identity { return s.registration().identity }

// MarshalJSON writes the subscription for the application server, as
// [Registration.MarshalJSON] does.
func (s *Subscription) MarshalJSON() ([]byte, error) { return s.registration().MarshalJSON() }

// Unsubscribe ends the subscription: the push service rejects messages to it from
// now on, and those that wait here are acknowledged and not received. It is not an
// error if it no longer exists. Over a WebSocket it waits until a lost connection is
// back. The device's other subscriptions continue; after its last one,
// Receive returns an [*Error] that is Gone.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	c, err := s.device.connected()
	if err != nil {
		return &Error{Op: "unsubscribing", Service: s.device.origin, Err: err, fatal: true}
	}
	if err := c.unsubscribe(ctx, s); err != nil {
		return err
	}
	return s.device.save()
}

// Supersede ends the subscriptions that s replaces: the device's others with its
// name, and, if [File.New] made the device, all those of the device that was in the
// file before. The errors are those of [Subscription.Unsubscribe], joined: it
// continues after them, and can be called again. It must not be called by several
// goroutines at the same time.
func (s *Subscription) Supersede(ctx context.Context) error {
	d, name := s.device, s.Name()
	var errs []error
	for _, other := range d.Subscriptions() {
		if other != s && other.Name() == name {
			errs = append(errs, other.Unsubscribe(ctx))
		}
	}
	if len(d.replaced.subscriptions) > 0 {
		o := d.options
		o.Notify = nil
		err := Unsubscribe(ctx, d.replaced, o)
		if err == nil {
			d.replaced = State{}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Receive is [Device.Receive].
func (s *Subscription) Receive(ctx context.Context) (*ReceivedMessage, error) {
	return s.device.Receive(ctx)
}

// Messages is [Device.Messages].
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[*ReceivedMessage, error] {
	return s.device.Messages(ctx)
}

// Ack is [Device.Ack].
func (s *Subscription) Ack(ctx context.Context, m *ReceivedMessage) error {
	return s.device.ack(ctx, cmp.Or(m.Subscription, s), m)
}

// State is [Device.State].
func (s *Subscription) State() State { return s.device.State() }

// Close is [Device.Close].
func (s *Subscription) Close() error { return s.device.Close() }

// String returns the origin of the push service.
func (s *Subscription) String() string {
	if s == nil {
		return "no subscription"
	}
	return s.registration().String() + " at " + s.device.origin
}

// GoString is String, so %#v does not print the endpoint.
func (s *Subscription) GoString() string { return s.String() }

// Format writes String for every verb, so none prints the endpoint.
func (s *Subscription) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String, so log/slog does not write the endpoint.
func (s *Subscription) LogValue() slog.Value { return slog.StringValue(s.String()) }
