package appserver_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Limits of the memory of a server, in MiB.
const (
	maxIdle    = 30
	maxStreams = 100 // with 1,000 streams of events
)

// BenchmarkServeMemory measures the resident memory of the idle command, and with 1,000
// event streams that follow a push.
func BenchmarkServeMemory(b *testing.B) {
	const streams = 1000
	if _, err := os.Stat("/proc/self/status"); err != nil {
		b.Skip("the system does not say how much memory a process has")
	}
	for range b.N {
		dir := b.TempDir()
		bin := filepath.Join(dir, "webpush")
		for _, c := range [][]string{{"go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "../.."}, {bin, "gen", "-k", filepath.Join(dir, "key.pem"), "--public-key", filepath.Join(dir, "key.pub")}} {
			if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
				b.Fatalf("%v: %v\n%s", c, err, out)
			}
		}
		c := exec.Command(bin, "serve", "-k", filepath.Join(dir, "key.pem"), "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--subject", "mailto:ops@example.com", "--client-rate", "0")
		c.Env = append(os.Environ(), "WEBPUSH_ADMIN_TOKEN="+token, "HOME="+dir, "XDG_CONFIG_HOME="+dir)
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			b.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		url := strings.TrimSpace(line)
		resident := func() float64 {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
			if err != nil {
				b.Fatal(err)
			}
			for line := range bytes.Lines(status) {
				if rest, ok := strings.CutPrefix(string(line), "VmRSS:"); ok {
					kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
					if err != nil {
						b.Fatal(err)
					}
					return kb / 1024
				}
			}
			b.Fatal("the process has no VmRSS")
			return 0
		}
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10}}
		ask := func(method, path, body string, want int) *http.Response {
			r, err := http.NewRequest(method, url+path, strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", "application/json")
			answer, err := client.Do(r)
			if err != nil || answer.StatusCode != want {
				b.Fatalf("%s %s: %v, %v", method, path, answer, err)
			}
			return answer
		}
		_, _ = io.Copy(io.Discard, ask("GET", "/healthz", "", 200).Body)
		time.Sleep(3 * time.Second)
		idle := resident()
		b.ReportMetric(idle, "MiB-idle")

		answer := ask("POST", "/push", `{"payload":"x","sendAt":"1h"}`, 202)
		id := strings.TrimPrefix(answer.Header.Get("Location"), "push/")
		answer.Body.Close()
		for range streams {
			body := ask("GET", "/push/"+id+"/events", "", 200).Body
			defer body.Close()
			lines := bufio.NewReaderSize(body, 16)
			for line := ""; !strings.HasPrefix(line, "data:"); {
				if line, err = lines.ReadString('\n'); err != nil {
					b.Fatal(err)
				}
			}
			go func() { _, _ = io.Copy(io.Discard, lines) }()
		}
		for range 10 { // changes, which all of them see
			ask("PATCH", "/push/"+id, `{"sendAt":"2h"}`, 200).Body.Close()
			time.Sleep(400 * time.Millisecond)
		}
		busy := resident()
		b.ReportMetric(busy, "MiB-1000-streams")
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
		if idle > maxIdle || busy > maxStreams {
			b.Errorf("the server has %.1f MiB idle, expected at most %d, and %.1f MiB with %d streams, expected at most %d", idle, maxIdle, busy, streams, maxStreams)
		}
	}
}
