package report_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/reports/report"
)

func TestCompare(t *testing.T) {
	a, ada := sample()
	bea := uuid.New()
	b := &report.Table{By: a.By, Columns: a.Columns, Rows: [][]any{
		{nil, nil, int64(1), domain.Decimal("0.00"), nil, nil},
		{ada, "2017-03", int64(2), domain.Decimal("12.50"), 0.25, time.Date(2017, 3, 1, 0, 0, 0, 0, time.UTC)}, // the same in other words
		{bea, nil, int64(1), domain.Decimal("1"), nil, nil},
	}}
	all := []string{"won", "value", "rate", "last"}
	if got, want := a.Compare(b), []report.Difference{{A: a.Rows[1], B: b.Rows[0], Columns: []string{"won"}}, {B: b.Rows[2], Columns: all}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := b.Compare(a), []report.Difference{{A: b.Rows[0], B: a.Rows[1], Columns: []string{"won"}}, {A: b.Rows[2], Columns: all}}; !reflect.DeepEqual(got, want) {
		t.Errorf("the other way: %+v, want %+v", got, want)
	}
	if got := a.Compare(a); got != nil {
		t.Errorf("with itself: %+v", got)
	}
	b.Rows[1][3], b.Rows[1][5] = domain.Decimal("12.51"), time.Date(2017, 3, 1, 0, 0, 0, 1, time.UTC)
	if got := a.Compare(b); len(got) != 3 || !reflect.DeepEqual(got[1].Columns, []string{"value", "last"}) && !reflect.DeepEqual(got[2].Columns, []string{"value", "last"}) {
		t.Errorf("%+v", got)
	}
}
