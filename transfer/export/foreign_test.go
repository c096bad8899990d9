package export_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/reports/report"
	"github.com/annal-crm/annal/transfer/export"
)

// Other programs read our files: here Arrow's implementation of Parquet, which shares nothing with the one that writes them.

func TestArrowReadsEvents(t *testing.T) {
	w := querytest.New(t, acts.Model)
	org, ada := uuid.New(), uuid.New()
	w.Now = time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.FixedZone("", -3600)) // what is told of may be old, and told from anywhere
	w.RecordAll(querytest.Event{Stream: eventlog.Stream{Organization: org, Category: customer.Category, ID: uuid.New()},
		Payload: customer.Registered{Name: "Ärger & Söhne", Sector: "two\nlines"}, Meta: domain.Metadata{Actor: ada, IP: "192.0.2.7"}})
	w.Record(eventlog.Stream{Category: account.Category, ID: ada}, account.Activated{Credential: uuid.New()})
	all, err := w.Log.ReadAll(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var written bytes.Buffer
	if _, err := export.Events(t.Context(), w.Log, &written, export.Parquet, export.Options{}); err != nil {
		t.Fatal(err)
	}
	got := arrowed(t, written.Bytes())
	got.are(t, "int64", "position", "schema", "version")
	got.are(t, "utf8 String", "id", "type", "organization", "category", "stream", "actor")
	got.are(t, "timestamp[us, tz=UTC] Timestamp(isAdjustedToUTC=true, timeUnit=microseconds, is_from_converted_type=false, force_set_converted_type=false)", "occurredAt", "recordedAt")
	got.are(t, "binary JSON", "data", "metadata") // newer Arrows make it a text
	id := func(id uuid.UUID) string {
		if id == uuid.Nil {
			return none
		}
		return id.String()
	}
	actors := []uuid.UUID{ada, uuid.Nil}
	for i, e := range all {
		got.holds(t, i, map[string]string{
			"position": e.Position.String(), "id": e.ID.String(), "type": e.Type, "schema": fmt.Sprint(e.Schema), "organization": id(e.Stream.Organization),
			"category": e.Stream.Category, "stream": e.Stream.ID.String(), "version": fmt.Sprint(uint64(e.Version)), "actor": id(actors[i]),
			"occurredAt": e.OccurredAt.UTC().Format(time.RFC3339Nano), "recordedAt": e.RecordedAt.UTC().Format(time.RFC3339Nano),
			"data": string(e.Data), "metadata": string(e.Meta),
		})
	}
}

func TestArrowReadsReports(t *testing.T) {
	owner := uuid.New()
	at := time.Date(2017, 3, 1, 1, 30, 0, 123456000, time.FixedZone("", 2*3600))
	table := report.Table{
		Columns: []report.Column{{Name: "product", Kind: report.Text}, {Name: "month", Kind: report.Month}, {Name: "day", Kind: report.Day}, {Name: "owner", Kind: report.Account},
			{Name: "count", Kind: report.Count}, {Name: "value", Kind: report.Money}, {Name: "days", Kind: report.Number}, {Name: "since", Kind: report.Instant}},
		Rows: [][]any{
			{"GTX „Pro“", "2017-03", "2017-03-01", owner, int64(1) << 53, domain.Decimal("1234567890123456789012345678901234.5678"), 0.1, at},
			{"", "1969-12", "1969-12-31", owner, int64(-1), domain.Decimal("-0.0001"), -2.5, time.Unix(-1, 0)},
			make([]any, 8),
			{"x", "2020-02", "2020-02-29", owner, int64(0), domain.Decimal("-12.50"), 0.0, at},
		},
	}
	var written bytes.Buffer
	if err := table.WriteParquet(&written); err != nil {
		t.Fatal(err)
	}
	got := arrowed(t, written.Bytes())
	got.are(t, "utf8 String", "product", "month", "owner")
	got.are(t, "date32 Date", "day")
	got.are(t, "int64", "count")
	got.are(t, "decimal(38, 4) Decimal(precision=38, scale=4)", "value")
	got.are(t, "float64 None", "days")
	got.are(t, "timestamp[us, tz=UTC]", "since")
	names := strings.Fields("product month day owner count value days since")
	for i, want := range [][]string{
		{"GTX „Pro“", "2017-03", "2017-03-01", owner.String(), "9007199254740992", "1234567890123456789012345678901234.5678", "0.1", "2017-02-28T23:30:00.123456Z"},
		{"", "1969-12", "1969-12-31", owner.String(), "-1", "-0.0001", "-2.5", "1969-12-31T23:59:59Z"},
		slices.Repeat([]string{none}, 8),
		{"x", "2020-02", "2020-02-29", owner.String(), "0", "-12.5000", "0", "2017-02-28T23:30:00.123456Z"},
	} {
		row := make(map[string]string)
		for j, name := range names {
			row[name] = want[j]
		}
		got.holds(t, i, row)
	}
}

const none = "(null)"

// arrows is a file as Arrow sees it: of each column the type in Arrow and in Parquet, and the values as texts.
type arrows struct {
	types  map[string]string
	values map[string][]string
}

func arrowed(t *testing.T, written []byte) arrows {
	t.Helper()
	f, err := file.NewParquetReader(bytes.NewReader(written))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reader, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := reader.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	got := arrows{make(map[string]string), make(map[string][]string)}
	for i := range int(table.NumCols()) {
		column := table.Column(i)
		got.types[column.Name()] = fmt.Sprint(column.DataType(), " ", f.MetaData().Schema.Column(i).LogicalType())
		for _, chunk := range column.Data().Chunks() {
			for at := range chunk.Len() {
				got.values[column.Name()] = append(got.values[column.Name()], text(t, chunk, at))
			}
		}
	}
	return got
}

func text(t *testing.T, values arrow.Array, at int) string {
	t.Helper()
	if values.IsNull(at) {
		return none
	}
	switch values := values.(type) {
	case *array.String:
		return values.Value(at)
	case *array.Binary:
		return string(values.Value(at))
	case *array.Int64:
		return fmt.Sprint(values.Value(at))
	case *array.Float64:
		return fmt.Sprint(values.Value(at))
	case *array.Decimal128:
		return values.Value(at).ToString(values.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Date32:
		return values.Value(at).ToTime().Format(time.DateOnly)
	case *array.Timestamp:
		return values.Value(at).ToTime(arrow.Microsecond).Format(time.RFC3339Nano)
	}
	t.Fatalf("a column of %s", values.DataType())
	return ""
}

// are tells of columns that are not of a type.
func (a arrows) are(t *testing.T, type_ string, columns ...string) {
	t.Helper()
	for _, name := range columns {
		if !strings.HasPrefix(a.types[name], type_) {
			t.Errorf("%s is %q, want %s", name, a.types[name], type_)
		}
	}
}

// holds tells of a row that is not as wanted.
func (a arrows) holds(t *testing.T, row int, want map[string]string) {
	t.Helper()
	got := make(map[string]string)
	for name, values := range a.values {
		got[name] = values[row]
	}
	if !maps.Equal(got, want) {
		t.Errorf("row %d is\n%v, want\n%v", row, got, want)
	}
}
