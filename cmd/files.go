package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/inspect"
)

// maxInput is the maximum size of a key, subscription, or claims file. Payloads
// have their own, smaller limit.
const maxInput = 1 << 20

// input reads text from a file, or from standard input for "-". what names it
// in errors. A byte order mark is removed.
func (s *streams) input(name, what string) ([]byte, error) {
	b, err := s.inputBytes(name, what)
	return text(b), err
}

// inputBytes reads a file as it is, or standard input for "-", which only one
// option can have.
func (s *streams) inputBytes(name, what string) ([]byte, error) {
	if name != "-" {
		s.reads(name)
		return readBytes(name)
	}
	in, err := s.stdin(what)
	if err != nil {
		return nil, err
	}
	return readAll(in, "standard input")
}

// stdin returns standard input, which only one option can have.
func (s *streams) stdin(what string) (io.Reader, error) {
	if s.stdinFor != "" {
		return nil, usage("pass one of them as a file", "%s and %s cannot both be read from standard input", s.stdinFor, what)
	}
	s.stdinFor = what
	if s.inTTY && s.errTTY {
		s.note("reading %s from the terminal; end with Ctrl-D", what)
	}
	return s.in, nil
}

// readFile reads a text file; see input.
func readFile(name string) ([]byte, error) {
	b, err := readBytes(name)
	return text(b), err
}

// readBytes reads a whole file of at most maxInput bytes.
func readBytes(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fileProblem(name, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a directory, expected a file", name)
	}
	return readAll(f, name)
}

func readAll(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fileProblem(name, err)
	}
	if len(b) > maxInput {
		return nil, fmt.Errorf("%s exceeds the limit of 1 MiB", name)
	}
	return b, nil
}

// shown is a word of the command line as messages may repeat it: what may be a
// key, an endpoint or a subscription was given in the wrong place.
func shown(word string) string {
	if strings.Contains(word, "://") || literalKey(word) {
		return fmt.Sprintf("(%d characters, not shown as they may be a secret)", len(word))
	}
	return word
}

// fileProblem words an error of the file system; it stays recognizable to errors.Is.
func fileProblem(name string, err error) error {
	if hidden := shown(name); hidden != name {
		return withHint(&reworded{hidden + ": no such file", err}, "save it to a file and pass the file name, or pass - and pipe it in")
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &reworded{name + ": no such file", err}
	case errors.Is(err, fs.ErrPermission):
		return &reworded{name + ": no permission", err}
	case errors.Is(err, fs.ErrExist):
		return &reworded{name + " already exists", err}
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case errors.Is(err, syscall.EISDIR):
		return &reworded{name + " is a directory, expected a file", err}
	case bulk.DiskFull(err):
		return withHint(&reworded{name + ": the disk is full", err}, "make room, or write to another disk")
	case errors.Is(err, syscall.ENOTDIR):
		return &reworded{name + ": part of the path is not a directory", err}
	}
	return fmt.Errorf("%s: %w", name, err)
}

type reworded struct {
	text string
	err  error
}

func (e *reworded) Error() string { return e.text }
func (e *reworded) Unwrap() error { return e.err }

// text decodes UTF-16 and drops a byte order mark.
func text(b []byte) []byte { return inspect.UTF8(b) }

// tempFile writes data to a new file in the directory of name, to be renamed.
func tempFile(name string, data []byte, mode fs.FileMode) (temp string, err error) {
	var f *os.File
	for range 100 {
		temp = filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.%08x.tmp", filepath.Base(name), rand.Uint32()))
		if f, err = os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if dir := filepath.Dir(name); errors.Is(err, fs.ErrNotExist) {
		return "", withHint(&reworded{fmt.Sprintf("%s: directory %s not found", name, dir), err}, "create it with: mkdir -p "+shellWord(dir))
	}
	if err != nil {
		return "", fileProblem(name, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		os.Remove(temp)
		return "", fileProblem(name, err)
	}
	return temp, nil
}

// replaceFile writes a file atomically: it always has its old or its new content. A link is followed; devices and pipes are written to as they are.
func replaceFile(name string, data []byte, mode fs.FileMode) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return fileProblem(name, err)
		}
		_, err = f.Write(data)
		if err2 := f.Close(); err == nil {
			err = err2
		}
		if err != nil {
			return fileProblem(name, err)
		}
		return nil
	}
	target := name
	if real, err := filepath.EvalSymlinks(name); err == nil {
		target = real
	}
	temp, err := tempFile(target, data, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, target); err != nil {
		os.Remove(temp)
		return fileProblem(name, err)
	}
	return nil
}

// createFile writes a file that must not exist yet: it appears whole or not at
// all. The error is fs.ErrExist when it is there.
func createFile(name string, data []byte, mode fs.FileMode) error {
	if _, err := os.Lstat(name); err == nil {
		return fileProblem(name, fs.ErrExist)
	}
	temp, err := tempFile(name, data, mode)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	err = os.Link(temp, name) // fails when name exists, unlike a rename
	if err == nil || errors.Is(err, fs.ErrExist) {
		if err != nil {
			return fileProblem(name, err)
		}
		return nil
	}
	// No hard links here: take the name first, then put the content in its place.
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fileProblem(name, err)
	}
	f.Close()
	if err := os.Rename(temp, name); err != nil {
		os.Remove(name)
		return fileProblem(name, err)
	}
	return nil
}

// output writes a command's bytes to a file, or to standard output for "" and
// "-"; bytes that are not text go to a terminal only for "-", and way is the hint
// that says so.
func (s *streams) output(name string, data []byte, mode fs.FileMode, force bool, way string) error {
	if name != "" && name != "-" {
		if err := s.mayReplace(name, force); err != nil {
			return err
		}
		return replaceFile(name, data, mode)
	}
	if s.outTTY && name == "" && !printable(data) {
		return withHint(errors.New("the result is binary, which is not written to a terminal"), way)
	}
	_, err := s.out.Write(data)
	return err
}

// outputFlag is the way out of a command that has -o.
const outputFlag = "write it to a file with -o FILE, or force it with -o -"

func printable(b []byte) bool {
	return strings.IndexFunc(string(b), func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f || r == '\ufffd'
	}) < 0
}
