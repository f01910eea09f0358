package queue

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestMonitor reads the metrics and the health of a worker.
func TestMonitor(t *testing.T) {
	t.Parallel()
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{})
	m := NewMonitor(q)
	api := httptest.NewServer(m.Handler())
	defer api.Close()
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get(api.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	metrics := func(want ...string) {
		t.Helper()
		code, body := get("/metrics")
		if code != http.StatusOK {
			t.Errorf("/metrics: status %d", code)
		}
		for _, line := range want {
			if !strings.Contains("\n"+body, "\n"+line) {
				t.Errorf("/metrics has no line %q in\n%s", line, body)
			}
		}
	}
	s.answer = func(w http.ResponseWriter, path string, n int) bool {
		switch {
		case path == "/gone":
			w.WriteHeader(http.StatusGone)
		case path == "/busy" && n == 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			return false
		}
		return true
	}
	enqueue(t, q, EnqueueOptions{Run: "m", Message: payload("hi")}, subscription(s.URL+"/a"), subscription(s.URL+"/gone"), subscription(s.URL+"/busy"), `{"endpoint":"x"}`)
	metrics(`webpush_queue_messages{lane="other",state="waiting"} 4`, `webpush_queue_messages{lane="fcm",state="waiting"} 0`, `webpush_queue_age_seconds{lane="fcm"} 0`)
	client := testClient(t)
	client.Attempts = 1
	stop := work(t, q, WorkerOptions{Client: client, OnResult: m.OnResult, OnHold: m.OnHold, retryWait: 10 * time.Millisecond})
	follow(t, q, "m")
	stop()
	metrics(`webpush_messages_total{class="delivered",service="other"} 2`, `webpush_messages_total{class="gone",service="other"} 1`, `webpush_messages_total{class="invalid",service="other"} 1`,
		`webpush_postponed_total{service="other"} 1`, `webpush_holds_total{service="other"}`, `webpush_held_seconds{service="other"} `, `webpush_message_duration_seconds_count{service="other"} 4`,
		`webpush_queue_messages{lane="other",state="waiting"} 0`, `webpush_queue_messages{lane="other",state="taken"} 0`)
	if code, body := get("/healthz"); code != http.StatusOK || body != `{"status":"ok"}`+"\n" {
		t.Errorf("/healthz: %d %s", code, body)
	}
	e.stop()
	for q.Connected() && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if code, body := get("/healthz"); code != http.StatusServiceUnavailable || body != `{"status":"the NATS server cannot be reached"}`+"\n" {
		t.Errorf("/healthz without a server: %d %s", code, body)
	}
	metrics(`webpush_messages_total{class="delivered",service="other"} 2`) // the counters do not need the server
}

// TestMonitorLog pins that numbers are logged when they have changed.
func TestMonitorLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		m := NewMonitor(new(Queue))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { m.Log(ctx, log, time.Second); close(done) }()
		time.Sleep(5 * time.Second)
		m.OnResult(&webpush.Result{Class: webpush.ClassDelivered}, true)
		m.OnResult(&webpush.Result{Class: webpush.ClassGone}, true)
		time.Sleep(5 * time.Second)
		m.OnResult(&webpush.Result{Class: webpush.ClassTemporary}, false)
		time.Sleep(5 * time.Second)
		stop()
		<-done
		if got, want := out.String(), "level=INFO msg=results delivered=1 gone=1\nlevel=INFO msg=results delivered=1 gone=1 postponed=1\n"; got != want {
			t.Errorf("logged %q, want %q", got, want)
		}
	})
}

// TestOutcome pins the description of a run.
func TestOutcome(t *testing.T) {
	for _, row := range []struct {
		o    Outcome
		n    int
		text string
		json string
	}{
		{Outcome{}, 0, "0 records have a result", `{"counts":{"delivered":0,"expired":0,"gone":0,"invalid":0,"rejected":0,"skipped":0,"temporary":0},"results":0}`},
		{Outcome{}, 1, "1 record has a result: 1 gone", ""},
		{Outcome{Known: true, Run: Run{Name: "r"}}, 2, "2 records have a result: 2 gone; enqueueing is not finished", `{"canceled":false,"complete":false,"counts":{"delivered":0,"expired":0,"gone":2,"invalid":0,"rejected":0,"skipped":0,"temporary":0},"results":2,"run":"r"}`},
		{Outcome{Known: true, Run: Run{Complete: true, Records: 3, Canceled: true}}, 1, "1 of 3 records have a result: 1 gone; the run is canceled", ""},
		{Outcome{Known: true, Run: Run{Complete: true, Records: 1}}, 1, "1 of 1 record have a result: 1 gone", ""},
	} {
		for range row.n {
			var r Result
			r.Class = webpush.ClassGone
			row.o.Add(&r)
		}
		if got := fmt.Sprint(&row.o); got != row.text {
			t.Errorf("%q, want %q", got, row.text)
		}
		if b, err := row.o.MarshalJSON(); row.json != "" && (err != nil || string(b) != row.json) {
			t.Errorf("%s %v, want %s", b, err, row.json)
		}
	}
}
