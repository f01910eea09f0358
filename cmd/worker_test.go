package cmd

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// TestWorkerMetrics reads /healthz and /metrics of webpush worker --metrics.
func TestWorkerMetrics(t *testing.T) {
	address := startNATS(t, func(*natsserver.Options) {})
	inFolder(t)
	if code := run(t.Context(), &streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}, []string{"gen"}); code != exitOK {
		t.Fatalf("gen: exit code %d", code)
	}
	name := filepath.Join(t.TempDir(), "bad.ndjson")
	if err := os.WriteFile(name, []byte(`{"endpoint":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), &streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}, []string{"send", "-f", name, "-p", "hi", "--to", address}); code != exitOK {
		t.Fatalf("send: exit code %d", code)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var log syncBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, &streams{in: strings.NewReader(""), out: io.Discard, err: &log}, []string{"worker", "--nats", address, "--subject", "mailto:ops@example.com", "--metrics", "127.0.0.1:0"})
	}()
	listening := regexp.MustCompile(`address=(http://127\.0\.0\.1:\d+)/metrics`)
	wait := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			select {
			case code := <-done:
				t.Fatalf("the worker stopped with exit code %d before %s\n%s", code, what, log.String())
			case <-t.Context().Done():
				t.Fatal(what)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	wait("it listened", func() bool { return listening.MatchString(log.String()) })
	base := listening.FindStringSubmatch(log.String())[1]
	get := func(path string) string {
		t.Helper()
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, resp.Status, err)
		}
		return string(b)
	}
	if body := get("/healthz"); body != `{"status":"ok"}`+"\n" {
		t.Errorf("/healthz: %s", body)
	}
	wait("it counted the result", func() bool {
		return strings.Contains(get("/metrics"), `webpush_messages_total{class="invalid",service="other"} 1`)
	})
	if body := get("/metrics"); !strings.Contains(body, "go_goroutines ") || !strings.Contains(body, `webpush_queue_messages{lane="fcm",state="waiting"} 0`) {
		t.Errorf("/metrics: %s", body)
	}
	interrupt()
	if code := <-done; code != exitOK {
		t.Errorf("an interrupted worker exits with %d", code)
	}
	if text := log.String(); !strings.Contains(text, `msg="worker stopped" invalid=1`) {
		t.Errorf("the log ends with %q", text[max(0, len(text)-200):])
	}
}
