package main

import (
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"
)

const declaredKinds = "domain/declared/declared.go"

// newKind writes the files of a new kind: its declaration, its test, and its line in the list of declared kinds. The rest is
// generated from these.
func newKind(category string) error {
	if category == "" || strings.Trim(category, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return fmt.Errorf("%q does not name a kind: a noun in the singular, in small letters", category)
	}
	dir := filepath.Join("domain", category)
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("%s is there already", dir)
	}

	list, err := os.ReadFile(declaredKinds)
	if err != nil {
		return err
	}
	const imports, end = "import (\n", "\n}\n"
	head, rest, ok := strings.Cut(string(list), imports)
	lines, tail, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s has no list to put a line into", declaredKinds)
	}
	changed := fmt.Sprintf("%s%s\t\"github.com/annal-crm/annal/domain/%s\"\n%s\n\t&%s.Kind,%s%s", head, imports, category, lines, category, end, tail)

	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data := struct{ Category, Title string }{category, title(category)}
	if err := write(filepath.Join(dir, category+".go"), "kind.tmpl", data); err != nil {
		return err
	}
	if err := write(filepath.Join(dir, category+"_test.go"), "kind_test.tmpl", data); err != nil {
		return err
	}
	formatted, err := format.Source([]byte(changed))
	if err != nil {
		return err
	}
	return os.WriteFile(declaredKinds, formatted, 0o644)
}

const nextSteps = `Next:
  domain/%[1]s/%[1]s.go       its fields, stages and rules; then "task generate"
  domain/%[1]s/%[1]s_test.go  a story for each rule
  CHANGELOG.md                a line
Stored forms are forever once they are released: "go test ./domain/%[1]s -update" writes them while they are not.
`
