// Package filelock locks a file for one process at a time. [Acquire] locks a name, even
// before the file exists and while it is replaced. [File] locks an open file that is never
// replaced, regardless of its names.
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

// Acquire locks the file with that name, which need not exist, until Release is called
// or the process exits, even if it is killed. Symbolic links are followed, so all of them
// lead to the same lock; for hard links, see [OneName]. The error is [ErrLocked] or the
// reason why the lock file cannot be created.
func Acquire(name string) (*Lock, error) {
	name = resolve(name) + ".lock"
	f, err := lock(name)
	if err != nil {
		return nil, err
	}
	return &Lock{name, f}, nil
}

// resolve follows symbolic links, even to a file that does not exist yet.
func resolve(name string) string {
	for range 40 { // more links are a cycle
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

// File locks an open file until it is closed or the process exits, against other calls
// of File for the same file, whatever its name, in this process too. The error is
// [ErrLocked] or an error of the system. On systems without such locks, File does nothing.
func File(f *os.File) error { return lockFile(f) }

// Held reports whether the lock is still effective. It returns false if its file has been
// removed, because others can then take the lock.
func (l *Lock) Held() bool { return held(l.name, l.file) }

// Release gives up the lock and removes its file.
func (l *Lock) Release() { unlock(l.name, l.file) }
