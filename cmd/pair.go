package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// keyPair are the two files of a key.
type keyPair struct{ private, public string }

func (k *keyPair) addFlags(c *cobra.Command) {
	c.Flags().StringVarP(&k.private, "private-key", "k", defaultPrivateKey, privateKeyUsage)
	c.Flags().StringVar(&k.public, "public-key", defaultPublicKey, "read the public key from `FILE`")
	asSetting(c.Flags(), "private-key", "public-key")
}

// existingPublic reads the public key's file, which may contain a private key by
// mistake.
func (k keyPair) existingPublic() (vapid.Recognized, error) {
	b, err := readFile(k.public)
	if err != nil {
		return vapid.Recognized{}, err
	}
	key, err := vapid.Recognize(b)
	return key, within(k.public, err)
}

// offerKeys asks on a terminal whether to make a key pair, and makes it. It
// returns nil if the answer is no, and without a terminal. It does
// not ask while one of the files is there, which may belong to a lost key.
func (s *streams) offerKeys(k keyPair) (*vapid.Key, error) {
	if !s.inTTY || !s.errTTY || s.json || exists(k.private) || exists(k.public) || !exists(filepath.Dir(k.private)) || strings.Contains(k.private, "://") {
		return nil, nil
	}
	fmt.Fprintf(s.err, "No %s file found.\nDo you want me to create one? (Y/n) ", k.private)
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(s.err)
		return nil, err
	}
	if err != nil && answer == "" {
		fmt.Fprintln(s.err)
		return nil, nil
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "" && a != "y" && a != "yes" {
		return nil, nil
	}
	key, err := vapid.GenerateKey()
	if err != nil {
		return nil, err
	}
	if err := k.create(key, vapid.FormatPEM, false); err != nil {
		return nil, err
	}
	s.note("wrote the private key to %s: keep it secret, and do not lose it", absolute(k.private))
	s.note("wrote the public key to %s", absolute(k.public))
	return key, nil
}

// create writes both files of the pair, or none. Without force neither may
// exist; with it both are replaced.
func (k keyPair) create(key *vapid.Key, format vapid.Format, force bool) error {
	return inTurn(k.steps(key, format, force))
}

func (k keyPair) steps(key *vapid.Key, format vapid.Format, force bool) []func() error {
	pair := filePair{
		secret:  newFile{name: k.private, flag: "private-key", mode: 0o600},
		derived: newFile{name: k.public, flag: "public-key", mode: 0o644},
		replace: "use --force to overwrite the key pair; every subscription that was created with the old key is then lost",
	}
	marshal := func() (err error) {
		if pair.secret.data, err = key.Marshal(format); err != nil {
			return err
		}
		pair.derived.data, err = key.PublicKey().Marshal(format)
		return err
	}
	return append([]func() error{marshal}, pair.steps(force)...)
}

func inTurn(steps []func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// filePair is a secret and what belongs to it, as two files. They never
// contradict each other on disk, even if the process ends between two steps:
// the file that belongs to the secret goes away before the secret changes, and
// comes back after it.
type filePair struct {
	secret, derived newFile
	replace         string // the hint when one is there and may not be replaced
}

type newFile struct {
	name string
	flag string // the option that names it
	mode fs.FileMode
	data []byte
	temp string
}

func (p *filePair) steps(force bool) []func() error {
	if !force {
		return []func() error{
			func() error { return p.check(force) },
			func() error { return p.create(&p.secret) },
			func() error {
				err := p.create(&p.derived)
				if err != nil {
					os.Remove(p.secret.name) // created in the previous step, and not yet reported
				}
				return err
			},
		}
	}
	undo := func(name string, err error) error {
		if err == nil {
			return nil
		}
		for _, f := range []*newFile{&p.secret, &p.derived} {
			if f.temp != "" {
				os.Remove(f.temp)
			}
		}
		return fileProblem(name, err)
	}
	write := func(f *newFile) func() error {
		return func() (err error) {
			if real, err := filepath.EvalSymlinks(f.name); err == nil {
				f.name = real // a link stays one
			}
			if f.temp, err = tempFile(f.name, f.data, f.mode); err != nil {
				_ = undo(f.name, err)
			}
			return err
		}
	}
	return []func() error{
		func() error { return p.check(force) },
		write(&p.secret),
		write(&p.derived),
		func() error {
			err := os.Remove(p.derived.name)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return undo(p.derived.name, err)
		},
		func() error { return undo(p.secret.name, os.Rename(p.secret.temp, p.secret.name)) },
		func() error { return undo(p.derived.name, os.Rename(p.derived.temp, p.derived.name)) },
	}
}

func (p *filePair) create(f *newFile) error {
	err := createFile(f.name, f.data, f.mode)
	if errors.Is(err, fs.ErrExist) {
		return withHint(err, p.replace)
	}
	return err
}

// check refuses what can be known before anything is written.
func (p *filePair) check(force bool) error {
	for _, f := range []newFile{p.secret, p.derived} {
		if f.name == "" {
			return usage("omit it to use the default", "--%s is empty, expected a file", f.flag)
		}
		if f.name == "-" || strings.HasPrefix(f.name, "env:") {
			hint := "use the name of a file"
			if strings.HasSuffix(f.flag, "-key") {
				hint += ", or --json to print the pair"
			}
			return usage(hint, "--%s is %q, expected a file to write to", f.flag, f.name)
		}
		folder := filepath.Dir(f.name)
		switch info, err := os.Stat(folder); {
		case errors.Is(err, fs.ErrNotExist):
			return withHint(fmt.Errorf("%s: directory %s not found", f.name, folder), "create it with: mkdir -p "+shellWord(folder))
		case err == nil && !info.IsDir():
			return fmt.Errorf("%s: %s is not a directory", f.name, folder)
		}
	}
	if samePlace(p.secret.name, p.derived.name) {
		return usage("give them different names", "--%s %s and --%s %s are the same file", p.secret.flag, p.secret.name, p.derived.flag, p.derived.name)
	}
	for _, f := range []newFile{p.secret, p.derived} {
		info, err := os.Stat(f.name)
		switch {
		case err == nil && info.IsDir():
			return fmt.Errorf("%s is a directory, expected a file", f.name)
		case err == nil && !info.Mode().IsRegular():
			return fmt.Errorf("%s is a device or pipe, expected a file", f.name)
		case !force && exists(f.name):
			return withHint(fileProblem(f.name, fs.ErrExist), p.replace)
		}
	}
	return nil
}

// samePlace reports whether two names lead to one file, be it there or not.
func samePlace(a, b string) bool {
	if x, err := os.Stat(a); err == nil {
		if y, err := os.Stat(b); err == nil {
			return os.SameFile(x, y)
		}
	}
	place := func(name string) string {
		if folder, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
			name = filepath.Join(folder, filepath.Base(name))
		}
		return absolute(name)
	}
	return place(a) == place(b)
}

func absolute(name string) string {
	if full, err := filepath.Abs(name); err == nil {
		return full
	}
	return name
}
