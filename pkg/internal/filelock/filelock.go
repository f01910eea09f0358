// Package filelock locks a file for one process at a time.
package filelock

import (
	"errors"
	"os"
	"path/filepath"
)

// ErrLocked means that another process, or another part of this one, has the
// lock.
var ErrLocked = errors.New("another process has the lock")

// Lock is a lock on a file, held through another file next to it whose name ends
// in .lock.
type Lock struct {
	name string
	file *os.File
}

// Acquire locks the file with that name, which need not exist, until Release is
// called or the process ends, however that happens. Symbolic links are followed,
// so that a file has one lock whatever it is called; for hard links, see
// [Links]. The error is [ErrLocked], or that no lock can be made there.
func Acquire(name string) (*Lock, error) {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	name += ".lock"
	f, err := lock(name)
	if err != nil {
		return nil, err
	}
	return &Lock{name, f}, nil
}

// Held reports whether the lock is still good: false means that somebody has
// removed its file, so that others can lock again.
func (l *Lock) Held() bool { return held(l.name, l.file) }

// Release gives up the lock and removes its file.
func (l *Lock) Release() { unlock(l.name, l.file) }
