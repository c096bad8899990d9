package report

import (
	"io"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/internal/parquetfile"
)

// columnTypes are the types of columns in a Parquet file; what is not here is a text.
var columnTypes = map[Kind]parquetfile.Type{
	Day: parquetfile.Date, Count: parquetfile.Integer, Money: parquetfile.Decimal, Number: parquetfile.Double, Instant: parquetfile.Instant,
}

// WriteParquet writes the table as a Parquet file.
func (t *Table) WriteParquet(out io.Writer) error {
	columns := make([]parquetfile.Column, len(t.Columns))
	for i, c := range t.Columns {
		columns[i] = parquetfile.Column{Name: c.Name, Type: columnTypes[c.Kind]}
	}
	w, err := parquetfile.NewWriter(out, columns)
	if err != nil {
		return err
	}
	values := make([]any, len(columns))
	for _, row := range t.Rows {
		for i, v := range row {
			switch v := v.(type) {
			case uuid.UUID:
				values[i] = v.String()
			case domain.Decimal:
				values[i] = string(v)
			default:
				values[i] = v
			}
		}
		if err := w.Write(values...); err != nil {
			return err
		}
	}
	return w.Close()
}
