package parquetfile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// What was written is read again, by the library's own reader of Go structs; more than one row group of it.
func TestWhatWasWrittenIsRead(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, []Column{{"text", Text}, {"count", Integer}, {"rate", Double}, {"value", Decimal}, {"day", Date}, {"at", Instant}, {"data", JSON}})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2017, 3, 1, 12, 30, 0, 123456000, time.UTC)
	const rows = group + 3
	for i := range rows {
		values := []any{fmt.Sprint("n", i), int64(i), 0.5, "-12.5", "1969-12-31", at, []byte(`{"a":1}`)}
		if i == 1 {
			values = make([]any, 7)
		}
		if err := w.Write(values...); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil || f.NumRows() != rows || len(f.RowGroups()) != 2 {
		t.Fatal(err, f.NumRows(), len(f.RowGroups()))
	}
	for _, type_ := range []string{"DECIMAL(38,4)", "DATE", "TIMESTAMP", "JSON", "STRING"} {
		if !strings.Contains(f.Schema().String(), type_) {
			t.Errorf("no %s in %s", type_, f.Schema())
		}
	}
	var order []string
	for _, field := range f.Schema().Fields() {
		order = append(order, field.Name())
	}
	if want := "text count rate value day at data"; strings.Join(order, " ") != want || strings.Contains(f.Metadata().CreatedBy, "(build )") {
		t.Errorf("%s, want %s; by %s", order, want, f.Metadata().CreatedBy)
	}
	read := make([]parquet.Row, 3)
	group := f.RowGroups()[0].Rows()
	defer group.Close()
	if n, err := group.ReadRows(read); n != 3 {
		t.Fatal(n, err)
	}
	value := func(row int, column string) parquet.Value {
		leaf, _ := f.Schema().Lookup(column)
		return read[row][leaf.ColumnIndex]
	}
	for _, c := range read[1] {
		if !c.IsNull() {
			t.Error(c)
		}
	}
	for column, want := range map[string]string{"text": "n2", "count": "2", "rate": "0.5", "day": "-1", "at": fmt.Sprint(at.UnixMicro()), "data": `{"a":1}`} {
		if got := value(2, column).String(); got != want {
			t.Errorf("%s is %s, want %s", column, got, want)
		}
	}
	want := append(bytes.Repeat([]byte{0xff}, 13), 0xfe, 0x17, 0xb8) // −125000 as two's complement
	if got := value(2, "value").ByteArray(); !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
}

func TestWhatDoesNotFitIsAnError(t *testing.T) {
	for _, c := range []struct {
		column Type
		value  any
	}{{Decimal, "1.00001"}, {Decimal, "1" + strings.Repeat("0", 40)}, {Decimal, "x"}, {Date, "2017-13-01"}, {Integer, struct{}{}}} {
		w, err := NewWriter(new(bytes.Buffer), []Column{{"c", c.column}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(c.value); err == nil {
			t.Errorf("%v took %v", c.column, c.value)
		}
	}
	if _, err := NewWriter(new(bytes.Buffer), []Column{{"c", Text}, {"c", Text}}); err == nil {
		t.Error("two columns of one name")
	}
}
