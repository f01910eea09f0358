package pkg

import (
	"go/ast"
	"go/token"
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
	type declared struct {
		definition ast.Expr
		methods    map[string]*ast.FuncDecl
	}
	types := make(map[string]*declared) // by directory and name
	at := func(path, name string) *declared {
		key := filepath.ToSlash(filepath.Dir(path)) + "." + name
		if types[key] == nil {
			types[key] = &declared{methods: make(map[string]*ast.FuncDecl)}
		}
		return types[key]
	}
	sourceFiles(t, ".", false, func(_ *token.FileSet, path string, f *ast.File) {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok {
						at(path, s.Name.Name).definition = s.Type
					}
				}
			case *ast.FuncDecl:
				if d.Recv != nil {
					at(path, receiver(d)).methods[d.Name.Name] = d
				}
			}
		}
	})
	seen := 0
	for key, d := range types {
		name := key[strings.LastIndexByte(key, '.')+1:]
		if d.methods["Error"] == nil || !ast.IsExported(name) {
			continue
		}
		seen++
		for _, flaw := range errorFlaws(name, d.definition, d.methods) {
			t.Errorf("%s: %s", key, flaw)
		}
	}
	if seen < 15 {
		t.Errorf("found %d error types", seen)
	}
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
