package engine

import (
	"bytes"
	"context"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"
)

// Difference is a value that a rebuild has found otherwise than it was.
type Difference struct {
	Table, Key, Column string
	Live, Rebuilt      string // "(no row)" if there is not one, then Column is empty
}

const (
	maxDifferences = 10 // more of them say nothing new; Rebuilt.Different counts all
	noRow          = "(no row)"
)

// compare compares the rows in two schemas, of the same position, in the order of their keys. It returns how many
// rows differ, and the first differences. It holds one row of each side at a time.
func (m *ReadModel) compare(ctx context.Context, live, rebuilt DB, liveSchema, rebuiltSchema string) (different int64, first []Difference, err error) {
	for _, t := range m.Tables {
		r := t.relation()
		n, some, err := r.compare(ctx, live, rebuilt, liveSchema, rebuiltSchema, maxDifferences-len(first))
		if err != nil {
			return 0, nil, fmt.Errorf("compare %s: %w", r.table, err)
		}
		different, first = different+n, append(first, some...)
	}
	return different, first, nil
}

func (r *relation) compare(ctx context.Context, live, rebuilt DB, liveSchema, rebuiltSchema string, most int) (different int64, first []Difference, err error) {
	a, err := r.sorted(ctx, live, liveSchema)
	if err != nil {
		return 0, nil, err
	}
	defer a.rows.Close()
	b, err := r.sorted(ctx, rebuilt, rebuiltSchema)
	if err != nil {
		return 0, nil, err
	}
	defer b.rows.Close()
	a.next()
	b.next()
	for a.row != nil || b.row != nil {
		var found []Difference
		switch n := r.order(a, b); {
		case n < 0:
			found = []Difference{{Live: "(row)", Rebuilt: noRow, Key: r.key(a)}}
			a.next()
		case n > 0:
			found = []Difference{{Live: noRow, Rebuilt: "(row)", Key: r.key(b)}}
			b.next()
		default:
			for i, c := range r.columns {
				if same := bytes.Equal(a.row[i], b.row[i]) && (a.row[i] == nil) == (b.row[i] == nil); !same {
					found = append(found, Difference{Key: r.key(a), Column: c.name, Live: r.text(a, i), Rebuilt: r.text(b, i)})
				}
			}
			a.next()
			b.next()
		}
		if len(found) > 0 {
			different++
		}
		for _, d := range found[:min(len(found), most-len(first))] {
			d.Table = r.table
			first = append(first, d)
		}
	}
	if err := a.rows.Err(); err != nil {
		return 0, nil, err
	}
	return different, first, b.rows.Err()
}

// stream is a table's rows in the order of their keys.
type stream struct {
	rows pgx.Rows
	row  [][]byte // as they came; nil at the end
}

func (r *relation) sorted(ctx context.Context, db DB, schema string) (*stream, error) {
	rows, err := db.Query(ctx, fmt.Sprintf("select %s from %s order by %s", names(r.columns, (*column).selected), r.in(schema), names(r.keys, name)))
	return &stream{rows: rows}, err
}

func (s *stream) next() {
	s.row = nil
	if s.rows.Next() {
		s.row = s.rows.RawValues()
	}
}

// order compares the keys of two rows as Postgres does. One that has ended comes after all.
func (r *relation) order(a, b *stream) int {
	switch {
	case a.row == nil:
		return 1
	case b.row == nil:
		return -1
	}
	for i, c := range r.columns {
		if !c.key {
			continue
		}
		x, y := a.row[i], b.row[i]
		if c.goType.Kind() != reflect.String && c.sql != "uuid" && x[0]^y[0] >= 0x80 {
			return int(y[0]) - int(x[0]) // binary numbers and times: the first bit is the sign
		}
		if n := bytes.Compare(x, y); n != 0 {
			return n
		}
	}
	return 0
}

func (r *relation) key(s *stream) string {
	var text string
	for i, c := range r.columns {
		if c.key {
			if text != "" {
				text += ", "
			}
			text += r.text(s, i)
		}
	}
	return text
}

// text returns a value for people.
func (r *relation) text(s *stream, i int) string {
	if s.row[i] == nil {
		return "null"
	}
	if r.columns[i].cell > 0 {
		return cellText(r.columns[i].sql, s.row[i])
	}
	v, f := reflect.New(r.columns[i].goType), s.rows.FieldDescriptions()[i]
	if err := s.rows.Conn().TypeMap().Scan(f.DataTypeOID, f.Format, s.row[i], v.Interface()); err != nil {
		return string(s.row[i])
	}
	if v = reflect.Indirect(v.Elem()); r.columns[i].sql == "json" {
		return string(v.Bytes())
	}
	return fmt.Sprint(v.Interface())
}
