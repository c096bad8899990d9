package engine

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// in returns the table's name in a schema.
func (r *relation) in(schema string) string { return schema + "." + r.table }

func name(c *column) string { return c.name }

// create returns the statement that makes the table, without any index.
func (r *relation) create(schema string) string {
	return fmt.Sprintf("create table %s (%s)", r.in(schema), names(r.columns, func(c *column) string {
		if c.null || c.sql == "json" {
			return c.name + " " + c.sql
		}
		return c.name + " " + c.sql + " not null"
	}))
}

func (r *relation) createKey(schema string) string {
	return fmt.Sprintf("alter table %s add primary key (%s)", r.in(schema), names(r.keys, name))
}

// createIndexes returns the statements that make the other indexes. A fold meets rows that were updated again and
// again: Postgres is asked to tidy up sooner than by its defaults, and to have statistics of tables that are still
// small.
func (r *relation) createIndexes(schema string) (statements []string) {
	for _, index := range r.indexes {
		statements = append(statements, fmt.Sprintf("create index on %s %s", r.in(schema), index))
	}
	return append(statements, fmt.Sprintf("alter table %s set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02)", r.in(schema)))
}

// load returns the statement that reads rows by the keys in arrays.
func (r *relation) load(schema string) string {
	return fmt.Sprintf("select %s from %s t join (%s) k using (%s)",
		names(r.columns, (*column).selected), r.in(schema), unnest(r.keys), names(r.keys, name))
}

// insert returns the statement that adds rows from arrays, put the one that replaces those that exist.
func (r *relation) insert(schema string) string {
	return fmt.Sprintf("insert into %s (%s) %s", r.in(schema), names(r.columns, name), unnest(r.columns))
}

func (r *relation) put(schema string) string {
	action := "nothing"
	if rest := names(r.columns, func(c *column) string { return c.name + " = excluded." + c.name }); len(r.keys) < len(r.columns) {
		action = "update set " + rest
	}
	return fmt.Sprintf("%s on conflict (%s) do %s", r.insert(schema), names(r.keys, name), action)
}

func (r *relation) delete(schema string) string {
	return fmt.Sprintf("delete from %s t using (%s) k where (%s) = (%s)", r.in(schema), unnest(r.keys),
		names(r.keys, func(c *column) string { return "t." + c.name }), names(r.keys, func(c *column) string { return "k." + c.name }))
}

// unnest returns a select of columns from one array for each.
func unnest(columns []column) string {
	n := 0
	parameters := names(columns, func(c *column) string { n++; return fmt.Sprintf("$%d::%s[]", n, c.transfer) })
	return fmt.Sprintf("select %s from unnest(%s) as x(%s)",
		names(columns, func(c *column) string {
			if base, _, _ := strings.Cut(c.sql, " "); base != c.transfer {
				return c.name + "::" + base + " as " + c.name
			}
			return c.name
		}), parameters, names(columns, name))
}

// arrays returns columns of rows as arguments for unnest.
func arrays(columns []column, rows []reflect.Value) (args []any) {
	for i := range columns {
		args = append(args, &array{rows, element{column: &columns[i]}})
	}
	return args
}

// array is one column of rows as a Postgres array. It implements [pgtype.ArrayGetter].
type array struct {
	rows    []reflect.Value
	element element
}

func (a *array) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(len(a.rows)), LowerBound: 1}}
}

func (a *array) Index(i int) any {
	a.element.row = a.rows[i]
	return a.element.send(true)
}

// IndexType is what pgx plans for; it plans again for an element of another type.
func (a *array) IndexType() any {
	if a.element.column.sql == "json" {
		return []byte{}
	}
	return &a.element
}

// scan reads the row that rows is at, selected by the columns' select list, into row.
func (r *relation) scan(rows pgx.Rows, row reflect.Value) error {
	types, fields := rows.Conn().TypeMap(), rows.FieldDescriptions()
	r.makeCells(row)
	for i, raw := range rows.RawValues() {
		if err := r.columns[i].receive(row, raw, &fields[i], types); err != nil {
			return fmt.Errorf("projections: read %s.%s: %w", r.table, r.columns[i].name, err)
		}
	}
	return nil
}

func (r *relation) rowSize() uintptr { return r.rowType.Size() }

// weight estimates the bytes that a row takes in memory.
func (r *relation) weight(row reflect.Value) int {
	n := int(r.rowSize())
	for _, c := range r.sized {
		switch f := c.of(row); f.Kind() {
		case reflect.String:
			n += f.Len()
		case reflect.Slice:
			n += f.Len() * int(f.Type().Elem().Size())
		case reflect.Pointer:
			n += int(f.Type().Elem().Size())
		}
	}
	return n
}
