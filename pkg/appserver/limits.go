package appserver

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter allows each key so many events: a burst, then a rate. It remembers a
// bounded number of keys and forgets those that have been quiet the longest.
type limiter struct {
	every rate.Limit
	burst int
	most  int

	mu    sync.Mutex
	byKey map[string]*list.Element
	used  *list.List // of *limited, the last used first
}

type limited struct {
	key string
	*rate.Limiter
}

func newLimiter(every rate.Limit, burst, most int) *limiter {
	return &limiter{every: every, burst: burst, most: most, byKey: make(map[string]*list.Element), used: list.New()}
}

// take reports whether the key may now, or else after how long. The empty key
// always may.
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

// addressKey is what counts as one client: an IPv4 address, or the network of
// an IPv6 address, of which one client has many.
func addressKey(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// siteFactor is how many times the rate of one client the whole site of an IPv6
// client may have: a /48, the usual assignment to an organization, has 65,536
// networks that each count as a client of their own.
const siteFactor = 16

// siteKey is the site of an IPv6 address. An IPv4 address has none, and is
// counted as a client alone.
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

// hintPublic is the next step when an endpoint is refused for its address.
const hintPublic = "endpoints must be https URLs at public addresses unless the server allows private ones"
