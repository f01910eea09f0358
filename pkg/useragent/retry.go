package useragent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// firstRetry is the longest wait before the first attempt to reconnect; each
	// later one doubles, up to lastRetry.
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	// steady is the duration of a connection that resets the waits.
	steady = 30 * time.Second
)

// backoff counts failed attempts. The zero value has counted none.
type backoff struct{ failures int }

// next returns the wait before the next attempt: between half and all of a time
// that doubles, to keep user agents from reconnecting all at once.
func (b *backoff) next() time.Duration {
	d := lastRetry
	if b.failures < 20 {
		d = min(d, firstRetry<<b.failures)
	}
	b.failures++
	return d/2 + rand.N(d/2+1)
}

// succeeded notes the duration of a connection.
func (b *backoff) succeeded(lasted time.Duration) {
	if lasted >= steady {
		b.failures = 0
	}
}

const (
	// firstPatience is the longest wait before Chromium's second attempt to connect;
	// each later one doubles, up to lastPatience.
	firstPatience = 30 * time.Second
	lastPatience  = 10 * time.Minute
	// earlyLoss is the time after the login within which a lost connection makes the
	// waits continue where they were.
	earlyLoss = 10 * time.Second
)

// patience is the backoff of Chromium, which Google's servers expect. The zero
// value is for a first connection.
type patience struct {
	failures int
	before   int // failures before the last connection
}

// failed returns the wait after a failed attempt: up to a third less than a time
// that doubles, to keep user agents from reconnecting all at once.
func (p *patience) failed() time.Duration {
	d := lastPatience
	if p.failures < 10 {
		d = min(d, firstPatience<<p.failures)
	}
	p.failures++
	return d - rand.N(d/3)
}

// connected notes a login.
func (p *patience) connected() { p.before, p.failures = p.failures, 0 }

// lost returns the wait after a connection was lost: zero, unless that was soon
// after its login.
func (p *patience) lost(lasted time.Duration) time.Duration {
	if lasted >= earlyLoss {
		return 0
	}
	p.failures = p.before
	return p.failed()
}

// pause waits, and returns the cause of ctx if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// waitedError is the end of a context while the push service was not reached.
type waitedError struct{ cause, last error }

func (e *waitedError) Error() string   { return fmt.Sprintf("%v; before that: %v", e.cause, e.last) }
func (e *waitedError) Unwrap() []error { return []error{e.cause, e.last} }

// ended returns the error of a call whose context is done, with the last failure of
// the connection if there was one.
func ended(ctx context.Context, last error) error {
	if last == nil {
		return context.Cause(ctx)
	}
	return &waitedError{context.Cause(ctx), last}
}
