package reports_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/report"
)

func own(t *testing.T, d reporting.Definition) *report.Report {
	t.Helper()
	r, err := reports.Own("ours", d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func in(dimension string, values ...string) reporting.Condition {
	return reporting.Condition{Dimension: dimension, In: values}
}

// Reports of one's own, against a calculation over the deals as the test has made them.
func TestReportsOfOnesOwn(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	client := uuid.New()
	w.at(day(0), customer.Category, client, customer.Registered{Name: "C", Source: "crm"}, domain.Metadata{})
	for range 150 { // closed at any minute of a year, so that zones matter
		d := &deal{product: []string{"GTX", "MG", "GTK"}[r.IntN(3)], owner: []uuid.UUID{w.ada, w.bob}[r.IntN(2)], closed: day(0).Add(time.Duration(r.IntN(365*24*60)) * time.Minute)}
		id, opened := uuid.New(), d.closed.AddDate(0, 0, -9)
		happen := func(when time.Time, e any) {
			d.positions = append(d.positions, w.at(when, opportunity.Category, id, e, domain.Metadata{Actor: d.owner}))
		}
		happen(opened, opportunity.Opened{Reference: "R", Product: d.product, Owner: d.owner, Customer: client, At: opened})
		if d.stage = opportunity.StageLost; r.IntN(2) == 0 {
			d.stage, d.value = opportunity.StageWon, 1+r.IntN(5000)
			happen(d.closed, opportunity.Won{Value: domain.Decimal(fmt.Sprint(d.value)), At: d.closed})
		} else {
			happen(d.closed, opportunity.Lost{At: d.closed})
		}
		w.deals = append(w.deals, d)
	}
	w.Settle()
	all := report.Everything(w.org)
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}

	ours := own(t, reporting.Definition{
		Base: "sales", Zone: "Asia/Shanghai", Where: []reporting.Condition{in("product", "GTX", "MG")},
		Measures: []reporting.Measure{
			{Name: "closed", Of: []string{"won", "lost"}},
			{Name: "gtx", Of: []string{"won"}, Where: []reporting.Condition{in("product", "GTX")}},
			{Name: "northern", Of: []string{"closed"}, Where: []reporting.Condition{in("region", "North"), in("product", "GTX")}},
			{Name: "northernValue", Of: []string{"wonValue"}, Where: []reporting.Condition{in("region", "North")}},
			{Name: "winRate", Of: []string{"won"}, Per: []string{"closed"}},
			{Name: "gtxRate", Of: []string{"gtx"}, Per: []string{"northern"}},
			{Name: "valuePerWin", Of: []string{"wonValue"}, Per: []string{"won"}},
		},
	})
	type sum struct {
		won, lost, value, gtx, northern, northernValue int
		positions                                      []eventlog.Position
	}
	months := make(map[string]*sum)
	otherwise := 0
	for _, d := range w.deals {
		if d.product == "GTK" {
			continue
		}
		m := d.closed.In(shanghai).Format("2006-01")
		if m != d.closed.Format("2006-01") {
			otherwise++
		}
		if months[m] == nil {
			months[m] = new(sum)
		}
		s := months[m]
		s.positions = append(s.positions, d.positions[1])
		if d.stage == opportunity.StageWon {
			s.won, s.value = s.won+1, s.value+d.value
			if d.product == "GTX" {
				s.gtx++
			}
			if d.owner == w.ada {
				s.northernValue += d.value
			}
		} else {
			s.lost++
		}
		if d.product == "GTX" && d.owner == w.ada {
			s.northern++
		}
	}
	ratio := func(a, b int) string {
		if b == 0 {
			return "<nil>"
		}
		return fmt.Sprintf("%.1f", float64(a)/float64(b))
	}
	var want []string
	for _, m := range slices.Sorted(maps.Keys(months)) {
		s := months[m]
		want = append(want, fmt.Sprintf("%s %d %d %d %d %d %d %d %s %s %s", m, s.won, s.lost, s.value, s.won+s.lost, s.gtx, s.northern, s.northernValue,
			ratio(s.won, s.won+s.lost), ratio(s.gtx, s.northern), ratio(s.value, s.won)))
	}
	q := report.Query{By: []string{"month"}}
	table := w.asked(t, ours, all, q)
	same(t, "by months of Shanghai", lines(table), want)
	if otherwise == 0 {
		t.Log("no deal of this seed was closed in another month there") // one in ninety is
	}
	for _, row := range table.Rows { // down to the events, and to what each row brings
		s := months[row[0].(string)]
		slices.Sort(s.positions)
		one := table.Pick(q, row)
		if got, err := ours.Events(t.Context(), w.Pool, nil, all, one, 0, 1000); err != nil || !slices.Equal(got, s.positions) {
			t.Errorf("behind %v: %d, want %d, %v", row, got, s.positions, err)
		}
		one.Measures = []string{"gtx"}
		records, err := ours.Records(t.Context(), w.Pool, nil, all, one, w.now, 1000)
		if records = slices.DeleteFunc(records, func(r report.Record) bool { return r.Numbers == "|0" }); err != nil || len(records) != s.gtx {
			t.Errorf("behind gtx of %v: %v, want %d, %v", row, records, s.gtx, err)
		}
	}
	// Ordered by what is its own, narrowed by a month of its own, and nothing to divide by.
	if top := w.asked(t, ours, all, report.Query{By: []string{"month"}, Measures: []string{"northernValue"}, Order: []string{"-northernValue"}, Limit: 1}); len(top.Rows) != 1 || !top.More {
		t.Error(top)
	}
	if none := w.asked(t, ours, all, report.Query{Measures: []string{"won", "winRate", "valuePerWin"}, Filter: report.Filter{In: map[string][]string{"month": {"1999-01"}}}}); none.Rows[0][1] != nil || none.Rows[0][2] != nil || none.Rows[0][0] != int64(0) {
		t.Error(none.Rows)
	}
	if got := reports.BuiltIn("sales"); len(got.Measures) != 3 || len(w.asked(t, got, all, report.Query{}).Columns) != 3 {
		t.Error("the built-in report has changed")
	}

	// Ages in bands of one's own: everybody was touched within the year.
	w.now = day(365)
	age := own(t, reporting.Definition{Base: "ageing", Bands: []int{7, 366}})
	last := slices.MaxFunc(w.deals, func(a, b *deal) int { return a.closed.Compare(b.closed) }).closed
	band := "007-365"
	if w.now.Sub(last) < 7*24*time.Hour {
		band = "000-006"
	}
	same(t, "ages", lines(w.asked(t, age, all, report.Query{By: []string{"age"}, Measures: []string{"customers"}})), []string{band + " 1"})

	// Days of a zone, of all reports that have days or months.
	for _, base := range []string{"funnel", "forecast", "activity"} {
		by := map[bool]string{true: "day", false: "month"}[base == "activity"]
		w.asked(t, own(t, reporting.Definition{Base: base, Zone: "Pacific/Midway"}), all, report.Query{By: []string{by}})
	}
	days := make(map[string]int)
	for _, d := range w.deals {
		for _, at := range []time.Time{d.closed, d.closed.AddDate(0, 0, -9)} {
			days[at.In(time.FixedZone("", -11*3600)).Format(time.DateOnly)]++
		}
	}
	want = nil
	for _, d := range slices.Sorted(maps.Keys(days)) {
		want = append(want, fmt.Sprint(d, " ", days[d]))
	}
	acts := own(t, reporting.Definition{Base: "activity", Zone: "Pacific/Midway"})
	same(t, "days of Midway", lines(w.asked(t, acts, all, report.Query{By: []string{"day"}, Measures: []string{"acts"}})), want)
	if total := w.asked(t, acts, all, report.Query{Measures: []string{"days"}}); total.Rows[0][0] != int64(len(days)) {
		t.Error(total.Rows, len(days))
	}
}

func TestWhatFitsABuiltInReport(t *testing.T) {
	w := newWorld(t)
	one := func(m reporting.Measure) reporting.Definition {
		return reporting.Definition{Base: "sales", Measures: []reporting.Measure{{Name: "rate", Of: []string{"won"}, Per: []string{"lost"}}, m}}
	}
	// Sums of the two sums before: each is as long as these together.
	chain := func(n int) reporting.Definition {
		d := reporting.Definition{Base: "sales", Measures: []reporting.Measure{{Name: "m0", Of: []string{"won"}}, {Name: "m1", Of: []string{"m0", "lost"}}}}
		for i := 2; i < n; i++ {
			d.Measures = append(d.Measures, reporting.Measure{Name: fmt.Sprintf("m%d", i), Of: []string{fmt.Sprintf("m%d", i-1), fmt.Sprintf("m%d", i-2)}})
		}
		return d
	}
	for field, definitions := range map[string][]reporting.Definition{
		"":                {{Base: "sales", Zone: "Asia/Shanghai", Bands: nil}, {Base: "sales", Zone: "America/Argentina/Buenos_Aires"}, {Base: "ageing", Bands: []int{30}}},
		"basedOn":         {{Base: "weather"}, {Base: "ours"}},
		"where":           {{Base: "sales", Where: []reporting.Condition{in("weather", "rain")}}, {Base: "sales", Where: []reporting.Condition{in("won", "1")}}, {Base: "signins", Where: []reporting.Condition{in("source", "192.0.2.1")}}},
		"bands":           {{Base: "sales", Bands: []int{30}}},
		"timeZone":        {{Base: "sales", Zone: "Asia/Atlantis"}, {Base: "sales", Zone: "asia/shanghai"}, {Base: "sales", Zone: "Mars/Base+3"}},
		"measures.1.name": {one(reporting.Measure{Name: "won", Of: []string{"lost"}}), one(reporting.Measure{Name: "month", Of: []string{"lost"}}), one(reporting.Measure{Name: "ownerId", Of: []string{"lost"}})},
		"measures.1.of": {
			one(reporting.Measure{Name: "a", Of: []string{"joy"}}), one(reporting.Measure{Name: "a", Of: []string{"a"}}), one(reporting.Measure{Name: "a", Of: []string{"rate"}}),
			one(reporting.Measure{Name: "a", Of: []string{"won", "wonValue"}}), one(reporting.Measure{Name: "a", Of: []string{"won", "won"}}),
		},
		"measures.1.per":   {one(reporting.Measure{Name: "a", Of: []string{"won"}, Per: []string{"joy"}}), one(reporting.Measure{Name: "a", Of: []string{"won"}, Per: []string{"rate"}})},
		"measures.1.where": {one(reporting.Measure{Name: "a", Of: []string{"won"}, Where: []reporting.Condition{in("weather", "rain")}})},
		"measures.0.of": {
			{Base: "ageing", Measures: []reporting.Measure{{Name: "a", Of: []string{"oldest"}}}},
			{Base: "funnel", Measures: []reporting.Measure{{Name: "a", Of: []string{"wonRate", "engagedRate"}}}},
			{Base: "funnel", Measures: []reporting.Measure{{Name: "a", Of: []string{"daysEngaging", "daysWaiting"}}}},
		},
		"measures.8.of": {chain(9)}, // 55 terms; the one before has 34
	} {
		for _, d := range definitions {
			err := reports.Check(t.Context(), w.Pool, "ours", d)
			bad, _ := errors.AsType[domain.Invalid](err)
			if fields := slices.Collect(maps.Keys(bad)); field == "" && err != nil || field != "" && (len(fields) != 1 || fields[0] != field) {
				t.Errorf("%s: %+v: %v", field, d, err)
			}
		}
	}
	if err := reports.Check(t.Context(), w.Pool, "sales", reporting.Definition{Base: "sales"}); !errors.Is(err, reports.ErrBuiltIn) {
		t.Error(err)
	}
	// What leads to personal data is personal.
	r := own(t, reporting.Definition{Base: "signins", Measures: []reporting.Measure{
		{Name: "places", Of: []string{"sources"}, Where: []reporting.Condition{in("outcome", "failed")}}, {Name: "each", Of: []string{"failed"}, Per: []string{"sources"}},
	}})
	for _, name := range []string{"places", "each"} {
		if got := r.Personal(report.Query{Measures: []string{name}}); !slices.Equal(got, []string{name}) {
			t.Error(name, got)
		}
		v := report.Everything(w.org)
		v.Personal = false
		if _, err := r.Query(t.Context(), w.Pool, w.Codec, v, report.Query{Measures: []string{name}}); err == nil {
			t.Errorf("%s is counted for who may not see personal data", name)
		}
	}
}
