package fileio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/fileio"
)

// in prepares a directory with a file "full", an empty file, and a directory, and goes
// there.
func in(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := errors.Join(os.WriteFile("full", []byte("x"), 0o600), os.WriteFile("empty", nil, 0o600), os.Mkdir("dir", 0o700)); err != nil {
		t.Fatal(err)
	}
}

// TestWords asserts the words for each failure, whichever function meets it, and that
// nothing is written.
func TestWords(t *testing.T) {
	in(t)
	read := func(name string) error { _, err := fileio.Read(name); return err }
	create := func(name string) error { return fileio.Create(name, []byte("y"), 0o600) }
	replace := func(name string) error { return fileio.Replace(name, []byte("y"), 0o600) }
	check := func(overwrite bool) func(string) error {
		return func(name string) error { return fileio.Check(name, overwrite) }
	}
	slash := filepath.FromSlash
	long := strings.Repeat("n", 300)
	for _, c := range []struct {
		name       string
		do         []func(string) error
		want, hint string
		is         error
	}{
		{"none", []func(string) error{read}, "none: no such file", "", fs.ErrNotExist},
		{slash("none/x"), []func(string) error{read}, slash("none/x: no such file"), "", fs.ErrNotExist},
		{slash("none/x"), []func(string) error{create, replace, check(true), check(false)}, slash("none/x: directory none not found"), "create the directory first", fs.ErrNotExist},
		{"dir", []func(string) error{read}, "dir is a directory, expected a file", "pass a file", nil},
		{"dir", []func(string) error{check(true), check(false)}, "dir is a directory, expected a file", "name a file in it", nil},
		{"full", []func(string) error{create, check(false)}, "full already exists", "", fs.ErrExist},
		{"full/x", []func(string) error{read, create, replace, check(true), check(false)}, "full/x: full is not a directory", "", nil},
		{"full/x/y", []func(string) error{read, create, replace, check(true)}, "full/x/y: full is not a directory", "", nil},
		{long, []func(string) error{read, create, replace, check(true)}, long + ": no such file, the name is too long", "", nil},
	} {
		if runtime.GOOS == "windows" && c.is == nil && c.name != "dir" {
			continue // the system reports these as missing files
		}
		for i, do := range c.do {
			err := do(c.name)
			e, ok := errors.AsType[*fileio.Error](err)
			if !ok || err.Error() != c.want || e.Hint() != c.hint || e.Path != c.name || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%s, function %d: %v, want %s", c.name, i, err, c.want)
			}
			if missing := ok && e.Directory != ""; missing != (c.hint == "create the directory first") {
				t.Errorf("%s, function %d: the missing directory is %q", c.name, i, e.Directory)
			}
		}
	}
	for _, name := range []string{"full", "empty", "new", os.DevNull} {
		if err := fileio.Check(name, true); err != nil {
			t.Errorf("%s cannot be overwritten: %v", name, err)
		}
	}
	if b, err := os.ReadFile("full"); string(b) != "x" || exists("new") {
		t.Errorf("the file has %q, %v; new: %v", b, err, exists("new"))
	}
}

func exists(name string) bool { _, err := os.Lstat(name); return err == nil }

// TestCauses words errors that a test cannot cause everywhere.
func TestCauses(t *testing.T) {
	for _, c := range []struct {
		err        error
		want, hint string
	}{
		{&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}, "x: no permission", "check the permissions of the file and of its directory"},
		{fmt.Errorf("reading: %w", fileio.ErrTooLarge), "x exceeds the limit of 1 MiB", ""},
		{fileio.ErrNotRegular, "x is a device or pipe, expected a file", "pass a regular file"},
		{&fs.PathError{Op: "read", Path: "y", Err: errors.New("bad disk")}, "x: bad disk", ""},
		{&os.LinkError{Op: "link", Old: "y", New: "x", Err: errors.New("no links")}, "x: no links", ""},
		{fileio.ReadError("y", fs.ErrNotExist), "x: no such file", ""},
	} {
		for _, e := range []*fileio.Error{fileio.ReadError("x", c.err), fileio.WriteError("x", c.err)} {
			if e.Error() != c.want || e.Hint() != c.hint {
				t.Errorf("%v: %v, hint %q", c.err, e, e.Hint())
			}
		}
	}
}

// TestFull writes to a device that is always full.
func TestFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/dev/full is Linux's")
	}
	err := fileio.Replace("/dev/full", []byte("x"), 0o600)
	if !fileio.DiskFull(err) || err.Error() != "/dev/full: the disk is full" {
		t.Errorf("%v", err)
	}
	if fileio.DiskFull(fs.ErrPermission) {
		t.Error("another error is a full disk")
	}
}

// TestReadAll asserts the limit.
func TestReadAll(t *testing.T) {
	if b, err := fileio.ReadAll(bytes.NewReader(make([]byte, fileio.Limit)), "x"); err != nil || len(b) != fileio.Limit {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := fileio.ReadAll(bytes.NewReader(make([]byte, fileio.Limit+1)), "x"); !errors.Is(err, fileio.ErrTooLarge) {
		t.Errorf("a byte more: %v", err)
	}
}

// TestSame compares names of one file, whether or not it exists.
func TestSame(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("there", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full, err := filepath.Abs("x")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"x", "x", true}, {"x", "./x", true}, {"x", "d/../x", true}, {"x", full, true},
		{"x", "y", false}, {"x", "d/x", false}, {"there", "x", false}, {"there", "d/../there", true},
	} {
		if got := fileio.Same(test.a, test.b); got != test.want {
			t.Errorf("Same(%q, %q) = %v", test.a, test.b, got)
		}
	}
	if err := os.Symlink("d", "link"); err != nil {
		t.Skip(err)
	}
	if !fileio.Same("d/x", "link/x") {
		t.Error("a file in a linked folder is taken for another one")
	}
	if err := os.Symlink("there", "same"); err != nil {
		t.Fatal(err)
	}
	if !fileio.Same("there", "same") {
		t.Error("a link to a file is taken for another one")
	}
}
