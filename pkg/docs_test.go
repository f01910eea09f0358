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
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "internal" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
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
				if decl.Recv == nil || receiver(decl).IsExported() {
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
						var fields *ast.FieldList
						switch kind := spec.Type.(type) {
						case *ast.StructType:
							fields = kind.Fields
						case *ast.InterfaceType:
							fields = kind.Methods
						}
						if fields == nil || !spec.Name.IsExported() {
							continue
						}
						var above *ast.CommentGroup
						for _, field := range fields.List {
							if field.Doc != nil {
								above = field.Doc
							}
							for _, name := range field.Names {
								check(name, above, field.Comment)
							}
						}
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if names < 500 {
		t.Errorf("only %d exported names found", names)
	}
}

// receiver returns the name of a method's type.
func receiver(f *ast.FuncDecl) *ast.Ident {
	expr := f.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.Ident:
			return e
		default:
			return ast.NewIdent("_")
		}
	}
}
