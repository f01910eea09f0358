package bulk

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// service is a push service that accepts everything, and the file of n subscriptions
// of it.
func service(t *testing.T, n int, answer http.HandlerFunc) (file string) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"endpoint":"%s/%d",%s`+"\n", server.URL, i, testReceiverKeys)
	}
	file = filepath.Join(t.TempDir(), "subs.ndjson")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func created(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }

func runFile(t *testing.T, file string, o Options) (*Summary, error) {
	t.Helper()
	source, err := Open(Files(file)...)
	if err != nil {
		t.Fatal(err)
	}
	return Run(t.Context(), source, o)
}

// TestFixableIsNotFinal asserts that records whose message could not be signed are
// sent by the next run of the same journal, when the claims are fixed.
func TestFixableIsNotFinal(t *testing.T) {
	file := service(t, 3, created)
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(t.TempDir(), "journal")
	claims := func(exp time.Time) *webpush.Client {
		return &webpush.Client{Key: key, Claims: vapid.Claims{Subject: "mailto:ops@example.com", Expires: exp}, Lenient: true}
	}
	for _, exp := range []time.Time{time.Now().Add(-time.Minute), time.Now().Add(30 * time.Hour)} {
		s, err := runFile(t, file, Options{Client: claims(exp), Journal: journal})
		var incomplete *IncompleteError
		if !errors.As(err, &incomplete) || s.Counts[webpush.ClassDelivered] != 0 || s.Counts[webpush.ClassInvalid] != 3 {
			t.Fatalf("with exp %v: %v, %v", exp, s.Counts, err)
		}
	}
	s, err := runFile(t, file, Options{Client: claims(time.Time{}), Journal: journal})
	if err != nil || s.Counts[webpush.ClassDelivered] != 3 || s.FinishedBefore != 0 {
		t.Errorf("with claims that are fixed: %+v, %v", s, err)
	}
	s, err = runFile(t, file, Options{Client: claims(time.Time{}), Journal: journal})
	if err != nil || s.FinishedBefore != 3 || s.Journal[webpush.ClassDelivered] != 3 {
		t.Errorf("again: %+v, %v", s, err)
	}
}

// TestTornResult cuts the results of a first run at every byte of the last line.
// The next run removes the rest of a partial line and appends to the file.
func TestTornResult(t *testing.T) {
	var busy atomic.Bool
	file := service(t, 2, func(w http.ResponseWriter, r *http.Request) {
		if busy.Load() && r.URL.Path == "/1" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		created(w, r)
	})
	dir := t.TempDir()
	journal, results := filepath.Join(dir, "journal"), filepath.Join(dir, "results")
	o := Options{Client: &webpush.Client{Attempts: 1}, Journal: journal, Results: results, Send: webpush.BulkOptions{Concurrency: 1}}
	busy.Store(true)
	if _, err := runFile(t, file, o); err == nil {
		t.Fatal("everything was delivered")
	}
	busy.Store(false)
	whole, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.IndexByte(string(whole), '\n') + 1
	for n := range len(whole) + 1 {
		if err := errors.Join(os.WriteFile(results, whole[:n], 0o600), os.WriteFile(journal, kept, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := runFile(t, file, o); err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		b, err := os.ReadFile(results)
		if err != nil {
			t.Fatal(err)
		}
		before := 0
		switch {
		case n == len(whole):
			before = 2
		case n >= first:
			before = 1
		}
		lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		if len(lines) != before+1 {
			t.Fatalf("cut at %d: %d lines\n%s", n, len(lines), b)
		}
		for _, line := range lines {
			if !strings.HasPrefix(line, `{"index":`) || !strings.HasSuffix(line, "}") {
				t.Errorf("cut at %d: the line %q", n, line)
			}
		}
	}
}

// TestMayCreate asserts that MayCreate knows what Create refuses, and changes nothing.
func TestMayCreate(t *testing.T) {
	dir := t.TempDir()
	full, empty := filepath.Join(dir, "full"), filepath.Join(dir, "empty")
	for name, content := range map[string]string{full: "x", empty: ""} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name      string
		overwrite bool
		want      string
	}{
		{full, false, "already exists"},
		{full, true, ""},
		{empty, false, ""},
		{filepath.Join(dir, "new"), false, ""},
		{filepath.Join(dir, "none", "new"), true, "directory"},
		{dir, true, "is a directory"},
	} {
		var e *Error
		err := MayCreate(PartGone, c.name, c.overwrite)
		if found := errors.As(err, &e); found != (c.want != "") || found && (e.Part != PartGone || !strings.Contains(e.Problem, c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if b, err := os.ReadFile(full); string(b) != "x" {
		t.Errorf("the file has %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a file was created")
	}
}

// TestGoneAlone asserts that gone subscriptions are not a failure if a
// file has them, unless that is asked for.
func TestGoneAlone(t *testing.T) {
	file := service(t, 2, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/1" {
			w.WriteHeader(http.StatusGone)
			return
		}
		created(w, r)
	})
	dir := t.TempDir()
	for i, c := range []struct {
		o    Options
		want bool
	}{{Options{}, true}, {Options{Gone: filepath.Join(dir, "a")}, false}, {Options{Gone: filepath.Join(dir, "b"), FailOnGone: true}, true}} {
		c.o.Client = &webpush.Client{}
		if _, err := runFile(t, file, c.o); (err != nil) != c.want {
			t.Errorf("case %d: %v", i, err)
		}
	}
}

// TestStopRecordsTheRest asserts that a run which is stopped finishes what is in
// flight and records the rest.
func TestStopRecordsTheRest(t *testing.T) {
	stop := make(chan struct{})
	var n atomic.Int64
	file := service(t, 5000, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			close(stop)
		}
		created(w, r)
	})
	later := filepath.Join(t.TempDir(), "later")
	s, err := runFile(t, file, Options{Client: &webpush.Client{}, RetryLater: later, Send: webpush.BulkOptions{Concurrency: 1, Stop: stop}})
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || s.Stopped != StopAsked {
		t.Fatalf("%+v, %v", s, err)
	}
	b, err := os.ReadFile(later)
	if err != nil {
		t.Fatal(err)
	}
	if got := int64(strings.Count(string(b), "\n")); got+n.Load() != 5000 || s.RetryLaterWritten != got {
		t.Errorf("%d were sent and %d recorded: %+v", n.Load(), got, s)
	}
}

// guard counts how often it is held, and what the files have then.
type guard struct {
	held     int
	released func()
}

func (g *guard) Lock()   { g.held++ }
func (g *guard) Unlock() { g.released() }

// TestCommitting asserts that the lock covers results and journal: each time that it
// is released, both know the same records.
func TestCommitting(t *testing.T) {
	file := service(t, 200, created)
	dir := t.TempDir()
	journal, results := filepath.Join(dir, "journal"), filepath.Join(dir, "results")
	count := func(name string) int {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), "\n")
	}
	g := &guard{}
	g.released = func() {
		if r, j := count(results), count(journal)-1; r != j {
			t.Errorf("%d results and %d records in the journal", r, j)
		}
	}
	if _, err := runFile(t, file, Options{Client: &webpush.Client{}, Journal: journal, Results: results, Committing: g, Send: webpush.BulkOptions{Concurrency: 4}}); err != nil {
		t.Fatal(err)
	}
	if g.held == 0 {
		t.Error("the lock was never held")
	}
}
