package webpush

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// arrivals are the times at which a service was asked.
type arrivals struct {
	mu    sync.Mutex
	times map[string][]time.Time // by host
}

func (a *arrivals) add(host string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.times == nil {
		a.times = map[string][]time.Time{}
	}
	a.times[host] = append(a.times[host], time.Now())
}

// of returns those at the hosts, or at all.
func (a *arrivals) of(hosts ...string) (all []time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for host, times := range a.times {
		if len(hosts) == 0 || slices.Contains(hosts, host) {
			all = append(all, times...)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// busiest returns the most of the times that are within a duration.
func busiest(times []time.Time, within time.Duration) (most int) {
	first := 0
	for i, at := range times {
		for at.Sub(times[first]) >= within {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func countBetween(times []time.Time, from, to time.Time) (n int) {
	for _, at := range times {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// accepting is a service that accepts everything, and notes when.
func accepting(a *arrivals) Doer {
	return doerFunc(func(r *http.Request) (*http.Response, error) {
		a.add(r.URL.Host)
		time.Sleep(20 * time.Millisecond)
		return respond(201, ""), nil
	})
}

const (
	fcmHost, fcmOld           = "fcm.googleapis.com", "android.googleapis.com"
	mozillaHost, mozillaOther = "updates.push.services.mozilla.com", "other.push.services.mozilla.com"
)

func TestSendAllRates(t *testing.T) {
	for _, row := range []struct {
		name  string
		rates Rates
		cells [][]string // of hosts that share 100 a second
	}{
		{"each origin", Rates{PerOrigin: 100}, [][]string{{fcmHost}, {fcmOld}, {mozillaHost}, {"a.example"}}},
		{"all origins of a service", Rates{PerOrigin: 100, Services: map[Service]float64{FCM: 100, Mozilla: 0}}, [][]string{{fcmHost, fcmOld}, {"a.example"}}},
		{"services alone", Rates{Services: map[Service]float64{FCM: 100, Mozilla: 100, Other: 100}}, [][]string{{fcmHost, fcmOld}, {mozillaHost, mozillaOther}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var a arrivals
			c := &Client{HTTP: accepting(&a), Key: testKey(t), Subject: "mailto:ops@example.com"}
			hosts := []string{fcmHost, fcmOld, mozillaHost, mozillaOther, "a.example"}
			collect(t, c.SendAll(t.Context(), bulkJobs(t, 2000, hosts...), BulkOptions{Rates: row.rates}), 2000)
			limited := map[string]bool{}
			for _, cell := range row.cells {
				times := a.of(cell...)
				took := times[len(times)-1].Sub(times[0])
				if perSecond := float64(len(times)) / took.Seconds(); perSecond < 98 || perSecond > 102 {
					t.Errorf("%s: %v were sent %v a second, want 100", row.name, cell, perSecond)
				}
				// At one moment of the clock, the order of what is due is not fixed.
				if most := busiest(times, time.Second); most > 103 {
					t.Errorf("%s: %v were sent %d in a second", row.name, cell, most)
				}
				if most := busiest(times, tick); most > 4 {
					t.Errorf("%s: %v were sent %d at once", row.name, cell, most)
				}
				for _, host := range cell {
					limited[host] = true
				}
			}
			for _, host := range hosts {
				if times := a.of(host); row.rates.PerOrigin == 0 && !limited[host] && times[len(times)-1].Sub(times[0]) > time.Second {
					t.Errorf("%s: %s waits without a rate", row.name, host)
				}
			}
		})
	}
}

// TestSendAllPacesRetries asserts that second attempts count: what a service gets is
// the rate, whatever becomes of it.
func TestSendAllPacesRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a arrivals
		s := newBulkService(func(host string, before int) (*http.Response, error) {
			a.add(host)
			if before == 0 {
				return respond(500, ""), nil
			}
			return respond(201, ""), nil
		})
		all := collect(t, (&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 300, "a.example"), BulkOptions{Rates: Rates{PerOrigin: 50}, Concurrency: 1000}), 300)
		if got := classes(all); got[ClassDelivered] != 300 {
			t.Error(got)
		}
		if times := a.of(); len(times) != 600 || busiest(times, time.Second) > 51 {
			t.Errorf("%d requests, %d of them in one second at a rate of 50", len(times), busiest(times, time.Second))
		}
	})
}

// watched is a Limiter that checks how it is used.
type watched struct {
	t       *testing.T
	reserve func(c Cell, n int) (Grant, error)
	delay   time.Duration

	mu     sync.Mutex
	asking map[string]int
	calls  map[string]int
	asked  map[string]int
	most   int
	holds  map[string][]time.Duration
}

func (w *watched) Reserve(ctx context.Context, c Cell, n int) (Grant, error) {
	w.mu.Lock()
	if w.asking == nil {
		w.asking, w.asked, w.calls = map[string]int{}, map[string]int{}, map[string]int{}
	}
	if w.asking[c.Name]++; w.asking[c.Name] > 1 {
		w.t.Errorf("%s is asked for twice at a time", c.Name)
	}
	w.asked[c.Name] += n
	w.calls[c.Name]++
	w.most = max(w.most, n)
	w.mu.Unlock()
	time.Sleep(w.delay)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking[c.Name]--
	return w.reserve(c, n)
}

func (w *watched) Hold(c Cell, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holds == nil {
		w.holds = map[string][]time.Duration{}
	}
	w.holds[c.Name] = append(w.holds[c.Name], wait)
}

func TestSendAllLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := NewLimiter()
		w := &watched{t: t, delay: 3 * time.Millisecond, reserve: func(c Cell, n int) (Grant, error) { return local.Reserve(t.Context(), c, n) }}
		var a arrivals
		start := time.Now()
		o := BulkOptions{Rates: Rates{Services: map[Service]float64{FCM: 200}}, Limiter: w, Concurrency: 64}
		c := &Client{HTTP: accepting(&a), Key: testKey(t), Subject: "mailto:ops@example.com"}
		collect(t, c.SendAll(t.Context(), bulkJobs(t, 4000, fcmHost, "a.example"), o), 4000)
		if took := time.Since(start); took < 9900*time.Millisecond || took > 10200*time.Millisecond {
			t.Errorf("2000 messages at 200 a second took %v", took)
		}
		if got := slices.Collect(maps.Keys(w.asked)); !slices.Equal(got, []string{"fcm"}) {
			t.Errorf("asked for %v, where only fcm has a rate", got)
		}
		if w.asked["fcm"] != 2000 || w.most > 20 || w.calls["fcm"] > 250 {
			t.Errorf("%d requests were reserved by %d calls for 2000 messages, %d at a time", w.asked["fcm"], w.calls["fcm"], w.most)
		}
	})
}

// TestSendAllAsksForFreePlaces asserts that no more is reserved than can be sent: what
// lapses is lost for the others.
func TestSendAllAsksForFreePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := NewLimiter()
		w := &watched{t: t, reserve: func(c Cell, n int) (Grant, error) { return local.Reserve(t.Context(), c, n) }}
		s := newBulkService(nil)
		s.delay = time.Second
		o := BulkOptions{Rates: Rates{PerOrigin: 1000}, Limiter: w, Concurrency: 8}
		collect(t, (&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 80, "a.example"), o), 80)
		if w.most > 8 || w.asked["https://a.example"] != 80 {
			t.Errorf("%d were reserved for 80 messages, %d at a time for 8 places", w.asked["https://a.example"], w.most)
		}
	})
}

func TestSendAllLimiterSaysNo(t *testing.T) {
	for name, no := range map[string]func(now time.Time) (Grant, error){
		"an error":           func(time.Time) (Grant, error) { return Grant{}, errors.New("the engine is away") },
		"ask again":          func(now time.Time) (Grant, error) { return Grant{At: now.Add(time.Second)}, nil },
		"ask again, at once": func(now time.Time) (Grant, error) { return Grant{At: now}, nil },
		"lapsed": func(now time.Time) (Grant, error) {
			return Grant{N: 9, At: now.Add(-time.Minute), Every: time.Millisecond}, nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			local := NewLimiter()
			w := &watched{t: t, reserve: func(c Cell, n int) (Grant, error) {
				if time.Since(start) < time.Minute {
					return no(time.Now())
				}
				return local.Reserve(t.Context(), c, n)
			}}
			var a arrivals
			collect(t, (&Client{HTTP: accepting(&a)}).SendAll(t.Context(), bulkJobs(t, 100, "a.example", "b.example"), BulkOptions{Rates: Rates{PerOrigin: 100}, Limiter: w}), 100)
			if first := a.of()[0].Sub(start); first < time.Minute || first > 62*time.Second {
				t.Errorf("%s: the first was sent after %v, want a minute", name, first)
			}
			if n := w.calls["https://a.example"]; n > 7000 {
				t.Errorf("%s: it was asked %d times in a minute", name, n)
			}
		})
	}
}

// TestSendAllLimiterStops asserts that a run which waits for the limiter ends.
func TestSendAllLimiterStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watched{t: t, reserve: func(c Cell, n int) (Grant, error) {
			return Grant{N: n, At: time.Now().Add(time.Hour), Every: time.Hour}, nil
		}}
		stop := make(chan struct{})
		time.AfterFunc(time.Minute, func() { close(stop) })
		start := time.Now()
		all := slices.Collect((&Client{HTTP: newBulkService(nil)}).SendAll(t.Context(), bulkJobs(t, 100, "a.example"), BulkOptions{Rates: Rates{PerOrigin: 100}, Limiter: w, Stop: stop}))
		if got := classes(all); got[ClassSkipped] != 100 || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", got, time.Since(start))
		}
	})
}

// TestSharedRate: three runs share a rate, one stops in the middle, and another one
// joins.
func TestSharedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond = 200
		var a arrivals
		limiter := NewLimiter()
		start := time.Now()
		run := func(stop time.Duration) {
			c := &Client{HTTP: accepting(&a)}
			sub := testSubscription(t, "https://a.example/x", testIdentity(t))
			jobs := func(yield func(Job, error) bool) {
				for yield(Job{Subscription: sub}, nil) {
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), stop)
			defer cancel()
			for range c.SendAll(ctx, jobs, BulkOptions{Rates: Rates{PerOrigin: perSecond}, Limiter: limiter, Concurrency: 64}) {
			}
		}
		var runs sync.WaitGroup
		runs.Go(func() { run(20 * time.Second) })
		runs.Go(func() { run(20 * time.Second) })
		runs.Go(func() { run(5 * time.Second) })
		runs.Go(func() { time.Sleep(8 * time.Second); run(12 * time.Second) })
		runs.Wait()
		times := a.of()
		if mean := float64(countBetween(times, start, start.Add(20*time.Second))) / 20; mean < perSecond*0.97 || mean > perSecond*1.03 {
			t.Errorf("%v a second, want %d", mean, perSecond)
		}
		if most := busiest(times, time.Second); most > perSecond*1.1 {
			t.Errorf("%d in the worst second, want %d", most, perSecond)
		}
	})
}

// TestSharedHold: when one run is asked to wait, all wait.
func TestSharedHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		limiter := NewLimiter()
		var a arrivals
		var refused int
		var mu sync.Mutex
		doer := doerFunc(func(r *http.Request) (*http.Response, error) {
			a.add(r.URL.Host)
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if refused == 0 && time.Since(start) > 5*time.Second {
				refused++
				return respond(429, "", "Retry-After", "10"), nil
			}
			return respond(201, ""), nil
		})
		var runs sync.WaitGroup
		for range 3 {
			runs.Go(func() {
				for r := range (&Client{HTTP: doer}).SendAll(t.Context(), bulkJobs(t, 1000, "a.example"), BulkOptions{Rates: Rates{PerOrigin: 200}, Limiter: limiter, Concurrency: 64}) {
					if r.Class != ClassDelivered {
						t.Error(r.Err)
					}
				}
			})
		}
		runs.Wait()
		// What was reserved before is sent. The hold is up to a tenth longer than was asked.
		if n := countBetween(a.of(), start.Add(5300*time.Millisecond), start.Add(15*time.Second)); n > 0 {
			t.Errorf("%d requests while the service asked to wait", n)
		}
		if n := countBetween(a.of(), start.Add(16100*time.Millisecond), start.Add(18100*time.Millisecond)); n < 300 {
			t.Errorf("%d requests in the two seconds after that", n)
		}
	})
}

// TestSendAllHolds asserts what a limiter is told: of cells with a rate alone, and no
// more than the longest wait.
func TestSendAllHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBulkService(func(host string, before int) (*http.Response, error) {
			switch {
			case host == "slow.example":
				return respond(429, "", "Retry-After", "3600"), nil
			case before == 0 && host != "bad.example":
				return respond(429, "", "Retry-After", "10"), nil
			case host == "bad.example":
				return respond(400, "", "Retry-After", "10"), nil
			}
			return respond(201, ""), nil
		})
		local := NewLimiter()
		w := &watched{t: t, reserve: func(c Cell, n int) (Grant, error) { return local.Reserve(t.Context(), c, n) }}
		jobs := bulkJobs(t, 5, "a.example", fcmHost, "slow.example", "bad.example", mozillaHost)
		o := BulkOptions{Rates: Rates{PerOrigin: 10, Services: map[Service]float64{FCM: 10, Mozilla: 0}}, Limiter: w}
		collect(t, (&Client{HTTP: s, MaxWait: time.Minute, Key: testKey(t), Subject: "mailto:ops@example.com"}).SendAll(t.Context(), jobs, o), 5)
		var got []string
		for name, waits := range w.holds {
			got = append(got, fmt.Sprintf("%s: %d of %v", name, len(waits), waits[0].Truncate(10*time.Second)))
		}
		slices.Sort(got)
		if want := []string{"fcm: 1 of 10s", "https://a.example: 1 of 10s", "https://slow.example: 1 of 1m0s"}; !slices.Equal(got, want) {
			t.Errorf("held:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestLocalLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter()
		start := time.Now()
		reserve := func(c Cell, n int, wantAt time.Duration) {
			t.Helper()
			g, err := l.Reserve(t.Context(), c, n)
			if err != nil || g.N != n || g.At.Sub(start) != wantAt || g.Every != c.Every() {
				t.Errorf("%d of %v: %v after the start, %v, %v; want %v", n, c, g.At.Sub(start), g, err, wantAt)
			}
		}
		a, b := Cell{"a", 10}, Cell{"b", 10}
		reserve(a, 2, 0)
		reserve(a, 1, 200*time.Millisecond)
		reserve(b, 1, 0)
		time.Sleep(time.Second)
		reserve(a, 1, time.Second) // what was not used is lost
		l.Hold(a, time.Minute)
		l.Hold(a, time.Second)
		reserve(a, 1, 61*time.Second)
		l.Hold(a, time.Second)
		reserve(a, 1, 61100*time.Millisecond)
		slow := Cell{"slow", 1e-300}
		reserve(slow, 1, time.Second)
		if g, err := l.Reserve(t.Context(), slow, 1); err != nil || g.At.Sub(start) < 99*365*24*time.Hour {
			t.Errorf("the second of a rate of nearly nothing: %v", g.At)
		}

		for i := range 5 * maxOrigins { // of strangers
			l.Hold(Cell{Name: fmt.Sprint(i)}, time.Hour)
		}
		if n := len(l.(*localLimiter).next); n > 2*maxOrigins+1 {
			t.Errorf("%d cells are remembered", n)
		}
		time.Sleep(2 * time.Hour)
		for i := range 5000 {
			l.Hold(Cell{Name: fmt.Sprint(i)}, time.Millisecond)
			time.Sleep(10 * time.Millisecond)
		}
		l.(*localLimiter).forgetAt = 0
		l.Hold(Cell{Name: "x"}, time.Second)
		if n := len(l.(*localLimiter).next); n > 3 {
			t.Errorf("%d cells are remembered, all of which are past", n)
		}
	})
}

// refusing is a service that accepts so many messages a second, in bursts of so many,
// and refuses the others.
type refusing struct {
	perSecond, burst float64

	mu                sync.Mutex
	tokens            float64
	at                time.Time
	accepted, refused int
}

func (s *refusing) Do(*http.Request) (*http.Response, error) {
	time.Sleep(10 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.tokens = min(s.burst, s.tokens+s.perSecond*now.Sub(s.at).Seconds())
	s.at = now
	if s.tokens < 1 {
		s.refused++
		return respond(429, "", "Retry-After", "2"), nil
	}
	s.tokens--
	s.accepted++
	return respond(201, ""), nil
}

// TestSendAllAdapts: without a rate, a run finds one that the service accepts.
func TestSendAllAdapts(t *testing.T) {
	t.Parallel()
	for _, off := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := &refusing{perSecond: 500, burst: 100, tokens: 100, at: time.Now()}
			sub := testSubscription(t, "https://a.example/x", testIdentity(t))
			jobs := func(yield func(Job, error) bool) {
				for yield(Job{Subscription: sub}, nil) {
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			for range (&Client{HTTP: s, Attempts: 1000}).SendAll(ctx, jobs, BulkOptions{Concurrency: 64, NoAdaptiveRate: off}) {
			}
			share := float64(s.refused) / float64(s.accepted+s.refused)
			t.Logf("adaptive %v: %d accepted, %d refused (%.2f %%)", !off, s.accepted, s.refused, 100*share)
			if !off && (share > 0.01 || s.accepted < 500*120*6/10) {
				t.Errorf("%d accepted, %d refused of 500 a second for two minutes", s.accepted, s.refused)
			}
			if off && share < 0.02 {
				t.Errorf("%.2f %% are refused without: this service tests nothing", 100*share)
			}
		})
	}
}
