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
	"runtime"
	"strconv"
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

// on returns a command that runs on one processor alone, with one thread for Go. Where
// there is no taskset, it may use all processors.
func on(processor, name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	if taskset, err := exec.LookPath("taskset"); err == nil {
		c = exec.Command(taskset, append([]string{"-c", processor, name}, args...)...)
	}
	c.Env = append(os.Environ(), "GOMAXPROCS=1")
	return c
}

// command is webpush send to records.
func (e *bench) command(args ...string) []string {
	return append([]string{"send", "-k", e.key, "--subject", "mailto:ops@example.com", "--ca-file", e.ca, "--proxy", "none",
		"-p", strings.Repeat("x", 100)}, args...)
}

// send runs the command, which must deliver n messages.
func (e *bench) send(b *testing.B, n int, args ...string) (cpu, wall time.Duration, rss int64) {
	b.Helper()
	return e.run(b, n, exec.Command(e.binary, e.command(args...)...))
}

func (e *bench) run(b *testing.B, n int, c *exec.Cmd) (cpu, wall time.Duration, rss int64) {
	b.Helper()
	before := e.took.Load()
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

// TestLimit is a part of BenchmarkSendMany: a process that does what the limit is, until
// its standard input ends, and prints the processor time that each took.
func TestLimit(t *testing.T) {
	if os.Getenv("WEBPUSH_TEST_LIMIT") == "" {
		t.Skip("this is a part of a benchmark")
	}
	var over atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		over.Store(true)
	}()
	work := limit.Of(t, 100)
	fmt.Println("started")
	n, start := 0, limit.CPU()
	for !over.Load() {
		work()
		n++
	}
	fmt.Println((limit.CPU() - start).Nanoseconds() / int64(n))
	os.Exit(0)
}

// alongside runs the command and the limit at the same time on one processor, and returns
// the processor time of a message, the kernel's part of it, and that of the limit. Whatever
// else the machine does slows both down.
func (e *bench) alongside(b *testing.B, n int, args ...string) (message, kernel, least float64) {
	b.Helper()
	c := on("0", os.Args[0], "-test.run=^TestLimit$")
	c.Env = append(c.Env, "WEBPUSH_TEST_LIMIT=1")
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Wait() }()
	defer in.Close()
	lines := bufio.NewScanner(out)
	lines.Scan()
	command := on("0", e.binary, e.command(args...)...)
	cpu, _, _ := e.run(b, n, command)
	in.Close()
	lines.Scan()
	if least, err = strconv.ParseFloat(lines.Text(), 64); err != nil {
		b.Fatal(err)
	}
	return float64(cpu) / float64(n), float64(command.ProcessState.SystemTime()) / float64(n), least
}

// BenchmarkSendMany runs webpush send with 30,000 subscriptions: with the pipelined
// sender, the same with a rate that it does not reach, and with net/http. It reports the
// processor time of the command for each message, from start to exit, as a multiple of
// the limit, and what of it the kernel needs for sockets, files, and memory; the limit needs
// nothing of that. Command and limit run at the same time on the first processor, and the
// service on the second one, so that the ratios are stable on a busy machine. The medians
// of three rounds count.
func BenchmarkSendMany(b *testing.B) {
	const n, rounds = 30_000, 3
	e := newBench(b)
	records := e.records(b, n)
	if runtime.NumCPU() > 1 {
		move := func(processors string) {
			if taskset, err := exec.LookPath("taskset"); err == nil {
				_ = exec.Command(taskset, "-a", "-c", "-p", processors, strconv.Itoa(os.Getpid())).Run()
			}
		}
		move("1")
		defer move(fmt.Sprintf("0-%d", runtime.NumCPU()-1))
	}
	variants := []struct {
		name string
		args []string
	}{{"pipelined", nil}, {"limited", []string{"--rate-per-origin", "1000000/s"}}, {"standard", []string{"--http", "standard"}}}
	each, ratios, kernels := make(map[string][]float64), make(map[string][]float64), make(map[string][]float64)
	var limits, limiter []float64
	for b.Loop() {
		for range rounds {
			for _, v := range variants {
				message, kernel, least := e.alongside(b, n, append(v.args, "-f", records)...)
				each[v.name] = append(each[v.name], message)
				kernels[v.name] = append(kernels[v.name], kernel)
				ratios[v.name] = append(ratios[v.name], message/least)
				limits = append(limits, least)
			}
			last := func(name string) float64 { return ratios[name][len(ratios[name])-1] }
			limiter = append(limiter, last("limited")/last("pipelined"))
		}
	}
	for _, v := range variants {
		b.ReportMetric(limit.Median(each[v.name])/1e3, v.name+"-µs")
		b.ReportMetric(limit.Median(kernels[v.name])/1e3, v.name+"-kernel-µs")
		b.ReportMetric(limit.Median(ratios[v.name]), v.name+"-x-limit")
	}
	b.ReportMetric(limit.Median(limits)/1e3, "limit-µs")
	b.ReportMetric(limit.Median(limiter), "limited-x-pipelined")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSendFast runs webpush send with 100,000 subscriptions on all processors, which
// the service shares, and reports messages a second and the most memory.
func BenchmarkSendFast(b *testing.B) {
	const n = 100_000
	e := newBench(b)
	records := e.records(b, n)
	for _, sender := range []string{"auto", "standard"} {
		b.Run("http="+sender, func(b *testing.B) {
			for b.Loop() {
				_, wall, rss := e.send(b, n, "-f", records, "--http", sender)
				b.ReportMetric(n/wall.Seconds(), "messages/s")
				b.ReportMetric(float64(rss)/1024, "MiB-resident")
			}
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
