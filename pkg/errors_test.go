package pkg

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestErrorShape enforces the one shape of the exported error types: a pointer to a
// struct whose name ends in Error; Problem is the description in the package's own
// words, Err the cause, which Unwrap returns, and Hint() the next step. Everything
// else is a field or method for a question of the caller, such as Part, Code, or
// Temporary.
func TestErrorShape(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if d.Name() == "internal" || d.Name() == "testdata" {
			return fs.SkipDir
		}
		types, methods := declarations(t, dir)
		for name, definition := range types {
			if methods[name]["Error"] == nil || !ast.IsExported(name) {
				continue
			}
			seen++
			for _, flaw := range errorFlaws(name, definition, methods[name]) {
				t.Errorf("%s.%s: %s", dir, name, flaw)
			}
		}
		return nil
	})
	if err != nil || seen < 15 {
		t.Errorf("found %d error types, error %v", seen, err)
	}
}

// declarations returns the types in the Go files of a directory, and their methods.
func declarations(t *testing.T, dir string) (types map[string]ast.Expr, methods map[string]map[string]*ast.FuncDecl) {
	types, methods = map[string]ast.Expr{}, map[string]map[string]*ast.FuncDecl{}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok {
						types[s.Name.Name] = s.Type
					}
				}
			case *ast.FuncDecl:
				if d.Recv == nil {
					continue
				}
				receiver := strings.TrimPrefix(typeName(d.Recv.List[0].Type), "*")
				if methods[receiver] == nil {
					methods[receiver] = map[string]*ast.FuncDecl{}
				}
				methods[receiver][d.Name.Name] = d
			}
		}
	}
	return types, methods
}

// typeName returns the name of a type, with a star for a pointer.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return "*" + typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// errorFlaws returns the differences between an exported error type and the one
// shape.
func errorFlaws(name string, definition ast.Expr, methods map[string]*ast.FuncDecl) (flaws []string) {
	add := func(flaw string) { flaws = append(flaws, flaw) }
	if !strings.HasSuffix(name, "Error") {
		add("its name does not end in Error")
	}
	for method, d := range methods {
		if !strings.HasPrefix(typeName(d.Recv.List[0].Type), "*") {
			add("the receiver of " + method + " is not a pointer")
		}
		if ast.IsExported(method) && d.Doc.Text() == "" {
			add(method + " has no doc comment")
		}
	}
	if hint := methods["Hint"]; hint != nil && (hint.Type.Params.NumFields() != 0 || hint.Type.Results.NumFields() != 1) {
		add("Hint is not a method that returns a string")
	}
	fields, ok := definition.(*ast.StructType)
	if !ok {
		add("it is not a struct")
		return flaws
	}
	for _, f := range fields.Fields.List {
		for _, n := range f.Names {
			switch kind := typeName(f.Type); {
			case kind == "string" && (n.Name == "Message" || n.Name == "Meaning" || n.Name == "Text" || n.Name == "problem"):
				add("the description is in " + n.Name + ", not in Problem")
			case kind == "string" && (n.Name == "Fix" || n.Name == "Advice" || n.Name == "Next"),
				n.Name == "hint" && methods["Hint"] == nil:
				add("the next step is in " + n.Name + ", not in Hint()")
			case kind == "error" && (n.Name == "Cause" || n.Name == "Reason"):
				add("the cause is in " + n.Name + ", not in Err")
			case kind == "error" && methods["Unwrap"] == nil:
				add("Unwrap does not return " + n.Name)
			}
		}
	}
	return flaws
}
