//go:build e2e && unix

package postgres_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/postgres"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
	"github.com/seed81da77dd/webpush/pkg/internal/pgtest"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// BenchmarkPostgresMove imports 100,000 subscriptions over HTTP, into SQLite and
// into PostgreSQL, which must take less than a minute each, and copies those in
// SQLite, with a scheduled push, to a PostgreSQL database of their own, where the
// push is sent to all of them.
func BenchmarkPostgresMove(b *testing.B) {
	const n, limit = 100_000, time.Minute
	server := pgtest.Start(b)
	var rows strings.Builder
	for i := range n {
		fmt.Fprintf(&rows, `{"subscription":{"endpoint":"https://push.example/%d","keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}},"user":"u%d","tags":["t%d"]}`+"\n", i, i, i%10)
	}
	key, err := vapid.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	open := func(name, schema string) appserver.Store {
		var s appserver.Store
		var err error
		if name == "sqlite" {
			s, err = sqlite.Open(filepath.Join(b.TempDir(), "x.db"))
		} else {
			s, err = postgres.Open(b.Context(), server.URL(), postgres.Options{Schema: schema})
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		return s
	}
	serve := func(store appserver.Store) *appserver.Server {
		s, err := appserver.New(appserver.Options{Store: store, Key: key, Subject: "mailto:ops@example.com", Token: token, HTTP: accepted{}})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	total := func(store appserver.Store) (sum int64) {
		counts, err := store.Count(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range counts {
			sum += n
		}
		return sum
	}
	var source appserver.Store
	for _, name := range []string{"sqlite", "postgres"} {
		store := open(name, "import")
		h := httptest.NewServer(serve(store))
		r, err := http.NewRequestWithContext(b.Context(), "POST", h.URL+"/subscriptions", strings.NewReader(rows.String()))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/x-ndjson")
		start := time.Now()
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		took := time.Since(start)
		if err != nil || answer.StatusCode != 200 || strings.Count(string(text), `"state":"created"`) != n || total(store) != n {
			b.Fatalf("%s: %s, %v, %d lines, %d subscriptions", name, answer.Status, err, strings.Count(string(text), "\n"), total(store))
		}
		h.Close()
		b.ReportMetric(took.Seconds(), name+"-http-import-s")
		if took > limit {
			b.Errorf("%s: the import took %v, more than %v", name, took, limit)
		}
		if name == "sqlite" {
			source = store
		}
	}
	due := time.Now().Add(2 * time.Minute)
	if _, err := source.CreateJob(b.Context(), appserver.Job{ID: "scheduled", Due: due, Message: appserver.JobMessage{TTL: time.Hour}, To: appserver.Filter{Tag: "t3"}}); err != nil {
		b.Fatal(err)
	}
	to := open("postgres", "copy")
	start := time.Now()
	subscriptions, scheduled, err := appserver.Copy(b.Context(), source, to)
	if err != nil || subscriptions != n || scheduled != 1 || total(to) != n {
		b.Fatalf("copied %d and %d, %v", subscriptions, scheduled, err)
	}
	b.ReportMetric(time.Since(start).Seconds(), "copy-s")
	j, err := to.FindJob(b.Context(), "scheduled")
	if err != nil || j.State != appserver.Scheduled || j.Due.Sub(due).Abs() > time.Millisecond {
		b.Fatalf("the push is %+v, %v", j, err)
	}
	if err := to.Reschedule(b.Context(), "scheduled", time.Now()); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(to).Run(ctx) }()
	for start := time.Now(); j.State != appserver.Done; time.Sleep(50 * time.Millisecond) {
		if j, err = to.FindJob(b.Context(), "scheduled"); err != nil || time.Since(start) > limit {
			b.Fatalf("the push is %+v, %v", j, err)
		}
	}
	stop()
	if err := <-ended; err != nil || j.Total != n/10 {
		b.Errorf("the push ended as %+v, %v", j, err)
	}
}
