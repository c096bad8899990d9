package engine

import (
	"reflect"
	"time"

	"github.com/annal-crm/annal/internal/eventcodec"
)

// Trace folds the events of one record in memory, in the order given, with its read model's own fold, and returns the
// row of a table with a key as it is then, and whether there is one. each, if it is not nil, is shown the row after
// every event that left one. Events that this program does not know leave the row as it was, as in the table; one
// that cannot be folded is an error.
func Trace[K comparable, R any](m ReadModel, t *Table[K, R], key K, history []*eventcodec.Event, each func(*eventcodec.Event, R)) (row R, exists bool, err error) {
	rows := NewRows(m)
	read := func() {
		e := t.of(rows).touch(key)
		row, exists = e.row, e.exists
		t.rel.round(reflect.ValueOf(&row).Elem())
	}
	if each == nil {
		err = rows.FoldPage(history)
		read()
		return row, exists, err
	}
	for i, f := range history {
		if err := rows.FoldPage(history[i : i+1]); err != nil {
			return row, false, err
		}
		if read(); exists {
			each(f, row)
		}
	}
	return row, exists, nil
}

// round makes the times of a row what Postgres keeps of them.
func (r *relation) round(row reflect.Value) {
	for _, c := range r.columns {
		if at, ok := row.Field(c.field).Addr().Interface().(*time.Time); ok {
			*at = at.Truncate(time.Microsecond)
		}
	}
}
