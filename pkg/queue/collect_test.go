package queue

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
)

// TestCollect collects a run while it is sent: each result is a line as soon as it is
// there, the gone record is in its file, and the outcome is reported.
func TestCollect(t *testing.T) {
	t.Parallel()
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{})
	s.answer = func(w http.ResponseWriter, path string, _ int) bool {
		if path == "/gone" {
			w.WriteHeader(http.StatusGone)
		}
		return path == "/gone"
	}
	gone := subscription(s.URL + "/gone")
	enqueue(t, q, EnqueueOptions{Run: "r", Message: payload("hi")}, `{"id": "a\u202eb", "subscription": `+subscription(s.URL+"/a")+`}`, gone)
	file := filepath.Join(t.TempDir(), "gone.ndjson")
	var out bytes.Buffer
	o := CollectOptions{ResultsOptions: ResultsOptions{Run: "r"}, Output: &out, Gone: file}
	if outcome, err := q.Collect(t.Context(), o); err != nil || outcome.Counts.Total() != 0 || !outcome.Known {
		t.Errorf("before a worker: %v, %v", outcome, err)
	}
	o.Follow, o.Interval = true, time.Millisecond
	reports := 0
	o.OnOutcome = func(*Outcome) error { reports++; return nil }
	defer work(t, q, WorkerOptions{})()
	outcome, err := q.Collect(t.Context(), o)
	if err != nil || outcome.String() != "2 of 2 records have a result: 1 delivered, 1 gone" {
		t.Errorf("%v, %v", outcome, err)
	}
	if text := out.String(); strings.Count(text, "\n") != 2 || strings.Contains(text, `"run"`) || strings.Contains(text, "\u202e") || !strings.Contains(text, `"id":"a\u202eb"`) {
		t.Errorf("the results are %s", text)
	}
	if b, err := os.ReadFile(file); string(b) != gone+"\n" {
		t.Errorf("the gone records are %q, %v", b, err)
	}
	if reports > 2 { // none if both were there at once
		t.Errorf("%d reports of 2 results", reports)
	}
	_, err = q.Collect(t.Context(), o)
	if e, ok := errors.AsType[*bulk.Error](err); !ok || e.Part != bulk.PartGone || !errors.Is(err, fs.ErrExist) {
		t.Errorf("the file exists: %v", err)
	}
	o.Overwrite, o.Output = true, brokenWriter{}
	if outcome, err := q.Collect(t.Context(), o); !errors.Is(err, errBroken) || outcome.Counts.Total() != 2 {
		t.Errorf("an output that fails: %v, %v", outcome, err)
	}
	all, err := q.Collect(t.Context(), CollectOptions{})
	if err != nil || all.Known || all.Counts.Total() != 2 {
		t.Errorf("all runs: %v, %v", all, err)
	}
}

// TestCollectStops stops at an error of OnOutcome and at the end of the context, and
// writes the results before it.
func TestCollectStops(t *testing.T) {
	t.Parallel()
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{})
	enqueue(t, q, EnqueueOptions{Run: "r", Message: payload("hi")}, subscription(s.URL+"/a"))
	defer work(t, q, WorkerOptions{})()
	follow(t, q, "r")
	var out bytes.Buffer
	o := CollectOptions{ResultsOptions: ResultsOptions{Follow: true}, Output: &out, Interval: time.Millisecond, OnOutcome: func(*Outcome) error { return errBroken }}
	if _, err := q.Collect(t.Context(), o); !errors.Is(err, errBroken) || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v, %q", err, &out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o.OnOutcome = func(*Outcome) error { cancel(); return nil }
	out.Reset()
	if _, err := q.Collect(ctx, o); !errors.Is(err, context.Canceled) || !strings.Contains(out.String(), `"run":"r"`) {
		t.Errorf("%v, %q", err, &out)
	}
}

// TestCollectEnds asserts that an error of OnOutcome counts although the results end while
// it is called.
func TestCollectEnds(t *testing.T) {
	called := make(chan context.Context)
	c := &collector{out: bufio.NewWriter(io.Discard), o: &CollectOptions{Interval: time.Millisecond, OnOutcome: func(*Outcome) error {
		<-(<-called).Done() // the results have ended
		return errBroken
	}}}
	c.outcome.Add(&Result{})
	err := c.whileTicking(t.Context(), func(ctx context.Context) error {
		called <- ctx
		return nil
	})
	if !errors.Is(err, errBroken) {
		t.Errorf("%v, want %v", err, errBroken)
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }
