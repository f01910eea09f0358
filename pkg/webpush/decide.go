package webpush

import (
	"math"
	"math/rand/v2"
	"time"
)

// The functions in this file make the decisions of sending. They change nothing, read no
// clock, and depend only on their arguments, except that [backoff] is random. [scheduler]
// carries them out in a run of SendAll, and [Client.retry] for one message.

const (
	// downAfter is the number of consecutive requests to a push service that must fail,
	// without a response or with a server error, before the service is given up. This
	// happens when one of the messages has no attempts left. A service that asks to
	// wait is given up after as many requests, and as many waits as a message has
	// attempts.
	downAfter = 16
	// A service is given up for minDown, then twice as long each time, at most maxDown.
	minDown, maxDown = 5 * time.Second, time.Minute
	// A server error with Retry-After is about its own request, not about the whole
	// service, if the service accepts at least acceptsOthers requests per second, and fewer
	// than asksAll consecutive requests got such a response.
	acceptsOthers = 20
	asksAll       = 3
	// recovery is the number of additional concurrent requests for each success after
	// a service has asked to wait.
	recovery = 0.25
	// tick is the interval at which requests that a rate has delayed are sent: all that
	// have become due, so a message does not need its own timer.
	tick = 5 * time.Millisecond
	// Requests at a shared rate are reserved up to reserveAhead in advance, and may be
	// sent up to lapse late.
	reserveAhead, lapse = 100 * time.Millisecond, 100 * time.Millisecond
	// slack is the time for which a rate that is not shared can be caught up.
	slack = 50 * time.Millisecond
	// limiterAgain is the time before a limiter that failed is asked again.
	limiterAgain = time.Second
	// A service that rejects messages gets half of the rate that it accepted, at least
	// minRate. With each second, the rate then grows by the factor regain and by one
	// request, until it exceeds wellAgain times the accepted rate and is no longer
	// limited.
	regain    = 1.03
	wellAgain = 100
	minRate   = 1.0
	// maxOrigins is the maximum number of push services that are remembered only
	// because of their holds and rates.
	maxOrigins = 1 << 14
)

// rules are the options for all decisions of a run.
type rules struct {
	attempts    int           // per message
	maxWait     time.Duration // between two attempts; negative for no second attempt
	concurrency int           // requests in flight
	perOrigin   int           // requests in flight to one push service; 0 for nearly all
	deadline    time.Time     // the run's deadline, or zero
	adaptive    bool          // slow down for services that reject messages
}

// health is the state of a push service, as its responses show it.
type health struct {
	// limit is the maximum number of requests in flight to the service. It falls when
	// the service asks to wait, and rises with each success.
	limit     float64
	heldUntil time.Time
	// failed is the number of consecutive failed requests.
	failed int
	// Until downUntil, the service is given up and its messages fail with downError.
	// down is the length of the last such period.
	down      time.Duration
	downUntil time.Time
	downError *Error
	// refused is the number of consecutive requests for which the service asked to
	// wait, and holds is the number of times that it was held because of them.
	refused, holds int
	// slowed is the rate for the service at slowedAt, after it rejected a higher one, in
	// requests per second; 0 means no limit. full is the rate that it accepted before
	// there was a limit.
	slowed, full float64
	slowedAt     time.Time
}

// failure is an attempt that the push service did not accept.
type failure struct {
	err      *Error
	attempts int           // attempts for this message so far
	backoff  time.Duration // see [backoff]
	inFlight int           // other requests to the service
	accepted float64       // requests that the service accepted in the last second
	stopped  bool          // the run makes no second attempts
}

// alone reports whether a service with this health asks to wait for one message, and
// accepts others. A large service has a few servers that fail at any time; if each of
// their responses slowed down the whole run, it would soon hardly move.
func (f failure) alone(h health) bool {
	return f.err.Code == CodeUnavailable && f.err.RetryAfter > 0 && f.accepted >= acceptsOthers && h.refused+1 < asksAll
}

// verdict is the consequence of a failure for its message.
type verdict struct {
	again bool          // try again; otherwise the failure is the message's result
	wait  time.Duration // before the next attempt
	held  bool          // the whole service waits, not only this message
}

// again reports whether a message is tried again after this number of attempts, of
// which the last one failed with e.
func (r rules) again(attempts int, e *Error) bool {
	return e.retryable() && attempts < r.attempts && r.maxWait >= 0 && e.RetryAfter <= r.maxWait
}

// backoff returns how long to wait after the nth attempt: what the service
// asked for and up to a tenth more, or 0.5 to 1 second, doubled each time.
func backoff(n int, asked time.Duration) time.Duration {
	if asked > 0 {
		return asked + rand.N(asked/10+1)
	}
	base := time.Second << min(n-1, 6)
	return base/2 + rand.N(base/2)
}

// onFailure decides what a failure means for its message and its push service.
func onFailure(now time.Time, r rules, h health, f failure) (health, verdict) {
	e := f.err
	alone := f.alone(h)
	v := verdict{
		again: r.again(f.attempts, e) && !f.stopped,
		wait:  min(f.backoff, r.maxWait),
		held:  e.RetryAfter > 0 && !alone,
	}
	if !r.deadline.IsZero() && now.Add(v.wait).After(r.deadline) {
		v.again = false
	}
	unreachable := e.Code == CodeNetwork || e.Code == CodeUnavailable && e.RetryAfter == 0
	asked := e.RetryAfter > 0 && e.Temporary() && !alone // the whole service
	if unreachable {
		h.failed++
	} else {
		h.failed, h.down = 0, 0
	}
	if r.adaptive && (asked || e.Code == CodeRateLimited) {
		h = slowDown(now, h, f.accepted)
	}
	switch {
	case alone:
		h.refused++
	case asked:
		h.refused++
		if !now.Before(h.heldUntil) { // the first one: the others were already in flight
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
	if unreachable && h.failed >= downAfter && (!v.again || h.down > 0) { // or it is still down
		h.down = min(max(2*h.down, minDown), maxDown)
		h.downUntil, h.downError = now.Add(h.down), e
		h.limit = 1
	}
	// Otherwise, each message would wait in vain for all its attempts, one after another.
	if asked && h.refused >= downAfter && h.holds >= max(r.attempts, DefaultAttempts) {
		v.again = false
		h = h.giveUp(now.Add(e.RetryAfter), e)
	}
	return h, v
}

// giveUp gives a service up until a time, unless it is already given up for longer.
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

// slowDown decides the rate of a service that rejected a request: half of its current
// rate, only once for all requests that were in flight.
func slowDown(now time.Time, h health, accepted float64) health {
	if now.Before(h.heldUntil) || now.Before(h.slowedAt.Add(time.Second)) {
		return h
	}
	rate := rateOf(now, h)
	if rate == 0 {
		rate, h.full = accepted, accepted
	}
	h.slowed, h.slowedAt = 0, now
	if rate > 0 { // otherwise it is unknown what the service accepts
		h.slowed = max(minRate, rate/2)
	}
	return h
}

// rateOf returns the current rate for a service in requests per second, or 0 for no
// limit. A reduced rate grows once the hold is over.
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

// pace keeps to a rate that is not shared.
type pace struct {
	next time.Time // when the next request is due
}

// wait returns the time until the next request may be sent.
func (p pace) wait(now time.Time) time.Duration { return max(0, p.next.Sub(now)) }

// sent counts a request that was sent.
func (p pace) sent(now time.Time, perSecond float64) pace {
	return pace{next: latest(p.next, now.Add(-slack)).Add(every(perSecond))}
}

// onTick rounds a time up to a multiple of tick after start.
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

// granted returns the number of requests in grants.
func granted(grants []Grant) (n int) {
	for _, g := range grants {
		n += g.N
	}
	return n
}

// spend removes the first request from grants, none of which may have lapsed.
func spend(grants []Grant) []Grant {
	if grants[0].N == 1 {
		return grants[1:]
	}
	grants[0].N--
	grants[0].At = grants[0].At.Add(grants[0].Every)
	return grants
}

// toReserve returns the number of requests to reserve for a cell, or 0. left is the number
// of granted requests that have not been used, waiting the number of messages that could
// use requests, and free the number of messages that could be sent now. It reserves before
// the last granted request is used, but never more than can be sent, because requests that
// lapse are lost for other runs.
func toReserve(c Cell, left, waiting, free int) int {
	block := int(math.Ceil(min(c.PerSecond*reserveAhead.Seconds(), 1e6)))
	if left > block/2 {
		return 0
	}
	return max(0, min(block, waiting-left, free-left))
}

// turn is the next step for an origin with waiting messages.
type turn int

const (
	turnSend turn = iota // send the next message
	turnFail             // fail all messages: the service is given up
	turnHold             // wait until heldUntil
	turnFull             // wait until a request is finished
)

// nextTurn decides the next step for an origin with inFlight of at most places requests
// in flight.
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

// places returns the maximum number of requests in flight to an origin if the run knows
// that many origins.
func places(r rules, h health, origins int) int {
	n := r.perOrigin
	if n <= 0 {
		n = r.concurrency
		if origins > 1 { // one that does not respond must not block the others
			n = max(1, n-(n+7)/8)
		}
	}
	return int(min(float64(n), max(1, h.limit)))
}

// supply counts the messages of a run.
type supply struct {
	runnable int // waiting messages that may be sent
	queued   int // all waiting messages
	busy     int // messages in flight, and results that are not settled
	results  int // results that the consumer has not received
}

// enough reports whether at least n messages are available for the next free places.
// Messages to services that ask to wait count only while no place is free.
func (s supply) enough(r rules, n int) bool {
	return s.runnable >= n || s.busy >= r.concurrency && s.queued >= n
}

// ahead returns the number of messages to read ahead of sending.
func (r rules) ahead() int { return max(16, r.concurrency) }

// mayRead decides whether to read the next job from the source. A reader that waits
// continues only if there is room for many jobs.
func mayRead(r rules, s supply, waits bool) bool {
	if waits {
		return !s.enough(r, r.ahead()/2) && s.queued <= maxParked*3/4 && s.results <= r.concurrency/2
	}
	return !s.enough(r, r.ahead()) && s.queued < maxParked && s.results < r.concurrency
}

// mayForget decides whether an idle origin can be forgotten: either it may be sent to
// without delay, as a new one could, or there are too many to remember them all, because
// endpoints are untrusted.
func mayForget(now time.Time, h health, origins int) bool {
	return origins > maxOrigins || rateOf(now, h) == 0 && !now.Before(h.downUntil) && !now.Before(h.heldUntil)
}

// meter counts the requests of the last second.
type meter struct {
	start       time.Time // beginning of the current second
	now, before int       // requests in the current second, and in the one before
}

// at returns the meter at a later time.
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

// perSecond returns the number of requests in the last second, assuming that those of
// the second before were spread evenly. In the first second, the rate is computed over at
// least a quarter of a second, because services allow bursts.
func (m meter) perSecond(now time.Time) float64 {
	m = m.at(now)
	passed := now.Sub(m.start).Seconds()
	if m.before == 0 {
		return float64(m.now) / max(passed, 0.25)
	}
	return float64(m.now) + float64(m.before)*(1-passed)
}

// well returns the health of a service about which nothing is known.
func well() health { return health{limit: math.Inf(1)} }
