// Package where puts together the SQL conditions of the read models' queries.
//
// Values only ever travel as parameters; what stands in the SQL text is written in this program.
package where

import (
	"fmt"
	"github.com/annal-crm/annal/domain"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrHidden reports a filter on personal data by a viewer who may not see it: what is hidden could be found out by asking.
var ErrHidden = domain.Refuse(domain.CodeInvalid, "this asks for personal data, which are hidden from you")

// Clause is a conjunction of conditions with their parameters. The zero value is true.
type Clause struct {
	conditions []string
	args       []any
}

// And adds a condition; each ? in it stands for the next of args.
func (c *Clause) And(condition string, args ...any) {
	var b strings.Builder
	for i, part := range strings.Split(condition, "?") {
		if i > 0 {
			b.WriteString(c.Arg(args[i-1]))
		}
		b.WriteString(part)
	}
	c.conditions = append(c.conditions, "("+b.String()+")")
}

// Arg adds a parameter and returns how it is written in SQL.
func (c *Clause) Arg(value any) string {
	c.args = append(c.args, value)
	return fmt.Sprintf("$%d", len(c.args))
}

// SQL returns the condition.
func (c *Clause) SQL() string {
	if len(c.conditions) == 0 {
		return "true"
	}
	return strings.Join(c.conditions, " and ")
}

// Args returns the parameters, $1 first.
func (c *Clause) Args() []any { return c.args }

// Text tests a text: all that are given must hold. Letter case is told apart. A text without a value equals nothing, and
// differs from everything.
type Text struct {
	Eq, Neq              *string
	In                   []string // nil: not given
	Contains, StartsWith *string
	IsNull               *bool
}

// Text adds the tests of a column. A nil filter tests nothing.
func (c *Clause) Text(column string, f *Text) {
	if f == nil {
		return
	}
	// No row has a text that Postgres does not take, and asking for one would be an error.
	test := func(value *string, condition, impossible string) {
		switch {
		case value == nil:
		case Storable(*value):
			c.And(condition, *value)
		default:
			c.And(impossible)
		}
	}
	test(f.Eq, column+" = ?", "false")
	test(f.Neq, column+" is distinct from ?", "true")
	test(f.Contains, "strpos("+column+", ?) > 0", "false")
	test(f.StartsWith, "starts_with("+column+", ?)", "false")
	if f.In != nil {
		c.And(column+" = any(?)", slices.DeleteFunc(slices.Clone(f.In), func(s string) bool { return !Storable(s) }))
	}
	if f.IsNull != nil {
		c.And(column+" is null = ?", *f.IsNull)
	}
}

// Storable reports whether Postgres takes a text.
func Storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
