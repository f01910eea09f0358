// Package filelock locks a file for one process at a time: [Acquire] by its name,
// before it exists and while it is replaced, and [File] an open file, which is
// never replaced, whatever its names are.
package filelock

import (
	"errors"
	"fmt"
	"io/fs"
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
// [OneName]. The error is [ErrLocked], or that no lock can be made there.
func Acquire(name string) (*Lock, error) {
	name = resolve(name) + ".lock"
	f, err := lock(name)
	if err != nil {
		return nil, err
	}
	return &Lock{name, f}, nil
}

// resolve follows symbolic links, also to a file that does not exist yet.
func resolve(name string) string {
	for range 40 { // more is a circle
		target, err := os.Readlink(name)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(name), target)
		}
		name = target
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
		name = filepath.Join(dir, filepath.Base(name))
	}
	return name
}

// OneName returns an error if a file has several names (hard links). A program
// that opens it by another name does not find the files next to the first name,
// such as a lock or the log of a database.
func OneName(info fs.FileInfo) error {
	if n := links(info); n > 1 {
		return fmt.Errorf("the file has %d names (hard links), expected one", n)
	}
	return nil
}

// File locks an open file until it is closed or the process ends, against other
// calls of File, also of this process, with any name of the same file. The error is
// [ErrLocked], or that of the system; one without such locks locks nothing.
func File(f *os.File) error { return lockFile(f) }

// Held reports whether the lock is still good: false means that somebody has
// removed its file, so that others can lock again.
func (l *Lock) Held() bool { return held(l.name, l.file) }

// Release gives up the lock and removes its file.
func (l *Lock) Release() { unlock(l.name, l.file) }
