package cmd

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Keys of a receiver for the records of tests. Nobody decrypts the messages.
const testReceiverKeys = `"keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`

// countingService counts the messages to each of its endpoints, /0, /1 and so
// on: every tenth subscription is gone, and at first every seventh message is
// refused for now.
type countingService struct {
	mu      sync.Mutex
	steady  bool
	seen    map[int]int // messages that were accepted, or rejected finally
	run     map[int]int // messages of the current run
	total   int
	killAt  int
	kill    func()
	problem error
}

func (c *countingService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.problem = err
	}
	c.total++
	status := http.StatusCreated
	switch {
	case !c.steady && c.total%7 == 0:
		status = http.StatusServiceUnavailable
	case n%10 == 9:
		status = http.StatusGone
	}
	if status != http.StatusServiceUnavailable {
		c.seen[n]++
		c.run[n]++
	}
	if c.kill != nil && c.total >= c.killAt {
		c.kill()
	}
	w.WriteHeader(status)
}

// newRun forgets the messages of the run before.
func (c *countingService) newRun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run, c.killAt, c.kill = make(map[int]int), c.total, nil
}

// killAfter kills the run after some messages.
func (c *countingService) killAfter(more int, kill func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killAt += more; c.total >= c.killAt {
		kill()
	}
	c.kill = kill
}

// commandIn is webpush in a process of its own, whose directory and home are dir.
func commandIn(dir string, args ...string) *exec.Cmd {
	c := exec.Command("webpush", args...)
	c.Dir, c.Env = dir, append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "GORACE=atexit_sleep_ms=0")
	return c
}

// TestKilled kills webpush send with SIGKILL at random moments and starts it
// again with the same command each time. Every record is sent, none that the
// journal holds is sent again, and no more are sent twice than were in flight
// when it was killed.
func TestKilled(t *testing.T) {
	t.Parallel()
	const (
		kills       = 50
		concurrency = 16
		records     = 3000
	)
	dir := t.TempDir()
	service := &countingService{seen: make(map[int]int)}
	server := httptest.NewServer(service)
	defer server.Close()

	var input bytes.Buffer
	number := make(map[string]int) // of the record, by its line in the journal
	for n := range records {
		line := fmt.Sprintf(`{"endpoint":"%s/%d",`+testReceiverKeys, server.URL, n)
		sum := sha256.Sum256([]byte(line))
		number[base64.RawURLEncoding.EncodeToString(sum[:16])] = n
		fmt.Fprintln(&input, line)
	}
	if err := os.WriteFile(filepath.Join(dir, "subs.ndjson"), input.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := commandIn(dir, "gen").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	send := func() *exec.Cmd {
		return commandIn(dir, "send", "-f", "subs.ndjson", "-p", "hi", "--subject", "mailto:ops@example.com", "--retries", "0", "--concurrency", fmt.Sprint(concurrency),
			"--resume", "journal", "--results", "results.ndjson", "--gone", "gone.ndjson", "--retry-later", "later.ndjson")
	}
	journalled := func() map[int]bool {
		done := make(map[int]bool)
		for _, line := range lines(t, filepath.Join(dir, "journal"))[1:] {
			key, _, _ := strings.Cut(line, " ")
			n, ok := number[key]
			if !ok || done[n] {
				t.Fatalf("the journal has the line %q, of no record or one that it has already", line)
			}
			done[n] = true
		}
		return done
	}

	done := make(map[int]bool)
	again := func(what string) {
		service.mu.Lock()
		defer service.mu.Unlock()
		for n := range service.run {
			if done[n] {
				t.Errorf("%s: record %d was sent, which the journal held as finished", what, n)
			}
		}
	}
	for k := range kills {
		c := send()
		var out bytes.Buffer
		c.Stderr = &out
		var once sync.Once
		more := 1 + rand.IntN(2*records*2/3/kills)
		service.newRun()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		kill := func() { once.Do(func() { _ = c.Process.Kill() }) }
		if k%5 == 4 { // while it starts
			more = records
			time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, kill)
		}
		service.killAfter(more, kill)
		err := c.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("run %d was not killed: %v\n%s", k, err, &out)
		}
		again(fmt.Sprintf("run %d", k))
		if _, err := os.Stat(filepath.Join(dir, "journal")); err == nil && len(lines(t, filepath.Join(dir, "journal"))) > 0 {
			done = journalled()
		}
	}
	service.newRun()
	service.mu.Lock()
	service.steady = true
	service.mu.Unlock()
	out, err := send().CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitPartial {
		err = nil // those that are gone
	}
	if err != nil {
		t.Fatalf("the last run: %v\n%s", err, out)
	}
	again("the last run")
	if done = journalled(); len(done) != records {
		t.Errorf("the journal holds %d records at the end", len(done))
	}
	twice := 0
	for n := range records {
		if service.seen[n] == 0 {
			t.Errorf("record %d was never sent", n)
		}
		twice += max(0, service.seen[n]-1)
	}
	if service.problem != nil {
		t.Error(service.problem)
	}
	if twice > kills*concurrency {
		t.Errorf("%d messages were sent again, more than %d kills × %d in flight", twice, kills, concurrency)
	}
	t.Logf("%d messages were sent again after %d kills", twice, kills)

	// What was written as it went is whole: a result of each record, and those that are gone.
	results := make(map[int64]webpush.Class)
	for _, line := range lines(t, filepath.Join(dir, "results.ndjson")) {
		var r bulk.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in the result %q", err, line)
		}
		results[r.Index] = r.Class
	}
	gone := make(map[string]bool)
	for _, line := range lines(t, filepath.Join(dir, "gone.ndjson")) {
		gone[line] = true
	}
	for n := range records {
		want := webpush.ClassDelivered
		if n%10 == 9 {
			want = webpush.ClassGone
		}
		if results[int64(n)] != want {
			t.Errorf("the last result of record %d is %q", n, results[int64(n)])
		}
	}
	if len(gone) != records/10 {
		t.Errorf("%d records are gone, want %d", len(gone), records/10)
	}
	if later := lines(t, filepath.Join(dir, "later.ndjson")); len(later) != 0 {
		t.Errorf("%d records are for later at the end", len(later))
	}
}

// lines returns those of a file that are whole.
func lines(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	r := bufio.NewReader(bytes.NewReader(b))
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return out
		}
		out = append(out, strings.TrimSuffix(line, "\n"))
	}
}
