package graph

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/records"
)

// maxFilterValues is how many values a filter may compare with: each is a parameter of a statement.
const maxFilterValues = 1000

// recordQuery reads the arguments of a list by the declaration of its kind. The validator has held them to the schema.
func recordQuery(k *record.Kind, filter model.Input, orderBy []model.Input) (records.Query, error) {
	r := filterReader{kind: k, bad: domain.Invalid{}, values: maxFilterValues}
	q := records.Query{Filter: r.filter("filter", filter)}
	for i, by := range orderBy {
		q.Order = append(q.Order, r.order(fmt.Sprint("orderBy.", i), by))
	}
	if r.values < 0 {
		r.bad["filter"] = fmt.Sprint("has more than ", maxFilterValues, " values")
	}
	return q, r.bad.Err()
}

// filterReader reads filters, and notes in bad what is wrong with which argument.
type filterReader struct {
	kind   *record.Kind
	bad    domain.Invalid
	values int // how many may still come
}

// commonFields are those that every record has.
var commonFields = []record.Field{
	{Name: records.Owner, Type: record.Ref},
	{Name: records.Stage, Type: record.Choice},
	{Name: records.CreatedAt, Type: record.Time},
	{Name: records.UpdatedAt, Type: record.Time},
}

func (r *filterReader) field(name string) *record.Field {
	for i := range commonFields {
		if commonFields[i].Name == name {
			return &commonFields[i]
		}
	}
	return r.kind.Field(name)
}

func (r *filterReader) filter(path string, in model.Input) (f records.Filter) {
	for name, v := range in {
		at := path + "." + name
		if v == nil {
			r.bad[at] = noNull
			continue
		}
		switch name {
		case "and":
			f.And = append(f.And, r.filters(at, v)...)
		case "or":
			f.Or = r.filters(at, v)
		case "not":
			not := r.filter(at, v.(map[string]any))
			f.Not = &not
		case records.ArchivedField:
			archived := strconv.FormatBool(v.(bool))
			f.Tests = append(f.Tests, records.Test{Field: name, Eq: &archived})
		default:
			f.Tests = append(f.Tests, r.test(at, r.field(name), v.(map[string]any)))
		}
	}
	return f
}

const noNull = "must not be null; what has no value is found by isNull: true"

func (r *filterReader) filters(path string, v any) []records.Filter {
	filters := []records.Filter{}
	for i, one := range graphql.CoerceList(v) {
		filters = append(filters, r.filter(fmt.Sprint(path, ".", i), one.(map[string]any)))
	}
	return filters
}

func (r *filterReader) test(path string, f *record.Field, in map[string]any) records.Test {
	t := records.Test{Field: f.Name}
	for name, v := range in {
		at := path + "." + name
		if v == nil {
			r.bad[at] = noNull
			continue
		}
		switch name {
		case "eq":
			t.Eq = r.value(at, f, v)
		case "neq":
			t.Neq = r.value(at, f, v)
		case "contains":
			t.Contains = r.value(at, f, v)
		case "startsWith":
			t.StartsWith = r.value(at, f, v)
		case "gte":
			t.Gte = r.value(at, f, v)
		case "lt":
			t.Lt = r.value(at, f, v)
		case "in":
			t.In = []string{}
			for i, one := range graphql.CoerceList(v) {
				t.In = append(t.In, *r.value(fmt.Sprint(at, ".", i), f, one))
			}
		case "isNull":
			is := v.(bool)
			t.IsNull = &is
		}
	}
	return t
}

// value reads what a field is compared with; of money that is an amount.
func (r *filterReader) value(path string, f *record.Field, v any) *string {
	r.values--
	text, err := stored(f, v)
	if err == nil {
		switch f.Type {
		case record.Ref:
			_, err = model.UnmarshalID(v)
		case record.Time:
			_, err = model.UnmarshalTime(v)
		case record.Decimal, record.Money:
			_, err = model.UnmarshalDecimal(v)
		case record.Day:
			_, err = time.Parse(time.DateOnly, text)
		}
	}
	if err != nil {
		r.bad[path] = err.Error()
	}
	return &text
}

// order reads one order of a list. The schema has the names of fields in capitals: startsOn is STARTS_ON.
func (r *filterReader) order(path string, in model.Input) (o records.Order) {
	o.Descending = in["direction"] == "DESC"
	if direction, given := in["direction"]; given && direction == nil {
		r.bad[path+".direction"] = "must not be null"
	}
	by, _ := in["by"].(string)
	by = strings.ReplaceAll(by, "_", "")
	for _, name := range []string{records.CreatedAt, records.UpdatedAt} {
		if strings.EqualFold(by, name) {
			o.Field = name
		}
	}
	for _, f := range r.kind.Fields {
		if strings.EqualFold(by, f.Name) {
			o.Field = f.Name
		}
	}
	return o
}
