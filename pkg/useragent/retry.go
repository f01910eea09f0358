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
