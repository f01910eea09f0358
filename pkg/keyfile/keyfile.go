// Package keyfile writes keys to files. A file always has its old or its new content,
// and a key pair never contradicts itself on disk, even if the process ends between
// two steps.
package keyfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"runtime"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/internal/atomicfile"
	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// ErrSame is the cause of the error if both files of a pair have one name, or are links
// to one file.
var ErrSame = errors.New("both files of the pair are this file")

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
// back after it. The error is a [*fileio.Error].
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
			func() error { return fileio.Create(p.Secret.Name, p.Secret.Data, p.Secret.Mode) },
			func() error {
				err := fileio.Create(p.Derived.Name, p.Derived.Data, p.Derived.Mode)
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
		return fileio.WriteError(name, err)
	}
	write := func(f *File) func() error {
		return func() (err error) {
			f.Name = atomicfile.Target(f.Name) // a link stays one
			f.temp, err = atomicfile.Temp(f.Name, f.Data, f.Mode)
			return undo(f.Name, err)
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

// check refuses what can be known before anything is written. The directories come
// first, as they are the reason for most mistakes.
func (p *Pair) check(overwrite bool) error {
	files := []string{p.Secret.Name, p.Derived.Name}
	for _, name := range files {
		if err := fileio.Check(name, true); err != nil {
			return err
		}
	}
	if fileio.Same(p.Secret.Name, p.Derived.Name) {
		return fileio.WriteError(p.Secret.Name, ErrSame)
	}
	for _, name := range files {
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			return fileio.WriteError(name, fileio.ErrNotRegular)
		}
		if err := fileio.Check(name, overwrite); err != nil {
			return err
		}
	}
	return nil
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
		case notation.IsState(fields):
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
