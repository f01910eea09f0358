// Package fileio reads and writes whole files of text, keys, and settings, and reports
// in plain words why one cannot be read or written. A file that it writes always has its
// old or its new content.
package fileio

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/seed81da77dd/webpush/pkg/internal/atomicfile"
)

// Open opens a file for reading. The error is an [*Error]; a directory is one, too.
func Open(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, ReadError(name, err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, ReadError(name, syscall.EISDIR)
	}
	return f, nil
}

// Read reads a file of at most [Limit] bytes. The error is an [*Error].
func Read(name string) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadAll(f, name)
}

// ReadAll reads at most [Limit] bytes from a file or stream with this name. The error is
// an [*Error].
func ReadAll(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, Limit+1))
	if err == nil && len(b) > Limit {
		err = ErrTooLarge
	}
	if err != nil {
		return nil, ReadError(name, err)
	}
	return b, nil
}

// Create writes a file that must not exist yet: it appears whole or not at all.
// The error is an [*Error], and [fs.ErrExist] if the file exists.
func Create(name string, data []byte, mode fs.FileMode) error {
	return written(name, atomicfile.Create(name, data, mode))
}

// Replace writes a file that may exist: it always has its old or its new content. The
// target of a link is replaced; devices and pipes are written to unchanged. The error
// is an [*Error].
func Replace(name string, data []byte, mode fs.FileMode) error {
	return written(name, atomicfile.Replace(name, data, mode))
}

func written(name string, err error) error {
	if err == nil {
		return nil
	}
	return WriteError(name, err)
}

// Check returns the error of [Replace] or, without overwrite, of [Create], that can be
// known before: the directory does not exist, or a directory or another file has this
// name. It does not find out that permissions are missing. Devices and pipes can be written
// without overwrite. The error is an [*Error].
func Check(name string, overwrite bool) error {
	dir, err := os.Stat(filepath.Dir(name))
	switch {
	case err == nil && !dir.IsDir():
		err = syscall.ENOTDIR
	case err == nil:
		info, missing := os.Stat(name)
		_, free := os.Lstat(name)
		switch {
		case missing == nil && info.IsDir():
			err = syscall.EISDIR
		case missing == nil && !info.Mode().IsRegular():
		case free == nil && !overwrite:
			err = fs.ErrExist
		case free != nil && !errors.Is(free, fs.ErrNotExist):
			err = free
		}
	}
	return written(name, err)
}

// Same reports whether two names lead to one file, whether or not it exists.
func Same(a, b string) bool {
	if x, err := os.Stat(a); err == nil {
		if y, err := os.Stat(b); err == nil {
			return os.SameFile(x, y)
		}
	}
	place := func(name string) string {
		if dir, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
			name = filepath.Join(dir, filepath.Base(name))
		}
		if full, err := filepath.Abs(name); err == nil {
			return full
		}
		return name
	}
	return place(a) == place(b)
}
