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

// measure sends n requests, made beforehand, from as many callers.
func measure(tb testing.TB, rt http.RoundTripper, url string, callers, n, size int) figures {
	body := make([]byte, size)
	reqs := make([]*http.Request, n)
	for i := range reqs {
		reqs[i] = newRequest(context.Background(), url, i, body)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, cpu := time.Now(), limit.CPU()
	for range callers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				resp, err := rt.RoundTrip(reqs[i])
				if err != nil {
					tb.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusCreated {
					tb.Error(resp.Status)
				}
			}
		})
	}
	wg.Wait()
	cpu, wall := limit.CPU()-cpu, time.Since(start)
	runtime.ReadMemStats(&after)
	return figures{cpu / time.Duration(n), wall / time.Duration(n), float64(after.Mallocs-before.Mallocs) / float64(n)}
}

func benchmark(b *testing.B, rt http.RoundTripper, close func()) {
	url := startSink(b)
	defer close()
	for _, size := range []int{250, 4096} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			measure(b, rt, url, 256, 1000, size)
			var sum figures
			for b.Loop() {
				f := measure(b, rt, url, 256, 20000, size)
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

// BenchmarkPipeline is the time of the processor that one request takes here.
func BenchmarkPipeline(b *testing.B) {
	t := New(benchBase())
	benchmark(b, t, t.CloseIdleConnections)
}

// BenchmarkNetHTTP is the same with net/http.
func BenchmarkNetHTTP(b *testing.B) {
	t := benchBase()
	benchmark(b, t, t.CloseIdleConnections)
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
			measure(b, t, url, 256, 1000, size)
			measure(b, base, url, 256, 1000, size)
			var ours, theirs figures
			for b.Loop() {
				f := measure(b, t, url, 256, 20000, size)
				ours.cpu, ours.wall = ours.cpu+f.cpu, ours.wall+f.wall
				f = measure(b, base, url, 256, 20000, size)
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
