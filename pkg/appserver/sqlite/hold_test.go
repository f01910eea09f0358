//go:build unix && !solaris && !aix

package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// Two processes never have one database, by whatever names.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	file, link, hard := filepath.Join(dir, "a.db"), filepath.Join(dir, "link.db"), filepath.Join(dir, "hard.db")
	s, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(file, link), os.Link(file, hard), os.Remove(file+".lock")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link, hard, file} {
		if _, err := Open(name); !errors.Is(err, appserver.ErrInUse) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "hard link") {
		t.Errorf("with a hard link: %v", err)
	}
	if err := os.Remove(hard); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(link); err != nil {
		t.Fatal(err)
	}
	s.Close()
}
