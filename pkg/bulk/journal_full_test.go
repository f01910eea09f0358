//go:build linux

package bulk

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestJournalWithoutRoom asserts that a journal is refused when there is no room
// to write down what would be sent, and stays as it was. The limit on the size of
// files, which stands for a full disk, is that of another process.
func TestJournalWithoutRoom(t *testing.T) {
	path := os.Getenv("JOURNAL_WITHOUT_ROOM")
	if path == "" {
		path = filepath.Join(t.TempDir(), "journal")
		j := openTestJournal(t, path)
		j.Record([]byte("one"), webpush.ClassDelivered)
		if err := j.Commit(); err != nil {
			t.Fatal(err)
		}
		j.Close()
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command(os.Args[0], "-test.run", "^TestJournalWithoutRoom$")
		c.Env = append(os.Environ(), "JOURNAL_WITHOUT_ROOM="+path)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("the journal is changed: %v\n%q\n%q", err, before, after)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 200, Max: 200}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, filepath.Join(t.TempDir(), "new")} {
		if _, err := OpenJournal(path, "a message"); err == nil || !strings.Contains(err.Error(), "file too large") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
