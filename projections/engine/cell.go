package engine

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// Column is a column that a [TableConfig] names. Its values are texts, elements of the row's slice of columns, whatever
// Type is: "text", "numeric", "bigint", "boolean", "uuid", "date" as 2026-01-31, "timestamptz" as RFC 3339 in UTC, or
// "bytea", the bytes themselves. An empty text is NULL, unless NotNull says that it is an empty value (text and bytea only).
type Column struct {
	Name, Type string
	NotNull    bool
}

// CellTime is the layout in which a "timestamptz" column is read.
const CellTime = "2006-01-02T15:04:05.999999Z"

// cells adds, in place of a row's slice of columns, a column for each of its elements.
func cells(field int, config []Column) (columns []column) {
	for i, c := range config {
		if !identifier.MatchString(c.Name) || cellTypes[c.Type] == 0 || c.NotNull && c.Type != "text" && c.Type != "bytea" {
			panic(fmt.Sprintf("projections: %+v does not make a column", c))
		}
		transfer := "text" // it is cast in the statement
		if c.Type == "bytea" {
			transfer = c.Type
		}
		columns = append(columns, column{
			name: c.Name, field: field, cell: i + 1, goType: reflect.TypeFor[string](), sql: c.Type, null: !c.NotNull, transfer: transfer,
		})
	}
	return columns
}

var cellTypes = map[string]uint32{
	"text": pgtype.TextOID, "numeric": pgtype.NumericOID, "bigint": pgtype.Int8OID, "boolean": pgtype.BoolOID,
	"uuid": pgtype.UUIDOID, "date": pgtype.DateOID, "timestamptz": pgtype.TimestamptzOID, "bytea": pgtype.ByteaOID,
}

var noText = reflect.ValueOf("")

// of returns the column's value in a row; a row that holds nothing yet has no cells.
func (c *column) of(row reflect.Value) reflect.Value {
	f := row.Field(c.field)
	switch {
	case c.cell == 0:
		return f
	case c.cell > f.Len():
		return noText
	}
	return f.Index(c.cell - 1)
}

// cellBinary appends Postgres' binary form of a cell. It fails if the text is no value of the type. Numbers are not its business.
func cellBinary(buf []byte, sql, value string) ([]byte, error) {
	switch sql {
	case "bigint":
		n, err := strconv.ParseInt(value, 10, 64)
		return binary.BigEndian.AppendUint64(buf, uint64(n)), err
	case "boolean":
		b, err := strconv.ParseBool(value)
		if b {
			return append(buf, 1), err
		}
		return append(buf, 0), err
	case "uuid":
		id, err := uuid.Parse(value)
		return append(buf, id[:]...), err
	case "date":
		t, err := time.Parse(time.DateOnly, value)
		return binary.BigEndian.AppendUint32(buf, uint32(t.Unix()/day-epoch/1_000_000/day)), err
	case "timestamptz":
		t, err := time.Parse(time.RFC3339, value)
		return binary.BigEndian.AppendUint64(buf, uint64(t.UnixMicro()-epoch)), err
	}
	return append(buf, value...), nil
}

const day = 24 * 60 * 60 // seconds

// cellText is the inverse of [cellBinary].
func cellText(sql string, raw []byte) string {
	switch sql {
	case "bigint":
		return strconv.FormatInt(int64(binary.BigEndian.Uint64(raw)), 10)
	case "boolean":
		return strconv.FormatBool(raw[0] != 0)
	case "uuid":
		return uuid.UUID(raw).String()
	case "date":
		return time.Unix((int64(int32(binary.BigEndian.Uint32(raw)))+epoch/1_000_000/day)*day, 0).UTC().Format(time.DateOnly)
	case "timestamptz":
		return time.UnixMicro(epoch + int64(binary.BigEndian.Uint64(raw))).UTC().Format(CellTime)
	}
	return string(raw)
}

// makeCells gives a row that is to be read room for its cells.
func (r *relation) makeCells(row reflect.Value) {
	for i := len(r.columns) - 1; i >= 0; i-- {
		if c := &r.columns[i]; c.cell > 0 { // the last of them
			row.Field(c.field).Set(reflect.ValueOf(make([]string, c.cell)))
			return
		}
	}
}

// blankable reports whether the column has a value that stands for none.
func (c *column) blankable() bool { return c.null || c.sql == "text" || c.sql == "bytea" }
