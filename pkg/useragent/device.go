package useragent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/url"
	"slices"
	"sync"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Device is a user agent of one push service: its subscriptions share a
// connection, and over it arrive the messages of all of them. It is safe for
// concurrent use. It prints, with any verb of fmt and in slog, as the origin of its
// push service.
type Device struct {
	server  string
	origin  string
	base    *url.URL
	options Options
	roster  roster

	turn chan struct{} // holds one token while nobody subscribes

	mu      sync.Mutex
	before  State   // the identity of the device until channel is set
	channel channel // nil until the first subscription
	closed  bool

	file     *File
	saving   sync.Mutex // held while file is written
	replaced State      // of the device that was in file before, if its subscriptions last
}

// NewDevice returns a device without subscriptions; it connects to the push
// service when [Device.Subscribe] is called. The error says why server is not a
// valid address.
func NewDevice(server string, o Options) (*Device, error) {
	return newDevice(State{server: server}, o)
}

func newDevice(state State, o Options) (*Device, error) {
	base, err := parseServer(state.server)
	if err != nil {
		return nil, fmt.Errorf("the push service's address %w", err)
	}
	d := &Device{server: state.server, origin: serverOrigin(base), base: base, options: o, before: state, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	for _, r := range state.subscriptions {
		d.roster.add(newSubscription(d, r))
	}
	d.before.subscriptions = nil
	return d, nil
}

// ErrSingle is the error of [Device.Subscribe] for a second subscription over the
// REST channel.
var ErrSingle = errors.New("the REST channel has one subscription per device")

// Subscribe creates keys and registers a subscription for them. The first one
// connects the device; others share its connection. The name is a label for the
// caller: up to 64 characters of A-Z a-z 0-9 - _ . without a leading dot, or empty;
// several subscriptions can have the same one. key restricts who can send, see
// Options.ApplicationServerKey. The context limits the registration only. The
// errors are an invalid name, the error of ctx, [ErrKeyRequired], [ErrClosed],
// [ErrSingle], or an [*Error], which wraps a [*RegistrationError] for a code of
// Chromium's push service.
func (d *Device) Subscribe(ctx context.Context, name string, key vapid.PublicKey) (*Subscription, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if isChromium(d.base) && key.IsZero() {
		return nil, ErrKeyRequired
	}
	identity, err := ece.GenerateIdentity()
	if err != nil {
		return nil, fmt.Errorf("generating keys: %w", err)
	}
	select {
	case <-d.turn:
		defer func() { d.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s := newSubscription(d, Registration{name: name, key: key, identity: identity})
	c, err := d.connected()
	switch {
	case err == nil:
		if err = c.subscribe(ctx, s); err == nil {
			d.roster.add(s)
		}
	case errors.Is(err, errNotOpen):
		d.roster.add(s)
		if err = d.open(ctx); err != nil {
			d.roster.remove(s)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := d.save(); err != nil {
		forget, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		defer cancel()
		_ = s.Unsubscribe(forget)
		return nil, err
	}
	return s, nil
}

// open connects, and registers the subscriptions that the push service does not
// know.
func (d *Device) open(ctx context.Context) (err error) {
	var c channel
	switch {
	case isChromium(d.base):
		c, err = openChromium(ctx, d.base, &d.roster, d.before, d.keep, d.options)
	case isSocket(d.base):
		c, err = openSocket(ctx, d.base, &d.roster, d.before, d.options)
	default:
		c, err = openREST(ctx, d.base, &d.roster, d.options)
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	closed := d.closed
	if !closed {
		d.channel = c
	}
	d.mu.Unlock()
	if closed {
		_ = c.close()
		return ErrClosed
	}
	return nil
}

// errNotOpen is the error of a device that has never had a subscription.
var errNotOpen = errors.New("the device has no subscription")

func (d *Device) connected() (channel, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, ErrClosed
	case d.channel == nil:
		return nil, errNotOpen
	}
	return d.channel, nil
}

// Subscriptions returns the subscriptions, oldest first.
func (d *Device) Subscriptions() []*Subscription { return d.roster.all() }

// Named returns the last subscription with this name, or nil.
func (d *Device) Named(name string) (found *Subscription) {
	for _, s := range d.roster.all() {
		if s.Name() == name {
			found = s
		}
	}
	return found
}

// Server returns the address of the push service, as it was given to
// [NewDevice].
func (d *Device) Server() string { return d.server }

// State returns the current state, for Open.
func (d *Device) State() State {
	d.mu.Lock()
	state, c := d.before, d.channel
	d.mu.Unlock()
	if c != nil {
		state.uaid, state.android = c.identity()
		state.progress = c.progress()
	}
	for _, s := range d.roster.all() {
		state.subscriptions = append(state.subscriptions, s.registration())
	}
	return state
}

// save writes the state to the file, if there is one, or removes the file if
// nothing is left to keep.
func (d *Device) save() error {
	if d.file == nil {
		return nil
	}
	d.saving.Lock()
	defer d.saving.Unlock()
	state := d.State()
	if state.empty() {
		return d.file.remove()
	}
	return d.file.save(state)
}

// keep notes the credentials of a device of Chromium before they are used, and
// writes them to the file, unless that has an earlier device's subscriptions:
// these stay until there is another.
func (d *Device) keep(a android) error {
	d.mu.Lock()
	d.before.android = a
	state := d.before
	d.mu.Unlock()
	d.saving.Lock()
	defer d.saving.Unlock()
	if d.file == nil || len(d.file.state.subscriptions) > 0 {
		return nil
	}
	return d.file.save(state)
}

// Receive waits for the next message of any subscription and decrypts it;
// ReceivedMessage.Subscription is its subscription. It returns each message once,
// though the push service keeps it until [Device.Ack] or the end of its TTL, and
// may send only a few messages that are not acknowledged. Concurrent calls take turns. A
// lost connection is restored, after waits that double up to 5 minutes (Chromium:
// up to 10), while Receive continues to wait: see Options.Notify.
//
// A message that cannot be decrypted is a [*DecryptError], a new endpoint a
// [*ChangedError], and messages that the push service has removed are a
// [*LostError]; the next call continues after it. An [*Error] that is Gone means
// that no subscription exists any longer. Other errors are the error of ctx,
// [ErrClosed], an [*Error] with a response that is not a push service's, or a
// [*CloseError].
func (d *Device) Receive(ctx context.Context) (*ReceivedMessage, error) {
	c, err := d.connected()
	if err != nil {
		return nil, err
	}
	for {
		w, err := c.receive(ctx)
		if w.to != nil && !d.roster.has(w.to) { // unsubscribed while the message was queued
			if err == nil {
				_ = d.acknowledge(ctx, w.to, w.ID, ackRefused) // if this fails, so does the next call
			}
			continue
		}
		if changed := (*ChangedError)(nil); errors.As(err, &changed) {
			if err := d.save(); err != nil {
				return nil, err
			}
		}
		if err != nil {
			return nil, err
		}
		return w.open()
	}
}

// Ack acknowledges the message to the push service (RFC 8030, section 6.2), so it
// is not delivered again; for the Message of a [DecryptError] it
// reports that the message could not be decrypted, if the push service supports
// that. Over a WebSocket it waits until a lost connection is back. It is not an
// error if the push service no longer has the message, because its TTL has expired
// or was zero, or because a newer message with its topic replaced it.
func (d *Device) Ack(ctx context.Context, m *ReceivedMessage) error {
	return d.ack(ctx, m.Subscription, m)
}

func (d *Device) ack(ctx context.Context, to *Subscription, m *ReceivedMessage) error {
	code := ackDelivered
	if m.damaged {
		code = ackDamaged
	}
	return d.acknowledge(ctx, to, m.ID, code)
}

func (d *Device) acknowledge(ctx context.Context, to *Subscription, id string, code int) error {
	c, err := d.connected()
	if err != nil {
		return &Error{Op: "acknowledging", Service: d.origin, Err: err, fatal: true}
	}
	if c.remember(id, code) {
		if err := d.save(); err != nil {
			return err
		}
	}
	return c.ack(ctx, to, id, code)
}

// Messages returns the messages as [Device.Receive] does, in a loop. A message is
// acknowledged when the loop continues after it; before a break, call
// [Device.Ack] if it is to be acknowledged. A [*DecryptError] comes with its
// message, which is acknowledged as well, and a [*ChangedError] or [*LostError]
// without one. Any other error is the last.
func (d *Device) Messages(ctx context.Context) iter.Seq2[*ReceivedMessage, error] {
	return func(yield func(*ReceivedMessage, error) bool) {
		for {
			m, err := d.Receive(ctx)
			var (
				damaged *DecryptError
				changed *ChangedError
				lost    *LostError
			)
			switch {
			case errors.As(err, &damaged):
				m = damaged.Message
			case errors.As(err, &changed), errors.As(err, &lost):
			case err != nil:
				yield(nil, err)
				return
			}
			if !yield(m, err) {
				return
			}
			if m == nil {
				continue
			}
			if err := d.Ack(ctx, m); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// Close closes the connection; the subscriptions last, and [Open] with the State
// receives messages that arrive in the meantime. Calls that wait return
// [ErrClosed]. The error is that the push service did not confirm the end of the
// connection within 3 seconds, so it may not have received the last
// acknowledgments. Calling Close again does nothing.
func (d *Device) Close() error {
	d.mu.Lock()
	c := d.channel
	d.closed = d.closed || c == nil
	d.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.close()
}

// String returns the number of subscriptions, or the name of the only one, and the
// origin of the push service.
func (d *Device) String() string {
	if d == nil {
		return "no device"
	}
	all := d.roster.all()
	if len(all) != 1 {
		return fmt.Sprintf("%d subscriptions at %s", len(all), d.origin)
	}
	return all[0].String()
}

// GoString is String, so %#v does not print secrets.
func (d *Device) GoString() string { return d.String() }

// Format writes String for every verb, so none prints secrets.
func (d *Device) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, d.String()) }

// LogValue is String, so log/slog does not write secrets.
func (d *Device) LogValue() slog.Value { return slog.StringValue(d.String()) }

// roster holds the subscriptions of a device, oldest first. It is safe for
// concurrent use.
type roster struct {
	mu    sync.Mutex
	list  []*Subscription
	ended []string // IDs of the last subscriptions that were removed, at most maxEnded
}

// maxEnded is the maximum number of ended subscriptions that a device remembers.
const maxEnded = 100

func (r *roster) all() []*Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

func (r *roster) add(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.list, s) {
		r.list = append(r.list, s)
	}
}

// remove removes a subscription and returns the number of those that remain.
func (r *roster) remove(s *Subscription) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = slices.DeleteFunc(r.list, func(other *Subscription) bool { return other == s })
	r.ended = append(r.ended, s.registration().id)
	r.ended = r.ended[max(0, len(r.ended)-maxEnded):]
	return len(r.list)
}

// had reports whether a subscription with this ID ended a short time ago: messages
// to it can still be on their way.
func (r *roster) had(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.ended, id)
}

func (r *roster) has(s *Subscription) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.list, s)
}

// find returns the subscription whose ID at the push service matches, or nil.
func (r *roster) find(same func(id string) bool) *Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.list {
		if same(s.registration().id) {
			return s
		}
	}
	return nil
}
