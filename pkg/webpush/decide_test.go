package webpush

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Each row of these tables is a rule. They were tried: each condition, bound, and
// assignment of decide.go was changed by hand, and a row failed.

var (
	decideNow   = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	decideRules = rules{attempts: 4, maxWait: 2 * time.Minute, concurrency: 64}
)

// in is a time after decideNow.
func in(d time.Duration) time.Time { return decideNow.Add(d) }

func TestOnFailure(t *testing.T) {
	var (
		second      = time.Second
		slow        = &Error{Code: CodeRateLimited, Status: 429}
		asks        = &Error{Code: CodeRateLimited, Status: 429, RetryAfter: 30 * second}
		asksLong    = &Error{Code: CodeRateLimited, Status: 429, RetryAfter: time.Hour}
		asks503     = &Error{Code: CodeUnavailable, Status: 503, RetryAfter: 30 * second}
		asks503Long = &Error{Code: CodeUnavailable, Status: 503, RetryAfter: time.Hour}
		atMost      = &Error{Code: CodeUnavailable, Status: 503, RetryAfter: 2 * time.Minute}
		ill         = &Error{Code: CodeUnavailable, Status: 503}
		cut         = &Error{Code: CodeNetwork}
		nowhere     = &Error{Code: CodeNetwork, cause: &permanentError{errors.New("no such host")}}
		refused     = &Error{Code: CodeRejected, Status: 400}
		odd         = &Error{Code: CodeRejected, Status: 400, RetryAfter: 30 * second}
		other       = &Error{Code: CodeUnavailable, Status: 500}
		full        = func(h health) health { h.limit = math.Inf(1); return h }
	)
	type row struct {
		name  string
		rules func(*rules)
		h     health // without a limit it has no limit
		f     failure
		want  health
		then  verdict
	}
	one := func(e *Error) failure { return failure{err: e, attempts: 1, backoff: second} }
	asked := func(e *Error) failure { return failure{err: e, attempts: 1, backoff: 31 * second} }
	rows := []row{
		// Whether there is another attempt, and when.
		{name: "a fault that may pass is tried again, after the back-off", f: one(slow), want: full(health{}), then: verdict{again: true, wait: second}},
		{name: "a refusal is final", f: one(refused), want: full(health{}), then: verdict{wait: second}},
		{name: "a fault that does not pass is final", f: one(nowhere), want: full(health{failed: 1}), then: verdict{wait: second}},
		{name: "the last attempt but one", f: failure{err: slow, attempts: 3}, want: full(health{}), then: verdict{again: true}},
		{name: "the last attempt", f: failure{err: slow, attempts: 4}, want: full(health{})},
		{name: "the run was stopped", f: failure{err: slow, attempts: 1, stopped: true}, want: full(health{})},
		{name: "a back-off is at most the longest wait", f: failure{err: slow, attempts: 1, backoff: time.Hour}, want: full(health{}), then: verdict{again: true, wait: 2 * time.Minute}},
		{name: "no wait allowed is no second attempt", rules: func(r *rules) { r.maxWait = -1 }, f: failure{err: slow, attempts: 1}, want: full(health{}), then: verdict{wait: -1}},
		{name: "a second attempt at the deadline", rules: func(r *rules) { r.deadline = in(second) }, f: one(slow), want: full(health{}), then: verdict{again: true, wait: second}},
		{name: "none after the deadline", rules: func(r *rules) { r.deadline = in(second - 1) }, f: one(slow), want: full(health{}), then: verdict{wait: second}},

		// A service that asks to wait.
		{name: "it waits as a whole, with half as many requests as it had at once",
			f:    failure{err: asks, attempts: 1, backoff: 31 * second, inFlight: 39},
			want: health{limit: 20, heldUntil: in(31 * second), refused: 1, holds: 1}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "half of its limit, if that is less",
			h: health{limit: 10}, f: failure{err: asks, attempts: 1, backoff: 31 * second, inFlight: 39},
			want: health{limit: 5, heldUntil: in(31 * second), refused: 1, holds: 1}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "one request at least",
			f:    failure{err: asks, attempts: 1, backoff: 31 * second},
			want: health{limit: 1, heldUntil: in(31 * second), refused: 1, holds: 1}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "those that were on their way do not halve again, and hold longer",
			h: health{limit: 20, heldUntil: in(10 * second), refused: 1, holds: 1}, f: failure{err: asks, attempts: 1, backoff: 31 * second, inFlight: 38},
			want: health{limit: 20, heldUntil: in(31 * second), refused: 2, holds: 1}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "a hold never becomes shorter",
			h: health{limit: 20, heldUntil: in(50 * second), refused: 1, holds: 1}, f: asked(asks),
			want: health{limit: 20, heldUntil: in(50 * second), refused: 2, holds: 1}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "the hold that just ended was another one",
			h: health{limit: 20, heldUntil: in(0), refused: 1, holds: 1}, f: failure{err: asks, attempts: 1, backoff: 31 * second, inFlight: 19},
			want: health{limit: 10, heldUntil: in(31 * second), refused: 2, holds: 2}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "as long as the longest wait is a hold",
			f: asked(atMost), want: health{limit: 1, heldUntil: in(31 * second), refused: 1, holds: 1}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "longer than the longest wait gives it up until then",
			f: asked(asksLong), want: health{limit: 1, downUntil: in(time.Hour), downError: asksLong, refused: 1, holds: 1}, then: verdict{wait: 31 * second, held: true}},
		{name: "it is given up no sooner for that",
			h: health{limit: 1, downUntil: in(2 * time.Hour), downError: slow}, f: asked(asksLong),
			want: health{limit: 1, downUntil: in(2 * time.Hour), downError: slow, refused: 1, holds: 1}, then: verdict{wait: 31 * second, held: true}},
		{name: "a message that does not wait leaves the others waiting",
			f:    failure{err: asks, attempts: 4, backoff: 31 * second},
			want: health{limit: 1, heldUntil: in(31 * second), refused: 1, holds: 1}, then: verdict{wait: 31 * second, held: true}},
		{name: "a refusal of one message holds nothing, whatever it asks for",
			f: asked(odd), want: full(health{}), then: verdict{wait: 31 * second, held: true}},
		{name: "asked again and again, and as many holds as attempts: it is given up",
			h: health{limit: 1, refused: 15, holds: 3}, f: asked(asks),
			want: health{limit: 1, heldUntil: in(31 * second), refused: 16, holds: 4, downUntil: in(30 * second), downError: asks}, then: verdict{wait: 31 * second, held: true}},
		{name: "too few were asked for that",
			h: health{limit: 1, refused: 14, holds: 3}, f: asked(asks),
			want: health{limit: 1, heldUntil: in(31 * second), refused: 15, holds: 4}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "too few holds for that",
			h: health{limit: 1, refused: 99, holds: 2}, f: asked(asks),
			want: health{limit: 1, heldUntil: in(31 * second), refused: 100, holds: 3}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "more attempts allow more holds",
			rules: func(r *rules) { r.attempts = 5 }, h: health{limit: 1, refused: 99, holds: 3}, f: asked(asks),
			want: health{limit: 1, heldUntil: in(31 * second), refused: 100, holds: 4}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "fewer attempts do not allow fewer",
			rules: func(r *rules) { r.attempts = 2 }, h: health{limit: 1, refused: 99, holds: 2}, f: asked(asks),
			want: health{limit: 1, heldUntil: in(31 * second), refused: 100, holds: 3}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "another response ends the row of those",
			h: health{limit: 7, refused: 9, holds: 2}, f: one(refused), want: health{limit: 7}, then: verdict{wait: second}},
		{name: "no response does not",
			h: health{limit: 7, refused: 9, holds: 2}, f: one(cut), want: health{limit: 7, refused: 9, holds: 2, failed: 1}, then: verdict{again: true, wait: second}},

		// One that asks for a message, and accepts others.
		{name: "a message waits alone",
			f:    failure{err: asks503, attempts: 1, backoff: 31 * second, inFlight: 39, accepted: 20},
			want: full(health{refused: 1}), then: verdict{again: true, wait: 31 * second}},
		{name: "and the second one",
			h: health{refused: 1}, f: failure{err: asks503, attempts: 1, backoff: 31 * second, inFlight: 39, accepted: 500},
			want: full(health{refused: 2}), then: verdict{again: true, wait: 31 * second}},
		{name: "the third without an accepted one between them holds all",
			h: health{refused: 2}, f: failure{err: asks503, attempts: 1, backoff: 31 * second, inFlight: 39, accepted: 500},
			want: health{limit: 20, heldUntil: in(31 * second), refused: 3, holds: 1}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "too few others were accepted for that",
			f:    failure{err: asks503, attempts: 1, backoff: 31 * second, inFlight: 39, accepted: 19.9},
			want: health{limit: 20, heldUntil: in(31 * second), refused: 1, holds: 1}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "a rate that was exceeded concerns all",
			f:    failure{err: asks, attempts: 1, backoff: 31 * second, inFlight: 39, accepted: 500},
			want: health{limit: 20, heldUntil: in(31 * second), refused: 1, holds: 1}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "too long for one message leaves the others",
			f:    failure{err: asks503Long, attempts: 1, backoff: time.Hour, accepted: 500},
			want: full(health{refused: 1}), then: verdict{wait: 2 * time.Minute}},
		{name: "another response ends the row",
			h: health{refused: 2}, f: failure{err: refused, attempts: 1, backoff: second, accepted: 500},
			want: full(health{}), then: verdict{wait: second}},

		// A service that does not respond, or fails.
		{name: "a fault of the network counts", f: one(cut), want: full(health{failed: 1}), then: verdict{again: true, wait: second}},
		{name: "a fault of the service counts", f: one(other), want: full(health{failed: 1}), then: verdict{again: true, wait: second}},
		{name: "one that asks to wait responds",
			h: health{limit: 1, failed: 9, down: minDown}, f: asked(atMost),
			want: health{limit: 1, heldUntil: in(31 * second), refused: 1, holds: 1}, then: verdict{again: true, wait: 31 * second, held: true}},
		{name: "a response ends the row", h: health{limit: 1, failed: 99, down: maxDown}, f: one(refused), want: health{limit: 1}, then: verdict{wait: second}},
		{name: "given up after so many, when one has no attempt left",
			h: health{limit: 64, failed: 15}, f: failure{err: ill, attempts: 4},
			want: health{limit: 1, failed: 16, down: minDown, downUntil: in(minDown), downError: ill}},
		{name: "not after fewer", h: health{limit: 64, failed: 14}, f: failure{err: ill, attempts: 4}, want: health{limit: 64, failed: 15}},
		{name: "not while all have attempts left", h: health{limit: 64, failed: 99}, f: one(ill), want: health{limit: 64, failed: 100}, then: verdict{again: true, wait: second}},
		{name: "given up before, the first failure is enough, and for twice as long",
			h: health{limit: 1, failed: 16, down: minDown, downUntil: in(0), downError: cut}, f: one(ill),
			want: health{limit: 1, failed: 17, down: 2 * minDown, downUntil: in(2 * minDown), downError: ill}, then: verdict{again: true, wait: second}},
		{name: "a minute at most",
			h: health{limit: 1, failed: 99, down: 40 * second}, f: failure{err: ill, attempts: 4},
			want: health{limit: 1, failed: 100, down: maxDown, downUntil: in(maxDown), downError: ill}},
	}
	for _, row := range rows {
		r := decideRules
		if row.rules != nil {
			row.rules(&r)
		}
		if row.h.limit == 0 {
			row.h.limit = math.Inf(1)
		}
		got, then := onFailure(decideNow, r, row.h, row.f)
		if got != row.want {
			t.Errorf("%s:\n got %+v\nwant %+v", row.name, got, row.want)
		}
		if then != row.then {
			t.Errorf("%s: %+v, want %+v", row.name, then, row.then)
		}
	}
}

func TestOnSuccess(t *testing.T) {
	bad := health{limit: 10, heldUntil: in(1), failed: 3, down: minDown, downUntil: in(2), refused: 4, holds: 5}
	for _, row := range []struct {
		name        string
		limit, want float64
	}{
		{"a few more at once", 10, 10.25},
		{"up to all", 63.75, 64},
		{"and no further", 64, 64},
		{"no limit stays none", math.Inf(1), math.Inf(1)},
	} {
		h := bad
		h.limit = row.limit
		if got, want := onSuccess(decideRules, h), (health{limit: row.want, heldUntil: in(1), downUntil: in(2)}); got != want {
			t.Errorf("%s: %+v, want %+v", row.name, got, want)
		}
	}
}

func TestNextTurn(t *testing.T) {
	for _, row := range []struct {
		name             string
		h                health
		inFlight, places int
		want             turn
	}{
		{"it may send", health{}, 7, 8, turnSend},
		{"it has all its places", health{}, 8, 8, turnFull},
		{"it has more than its places, which became fewer", health{}, 9, 8, turnFull},
		{"it is held", health{heldUntil: in(1)}, 0, 8, turnHold},
		{"also with all its places", health{heldUntil: in(1)}, 8, 8, turnHold},
		{"the hold has ended", health{heldUntil: in(0)}, 0, 8, turnSend},
		{"it is given up", health{downUntil: in(1)}, 0, 8, turnFail},
		{"which no hold and no place delays", health{downUntil: in(1), heldUntil: in(2)}, 8, 8, turnFail},
		{"it is not given up any longer", health{downUntil: in(0)}, 0, 8, turnSend},
	} {
		if got := nextTurn(decideNow, row.h, row.inFlight, row.places); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	for _, row := range []struct {
		name                            string
		concurrency, perOrigin, origins int
		limit                           float64
		want                            int
	}{
		{"the only service gets all", 64, 0, 1, math.Inf(1), 64},
		{"one of two leaves an eighth", 64, 0, 2, math.Inf(1), 56},
		{"which is one at least", 7, 0, 2, math.Inf(1), 6},
		{"and leaves one", 1, 0, 2, math.Inf(1), 1},
		{"the option for each service", 64, 10, 1, math.Inf(1), 10},
		{"also for one of two", 64, 10, 2, math.Inf(1), 10},
		{"what the service takes", 64, 0, 1, 20.75, 20},
		{"one is always tried", 64, 0, 1, 0.5, 1},
	} {
		r := rules{concurrency: row.concurrency, perOrigin: row.perOrigin}
		if got := places(r, health{limit: row.limit}, row.origins); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}

func TestMayRead(t *testing.T) {
	for _, row := range []struct {
		name  string
		s     supply
		waits bool
		want  bool
	}{
		{"nothing is at hand", supply{}, false, true},
		{"a little is missing", supply{runnable: 63, queued: 63}, false, true},
		{"enough for all places", supply{runnable: 64, queued: 64}, false, false},
		{"those that are held do not count", supply{runnable: 0, queued: 1000, busy: 63}, false, true},
		{"unless all places are taken", supply{runnable: 0, queued: 1000, busy: 64}, false, false},
		{"all places are taken, and too little waits for them", supply{queued: 63, busy: 64}, false, true},
		{"or just enough", supply{queued: 64, busy: 64}, false, false},
		{"too many wait in memory", supply{queued: maxParked}, false, false},
		{"nearly too many", supply{queued: maxParked - 1}, false, true},
		{"the consumer is behind", supply{results: 64}, false, false},
		{"the consumer is nearly behind", supply{results: 63}, false, true},
		{"it waits for half of what it reads ahead", supply{runnable: 32, queued: 32}, true, false},
		{"and goes on then", supply{runnable: 31, queued: 31}, true, true},
		{"it waits for a quarter of memory", supply{queued: maxParked*3/4 + 1}, true, false},
		{"and goes on then, too", supply{queued: maxParked * 3 / 4}, true, true},
		{"it waits for half of the results", supply{results: 33}, true, false},
		{"and goes on after that", supply{results: 32}, true, true},
	} {
		if got := mayRead(decideRules, row.s, row.waits); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
	if got := (rules{concurrency: 1}).ahead(); got != 16 {
		t.Errorf("one place reads %d ahead, want 16", got)
	}
}

func TestMayForget(t *testing.T) {
	for _, row := range []struct {
		name    string
		h       health
		origins int
		want    bool
	}{
		{"nothing is known about it", health{}, 1024, true},
		{"it is slowed down", health{slowed: 10, full: 20, slowedAt: in(0)}, 1024, false},
		{"it is held", health{heldUntil: in(1)}, 1024, false},
		{"the hold has ended", health{heldUntil: in(0)}, 1024, true},
		{"it is given up", health{downUntil: in(1)}, 1024, false},
		{"it was given up", health{downUntil: in(0)}, 1024, true},
		{"as many as are remembered", health{heldUntil: in(1)}, maxOrigins, false},
		{"too many are remembered", health{heldUntil: in(1), downUntil: in(1), slowed: 10, full: 20, slowedAt: in(0)}, maxOrigins + 1, true},
	} {
		if got := mayForget(decideNow, row.h, row.origins); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

func TestSlowDown(t *testing.T) {
	second := time.Second
	for _, row := range []struct {
		name     string
		h        health
		accepted float64
		want     health
	}{
		{"half of what it accepted", health{}, 500, health{slowed: 250, full: 500, slowedAt: in(0)}},
		{"nothing is known about one that accepted nothing", health{}, 0, health{slowedAt: in(0)}},
		{"one a second at least", health{}, 1, health{slowed: 1, full: 1, slowedAt: in(0)}},
		{"half of its rate, whatever it accepted lately", health{slowed: 100, full: 500, slowedAt: in(-second)}, 300, health{slowed: 52, full: 500, slowedAt: in(0)}},
		{"half of its rate, and that is one a second at least", health{slowed: 0.5, full: 500, slowedAt: in(-second)}, 300, health{slowed: 1, full: 500, slowedAt: in(0)}},
		{"once in a hold", health{slowed: 100, full: 500, slowedAt: in(-9 * second), heldUntil: in(1)}, 80, health{slowed: 100, full: 500, slowedAt: in(-9 * second), heldUntil: in(1)}},
		{"again when the hold has ended", health{slowed: 100, full: 500, slowedAt: in(-9 * second), heldUntil: in(0)}, 0, health{slowed: 50, full: 500, slowedAt: in(0), heldUntil: in(0)}},
		{"once a second without a hold", health{slowed: 100, full: 500, slowedAt: in(1 - second)}, 80, health{slowed: 100, full: 500, slowedAt: in(1 - second)}},
	} {
		if got := slowDown(decideNow, row.h, row.accepted); got != row.want {
			t.Errorf("%s:\n got %+v\nwant %+v", row.name, got, row.want)
		}
	}
	// Which failures mean it.
	adaptive := decideRules
	adaptive.adaptive = true
	for _, row := range []struct {
		name  string
		rules rules
		err   Error
		want  float64
	}{
		{"429 and Retry-After", adaptive, Error{Code: CodeRateLimited, RetryAfter: second}, 250},
		{"429", adaptive, Error{Code: CodeRateLimited}, 250},
		{"503 and Retry-After for one message", adaptive, Error{Code: CodeUnavailable, RetryAfter: second}, 0},
		{"503", adaptive, Error{Code: CodeUnavailable}, 0},
		{"400 and Retry-After", adaptive, Error{Code: CodeRejected, RetryAfter: second}, 0},
		{"the option", decideRules, Error{Code: CodeRateLimited, RetryAfter: second}, 0},
	} {
		if h, _ := onFailure(decideNow, row.rules, well(), failure{err: &row.err, attempts: 1, accepted: 500}); h.slowed != row.want {
			t.Errorf("%s: %v a second, want %v", row.name, h.slowed, row.want)
		}
	}
	before := well()
	before.refused = asksAll - 1
	all := failure{err: &Error{Code: CodeUnavailable, RetryAfter: second}, attempts: 1, accepted: 500}
	if h, _ := onFailure(decideNow, adaptive, before, all); h.slowed != 250 {
		t.Errorf("503 and Retry-After for all: %v a second, want 250", h.slowed)
	}
}

func TestRateOf(t *testing.T) {
	for _, row := range []struct {
		name string
		h    health
		want float64
	}{
		{"it never refused", health{}, 0},
		{"it refused now", health{slowed: 100, full: 200, slowedAt: in(0)}, 100},
		{"a second ago", health{slowed: 100, full: 200, slowedAt: in(-time.Second)}, 104},
		{"ten seconds ago", health{slowed: 100, full: 200, slowedAt: in(-10 * time.Second)}, 144},
		{"and the hold lasts", health{slowed: 100, full: 200, slowedAt: in(-10 * time.Second), heldUntil: in(1)}, 100},
		{"and the hold ended a second ago", health{slowed: 100, full: 200, slowedAt: in(-10 * time.Second), heldUntil: in(-time.Second)}, 104},
		{"a while ago", health{slowed: 100, full: 200, slowedAt: in(-178 * time.Second)}, 19454},
		{"long enough ago", health{slowed: 100, full: 200, slowedAt: in(-180 * time.Second)}, 0},
	} {
		if got := math.Round(rateOf(decideNow, row.h)); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

func TestMeter(t *testing.T) {
	var m meter
	for i := range 400 { // 200 a second, for 2 seconds
		m = m.count(in(time.Duration(i) * 5 * time.Millisecond))
	}
	for after, want := range map[time.Duration]float64{
		1999 * time.Millisecond: 200, // all of the last second
		2 * time.Second:         200,
		2250 * time.Millisecond: 150,
		2750 * time.Millisecond: 50,
		3 * time.Second:         0,
		3500 * time.Millisecond: 0,
		time.Hour:               0,
	} {
		if got := math.Round(m.perSecond(in(after))); got != want {
			t.Errorf("%v after the first: %v a second, want %v", after, got, want)
		}
	}
	m = m.count(in(time.Hour))
	for after, want := range map[time.Duration]float64{0: 4, 250 * time.Millisecond: 4, 500 * time.Millisecond: 2, time.Second: 1} {
		if got := m.perSecond(in(time.Hour + after)); got != want {
			t.Errorf("%v after the first in an hour: %v a second, want %v", after, got, want)
		}
	}
}

func TestPace(t *testing.T) {
	ms := time.Millisecond
	for _, row := range []struct {
		name      string
		p         pace
		perSecond float64
		want      time.Time // of the next
	}{
		{"the first", pace{}, 100, in(-40 * ms)},
		{"one that is on time", pace{in(0)}, 100, in(10 * ms)},
		{"one that is late is caught up", pace{in(-30 * ms)}, 100, in(-20 * ms)},
		{"as far as the slack", pace{in(-80 * ms)}, 100, in(-40 * ms)},
		{"one an hour", pace{in(0)}, 1.0 / 3600, in(time.Hour)},
	} {
		if got := row.p.sent(decideNow, row.perSecond); got.next.Sub(row.want).Abs() > time.Millisecond {
			t.Errorf("%s: the next is due at %v, want %v", row.name, got.next.Sub(decideNow), row.want.Sub(decideNow))
		}
	}
	if got := (pace{in(7 * ms)}).wait(decideNow); got != 7*ms {
		t.Errorf("waits %v", got)
	}
	if got := (pace{in(-7 * ms)}).wait(decideNow); got != 0 {
		t.Errorf("waits %v for what is due", got)
	}
}

func TestOnTick(t *testing.T) {
	ms := time.Millisecond
	for at, want := range map[time.Duration]time.Duration{-ms: 0, 0: 0, 1: 5 * ms, 5 * ms: 5 * ms, 5*ms + 1: 10 * ms, time.Hour: time.Hour} {
		if got := onTick(decideNow, in(at)); !got.Equal(in(want)) {
			t.Errorf("%v: %v, want %v", at, got.Sub(decideNow), want)
		}
	}
}

func TestCurrentGrants(t *testing.T) {
	ms := time.Millisecond
	for _, row := range []struct {
		name         string
		grants, want []Grant
	}{
		{"none", nil, nil},
		{"to come", []Grant{{3, in(ms), 10 * ms}}, []Grant{{3, in(ms), 10 * ms}}},
		{"late, and not too late", []Grant{{3, in(-100 * ms), 10 * ms}}, []Grant{{3, in(-100 * ms), 10 * ms}}},
		{"the first is too late", []Grant{{3, in(-101 * ms), 10 * ms}}, []Grant{{2, in(-91 * ms), 10 * ms}}},
		{"two of them are", []Grant{{3, in(-111 * ms), 10 * ms}}, []Grant{{1, in(-91 * ms), 10 * ms}}},
		{"all are", []Grant{{3, in(-121 * ms), 10 * ms}}, nil},
		{"a pause of the process", []Grant{{1000, in(-time.Hour), 10 * ms}, {5, in(ms), ms}}, []Grant{{5, in(ms), ms}}},
		{"all at once", []Grant{{3, in(-100 * ms), 0}}, []Grant{{3, in(-100 * ms), 0}}},
		{"all at once and too late", []Grant{{3, in(-101 * ms), 0}, {1, in(0), 0}}, []Grant{{1, in(0), 0}}},
	} {
		if got := current(decideNow, slices.Clone(row.grants)); !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
	grants := []Grant{{2, in(0), ms}, {1, in(9), ms}}
	if got := granted(grants); got != 3 {
		t.Errorf("%d are granted, want 3", got)
	}
	for _, want := range [][]Grant{{{1, in(ms), ms}, {1, in(9), ms}}, {{1, in(9), ms}}, {}} {
		if grants = spend(grants); !slices.Equal(grants, want) {
			t.Errorf("%v are left, want %v", grants, want)
		}
	}
}

func TestToReserve(t *testing.T) {
	for _, row := range []struct {
		name                string
		perSecond           float64
		left, waiting, free int
		want                int
	}{
		{"100 ms of the rate", 200, 0, 100, 100, 20},
		{"ahead, when half is left", 200, 10, 100, 100, 20},
		{"not sooner", 200, 11, 100, 100, 0},
		{"no more than waits", 200, 3, 8, 100, 5},
		{"no more than can be sent", 200, 3, 100, 8, 5},
		{"nothing is free", 200, 3, 100, 2, 0},
		{"one of a slow rate", 0.1, 0, 100, 100, 1},
		{"not before that is used", 0.1, 1, 100, 100, 0},
		{"more than one, rounded up", 11, 0, 100, 100, 2},
		{"a rate without end", 1e300, 0, 1e9, 1e9, 1e6},
	} {
		if got := toReserve(Cell{"x", row.perSecond}, row.left, row.waiting, row.free); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}

// TestSendAllSlowsDown asserts that a run carries out what is decided: half as many
// requests at once after a 429, and more again with each success.
func TestSendAllSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		start := time.Now()
		asked := map[int]int{} // requests in each second
		s := newBulkService(nil)
		s.answer = func(string, int) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			second := int(time.Since(start) / time.Second)
			asked[second]++
			if second == 0 {
				return respond(429, "", "Retry-After", "10"), nil
			}
			return respond(201, ""), nil
		}
		s.delay = 900 * time.Millisecond // one round each second
		collect(t, (&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 1000, "a.example"), BulkOptions{Concurrency: 64}), 1000)
		if asked[0] != 64 {
			t.Errorf("%d requests before the first response", asked[0])
		}
		var rounds []int
		for second := 1; second < 100; second++ {
			if n := asked[second]; n > 0 {
				rounds = append(rounds, n)
			}
		}
		if len(rounds) < 10 || rounds[0] != 32 || rounds[1] != 40 || rounds[5] != 64 {
			t.Errorf("%v requests in the rounds after the 429, want 32, a quarter more each, and 64 at most", rounds)
		}
	})
}

// TestForgetsOrigins asserts that a run's memory does not grow with the origins that
// strangers' endpoints name.
func TestForgetsOrigins(t *testing.T) {
	b := newScheduler(t.Context(), &Client{}, BulkOptions{Concurrency: 1}, nil)
	held := b.origin(testSubscription(t, "https://held.example/x", nil))
	held.heldUntil = time.Now().Add(time.Hour)
	for i := range 5000 {
		b.origin(testSubscription(t, fmt.Sprintf("https://h%d.example/x", i), nil))
	}
	if n := len(b.origins); n > 1024 {
		t.Errorf("%d origins are remembered", n)
	}
	if b.origins[held.name] != held {
		t.Error("the one that asked to wait is forgotten")
	}
}
