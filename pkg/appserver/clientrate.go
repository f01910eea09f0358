package appserver

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter allows each key a burst of events and then a rate. It remembers a bounded
// number of keys, and forgets the least recently used ones.
type limiter struct {
	every rate.Limit
	burst int
	most  int

	mu    sync.Mutex
	byKey map[string]*list.Element
	used  *list.List // *limited, most recently used first
}

type limited struct {
	key string
	*rate.Limiter
}

func newLimiter(every rate.Limit, burst, most int) *limiter {
	return &limiter{every: every, burst: burst, most: most, byKey: make(map[string]*list.Element), used: list.New()}
}

// take reports whether an event of the key is allowed now, and otherwise returns the
// time to wait. The empty key is always allowed.
func (l *limiter) take(key string, now time.Time) (wait time.Duration, ok bool) {
	if l.every == rate.Inf || key == "" {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byKey[key]
	if e == nil {
		if l.used.Len() >= l.most {
			last := l.used.Back()
			delete(l.byKey, last.Value.(*limited).key)
			l.used.Remove(last)
		}
		e = l.used.PushFront(&limited{key, rate.NewLimiter(l.every, l.burst)})
		l.byKey[key] = e
	} else {
		l.used.MoveToFront(e)
	}
	r := e.Value.(*limited).ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// addressKey returns the key of one client: its IPv4 address, or the /64 network of its
// IPv6 address, because one client has many of these.
func addressKey(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// siteFactor is the ratio of the rate limit of an IPv6 site to the limit of one client.
// A site is a /48, the usual assignment to an organization. Its 65,536 networks each
// count as one client.
const siteFactor = 16

// siteKey returns the site of an IPv6 address. It is empty for an IPv4 address, which
// only counts as a client.
func siteKey(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return ""
	}
	p, err := a.Prefix(48)
	if err != nil {
		return ""
	}
	return p.String()
}
