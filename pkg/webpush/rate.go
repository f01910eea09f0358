package webpush

import (
	"context"
	"math"
	"sync"
	"time"
)

// Rates are how many requests a second push services get at most. Retries count.
type Rates struct {
	// PerOrigin is for each origin that Services does not cover; zero means no limit.
	PerOrigin float64
	// Services are for all origins of a service together. [Other] is not a service,
	// and a rate of zero means no limit.
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

// Cell is what shares one rate: an origin, such as "https://push.example.net", or
// all origins of a service, such as "fcm".
type Cell struct {
	Name      string // up to 300 bytes
	PerSecond float64
}

// Limiter shares the rates of push services between runs of [Client.SendAll], which
// may be on several machines. It must be safe for concurrent use.
//
// A run calls it only for cells that [BulkOptions].Rates limits, and has at most one
// Reserve under way for each cell.
type Limiter interface {
	// Reserve asks for the times of up to n requests, which are about as many as the
	// cell's rate allows in 100 ms. It returns once it knows them, and does not wait
	// until they have come. After an error nothing is sent to the cell, and the run asks
	// again later.
	Reserve(ctx context.Context, c Cell, n int) (Grant, error)
	// Hold makes the cell grant nothing for a time, because its service asked to wait. A
	// hold never shortens another one. It must not block.
	Hold(c Cell, wait time.Duration)
}

// Grant is the permission to send N requests: the first at At, each of the others
// Every after the one before it. What is not sent within 100 ms of its time has lapsed.
type Grant struct {
	N     int // 0: ask again at At
	At    time.Time
	Every time.Duration
}

// Every returns the time between two requests of a rate: 100 years for the slowest.
func (c Cell) Every() time.Duration { return every(c.PerSecond) }

func every(perSecond float64) time.Duration {
	const most = 100 * 365 * 24 * time.Hour
	return time.Duration(min(math.Ceil(float64(time.Second)/perSecond), float64(most)))
}

// NewLimiter returns a Limiter for the runs of this process.
func NewLimiter() Limiter { return &localLimiter{next: make(map[string]time.Time)} }

// localLimiter is a generic cell rate algorithm for each cell: it remembers when the
// next request may be sent.
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

// set remembers a cell. Endpoints come from strangers, and so do names: what is past
// is forgotten, and when there are too many others, some of them are.
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
