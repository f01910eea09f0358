package fileio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/seed81da77dd/webpush/pkg/internal/diskfull"
)

// Limit is the maximum size of a file that [Read] and [ReadAll] read, in bytes.
const Limit = 1 << 20

var (
	// ErrTooLarge is the cause of an [Error] if the input exceeds [Limit].
	ErrTooLarge = errors.New("the input is too large")
	// ErrNotRegular is the cause of an [Error] if a device or pipe has the name of a file
	// that must be a regular one.
	ErrNotRegular = errors.New("not a regular file")
)

// Error reports why a file cannot be read or written.
type Error struct {
	// Path is the file's name.
	Path string
	// Problem describes the problem, without the path.
	Problem string
	// Directory is the directory that does not exist, if that is the problem, or "".
	Directory string
	// Err is the error of the file system, such as [fs.ErrExist], or its equivalent.
	Err error

	hint     string
	sentence bool // the path is the subject of Problem
}

// Error returns the path and the problem.
func (e *Error) Error() string {
	if e.sentence {
		return e.Path + " " + e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Unwrap returns the error of the file system.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the next step to take, or "".
func (e *Error) Hint() string { return e.hint }

// Named returns the same error for another name of the file.
func (e *Error) Named(path string) *Error {
	named := *e
	named.Path = path
	return &named
}

// ReadError returns the error of a file that cannot be read. path is its name in the
// message; it can be the name of a stream.
func ReadError(path string, err error) *Error { return failure(path, err) }

// WriteError returns the error of a file that cannot be written. path is its name in
// the message; it can be the name of a stream.
func WriteError(path string, err error) *Error {
	e, dir := failure(path, err), filepath.Dir(path)
	switch {
	case errors.Is(err, syscall.EISDIR):
		e.hint = "name a file in it"
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			e.Directory, e.Problem, e.hint = dir, fmt.Sprintf("directory %s not found", dir), "create the directory first"
		}
	}
	return e
}

// failure words an error of the file system.
func failure(path string, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known.Named(path)
	}
	e := &Error{Path: path, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Problem = "no such file"
	case errors.Is(err, fs.ErrExist):
		e.Problem, e.sentence = "already exists", true
	case errors.Is(err, fs.ErrPermission):
		e.Problem, e.hint = "no permission", "check the permissions of the file and of its directory"
	case errors.Is(err, syscall.EISDIR):
		e.Problem, e.sentence, e.hint = "is a directory, expected a file", true, "pass a file"
	case errors.Is(err, ErrNotRegular):
		e.Problem, e.sentence, e.hint = "is a device or pipe, expected a file", true, "pass a regular file"
	case errors.Is(err, syscall.ENOTDIR):
		e.Problem = notDirectory(path)
	case errors.Is(err, syscall.ENAMETOOLONG):
		e.Problem = "no such file, the name is too long"
	case errors.Is(err, syscall.EROFS):
		e.Problem, e.hint = "the file system is read-only", "write to another directory"
	case errors.Is(err, ErrTooLarge):
		e.Problem, e.sentence = "exceeds the limit of 1 MiB", true
	case DiskFull(err):
		e.Problem, e.hint = diskfull.Error.Error(), "make room, or write to another disk"
	default:
		e.Problem = err.Error()
		if cause, ok := errors.AsType[*fs.PathError](err); ok {
			e.Problem = cause.Err.Error()
		} else if cause, ok := errors.AsType[*os.LinkError](err); ok {
			e.Problem = cause.Err.Error()
		}
	}
	return e
}

// notDirectory names the part of a path that is not a directory.
func notDirectory(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			return dir + " is not a directory"
		} else if err == nil || dir == filepath.Dir(dir) {
			return "part of the path is not a directory"
		}
	}
}

// DiskFull reports whether err is the error of writing a file to a full disk.
func DiskFull(err error) bool { return diskfull.Is(err) }
