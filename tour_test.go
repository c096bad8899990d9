package annal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each name on docs/tour.md is one of the program: a declaration, or a stored type of event.
func TestTheTourNamesWhatExists(t *testing.T) {
	t.Parallel()
	declared := declarations(t)
	name := regexp.MustCompile("`([a-z]+\\.[A-Za-z_]+(?:\\.[A-Za-z]+)?)`")
	names := name.FindAllStringSubmatch(readText(t, "docs/tour.md"), -1)
	if len(names) < 40 {
		t.Fatalf("only %d names: does this test read the page right?", len(names))
	}

	for _, match := range names {
		if match[1] == "tour_test.go" || declared[match[1]] {
			continue
		}
		stored, err := filepath.Glob("domain/*/testdata/events/" + match[1] + ".v*.json")
		if err != nil {
			t.Fatal(err)
		}
		if stored == nil {
			t.Errorf("docs/tour.md names %s, which does not exist", match[1])
		}
	}
}

// declarations holds package.Name, package.Type.Method and package.Type.Field of all code that is not a test's.
func declarations(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for _, name := range goFiles(t) {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		within := file.Name.Name + "."
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				all[within+receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					declare(all, within, spec)
				}
			}
		}
	}
	return all
}

// declare adds the names of a type with its fields and methods, of a variable or of a constant.
func declare(all map[string]bool, within string, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			all[within+n.Name] = true
		}
	case *ast.TypeSpec:
		all[within+spec.Name.Name] = true
		var members *ast.FieldList
		switch of := spec.Type.(type) {
		case *ast.StructType:
			members = of.Fields
		case *ast.InterfaceType:
			members = of.Methods
		default:
			return
		}
		for _, field := range members.List {
			for _, n := range field.Names {
				all[within+spec.Name.Name+"."+n.Name] = true
			}
		}
	}
}

// receiver returns the type of a method and a dot, "" for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	for {
		switch of := typ.(type) {
		case *ast.StarExpr:
			typ = of.X
		case *ast.IndexExpr:
			typ = of.X
		case *ast.IndexListExpr:
			typ = of.X
		case *ast.Ident:
			return of.Name + "."
		default:
			return ""
		}
	}
}

// goFiles lists the Go files of the tree that are not tests.
func goFiles(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		base := filepath.Base(name)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules"):
			return fs.SkipDir
		case filepath.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
