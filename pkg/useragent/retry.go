package useragent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// firstRetry is the longest wait before the first attempt to connect again;
	// each further one doubles, up to lastRetry.
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	// steady is how long a connection has to last for the waits to begin anew.
	steady = 30 * time.Second
)

// backoff counts attempts that failed. The zero value is none.
type backoff struct{ failures int }

// next returns how long to wait before the next attempt: between half and all
// of a time that doubles, so that user agents do not come back at one moment.
func (b *backoff) next() time.Duration {
	d := lastRetry
	if b.failures < 20 {
		d = min(d, firstRetry<<b.failures)
	}
	b.failures++
	return d/2 + rand.N(d/2+1)
}

// succeeded tells of a connection that lasted.
func (b *backoff) succeeded(lasted time.Duration) {
	if lasted >= steady {
		b.failures = 0
	}
}

const (
	// firstPatience is the longest wait before Chromium's second attempt to connect;
	// each further one doubles, up to lastPatience.
	firstPatience = 30 * time.Second
	lastPatience  = 10 * time.Minute
	// earlyLoss is how soon after the login a connection is lost for the waits to
	// continue where they were.
	earlyLoss = 10 * time.Second
)

// patience is the backoff of Chromium, which Google's servers expect. The zero
// value is that of a first connection.
type patience struct {
	failures int
	before   int // failures before the last connection
}

// failed returns how long to wait after an attempt that failed: up to a third
// less than a time that doubles, so that user agents do not come back at one
// moment.
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

// lost returns how long to wait after a connection was lost: nothing, unless that
// was soon after its login.
func (p *patience) lost(lasted time.Duration) time.Duration {
	if lasted >= earlyLoss {
		return 0
	}
	p.failures = p.before
	return p.failed()
}

// pause waits, and returns the cause of ctx when that ends first.
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

// ended is the error of a call whose context has ended, with the last failure
// of the connection if there was one.
func ended(ctx context.Context, last error) error {
	if last == nil {
		return context.Cause(ctx)
	}
	return &waitedError{context.Cause(ctx), last}
}
