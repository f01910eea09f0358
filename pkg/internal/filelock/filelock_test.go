package filelock_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/internal/filelock"
)

// TestLock: one at a time has the file, also through a symbolic link, and the
// lock's file is removed with the lock.
func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state.json")
	l, err := filelock.Acquire(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filelock.Acquire(name); !errors.Is(err, filelock.ErrLocked) {
		t.Errorf("a second lock: %v", err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(name, link); err == nil {
		if _, err := filelock.Acquire(link); !errors.Is(err, filelock.ErrLocked) {
			t.Errorf("a second lock through a link: %v", err)
		}
	}
	if !l.Held() {
		t.Error("the lock is not held")
	}
	if runtime.GOOS != "windows" {
		if err := os.Remove(name + ".lock"); err != nil {
			t.Fatal(err)
		}
		if l.Held() {
			t.Error("the lock is held although its file is gone")
		}
		other, err := filelock.Acquire(name)
		if err != nil {
			t.Fatal(err)
		}
		l.Release() // must not remove the other's file
		if !other.Held() {
			t.Error("the other lock is not held any longer")
		}
		l = other
	}
	l.Release()
	if _, err := os.Stat(name + ".lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock's file is there: %v", err)
	}
	if l, err := filelock.Acquire(filepath.Join(name, "none", "x")); err == nil || errors.Is(err, filelock.ErrLocked) {
		t.Errorf("no directory: %v, %v", l, err)
	}
}

// TestLockRace: many at once, never two.
func TestLockRace(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state.json")
	var wg sync.WaitGroup
	var have, got atomic.Int32
	for range 8 {
		wg.Go(func() {
			for range 200 {
				l, err := filelock.Acquire(name)
				if err != nil {
					continue
				}
				if have.Add(1) != 1 {
					t.Error("two have the lock")
				}
				got.Add(1)
				have.Add(-1)
				l.Release()
			}
		})
	}
	wg.Wait()
	if got.Load() == 0 {
		t.Error("nobody had the lock")
	}
}

// TestDanglingLink: a file that does not exist yet has one lock, also through
// symbolic links to it, and one through a linked directory.
func TestDanglingLink(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Mkdir(at("sub"), 0o700), os.Symlink("b.json", at("a.json")), os.Symlink(filepath.Join("sub", "c.json"), at("b.json")),
		os.Symlink("sub", at("linked")), os.Symlink("circle", at("circle"))); err != nil {
		t.Skip(err)
	}
	l, err := filelock.Acquire(at("a.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.json", "b.json", "sub/c.json", "linked/c.json"} {
		if other, err := filelock.Acquire(at(name)); !errors.Is(err, filelock.ErrLocked) {
			t.Errorf("%s: %v, %v", name, other, err)
		}
	}
	l.Release()
	if l, err = filelock.Acquire(at("circle")); err == nil {
		l.Release()
	}
}

// TestFile: an open file has one lock, by any name, until it is closed.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	open := func(name string) *os.File {
		t.Helper()
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	f := open(name)
	if err := filelock.File(f); err != nil {
		t.Fatal(err)
	}
	names := []string{name}
	if os.Symlink(name, filepath.Join(dir, "symbolic")) == nil {
		names = append(names, filepath.Join(dir, "symbolic"))
	}
	if os.Link(name, filepath.Join(dir, "hard")) == nil {
		names = append(names, filepath.Join(dir, "hard"))
	}
	for _, name := range names {
		if err := filelock.File(open(name)); !errors.Is(err, filelock.ErrLocked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.Close()
	if err := filelock.File(open(name)); err != nil {
		t.Errorf("after it was closed: %v", err)
	}
}

// TestOneName: a file with two hard links is found out by each of its names.
func TestOneName(t *testing.T) {
	name := filepath.Join(t.TempDir(), "one")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(name string) error {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return filelock.OneName(info)
	}
	if err := check(name); err != nil {
		t.Errorf("one name: %v", err)
	}
	if err := os.Link(name, name+"2"); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: names are not counted here")
	}
	for _, name := range []string{name, name + "2"} {
		if err := check(name); err == nil || err.Error() != "the file has 2 names (hard links), expected one" {
			t.Errorf("%s: %v", filepath.Base(name), err)
		}
	}
}
