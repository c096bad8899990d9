package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/reporting"
)

// Derive returns the report that a definition makes of its built-in one. Which events are folded is for whoever has the tables.
// What does not fit the built-in report is a [domain.Invalid] by its field (where, bands, measures.N.of, …).
func (r *Report) Derive(name string, d reporting.Definition) (*Report, error) {
	own, bad := *r, domain.Invalid{}
	own.Name, own.zone, own.rows = name, d.Zone, d.Where
	if d.About != "" {
		own.About = d.About
	}
	own.knows(bad, "where", d.Where)
	own.Dimensions = slices.Clone(r.Dimensions)
	if len(d.Bands) > 0 {
		i := slices.IndexFunc(r.Dimensions, func(c Column) bool { return c.Banded != nil })
		if i < 0 {
			bad["bands"] = fmt.Sprintf("are of ages, and %s has none", r.Name)
		} else {
			c := &own.Dimensions[i]
			c.SQL, c.About = c.Banded(d.Bands), "by bands of its own"
		}
	}
	own.Measures = slices.Clone(r.Measures)
	for i, m := range d.Measures {
		field := fmt.Sprintf("measures.%d", i)
		if slices.ContainsFunc(slices.Concat(r.Dimensions, r.Measures), func(c Column) bool { return c.takes(m.Name) }) {
			bad[field+".name"] = fmt.Sprintf("%q is a column of %s", m.Name, r.Name)
		}
		own.knows(bad, field+".where", m.Where)
		of, per := own.parts(bad, field+".of", m.Of), own.parts(bad, field+".per", m.Per)
		if terms := terms(of) + terms(per); terms > maxTerms {
			bad[field+".of"] = fmt.Sprintf("comes to more than %d built-in measures, with those that its parts are made of", maxTerms)
		}
		if bad.Err() != nil {
			continue
		}
		own.Measures = append(own.Measures, own.measure(m, of, per))
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return &own, nil
}

// maxTerms bounds what a measure is a sum of in the end: sums of sums double with each step.
const maxTerms = 50

func terms(columns []Column) (n int) {
	for _, c := range columns {
		n += max(1, terms(c.of)+terms(c.per))
	}
	return n
}

// takes reports whether a column stands under a name: people and customers have a second column, of their ids.
func (c Column) takes(name string) bool {
	return name == c.Name || (c.Kind == Account || c.Kind == Customer) && name == c.Name+"Id"
}

// average reports whether a measure is one, so that a sum with it means nothing.
func (c Column) average() bool {
	return strings.Contains(c.SQL, "avg(") || slices.ContainsFunc(c.of, Column.average)
}

// knows notes a condition on a dimension that is not there, or is personal: a definition stands in the log in clear, for ever.
func (r *Report) knows(bad domain.Invalid, field string, all []reporting.Condition) {
	for _, c := range all {
		for _, dimension := range named(bad, field, r.Dimensions, []string{c.Dimension}) {
			if wrong := dimension.unfit(c.In); wrong != "" {
				bad[field] = c.Dimension + " " + wrong
			}
			if dimension.Personal {
				bad[field] = fmt.Sprintf("names values of %q, which are personal and no part of a definition: narrow the question by them", c.Dimension)
			}
		}
	}
}

// parts finds the measures of a sum.
func (r *Report) parts(bad domain.Invalid, field string, names []string) []Column {
	found := named(bad, field, r.Measures, names)
	for _, c := range found {
		switch {
		case c.per != nil:
			bad[field] = fmt.Sprintf("names %q, which is a ratio: make it of what that is made of", c.Name)
		case c.Kind == Instant:
			bad[field] = fmt.Sprintf("names %q, which is a time and no number", c.Name)
		case len(found) > 1 && c.average():
			bad[field] = fmt.Sprintf("adds %q, which is an average or a share", c.Name)
		case c.Kind != found[0].Kind:
			bad[field] = fmt.Sprintf("adds %q and %q, which are a %s and a %s", found[0].Name, c.Name, found[0].Kind, c.Kind)
		}
	}
	if len(found) < len(names) && bad[field] == "" {
		bad[field] = "names a measure twice"
	}
	return found
}

// measure is one of a definition's own.
func (r *Report) measure(m reporting.Measure, of, per []Column) Column {
	c := Column{Name: m.Name, Kind: of[0].Kind, About: m.About, of: of, per: per}
	if len(m.Where) > 0 {
		c.of = make([]Column, len(of))
		for i, part := range of {
			c.of[i] = part.restricted(m.Where)
		}
	}
	if per != nil {
		c.Kind = Number
	}
	if c.About == "" {
		c.About = strings.Join(m.Of, " + ")
		for _, condition := range m.Where {
			c.About += fmt.Sprintf(", %s %s", condition.Dimension, strings.Join(condition.In, " or "))
		}
		if per != nil {
			c.About += " for each of " + strings.Join(m.Per, " + ")
		}
	}
	needs := slices.Concat(of, per)
	for _, condition := range m.Where {
		needs = append(needs, r.dimension(condition.Dimension)) // none of them is personal
	}
	for _, part := range needs {
		c.Joins = append(c.Joins, part.Joins...)
		c.Personal = c.Personal || part.Personal
	}
	return c
}

// restricted is a measure of the rows alone that meet conditions.
func (c Column) restricted(to []reporting.Condition) Column {
	c.rows = slices.Concat(c.rows, to)
	parts := make([]Column, len(c.of))
	for i, part := range c.of {
		parts[i] = part.restricted(to)
	}
	if c.of != nil {
		c.of = parts
	}
	return c
}

// Personal tells which of the columns that a query asks for, or narrows by, are personal.
func (r *Report) Personal(q Query) (names []string) {
	asked := slices.Concat(q.By, q.Measures)
	for name := range q.Filter.In {
		asked = append(asked, name)
	}
	for _, c := range slices.Concat(r.Dimensions, r.Measures) {
		if c.Personal && slices.Contains(asked, c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

// Words tell of a filter, as an event keeps them: of a personal dimension just that there was a condition, of many values how many.
func (r *Report) Words(f Filter) (words []string) {
	for _, bound := range []struct {
		name string
		at   time.Time
	}{{"from", f.From}, {"to", f.To}} {
		if !bound.at.IsZero() {
			words = append(words, bound.name+"="+bound.at.UTC().Format(time.RFC3339Nano))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.In)) {
		if i := slices.IndexFunc(r.Dimensions, func(c Column) bool { return c.Name == name }); i < 0 || r.Dimensions[i].Personal {
			words = append(words, "by "+name)
		} else if values := name + "=" + strings.Join(f.In[name], " or "); len(values) <= maxWords {
			words = append(words, values)
		} else {
			words = append(words, fmt.Sprintf("%s=%d values", name, len(f.In[name])))
		}
	}
	return words
}

const maxWords = 400 // bytes of a condition on record
