package cmd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestProgressLines asserts that there is a line every few seconds where there is
// no terminal, and none with --quiet.
func TestProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s, o := &streams{err: &out}, &sendOptions{}
		from := func() bulk.Snapshot {
			return bulk.Snapshot{Took: 5 * time.Second, Done: 100, Delivered: 90, Gone: 6, Failed: 4, Expected: 400}
		}
		p := startProgress(s, o, from)
		time.Sleep(2*progressEvery + time.Second)
		p.stop()
		if got, want := out.String(), strings.Repeat("webpush: 100 of about 400, 20/s, 15s left: 90 delivered, 6 gone, 4 failed\n", 2); got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
		out.Reset()
		o.bulk.quiet = true
		p = startProgress(s, o, from)
		time.Sleep(time.Minute)
		p.stop()
		if out.Len() > 0 {
			t.Errorf("printed %q when quiet", &out)
		}
	})
}

// TestNextSteps pins the hints about messages that were not delivered.
func TestNextSteps(t *testing.T) {
	const rest = "the input was not read completely"
	for _, c := range []struct {
		temporary  int64
		retryLater string
		resume     string
		complete   bool
		want       []string
	}{
		{0, "", "", true, []string{}},
		{0, "later", "", true, []string{}},
		{0, "later", "", false, []string{rest}},
		{2, "", "", true, []string{"to send these once more later, collect them with --retry-later FILE; to repeat the same command until all is sent, use --resume JOURNAL"}},
		{2, "la ter", "", true, []string{"try again later with -f 'la ter' in place of the input"}},
		{2, "later", "", false, []string{"try again later with -f later, and with the rest of the input", rest}},
		{2, "later", "journal", true, []string{"repeat the command: --resume sends the rest"}},
		{0, "", "journal", false, []string{"repeat the command: --resume sends the rest", rest}},
	} {
		o := &sendOptions{bulk: bulkFlags{Options: bulk.Options{RetryLater: c.retryLater, Journal: c.resume}}}
		sum := &bulk.Summary{Counts: map[webpush.Class]int64{webpush.ClassTemporary: c.temporary}, Complete: c.complete, GoneWritten: -1}
		if got := o.nextSteps(sum); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// heldService responds when it is released, and reports requests as they arrive.
type heldService struct {
	arrived chan struct{}
	release chan struct{}
	n       atomic.Int64
}

func (h *heldService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	h.n.Add(1)
	h.arrived <- struct{}{}
	<-h.release
	w.WriteHeader(http.StatusCreated)
}

// interrupted starts a send of 50 records to a service that holds its responses,
// and interrupts it when two messages have arrived and it waits for them.
func interrupted(t *testing.T, pipe bool, args ...string) (c *exec.Cmd, h *heldService, dir string, talk *bufio.Reader) {
	t.Helper()
	dir = t.TempDir()
	h = &heldService{arrived: make(chan struct{}, 100), release: make(chan struct{})}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	var input bytes.Buffer
	for n := range 50 {
		fmt.Fprintf(&input, `{"endpoint":"%s/%d",`+testReceiverKeys+"\n", server.URL, n)
	}
	if err := os.WriteFile(filepath.Join(dir, "subs.ndjson"), input.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	c = exec.Command("webpush", append([]string{"send", "-p", "hi", "--concurrency", "2", "--results", "results.ndjson"}, args...)...)
	c.Dir, c.Env = dir, append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir)
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if pipe {
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close() })
		go func() { _, _ = in.Write(input.Bytes()) }() // and it stays open
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-h.arrived
	<-h.arrived
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	talk = bufio.NewReader(errs)
	for {
		line, err := talk.ReadString('\n')
		if err != nil {
			t.Fatalf("it did not say that it was interrupted: %v", err)
		}
		if strings.Contains(line, "interrupted: finishing 2 requests in flight; press Ctrl-C again to stop now") {
			return c, h, dir, talk
		}
	}
}

// TestInterrupt asserts that the first interrupt lets the requests in flight finish,
// and that everything is recorded.
func TestInterrupt(t *testing.T) {
	for _, from := range []string{"subs.ndjson", "-"} {
		t.Run(from, func(t *testing.T) {
			c, h, dir, talk := interrupted(t, from == "-", "-f", from, "--retry-later", "later.ndjson", "--resume", "journal")
			close(h.release)
			rest, err := io.ReadAll(talk)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
				t.Fatalf("%v\n%s", err, rest)
			}
			counts := make(map[string]int)
			for _, line := range lines(t, filepath.Join(dir, "results.ndjson")) {
				for _, class := range webpush.Classes() {
					if strings.Contains(line, `"class":"`+string(class)+`"`) {
						counts[string(class)]++
					}
				}
			}
			if counts["delivered"] != int(h.n.Load()) || counts["delivered"] != 2 {
				t.Errorf("%v, and %d were sent", counts, h.n.Load())
			}
			if n := len(lines(t, filepath.Join(dir, "journal"))) - 1; n != 2 {
				t.Errorf("the journal has %d records", n)
			}
			later := len(lines(t, filepath.Join(dir, "later.ndjson")))
			if later != counts["skipped"] || from != "-" && later != 48 {
				t.Errorf("%d are for later, and %v", later, counts)
			}
			for _, want := range []string{"error: interrupted", "hint: repeat the command: --resume sends the rest"} {
				if !strings.Contains(string(rest), want) {
					t.Errorf("found no %q in\n%s", want, rest)
				}
			}
			if cut := strings.Contains(string(rest), "hint: the input was not read completely"); cut != (from == "-") {
				t.Errorf("the input was cut: %v, says\n%s", cut, rest)
			}
		})
	}
}

// TestInterruptTwice asserts that the second interrupt does not wait.
func TestInterruptTwice(t *testing.T) {
	c, h, _, talk := interrupted(t, false, "-f", "subs.ndjson")
	defer close(h.release)
	ended := make(chan struct{})
	go func() {
		for c.Process.Signal(os.Interrupt) == nil {
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	said, err := io.ReadAll(talk)
	close(ended)
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("it ended with %v", err)
	}
	if !strings.Contains(string(said), "stopped now: ") {
		t.Errorf("it said %q", said)
	}
}

// TestRedirectedFiles asserts that a file which the shell opened is known, so
// that none is read while it grows, or overwritten before it is read.
func TestRedirectedFiles(t *testing.T) {
	const records = benchRecord + "\n" + benchRecord + "\n"
	for _, c := range []struct {
		name, in, out string // redirected from and to
		args          []string
		want          string
		exit          int
	}{
		{"retry-later", "subs.ndjson", "", []string{"-f", "-", "--retry-later", "subs.ndjson", "--force"}, `--retry-later: subs.ndjson is an input of this command, and is not replaced`, exitUsage},
		{"journal", "subs.ndjson", "", []string{"-f", "-", "--resume", "subs.ndjson"}, `--resume: subs.ndjson is an input of this command, and is not replaced`, exitUsage},
		{"stdout is the input", "", "subs.ndjson", []string{"-f", "subs.ndjson", "--json"}, `standard output: this file is also read or written as "subs.ndjson"`, exitUsage},
		{"stdout is stdin", "subs.ndjson", "subs.ndjson", []string{"-f", "-", "--results", "-"}, `standard output: this file is also read or written as "standard input"`, exitUsage},
		{"stdout is results", "", "out", []string{"-f", "subs.ndjson", "--json", "--results", "out"}, `--results: out: this file is also read or written as "standard output"`, exitUsage},
		{"stdout in the folder", "", "folder/out.json", []string{"-f", "folder", "--results", "-", "--dry-run"}, "a dry run of 2 records", exitPartial},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"subs.ndjson", "folder/a.json"} {
				content := records
				if name != "subs.ndjson" {
					content = benchRecord
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("webpush", append([]string{"send", "-p", "hi", "--proxy", "http://127.0.0.1:1"}, c.args...)...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir)
			if c.in != "" {
				f, err := os.Open(filepath.Join(dir, c.in))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				cmd.Stdin = f
			}
			if c.out != "" {
				f, err := os.OpenFile(filepath.Join(dir, c.out), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				cmd.Stdout = f
			}
			var talk bytes.Buffer
			cmd.Stderr = &talk
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != c.exit || !strings.Contains(strings.ReplaceAll(talk.String(), `\"`, `"`), c.want) {
				t.Errorf("%v, %s\nwant exit code %d and %q", err, &talk, c.exit, c.want)
			}
			if b, err := os.ReadFile(filepath.Join(dir, "subs.ndjson")); err != nil || string(b) != records {
				t.Errorf("the input is changed: %v, %q", err, b)
			}
		})
	}
}

// TestInterruptBelowBar asserts that the message about an interrupt does not run into
// the bar.
func TestInterruptBelowBar(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	told := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		interrupt()
		<-told
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	name := filepath.Join(t.TempDir(), "subs.ndjson")
	if err := os.WriteFile(name, fmt.Appendf(nil, `{"endpoint":"%s/x",%s`, server.URL, testReceiverKeys), 0o600); err != nil {
		t.Fatal(err)
	}
	var talk syncBuffer
	go func() {
		for !strings.Contains(talk.String(), "interrupted: ") && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		close(told)
	}()
	code := run(ctx, &streams{in: strings.NewReader(""), out: io.Discard, err: &talk, errTTY: true}, []string{"send", "-f", name, "--concurrency", "1"})
	if text := talk.String(); code != exitInterrupted || !strings.Contains(text, "\nwebpush: interrupted: ") {
		t.Errorf("exit code %d\n%s", code, text)
	}
}

// syncBuffer is a buffer that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// benchRecord is a subscription as Chrome makes it.
const benchRecord = `{"endpoint":"https://fcm.googleapis.com/fcm/send/dpH5lCsTSSM:APA91bHqjZxM0VImWWqDRN7U0a3AycjUf4O-byuxb_wJsKRaKvV_iKw56s16ekq6FUqoCF7k2nICUpd8fHPxVTgqLunFeVeB9lLCQZyohyAztTH8ZQL9WCxKpA6dvTG_TUIhQUFq_n","expirationTime":null,` + testReceiverKeys
