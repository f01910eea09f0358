package appserver

import (
	"context"
	"sync"
	"time"
)

const (
	// healthFor limits the reuse of a probe of the store. Anyone can request its result,
	// which must not keep the store busy.
	healthFor = time.Second
	// healthTimeout is the maximum duration of a probe.
	healthTimeout = 5 * time.Second
)

// health is the result of the last probe of the store.
type health struct {
	keep time.Duration // how long a result is reused
	mu   sync.Mutex
	at   time.Time
	err  error
}

// check returns the result of probe, or a recent one. Simultaneous calls wait for the
// same probe.
func (h *health) check(ctx context.Context, probe func(context.Context) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at.IsZero() || time.Since(h.at) >= h.keep {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
		defer cancel()
		h.err = probe(ctx)
		h.at = time.Now()
	}
	return h.err
}
