package projections

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// column is a field of a row struct, from its tag: `db:"name[,key][,null][,numeric]"`.
type column struct {
	name     string
	field    int
	goType   reflect.Type
	sql      string // type in Postgres
	key      bool
	null     bool   // the zero value is stored as NULL
	transfer string // type in which its values travel to unnest: an array cannot be an element of an array
}

// columnsOf reads the columns of a row struct. It panics on a mistake: that is one in the program text.
func columnsOf(row reflect.Type) (columns []column) {
	for i := range row.NumField() {
		f := row.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("db"), ",")
		if name == "-" {
			continue
		}
		c := column{name: name, field: i, goType: f.Type}
		t := f.Type
		if t.Kind() == reflect.Pointer {
			t, c.null = t.Elem(), true
		}
		c.sql = sqlType(t)
		for option := range strings.FieldsFuncSeq(options, func(r rune) bool { return r == ',' }) {
			switch {
			case option == "key" && !c.null:
				c.key = true
			case option == "null" && !c.key:
				c.null = true
			case option == "numeric" && t.Kind() == reflect.String:
				c.sql = "numeric"
			default:
				panic(fmt.Sprintf("projections: %s.%s cannot be %q", row, f.Name, option))
			}
		}
		if !identifier.MatchString(name) || c.sql == "" || c.key && (t.Kind() == reflect.Slice || t.Kind() == reflect.Bool || c.sql == "numeric") {
			panic(fmt.Sprintf("projections: %s.%s does not make a column", row, f.Name))
		}
		if c.transfer = c.sql; strings.HasSuffix(c.sql, "[]") || c.sql == "numeric" {
			c.transfer = "text"
		}
		if c.key && c.sql == "text" {
			c.sql = `text collate "C"` // in the order of its bytes, so that Go can merge what Postgres has sorted
		}
		columns = append(columns, c)
	}
	return columns
}

func sqlType(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[uuid.UUID]():
		return "uuid"
	case reflect.TypeFor[time.Time]():
		return "timestamptz"
	case reflect.TypeFor[json.RawMessage]():
		return "json"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Int, reflect.Int64:
		return "bigint"
	case reflect.Uint64: // positions and versions: they are below 2^63
		return "bigint"
	case reflect.Int32:
		return "integer"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice:
		if e := sqlType(t.Elem()); e == "text" || e == "uuid" || e == "bigint" {
			return e + "[]"
		}
	}
	return ""
}

// value returns what pgx sends for the column of row v. Pointers into the row save an allocation per value.
func (c *column) value(v reflect.Value) any {
	f := v.Field(c.field)
	if c.null && f.IsZero() {
		return nil
	}
	if c.sql == "json" {
		return []byte(reflect.Indirect(f).Bytes())
	}
	if f.Kind() == reflect.Slice && f.IsNil() {
		return reflect.MakeSlice(f.Type(), 0, 0).Interface()
	}
	if c.sql == "numeric" || f.Kind() == reflect.Slice {
		if f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		if f.Kind() == reflect.String {
			return f.String()
		}
		return f.Interface()
	}
	if f.Kind() == reflect.Pointer {
		return f.Interface()
	}
	return f.Addr().Interface()
}

// element returns what pgx sends for the column of row v as an element of an array.
func (c *column) element(v reflect.Value, types *pgtype.Map) any {
	value := c.value(v)
	if oid, ok := arrayTypes[c.sql]; ok && value != nil {
		return literal{value, oid, types}
	}
	return value
}

var arrayTypes = map[string]uint32{"text[]": pgtype.TextArrayOID, "uuid[]": pgtype.UUIDArrayOID, "bigint[]": pgtype.Int8ArrayOID}

// literal is an array in the notation of Postgres: inside another array it has to travel as text. It implements
// [pgtype.TextValuer].
type literal struct {
	value any
	oid   uint32
	types *pgtype.Map
}

func (l literal) TextValue() (pgtype.Text, error) {
	b, err := l.types.Encode(l.oid, pgtype.TextFormatCode, l.value, nil)
	return pgtype.Text{String: string(b), Valid: true}, err
}

// selected returns the column in a select list. Postgres' own text is the one form of a number that Go strings take.
func (c *column) selected() string {
	if c.sql == "numeric" {
		return c.name + "::text"
	}
	return c.name
}

func names(columns []column, of func(*column) string) string {
	var all []string
	for i := range columns {
		all = append(all, of(&columns[i]))
	}
	return strings.Join(all, ", ")
}

func keysOf(columns []column) []column {
	return slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return !c.key })
}

// compareKeys orders rows as Postgres orders their keys.
func (r *relation) compareKeys(a, b reflect.Value) int {
	for _, c := range r.keys {
		if n := compare(a.Field(c.field), b.Field(c.field)); n != 0 {
			return n
		}
	}
	return 0
}

func compare(a, b reflect.Value) int {
	switch a := a.Interface().(type) {
	case uuid.UUID:
		other := b.Interface().(uuid.UUID)
		return bytes.Compare(a[:], other[:])
	case time.Time:
		return a.Compare(b.Interface().(time.Time))
	}
	switch {
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	}
	return strings.Compare(a.String(), b.String())
}
