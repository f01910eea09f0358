package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/internal/atomicfile"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	name, link := filepath.Join(dir, "a.json"), filepath.Join(dir, "link.json")
	check := func(want string) {
		t.Helper()
		b, err := os.ReadFile(name)
		if err != nil || string(b) != want {
			t.Errorf("the file holds %q, %v, want %q", b, err, want)
		}
		if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("the file is %v, %v", info.Mode(), err)
		}
		if files, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(files) != 0 {
			t.Errorf("%v are left over, %v", files, err)
		}
	}
	if err := atomicfile.Create(name, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("one")
	if err := atomicfile.Create(name, []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second file of the name: %v", err)
	}
	check("one")
	if err := atomicfile.Replace(name, []byte("three"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("three")
	if err := os.Symlink(name, link); err == nil {
		if err := atomicfile.Replace(link, []byte("four"), 0o600); err != nil {
			t.Fatal(err)
		}
		check("four")
		if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("the link is replaced: %v", err)
		}
	}
	for name, write := range map[string]func(string, []byte, fs.FileMode) error{"Replace": atomicfile.Replace, "Create": atomicfile.Create} {
		if err := write(filepath.Join(dir, "none", "x"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: no directory: %v", name, err)
		}
	}
}

// TestDanglingLink: the target of a link is created, and the link stays one.
func TestDanglingLink(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("second", "dir/first"), os.Symlink("target", "dir/second")); err != nil {
		t.Skip(err)
	}
	if err := atomicfile.Replace("dir/first", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat("dir/first")
	if b, err2 := os.ReadFile("dir/target"); err != nil || info.Mode()&fs.ModeSymlink == 0 || err2 != nil || string(b) != "x" {
		t.Errorf("link %v, %v; target %q, %v", info, err, b, err2)
	}
	if err := errors.Join(os.Symlink("loop", "dir/loop"), atomicfile.Replace("dir/loop", nil, 0o600)); err != nil {
		t.Log(err) // must only end
	}
}
