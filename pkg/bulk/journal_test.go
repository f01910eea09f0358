package bulk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

func openTestJournal(tb testing.TB, path string) *Journal {
	tb.Helper()
	j, err := OpenJournal(path, "a message")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { j.Close() })
	return j
}

// TestJournal asserts that exactly the committed records are done in the next run,
// as often as they occurred.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openTestJournal(t, path)
	if old, _ := j.Resumed(); old {
		t.Error("a new journal was there before")
	}
	if j.Done([]byte("one")) {
		t.Error("a new journal holds a record")
	}
	j.Record([]byte("one"), webpush.ClassDelivered)
	j.Record([]byte("twice"), webpush.ClassGone)
	j.Record([]byte("twice"), webpush.ClassRejected)
	j.Record([]byte("later"), webpush.ClassTemporary)
	j.Record([]byte("never"), webpush.ClassSkipped)
	if err := j.Commit(); err != nil {
		t.Fatal(err)
	}
	j.Record([]byte("lost"), webpush.ClassDelivered)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the journal has mode %v", info.Mode())
	}

	j = openTestJournal(t, path)
	old, n := j.Resumed()
	if !old || n[webpush.ClassDelivered] != 1 || n[webpush.ClassGone] != 1 || n[webpush.ClassRejected] != 1 || len(n) != 3 {
		t.Errorf("Resumed() = %v, %v", old, n)
	}
	for _, c := range []struct {
		record string
		want   []bool
	}{
		{"twice", []bool{true, true, false, false}}, {"one", []bool{true, false}}, {"later", []bool{false}}, {"never", []bool{false}}, {"lost", []bool{false}},
	} {
		for i, want := range c.want {
			if got := j.Done([]byte(c.record)); got != want {
				t.Errorf("Done(%q), call %d: %v", c.record, i+1, got)
			}
		}
	}
}

// TestJournalCutAnywhere cuts a journal off at every byte, as a kill may, or
// lets zeros follow, as a power cut may, and asserts that what is whole still
// counts and that more can be written.
func TestJournalCutAnywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openTestJournal(t, path)
	for i := range 3 {
		j.Record(fmt.Append(nil, i), webpush.ClassDelivered)
	}
	if err := j.Commit(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header := strings.IndexByte(string(whole), '\n') + 1
	for _, tail := range []string{"", "\x00", strings.Repeat("\x00", 100)} {
		for n := range len(whole) + 1 {
			if n < header && tail != "" {
				continue
			}
			if err := os.WriteFile(path, []byte(string(whole[:n])+tail), 0o600); err != nil {
				t.Fatal(err)
			}
			j, err := OpenJournal(path, "a message")
			if err != nil {
				t.Fatalf("cut at %d, then %q: %v", n, tail, err)
			}
			complete := max(0, n-header) / journalLine
			for i := range 3 {
				if got := j.Done(fmt.Append(nil, i)); got != (i < complete) {
					t.Fatalf("cut at %d: Done(%d) = %v", n, i, got)
				}
			}
			j.Record([]byte("new"), webpush.ClassGone)
			if err := j.Commit(); err != nil {
				t.Fatal(err)
			}
			j.Close()
			if j, err = OpenJournal(path, "a message"); err != nil {
				t.Fatalf("cut at %d, then written: %v", n, err)
			}
			if len(j.keys) != complete+1 || !j.Done([]byte("new")) {
				t.Fatalf("cut at %d, then written: %d records", n, len(j.keys))
			}
			j.Close()
		}
	}
}

// TestJournalRefused asserts what a journal is not opened for, and that the
// file stays as it was.
func TestJournalRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j := openTestJournal(t, path)
	if _, err := OpenJournal(path, "a message"); err == nil || !strings.Contains(err.Error(), "another process is using this journal") {
		t.Errorf("a locked journal: %v", err)
	}
	for name, link := range map[string]func(old, new string) error{"symbolic": os.Symlink, "hard": os.Link} {
		other := filepath.Join(dir, name)
		if link(path, other) != nil {
			continue // not on this system
		}
		if _, err := OpenJournal(other, "a message"); err == nil || !strings.Contains(err.Error(), "another process is using this journal") {
			t.Errorf("a locked journal by a %s link: %v", name, err)
		}
		if err := os.Remove(other); err != nil {
			t.Fatal(err)
		}
	}
	j.Record([]byte("x"), webpush.ClassDelivered)
	j.Record([]byte("y"), webpush.ClassDelivered)
	if err := j.Commit(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := []byte(string(good))
	damaged[len(damaged)-journalLine-2] = 'z'
	for name, content := range map[string]string{
		"another message": string(good), "no journal": "{\"endpoint\": \"https://push.example.net/\"}\n" + strings.Repeat("x", 100),
		"text": "hello", "version": strings.Replace(string(good), "journal 1", "journal 2", 1), "damaged": string(damaged),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		run := "a message"
		if name == "another message" {
			run = "another"
		}
		_, err := OpenJournal(path, run)
		var refused *Error
		if !errors.As(err, &refused) || refused.Hint() == "" || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(path); string(after) != content {
			t.Errorf("%s: the file was changed", name)
		}
	}
	for _, bad := range []string{dir, filepath.Join(dir, "none", "journal"), os.DevNull} {
		var refused *Error
		if _, err := OpenJournal(bad, ""); !errors.As(err, &refused) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestJournalCommitAgain asserts that a commit which failed half way can be
// repeated.
func TestJournalCommitAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openTestJournal(t, path)
	j.Record([]byte("one"), webpush.ClassDelivered)
	if err := j.Commit(); err != nil {
		t.Fatal(err)
	}
	j.Record([]byte("two"), webpush.ClassDelivered)
	writable := j.f
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	j.f = readOnly
	if j.Commit() == nil {
		t.Fatal("it wrote to a file that is open for reading")
	}
	j.f = writable
	if _, err := writable.WriteAt(j.buf[:10], j.end); err != nil { // so much fitted
		t.Fatal(err)
	}
	j.Record([]byte("three"), webpush.ClassDelivered)
	if err := j.Commit(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = openTestJournal(t, path)
	for _, record := range []string{"one", "two", "three"} {
		if !j.Done([]byte(record)) || j.Done([]byte(record)) {
			t.Errorf("%q is not there once", record)
		}
	}
}

// TestJournalMultiset compares with a map, for records that repeat.
func TestJournalMultiset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	want := make(map[int]int)
	j := openTestJournal(t, path)
	for range 3000 {
		n := int(rand.ExpFloat64() * 50)
		j.Record(fmt.Append(nil, n), webpush.ClassDelivered)
		want[n]++
	}
	if err := j.Commit(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = openTestJournal(t, path)
	for range 10000 {
		n := int(rand.ExpFloat64() * 50)
		if got := j.Done(fmt.Append(nil, n)); got != (want[n] > 0) {
			t.Fatalf("Done(%d) = %v, left are %d", n, got, want[n])
		}
		if want[n] > 0 {
			want[n]--
		}
	}
}

func BenchmarkJournalDone(b *testing.B) {
	path := filepath.Join(b.TempDir(), "journal")
	j := openTestJournal(b, path)
	record := make([]byte, 350)
	for i := range 1_000_000 {
		j.Record(fmt.Append(record[:0], i), webpush.ClassDelivered)
	}
	if err := j.Commit(); err != nil {
		b.Fatal(err)
	}
	j.Close()
	j = openTestJournal(b, path)
	record = record[:350]
	b.ReportAllocs()
	for b.Loop() {
		j.Done(record)
	}
}
