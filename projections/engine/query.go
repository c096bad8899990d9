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

// DB is what queries read from: a pool or a connection. A rebuild switches tables between two statements without
// a trace, but not inside a transaction of repeatable reads.
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
	descending bool
}

// Ascending returns the order by columns, smallest first, Descending the one with the greatest first. They panic on a
// column that the table does not have or that may be NULL: that is a mistake in the program text.
func (t *Table[K, R]) Ascending(columns ...string) Order[R]  { return order[R](&t.rel, columns, false) }
func (t *Table[K, R]) Descending(columns ...string) Order[R] { return order[R](&t.rel, columns, true) }

func order[R any](r *relation, by []string, descending bool) Order[R] {
	o := Order[R]{r, nil, descending}
	for _, name := range by {
		i := slices.IndexFunc(r.columns, func(c column) bool { return c.name == name })
		if i < 0 || r.columns[i].null {
			panic(fmt.Sprintf("projections: %s cannot be ordered by %q", r.table, name))
		}
		o.columns = append(o.columns, r.columns[i])
	}
	return o
}

// Find returns the rows, called t in the condition, that meet an SQL condition, which may end with an order and a limit.
func (t *Table[K, R]) Find(ctx context.Context, db DB, condition string, args ...any) ([]R, error) {
	rows, err := db.Query(ctx, fmt.Sprintf("select %s from %s t where %s", names(t.rel.columns, (*column).selected), t, condition), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r R, err error) {
		return r, t.rel.scan(row.(pgx.Rows), reflect.ValueOf(&r).Elem())
	})
}

// Count returns how many rows meet an SQL condition on t.
func (t *Table[K, R]) Count(ctx context.Context, db DB, condition string, args ...any) (n int, err error) {
	err = db.QueryRow(ctx, fmt.Sprintf("select count(*) from %s t where %s", t, condition), args...).Scan(&n)
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
		condition = fmt.Sprintf("(%s) and (%s) %s (%s)", condition, names(order.columns, name), sign(beyond != order.descending),
			parameters(len(args), len(values)))
		args = append(slices.Clip(args), values...)
	}
	direction := " asc"
	if backward != order.descending {
		direction = " desc"
	}
	rows, err := t.Find(ctx, db, fmt.Sprintf("(%s) order by %s limit %d", condition,
		names(order.columns, func(c *column) string { return c.name + direction }), limit+1), args...)
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

func sign(beyond bool) string {
	if beyond {
		return ">"
	}
	return "<"
}

func parameters(after, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("$%d", after+i+1)
	}
	return strings.Join(all, ", ")
}

// cursor returns where a row stands in the order: the values of the columns, with the list they belong to.
func (o Order[R]) cursor(row *R) (string, error) {
	at := []any{o.name()}
	for _, c := range o.columns {
		at = append(at, reflect.ValueOf(row).Elem().Field(c.field).Interface())
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
