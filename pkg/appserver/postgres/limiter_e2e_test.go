//go:build e2e && unix

package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/postgres"
	"github.com/seed81da77dd/webpush/pkg/internal/pgtest"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// limiterOf opens a store, as each server has its own, and returns its limiter and log.
func limiterOf(t *testing.T, url string) (appserver.Store, webpush.Limiter, *bytes.Buffer) {
	t.Helper()
	store, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	log := new(bytes.Buffer)
	l, err := postgres.Limiter(store, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return store, l, log
}

func TestPostgresLimiter(t *testing.T) {
	server := pgtest.Start(t)
	store, a, logA := limiterOf(t, server.URL())
	_, b, logB := limiterOf(t, server.URL())
	if again, err := postgres.Limiter(store, slog.Default()); err != nil || again != a {
		t.Errorf("a second limiter of one store: %v", err)
	}
	// reserve returns how long after the last time that was granted the first one is.
	last := map[string]time.Time{}
	reserve := func(l webpush.Limiter, c webpush.Cell, n int) (gap time.Duration, every time.Duration) {
		t.Helper()
		g, err := l.Reserve(t.Context(), c, n)
		if err != nil || g.N != n {
			t.Fatalf("%d of %v: %v, %v", n, c, g, err)
		}
		gap = g.At.Sub(last[c.Name])
		last[c.Name] = g.At.Add(time.Duration(n-1) * g.Every)
		return gap, g.Every
	}
	near := func(what string, got, want time.Duration) {
		t.Helper()
		if (got - want).Abs() > want/10+5*time.Second {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	// A minute between two requests, so that a slow machine changes nothing.
	c := webpush.Cell{Name: "https://push.example", PerSecond: 1.0 / 60}
	start := time.Now()
	reserve(a, c, 10)
	near("the first is sent at once", last[c.Name].Sub(start), 9*time.Minute)
	gap, every := reserve(b, c, 5)
	near("the second server continues", gap, time.Minute)
	near("every", every, time.Minute)
	other := webpush.Cell{Name: "fcm", PerSecond: 1.0 / 60}
	reserve(b, other, 1)
	near("another service is free", last[other.Name].Sub(start), 0)
	if logA.Len()+logB.Len() > 0 {
		t.Errorf("logged: %s %s", logA, logB)
	}

	// A lower rate holds for all, and is logged where it is not the own one.
	slower := webpush.Cell{Name: c.Name, PerSecond: 1.0 / 600}
	reserve(b, slower, 1)
	for range 2 {
		gap, every = reserve(a, c, 1)
		near("the lower rate holds", gap, 10*time.Minute)
		near("every", every, 10*time.Minute)
	}
	if n := strings.Count(logA.String(), "lower rate"); n != 1 || logB.Len() > 0 {
		t.Errorf("logged: %s %s", logA, logB)
	}
	query(t, server, "UPDATE webpush.rate SET asked = asked - interval '31 s'")
	reserve(a, c, 1)
	gap, every = reserve(a, c, 1)
	near("the server with the lower rate has ended", gap, time.Minute)
	near("every", every, time.Minute)

	// Holds.
	held := func(name string) (seconds float64) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if err := conn.QueryRow(t.Context(), "SELECT coalesce((SELECT extract(epoch FROM next - clock_timestamp())::float8 FROM webpush.rate WHERE name = $1), 0)", name).Scan(&seconds); err != nil {
			t.Fatal(err)
		}
		return seconds
	}
	fresh := webpush.Cell{Name: "apple", PerSecond: 100}
	b.Hold(fresh, time.Hour)
	b.Hold(fresh, 2*time.Hour)
	b.Hold(fresh, time.Minute)
	for range 500 {
		if held("apple") > 5000 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	reserve(a, fresh, 1)
	near("the longest hold holds", last[fresh.Name].Sub(start), 2*time.Hour)

	// A rate of nearly nothing, and a name that is too long.
	slow := webpush.Cell{Name: strings.Repeat("x", 5000), PerSecond: 1e-300}
	reserve(a, slow, 1)
	if gap, _ := reserve(a, slow, 1); gap < 99*365*24*time.Hour {
		t.Errorf("the second of a rate of nearly nothing: after %v", gap)
	}

	// What is old is removed, and the table is not logged.
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var persistence string
	var longest int
	if err := conn.QueryRow(t.Context(), "SELECT relpersistence::text, (SELECT max(length(name)) FROM webpush.rate) FROM pg_class WHERE oid = 'webpush.rate'::regclass").Scan(&persistence, &longest); err != nil {
		t.Fatal(err)
	}
	if persistence != "u" || longest > 300 {
		t.Errorf("the table has persistence %q and names of %d bytes", persistence, longest)
	}
}

// TestPostgresLimiterAway: while the database is away nothing is granted, and a hold is
// stored when it is back.
func TestPostgresLimiterAway(t *testing.T) {
	server := pgtest.Start(t)
	_, l, _ := limiterOf(t, server.URL())
	c := webpush.Cell{Name: "fcm", PerSecond: 10}
	if _, err := l.Reserve(t.Context(), c, 1); err != nil {
		t.Fatal(err)
	}
	server.Down()
	if g, err := l.Reserve(t.Context(), c, 1); err == nil || g.N > 0 {
		t.Errorf("granted without the database: %v", g)
	}
	l.Hold(c, time.Hour)
	server.Up(t)
	for range 60 {
		if g, err := l.Reserve(t.Context(), c, 1); err == nil && time.Until(g.At) > 30*time.Minute {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("the hold is lost")
}

// TestPostgresLimiterWaitsForNobody: connections and locks that this server's work uses
// do not delay it.
func TestPostgresLimiterWaitsForNobody(t *testing.T) {
	server := pgtest.Start(t)
	store, l, _ := limiterOf(t, server.URL()+"&pool_max_conns=1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE webpush.subscription IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var waits sync.WaitGroup
	waits.Go(func() { _, _, _ = store.Put(ctx, appserver.Record{Endpoint: "https://push.example/1"}) }) // has the only connection
	defer waits.Wait()
	defer cancel()
	for range 200 {
		if _, err := l.Reserve(t.Context(), webpush.Cell{Name: "fcm", PerSecond: 1000}, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestPostgresRateSender is a part of the other tests: a process that sends at a rate
// until it is killed.
func TestPostgresRateSender(t *testing.T) {
	config := strings.Split(os.Getenv("WEBPUSH_TEST_RATE"), " ")
	if len(config) != 3 {
		t.Skip("this is a part of other tests")
	}
	database, sink := config[0], config[1]
	var o webpush.BulkOptions
	o.Rates.PerOrigin, _ = strconv.ParseFloat(config[2], 64)
	if database != "-" {
		_, o.Limiter, _ = limiterOf(t, database)
	}
	sub, err := webpush.NewSubscription(sink+"/1", "", "")
	if err != nil {
		t.Fatal(err)
	}
	jobs := func(yield func(webpush.Job, error) bool) {
		for yield(webpush.Job{Subscription: sub}, nil) {
		}
	}
	go func() { // until the test ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	c := &webpush.Client{Attempts: 1000}
	o.Concurrency = 64
	for range c.SendAll(t.Context(), jobs, o) {
	}
}

// rateSink is a push service that notes when it was asked. With a limit it refuses what
// is above it.
type rateSink struct {
	limit  float64
	tokens float64
	at     time.Time

	mu      sync.Mutex
	times   []time.Time
	refused int
	server  *httptest.Server
}

func newRateSink(tb testing.TB, limit float64) *rateSink {
	s := &rateSink{limit: limit, tokens: limit / 5, at: time.Now()}
	s.server = httptest.NewServer(s)
	tb.Cleanup(s.server.Close)
	return s
}

func (s *rateSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.limit > 0 {
		s.tokens = min(s.limit/5, s.tokens+s.limit*now.Sub(s.at).Seconds())
		s.at = now
		if s.tokens < 1 {
			s.refused++
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		s.tokens--
	}
	s.times = append(s.times, now)
	w.WriteHeader(http.StatusCreated)
}

// measure returns the rate between two times, and that of the worst second.
func (s *rateSink) measure(from, to time.Time) (mean, worst float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.times, time.Time.Compare)
	n, most, first := 0, 0, 0
	for i, at := range s.times {
		if at.Before(from) || !at.Before(to) {
			first = i + 1
			continue
		}
		for at.Sub(s.times[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
		n++
	}
	return float64(n) / to.Sub(from).Seconds(), float64(most)
}

// startSender starts TestPostgresRateSender; kill ends it at once.
func startSender(tb testing.TB, database, sink string, rate float64) (kill func()) {
	tb.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestPostgresRateSender$")
	c.Env = append(os.Environ(), fmt.Sprintf("WEBPUSH_TEST_RATE=%s %s %v", database, sink, rate))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	var once sync.Once
	kill = func() {
		once.Do(func() {
			_ = c.Process.Kill()
			_ = c.Wait()
			_ = in.Close()
		})
	}
	tb.Cleanup(kill)
	return kill
}

// TestPostgresSharedRate: however many processes send, a service gets one rate.
func TestPostgresSharedRate(t *testing.T) {
	const rate, seconds = 100, 5
	server := pgtest.Start(t)
	sink := newRateSink(t, 0)
	limiterOf(t, server.URL()) // makes the tables
	kill := startSender(t, server.URL(), sink.server.URL, rate)
	startSender(t, server.URL(), sink.server.URL, rate)
	time.Sleep(2 * time.Second)
	kill()
	startSender(t, server.URL(), sink.server.URL, rate)
	time.Sleep((seconds - 2) * time.Second)
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if len(sink.times) == 0 {
		t.Fatal("nothing was sent")
	}
	took := time.Since(sink.times[0])
	t.Logf("%d in %v", len(sink.times), took)
	// What is late by 100 ms is still sent.
	if most := rate*(took.Seconds()+0.2) + 1; float64(len(sink.times)) > most || len(sink.times) < rate {
		t.Errorf("%d requests in %v, want %v at most", len(sink.times), took, most)
	}
}

// TestPostgresServeRate: the replicas of a server share the rate of its option.
func TestPostgresServeRate(t *testing.T) {
	const all, rate = 300, 100
	t.Setenv("WEBPUSH_RATE_PER_ORIGIN", fmt.Sprint(rate))
	server := pgtest.Start(t)
	sink := newRateSink(t, 0)
	store, _, _ := limiterOf(t, server.URL())
	for i := range all {
		if _, _, err := store.Put(t.Context(), appserver.Record{Endpoint: fmt.Sprintf("%s/%d", sink.server.URL, i), Service: webpush.Other, Origin: sink.server.URL,
			P256DH: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", Auth: "BTBZMqHH6r4Tts7J_aSIgg"}); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	program := buildProgram(t, dir)
	a, b := startReplica(t, dir, program, server.URL(), 32), startReplica(t, dir, program, server.URL(), 32)
	a.request(t, "POST", "/push", `{"payload":"x"}`).Close()
	b.request(t, "POST", "/push", `{"payload":"y"}`).Close()
	for range 300 {
		sink.mu.Lock()
		n := len(sink.times)
		sink.mu.Unlock()
		if n == 2*all {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if n := len(sink.times); n != 2*all {
		t.Fatalf("%d of %d were sent\n%s\n%s", n, 2*all, a.log, b.log)
	}
	took := sink.times[2*all-1].Sub(sink.times[0])
	t.Logf("%d in %v", 2*all, took)
	if least := time.Duration(float64(2*all)/rate*float64(time.Second)) - 300*time.Millisecond; took < least {
		t.Errorf("two replicas sent %d in %v, want %v at least", 2*all, took, least)
	}
}

// BenchmarkPostgresRate measures three processes that share a rate, of which one is
// killed after 5 s, and one joins after 8 s: for 20 s, after the first one. Then it
// measures what a service with a limit refuses, when they share that rate, when they do
// not and slow down, each for itself.
func BenchmarkPostgresRate(b *testing.B) {
	server := pgtest.Start(b)
	store, err := postgres.Open(b.Context(), server.URL(), postgres.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	run := func(b *testing.B, sink *rateSink, database string, rate float64) (from, to time.Time) {
		b.Helper()
		var kills []func()
		for range 3 {
			kills = append(kills, startSender(b, database, sink.server.URL, rate))
		}
		time.Sleep(time.Second)
		from = time.Now()
		time.Sleep(5 * time.Second)
		kills[0]()
		time.Sleep(3 * time.Second)
		kills = append(kills, startSender(b, database, sink.server.URL, rate))
		time.Sleep(12 * time.Second)
		to = time.Now()
		for _, kill := range kills {
			kill()
		}
		return from, to
	}
	for _, rate := range []float64{200, 2000} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			for b.Loop() {
				sink := newRateSink(b, 0)
				mean, worst := sink.measure(run(b, sink, server.URL(), rate))
				b.ReportMetric(mean, "mean/s")
				b.ReportMetric(worst, "worst-second")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
	for name, row := range map[string]struct {
		database string
		rate     float64
	}{"shared": {server.URL(), 200}, "adaptive": {"-", 0}} {
		b.Run("limit-200-"+name, func(b *testing.B) {
			for b.Loop() {
				sink := newRateSink(b, 200)
				mean, _ := sink.measure(run(b, sink, row.database, row.rate))
				b.ReportMetric(mean, "accepted/s")
				b.ReportMetric(float64(sink.refused), "refused")
				b.ReportMetric(100*float64(sink.refused)/float64(sink.refused+len(sink.times)), "%-refused")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
