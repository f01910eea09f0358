package webpush

import (
	"math"
	"time"
)

// The decisions of a run of SendAll are the functions of this file. They depend on
// their arguments alone, change nothing, and read no clock: [scheduler] carries them out.

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
	// tick is the time between two looks at what the rates allow: all that has become
	// due is sent at once, so that a message does not need a timer of its own.
	tick = 5 * time.Millisecond
	// reserveAhead is how far ahead the requests of a shared rate are reserved, and lapse how
	// late they may be sent.
	reserveAhead, lapse = 100 * time.Millisecond, 100 * time.Millisecond
	// slack is how much of a rate of this run alone may be caught up.
	slack = 50 * time.Millisecond
	// limiterAgain is how long a limiter that fails is not asked again.
	limiterAgain = time.Second
	// A service that refuses gets half of the rate that it accepted, and with each second
	// after that regain times as much and one request more, until that is wellAgain times
	// what it had accepted. minRate is the lowest of those rates.
	regain    = 1.03
	wellAgain = 100
	minRate   = 1.0
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
	adaptive    bool          // slow down for services that refuse
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
	// slowed is the rate that the service gets from slowedAt on, since it refused more,
	// in requests a second; 0 for no limit. Without a limit it had accepted full.
	slowed, full float64
	slowedAt     time.Time
}

// failure is an attempt that the push service did not accept.
type failure struct {
	err      *Error
	attempts int           // of this message so far
	backoff  time.Duration // see [backoff]
	inFlight int           // other requests to the service
	accepted float64       // requests that the service accepted in the last second
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
	if r.adaptive && (asked || e.Code == CodeRateLimited) {
		h = slowDown(now, h, f.accepted)
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

// slowDown decides the rate of a service that refused a request: half of what it got,
// once for all requests that were on their way.
func slowDown(now time.Time, h health, accepted float64) health {
	if now.Before(h.heldUntil) || now.Before(h.slowedAt.Add(time.Second)) {
		return h
	}
	rate := rateOf(now, h)
	if rate == 0 {
		rate, h.full = accepted, accepted
	}
	h.slowed, h.slowedAt = 0, now
	if rate > 0 { // otherwise nothing is known about what it accepts
		h.slowed = max(minRate, rate/2)
	}
	return h
}

// rateOf returns how many requests a second a service gets now, 0 for no limit. The
// rate of one that refused grows after the hold.
func rateOf(now time.Time, h health) float64 {
	if h.slowed == 0 {
		return 0
	}
	seconds := max(0, now.Sub(latest(h.slowedAt, h.heldUntil)).Seconds())
	rate := h.slowed*math.Pow(regain, seconds) + seconds
	if rate > wellAgain*h.full {
		return 0
	}
	return rate
}

// pace is a rate of this run alone.
type pace struct {
	next time.Time // when the next request is due
}

// wait returns how long it takes until the next request may be sent.
func (p pace) wait(now time.Time) time.Duration { return max(0, p.next.Sub(now)) }

// sent counts a request that was sent.
func (p pace) sent(now time.Time, perSecond float64) pace {
	return pace{next: latest(p.next, now.Add(-slack)).Add(every(perSecond))}
}

// onTick returns the first time at or after a time that is a multiple of tick after
// another.
func onTick(start, at time.Time) time.Time {
	ticks := (max(0, at.Sub(start)) + tick - 1) / tick
	return start.Add(ticks * tick)
}

// current drops the requests of grants that have lapsed.
func current(now time.Time, grants []Grant) []Grant {
	for len(grants) > 0 {
		g := grants[0]
		for g.N > 0 && g.At.Add(lapse).Before(now) {
			skip := 1
			if late := now.Sub(g.At) - lapse; g.Every > 0 && late > g.Every {
				skip = int(min(late/g.Every, time.Duration(g.N)))
			}
			g.N -= skip
			g.At = g.At.Add(time.Duration(skip) * g.Every)
		}
		if g.N > 0 {
			grants[0] = g
			break
		}
		grants = grants[1:]
	}
	return grants
}

// granted counts the requests of grants.
func granted(grants []Grant) (n int) {
	for _, g := range grants {
		n += g.N
	}
	return n
}

// spend takes the first request from grants, which are current.
func spend(grants []Grant) []Grant {
	if grants[0].N == 1 {
		return grants[1:]
	}
	grants[0].N--
	grants[0].At = grants[0].At.Add(grants[0].Every)
	return grants
}

// toReserve decides how many requests to reserve for a cell that has left some, when
// waiting messages could use them and free places could send them; 0 for none. It
// reserves ahead, before the last of what is granted is sent, and never more than can be
// sent: what lapses is lost for the others.
func toReserve(c Cell, left, waiting, free int) int {
	block := int(math.Ceil(min(c.PerSecond*reserveAhead.Seconds(), 1e6)))
	if left > block/2 {
		return 0
	}
	return max(0, min(block, waiting-left, free-left))
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
// all, as endpoints come from strangers.
func mayForget(now time.Time, h health, origins int) bool {
	return origins > maxOrigins || rateOf(now, h) == 0 && !now.Before(h.downUntil) && !now.Before(h.heldUntil)
}

// meter counts requests, so as to know how many there were in the last second.
type meter struct {
	start       time.Time // of a second
	now, before int       // in that second, and in the one before it
}

// at is the meter at a later time.
func (m meter) at(now time.Time) meter {
	switch passed := now.Sub(m.start); {
	case passed < time.Second:
	case passed < 2*time.Second:
		m = meter{start: m.start.Add(time.Second), before: m.now}
	default:
		m = meter{start: now}
	}
	return m
}

func (m meter) count(now time.Time) meter {
	m = m.at(now)
	m.now++
	return m
}

// perSecond is the count of the last second, as if those of the second before it had
// been spread evenly. Those of a first second are counted over a quarter of it at least,
// as services allow bursts.
func (m meter) perSecond(now time.Time) float64 {
	m = m.at(now)
	passed := now.Sub(m.start).Seconds()
	if m.before == 0 {
		return float64(m.now) / max(passed, 0.25)
	}
	return float64(m.now) + float64(m.before)*(1-passed)
}

// well is the health of a service that nothing is known about.
func well() health { return health{limit: math.Inf(1)} }
