package pkg

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMakeRunsEveryE2ETest asserts that make e2e runs every test that is compiled only
// with the tag e2e: by its name, and by its package.
func TestMakeRunsEveryE2ETest(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^\t\$\(GO\) test -tags e2e .* -run '(\^.*)' (\./.*)$`).FindSubmatch(makefile)
	if command == nil {
		t.Fatal("Makefile: found no go test with -tags e2e and -run")
	}
	run, packages := regexp.MustCompile(string(command[1])), strings.Fields(string(command[2]))
	tests := 0
	for _, dir := range []string{"pkg", "cmd"} {
		if err := filepath.WalkDir(filepath.Join("..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil || !onlyE2E(f) {
				return err
			}
			in := "./" + filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), ".."+string(filepath.Separator)))
			for _, d := range f.Decls {
				test, ok := d.(*ast.FuncDecl)
				if !ok || test.Recv != nil || !regexp.MustCompile(`^Test([^a-z]|$)`).MatchString(test.Name.Name) || test.Name.Name == "TestMain" {
					continue
				}
				tests++
				if !run.MatchString(test.Name.Name) {
					t.Errorf("%s: make e2e does not run %s: add it to -run in the Makefile, or rename it", path, test.Name.Name)
				}
				if !listed(packages, in) {
					t.Errorf("%s: make e2e does not test %s: add it to the Makefile", path, in)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if tests < 20 {
		t.Fatalf("found %d tests with the tag e2e, expected more", tests)
	}
}

// onlyE2E reports whether a file is compiled only with the tag e2e.
func onlyE2E(f *ast.File) bool {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if expr, err := constraint.Parse(c.Text); err == nil && c.Pos() < f.Package {
				for _, other := range []bool{false, true} {
					with := expr.Eval(func(tag string) bool { return tag == "e2e" || other })
					if with && !expr.Eval(func(tag string) bool { return tag != "e2e" && other }) {
						return true
					}
				}
			}
		}
	}
	return false
}

// listed reports whether the arguments of go test include a package.
func listed(args []string, pkg string) bool {
	for _, arg := range args {
		if prefix, all := strings.CutSuffix(arg, "/..."); pkg == prefix || all && strings.HasPrefix(pkg, prefix+"/") {
			return true
		}
	}
	return false
}
