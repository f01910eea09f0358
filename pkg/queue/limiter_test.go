package queue

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

func testLimiter(t *testing.T, e *engine, warn func(string)) *limiter {
	t.Helper()
	if warn == nil {
		warn = func(string) {}
	}
	l, err := newLimiter(t.Context(), e.queue(Config{}), warn)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Limiters on one server never grant the same time twice.
func TestLimiterShares(t *testing.T) {
	e := startEngine(t)
	cell := webpush.Cell{Name: "https://push.example.net", PerSecond: 2000}
	type span struct{ from, to time.Time }
	var mu sync.Mutex
	var spans []span
	var all sync.WaitGroup
	for range 3 {
		l := testLimiter(t, e, nil)
		l.now(t.Context()) // the clocks are the same here
		l.ahead, l.asked = 0, time.Now()
		all.Go(func() {
			for range 20 {
				g, err := l.Reserve(t.Context(), cell, 20)
				if err != nil {
					t.Error(err)
					return
				}
				if g.N == 0 {
					time.Sleep(time.Until(g.At))
					continue
				}
				mu.Lock()
				spans = append(spans, span{g.At, g.At.Add(time.Duration(g.N) * g.Every)})
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from.UnixNano(), b.from.UnixNano()) })
	for i := range spans[1:] {
		// The clock of a time with a monotonic reading may differ by microseconds.
		if over := spans[i].to.Sub(spans[i+1].from); over > time.Millisecond {
			t.Errorf("grant %d ends %v after the next one begins", i, over)
		}
	}
	if len(spans) < 20 {
		t.Errorf("%d grants", len(spans))
	}
}

// A hold of one limiter is one of all, and does not shorten another.
func TestLimiterHolds(t *testing.T) {
	t.Parallel()
	e := startEngine(t)
	a, b := testLimiter(t, e, nil), testLimiter(t, e, nil)
	cell := webpush.Cell{Name: "fcm", PerSecond: 100}
	reserve := func() (g webpush.Grant) {
		t.Helper()
		g, err := b.Reserve(t.Context(), cell, 10)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	if g := reserve(); g.N != 10 || g.Every != 10*time.Millisecond {
		t.Fatalf("the first grant is %+v", g)
	}
	a.Hold(cell, time.Hour)
	for deadline := time.Now().Add(10 * time.Second); reserve().N > 0; time.Sleep(150 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the hold does not arrive")
		}
	}
	a.Hold(cell, time.Minute)
	time.Sleep(100 * time.Millisecond)
	if g := reserve(); g.N != 0 || time.Until(g.At) < 59*time.Minute {
		t.Errorf("during the hold, the grant is %d, at %v", g.N, time.Until(g.At))
	}
	if g, err := b.Reserve(t.Context(), webpush.Cell{Name: "mozilla", PerSecond: 100}, 10); err != nil || g.N != 10 {
		t.Errorf("another cell gets %d: %v", g.N, err)
	}
}

// The lowest rate holds, with one warning.
func TestLimiterLowest(t *testing.T) {
	e := startEngine(t)
	var warnings []string
	a, b := testLimiter(t, e, nil), testLimiter(t, e, func(s string) { warnings = append(warnings, s) })
	if _, err := a.Reserve(t.Context(), webpush.Cell{Name: "fcm", PerSecond: 100}, 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		g, err := b.Reserve(t.Context(), webpush.Cell{Name: "fcm", PerSecond: 400}, 8)
		if err != nil || g.N != 2 || g.Every != 10*time.Millisecond {
			t.Errorf("the grant is %+v: %v", g, err)
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "another worker has a lower rate for fcm, which applies: 100/s instead of 400/s") {
		t.Errorf("the warnings are %q", warnings)
	}
}

// Without the server nothing is granted, and a bucket that was deleted is made again.
func TestLimiterFails(t *testing.T) {
	t.Parallel()
	e := startEngine(t)
	l := testLimiter(t, e, nil)
	cell := webpush.Cell{Name: "fcm", PerSecond: 100}
	if err := l.q.js.DeleteKeyValue(t.Context(), ratesBucket); err != nil {
		t.Fatal(err)
	}
	if g, err := l.Reserve(t.Context(), cell, 10); err != nil || g.N != 10 {
		t.Errorf("without the bucket: %+v, %v", g, err)
	}
	e.stop()
	if g, err := l.Reserve(t.Context(), cell, 10); err == nil {
		t.Errorf("without the server: %+v", g)
	}
	e.start()
	g, err := retry(t.Context(), func() (webpush.Grant, error) {
		return l.Reserve(context.WithoutCancel(t.Context()), cell, 10)
	})
	if err != nil || g.N != 10 {
		t.Errorf("with the server again: %+v, %v", g, err)
	}
}
