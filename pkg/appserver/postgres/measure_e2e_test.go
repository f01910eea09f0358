//go:build e2e && unix

package postgres_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/postgres"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/internal/pgtest"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// accepted is a push service that accepts everything, without a network.
type accepted struct{}

func (accepted) Do(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// BenchmarkPostgresPush imports 100,000 subscriptions and sends a push with a
// payload to them, on SQLite and on PostgreSQL: the processor time of this
// process, and what PostgreSQL writes to its log for the first push, which notes
// the status of everybody, and for the second.
func BenchmarkPostgresPush(b *testing.B) {
	const n = 100_000
	server := pgtest.Start(b)
	var rows strings.Builder
	for i := range n {
		fmt.Fprintf(&rows, `{"endpoint":"https://push.example/%d","keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`+"\n", i)
	}
	key, err := vapid.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	cpu := make(map[string]time.Duration)
	for _, name := range []string{"sqlite", "postgres"} {
		var store appserver.Store
		if name == "sqlite" {
			store, err = sqlite.Open(filepath.Join(b.TempDir(), "x.db"))
		} else {
			store, err = postgres.Open(b.Context(), server.URL(), postgres.Options{})
		}
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		in, err := bulk.Open(bulk.Source{Name: "rows", Stream: strings.NewReader(rows.String())})
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		sum, err := appserver.Import(b.Context(), store, in, appserver.Options{}, func(appserver.ImportResult) error { return nil })
		if err != nil || sum.Created != n {
			b.Fatalf("imported %+v, %v", sum, err)
		}
		b.ReportMetric(time.Since(start).Seconds(), name+"-import-s")
		s, err := appserver.New(appserver.Options{Store: store, Key: key, Subject: "mailto:ops@example.com", Token: token, HTTP: accepted{}, AllowPrivate: true})
		if err != nil {
			b.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Run(b.Context()) }()
		for push := range 2 {
			wal, used := position(b, server), usage()
			id := fmt.Sprint(name, push)
			if _, err := store.CreateJob(b.Context(), appserver.Job{ID: id, Message: appserver.JobMessage{Payload: []byte(`{"title":"hello"}`), TTL: time.Hour}}); err != nil {
				b.Fatal(err)
			}
			for {
				j, err := store.FindJob(b.Context(), id)
				if err != nil {
					b.Fatal(err)
				}
				if j.State == appserver.Done {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			cpu[id] = usage() - used
			b.ReportMetric(float64(cpu[id].Microseconds())/n, fmt.Sprint(name, "-cpu-µs/message-", push+1))
			if name == "postgres" {
				b.ReportMetric(float64(position(b, server)-wal)/1e6, fmt.Sprint("WAL-MB-", push+1))
			}
		}
	}
	b.ReportMetric(float64(cpu["postgres0"])/float64(cpu["sqlite0"]), "postgres/sqlite-1")
	b.ReportMetric(float64(cpu["postgres1"])/float64(cpu["sqlite1"]), "postgres/sqlite-2")
}

// usage is the processor time of this process.
func usage() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// position is how much PostgreSQL has written to its write-ahead log.
func position(b *testing.B, server *pgtest.Server) (n int64) {
	b.Helper()
	c, err := pgx.Connect(b.Context(), server.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(b.Context())
	if err := c.QueryRow(b.Context(), "SELECT (pg_current_wal_lsn() - '0/0')::bigint").Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}
