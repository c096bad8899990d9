package graph

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every error that a rule or a command may answer has a line in the table: a new one would be INTERNAL.
func TestTheTableIsWhole(t *testing.T) {
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range []string{"../commands", "../domain/account", "../domain/customer", "../domain/opportunity", "../domain/organization", "../domain/reservation", "../domain/source"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				vars, ok := d.(*ast.GenDecl)
				if !ok || vars.Tok != token.VAR {
					continue
				}
				for _, spec := range vars.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						if !strings.HasPrefix(name.Name, "Err") {
							continue
						}
						found++
						if !strings.Contains(string(source), "{"+parsed.Name.Name+"."+name.Name+", ") {
							t.Errorf("%s.%s has no line", parsed.Name.Name, name.Name)
						}
					}
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d errors found: does this test look at the right place?", found)
	}
}
