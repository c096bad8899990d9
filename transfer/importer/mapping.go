// Package importer brings the rows of CSV files into the log, by commands.
//
// A [Mapping] says which column becomes which field of which object and how the
// files refer to each other. [Read] checks every row before anything is written;
// [Plan.Run] issues one command for each object. Ids derive from the mapping's
// source and each row's key, and each object remembers what its row said last: to
// import a file again adds nothing and undoes nothing, a newer one adds its changes.
package importer

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/record"
)

// Kind is what a row becomes: one of these, or the category of a declared kind of record.
type Kind string

const (
	Team        Kind = "team"
	Account     Kind = "account"
	Customer    Kind = "customer"
	Opportunity Kind = "opportunity"
)

// Mapping says what becomes of the columns of some CSV files. See examples/crm-sales.yaml for one that is explained.
type Mapping struct {
	Source    string   `yaml:"source"`    // names where the data come from; ids derive from it, so never change it
	Separator string   `yaml:"separator"` // between columns; default ","
	Objects   []Object `yaml:"objects"`
}

// Object says how the rows of a file become objects of a kind. Rows with the same key are one object.
type Object struct {
	Name       string           `yaml:"name"` // by which references name these objects
	Kind       Kind             `yaml:"kind"`
	File       string           `yaml:"file"`
	Key        string           `yaml:"key"` // the column that tells the objects apart; ids derive from it
	Fields     map[string]Value `yaml:"fields"`
	Attributes map[string]Value `yaml:"attributes"` // of customers, by name
	Remaining  bool             `yaml:"remaining"`  // columns used nowhere else become attributes of their own name
}

// Value says where the value of a field comes from: a column, a constant text, or the object that a column refers to. A
// plain string in the file is a column.
type Value struct {
	Column string            `yaml:"column"`
	Text   *string           `yaml:"text"`
	Refers string            `yaml:"refers"` // the name of objects whose key the column holds
	Map    map[string]string `yaml:"map"`    // values to write otherwise
	Rule   Rule              `yaml:"rule"`
	Layout string            `yaml:"layout"` // of a date, as Go writes it; default "2006-01-02"
}

// Rule makes a name of a value.
type Rule string

// LoginName is the rule of login names: lower case, each run of anything but letters a dot, none at the ends.
const LoginName Rule = "loginName"

var notLetters = regexp.MustCompile(`\P{L}+`)

func (r Rule) apply(s string) string {
	if r == LoginName {
		return strings.Trim(notLetters.ReplaceAllString(strings.ToLower(s), "."), ".")
	}
	return s
}

// UnmarshalYAML takes a string for a column.
func (v *Value) UnmarshalYAML(unmarshal func(any) error) error {
	if err := unmarshal(&v.Column); err == nil {
		return nil
	}
	v.Column = ""
	type plain Value
	return unmarshal((*plain)(v))
}

// field says what a kind of object takes.
type field struct {
	required bool
	refers   Kind // of the object referred to; empty: not a reference
	date     bool
}

// order lists the kinds; none refers to a later one, but for a team's manager.
var order = func() []Kind {
	all := []Kind{Team, Account, Customer, Opportunity}
	for _, k := range declared.Kinds {
		all = append(all, Kind(k.Category))
	}
	return all
}()

// fieldsOf returns the fields that objects of a kind take, nil if there is no such kind.
func fieldsOf(kind Kind) map[string]field {
	k := declared.Kind(string(kind))
	if k == nil {
		return kinds[kind]
	}
	fields := map[string]field{"owner": {refers: Account}}
	if k.Stages != nil {
		fields["stage"] = field{}
	}
	for _, f := range k.Fields {
		fields[f.Name] = field{required: f.Required, refers: Kind(f.Of), date: f.Type == record.Day || f.Type == record.Time}
		if f.Type == record.Money {
			fields[f.Name+currencySuffix] = field{} // where the column of the amount does not say it
		}
	}
	return fields
}

const currencySuffix = "Currency"

var kinds = map[Kind]map[string]field{
	Team:    {"name": {required: true}, "parent": {refers: Team}, "manager": {refers: Account}},
	Account: {"loginName": {required: true}, "displayName": {required: true}, "email": {}, "team": {refers: Team}, "roles": {}},
	Customer: {
		"name": {required: true}, "sector": {}, "country": {}, "website": {}, "phone": {}, "email": {}, "owner": {refers: Account},
	},
	Opportunity: {
		"reference": {required: true}, "product": {}, "customer": {refers: Customer}, "owner": {required: true, refers: Account},
		"stage": {required: true}, "engagedAt": {date: true}, "closedAt": {date: true}, "value": {},
	},
}

// ParseMapping reads a mapping. Its error names everything that is wrong with it.
func ParseMapping(r io.Reader) (*Mapping, error) {
	var m Mapping
	if err := yaml.NewDecoder(r, yaml.Strict()).Decode(&m); err != nil {
		return nil, fmt.Errorf("mapping: %w", err)
	}
	return &m, m.check()
}

func (m *Mapping) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("mapping: "+format, args...)) }
	if m.Source == "" {
		wrong("source is missing")
	}
	if m.Separator != "" && utf8.RuneCountInString(m.Separator) != 1 {
		wrong("separator must be one character")
	}
	if len(m.Objects) == 0 {
		wrong("objects are missing")
	}
	names := make(map[string]Kind)
	for i, o := range m.Objects {
		if _, twice := names[o.Name]; o.Name == "" || twice {
			wrong("object %d needs a name of its own", i+1)
		}
		names[o.Name] = o.Kind
	}
	for _, o := range m.Objects {
		at := func(format string, args ...any) { wrong("object %s: "+format, append([]any{o.Name}, args...)...) }
		fields := fieldsOf(o.Kind)
		switch {
		case fields == nil:
			at("kind must be one of %v", order)
			continue
		case o.File == "" || strings.ContainsAny(o.File, `/\`):
			at("file must name a file of the directory")
		case o.Key == "":
			at("key is missing")
		case o.Kind != Customer && (o.Remaining || len(o.Attributes) > 0):
			at("only customers have attributes")
		}
		for name, f := range fields {
			if _, given := o.Fields[name]; f.required && !given {
				at("field %s is missing", name)
			}
		}
		for name, v := range o.Fields {
			f, known := fields[name]
			switch {
			case !known:
				at("kind %s has no field %s", o.Kind, name)
			case f.refers != "" && names[v.Refers] != f.refers:
				at("field %s must refer to objects of kind %s", name, f.refers)
			case f.refers == "" && v.Refers != "":
				at("field %s refers to nothing", name)
			case v.Layout != "" && !f.date:
				at("field %s is no date", name)
			}
			v.check(func(problem string) { at("field %s: %s", name, problem) })
		}
		for name, v := range o.Attributes {
			v.check(func(problem string) { at("attribute %s: %s", name, problem) })
		}
	}
	return errors.Join(errs...)
}

func (v Value) check(wrong func(string)) {
	if (v.Column == "") == (v.Text == nil) {
		wrong("needs a column or a text, and not both")
	}
	if !slices.Contains([]Rule{"", LoginName}, v.Rule) {
		wrong("there is no rule " + string(v.Rule))
	}
}

// columns lists the columns that the objects of a file use.
func (o Object) columns() (columns []string) {
	columns = append(columns, o.Key)
	for _, v := range o.Fields {
		columns = append(columns, v.Column)
	}
	for _, v := range o.Attributes {
		columns = append(columns, v.Column)
	}
	return slices.DeleteFunc(columns, func(c string) bool { return c == "" })
}
