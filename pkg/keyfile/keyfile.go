// Package keyfile writes keys to files. A file always has its old or its new content,
// and a key pair never contradicts itself on disk, even if the process ends between
// two steps.
package keyfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/seed81da77dd/webpush/pkg/internal/atomicfile"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Error reports why a file cannot be written.
type Error struct {
	// Path is the file's name.
	Path string
	// Problem describes the problem, with the path.
	Problem string
	// Directory is the directory that does not exist, or "".
	Directory string
	// Err is the error of the file system, such as [fs.ErrExist], or nil if the
	// file was refused for another reason.
	Err error
}

// Error returns the problem.
func (e *Error) Error() string { return e.Problem }

// Unwrap returns the error of the file system, or nil.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the next step to take, or "".
func (e *Error) Hint() string {
	if e.Directory != "" {
		return "create the directory first"
	}
	return ""
}

// Create writes a file that must not exist yet: it appears whole or not at all.
// The error is an [*Error], and [fs.ErrExist] if the file exists.
func Create(name string, data []byte, mode fs.FileMode) error {
	return failed(name, atomicfile.Create(name, data, mode))
}

// Replace writes a file that may exist: it always has its old or its new content. The
// target of a link is replaced; devices and pipes are written to unchanged. The error
// is an [*Error].
func Replace(name string, data []byte, mode fs.FileMode) error {
	return failed(name, atomicfile.Replace(name, data, mode))
}

// failed returns the error of writing a file.
func failed(name string, err error) error {
	if err == nil {
		return nil
	}
	if dir := filepath.Dir(name); errors.Is(err, fs.ErrNotExist) {
		return &Error{Path: name, Problem: fmt.Sprintf("%s: directory %s not found", name, dir), Directory: dir, Err: err}
	}
	return &Error{Path: name, Problem: fmt.Sprintf("%s: %v", name, err), Err: err}
}

// File is a file to write.
type File struct {
	Name string      // path of the file
	Data []byte      // its content
	Mode fs.FileMode // its permissions, before umask

	temp string
}

// Pair is a secret and what is derived from it, as two files: a key pair, or the keys
// of a message recipient and its subscription.
type Pair struct {
	Secret  File // readable by its owner alone
	Derived File // can be computed from Secret
}

// KeyPair returns the files of a key pair: the private key, readable only by its
// owner, and the public key.
func KeyPair(private, public string, key *vapid.Key, format vapid.Format) (*Pair, error) {
	p := &Pair{Secret: File{Name: private, Mode: 0o600}, Derived: File{Name: public, Mode: 0o644}}
	var err error
	if p.Secret.Data, err = key.Marshal(format); err != nil {
		return nil, err
	}
	p.Derived.Data, err = key.PublicKey().Marshal(format)
	return p, err
}

// Write writes both files, or none. Without overwrite, neither may exist. With it,
// both are replaced: the derived file is removed before the secret changes, and comes
// back after it. The error is an [*Error].
func (p *Pair) Write(overwrite bool) error {
	for _, step := range p.steps(overwrite) {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pair) steps(overwrite bool) []func() error {
	if !overwrite {
		return []func() error{
			func() error { return p.check(overwrite) },
			func() error { return Create(p.Secret.Name, p.Secret.Data, p.Secret.Mode) },
			func() error {
				err := Create(p.Derived.Name, p.Derived.Data, p.Derived.Mode)
				if err != nil {
					os.Remove(p.Secret.Name) // created in the previous step, and not yet reported
				}
				return err
			},
		}
	}
	undo := func(name string, err error) error {
		if err == nil {
			return nil
		}
		for _, f := range []*File{&p.Secret, &p.Derived} {
			if f.temp != "" {
				os.Remove(f.temp)
			}
		}
		return &Error{Path: name, Problem: fmt.Sprintf("%s: %v", name, err), Err: err}
	}
	write := func(f *File) func() error {
		return func() (err error) {
			if real, err := filepath.EvalSymlinks(f.Name); err == nil {
				f.Name = real // a link stays one
			}
			if f.temp, err = atomicfile.Temp(f.Name, f.Data, f.Mode); err != nil {
				_ = undo(f.Name, err)
			}
			return failed(f.Name, err)
		}
	}
	return []func() error{
		func() error { return p.check(overwrite) },
		write(&p.Secret),
		write(&p.Derived),
		func() error {
			err := os.Remove(p.Derived.Name)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return undo(p.Derived.Name, err)
		},
		func() error { return undo(p.Secret.Name, os.Rename(p.Secret.temp, p.Secret.Name)) },
		func() error { return undo(p.Derived.Name, os.Rename(p.Derived.temp, p.Derived.Name)) },
	}
}

// check refuses what can be known before anything is written.
func (p *Pair) check(overwrite bool) error {
	for _, f := range []File{p.Secret, p.Derived} {
		dir := filepath.Dir(f.Name)
		switch info, err := os.Stat(dir); {
		case errors.Is(err, fs.ErrNotExist):
			return failed(f.Name, err)
		case err == nil && !info.IsDir():
			return &Error{Path: f.Name, Problem: fmt.Sprintf("%s: %s is not a directory", f.Name, dir)}
		}
	}
	if Same(p.Secret.Name, p.Derived.Name) {
		return &Error{Path: p.Secret.Name, Problem: p.Secret.Name + " and " + p.Derived.Name + " are the same file"}
	}
	for _, f := range []File{p.Secret, p.Derived} {
		info, err := os.Stat(f.Name)
		switch {
		case err == nil && info.IsDir():
			return &Error{Path: f.Name, Problem: f.Name + " is a directory, expected a file"}
		case err == nil && !info.Mode().IsRegular():
			return &Error{Path: f.Name, Problem: f.Name + " is a device or pipe, expected a file"}
		}
		if _, err := os.Lstat(f.Name); err == nil && !overwrite {
			return &Error{Path: f.Name, Problem: f.Name + " already exists", Err: fs.ErrExist}
		}
	}
	return nil
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

// Readable reports whether every user of this machine can read the file. It is false on
// Windows, where the permissions do not say it.
func Readable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode()&0o004 != 0
}

// Secret names the secret in the content of a file that cannot be created again ("a
// private key", "the state of a user agent"), or returns "".
func Secret(content []byte) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(content, &fields) == nil {
		switch {
		case fields["endpoint"] != nil && fields["server"] != nil:
			return "the state of a user agent"
		case fields["privateKey"] != nil || fields["private_key"] != nil:
			return "a private key"
		}
	}
	if bytes.Contains(content, []byte("PRIVATE KEY-----")) {
		return "a private key"
	}
	if _, err := vapid.ParseKey(content); err == nil {
		return "a private key"
	}
	return ""
}
