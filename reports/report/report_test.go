package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/reports/report"
)

func sample() (*report.Table, uuid.UUID) {
	ada := uuid.New()
	return &report.Table{By: 2, Columns: []report.Column{
		{Name: "owner", Kind: report.Account}, {Name: "month", Kind: report.Month}, {Name: "won", Kind: report.Count}, {Name: "value", Kind: report.Money}, {Name: "rate", Kind: report.Number}, {Name: "last", Kind: report.Instant},
	}, Rows: [][]any{
		{ada, "2017-03", int64(2), domain.Decimal("12.5"), 0.25, time.Date(2017, 3, 1, 1, 0, 0, 0, time.FixedZone("", 3600))},
		{nil, nil, int64(0), domain.Decimal("0"), nil, nil},
	}}, ada
}

func TestFormats(t *testing.T) {
	plain, ada := sample()
	table := plain.Named(map[uuid.UUID]string{ada: "=ada, the first"})
	var text, comma, object, columns bytes.Buffer
	for _, err := range []error{table.WriteText(&text), table.WriteCSV(&comma), table.WriteJSON(&object), table.WriteParquet(&columns)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if lines := strings.Split(text.String(), "\n"); len(lines) != 4 || !strings.HasPrefix(lines[0], "owner ") || !strings.HasPrefix(lines[2], "-      ") || !strings.Contains(lines[1], "2017-03-01 00:00") {
		t.Error(text.String())
	}
	lines, err := csv.NewReader(&comma).ReadAll()
	if want := [][]string{
		{"owner", "ownerId", "month", "won", "value", "rate", "last"},
		{"'=ada, the first", ada.String(), "2017-03", "2", "12.5", "0.25", "2017-03-01T00:00:00Z"},
		{"", "", "", "0", "0", "", ""},
	}; err != nil || !reflect.DeepEqual(lines, want) {
		t.Error(lines, err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(object.Bytes(), &rows); err != nil || len(rows) != 2 {
		t.Fatal(object.String(), err)
	}
	if want := (map[string]any{"owner": "=ada, the first", "ownerId": ada.String(), "month": "2017-03", "won": 2.0, "value": "12.5", "rate": 0.25, "last": "2017-03-01T00:00:00Z"}); !reflect.DeepEqual(rows[0], want) {
		t.Error(rows[0])
	}
	if rows[1]["owner"] != nil || rows[1]["rate"] != nil || rows[1]["value"] != "0" {
		t.Error(rows[1])
	}
	if i, j := strings.Index(object.String(), "ownerId"), strings.Index(object.String(), "month"); i > j {
		t.Error("the fields are not in the order of the columns")
	}
	f, err := parquet.OpenFile(bytes.NewReader(columns.Bytes()), int64(columns.Len()))
	if err != nil || f.NumRows() != 2 || len(f.Schema().Fields()) != 7 {
		t.Error(err, f)
	}

	var empty bytes.Buffer
	if err := (&report.Table{}).WriteJSON(&empty); err != nil || empty.String() != "[]\n" {
		t.Errorf("%q, %v", empty.String(), err)
	}
}

func TestRowsByTheirNames(t *testing.T) {
	a, b, c := uuid.MustParse("00000000-0000-0000-0000-000000000001"), uuid.MustParse("00000000-0000-0000-0000-000000000002"), uuid.New()
	table := (&report.Table{By: 2, Columns: []report.Column{{Name: "owner", Kind: report.Account}, {Name: "month", Kind: report.Month}, {Name: "won", Kind: report.Count}}, Rows: [][]any{
		{a, "2017-04", int64(1)}, {a, "2017-03", int64(2)}, {c, nil, int64(3)}, {nil, nil, int64(4)}, {b, "2017-03", int64(5)},
	}}).Named(map[uuid.UUID]string{a: "zoe", b: "ada"})
	table.Sort()
	var order []any
	for _, row := range table.Rows {
		order = append(order, row[3])
	}
	if want := []any{int64(5), int64(2), int64(1), int64(3), int64(4)}; /* of no name, of nobody */ !reflect.DeepEqual(order, want) {
		t.Errorf("%v, want %v", order, want)
	}
}

func TestPickingARow(t *testing.T) {
	table, ada := sample()
	q := report.Query{By: []string{"owner", "month", "owner"}, Filter: report.Filter{In: map[string][]string{"product": {"GTX"}}}}
	if got, want := table.Pick(q, table.Rows[0]).Filter.In, (map[string][]string{"product": {"GTX"}, "owner": {ada.String()}, "month": {"2017-03"}}); !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
	if got := table.Pick(q, table.Rows[1]).Filter.In["owner"]; !reflect.DeepEqual(got, []string{""}) || len(q.Filter.In) != 1 {
		t.Error(got, q)
	}
}
