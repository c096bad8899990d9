package importer

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestParseMapping(t *testing.T) {
	m, err := ParseMapping(strings.NewReader(`
source: books
separator: ";"
objects:
  - name: reader
    kind: customer
    file: readers.csv
    key: id
    fields: {name: name, sector: {text: readers}}
    attributes: {shelf: {column: s, map: {a: A}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	readers := "readers"
	want := &Mapping{Source: "books", Separator: ";", Objects: []Object{{
		Name: "reader", Kind: Customer, File: "readers.csv", Key: "id",
		Fields:     map[string]Value{"name": {Column: "name"}, "sector": {Text: &readers}},
		Attributes: map[string]Value{"shelf": {Column: "s", Map: map[string]string{"a": "A"}}},
	}}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("%+v\nwant %+v", m, want)
	}
}

func TestWrongMappings(t *testing.T) {
	object := func(lines string) string {
		return "source: x\nobjects:\n- {name: a, kind: team, file: a.csv, key: k, fields: {name: n}}\n- {name: b, kind: account, file: b.csv, key: k, " + lines + "}\n"
	}
	for name, c := range map[string]struct{ mapping, want string }{
		"empty":               {"", "EOF"},
		"not YAML":            {"a: [", "mapping"},
		"a word misspelt":     {"sauce: x", `unknown field "sauce"`},
		"a field misspelt":    {object("feilds: {}"), `unknown field "feilds"`},
		"a value misspelt":    {object("fields: {loginName: {colum: x}, displayName: d}"), `unknown field "colum"`},
		"no source":           {"objects: []", "source is missing"},
		"no objects":          {"source: x", "objects are missing"},
		"two separators":      {"source: x\nseparator: ',,'", "separator must be one character"},
		"no kind":             {"source: x\nobjects: [{name: a}]", "object a: kind must be"},
		"no key":              {"source: x\nobjects: [{name: a, kind: team, file: a, fields: {name: n}}]", "object a: key is missing"},
		"no file":             {"source: x\nobjects: [{name: a, kind: team, key: a, fields: {name: n}}]", "object a: file must name a file"},
		"a file elsewhere":    {"source: x\nobjects: [{name: a, kind: team, file: ../a, key: a, fields: {name: n}}]", "object a: file must name a file"},
		"one name twice":      {"source: x\nobjects: [{name: a, kind: team}, {name: a, kind: team}]", "object 2 needs a name of its own"},
		"a field missing":     {object("fields: {loginName: n}"), "object b: field displayName is missing"},
		"a field unknown":     {object("fields: {loginName: n, displayName: d, phone: p}"), "object b: kind account has no field phone"},
		"a reference missing": {object("fields: {loginName: n, displayName: d, team: t}"), "object b: field team must refer to objects of kind team"},
		"a wrong reference":   {object("fields: {loginName: n, displayName: d, team: {column: t, refers: b}}"), "object b: field team must refer to objects of kind team"},
		"an odd reference":    {object("fields: {loginName: {column: n, refers: a}, displayName: d}"), "object b: field loginName refers to nothing"},
		"two origins":         {object("fields: {loginName: {column: n, text: x}, displayName: d}"), "object b: field loginName: needs a column or a text"},
		"an unknown rule":     {object("fields: {loginName: {column: n, rule: upper}, displayName: d}"), "object b: field loginName: there is no rule upper"},
		"a layout of no date": {object("fields: {loginName: {column: n, layout: x}, displayName: d}"), "object b: field loginName is no date"},
		"attributes":          {object("remaining: true, fields: {loginName: n, displayName: d}"), "object b: only customers have attributes"},
	} {
		if _, err := ParseMapping(strings.NewReader(c.mapping)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestLoginNameRule(t *testing.T) {
	for s, want := range map[string]string{
		"Mara Frost": "mara.frost", "  Ann O'Hara-Lee 3rd ": "ann.o.hara.lee.rd", "Zoë": "zoë", "42": "", "": "", "..a..b..": "a.b",
	} {
		if got := LoginName.apply(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestFiles(t *testing.T) {
	m := &Mapping{Source: "x", Separator: ";", Objects: []Object{{Name: "a", Kind: Team, File: "a.csv", Key: "k", Fields: map[string]Value{
		"name": {Column: "k"}, "parent": {Column: "p", Refers: "a"},
	}}}}
	read := func(content string) (*Plan, error) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.csv"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return Read(m, dir, uuid.New())
	}
	if _, err := Read(m, t.TempDir(), uuid.New()); err == nil || !strings.Contains(err.Error(), "a.csv") {
		t.Errorf("a missing file: %v", err)
	}
	for content, want := range map[string]string{"": "a.csv: the row of column names: EOF", "k;k\n": `two columns named "k"`, "k;x\n": `a.csv has no column "p"`} {
		if _, err := read(content); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
	plan, err := read("k;p\nlow;mid\nmid;top\nself;self\ntop;\nunder;self\n\xff;\nlost;\xff\n")
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, s := range plan.steps {
		order = append(order, string(s.content()))
	}
	if len(order) != 3 || !strings.Contains(order[0], `"top"`) || !strings.Contains(order[1], `"mid"`) || !strings.Contains(order[2], `"low"`) {
		t.Errorf("teams come in the order %v", order)
	}
	var bad []string
	for _, b := range plan.Bad {
		bad = append(bad, b.String())
	}
	want := "a.csv:4: parent is the team itself, or one below it\na.csv:6: parent is the team itself, or one below it\n" +
		"a.csv:7: k is not UTF-8\na.csv:8: parent refers to what is bad itself"
	if got := strings.Join(bad, "\n"); got != want {
		t.Errorf("bad:\n%s\nwant:\n%s", got, want)
	}
}
