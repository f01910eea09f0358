package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/inspect"
	"github.com/seed81da77dd/webpush/pkg/keyfile"
	"github.com/seed81da77dd/webpush/pkg/vapid"
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

// value reads the input that an argument names: a file, standard input, or itself. The
// name is for messages, and "" for itself.
func (s *streams) value(arg, what string) (data []byte, name string, err error) {
	if arg != "-" && !exists(arg) {
		return []byte(arg), "", nil
	}
	data, err = s.input(arg, what)
	return data, inputName(arg), err
}

// inputBytes reads a file unchanged, or standard input for "-".
func (s *streams) inputBytes(name, what string) ([]byte, error) {
	in, err := s.open(name, what)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return readAll(in, inputName(name))
}

// open opens a file, or standard input for "-", which only one flag can read.
func (s *streams) open(name, what string) (io.ReadCloser, error) {
	if name == "-" {
		in, err := s.stdin(what)
		return io.NopCloser(in), err
	}
	s.reads(name)
	return openFile(name)
}

// stdin returns standard input, which only one flag can read.
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

// file reads a text file as an input of the command; see reads.
func (s *streams) file(name string) ([]byte, error) {
	s.reads(name)
	return readFile(name)
}

// readFile reads a text file; see input.
func readFile(name string) ([]byte, error) {
	f, err := openFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readAll(f, name)
	return text(b), err
}

func openFile(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fileProblem(name, err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, isDirectory(name)
	}
	return f, nil
}

func readAll(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fileProblem(name, err)
	}
	if len(b) > maxInput {
		return nil, tooLarge(name)
	}
	return b, nil
}

func tooLarge(name string) error { return fmt.Errorf("%s exceeds the limit of 1 MiB", name) }

func isDirectory(name string) error { return fmt.Errorf("%s is a directory, expected a file", name) }

// shown returns a word of the command line for messages. A word that may be a key, an
// endpoint, or a subscription in the wrong place is not shown.
func shown(word string) string {
	if strings.Contains(word, "://") || vapid.MayBeKey(word) {
		return fmt.Sprintf("(%d characters, not shown as they may be a secret)", len(word))
	}
	return word
}

// fileProblem returns an error of the file system in plain words. errors.Is still
// recognizes it.
func fileProblem(name string, err error) error {
	if hidden := shown(name); hidden != name {
		return withHint(&reworded{hidden + ": no such file", err}, "save it to a file and pass the file name, or pass - and pipe it in")
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	for _, known := range []struct {
		is         bool
		text, hint string
	}{
		{errors.Is(err, fs.ErrNotExist), ": no such file", ""},
		{errors.Is(err, fs.ErrPermission), ": no permission", ""},
		{errors.Is(err, fs.ErrExist), " already exists", ""},
		{errors.Is(err, syscall.EISDIR), " is a directory, expected a file", ""},
		{errors.Is(err, syscall.ENOTDIR), ": part of the path is not a directory", ""},
		{errors.Is(err, syscall.ENAMETOOLONG), ": no such file, the name is too long", ""},
		{bulk.DiskFull(err), ": the disk is full", "make room, or write to another disk"},
	} {
		if known.is {
			return withHint(&reworded{name + known.text, err}, known.hint)
		}
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

// replaceFile writes a file that may exist; see [keyfile.Replace].
func replaceFile(name string, data []byte, mode fs.FileMode) error {
	return unwritten(keyfile.Replace(name, data, mode))
}

// createFile writes a file that must not exist yet; see [keyfile.Create].
func createFile(name string, data []byte, mode fs.FileMode) error {
	return unwritten(keyfile.Create(name, data, mode))
}

// unwritten words the error of a file that cannot be written.
func unwritten(err error) error {
	var e *keyfile.Error
	switch {
	case !errors.As(err, &e):
	case e.Directory != "":
		return withHint(err, "create it with: mkdir -p "+shellWord(e.Directory))
	case e.Err != nil:
		return fileProblem(e.Path, e.Err)
	}
	return err
}

// output writes the result of a command to a file, or to standard output for "" and "-".
// A result that is not text is written to a terminal only for "-"; way is the hint in
// that case.
func (s *streams) output(name string, data []byte, mode fs.FileMode, force bool, way string) error {
	if name != "" && name != "-" {
		if err := s.mayReplace(name, force); err != nil {
			return err
		}
		return replaceFile(name, data, mode)
	}
	if s.outTTY && name == "" && !inspect.IsText(data) {
		return withHint(errors.New("the result is binary, which is not written to a terminal"), way)
	}
	_, err := s.out.Write(data)
	return err
}

// outputFlag is the hint for a binary result of commands with -o.
const outputFlag = "write it to a file with -o FILE, or force it with -o -"
