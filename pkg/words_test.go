package pkg

import (
	"go/ast"
	"go/token"
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
	sourceFiles(t, ".", true, func(set *token.FileSet, path string, f *ast.File) {
		if filepath.Base(path) == "curl.go" { // curl's own flags
			return
		}
		if dir := filepath.Base(filepath.Dir(path)); dir == "browser" || strings.HasSuffix(dir, "test") { // switches of browsers and databases
			return
		}
		files++
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
	})
	if files < 100 {
		t.Fatalf("looked at %d files", files)
	}
}
