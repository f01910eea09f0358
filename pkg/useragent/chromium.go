package useragent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
)

// chromium is the channel of Chromium: check-in, registration, and MCS. One
// goroutine reads, and reconnects when the connection is lost.
type chromium struct {
	google  *google
	roster  *roster
	writing sync.Mutex // held while a frame is written, to keep frames in the order of their numbers
	lasting

	// The fields below are protected by mu.
	android   android
	receipts  receipts
	session   *mcsSession   // nil while the connection is lost
	confirmed chan struct{} // gets a token when the push service has confirmed something
	leaving   chan struct{} // closed when nothing more is queued
}

// openChromium checks the device in if that is due, registers the subscriptions
// that have no endpoint, and connects. keep is called with a new device before its
// first registration. A subscription that was registered is unregistered again if
// the device cannot connect.
func openChromium(ctx context.Context, base *url.URL, all *roster, before State, keep func(android) error, o Options) (_ *chromium, err error) {
	g, err := newGoogle(base, o)
	if err != nil {
		return nil, err
	}
	c := &chromium{
		google: g, roster: all, lasting: newLasting(), android: before.android,
		confirmed: make(chan struct{}, 1), leaving: make(chan struct{}),
	}
	isNew := !c.android.known()
	if c.android, err = g.checkinIfDue(ctx, c.android); err != nil && (isNew || !isTemporary(err)) {
		return nil, err
	}
	if isNew {
		if err := keep(c.android); err != nil {
			return nil, err
		}
	}
	for _, s := range all.all() {
		if s.Endpoint() != "" {
			continue
		}
		if err := c.subscribe(ctx, s); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil { // nobody would know of the registration
				forget, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
				defer cancel()
				_ = g.unregister(forget, c.android, s.registration())
			}
		}()
	}
	c.receipts.seen.restore(before.acknowledged)
	for _, id := range before.unconfirmed {
		c.receipts.confirmLater(id, 0)
	}
	s, err := c.connect(ctx)
	if err != nil {
		c.end(err)
		return nil, err
	}
	c.setSession(s, nil)
	go c.run(s)
	return c, nil
}

// checkinIfDue checks in a device that is new or has not checked in for two days.
// A clock that was set back makes it due.
func (g *google) checkinIfDue(ctx context.Context, a android) (android, error) {
	if age := time.Since(a.Checkin); a.known() && 0 <= age && age < checkinInterval {
		return a, nil
	}
	return g.checkin(ctx, a)
}

func (c *chromium) setSession(s *mcsSession, lost error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.last = s, lost
}

func (c *chromium) identity() (string, android) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return "", c.android
}

func (c *chromium) credentials() android {
	_, a := c.identity()
	return a
}

func (c *chromium) progress() progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return progress{acknowledged: c.receipts.seen.kept(), unconfirmed: c.receipts.ids()}
}

// connect makes a connection and logs in. If the login is refused, a check-in
// shows whether the device is gone.
func (c *chromium) connect(ctx context.Context) (*mcsSession, error) {
	s, err := c.login(ctx)
	var refused *loginError
	if !errors.As(err, &refused) {
		return s, err
	}
	if _, gone := c.google.checkin(ctx, c.credentials()); isGone(gone) {
		return nil, gone
	}
	return nil, err
}

// isGone reports whether err is an [*Error] that is Gone.
func isGone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Gone()
}

// run reads until the device has no subscription or is closed.
func (c *chromium) run(s *mcsSession) {
	defer close(c.done)
	stopCheckins := c.checkins()
	defer stopCheckins()
	var retry patience
	for {
		err := c.serve(s)
		s.fail(err)
		stop(&s.ping)
		stop(&s.pong)
		_ = s.conn.Close()
		err = failed(c.ctx, "receiving", c.google.origin, ending(context.Cause(s.ctx)))
		c.setSession(nil, err)
		wait := retry.lost(time.Since(s.began))
		for s = nil; s == nil; {
			if c.err = c.over(err); c.err != nil {
				return
			}
			c.google.notify(Event{Err: err, Retry: wait})
			if pause(c.ctx, wait) != nil {
				continue
			}
			if s, err = c.connect(c.ctx); err != nil {
				c.setSession(nil, err)
				wait = retry.failed()
			}
		}
		retry.connected()
		c.setSession(s, nil)
		c.google.notify(Event{})
	}
}

// checkins checks the device in whenever that is due, until stop is called.
func (c *chromium) checkins() (stop func()) {
	var all sync.WaitGroup
	all.Go(func() {
		var retry patience
		wait := time.Until(c.credentials().Checkin.Add(checkinInterval))
		for pause(c.ctx, wait) == nil && c.ctx.Err() == nil {
			a, err := c.google.checkin(c.ctx, c.credentials())
			switch {
			case isGone(err):
				c.fail(err)
				return
			case err != nil:
				wait = retry.failed()
				continue
			}
			retry = patience{}
			c.mu.Lock()
			c.android = a
			c.mu.Unlock()
			wait = checkinInterval
		}
	})
	return func() { c.end(nil); all.Wait() }
}

// fail ends the channel with an error, unless it has ended already.
func (c *chromium) fail(err error) {
	c.mu.Lock()
	if c.final == nil {
		c.final = err
	}
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.fail(err)
	}
	c.end(err)
}

// over returns the error for Receive if the connection must not be restored
// after err.
func (c *chromium) over(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final == nil && isGone(err) {
		c.final = err
	}
	return c.final
}

func (c *chromium) remember(id string, code int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.receipts.done(id, code)
}

// ack informs the push service if there is a connection; otherwise the next login
// does.
func (c *chromium) ack(_ context.Context, _ *Subscription, id string, code int) error {
	c.remember(id, code)
	c.mu.Lock()
	s, final := c.session, c.final
	c.mu.Unlock()
	switch {
	case final != nil:
		return unlessGone(&Error{Op: "acknowledging", Service: c.google.origin, Err: final, fatal: true})
	case s != nil:
		_ = c.acknowledge(s) // if this fails, so does reading
	}
	return nil
}

func (c *chromium) subscribe(ctx context.Context, s *Subscription) error {
	c.mu.Lock()
	a, final := c.android, c.final
	c.mu.Unlock()
	if final != nil {
		return &Error{Op: "subscribing", Service: c.google.origin, Err: final, fatal: true}
	}
	r := s.registration()
	r.id, r.instance = newSubtype(), newInstance()
	endpoint, err := c.google.register(ctx, a, r)
	if err != nil {
		return err
	}
	s.registered(r.id, r.instance, endpoint)
	return nil
}

func (c *chromium) unsubscribe(ctx context.Context, s *Subscription) error {
	if err := c.google.unregister(ctx, c.credentials(), s.registration()); err != nil {
		return err
	}
	if c.roster.remove(s) == 0 {
		_ = c.finish(&Error{Op: "receiving", Service: c.google.origin, Status: http.StatusGone, Reason: "it was unsubscribed here"})
	}
	return nil
}

func (c *chromium) close() error { return c.finish(ErrClosed) }

// finish ends the channel with an error for Receive.
func (c *chromium) finish(final error) error {
	return c.lasting.finish(final, func() func() error {
		close(c.leaving)
		s := c.session
		if s == nil {
			return nil
		}
		return func() error { return c.shut(s) }
	})
}

// shut waits until the push service has confirmed all acknowledgments, and closes
// the connection.
func (c *chromium) shut(s *mcsSession) error {
	limit := time.NewTimer(closeTimeout)
	defer limit.Stop()
	waits := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.receipts.carried()
	}
	if waits() {
		_ = c.write(s, mcs.TagHeartbeatPing) // if this fails, so does reading
	}
	for waits() {
		select {
		case <-c.confirmed:
		case <-s.ctx.Done():
			return &Error{Op: "closing", Service: c.google.origin, Err: errors.New("the connection was lost")}
		case <-limit.C:
			return &Error{Op: "closing", Service: c.google.origin, Err: fmt.Errorf("no response within %v", closeTimeout)}
		}
	}
	_ = c.write(s, mcs.TagClose)
	return nil
}
