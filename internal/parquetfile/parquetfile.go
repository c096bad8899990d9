// Package parquetfile writes Parquet files row by row, whatever their length: one row group is in memory at a time.
//
// Every column may lack a value. What reads them (DuckDB, Arrow, Spark, pandas) sees texts, integers, doubles, decimals with 4
// digits behind the point, dates, and instants in UTC to the microsecond; a column of JSON is a text that says so.
package parquetfile

import (
	"fmt"
	"io"
	"math/big"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// Type is what a column holds, and the Go type of its values.
type Type int

const (
	Text    Type = iota // string
	JSON                // string or []byte
	Integer             // int64
	Double              // float64
	Decimal             // string: at most 34 digits before the point
	Date                // string: "2017-03-01"
	Instant             // time.Time
)

// Column is a column of a file.
type Column struct {
	Name string
	Type Type
}

const (
	scale     = 4
	precision = 38
	decimal   = 16      // bytes: what 38 digits need
	group     = 50_000  // rows: a row group of events takes some 30 MB in memory
	groupSize = 8 << 20 // bytes of texts in a row group, if they are long
)

// Writer writes a file. It is not safe for concurrent use.
type Writer struct {
	columns []Column
	places  []int // of the columns in the file
	file    *parquet.GenericWriter[any]
	row     parquet.Row
	rows    int
	size    int
}

// NewWriter begins a file with these columns. [Writer.Close] ends it; a file that is not ended cannot be read.
func NewWriter(out io.Writer, columns []Column) (*Writer, error) {
	fields := make(parquet.Group, len(columns))
	for _, c := range columns {
		if fields[c.Name] != nil {
			return nil, fmt.Errorf("parquetfile: two columns are named %q", c.Name)
		}
		fields[c.Name] = parquet.Optional(node(c.Type))
	}
	order := func(f parquet.Field) int {
		return slices.IndexFunc(columns, func(c Column) bool { return c.Name == f.Name() })
	}
	schema := parquet.NewSchema("annal", ordered{fields, slices.SortedFunc(slices.Values(fields.Fields()), func(a, b parquet.Field) int { return order(a) - order(b) })})
	w := &Writer{columns: columns, places: make([]int, len(columns)), row: make(parquet.Row, len(columns))}
	for i, c := range columns {
		leaf, ok := schema.Lookup(c.Name)
		if !ok {
			return nil, fmt.Errorf("parquetfile: no column %q", c.Name)
		}
		w.places[i] = leaf.ColumnIndex
	}
	w.file = parquet.NewGenericWriter[any](out, schema, parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}), createdBy())
	return w, nil
}

// createdBy names the program, its version and the Go that built it.
func createdBy() parquet.WriterOption {
	version, build := "development", runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return parquet.CreatedBy("annal", version, build)
}

// ordered is a group whose fields stand as they were given; those of a [parquet.Group] stand by name.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

func (o ordered) Fields() []parquet.Field { return o.fields }

func node(t Type) parquet.Node {
	switch t {
	case JSON:
		return parquet.JSON()
	case Integer:
		return parquet.Int(64)
	case Double:
		return parquet.Leaf(parquet.DoubleType)
	case Decimal:
		return parquet.Decimal(scale, precision, parquet.FixedLenByteArrayType(decimal))
	case Date:
		return parquet.Date()
	case Instant:
		return parquet.Timestamp(parquet.Microsecond)
	}
	return parquet.String()
}

// Write adds a row, of values as the columns' types say; nil is none. It keeps nothing of it.
func (w *Writer) Write(values ...any) error {
	for i, v := range values {
		at := w.places[i]
		if v == nil {
			w.row[at] = parquet.NullValue().Level(0, 0, at)
			continue
		}
		value, err := w.value(w.columns[i], v)
		if err != nil {
			return err
		}
		w.row[at] = value.Level(0, 1, at)
	}
	if _, err := w.file.WriteRows([]parquet.Row{w.row}); err != nil {
		return fmt.Errorf("parquetfile: %w", err)
	}
	if w.rows++; w.rows == group || w.size > groupSize {
		w.rows, w.size = 0, 0
		if err := w.file.Flush(); err != nil {
			return fmt.Errorf("parquetfile: %w", err)
		}
	}
	return nil
}

// Close writes what is missing to make it a file; it does not close what it writes to.
func (w *Writer) Close() error {
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("parquetfile: %w", err)
	}
	return nil
}

func (w *Writer) value(c Column, v any) (parquet.Value, error) {
	switch v := v.(type) {
	case []byte:
		w.size += len(v)
		return parquet.ByteArrayValue(v), nil
	case string:
		switch c.Type {
		case Decimal:
			b, ok := fixed(v)
			if !ok {
				return parquet.Value{}, fmt.Errorf("parquetfile: %s: %q is not a decimal that fits", c.Name, v)
			}
			return parquet.FixedLenByteArrayValue(b), nil
		case Date:
			day, err := time.Parse(time.DateOnly, v)
			if err != nil {
				return parquet.Value{}, fmt.Errorf("parquetfile: %s: %w", c.Name, err)
			}
			return parquet.Int32Value(int32(day.Unix() / (24 * 60 * 60))), nil
		}
		w.size += len(v)
		return parquet.ByteArrayValue([]byte(v)), nil
	case int64:
		return parquet.Int64Value(v), nil
	case float64:
		return parquet.DoubleValue(v), nil
	case time.Time:
		return parquet.Int64Value(v.UnixMicro()), nil
	}
	return parquet.Value{}, fmt.Errorf("parquetfile: %s cannot be a %T", c.Name, v)
}

// fixed returns a decimal number in units of its last digit, as two's complement, greatest byte first.
func fixed(s string) ([]byte, bool) {
	whole, behind, _ := strings.Cut(s, ".")
	if len(behind) > scale {
		return nil, false
	}
	n, ok := new(big.Int).SetString(whole+behind+strings.Repeat("0", scale-len(behind)), 10)
	if !ok || n.BitLen() > 8*decimal-2 {
		return nil, false
	}
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), 8*decimal))
	}
	return n.FillBytes(make([]byte, decimal)), true
}
