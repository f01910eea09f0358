//go:build unix

package pkg

import (
	"bufio"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/limit"
)

// bench is a push service in this process, for the command in another.
type bench struct {
	dir, binary, url, ca, key string
	took                      atomic.Int64 // messages
}

// newBench builds the command, as it is released, and starts the service: TLS,
// HTTP/2, net/http's own server.
func newBench(b *testing.B) *bench {
	b.Helper()
	e := &bench{dir: b.TempDir()}
	e.binary = filepath.Join(e.dir, "webpush")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", e.binary, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		e.took.Add(1)
		w.Header().Set("Location", "https://"+r.Host+"/m/1")
		w.Header().Set("TTL", r.Header.Get("TTL"))
		w.WriteHeader(http.StatusCreated)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = new(tls.Config)
	s.StartTLS()
	b.Cleanup(s.Close)
	e.url = s.URL
	e.ca = filepath.Join(e.dir, "ca.pem")
	e.write(b, e.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	e.key = filepath.Join(e.dir, "key.pem")
	if out, err := exec.Command(e.binary, "gen", "--private-key", e.key, "--public-key", filepath.Join(e.dir, "public.pem")).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return e
}

func (e *bench) write(b *testing.B, name string, data []byte) {
	b.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		b.Fatal(err)
	}
}

// records writes a file of n subscriptions. No more than 100,000 of them have
// keys of their own.
func (e *bench) records(b *testing.B, n int) string {
	b.Helper()
	name := filepath.Join(e.dir, fmt.Sprintf("%d.ndjson", n))
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	points := make([]string, min(n, 100_000))
	for i := range points {
		k, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		points[i] = base64.RawURLEncoding.EncodeToString(k.PublicKey().Bytes())
	}
	for i := range n {
		fmt.Fprintf(w, `{"endpoint":"%s/wpush/v2/%s%07d","expirationTime":null,"keys":{"p256dh":"%s","auth":"%s"}}`+"\n",
			e.url, strings.Repeat("gAAAAABk", 20), i, points[i%len(points)], "BTBZMqHH6r4Tts7J_aSIgg")
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return name
}

// send runs the command, which must deliver n messages.
func (e *bench) send(b *testing.B, n int, args ...string) (cpu, wall time.Duration, rss int64) {
	b.Helper()
	before := e.took.Load()
	c := exec.Command(e.binary, append([]string{"send", "-k", e.key, "--subject", "mailto:ops@example.com", "--ca-file", e.ca, "--proxy", "none",
		"-p", strings.Repeat("x", 100)}, args...)...)
	c.Dir = e.dir
	start := time.Now()
	if out, err := c.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	wall = time.Since(start)
	if got := e.took.Load() - before; got != int64(n) {
		b.Fatalf("%d messages arrived, want %d", got, n)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), wall, c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
}

// BenchmarkSendMany runs webpush send with 100,000 subscriptions, with the
// pipelined sender and with net/http. It reports the processor time of the
// command for each message, from start to exit, also as a multiple of the limit
// that is measured before and after each run.
func BenchmarkSendMany(b *testing.B) {
	const n = 100_000
	e := newBench(b)
	records := e.records(b, n)
	for _, sender := range []string{"auto", "standard"} {
		b.Run("http="+sender, func(b *testing.B) {
			var ratios, each, rate, limits []float64
			var most int64
			for b.Loop() {
				before := limit.Each(b, 100)
				cpu, wall, rss := e.send(b, n, "-f", records, "--http", sender)
				least := (before + limit.Each(b, 100)) / 2
				limits = append(limits, float64(least))
				each = append(each, float64(cpu)/n)
				ratios = append(ratios, float64(cpu)/n/float64(least))
				rate = append(rate, n/wall.Seconds())
				most = max(most, rss)
			}
			b.ReportMetric(limit.Median(each)/1e3, "µs-cpu/message")
			b.ReportMetric(limit.Median(limits)/1e3, "µs-limit")
			b.ReportMetric(limit.Median(ratios), "x-limit")
			b.ReportMetric(limit.Median(rate), "messages/s")
			b.ReportMetric(float64(most)/1024, "MiB-resident")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkSendJournal compares the throughput with a journal to that without,
// in turn, five times, and takes the median.
func BenchmarkSendJournal(b *testing.B) {
	const n = 50_000
	e := newBench(b)
	records := e.records(b, n)
	var cost []float64
	for b.Loop() {
		for range 5 {
			_, without, _ := e.send(b, n, "-f", records)
			_, with, _ := e.send(b, n, "-f", records, "--resume", filepath.Join(e.dir, fmt.Sprint("journal", len(cost))))
			cost = append(cost, 100*(1-without.Seconds()/with.Seconds()))
		}
	}
	b.ReportMetric(limit.Median(cost), "%-of-throughput")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSendMillion streams a file of a million records.
func BenchmarkSendMillion(b *testing.B) {
	const n = 1_000_000
	e := newBench(b)
	records := e.records(b, n)
	for b.Loop() {
		_, wall, rss := e.send(b, n, "-f", records)
		b.ReportMetric(float64(rss)/1024, "MiB-resident")
		b.ReportMetric(n/wall.Seconds(), "messages/s")
		b.ReportMetric(0, "ns/op")
	}
}
