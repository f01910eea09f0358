package appserver_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// accepted responds to every request without a network.
type accepted struct{ n atomic.Int64 }

func (a *accepted) Do(r *http.Request) (*http.Response, error) {
	a.n.Add(1)
	return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// residentKB returns the resident memory of this process, and its peak since resetPeak, in
// KiB; 0 if the system does not report it.
func residentKB() (now, peak int64) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range bytes.Lines(b) {
		for name, to := range map[string]*int64{"VmRSS:": &now, "VmHWM:": &peak} {
			if rest, ok := strings.CutPrefix(string(line), name); ok {
				*to, _ = strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			}
		}
	}
	return now, peak
}

func resetPeak() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// fullStore creates a file with a store of n subscriptions, faster than by Put.
func fullStore(b testing.TB, origin string, n int) string {
	b.Helper()
	file := filepath.Join(b.TempDir(), "full.db")
	s, err := sqlite.Open(file) // makes the tables
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO subscription (id, endpoint, p256dh, auth, service, origin, user, tags, created)
		SELECT hex(randomblob(13)), ? || '/' || i, ?, ?, 'fcm', ?, '', '', 1 FROM n`, n, origin, p256dh, auth, origin); err != nil {
		b.Fatal(err)
	}
	return file
}

// withStore gives a server another store.
func withStore(b testing.TB, file string, o *appserver.Options) {
	b.Helper()
	s, err := sqlite.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	o.Store = s
}

// BenchmarkPush sends to 10,000 and to 1,000,000 subscriptions without payload and network,
// to measure the store and the scheduling. The memory must not grow with the number of
// rows.
func BenchmarkPush(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			file := fullStore(b, "https://fcm.googleapis.com", n)
			f := newFixture(b, func(o *appserver.Options) {
				o.HTTP = new(accepted)
				withStore(b, file, o)
			})
			stop := f.run()
			resetPeak()
			before, _ := residentKB()
			b.ResetTimer()
			for range b.N {
				if v := f.finished(f.push(`{}`)); at(v, "counts", "delivered") != float64(n) {
					b.Fatalf("the push ended as %v", v)
				}
			}
			b.StopTimer()
			_, peak := residentKB()
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric(float64(peak)/1024, "MiB-peak")
			b.ReportMetric(float64(peak-before)/1024, "MiB-grown")
			stop()
			runtime.GC()
		})
	}
}

// BenchmarkSubscribe measures the duration of requests from 200 subscribers, ten per second
// each, during a push to 100,000 subscriptions, without errors or losses. The requests
// are spread, or all 200 are simultaneous; idle is the latter without a push, for
// comparison.
func BenchmarkSubscribe(b *testing.B) {
	b.Run("any-time", func(b *testing.B) { benchSubscribe(b, 100_000, true) })
	b.Run("all-at-once", func(b *testing.B) { benchSubscribe(b, 100_000, false) })
	b.Run("all-at-once-idle", func(b *testing.B) { benchSubscribe(b, 1, false) })
}

func benchSubscribe(b *testing.B, rows int, spread bool) {
	const (
		posters = 200
		each    = 50
		every   = 100 * time.Millisecond
	)
	for range b.N {
		b.StopTimer()
		sent := new(accepted)
		file := fullStore(b, "https://fcm.googleapis.com", rows)
		f := newFixture(b, func(o *appserver.Options) {
			o.HTTP, o.ClientRate, o.TotalRate, o.Log = sent, -1, -1, nil
			withStore(b, file, o)
		})
		stop := f.run()
		id := f.push(`{"payload":"a message of some length, as they are"}`)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: posters}}
		times := make([][]time.Duration, posters)
		var all sync.WaitGroup
		b.StartTimer()
		for p := range posters {
			all.Go(func() {
				if spread {
					time.Sleep(every * time.Duration(p) / posters)
				}
				tick := time.NewTicker(every)
				defer tick.Stop()
				for i := range each {
					<-tick.C
					begin := time.Now()
					answer, err := client.Post(f.http.URL+"/subscription", "application/json", strings.NewReader(subscription(fmt.Sprintf("https://fcm.googleapis.com/new/%d-%d", p, i))))
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
					if answer.StatusCode != http.StatusCreated {
						b.Errorf("a post was answered with %s", answer.Status)
					}
					times[p] = append(times[p], time.Since(begin))
				}
			})
		}
		all.Wait()
		b.StopTimer()
		during := sent.n.Load()
		v := f.finished(id)
		if at(v, "counts", "delivered") != float64(rows) {
			b.Errorf("the push ended as %v", v)
		}
		counts, err := f.store.Count(context.Background())
		if err != nil || counts[webpush.FCM] != int64(rows+posters*each) {
			b.Errorf("%d subscriptions are stored, want %d; %v", counts[webpush.FCM], rows+posters*each, err)
		}
		sorted := slices.Sorted(slices.Values(slices.Concat(times...)))
		ms := func(share float64) float64 {
			return float64(sorted[int(share*float64(len(sorted)-1))].Microseconds()) / 1000
		}
		b.ReportMetric(ms(.5), "ms-p50")
		b.ReportMetric(ms(.99), "ms-p99")
		b.ReportMetric(ms(1), "ms-max")
		b.ReportMetric(float64(during), "sent-meanwhile")
		stop()
	}
}

// BenchmarkStore measures changes of the store, one at a time and concurrent.
func BenchmarkStore(b *testing.B) {
	for _, parallel := range []int{1, 64} {
		b.Run(fmt.Sprintf("Put-%d", parallel), func(b *testing.B) {
			s, err := sqlite.Open(filepath.Join(b.TempDir(), "x.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			var next atomic.Int64
			var all sync.WaitGroup
			for range parallel {
				all.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if _, _, err := s.Put(b.Context(), appserver.Record{Endpoint: fmt.Sprint("https://push.example/", i), P256DH: p256dh, Auth: auth}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
		})
	}
}
