package pkg

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	for pkg := range packages(t, "./...") {
		name := strings.TrimPrefix(pkg, module+"/pkg/")
		if name == pkg || strings.HasPrefix(name, "internal/") {
			continue
		}
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("ARCHITECTURE.md does not list the package %s", name)
		}
	}
}

// TestArchitectureImports asserts that the table of packages in ARCHITECTURE.md allows
// the same imports as TestImports, apart from internal packages.
func TestArchitectureImports(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([a-z/]+)`") // not internal/…
	table := make(map[string][]string)
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\| .* \\| (.*) \\|$").FindAllStringSubmatch(string(b), -1) {
		may, _, _ := strings.Cut(row[2], " but not ")
		for _, pkg := range quoted.FindAllStringSubmatch(row[1], -1) {
			table[pkg[1]] = []string{}
			for _, own := range quoted.FindAllStringSubmatch(may, -1) {
				table[pkg[1]] = append(table[pkg[1]], own[1])
			}
		}
	}
	compared := 0
	for _, r := range importRules {
		name := strings.TrimPrefix(r.pkg, "pkg/")
		if strings.HasPrefix(name, "internal/") {
			continue
		}
		var want []string
		for _, own := range allowedImports(r.own) {
			if own = strings.TrimPrefix(own, "pkg/"); !strings.HasPrefix(own, "internal/") {
				want = append(want, own)
			}
		}
		may, listed := table[name]
		got := closure(may, func(pkg string) []string { return table[pkg] })
		slices.Sort(got)
		slices.Sort(want)
		if !listed || !slices.Equal(got, want) {
			t.Errorf("ARCHITECTURE.md lets %s import %v, and TestImports %v", name, got, want)
		}
		compared++
	}
	if compared < 15 {
		t.Errorf("only %d packages compared", compared)
	}
}
