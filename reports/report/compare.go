package report

import (
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/annal-crm/annal/domain"
)

// Difference is a group in which two tables differ.
type Difference struct {
	A, B    []any    // the rows; nil: that table has no such group
	Columns []string // that differ; all measures where one has no such group
}

// Row is one of the rows, for its dimensions.
func (d Difference) Row() []any {
	if d.A != nil {
		return d.A
	}
	return d.B
}

// Compare returns the groups in which another table of the same columns differs, in the order of their dimensions as texts.
func (t *Table) Compare(other *Table) (all []Difference) {
	key := func(row []any) string {
		texts := make([]string, t.By)
		for i := range texts {
			texts[i] = textOf(row[i])
		}
		return strings.Join(texts, "\x00") // which no text in Postgres has
	}
	theirs := make(map[string][]any, len(other.Rows))
	for _, row := range other.Rows {
		theirs[key(row)] = row
	}
	keys := make(map[string]Difference)
	add := func(k string, d Difference) {
		for i := t.By; i < len(t.Columns); i++ {
			if d.A == nil || d.B == nil || !same(d.A[i], d.B[i]) {
				d.Columns = append(d.Columns, t.Columns[i].Name)
			}
		}
		if len(d.Columns) > 0 {
			keys[k] = d
		}
	}
	for _, row := range t.Rows {
		k := key(row)
		add(k, Difference{A: row, B: theirs[k]})
		delete(theirs, k)
	}
	for k, row := range theirs {
		add(k, Difference{B: row})
	}
	order := make([]string, 0, len(keys))
	for k := range keys {
		order = append(order, k)
	}
	slices.Sort(order)
	for _, k := range order {
		all = append(all, keys[k])
	}
	return all
}

// same reports whether two values are equal: 1.50 is 1.5.
func same(a, b any) bool {
	switch x := a.(type) {
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	case domain.Decimal:
		y, ok := b.(domain.Decimal)
		if !ok {
			return false
		}
		p, valid := new(big.Rat).SetString(string(x))
		q, alsoValid := new(big.Rat).SetString(string(y))
		return valid && alsoValid && p.Cmp(q) == 0
	}
	return a == b
}
