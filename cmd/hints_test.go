package cmd

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestCommandHints: each hint that is turned into flags is one of a package.
func TestCommandHints(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir(filepath.Join("..", "pkg"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		source.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for hint := range commandHints {
		if !strings.Contains(source.String(), strconv.Quote(hint)) {
			t.Errorf("no package has the hint %q", hint)
		}
	}
}
