package webpush

import (
	"context"
	"math"
	"sync"
	"time"
)

// Rates are the maximum numbers of requests per second to push services, including
// retries.
type Rates struct {
	// PerOrigin is the rate of each origin that Services does not cover; zero means no
	// limit.
	PerOrigin float64
	// Services are the rates of all origins of a service together; zero means no limit.
	// [Other] is ignored.
	Services map[Service]float64
}

// Cell returns the cell that an origin of a service belongs to, and whether its rate is
// limited.
func (r Rates) Cell(s Service, origin string) (c Cell, limited bool) {
	if perSecond, ok := r.Services[s]; ok && s != Other && s != "" {
		return Cell{Name: string(s), PerSecond: perSecond}, perSecond > 0
	}
	return Cell{Name: origin, PerSecond: r.PerOrigin}, r.PerOrigin > 0
}

// Cell is a set of origins that share one rate: a single origin, such as
// "https://push.example.net", or all origins of a service, such as "fcm".
type Cell struct {
	Name      string  // up to 300 bytes
	PerSecond float64 // requests per second
}

// Limiter shares the rates of push services between runs of [Client.SendAll], which
// may be on several machines. It must be safe for concurrent use.
//
// A run calls it only for cells that [BulkOptions].Rates limits, and calls Reserve for
// each cell only once at a time.
type Limiter interface {
	// Reserve returns the times of up to n requests, about as many as the cell's rate
	// allows in 100 ms. It does not wait for these times. After an error, the run sends
	// nothing to the cell and asks again later.
	Reserve(ctx context.Context, c Cell, n int) (Grant, error)
	// Hold stops grants for the cell for a time, because its service asked to wait. It
	// never shortens an earlier hold, and must not block.
	Hold(c Cell, wait time.Duration)
}

// Grant is the permission to send N requests: the first one at At, and each other one
// Every after the one before. Permission for a request lapses 100 ms after its time.
type Grant struct {
	N     int           // 0: ask again at At
	At    time.Time     // time of the first request
	Every time.Duration // time between two requests
}

// Every returns the time between two requests at the cell's rate, at most 100 years.
func (c Cell) Every() time.Duration { return every(c.PerSecond) }

func every(perSecond float64) time.Duration {
	const most = 100 * 365 * 24 * time.Hour
	return time.Duration(min(math.Ceil(float64(time.Second)/perSecond), float64(most)))
}

// NewLimiter returns a Limiter for the runs of this process.
func NewLimiter() Limiter { return &localLimiter{next: make(map[string]time.Time)} }

// localLimiter runs the generic cell rate algorithm for each cell: it remembers the time
// at which the next request may be sent.
type localLimiter struct {
	mu       sync.Mutex
	next     map[string]time.Time
	forgetAt int
}

func (l *localLimiter) Reserve(_ context.Context, c Cell, n int) (Grant, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	g := Grant{N: n, At: latest(now, l.next[c.Name]), Every: c.Every()}
	l.set(now, c.Name, g.At.Add(time.Duration(n)*g.Every))
	return g, nil
}

func (l *localLimiter) Hold(c Cell, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.set(now, c.Name, latest(now.Add(wait), l.next[c.Name]))
}

// set remembers the time of a cell. Names are untrusted, like endpoints, so it forgets
// times in the past and, if there are still too many, others too.
func (l *localLimiter) set(now time.Time, name string, next time.Time) {
	if len(l.next) >= max(l.forgetAt, 1024) {
		for name, at := range l.next {
			if !at.After(now) || len(l.next) > maxOrigins {
				delete(l.next, name)
			}
		}
		l.forgetAt = 2 * len(l.next)
	}
	l.next[name] = next
}
