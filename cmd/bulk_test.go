package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// valuesOf returns what a splitter finds in a text, in its form.
func valuesOf(tb testing.TB, text string, lines bool, r io.Reader) (values []string, end error) {
	tb.Helper()
	p := newSplitter(r, "test")
	p.sniff()
	p.lines = lines
	for {
		var rec record
		b, err := p.next(&rec)
		var stop *inputEnd
		if err == io.EOF || errors.As(err, &stop) {
			return values, err
		}
		if err != nil {
			values = append(values, "error: "+err.Error())
			continue
		}
		values = append(values, string(b))
		if len(values) > len(text)+1 {
			tb.Fatalf("more values than bytes in %q", text)
		}
	}
}

// FuzzSplitter compares the values that the splitter finds with those of
// encoding/json, for texts that are JSON values one after another or an array.
func FuzzSplitter(f *testing.F) {
	for _, seed := range []string{
		`{"a":"}{"}{"b":[1,2,{"c":"\"\\"}]}`, `[{"a":1},{"b":2}]`, "[\n{\"a\":\"\\\\\"} , null,true,-1e5,\"x]\",[[]]]\n", "{}\n{}\n\n{}", `{"a":1} [1,2] "x" 3 nul`, `[1,2`, `["`, `{"a":"\`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, end := valuesOf(t, text, false, strings.NewReader(text))
		if byByte, end2 := valuesOf(t, text, false, iotest.OneByteReader(strings.NewReader(text))); !slices.Equal(got, byByte) || (end == io.EOF) != (end2 == io.EOF) {
			t.Fatalf("%q: %q %v, read by the byte: %q %v", text, got, end, byByte, end2)
		}
		_, _ = valuesOf(t, text, true, strings.NewReader(text))
		var want []string
		d := json.NewDecoder(strings.NewReader(text))
		for {
			var v json.RawMessage
			err := d.Decode(&v)
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
			if v[0] == '[' {
				var list []json.RawMessage
				if json.Unmarshal(v, &list) != nil {
					return
				}
				for _, e := range list {
					want = append(want, string(e))
				}
				continue
			}
			want = append(want, string(v))
		}
		if strings.HasPrefix(text, "\xef\xbb\xbf") || !slices.ContainsFunc(want, func(v string) bool { return v[0] == '{' || v[0] == '[' }) {
			return // scalars need no space between them for encoding/json
		}
		for _, v := range want {
			if v[0] != '{' && v[0] != '[' && v[0] != '"' {
				return
			}
		}
		if !slices.Equal(got, want) || end != io.EOF {
			t.Errorf("%q: found %q, %v, want %q", text, got, end, want)
		}
	})
}

// TestSniff pins how the form of an input is told, and when one record is alone.
func TestSniff(t *testing.T) {
	const rec = `{"endpoint":"https://push.example.net/x"}`
	for _, c := range []struct {
		text  string
		lines bool
		n     amount
	}{
		{"", true, one}, {" \n", true, one}, {rec, true, one}, {rec + "\n", true, one}, {"\n\n" + rec + "\r\n\r\n", true, one},
		{rec + "\n" + rec, true, many}, {rec + rec, false, many}, {rec + "," + rec, false, many}, {rec + "\nx\n" + rec, true, many},
		{"[", false, many}, {"[]", false, many}, {"[" + rec + "]", false, many},
		{"{\n" + rec[1:], false, one}, {"{\n" + rec[1:] + "\n{\n" + rec[1:], false, many},
		{rec + " x", true, one}, {rec + "\nx", true, one}, {rec[:20], false, one}, {"{\n" + rec[1:20], false, one},
		{"x\n" + rec + "\n", true, many}, {rec[:20] + "\n" + rec + "\n", true, many}, {`{"a":b}` + "\n" + rec, true, many},
		{"x", true, one}, {"null", true, one}, {`"{}"`, true, one}, {"-----BEGIN\nEC", true, one},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text)), iotest.DataErrReader(strings.NewReader(c.text))} {
			p := newSplitter(r, "test")
			if n := p.sniff(); n != c.n || n == many && p.lines != c.lines {
				t.Errorf("%q: amount %d, lines %v, want %d, %v", c.text, n, p.lines, c.n, c.lines)
			}
		}
	}
}

// TestSplitterBounds asserts that records that are too long are not kept, and
// that what follows them is found.
func TestSplitterBounds(t *testing.T) {
	long := strings.Repeat("x", 3*maxRecord)
	for _, c := range []struct {
		text  string
		lines bool
	}{
		{"{}\n" + long + "\n{}\n", true}, {"{}\n{\"a\":\"" + long + "\"}\n{}\n", true}, {"[{},{\"a\":\"" + long + "\"},{}]", false}, {"{}\n{\"a\":\n\"" + long + "\"\n}\n{}", false},
	} {
		p := newSplitter(strings.NewReader(c.text), "test")
		p.lines = c.lines
		var got []string
		for {
			var rec record
			b, err := p.next(&rec)
			if err == io.EOF {
				break
			}
			if err != nil && err != errTooLong {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(len(b)))
		}
		if strings.Join(got, " ") != "2 0 2" {
			t.Errorf("lines %v: records of %v bytes", c.lines, got)
		}
		if len(p.buf) > 4*maxRecord {
			t.Errorf("lines %v: a buffer of %d bytes", c.lines, len(p.buf))
		}
	}
}

// TestUTF16Input asserts that what Windows' shells write with > is read.
func TestUTF16Input(t *testing.T) {
	text := "{\"a\":\"é\"}\r\n{}\r\n"
	for _, order := range []int{0, 1} {
		var b bytes.Buffer
		for _, r := range "\ufeff" + text {
			pair := [2]byte{byte(r), byte(r >> 8)}
			b.Write([]byte{pair[order], pair[1-order]})
		}
		got, err := valuesOf(t, text, true, &b)
		if err != io.EOF || !slices.Equal(got, []string{`{"a":"é"}`, "{}"}) {
			t.Errorf("order %d: %q, %v", order, got, err)
		}
	}
}

// TestRecordID asserts that an id is echoed, and in valid UTF-8.
func TestRecordID(t *testing.T) {
	for id, want := range map[string]string{`"a"`: `"a"`, "-1.5e3": "-1.5e3", "12345678901234567890": "12345678901234567890",
		"\"a\xffb\"": "\"a\ufffdb\"", "null": "", "true": "", "{}": ""} {
		r := record{raw: []byte(`{"id":` + id + `,"subscription":` + benchRecord + "}")}
		b := bulk{client: &webpush.Client{}}
		if _, err := b.job(&r); err != nil || string(r.id) != want {
			t.Errorf("id %q: %q, %v", id, r.id, err)
		}
	}
}

// TestHistogram compares with the exact quantiles.
func TestHistogram(t *testing.T) {
	var h histogram
	var all []time.Duration
	for range 10000 {
		d := time.Duration(rand.ExpFloat64() * float64(30*time.Millisecond))
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.95, 0.99, 1} {
		exact := all[max(0, int(q*float64(len(all)))-1)]
		got := h.quantile(q)
		if got < exact-time.Microsecond || got > exact+exact/15+2*time.Microsecond {
			t.Errorf("quantile %v is %v, exactly %v", q, got, exact)
		}
	}
	for _, d := range []time.Duration{-1, 0, time.Microsecond, 31 * time.Microsecond, 32 * time.Microsecond, time.Hour, 1 << 62} {
		i := bucketOf(uint64(max(d, 0) / time.Microsecond))
		if us := uint64(max(d, 0) / time.Microsecond); bucketEnd(i) < us && i < len(h.buckets)-1 || i > 0 && bucketEnd(i-1) >= us {
			t.Errorf("%v is in bucket %d, up to %d µs", d, i, bucketEnd(i))
		}
	}
	if new(histogram).quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
}

// TestProgressLines asserts that there is a line every few seconds where there
// is no terminal, with what is left.
func TestProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := &bulk{s: &streams{err: &out}, o: &sendOptions{}, source: &recordSource{total: 4000}, tally: newTally(false)}
		p := b.startProgress()
		time.Sleep(progressEvery - time.Second)
		b.tally.readBytes.Store(1000)
		b.tally.readRecords.Store(100)
		b.tally.done.Store(100)
		b.tally.delivered.Store(90)
		b.tally.gone.Store(6)
		b.tally.wrong.Store(4)
		time.Sleep(time.Second + time.Millisecond)
		b.noteWait(&webpush.Error{Origin: "https://push.example", RetryAfter: time.Minute}, time.Minute)
		b.noteWait(&webpush.Error{Origin: "https://push.example", RetryAfter: time.Second}, time.Second)
		b.noteWait(&webpush.Error{Origin: "https://push.example"}, time.Hour)
		time.Sleep(progressEvery)
		p.stop()
		if got, want := out.String(), "webpush: 100 of about 400, 20/s, 15s left: 90 delivered, 6 gone, 4 failed\n"+
			"webpush: 100 of about 400, 10/s, https://push.example asks to wait, 55s more: 90 delivered, 6 gone, 4 failed\n"; got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
		out.Reset()
		b.o.bulk.quiet = true
		p = b.startProgress()
		time.Sleep(time.Minute)
		p.stop()
		if out.Len() > 0 {
			t.Errorf("printed %q when quiet", &out)
		}
	})
}

// TestNextSteps pins what is to be done with what was not delivered.
func TestNextSteps(t *testing.T) {
	const rest = "the input was not read to its end"
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
		{2, "", "", true, []string{"--retry-later FILE collects what is worth another run"}},
		{2, "la ter", "", true, []string{"try again later with -f 'la ter' in place of the input"}},
		{2, "later", "", false, []string{"try again later with -f later, and with the rest of the input", rest}},
		{2, "later", "journal", true, []string{"repeat the command: --resume sends what is not finished"}},
		{0, "", "journal", false, []string{"repeat the command: --resume sends what is not finished", rest}},
	} {
		b := &bulk{o: &sendOptions{bulk: bulkFlags{retryLater: c.retryLater, resume: c.resume}}, tally: newTally(false)}
		b.outputs.retryLater = &output{w: bufio.NewWriter(io.Discard)}
		b.tally.n[webpush.ClassTemporary] = c.temporary
		if got := b.nextSteps(c.complete); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// heldService answers when it is let go, and tells of what has arrived.
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

// interrupted starts a send of 50 records to a service that holds its answers,
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
		if strings.Contains(line, "interrupted: what is in flight is finished") {
			return c, h, dir, talk
		}
	}
}

// TestInterrupt asserts that the first interrupt lets what is in flight end,
// and that everything is written down.
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
			for _, want := range []string{"error: interrupted", "hint: repeat the command: --resume sends what is not finished"} {
				if !strings.Contains(string(rest), want) {
					t.Errorf("found no %q in\n%s", want, rest)
				}
			}
			if cut := strings.Contains(string(rest), "hint: the input was not read to its end"); cut != (from == "-") {
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
	if !strings.Contains(string(said), "stopped at once: ") {
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
		{"retry-later", "subs.ndjson", "", []string{"-f", "-", "--retry-later", "subs.ndjson", "--force"}, "--retry-later subs.ndjson is read or written as standard input too", exitUsage},
		{"journal", "subs.ndjson", "", []string{"-f", "-", "--resume", "subs.ndjson"}, "--resume subs.ndjson is the input standard input", exitUsage},
		{"stdout is the input", "", "subs.ndjson", []string{"-f", "subs.ndjson", "--json"}, "standard output is read or written as subs.ndjson too", exitUsage},
		{"stdout is stdin", "subs.ndjson", "subs.ndjson", []string{"-f", "-", "--results", "-"}, "standard output is read or written as standard input too", exitUsage},
		{"stdout is results", "", "out", []string{"-f", "subs.ndjson", "--json", "--results", "out"}, "--results out is read or written as standard output too", exitUsage},
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
			if !errors.As(err, &exit) || exit.ExitCode() != c.exit || !strings.Contains(talk.String(), c.want) {
				t.Errorf("%v, %s\nwant exit code %d and %q", err, &talk, c.exit, c.want)
			}
			if b, err := os.ReadFile(filepath.Join(dir, "subs.ndjson")); err != nil || string(b) != records {
				t.Errorf("the input is changed: %v, %q", err, b)
			}
		})
	}
}

// TestInterruptBelowBar asserts that what is said of an interrupt does not run
// into the bar.
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

// BenchmarkRecords is what a record costs until it is a job, in each form.
func BenchmarkRecords(b *testing.B) {
	for _, form := range []struct{ name, before, record, between string }{
		{"lines", "", benchRecord, "\n"},
		{"array", "[", benchRecord, ","},
		{"wrapped", "", `{"id":12345,"subscription":` + benchRecord + "}", "\n"},
	} {
		b.Run(form.name, func(b *testing.B) {
			const n = 10000
			name := filepath.Join(b.TempDir(), "subs")
			if err := os.WriteFile(name, []byte(form.before+strings.Repeat(form.record+form.between, n)), 0o600); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			records := 0
			for b.Loop() {
				src, _, err := openSources(&streams{}, []string{name}, true)
				if err != nil {
					b.Fatal(err)
				}
				run := bulk{source: src, tally: newTally(false), client: &webpush.Client{}, flat: make(map[string]bool)}
				for _, err := range run.jobs() {
					if err != nil && form.before == "" {
						b.Fatal(err)
					}
					records++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
		})
	}
}

// What plainRecord takes, encoding/json reads alike.
func FuzzPlainRecord(f *testing.F) {
	const sub = `{"endpoint":"https://push.example/1","keys":{"p256dh":"BA","auth":"AA"}}`
	for _, raw := range []string{
		`{"id":7,"subscription":` + sub + `}`,
		`{"id": "seven", "subscription": ` + sub + `}`,
		`{"id":null,"subscription":` + sub + `}`,
		`{"id":{"a":1},"subscription":` + sub + `}`,
		`{"id":7,"subscription":` + sub + `,"ttl":60}`,
		`{"id":7,"subscription":` + sub + `,"payload":{"a":{}}}`,
		`{"id":7,"subscription":` + sub + `}}`,
		`{"id":7,"subscription":` + sub,
		`{"id":7 ,"subscription":` + sub + `}`,
		`{"id":"a\"},","subscription":` + sub + `}`,
		`{"id":07,"subscription":` + sub + `}`,
		`{"id":7,"subscription":"` + `{}"}`,
		`{"id":7,"subscription":{]}`,
		`{"id":`, `{"id": `, `{"id":7,`, `{"id":"`,
		sub,
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		id, subscription, ok := plainRecord(raw)
		var members map[string]json.RawMessage
		err := json.Unmarshal(raw, &members)
		switch {
		case !ok:
		case err != nil && json.Valid(subscription):
			t.Errorf("%q is no JSON, and its subscription %q is", raw, subscription)
		case err == nil && (len(members) != 2 || !bytes.Equal(members["id"], id) || !bytes.Equal(members["subscription"], subscription)):
			t.Errorf("%q has the id %q and the subscription %q", raw, id, subscription)
		}
	})
}

func TestPlainRecord(t *testing.T) {
	for raw, want := range map[string]bool{
		`{"id":7,"subscription":{"endpoint":"e"}}`:            true,
		`{"id": "seven", "subscription": {"endpoint": "e"}}`:  true,
		`{"id":7,"subscription":{"endpoint":"e"},"ttl":60}`:   false,
		`{"id":7,"subscription":{},"payload":{"a":{}}}`:       false,
		`{"subscription":{"endpoint":"e"},"id":7}`:            false,
		`{"id":7,"subscription":null}`:                        false,
		`{"id":7,"subscription":{"endpoint":"e","keys":{}}} `: false,
	} {
		if _, _, ok := plainRecord([]byte(raw)); ok != want {
			t.Errorf("%s: %v, want %v", raw, ok, want)
		}
	}
}

// A value that an error of the input cut off is no record: the error is told.
func TestSplitterError(t *testing.T) {
	for _, text := range []string{"{\"a\":1}\n{\"b\":", "{\n\"a\": 1}\n{\n\"b\":", "[{\"a\":1},{\"b\":"} {
		p := newSplitter(io.MultiReader(strings.NewReader(text), iotest.ErrReader(context.Canceled)), "pipe")
		p.sniff()
		var r record
		if b, err := p.next(&r); err != nil || !strings.Contains(string(b), `"a"`) {
			t.Errorf("%q: the first is %q, %v", text, b, err)
		}
		if b, err := p.next(&r); !errors.Is(err, context.Canceled) {
			t.Errorf("%q: the second is %q, %v", text, b, err)
		}
	}
}
