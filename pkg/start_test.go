package pkg

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"testing"
)

// TestStartCompilesNoPattern: no regular expression is compiled while the process
// starts. Since those that are compiled later would fail only then, this test
// compiles them.
func TestStartCompilesNoPattern(t *testing.T) {
	valid := 0
	for _, dir := range []string{".", "../cmd"} {
		sourceFiles(t, dir, true, func(files *token.FileSet, path string, f *ast.File) {
			for _, d := range f.Decls {
				if variables, ok := d.(*ast.GenDecl); ok {
					ast.Inspect(variables, func(n ast.Node) bool {
						call, ok := n.(*ast.CallExpr)
						if !ok {
							return true
						}
						switch name := called(call); name {
						case "regexp.MustCompile", "regexp.Compile":
							t.Errorf("%s: use pattern.New, or compile the expression where it is used", files.Position(call.Pos()))
						case "pattern.New":
							if expr, ok := call.Args[0].(*ast.BasicLit); ok {
								text, err := strconv.Unquote(expr.Value)
								if err == nil {
									_, err = regexp.Compile(text)
								}
								if err != nil {
									t.Errorf("%s: %v", files.Position(expr.Pos()), err)
								}
								valid++
							}
						}
						return true
					})
				}
			}
		})
	}
	if valid < 50 {
		t.Fatalf("found %d patterns, expected more", valid)
	}
}

// called returns the name of the function of a package that is called, as in
// "regexp.Compile", or "".
func called(call *ast.CallExpr) string {
	if f, ok := call.Fun.(*ast.SelectorExpr); ok {
		if pkg, ok := f.X.(*ast.Ident); ok {
			return pkg.Name + "." + f.Sel.Name
		}
	}
	return ""
}
