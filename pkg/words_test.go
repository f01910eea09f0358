package pkg

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// commandWords are words of the command line: flags, and commands after the
// program's name.
var commandWords = regexp.MustCompile(`(^|[\s"'(=])--[a-z][a-z-]+|\bwebpush (app-server-key|cancel|check|convert|curl|decrypt|demo|encrypt|explain|gen|help|inspect|listen|push-service|send|serve|sign|subscribe|verify|worker)\b`)

// TestNoCommandLine: no string of a package names a flag or a command. They come
// out of the REST API and of Go programs, whose users have neither; package cmd
// translates hints.
func TestNoCommandLine(t *testing.T) {
	if !commandWords.MatchString("use --topic-hash") || !commandWords.MatchString("run webpush gen") || commandWords.MatchString("github.com/x/webpush push") {
		t.Fatal("the expression does not find what it is for")
	}
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		if filepath.Base(path) == "curl.go" { // curl's own flags
			return nil
		}
		if dir := filepath.Base(filepath.Dir(path)); dir == "browser" || strings.HasSuffix(dir, "test") { // switches of browsers and databases
			return nil
		}
		files++
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			if s, err := strconv.Unquote(lit.Value); err == nil && commandWords.MatchString(s) {
				t.Errorf("%s: %s names the command line", set.Position(lit.Pos()), lit.Value)
			}
			return true
		})
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("looked at %d files: %v", files, err)
	}
}
