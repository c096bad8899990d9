package records

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
	"github.com/annal-crm/annal/projections/members"
)

// Filter narrows a list: everything in it must hold. The zero value lets every record pass.
type Filter struct {
	Tests []Test
	And   []Filter
	Or    []Filter // at least one of them; nil: not given
	Not   *Filter
}

// Test tests a field: all that is given must hold. Values are in the stored form of the field's type. A field without a value
// equals nothing, and differs from everything; it is neither above nor below anything.
type Test struct {
	Field string // of the kind, of Money its amount; or [Owner], [Stage], [ArchivedField], [CreatedAt], [UpdatedAt]

	Eq, Neq              *string
	In                   []string // nil: not given
	Contains, StartsWith *string  // of texts; letter case counts
	Gte, Lt              *string
	IsNull               *bool
}

// The fields that every record has beside those of its kind, by which lists can be filtered, and the last two also ordered.
const (
	Owner         = "owner"
	Stage         = "stage"
	ArchivedField = "archived"
	CreatedAt     = "createdAt"
	UpdatedAt     = "updatedAt"
)

// Order is one of the fields by which a list is in order: a sorted one of the kind, [CreatedAt] or [UpdatedAt]. Records
// without a value come before the others, or after them if Descending.
type Order struct {
	Field      string
	Descending bool
}

// Query says which records a list has, and in which order.
type Query struct {
	Filter Filter
	Search string  // parts of words, all of which must be found in the fields that are searched; empty: not given
	Order  []Order // nil: the newest first
}

// Get returns those of ids that the viewer may see.
func (k *Kind) Get(ctx context.Context, db engine.DB, v engine.Viewer, ids []uuid.UUID) (map[uuid.UUID]Row, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	c := new(where.Clause)
	members.Visible(db, k.team, c, v, "t.owner")
	c.And("t.id = any(?)", ids)
	rows, err := k.table.Find(ctx, db, c.SQL(), c.Args()...)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]Row, len(rows))
	for _, row := range rows {
		found[row.ID] = k.ShownTo(row, v)
	}
	return found, nil
}

// List returns a page of the records that the viewer may see. A test, an order or a search of fields that are hidden from
// the viewer is [where.ErrHidden]; one that the field does not take is a [domain.Invalid]; a cursor of another order is
// [engine.ErrCursor].
func (k *Kind) List(ctx context.Context, db engine.DB, v engine.Viewer, q Query, request engine.PageRequest) (engine.Page[Row], error) {
	c, err := k.clause(db, v, q)
	if err != nil {
		return engine.Page[Row]{}, err
	}
	order, err := k.order(v, q.Order)
	if err != nil {
		return engine.Page[Row]{}, err
	}
	page, err := k.table.Page(ctx, db, order, request, c.SQL(), c.Args()...)
	for i := range page.Rows {
		page.Rows[i] = k.ShownTo(page.Rows[i], v)
	}
	return page, err
}

// Count returns how many records List has in all its pages.
func (k *Kind) Count(ctx context.Context, db engine.DB, v engine.Viewer, q Query) (int, error) {
	c, err := k.clause(db, v, q)
	if err != nil {
		return 0, err
	}
	return k.table.Count(ctx, db, c.SQL(), c.Args()...)
}

// order ends with the id, in the direction of the field before it, so that an index serves the whole.
func (k *Kind) order(v engine.Viewer, by []Order) (engine.Order[Row], error) {
	if len(by) == 0 {
		by = []Order{{CreatedAt, true}}
	}
	order := k.table.Ascending()
	for _, o := range by {
		column := common[o.Field].column
		if f := k.field(o.Field); f != nil && f.key >= 0 {
			if f.Personal && !v.Personal {
				return order, where.ErrHidden
			}
			column = f.column + "_key"
		} else if o.Field != CreatedAt && o.Field != UpdatedAt {
			return order, domain.Invalid{"orderBy": "cannot be " + o.Field}
		}
		order = order.Then(column, o.Descending)
	}
	return order.Then("id", by[len(by)-1].Descending), nil
}

func (k *Kind) clause(db engine.DB, v engine.Viewer, q Query) (*where.Clause, error) {
	c := new(where.Clause)
	members.Visible(db, k.team, c, v, "t.owner")
	condition, err := k.condition(c, v, &q.Filter)
	if err != nil {
		return nil, err
	}
	if condition != "" {
		c.And(condition)
	}
	if q.Search == "" {
		return c, nil
	}

	switch words := Words(q.Search); {
	case k.hidden && !v.Personal:
		return nil, where.ErrHidden
	case k.search < 0 || len(words) == 0:
		c.And("false")
	default:
		if some := pairs(words); len(some) > 0 {
			c.And(pairsIndexed+" @> ?", some)
		}
		for _, word := range words {
			c.And("strpos(t.search, ?) > 0", word)
		}
	}
	return c, nil
}

const pairsIndexed = "string_to_array(pairs, ' ')"

// condition returns a filter as SQL, empty if everything passes.
func (k *Kind) condition(c *where.Clause, v engine.Viewer, f *Filter) (string, error) {
	var all []string
	add := func(condition string, err error) error {
		if condition != "" {
			all = append(all, "("+condition+")")
		}
		return err
	}
	for i := range f.Tests {
		if err := add(k.test(c, v, &f.Tests[i])); err != nil {
			return "", err
		}
	}
	for i := range f.And {
		if err := add(k.condition(c, v, &f.And[i])); err != nil {
			return "", err
		}
	}
	if f.Or != nil {
		either := []string{"false"}
		for i := range f.Or {
			condition, err := k.condition(c, v, &f.Or[i])
			if err != nil {
				return "", err
			}
			if condition == "" {
				condition = "true"
			}
			either = append(either, "("+condition+")")
		}
		all = append(all, "("+strings.Join(either, " or ")+")")
	}
	if f.Not != nil {
		condition, err := k.condition(c, v, f.Not)
		if err != nil {
			return "", err
		}
		if condition == "" {
			condition = "true"
		}
		all = append(all, "("+condition+") is not true") // what has no value does not meet the filter
	}
	return strings.Join(all, " and "), nil
}

// common are the columns of all kinds that can be tested.
var common = map[string]field{
	Owner:         {column: "owner", sql: "uuid"},
	Stage:         {column: "stage", sql: "text"},
	ArchivedField: {column: "archived", sql: "boolean"},
	CreatedAt:     {column: "created_at", sql: "timestamptz"},
	UpdatedAt:     {column: "updated_at", sql: "timestamptz"},
}

// test returns a test as SQL.
func (k *Kind) test(c *where.Clause, v engine.Viewer, t *Test) (string, error) {
	f, ok := common[t.Field]
	if own := k.field(t.Field); own != nil {
		if own.Personal && !v.Personal {
			return "", where.ErrHidden
		}
		f, ok = *own, true
	}
	if !ok {
		return "", domain.Invalid{t.Field: "is not a field of a " + k.Category}
	}

	column := "t." + f.column
	var all []string
	var bad error
	test := func(value *string, condition, impossible string) {
		if value == nil {
			return
		}
		parsed, err := f.parse(*value)
		switch {
		case err != nil:
			bad = domain.Invalid{t.Field: err.Error()}
		case f.sql == "text" && !where.Storable(*value): // no row has it
			all = append(all, impossible)
		default:
			all = append(all, fmt.Sprintf(condition, column, c.Arg(parsed)))
		}
	}
	test(t.Eq, "%s = %s", "false")
	test(t.Neq, "%s is distinct from %s", "true")
	test(t.Contains, "strpos(%s, %s) > 0", "false")
	test(t.StartsWith, "starts_with(%s, %s)", "false")
	test(t.Gte, "%s >= %s", "false")
	test(t.Lt, "%s < %s", "false")
	if t.In != nil {
		conditions := all
		all = nil
		for _, value := range t.In {
			test(&value, "%[2]s", "null")
		}
		all = append(conditions, fmt.Sprintf("%s = any(array[%s]::%s[])", column, strings.Join(all, ", "), f.sql))
	}
	if t.IsNull != nil {
		all = append(all, fmt.Sprintf("(%s is null) = %s", column, c.Arg(*t.IsNull)))
	}
	if f.sql != "text" && (t.Contains != nil || t.StartsWith != nil) {
		bad = domain.Invalid{t.Field: "is not a text"}
	}
	return strings.Join(all, " and "), bad
}

// parse returns a value as a parameter of the column's type.
func (f *field) parse(value string) (any, error) {
	switch f.sql {
	case "uuid":
		return uuid.Parse(value)
	case "boolean":
		return strconv.ParseBool(value)
	case "bigint":
		return strconv.ParseInt(value, 10, 64)
	case "date":
		return time.Parse(time.DateOnly, value)
	case "timestamptz":
		return time.Parse(time.RFC3339, value)
	case "numeric":
		n, err := domain.ParseDecimal(value)
		return string(n), err
	}
	return value, nil
}

// Value returns a field of a row by its name.
func (k *Kind) Value(r Row, name string) string {
	i := slices.IndexFunc(k.fields, func(f field) bool { return f.Name == name })
	if i < 0 || i >= len(r.Values) {
		return ""
	}
	return r.Values[i]
}
