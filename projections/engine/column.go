package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// column is a field of a row struct, from its tag: `db:"name[,key][,null][,numeric]"`.
type column struct {
	name     string
	field    int
	cell     int // in the row's slice of columns, from 1; 0: the field itself is the column
	goType   reflect.Type
	sql      string // type in Postgres
	key      bool
	null     bool   // the zero value is stored as NULL
	transfer string // type in which its values travel to unnest: an array cannot be an element of an array
}

// columnsOf reads the columns of a row struct. It panics on a mistake: that is one in the program text.
func columnsOf(row reflect.Type, config []Column) (columns []column) {
	for i := range row.NumField() {
		f := row.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("db"), ",")
		if name == "-" {
			continue
		}
		if name == "*" && f.Type == reflect.TypeFor[[]string]() {
			columns = append(columns, cells(i, config)...)
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

// element is a value on its way to Postgres, in the words that pgx asks for; it would reach a uuid only by way of its
// text, at ten times the price. One element serves a whole column: it is set to row after row.
type element struct {
	column *column
	row    reflect.Value
}

func (e *element) value() (f reflect.Value, ok bool) {
	f = e.column.of(e.row)
	if e.column.null && f.IsZero() {
		return f, false
	}
	return reflect.Indirect(f), true
}

// UUIDValue implements [pgtype.UUIDValuer].
func (e *element) UUIDValue() (pgtype.UUID, error) {
	f, ok := e.value()
	if !ok {
		return pgtype.UUID{}, nil
	}
	return pgtype.UUID{Bytes: *f.Addr().Interface().(*uuid.UUID), Valid: true}, nil
}

// Int64Value implements [pgtype.Int64Valuer].
func (e *element) Int64Value() (pgtype.Int8, error) {
	f, ok := e.value()
	switch {
	case !ok:
		return pgtype.Int8{}, nil
	case f.CanInt():
		return pgtype.Int8{Int64: f.Int(), Valid: true}, nil
	case f.Uint() > math.MaxInt64:
		return pgtype.Int8{}, fmt.Errorf("projections: %s is too great: %d", e.column.name, f.Uint())
	}
	return pgtype.Int8{Int64: int64(f.Uint()), Valid: true}, nil
}

// BoolValue implements [pgtype.BoolValuer].
func (e *element) BoolValue() (pgtype.Bool, error) {
	f, ok := e.value()
	return pgtype.Bool{Bool: ok && f.Bool(), Valid: ok}, nil
}

// TimestamptzValue implements [pgtype.TimestamptzValuer].
func (e *element) TimestamptzValue() (pgtype.Timestamptz, error) {
	f, ok := e.value()
	if !ok {
		return pgtype.Timestamptz{}, nil
	}
	return pgtype.Timestamptz{Time: *f.Addr().Interface().(*time.Time), Valid: true}, nil
}

// BytesValue implements [pgtype.BytesValuer].
func (e *element) BytesValue() ([]byte, error) {
	f, ok := e.value()
	if !ok {
		return nil, nil
	}
	return []byte(f.String()), nil
}

// TextValue implements [pgtype.TextValuer].
func (e *element) TextValue() (pgtype.Text, error) {
	f, ok := e.value()
	switch {
	case !ok:
		return pgtype.Text{}, nil
	case f.Kind() == reflect.String:
		return pgtype.Text{String: f.String(), Valid: true}, nil
	}
	oid := arrayTypes[e.column.sql] // inside another array an array travels as text
	b, err := pgtype.NewMap().Encode(oid, pgtype.TextFormatCode, list(f), nil)
	return pgtype.Text{String: string(b), Valid: true}, err
}

var arrayTypes = map[string]uint32{"text[]": pgtype.TextArrayOID, "uuid[]": pgtype.UUIDArrayOID, "bigint[]": pgtype.Int8ArrayOID}

// list returns a slice as pgx takes it; nil is an empty one.
func list(f reflect.Value) any {
	if ids, ok := f.Interface().([]uuid.UUID); ok {
		all := make([][16]byte, len(ids))
		for i, id := range ids {
			all[i] = id
		}
		return all
	}
	if f.IsNil() {
		return []string{}
	}
	return f.Interface()
}

// send returns what pgx is to send for e's row: as an element of an array, or else as a value of its own.
func (e *element) send(inArray bool) any {
	f, ok := e.value()
	switch {
	case !ok:
		return nil
	case e.column.sql == "json":
		return []byte(f.Bytes())
	case inArray:
		return e
	case f.Kind() == reflect.Slice:
		return list(f)
	case e.column.sql == "numeric":
		var n pgtype.Numeric
		if err := n.Scan(f.String()); err != nil {
			return f.String() // Postgres will say what is wrong
		}
		return n
	}
	return e
}

// epoch is the year 2000, from which Postgres counts microseconds.
const epoch = 946684800 * 1_000_000

// receive sets the column's field of a row to a value as Postgres has sent it; NULL is the zero value.
func (c *column) receive(row reflect.Value, raw []byte, as *pgconn.FieldDescription, types *pgtype.Map) error {
	f := c.of(row)
	if raw == nil {
		f.SetZero()
		return nil
	}
	if f.Kind() == reflect.Pointer {
		f.Set(reflect.New(f.Type().Elem()))
		f = f.Elem()
	}
	binaryOf := func(oid uint32) bool { return as.DataTypeOID == oid && as.Format == pgtype.BinaryFormatCode }
	switch {
	case c.cell > 0:
		f.SetString(cellText(c.sql, raw))
	case as.DataTypeOID == pgtype.TextOID:
		f.SetString(string(raw))
	case binaryOf(pgtype.UUIDOID):
		*f.Addr().Interface().(*uuid.UUID) = uuid.UUID(raw)
	case binaryOf(pgtype.Int8OID) && f.CanInt():
		f.SetInt(int64(binary.BigEndian.Uint64(raw)))
	case binaryOf(pgtype.Int8OID):
		f.SetUint(binary.BigEndian.Uint64(raw))
	case binaryOf(pgtype.TimestamptzOID):
		f.Set(reflect.ValueOf(time.UnixMicro(epoch + int64(binary.BigEndian.Uint64(raw))).UTC()))
	default:
		return types.Scan(as.DataTypeOID, as.Format, raw, f.Addr().Interface())
	}
	return nil
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

// textsOf returns the columns whose values Postgres may refuse.
func textsOf(columns []column) (texts []*column) {
	for i := range columns {
		if c := &columns[i]; strings.HasPrefix(c.sql, "text") || c.sql == "numeric" || c.cell > 0 {
			texts = append(texts, c)
		}
	}
	return texts
}

// sizedOf returns the columns whose values lie outside of the row.
func sizedOf(columns []column) (sized []*column) {
	for i := range columns {
		switch c := &columns[i]; c.goType.Kind() {
		case reflect.String, reflect.Slice, reflect.Pointer:
			sized = append(sized, c)
		}
	}
	return sized
}

var number = regexp.MustCompile(`^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$`)

// storable reports whether Postgres takes a row's texts: it has no place for a zero byte. What else it may refuse, a
// text too long for an index, it says itself.
func (r *relation) storable(row reflect.Value) error {
	for _, c := range r.texts {
		f := c.of(row)
		if c.null && f.IsZero() {
			continue
		}
		f = reflect.Indirect(f)
		if f.Kind() == reflect.Slice {
			for i := range f.Len() {
				if strings.IndexByte(f.Index(i).String(), 0) >= 0 {
					return fmt.Errorf("%s.%s cannot hold a zero byte", r.table, c.name)
				}
			}
			continue
		}
		switch s := f.String(); {
		case c.sql != "bytea" && strings.IndexByte(s, 0) >= 0:
			return fmt.Errorf("%s.%s cannot hold a zero byte", r.table, c.name)
		case c.sql == "numeric" && !number.MatchString(s):
			return fmt.Errorf("%s.%s is not a number: %q", r.table, c.name, s)
		case c.cell > 0:
			if _, err := cellBinary(nil, c.sql, s); err != nil {
				return fmt.Errorf("%s.%s is not a %s: %w", r.table, c.name, c.sql, err)
			}
		}
	}
	return nil
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
