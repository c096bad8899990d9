package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// jsonOf returns a value as JSON should have it.
func jsonOf(v any) any {
	switch v := v.(type) {
	case uuid.UUID, domain.Decimal, time.Time:
		return textOf(v)
	}
	return v
}

// textOf is a value as a filter names it, and as a file of texts holds it; nothing is an empty one.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}

// Named returns the table for people: behind each column of ids, one with the names of who they mean, so far as names has them;
// "owner" then is the name and "ownerId" the id.
func (t *Table) Named(names map[uuid.UUID]string) *Table {
	n := &Table{More: t.More, Rows: make([][]any, len(t.Rows))}
	for i, c := range t.Columns {
		if i == t.By {
			n.By = len(n.Columns)
		}
		if c.Kind != Account && c.Kind != Customer {
			n.add(t, c, i, func(v any) any { return v })
			continue
		}
		id := c
		id.Name, c.Kind = c.Name+"Id", Text
		n.add(t, c, i, func(v any) any {
			if of, ok := v.(uuid.UUID); ok && names[of] != "" {
				return names[of]
			}
			return nil
		})
		n.add(t, id, i, func(v any) any { return v })
	}
	return n
}

// Sort orders the rows of a table by their dimensions as texts, no value last.
func (t *Table) Sort() {
	slices.SortStableFunc(t.Rows, func(a, b []any) int {
		for i := range t.By {
			switch {
			case (a[i] == nil) != (b[i] == nil):
				return map[bool]int{true: 1, false: -1}[a[i] == nil]
			case textOf(a[i]) != textOf(b[i]):
				return strings.Compare(textOf(a[i]), textOf(b[i]))
			}
		}
		return 0
	})
}

func (t *Table) add(from *Table, c Column, i int, value func(any) any) {
	t.Columns = append(t.Columns, c)
	for at, row := range from.Rows {
		t.Rows[at] = append(t.Rows[at], value(row[i]))
	}
}

// IDs returns the ids in the columns of a kind.
func (t *Table) IDs(kind Kind) (ids []uuid.UUID) {
	seen := make(map[uuid.UUID]bool)
	for i, c := range t.Columns {
		for _, row := range t.Rows {
			if id, ok := row[i].(uuid.UUID); ok && c.Kind == kind && !seen[id] {
				seen[id], ids = true, append(ids, id)
			}
		}
	}
	return ids
}
