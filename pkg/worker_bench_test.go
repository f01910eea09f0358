//go:build unix

package pkg

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed81da77dd/webpush/pkg/internal/limit"
)

// startNATS starts a NATS server in this process and returns its address.
func startNATS(b *testing.B) string {
	b.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: b.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		b.Fatal(err)
	}
	go s.Start()
	b.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(20 * time.Second) {
		b.Fatal("the NATS server does not start")
	}
	return s.ClientURL()
}

// enqueue puts the records into the server and returns the processor time of the
// command.
func (e *bench) enqueue(b *testing.B, nats, run, records string) time.Duration {
	b.Helper()
	c := exec.Command(e.binary, "send", "-f", records, "-p", strings.Repeat("x", 100), "--to", nats, "--run", run, "--quiet")
	c.Dir = e.dir
	if out, err := c.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

// work runs a worker until n messages have arrived.
func (e *bench) work(b *testing.B, n int64, nats string) (cpu, wall time.Duration, rss int64) {
	b.Helper()
	before := e.took.Load()
	c := exec.Command(e.binary, "worker", "--nats", nats, "-k", e.key, "--subject", "mailto:ops@example.com", "--ca-file", e.ca, "--proxy", "none")
	c.Dir = e.dir
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	start := time.Now()
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	for e.took.Load()-before < n && time.Since(start) < 5*time.Minute {
		time.Sleep(2 * time.Millisecond)
	}
	wall = time.Since(start)
	rss = resident(b, c.Process.Pid)
	_ = c.Process.Signal(syscall.SIGINT)
	if err := c.Wait(); err != nil || !strings.Contains(out.String(), fmt.Sprintf("delivered=%d", n)) {
		b.Fatalf("%v\n%s", err, out.String())
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), wall, rss
}

// resident returns the most memory that a process has had, in KiB, or 0 where that
// is not known. What the system counts for a child process is at least the memory of
// its parent, which has a NATS server here.
func resident(b *testing.B, pid int) int64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	fmt.Sscanf(strings.TrimSpace(rest), "%d kB", &kib)
	return kib
}

// BenchmarkWorker compares the processor time of a worker for each message with
// that of plain send, in turn, three times, and takes the median.
func BenchmarkWorker(b *testing.B) {
	const n = 50_000
	e, nats := newBench(b), startNATS(b)
	records := e.records(b, n)
	var ratios, each, rate, enqueued []float64
	for b.Loop() {
		for range 3 {
			plain, _, _ := e.send(b, n, "-f", records)
			enqueued = append(enqueued, float64(e.enqueue(b, nats, fmt.Sprint("run", len(ratios)), records))/n)
			cpu, wall, _ := e.work(b, n, nats)
			ratios = append(ratios, cpu.Seconds()/plain.Seconds())
			each = append(each, float64(cpu)/n)
			rate = append(rate, n/wall.Seconds())
		}
	}
	b.ReportMetric(limit.Median(ratios), "x-plain-send")
	b.ReportMetric(limit.Median(each)/1e3, "µs-cpu/message")
	b.ReportMetric(limit.Median(enqueued)/1e3, "µs-cpu/enqueued")
	b.ReportMetric(limit.Median(rate), "messages/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkWorkerMemory sends 300,000 messages with one worker.
func BenchmarkWorkerMemory(b *testing.B) {
	const n = 300_000
	e, nats := newBench(b), startNATS(b)
	for i := range 3 {
		e.enqueue(b, nats, fmt.Sprint("run", i), e.records(b, n/3))
	}
	for b.Loop() {
		_, wall, rss := e.work(b, n, nats)
		b.ReportMetric(float64(rss)/1024, "MiB-resident")
		b.ReportMetric(n/wall.Seconds(), "messages/s")
		b.ReportMetric(0, "ns/op")
	}
}

// limited is a push service that refuses what is above its rate, if it has one, and
// notes when it was asked.
type limited struct {
	mu      sync.Mutex
	rate    float64 // in requests a second; 0 for any
	next    time.Time
	taken   []time.Time
	refused int
}

func (l *limited) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.next.Before(now) {
		l.next = now
	}
	if l.rate > 0 {
		if l.next.Sub(now) > 200*time.Millisecond { // of bursts
			l.refused++
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		l.next = l.next.Add(time.Duration(float64(time.Second) / l.rate))
	}
	l.taken = append(l.taken, now)
	w.WriteHeader(http.StatusCreated)
}

// count returns how many requests were taken in a time.
func (l *limited) count(from, to time.Time) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.taken {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// BenchmarkWorkersRate has three workers share a rate for 20 seconds. One of them is
// killed after 5 seconds, and another one starts after 8.
func BenchmarkWorkersRate(b *testing.B) {
	for _, c := range []struct {
		rate    int
		refuses bool
	}{{200, false}, {2000, false}, {200, true}} {
		b.Run(fmt.Sprintf("rate=%d/refuses=%v", c.rate, c.refuses), func(b *testing.B) {
			e, nats, service := newBench(b), startNATS(b), new(limited)
			if c.refuses {
				service.rate = float64(c.rate)
			}
			s := httptest.NewServer(service)
			b.Cleanup(s.Close)
			e.url = s.URL
			e.enqueue(b, nats, "run", e.records(b, c.rate*25))
			start := func() *exec.Cmd {
				w := exec.Command(e.binary, "worker", "--nats", nats, "-k", e.key, "--subject", "mailto:ops@example.com", "--proxy", "none", "--rate-per-origin", fmt.Sprint(c.rate, "/s"))
				w.Dir = e.dir
				if err := w.Start(); err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = w.Process.Kill(); _ = w.Wait() })
				return w
			}
			for b.Loop() {
				workers := []*exec.Cmd{start(), start(), start()}
				begun := time.Now()
				for service.count(begun, begun.Add(time.Hour)) == 0 && time.Since(begun) < 20*time.Second {
					time.Sleep(time.Millisecond)
				}
				begun = time.Now()
				time.Sleep(5 * time.Second)
				_ = workers[0].Process.Kill()
				time.Sleep(3 * time.Second)
				start()
				time.Sleep(12*time.Second - time.Since(begun) + 8*time.Second)
				most := 0
				for at := begun; at.Before(begun.Add(19 * time.Second)); at = at.Add(100 * time.Millisecond) {
					most = max(most, service.count(at, at.Add(time.Second)))
				}
				mean := float64(service.count(begun, begun.Add(20*time.Second))) / 20
				b.ReportMetric(mean, "mean/s")
				b.ReportMetric(float64(most), "worst-second")
				b.ReportMetric(100*float64(service.refused)/max(1, mean*20), "%-refused")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}
