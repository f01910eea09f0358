package webpush

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// bulkService answers the requests of a run within a synctest bubble, where
// time is not real.
type bulkService struct {
	// answer gets the request's host and how often its path was asked before.
	answer func(host string, before int) (*http.Response, error)
	delay  time.Duration

	mu       sync.Mutex
	asked    map[string]int // by URL
	byHost   map[string]int
	inFlight map[string]int
	most     map[string]int
}

func newBulkService(answer func(host string, before int) (*http.Response, error)) *bulkService {
	return &bulkService{answer: answer, delay: 100 * time.Millisecond,
		asked: map[string]int{}, byHost: map[string]int{}, inFlight: map[string]int{}, most: map[string]int{}}
}

func (s *bulkService) Do(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	before := s.asked[r.URL.String()]
	s.asked[r.URL.String()]++
	s.byHost[r.URL.Host]++
	for _, name := range []string{r.URL.Host, ""} {
		s.inFlight[name]++
		s.most[name] = max(s.most[name], s.inFlight[name])
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inFlight[r.URL.Host]--
		s.inFlight[""]--
	}()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-time.After(s.delay):
	}
	if s.answer == nil {
		return respond(201, "", "TTL", "60"), nil
	}
	return s.answer(r.URL.Host, before)
}

// bulkJobs yields n jobs, in turn to the hosts; their Value is their number.
func bulkJobs(tb testing.TB, n int, hosts ...string) iter.Seq2[Job, error] {
	subs := make([]*Subscription, n)
	id := testIdentity(tb)
	for i := range subs {
		subs[i] = testSubscription(tb, fmt.Sprintf("https://%s/%s/%d", hosts[i%len(hosts)], testToken, i), id)
	}
	return func(yield func(Job, error) bool) {
		for i, sub := range subs {
			if !yield(Job{Subscription: sub, Value: i}, nil) {
				return
			}
		}
	}
}

// collect runs to the end and checks that each of n jobs has one result.
func collect(t *testing.T, results iter.Seq[Result], n int) []Result {
	t.Helper()
	all := slices.Collect(results)
	slices.SortFunc(all, func(a, b Result) int { return int(a.Index - b.Index) })
	if len(all) != n {
		t.Fatalf("%d results, want %d", len(all), n)
	}
	for i, r := range all {
		if r.Index != int64(i) {
			t.Fatalf("result %d has the index %d", i, r.Index)
		}
		if r.Job.Value != nil && r.Job.Value != i {
			t.Fatalf("result %d has the value %v", i, r.Job.Value)
		}
		if (r.Class == ClassDelivered) != (r.Receipt != nil && r.Err == nil) {
			t.Fatalf("result %d is %s with %v and %v", i, r.Class, r.Receipt, r.Err)
		}
		if r.Err != nil {
			noSecret(t, "a result", r.Err.Error())
		}
	}
	return all
}

func classes(results []Result) map[Class]int {
	n := map[Class]int{}
	for _, r := range results {
		n[r.Class]++
	}
	return n
}

func TestSendAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBulkService(nil)
		c := &Client{HTTP: s, Key: testKey(t), Subject: "mailto:ops@example.com"}
		start := time.Now()
		all := collect(t, c.SendAll(t.Context(), bulkJobs(t, 100, "a.example", "b.example"), BulkOptions{Concurrency: 10}), 100)
		if got := classes(all); got[ClassDelivered] != 100 {
			t.Error(got)
		}
		for _, r := range all {
			if r.Attempts != 1 || r.Latency != s.delay || r.Receipt.Latency != s.delay || *r.Receipt.TTL != time.Minute {
				t.Fatalf("%+v", r)
			}
		}
		// Ten at once, each a tenth of a second.
		if took := time.Since(start); took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if s.most[""] != 10 {
			t.Errorf("%d requests at once", s.most[""])
		}
	})
}

func TestSendAllClasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := map[string]func() (*http.Response, error){
			"delivered.example": func() (*http.Response, error) { return respond(201, ""), nil },
			"gone.example":      func() (*http.Response, error) { return respond(410, ""), nil },
			"lost.example":      func() (*http.Response, error) { return respond(404, ""), nil },
			"refused.example":   func() (*http.Response, error) { return respond(403, testToken), nil },
			"large.example":     func() (*http.Response, error) { return respond(413, ""), nil },
			"ill.example":       func() (*http.Response, error) { return respond(500, ""), nil },
			"off.example": func() (*http.Response, error) {
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			},
			"nowhere.example":   func() (*http.Response, error) { return nil, &net.DNSError{Name: "nowhere.example", IsNotFound: true} },
			"proxied.example":   func() (*http.Response, error) { return nil, &proxyError{"proxy.example:3128", 407} },
			"forbidden.example": func() (*http.Response, error) { return nil, &privateAddressError{} },
		}
		hosts := slices.Sorted(maps.Keys(answers))
		s := newBulkService(func(host string, _ int) (*http.Response, error) { return answers[host]() })
		bad := errors.New("line 9 is no subscription")
		jobs := func(yield func(Job, error) bool) {
			for job := range bulkJobs(t, len(hosts), hosts...) {
				job.Value = nil
				if !yield(job, nil) {
					return
				}
			}
			if !yield(Job{Value: len(hosts)}, bad) {
				return
			}
			if !yield(Job{}, nil) { // nobody to send to
				return
			}
			yield(Job{Subscription: testSubscription(t, "https://nokeys.example/x", nil), Message: Message{Payload: []byte("hi")}}, nil)
		}
		all := collect(t, (&Client{HTTP: s, Attempts: 2}).SendAll(t.Context(), jobs, BulkOptions{}), len(hosts)+3)
		want := map[string]Class{"delivered.example": ClassDelivered, "gone.example": ClassGone, "lost.example": ClassGone,
			"refused.example": ClassRejected, "large.example": ClassRejected, "ill.example": ClassTemporary, "off.example": ClassTemporary,
			"nowhere.example": ClassTemporary, "proxied.example": ClassTemporary, "forbidden.example": ClassRejected}
		attempts := map[string]int{"ill.example": 2, "off.example": 2}
		for i, host := range hosts {
			if r := all[i]; r.Class != want[host] || r.Attempts != max(1, attempts[host]) {
				t.Errorf("%s: %s after %d attempts: %v", host, r.Class, r.Attempts, r.Err)
			}
		}
		for i, r := range all[len(hosts):] {
			if r.Class != ClassInvalid || r.Attempts != 0 || i == 0 && r.Err != bad {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestSendAllHoldsOneOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		start := time.Now()
		var again []time.Duration
		s := newBulkService(nil)
		s.answer = func(host string, before int) (*http.Response, error) {
			if host == "a.example" && time.Since(start) < 30*time.Second {
				return respond(429, "", "Retry-After", "30"), nil
			}
			mu.Lock()
			defer mu.Unlock()
			if host == "a.example" {
				again = append(again, time.Since(start))
			}
			return respond(201, ""), nil
		}
		c := &Client{HTTP: s}
		var bDone time.Duration
		n := map[Class]int{}
		left := 100
		for r := range c.SendAll(t.Context(), bulkJobs(t, 200, "a.example", "b.example"), BulkOptions{Concurrency: 8}) {
			n[r.Class]++
			if r.Receipt != nil && strings.Contains(r.Receipt.Origin, "b.example") {
				if left--; left == 0 {
					bDone = time.Since(start)
				}
			}
		}
		if n[ClassDelivered] != 200 {
			t.Error(n)
		}
		if bDone == 0 || bDone > 5*time.Second {
			t.Errorf("the other service was held back as well: %v", bDone)
		}
		if len(again) != 100 || again[0] < 30*time.Second || again[0] > 34*time.Second {
			t.Errorf("asked again after %v", again)
		}
		if s.byHost["a.example"] > 110 {
			t.Errorf("%d requests to a service that asked to wait", s.byHost["a.example"])
		}
	})
}

func TestSendAllDoesNotWaitForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBulkService(func(string, int) (*http.Response, error) { return respond(429, "", "Retry-After", "3600"), nil })
		all := collect(t, (&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 500, "a.example"), BulkOptions{Concurrency: 8}), 500)
		if got := classes(all); got[ClassTemporary] != 500 || s.byHost["a.example"] > 20 {
			t.Errorf("%v after %d requests", got, s.byHost["a.example"])
		}
		if last := all[499]; last.Attempts != 0 || !strings.Contains(last.Err.Error(), "was not sent") || !strings.Contains(last.Err.Error(), "1h0m0s") {
			t.Errorf("%+v", last)
		}
	})
}

func TestSendAllGivesUpOneOrigin(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"refused", "hanging", "ill"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newBulkService(nil)
				hosts := []string{"down.example"}
				for i := range 9 {
					hosts = append(hosts, fmt.Sprintf("s%d.example", i))
				}
				s.answer = func(host string, before int) (*http.Response, error) {
					switch {
					case host != "down.example":
						return respond(201, ""), nil
					case kind == "ill":
						return respond(503, ""), nil
					case kind == "hanging":
						time.Sleep(30 * time.Second)
						return nil, context.DeadlineExceeded
					}
					return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
				}
				start := time.Now()
				all := collect(t, (&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 20000, hosts...), BulkOptions{Concurrency: 64}), 20000)
				if got := classes(all); got[ClassDelivered] != 18000 || got[ClassTemporary] != 2000 {
					t.Error(got)
				}
				t.Logf("%v, %d requests to the one that is down", time.Since(start), s.byHost["down.example"])
				if s.byHost["down.example"] > 1000 || time.Since(start) > 5*time.Minute {
					t.Errorf("%d requests to a service that does not answer, %v", s.byHost["down.example"], time.Since(start))
				}
			})
		})
	}
}

// TestSendAllComesBack: an outage that is shorter than the retries costs no
// message.
func TestSendAllComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := newBulkService(func(string, int) (*http.Response, error) {
			if d := time.Since(start); d > time.Second && d < 3*time.Second {
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
			return respond(201, ""), nil
		})
		retries := 0
		var mu sync.Mutex
		c := &Client{HTTP: s, OnRetry: func(e *Error, wait time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			retries++
			if wait < 500*time.Millisecond || e.Attempts == 0 {
				t.Errorf("%v after attempt %d", wait, e.Attempts)
			}
		}}
		all := collect(t, c.SendAll(t.Context(), bulkJobs(t, 10000, "a.example", "b.example"), BulkOptions{Concurrency: 100}), 10000)
		if got := classes(all); got[ClassDelivered] != 10000 || retries == 0 {
			t.Error(got, retries)
		}
	})
}

// TestSendAllBoundsHolds asserts that a service which asks every request to
// wait ends as one message's attempts do, and not after those of each in turn;
// and that one which takes a few now and then is waited for.
func TestSendAllBoundsHolds(t *testing.T) {
	for _, share := range []int{0, 3} { // of how many requests one is taken; 0 is none
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			var mu sync.Mutex
			s := newBulkService(func(host string, _ int) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				if host == "well.example" {
					return respond(201, ""), nil
				}
				if requests++; share > 0 && requests%share == 0 {
					return respond(201, ""), nil
				}
				return respond(429, "", "Retry-After", "60"), nil
			})
			c := &Client{HTTP: s, Key: testKey(t), Subject: "mailto:ops@example.com", Attempts: 4}
			if share > 0 {
				c.Attempts = 1000
			}
			start := time.Now()
			all := collect(t, c.SendAll(t.Context(), bulkJobs(t, 400, "busy.example", "well.example"), BulkOptions{Concurrency: 50}), 400)
			got, took := classes(all), time.Since(start)
			if share > 0 {
				if got[ClassDelivered] != 400 {
					t.Errorf("%v of a service that takes a third", got)
				}
				return
			}
			if got[ClassDelivered] != 200 || got[ClassTemporary] != 200 || took > 10*time.Minute {
				t.Errorf("%v after %v", got, took)
			}
			unsent := 0
			for _, r := range all {
				if r.Class == ClassTemporary && r.Attempts == 0 {
					unsent++
					if !strings.Contains(r.Err.Error(), "this message was not sent because an earlier one failed: too many messages") {
						t.Fatal(r.Err)
					}
				}
			}
			if unsent < 100 {
				t.Errorf("%d were not sent", unsent)
			}
		})
	}
}

func TestSendAllRate(t *testing.T) {
	for _, o := range []BulkOptions{{Rate: 100}, {Rates: Rates{PerOrigin: 50}}} {
		synctest.Test(t, func(t *testing.T) {
			s := newBulkService(nil)
			start := time.Now()
			collect(t, (&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 1000, "a.example", "b.example"), o), 1000)
			if took := time.Since(start); took < 9500*time.Millisecond || took > 10500*time.Millisecond {
				t.Errorf("%+v: took %v", o, took)
			}
		})
	}
}

func TestSendAllMaxFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBulkService(func(host string, _ int) (*http.Response, error) { return respond(403, ""), nil })
		taken := 0
		jobs := func(yield func(Job, error) bool) {
			for job, err := range bulkJobs(t, 5000, "a.example") {
				taken++
				if !yield(job, err) {
					return
				}
			}
		}
		all := slices.Collect((&Client{HTTP: s}).SendAll(t.Context(), jobs, BulkOptions{MaxFailures: 10, Concurrency: 4}))
		got := classes(all)
		if got[ClassRejected] < 10 || got[ClassRejected] > 14 || len(all) != taken || got[ClassSkipped] != taken-got[ClassRejected] || taken > 100 {
			t.Errorf("%v of %d", got, taken)
		}
		slices.SortFunc(all, func(a, b Result) int { return int(a.Index - b.Index) })
		if last := all[len(all)-1]; !strings.Contains(last.Err.Error(), "after 10 failures") {
			t.Error(last.Err)
		}
	})
}

// TestSendAllEnds breaks off in every way, while the source waits as well; the
// bubble fails when a goroutine is left.
func TestSendAllEnds(t *testing.T) {
	endless := func(ctx context.Context, jobs iter.Seq2[Job, error]) iter.Seq2[Job, error] {
		return func(yield func(Job, error) bool) {
			for job, err := range jobs {
				if !yield(job, err) {
					return
				}
			}
			<-ctx.Done()
		}
	}
	t.Run("break", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newBulkService(nil)
			n := 0
			for range (&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 1000, "a.example"), BulkOptions{Concurrency: 10}) {
				if n++; n == 25 {
					break
				}
			}
			if s.inFlight[""] != 0 || s.byHost["a.example"] > 60 {
				t.Error(s.inFlight, s.byHost)
			}
		})
	})
	t.Run("context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
			defer cancel()
			s := newBulkService(nil)
			all := slices.Collect((&Client{HTTP: s}).SendAll(ctx, endless(ctx, bulkJobs(t, 60, "a.example")), BulkOptions{Concurrency: 10}))
			got := classes(all)
			if got[ClassDelivered] != 20 || got[ClassTemporary] != 10 || len(all) != got[ClassSkipped]+30 || got[ClassSkipped] == 0 {
				t.Error(got)
			}
			for _, r := range all {
				if r.Class != ClassDelivered && !errors.Is(r.Err, context.DeadlineExceeded) {
					t.Errorf("%v", r.Err)
				}
			}
		})
	})
	t.Run("stop", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stop := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(250*time.Millisecond, func() { close(stop); cancel() })
			s := newBulkService(nil)
			// The source ends with ctx, the requests do not.
			all := slices.Collect((&Client{HTTP: s}).SendAll(t.Context(), endless(ctx, bulkJobs(t, 60, "a.example")), BulkOptions{Concurrency: 10, Stop: stop}))
			got := classes(all)
			if got[ClassDelivered] != 30 || len(all) != got[ClassSkipped]+30 || got[ClassSkipped] == 0 {
				t.Error(got)
			}
		})
	})
	t.Run("stop while waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stop := make(chan struct{})
			start := time.Now()
			time.AfterFunc(time.Second, func() { close(stop) })
			s := newBulkService(func(string, int) (*http.Response, error) { return respond(503, "", "Retry-After", "60"), nil })
			all := collect(t, (&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 30, "a.example"), BulkOptions{Concurrency: 10, Stop: stop}), 30)
			got := classes(all)
			if time.Since(start) != time.Second || got[ClassTemporary] != 10 || got[ClassSkipped] != 20 {
				t.Error(got, time.Since(start))
			}
		})
	})
	failing := func(fail func()) iter.Seq2[Job, error] {
		return func(yield func(Job, error) bool) {
			for job, err := range bulkJobs(t, 5, "a.example") {
				if !yield(job, err) {
					return
				}
			}
			fail()
		}
	}
	t.Run("panic of the source", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var all []Result
			defer func() {
				if v := recover(); v != "a fault of the source" {
					t.Errorf("recovered %v", v)
				}
				if got := classes(all); len(all) != 5 || got[ClassDelivered]+got[ClassSkipped] != 5 {
					t.Error(got)
				}
			}()
			for r := range (&Client{HTTP: newBulkService(nil)}).SendAll(t.Context(), failing(func() { panic("a fault of the source") }), BulkOptions{Concurrency: 2}) {
				all = append(all, r)
			}
		})
	})
	t.Run("source that exits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			all := collect(t, (&Client{HTTP: newBulkService(nil)}).SendAll(t.Context(), failing(runtime.Goexit), BulkOptions{Concurrency: 2}), 5)
			if classes(all)[ClassDelivered] != 5 {
				t.Error(classes(all))
			}
		})
	})
	t.Run("deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			start := time.Now()
			s := newBulkService(func(string, int) (*http.Response, error) { return respond(503, "", "Retry-After", "60"), nil })
			all := collect(t, (&Client{HTTP: s}).SendAll(ctx, bulkJobs(t, 3, "a.example"), BulkOptions{}), 3)
			if time.Since(start) > time.Second || classes(all)[ClassTemporary] != 3 {
				t.Errorf("waited %v for a retry after the deadline", time.Since(start))
			}
		})
	})
}

func TestSendAllCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const concurrency = 7
		s := newBulkService(nil)
		s.delay = time.Millisecond
		committed, yielded := 0, 0
		o := BulkOptions{Concurrency: concurrency, Commit: func(batch []Result) error {
			time.Sleep(10 * time.Millisecond) // slower than the service
			s.mu.Lock()
			defer s.mu.Unlock()
			if unrecorded := s.byHost["a.example"] - committed; unrecorded > concurrency {
				t.Errorf("%d messages were sent and are not recorded", unrecorded)
			}
			committed += len(batch)
			return nil
		}}
		for range (&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 500, "a.example"), o) {
			if yielded++; yielded > committed {
				t.Fatal("a result was yielded before it was committed")
			}
		}
		if committed != 500 || yielded != 500 {
			t.Error(committed, yielded)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newBulkService(nil)
		full := errors.New("the disk is full")
		calls := 0
		all := slices.Collect((&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 500, "a.example"), BulkOptions{Concurrency: 5, Commit: func([]Result) error {
			calls++
			return full
		}}))
		if calls != 1 || classes(all)[ClassDelivered] > 10 {
			t.Errorf("went on after %d failures to record: %v", calls, classes(all))
		}
	})
}

// TestSendAllReadsLittleAhead: the source is not read far ahead of what is
// sent, whether the services are slow or ask to wait or the consumer is slow.
func TestSendAllReadsLittleAhead(t *testing.T) {
	for _, held := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newBulkService(func(string, int) (*http.Response, error) {
				if held {
					return respond(429, "", "Retry-After", "60"), nil
				}
				return respond(201, ""), nil
			})
			sub := testSubscription(t, "https://a.example/x", testIdentity(t))
			var mu sync.Mutex
			taken := 0
			jobs := func(yield func(Job, error) bool) {
				for range 100000 {
					mu.Lock()
					taken++
					mu.Unlock()
					if !yield(Job{Subscription: sub}, nil) {
						return
					}
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 61*time.Second)
			defer cancel()
			for range (&Client{HTTP: s}).SendAll(ctx, jobs, BulkOptions{Concurrency: 50}) {
				time.Sleep(time.Second)
				synctest.Wait()
				mu.Lock()
				limit := 50 + 50 + 50 + 50 + s.byHost["a.example"]
				if held {
					limit += maxParked
				}
				if taken > limit {
					t.Fatalf("%d jobs were taken, %d sent", taken, s.byHost["a.example"])
				}
				mu.Unlock()
				if ctx.Err() != nil {
					break
				}
			}
		})
	}
}

func TestSendAllDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBulkService(nil)
		all := collect(t, (&Client{HTTP: s}).SendAll(t.Context(), bulkJobs(t, 50, "a.example"), BulkOptions{DryRun: true}), 50)
		if classes(all)[ClassSkipped] != 50 || all[0].Err != nil || s.byHost["a.example"] != 0 {
			t.Error(classes(all), s.byHost)
		}
	})
}

func TestSendAllKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := testKey(t), testKey(t)
		var mu sync.Mutex
		signed := map[vapid.PublicKey]int{}
		doer := doerFunc(func(r *http.Request) (*http.Response, error) {
			token, err := vapid.ParseToken(r.Header.Get("Authorization"), "")
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			signed[token.PublicKey()]++
			return respond(201, ""), nil
		})
		jobs := func(yield func(Job, error) bool) {
			i := 0
			for job := range bulkJobs(t, 10, "a.example") {
				if i++; i > 7 {
					job.Message.Key = theirs
				}
				if !yield(job, nil) {
					return
				}
			}
		}
		collect(t, (&Client{HTTP: doer, Key: ours, Subject: "mailto:ops@example.com"}).SendAll(t.Context(), jobs, BulkOptions{}), 10)
		if signed[ours.PublicKey()] != 7 || signed[theirs.PublicKey()] != 3 {
			t.Error(signed)
		}
	})
}

// TestSendAllRemembersHolds asserts that many origins in between do not make
// one be asked sooner than it wants, or more often than is allowed.
func TestSendAllRemembersHolds(t *testing.T) {
	for _, perSecond := range []float64{0, 0.01} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var asked []time.Time
			s := newBulkService(func(host string, _ int) (*http.Response, error) {
				if host != "slow.example" {
					return respond(201, ""), nil
				}
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, time.Now())
				if perSecond == 0 {
					return respond(429, "", "Retry-After", "60"), nil
				}
				return respond(201, ""), nil
			})
			id := testIdentity(t)
			jobs := func(yield func(Job, error) bool) {
				for i := range 4002 {
					host := fmt.Sprintf("h%d.example", i)
					if i%2001 == 0 {
						host = "slow.example"
					}
					if !yield(Job{Subscription: testSubscription(t, "https://"+host+"/x", id)}, nil) {
						return
					}
				}
			}
			// One attempt: nothing waits for the origin in between.
			collect(t, (&Client{HTTP: s, Attempts: 1}).SendAll(t.Context(), jobs, BulkOptions{Concurrency: 64, Rates: Rates{PerOrigin: perSecond}}), 4002)
			if len(asked) != 2 || asked[1].Sub(asked[0]) < time.Minute {
				t.Errorf("rate %v: asked at %v", perSecond, asked)
			}
		})
	}
}

// TestSendAllManyOrigins: as many origins as messages are no burden.
func TestSendAllManyOrigins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBulkService(nil)
		id := testIdentity(t)
		jobs := func(yield func(Job, error) bool) {
			for i := range 5000 {
				if !yield(Job{Subscription: testSubscription(t, fmt.Sprintf("https://h%d.example/x", i), id)}, nil) {
					return
				}
			}
		}
		all := collect(t, (&Client{HTTP: s}).SendAll(t.Context(), jobs, BulkOptions{Concurrency: 32}), 5000)
		if classes(all)[ClassDelivered] != 5000 {
			t.Error(classes(all))
		}
	})
}

// TestSendAllPipelined sends messages with different headers over HTTP/2 connections
// whose headers and responses are reused: each request and each error keeps its own.
func TestSendAllPipelined(t *testing.T) {
	const n = 300
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i, _ := strconv.Atoi(path.Base(r.URL.Path))
		if got, want := r.Header.Get("Ttl")+r.Header.Get("Topic")+r.Header.Get("Urgency"), fmt.Sprint(i%2, "topic", i%3, Urgencies()[i%4]); got != want {
			t.Errorf("message %d has the headers %q, want %q", i, got, want)
		}
		w.Header().Set("X-Number", fmt.Sprint(i))
		switch i % 3 {
		case 0:
			w.Header().Set("Location", fmt.Sprint("/m/", i))
			w.WriteHeader(http.StatusCreated)
		case 1:
			w.WriteHeader(http.StatusBadRequest)
		case 2:
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, "<html>")
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	jobs := func(yield func(Job, error) bool) {
		i := 0
		for job := range bulkJobs(t, n, s.Listener.Addr().String()) {
			job.Message = Message{Payload: []byte("x"), TTL: new(time.Duration(i%2) * time.Second), Topic: fmt.Sprint("topic", i%3), Urgency: Urgencies()[i%4]}
			if !yield(job, nil) {
				return
			}
			i++
		}
	}
	c := &Client{HTTP: s.Client(), Attempts: 1, Key: testKey(t), Subject: "mailto:ops@example.com"}
	if why := c.NotPipelined(BulkOptions{}); why != "" {
		t.Fatal(why)
	}
	for i, r := range collect(t, c.SendAll(t.Context(), jobs, BulkOptions{}), n) {
		var e *Error
		switch errors.As(r.Err, &e); {
		case i%3 == 0 && (r.Receipt == nil || r.Receipt.Location != fmt.Sprint(s.URL, "/m/", i)):
			t.Errorf("result %d: %+v %v", i, r.Receipt, r.Err)
		case i%3 > 0 && (e == nil || e.Header.Get("X-Number") != fmt.Sprint(i)):
			t.Errorf("result %d: %v %+v", i, r.Err, e)
		}
	}
}

// TestSendAllGCM asserts that the requests of GCM, which replace headers, share none with
// others.
func TestSendAllGCM(t *testing.T) {
	const n = 400
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := ""
		if key, ok := strings.CutPrefix(r.URL.Path, "/gcm/"); ok {
			want = "key=" + key
		}
		if got := r.Header.Get("Authorization"); got != want {
			t.Errorf("%s has the Authorization %q, want %q", r.URL.Path, got, want)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	jobs := func(yield func(Job, error) bool) {
		i := 0
		for job := range bulkJobs(t, n, s.Listener.Addr().String()) {
			job.Message = Message{Payload: []byte("x")}
			if i%3 > 0 {
				job.Message.GCM = &GCM{Key: fmt.Sprint("k", i%3), URL: fmt.Sprint(s.URL, "/gcm/k", i%3)}
			}
			if !yield(job, nil) {
				return
			}
			i++
		}
	}
	collect(t, (&Client{HTTP: s.Client(), Attempts: 1}).SendAll(t.Context(), jobs, BulkOptions{}), n)
}
