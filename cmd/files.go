package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/inspect"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

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
	return fileio.ReadAll(in, inputName(name))
}

// open opens a file, or standard input for "-", which only one flag can read.
func (s *streams) open(name, what string) (io.ReadCloser, error) {
	if name == "-" {
		in, err := s.stdin(what)
		return io.NopCloser(in), err
	}
	if name == "" {
		return nil, usage("omit it, or check the shell variable that it came from", "the name of the file with %s is empty", what)
	}
	s.reads(name)
	f, err := fileio.Open(name)
	if err != nil {
		return nil, unshown(err)
	}
	return f, nil
}

// stdin returns standard input, which only one flag can read.
func (s *streams) stdin(what string) (io.Reader, error) {
	switch s.stdinFor {
	case "":
	case what:
		return nil, usage("pass - once", "standard input is read twice: for %s", what)
	default:
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
	b, err := fileio.Read(name)
	return text(b), unshown(err)
}

// shown returns a word of the command line for messages. A word that may be a key, an
// endpoint, or a subscription in the wrong place is not shown.
func shown(word string) string {
	if strings.Contains(word, "://") || vapid.MayBeKey(word) {
		return fmt.Sprintf("(%d characters, not shown as they may be a secret)", len(word))
	}
	return word
}

// fileProblem returns the error of reading a file in plain words.
func fileProblem(name string, err error) error { return unshown(fileio.ReadError(name, err)) }

// unshown returns the error of a file, without its name if that may be a secret in the
// wrong place.
func unshown(err error) error {
	e, ok := errors.AsType[*fileio.Error](err)
	if !ok || shown(e.Path) == e.Path {
		return err
	}
	return withHint(fileio.ReadError(shown(e.Path), fs.ErrNotExist), "save it to a file and pass the file name, or pass - and pipe it in")
}

// text decodes UTF-16 and drops a byte order mark.
func text(b []byte) []byte { return inspect.UTF8(b) }

// output writes the result of a command to a file, or to standard output for "" and "-".
// A result that is not text is written to a terminal only for "-"; way is the hint in
// that case.
func (s *streams) output(name string, data []byte, mode fs.FileMode, force bool, way string) error {
	if name != "" && name != "-" {
		if err := s.mayReplace(name, force); err != nil {
			return err
		}
		return fileio.Replace(name, data, mode)
	}
	if s.outTTY && name == "" && !inspect.IsText(data) {
		return withHint(errors.New("the result is binary, which is not written to a terminal"), way)
	}
	_, err := s.out.Write(data)
	return err
}

// outputFlag is the hint for a binary result of commands with -o.
const outputFlag = "write it to a file with -o FILE, or force it with -o -"
