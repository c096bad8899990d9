package main

import (
	"bytes"
	"embed"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"unicode"

	"github.com/99designs/gqlgen/codegen/config"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/record"
)

// What the declared kinds become: a file of the schema for each, and for all of them their Go objects and resolvers.
const (
	recordsSchema = "schema/records.graphqls" // by hand: what every kind has
	recordModels  = "graph/model/records_gen.go"
	resolvers     = "graph/records_gen.go"
)

//go:embed *.tmpl
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"title":    title,
	"capitals": capitals,
	"quote":    strconv.Quote,
	"article":  article,
	"sentence": sentence,
}).ParseFS(files, "*.tmpl"))

// kind is a declared kind as the templates need it.
type kind struct {
	*record.Kind
	Type   string
	Fields []field
	Enums  []enum
}

type field struct {
	record.Field
	Output string // its type in the schema
	Given  string // in inputs
	Filter string
	Go     string // the type of its method in package model
	Make   string // what makes that of the stored text
}

type enum struct {
	Name   string
	Values []string
}

// types are the field types in the schema: as they are read, given and tested.
var types = map[record.Type]struct{ output, given, filter, goType, maker string }{
	record.Text:    {"String", "String", "StringFilter", "Text", "Text"},
	record.Note:    {"String", "String", "StringFilter", "Text", "Text"},
	record.Email:   {"String", "String", "StringFilter", "Text", "Text"},
	record.Phone:   {"String", "String", "StringFilter", "Text", "Text"},
	record.Website: {"String", "String", "StringFilter", "Text", "Text"},
	record.Integer: {"Int", "Int", "IntFilter", "Literal", "Literal"},
	record.Decimal: {"Decimal", "Decimal", "DecimalFilter", "Text", "Text"},
	record.Money:   {"Money", "MoneyInput", "DecimalFilter", "*Money", "money"},
	record.Day:     {"Date", "Date", "DateFilter", "Text", "Text"},
	record.Time:    {"Time", "Time", "TimeFilter", "Text", "Text"},
	record.Bool:    {"Boolean", "Boolean", "BooleanFilter", "Literal", "Literal"},
	record.Ref:     {"", "ID", "RefFilter", "", ""},
}

func describe(k *record.Kind) kind {
	described := kind{Kind: k, Type: title(k.Category)}
	for _, f := range k.Fields {
		t := types[f.Type]
		one := field{Field: f, Output: t.output, Given: t.given, Filter: t.filter, Go: t.goType, Make: t.maker}
		switch f.Type {
		case record.Ref:
			one.Output = title(f.Of)
		case record.Choice:
			name := described.Type + title(f.Name)
			described.Enums = append(described.Enums, enum{name, upper(f.Options)})
			one.Output, one.Given, one.Filter, one.Go, one.Make = name, name, name+"Filter", "Enum", "Enum"
		}
		described.Fields = append(described.Fields, one)
	}
	if k.Stages != nil {
		var names []string
		for _, s := range k.Stages {
			names = append(names, s.Name)
		}
		described.Enums = append(described.Enums, enum{described.Type + "Stage", upper(names)})
	}
	return described
}

// Always reports whether every record shows a value: a reference may lead to what is hidden, and so may personal data, of
// which only a text can read "hidden".
func (f field) Always() bool {
	return f.Required && f.Type != record.Ref && (!f.Personal || f.Go == "Text" && f.Output == "String")
}

// Description is what the schema says of the kind: its own sentence, and what happens to its personal fields.
func (k kind) Description() string {
	var personal []string
	for _, f := range k.Fields {
		if f.Personal {
			personal = append(personal, f.Name)
		}
	}
	if personal == nil {
		return k.About
	}
	return strings.TrimSpace(k.About + " Without the permission `personal.view`, " + sentence(personal) +
		" read `hidden` or are null; after an erasure they read `erased` or are null.")
}

// Searched lists the fields that the search looks into.
func (k kind) Searched() (names []string) {
	for _, f := range k.Fields {
		if f.Field.Searched {
			names = append(names, f.Name)
		}
	}
	return names
}

// writeKinds writes the files of all declared kinds, and removes those of kinds that are gone.
func writeKinds() error {
	var all []kind
	written := []string{recordsSchema}
	for _, k := range declared.Kinds {
		one := describe(k)
		all = append(all, one)
		file := "schema/" + k.Category + ".graphqls"
		if err := write(file, "schema.tmpl", one); err != nil {
			return err
		}
		written = append(written, file)
	}
	if err := removeStale(written); err != nil {
		return err
	}
	if err := write(recordModels, "model.tmpl", all); err != nil {
		return err
	}
	return write(resolvers, "resolvers.tmpl", all)
}

const generatedSchema = "# Generated from domain/"

func removeStale(written []string) error {
	found, err := filepath.Glob("schema/*.graphqls")
	if err != nil {
		return err
	}
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(text, []byte(generatedSchema)) && !slices.Contains(written, file) {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// write fills in a template. A file that stays the same is not touched, so that nothing is built again for it.
func write(file, name string, data any) error {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	text := b.Bytes()
	if strings.HasSuffix(file, ".go") {
		formatted, err := format.Source(text)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", file, err, text)
		}
		text = formatted
	}
	if before, err := os.ReadFile(file); err == nil && bytes.Equal(before, text) {
		return nil
	}
	return os.WriteFile(file, text, 0o644)
}

// raw tells gqlgen not to write code for the inputs of records: they come to the resolvers as a [model.Input], which the
// kind's declaration reads. The validator holds them to the schema all the same. A kind's code is a third smaller by it.
type raw struct{ config *config.Config }

func (raw) Name() string { return "raw inputs" }

// MutateSchema implements [plugin.SchemaMutator].
func (r raw) MutateSchema(schema *ast.Schema) error {
	for name, t := range schema.Types {
		if t.Position == nil || t.Position.Src == nil {
			continue
		}
		source := t.Position.Src
		if !strings.HasSuffix(source.Name, recordsSchema) && !strings.HasPrefix(source.Input, generatedSchema) {
			continue
		}
		switch t.Kind {
		case ast.InputObject:
			t.Kind = ast.Scalar
			r.config.Models.Add(name, "github.com/annal-crm/annal/graph/model.Input")
		case ast.Enum:
			r.config.Models.Add(name, "github.com/annal-crm/annal/graph/model.Enum")
		}
	}
	return nil
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// capitals turns startsOn into STARTS_ON.
func capitals(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

func upper(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = strings.ToUpper(name)
	}
	return all
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// sentence writes names as a sentence does: `number` and `title`.
func sentence(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = "`" + name + "`"
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " and " + quoted[last]
}
