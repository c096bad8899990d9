package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/domain/organization"
)

// DB is what queries read from: a pool or a connection, or [Result.DB]. They name their tables by [Table.In]. A
// rebuild switches tables between two statements without a trace, but not inside a transaction of repeatable reads.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Viewer says whose rows a query may show.
type Viewer = organization.Viewer

// ErrCursor reports a cursor that no page of this list has returned.
var ErrCursor = errors.New("projections: not a cursor of this list")

// PageRequest asks for rows of a list: the First after a cursor, or the Last before one. Both cursors may bound it.
type PageRequest struct {
	First, Last   int    // one of them is above 0; if none is, First is [DefaultPage]
	After, Before string // cursors from [Page]; empty: the ends of the list
}

// DefaultPage is the number of rows that a page has if nobody says.
const DefaultPage = 20

// Page is a part of a list, in the list's order whichever end it was asked from.
type Page[R any] struct {
	Rows                 []R
	Cursors              []string // of the rows
	HasNext, HasPrevious bool
}

// Order is an order of a table's rows: by columns that are never NULL, the last of them (with those before) unique.
type Order[R any] struct {
	relation   *relation
	columns    []column
	descending []bool // of each column
}

// Ascending returns the order by columns, smallest first, Descending the one with the greatest first. They panic on a
// column that the table does not have or that may be NULL: that is a mistake in the program text.
func (t *Table[K, R]) Ascending(columns ...string) Order[R]  { return t.order(columns, false) }
func (t *Table[K, R]) Descending(columns ...string) Order[R] { return t.order(columns, true) }

func (t *Table[K, R]) order(columns []string, descending bool) Order[R] {
	o := Order[R]{relation: &t.rel}
	for _, name := range columns {
		o = o.Then(name, descending)
	}
	return o
}

// Then returns the order with another column, by which rows stand that are equal so far. Only an order whose columns have one
// direction is read along an index alone; of another, the columns up to the first turn are.
func (o Order[R]) Then(name string, descending bool) Order[R] {
	i := slices.IndexFunc(o.relation.columns, func(c column) bool { return c.name == name })
	if i < 0 || o.relation.columns[i].null {
		panic(fmt.Sprintf("projections: %s cannot be ordered by %q", o.relation.table, name))
	}
	o.columns = append(slices.Clip(o.columns), o.relation.columns[i])
	o.descending = append(slices.Clip(o.descending), descending)
	return o
}

// Find returns the rows, called t in the condition, that meet an SQL condition, which may end with an order and a limit.
func (t *Table[K, R]) Find(ctx context.Context, db DB, condition string, args ...any) ([]R, error) {
	rows, err := db.Query(ctx, fmt.Sprintf("select %s from %s t where %s", names(t.rel.columns, (*column).selected), t.In(db), condition), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r R, err error) {
		return r, t.rel.scan(row.(pgx.Rows), reflect.ValueOf(&r).Elem())
	})
}

// Count returns how many rows meet an SQL condition on t.
func (t *Table[K, R]) Count(ctx context.Context, db DB, condition string, args ...any) (n int, err error) {
	err = db.QueryRow(ctx, fmt.Sprintf("select count(*) from %s t where %s", t.In(db), condition), args...).Scan(&n)
	return n, err
}

// Page returns a part of the list of rows that meet an SQL condition on t. A cursor of another list is [ErrCursor].
func (t *Table[K, R]) Page(ctx context.Context, db DB, order Order[R], request PageRequest, condition string, args ...any) (page Page[R], err error) {
	backward := request.Last > 0 && request.First == 0
	limit := request.First
	if backward {
		limit = request.Last
	} else if limit == 0 {
		limit = DefaultPage
	}
	for i, cursor := range []string{request.After, request.Before} {
		if cursor == "" {
			continue
		}
		beyond := i == 0
		values, err := order.values(cursor)
		if err != nil {
			return page, err
		}
		condition = fmt.Sprintf("(%s) and %s", condition, order.bound(beyond, len(args)))
		args = append(slices.Clip(args), values...)
	}
	rows, err := t.Find(ctx, db, fmt.Sprintf("(%s) order by %s limit %d", condition, order.by(backward), limit+1), args...)
	if err != nil {
		return page, err
	}
	more := len(rows) > limit // one row too many is asked for to learn this
	rows = rows[:min(limit, len(rows))]
	if page.HasNext, page.HasPrevious = more, request.After != ""; backward {
		page.HasNext, page.HasPrevious = request.Before != "", more
		slices.Reverse(rows)
	}
	page.Rows, page.Cursors = rows, make([]string, len(rows))
	for i := range rows {
		if page.Cursors[i], err = order.cursor(&rows[i]); err != nil {
			return page, err
		}
	}
	return page, nil
}

// by returns what follows "order by".
func (o Order[R]) by(backward bool) string {
	all := make([]string, len(o.columns))
	for i, c := range o.columns {
		all[i] = c.name + " asc"
		if backward != o.descending[i] {
			all[i] = c.name + " desc"
		}
	}
	return strings.Join(all, ", ")
}

// bound returns the condition of rows beyond a cursor, or before it, whose values are the parameters after some. Columns that
// go in one direction are compared as one row, which an index serves; a turn begins a comparison of what is equal so far.
func (o Order[R]) bound(beyond bool, after int) string {
	parameter := func(i int) string { return fmt.Sprintf("$%d", after+i+1) }
	var equal, start string
	var either []string
	for from, to := 0, 0; from < len(o.columns); from = to {
		var columns, values []string
		for to = from; to < len(o.columns) && o.descending[to] == o.descending[from]; to++ {
			columns, values = append(columns, o.columns[to].name), append(values, parameter(to))
		}
		sign := "<"
		if beyond != o.descending[from] {
			sign = ">"
		}
		left, right := "("+strings.Join(columns, ", ")+")", "("+strings.Join(values, ", ")+")"
		either = append(either, fmt.Sprintf("%s%s %s %s", equal, left, sign, right))
		equal += fmt.Sprintf("%s = %s and ", left, right)
		if from == 0 && to < len(o.columns) { // the part of an index to read
			start = fmt.Sprintf("%s %s= %s and ", left, sign, right)
		}
	}
	return start + "(" + strings.Join(either, " or ") + ")"
}

// cursor returns where a row stands in the order: the values of the columns, with the list they belong to.
func (o Order[R]) cursor(row *R) (string, error) {
	at := []any{o.name()}
	for _, c := range o.columns {
		value := c.of(reflect.ValueOf(row).Elem())
		if c.sql == "bytea" {
			at = append(at, []byte(value.String()))
			continue
		}
		at = append(at, value.Interface())
	}
	b, err := json.Marshal(at)
	return base64.RawURLEncoding.EncodeToString(b), err
}

func (o Order[R]) values(cursor string) ([]any, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return nil, ErrCursor
	}
	var list string
	into := []any{&list}
	for _, c := range o.columns {
		if c.sql == "bytea" {
			c.goType = reflect.TypeFor[[]byte]()
		}
		into = append(into, reflect.New(c.goType).Interface())
	}
	raw := make([]json.RawMessage, 0, len(into))
	if err := json.Unmarshal(b, &raw); err != nil || len(raw) != len(into) {
		return nil, ErrCursor
	}
	for i := range raw {
		if err := json.Unmarshal(raw[i], into[i]); err != nil || string(raw[i]) == "null" || bytes.Contains(raw[i], []byte(`\u0000`)) {
			return nil, ErrCursor
		}
		if v := reflect.ValueOf(into[i]).Elem(); v.CanUint() && v.Uint() > math.MaxInt64 {
			return nil, ErrCursor
		}
	}
	if list != o.name() {
		return nil, ErrCursor
	}
	return into[1:], nil
}

func (o Order[R]) name() string { return o.relation.table + " by " + names(o.columns, name) }
