//go:build unix

package pipeline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/limit"
)

// sinkEnv makes the test binary a server that answers 201 to everything.
const sinkEnv = "WEBPUSH_PIPELINE_SINK"

func TestMain(m *testing.M) {
	if os.Getenv(sinkEnv) != "" {
		sink()
		return
	}
	os.Exit(m.Run())
}

// sink serves until its standard input ends.
func sink() {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Location", "https://push.example/m/"+r.URL.Path)
		w.Header().Set("Ttl", "3600")
		w.WriteHeader(http.StatusCreated)
	}))
	srv.EnableHTTP2 = true
	srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1000, MaxReceiveBufferPerConnection: 4<<20 - 1}
	srv.StartTLS()
	fmt.Println(srv.URL)
	io.Copy(io.Discard, os.Stdin)
}

// startSink starts the server in a process of its own, so that what this one
// uses of the processor is the client's alone.
func startSink(tb testing.TB) (url string) {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sinkEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	if _, err := fmt.Fscanln(out, &url); err != nil {
		tb.Fatal(err)
	}
	return url
}

func benchBase() *http.Transport {
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS() // for its certificate, which is the sink's, too
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	srv.Close()
	return &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		HTTP2:             &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// figures are what one request costs.
type figures struct {
	cpu, wall time.Duration
	allocs    float64
}

// way sends requests, inFlight of them at a time, and checks each answer.
type way func(reqs []*http.Request, check func(*http.Response, error))

const inFlight = 256

// callers sends with a goroutine for each request in flight.
func callers(rt http.RoundTripper) way {
	return func(reqs []*http.Request, check func(*http.Response, error)) {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range inFlight {
			wg.Go(func() {
				for i := next.Add(1) - 1; i < int64(len(reqs)); i = next.Add(1) - 1 {
					check(rt.RoundTrip(reqs[i]))
				}
			})
		}
		wg.Wait()
	}
}

// started sends from one goroutine, which waits for no answer.
func started(t *Transport) way {
	return func(reqs []*http.Request, check func(*http.Response, error)) {
		places := make(chan struct{}, inFlight)
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for _, req := range reqs {
			places <- struct{}{}
			wg.Add(1)
			t.Start(ctx, req, func(resp *http.Response, err error) {
				check(resp, err)
				<-places
				wg.Done()
			})
		}
		wg.Wait()
	}
}

// measure sends n requests, made beforehand.
func measure(tb testing.TB, send way, url string, n, size int) figures {
	body := make([]byte, size)
	reqs := make([]*http.Request, n)
	for i := range reqs {
		reqs[i] = newRequest(context.Background(), url, i, body)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, cpu := time.Now(), limit.CPU()
	send(reqs, func(resp *http.Response, err error) {
		if err != nil {
			tb.Error(err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			tb.Error(resp.Status)
		}
	})
	cpu, wall := limit.CPU()-cpu, time.Since(start)
	runtime.ReadMemStats(&after)
	return figures{cpu / time.Duration(n), wall / time.Duration(n), float64(after.Mallocs-before.Mallocs) / float64(n)}
}

func benchmark(b *testing.B, send way) {
	url := startSink(b)
	for _, size := range []int{250, 4096} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			measure(b, send, url, 1000, size)
			var sum figures
			for b.Loop() {
				f := measure(b, send, url, 20000, size)
				sum.cpu += f.cpu
				sum.wall += f.wall
				sum.allocs += f.allocs
			}
			n := float64(b.N)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(sum.cpu.Nanoseconds())/n/1000, "µs-CPU/request")
			b.ReportMetric(1e9*n/float64(sum.wall.Nanoseconds()), "requests/s")
			b.ReportMetric(sum.allocs/n, "allocs/request")
		})
	}
}

// BenchmarkStart is the time of the processor that one request takes here.
func BenchmarkStart(b *testing.B) {
	t := New(benchBase())
	defer t.CloseIdleConnections()
	benchmark(b, started(t))
}

// BenchmarkRoundTrip is the same with a goroutine for each request in flight.
func BenchmarkRoundTrip(b *testing.B) {
	t := New(benchBase())
	defer t.CloseIdleConnections()
	benchmark(b, callers(t))
}

// BenchmarkNetHTTP is the same with net/http.
func BenchmarkNetHTTP(b *testing.B) {
	t := benchBase()
	defer t.CloseIdleConnections()
	benchmark(b, callers(t))
}

// BenchmarkRatio runs both in turn and says how many times net/http's time is
// the pipeline's.
func BenchmarkRatio(b *testing.B) {
	url := startSink(b)
	base := benchBase()
	defer base.CloseIdleConnections()
	t := New(benchBase())
	defer t.CloseIdleConnections()
	for _, size := range []int{250, 4096} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			measure(b, started(t), url, 1000, size)
			measure(b, callers(base), url, 1000, size)
			var ours, theirs figures
			for b.Loop() {
				f := measure(b, started(t), url, 20000, size)
				ours.cpu, ours.wall = ours.cpu+f.cpu, ours.wall+f.wall
				f = measure(b, callers(base), url, 20000, size)
				theirs.cpu, theirs.wall = theirs.cpu+f.cpu, theirs.wall+f.wall
			}
			n := float64(b.N)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(ours.cpu.Nanoseconds())/n/1000, "µs-CPU/request")
			b.ReportMetric(float64(theirs.cpu.Nanoseconds())/n/1000, "µs-CPU/request-net/http")
			b.ReportMetric(1e9*n/float64(ours.wall.Nanoseconds()), "requests/s")
			b.ReportMetric(1e9*n/float64(theirs.wall.Nanoseconds()), "requests/s-net/http")
			b.ReportMetric(float64(theirs.cpu)/float64(ours.cpu), "net/http/pipeline")
		})
	}
}
