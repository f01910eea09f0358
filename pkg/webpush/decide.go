package webpush

import (
	"math"
	"time"
)

// The decisions of a run of SendAll are the functions of this file. They depend on
// their arguments alone, change nothing, and read no clock: [bulk] carries them out.

const (
	// downAfter is how many requests to a push service fail in a row, without a
	// response or with a fault of the service, before the service is given up, which
	// happens when one of them has no attempt left. A service that asks to wait is
	// given up after the same number, and as many waits as a message has attempts.
	downAfter = 16
	// The time for which a service is given up, doubled each time.
	minDown, maxDown = 5 * time.Second, time.Minute
	// recovery is how many more requests at once each success allows, after a service
	// has asked to wait.
	recovery = 0.25
	// maxOrigins is how many push services are remembered only for what they asked
	// for, at most.
	maxOrigins = 1 << 14
)

// rules are the options that hold for all decisions of a run.
type rules struct {
	attempts    int           // of each message
	maxWait     time.Duration // between two of them; negative for no second attempt
	concurrency int           // all requests at once
	perOrigin   int           // to one push service; 0 for nearly all
	deadline    time.Time     // of the run; zero for none
}

// health is what a run knows about a push service from its responses.
type health struct {
	// limit is how many requests the service gets at once. It falls when the service
	// asks to wait, and rises with each success.
	limit     float64
	heldUntil time.Time
	// failed counts the requests that failed in a row.
	failed int
	// While the service is given up, its messages fail with downError. down is the
	// last length of that time.
	down      time.Duration
	downUntil time.Time
	downError *Error
	// refused counts the requests in a row that were asked to wait, and holds
	// the times that the service was held for them.
	refused, holds int
}

// failure is an attempt that the push service did not accept.
type failure struct {
	err      *Error
	attempts int           // of this message so far
	backoff  time.Duration // see [backoff]
	inFlight int           // other requests to the service
	stopped  bool          // the run accepts no second attempts
}

// verdict is what follows from a failure for its message.
type verdict struct {
	again bool          // else the failure is the message's result
	wait  time.Duration // before the next attempt
	// held says that the whole service waits, and not only this message.
	held bool
}

// onFailure decides what a failure means for its message and its push service.
func onFailure(now time.Time, r rules, h health, f failure) (health, verdict) {
	e := f.err
	v := verdict{
		again: e.retryable() && f.attempts < r.attempts && r.maxWait >= 0 && e.RetryAfter <= r.maxWait && !f.stopped,
		wait:  min(f.backoff, r.maxWait),
		held:  e.RetryAfter > 0,
	}
	if !r.deadline.IsZero() && now.Add(v.wait).After(r.deadline) {
		v.again = false
	}
	unreachable := e.Code == CodeNetwork || e.Code == CodeUnavailable && e.RetryAfter == 0
	asked := e.RetryAfter > 0 && e.Temporary()
	if unreachable {
		h.failed++
	} else {
		h.failed, h.down = 0, 0
	}
	switch {
	case asked:
		h.refused++
		if !now.Before(h.heldUntil) { // the first to be told: the others were on their way already
			h.limit = max(1, min(h.limit, float64(f.inFlight+1))/2)
			h.holds++
		}
		if e.RetryAfter <= r.maxWait {
			h.heldUntil = latest(h.heldUntil, now.Add(v.wait))
		} else {
			h = h.giveUp(now.Add(e.RetryAfter), e)
		}
	case !unreachable:
		h.refused, h.holds = 0, 0
	}
	if unreachable && h.failed >= downAfter && (!v.again || h.down > 0) { // or still down
		h.down = min(max(2*h.down, minDown), maxDown)
		h.downUntil, h.downError = now.Add(h.down), e
		h.limit = 1
	}
	// Otherwise each message would wait in vain as often as it may, one after another.
	if asked && h.refused >= downAfter && h.holds >= max(r.attempts, DefaultAttempts) {
		v.again = false
		h = h.giveUp(now.Add(e.RetryAfter), e)
	}
	return h, v
}

// giveUp gives a service up until a time, unless it already is for longer.
func (h health) giveUp(until time.Time, e *Error) health {
	if until.After(h.downUntil) {
		h.downUntil, h.downError = until, e
	}
	return h
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// onSuccess decides what an accepted message means for its push service.
func onSuccess(r rules, h health) health {
	h.failed, h.down = 0, 0
	h.refused, h.holds = 0, 0
	if h.limit < float64(r.concurrency) {
		h.limit += recovery
	}
	return h
}

// turn is what an origin that has messages waiting may do.
type turn int

const (
	turnSend turn = iota // send the next one
	turnFail             // fail them all: it is given up
	turnHold             // wait until heldUntil
	turnFull             // wait until a request has ended
)

// nextTurn decides what an origin with so many requests in flight may do, where
// places says how many it may have.
func nextTurn(now time.Time, h health, inFlight, places int) turn {
	switch {
	case now.Before(h.downUntil):
		return turnFail
	case now.Before(h.heldUntil):
		return turnHold
	case inFlight >= places:
		return turnFull
	}
	return turnSend
}

// places is how many requests an origin gets at once, when the run knows so many
// origins.
func places(r rules, h health, origins int) int {
	n := r.perOrigin
	if n <= 0 {
		n = r.concurrency
		if origins > 1 { // one that does not respond never stops the others
			n = max(1, n-(n+7)/8)
		}
	}
	return int(min(float64(n), max(1, h.limit)))
}

// supply is how much a run has at hand.
type supply struct {
	runnable int // messages of origins whose turn it is
	queued   int // all messages that wait
	busy     int // messages in flight, and results that are not settled
	results  int // that the consumer has not taken
}

// enough reports whether n messages or more are at hand for the next free places:
// those of services that make the others wait do not count.
func (s supply) enough(r rules, n int) bool {
	return s.runnable >= n || s.busy >= r.concurrency && s.queued >= n
}

// ahead is how many messages are read ahead of what can be sent.
func (r rules) ahead() int { return max(16, r.concurrency) }

// mayRead decides whether the source is read on. A reader that waits goes on only
// when there is room for many.
func mayRead(r rules, s supply, waits bool) bool {
	if waits {
		return !s.enough(r, r.ahead()/2) && s.queued <= maxParked*3/4 && s.results <= r.concurrency/2
	}
	return !s.enough(r, r.ahead()) && s.queued < maxParked && s.results < r.concurrency
}

// mayForget decides whether an origin that nothing waits for can be forgotten: a new
// one in its place would be asked no sooner, or there are too many to remember them
// all, as endpoints come from strangers. free says that its rate allows a message.
func mayForget(now time.Time, h health, free bool, origins int) bool {
	return origins > maxOrigins || free && !now.Before(h.downUntil) && !now.Before(h.heldUntil)
}

// well is the health of a service that nothing is known about.
func well() health { return health{limit: math.Inf(1)} }
