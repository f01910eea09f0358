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

// TestExportedNamesAreDocumented asserts that each exported name of the packages that
// other programs can import has a doc comment: functions, methods, types, fields,
// constants, and variables. A comment above a group covers the group; in a struct, a
// comment above a field also covers the fields below it up to the next comment.
func TestExportedNamesAreDocumented(t *testing.T) {
	names := 0
	sourceFiles(t, ".", false, func(files *token.FileSet, path string, f *ast.File) {
		check := func(name *ast.Ident, docs ...*ast.CommentGroup) {
			if !name.IsExported() {
				return
			}
			names++
			for _, doc := range docs {
				if doc != nil {
					return
				}
			}
			t.Errorf("%s: %s has no doc comment", files.Position(name.Pos()), name.Name)
		}
		for _, decl := range f.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil || ast.IsExported(receiver(decl)) {
					check(decl.Name, decl.Doc)
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					switch spec := spec.(type) {
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							check(name, decl.Doc, spec.Doc, spec.Comment)
						}
					case *ast.TypeSpec:
						check(spec.Name, decl.Doc, spec.Doc)
						if spec.Name.IsExported() {
							checkFields(spec.Type, check)
						}
					}
				}
			}
		}
	})
	if names < 500 {
		t.Errorf("only %d exported names found", names)
	}
}

// checkFields checks the fields of a struct or the methods of an interface.
func checkFields(definition ast.Expr, check func(name *ast.Ident, docs ...*ast.CommentGroup)) {
	var fields []*ast.Field
	switch definition := definition.(type) {
	case *ast.StructType:
		fields = definition.Fields.List
	case *ast.InterfaceType:
		fields = definition.Methods.List
	}
	var above *ast.CommentGroup
	for _, field := range fields {
		if field.Doc != nil {
			above = field.Doc
		}
		for _, name := range field.Names {
			check(name, above, field.Comment)
		}
	}
}

// sourceFiles calls each for every file, apart from tests, of the packages under dir
// that other programs can import, or with internal of all packages.
func sourceFiles(t *testing.T, dir string, internal bool, each func(files *token.FileSet, path string, f *ast.File)) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "internal" && !internal || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err == nil {
			each(files, path, f)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// typeName returns the name of a type, with a star for a pointer and without type
// parameters, or "".
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return "*" + typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// receiver returns the name of a method's type.
func receiver(f *ast.FuncDecl) string {
	return strings.TrimPrefix(typeName(f.Recv.List[0].Type), "*")
}
