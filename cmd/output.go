package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/keyfile"
)

// reads records that the command reads a file. None of its outputs may replace that
// file.
func (s *streams) reads(name string) {
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		s.inputs = append(s.inputs, info)
	}
}

// mayReplace returns an error if an output cannot be written, as far as [fileio.Check]
// knows, or if it would replace an input of the command. Without force, it also refuses to
// replace a file with a secret that cannot be created again: a private key, the keys of a
// receiver, or the state of a user agent.
func (s *streams) mayReplace(name string, force bool) error {
	if err := fileio.Check(name, true); err != nil {
		return unshown(err)
	}
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	inputs := s.inputs
	if in, ok := s.in.(interface{ Stat() (fs.FileInfo, error) }); ok && s.stdinFor != "" {
		if redirected, err := in.Stat(); err == nil {
			inputs = append(slices.Clip(inputs), redirected)
		}
	}
	for _, input := range inputs {
		if os.SameFile(info, input) {
			return usage("give the output its own name", "%s is an input of this command, and is not replaced", name)
		}
	}
	if what := precious(name); what != "" && !force {
		return withHint(fmt.Errorf("%s has %s, and is not replaced", name, what), "give the output another name, or replace the file with --force")
	}
	return nil
}

// outputFile is a file that a command writes as it goes, and the flag that names it.
type outputFile struct {
	flag, name string
	force      bool // replace even a secret, or leave that to the package that writes it
}

// mayWrite checks the files of a command before anything is sent; see mayReplace. None
// of them can be standard output.
func (s *streams) mayWrite(files ...outputFile) error {
	for _, f := range files {
		if f.name == "-" {
			return usage("pass a file name", "--%s cannot be -, expected a file", f.flag)
		}
		if err := s.mayReplace(f.name, f.force); err != nil {
			return within("--"+f.flag, err)
		}
	}
	return nil
}

// mayCreate checks the files that a server keeps, if they have names. The server creates
// the directory data itself, if that has a name.
func mayCreate(data string, files ...outputFile) error {
	for _, f := range files {
		if f.name == "" || data != "" && filepath.Dir(f.name) == filepath.Clean(data) {
			continue
		}
		if err := fileio.Check(f.name, true); err != nil {
			return within("--"+f.flag, unshown(err))
		}
	}
	return nil
}

// isOutput reports whether standard output is the file.
func (s *streams) isOutput(file fs.FileInfo) bool {
	out, ok := s.out.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return false
	}
	info, err := out.Stat()
	return err == nil && os.SameFile(info, file)
}

// save writes the file that a flag names. An existing file is replaced only with force,
// or if it is a device or a pipe. hint is the next step if the file exists.
func (s *streams) save(name string, data []byte, mode fs.FileMode, force bool, hint string) error {
	if err := s.mayReplace(name, true); err != nil {
		return err
	}
	write := fileio.Create
	if info, err := os.Stat(name); force || err == nil && !info.Mode().IsRegular() {
		write = fileio.Replace
	}
	return orReplace(write(name, data, mode), hint)
}

// orReplace adds the hint for a file that exists.
func orReplace(err error, hint string) error {
	if errors.Is(err, fs.ErrExist) {
		return withHint(err, hint)
	}
	return err
}

// needsReader returns an error if nobody reads standard output, for a result that cannot
// be created again. Go opens the null device for a closed standard output, so writing
// to it does not fail.
func (s *streams) needsReader(what, hint string) error {
	if null, err := os.Stat(os.DevNull); err == nil && s.isOutput(null) {
		return withHint(fmt.Errorf("standard output is closed or %s, so %s would be lost", os.DevNull, what), hint)
	}
	return nil
}

// precious names the secret in a file that cannot be created again, or returns "".
func precious(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return "" // reported when it is written
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, fileio.Limit))
	if err != nil {
		return ""
	}
	return keyfile.Secret(text(b))
}
