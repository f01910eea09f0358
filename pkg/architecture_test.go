package pkg

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestArchitecture checks that every path in ARCHITECTURE.md exists, and that its
// table has every package.
func TestArchitecture(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	paths := 0
	for _, m := range regexp.MustCompile("`((?:pkg|cmd)/[a-z0-9_./-]+)`").FindAllStringSubmatch(text, -1) {
		paths++
		if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(m[1]))); err != nil {
			t.Errorf("ARCHITECTURE.md names %s: %v", m[1], err)
		}
	}
	if paths < 20 {
		t.Fatalf("found %d paths in ARCHITECTURE.md, expected more", paths)
	}
	for _, pkg := range list(t, "./...") {
		name := strings.TrimPrefix(pkg, module+"/pkg/")
		if name == pkg || strings.HasPrefix(name, "internal/") {
			continue
		}
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("ARCHITECTURE.md does not list the package %s", name)
		}
	}
}
