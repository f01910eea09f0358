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
