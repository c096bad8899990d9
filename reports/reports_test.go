package reports_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/sales"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/report"
)

// world is a year of an invented organization, and what its own books say.
type world struct {
	*querytest.World
	org, ada, bob uuid.UUID
	north         uuid.UUID
	now           time.Time
	deals         []*deal
	positions     map[string][]eventlog.Position // of events, by a key of the test
}

type deal struct {
	stage                   opportunity.Stage
	product                 string
	owner, customer         uuid.UUID
	opened, engaged, closed time.Time
	value                   int
	positions               []eventlog.Position
	lastAct                 time.Time
}

func day(n int) time.Time { return time.Date(2025, 1, 1, 9, 0, 0, 0, time.UTC).AddDate(0, 0, n) }

func newWorld(t *testing.T) *world {
	w := &world{World: querytest.New(t, sales.Model, acts.Model), org: uuid.New(), ada: uuid.New(), bob: uuid.New(), north: uuid.New(), now: day(365), positions: make(map[string][]eventlog.Position)}
	w.Record(w.stream(organization.Category, w.org), organization.TeamCreated{Team: w.north, Name: "North"})
	w.Record(w.stream(account.Category, w.ada), account.Invited{LoginName: "ada", Team: w.north})
	w.Record(w.stream(account.Category, w.bob), account.Invited{LoginName: "bob"})
	return w
}

func (w *world) stream(category string, id uuid.UUID) eventlog.Stream {
	return eventlog.Stream{Organization: w.org, Category: category, ID: id}
}

// at records an event that occurs at a time.
func (w *world) at(when time.Time, category string, id uuid.UUID, e any, meta domain.Metadata) eventlog.Position {
	w.Now = when
	return w.RecordAll(querytest.Event{Stream: w.stream(category, id), Payload: e, Meta: meta})[0].Position
}

// trade opens deals and takes them through their stages, at random times.
func (w *world) trade(r *rand.Rand, customers []uuid.UUID) {
	for range 120 {
		d := &deal{stage: opportunity.Prospecting, product: []string{"GTX", "MG", ""}[r.IntN(3)], owner: []uuid.UUID{w.ada, w.bob}[r.IntN(2)], customer: customers[r.IntN(len(customers))], opened: day(r.IntN(200))}
		id := uuid.New()
		happen := func(when time.Time, e any) {
			d.positions = append(d.positions, w.at(when, opportunity.Category, id, e, domain.Metadata{Actor: d.owner}))
			d.lastAct = when
		}
		happen(d.opened, opportunity.Opened{Reference: "R", Product: d.product, Owner: d.owner, Customer: d.customer, At: d.opened})
		w.deals = append(w.deals, d)
		if r.IntN(4) == 0 {
			continue
		}
		d.stage, d.engaged = opportunity.Engaging, d.opened.AddDate(0, 0, r.IntN(40))
		happen(d.engaged, opportunity.Engaged{At: d.engaged})
		closing := d.engaged.AddDate(0, 0, 1+r.IntN(90))
		switch r.IntN(3) {
		case 0:
			d.stage, d.closed, d.value = opportunity.StageWon, closing, 1+r.IntN(5000)
			happen(closing, opportunity.Won{Value: domain.Decimal(fmt.Sprint(d.value)), At: closing})
		case 1:
			d.stage, d.closed = opportunity.StageLost, closing
			happen(closing, opportunity.Lost{At: closing})
		}
	}
	w.Settle()
}

func (w *world) ask(t *testing.T, name string, v engine.Viewer, q report.Query) *report.Table {
	t.Helper()
	return w.asked(t, reports.BuiltIn(name), v, q)
}

func (w *world) asked(t *testing.T, r *report.Report, v engine.Viewer, q report.Query) *report.Table {
	t.Helper()
	q.Now = w.now
	table, err := r.Query(t.Context(), w.Pool, w.Codec, v, q)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// lines renders a table, a row a line.
func lines(t *report.Table) (all []string) {
	for _, row := range t.Rows {
		var cells []string
		for _, v := range row {
			switch v := v.(type) {
			case float64:
				cells = append(cells, fmt.Sprintf("%.1f", v))
			case time.Time:
				cells = append(cells, v.UTC().Format(time.DateOnly))
			default:
				cells = append(cells, fmt.Sprint(v))
			}
		}
		all = append(all, strings.Join(cells, " "))
	}
	return all
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The reports on business, against a calculation over the deals as the test has made them.
func TestBusiness(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	customers := []uuid.UUID{uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New()}
	for i, id := range customers {
		w.at(day(i), customer.Category, id, customer.Registered{Name: fmt.Sprint("C", i), Owner: w.ada, Source: "crm"}, domain.Metadata{})
	}
	for range 3 {
		w.at(day(1), account.Category, w.ada, account.LoggedIn{Session: uuid.New(), At: day(1)}, domain.Metadata{Actor: w.ada, IP: "192.0.2.1"})
		w.at(day(2), account.Category, w.bob, account.LoggedIn{Session: uuid.New(), At: day(2)}, domain.Metadata{Actor: w.bob})
	}
	w.trade(r, customers[:4])
	all := report.Everything(w.org)
	products := []string{"GTX", "MG", ""}
	of := func(product string) (some []*deal) {
		for _, d := range w.deals {
			if d.product == product {
				some = append(some, d)
			}
		}
		return some
	}
	named := func(product string) string { return cmp.Or(product, "") }

	t.Run("funnel", func(t *testing.T) {
		var want []string
		for _, p := range products {
			var opened, engaged, won, lost, open int
			var prospecting, engaging, waiting float64
			for _, d := range of(p) {
				opened++
				if !d.engaged.IsZero() {
					engaged++
					prospecting += d.engaged.Sub(d.opened).Hours() / 24
				}
				switch {
				case d.stage == opportunity.StageWon:
					won++
				case d.stage == opportunity.StageLost:
					lost++
				case d.engaged.IsZero():
					open++
					waiting += w.now.Sub(d.opened).Hours() / 24
				default:
					open++
					waiting += w.now.Sub(d.engaged).Hours() / 24
				}
				if !d.closed.IsZero() {
					engaging += d.closed.Sub(d.engaged).Hours() / 24
				}
			}
			want = append(want, fmt.Sprintf("%s %d %d %d %d %d %.1f %.1f %.1f", named(p), opened, engaged, won, lost, open,
				tenth(prospecting/float64(engaged)), tenth(engaging/float64(won+lost)), tenth(waiting/float64(open))))
		}
		got := lines(w.ask(t, "funnel", all, report.Query{By: []string{"product"}, Measures: []string{"opened", "engaged", "won", "lost", "open", "daysProspecting", "daysEngaging", "daysWaiting"}}))
		same(t, "funnel", got, nulls(want))

		rates := w.ask(t, "funnel", all, report.Query{Measures: []string{"opened", "engaged", "won", "lost", "engagedRate", "wonRate"}}).Rows[0]
		n := func(i int) float64 { return float64(rates[i].(int64)) }
		if math.Abs(rates[4].(float64)-n(1)/n(0)) > 0.0001 || math.Abs(rates[5].(float64)-n(2)/(n(2)+n(3))) > 0.0001 {
			t.Error(rates)
		}
	})

	t.Run("sales", func(t *testing.T) {
		type sum struct{ won, lost, value int }
		months := make(map[string]*sum)
		for _, d := range w.deals {
			if d.closed.IsZero() {
				continue
			}
			m := d.closed.Format("2006-01")
			if months[m] == nil {
				months[m] = new(sum)
			}
			if d.stage == opportunity.StageWon {
				months[m].won, months[m].value = months[m].won+1, months[m].value+d.value
			} else {
				months[m].lost++
			}
		}
		var want []string
		for _, m := range slices.Sorted(maps.Keys(months)) {
			want = append(want, fmt.Sprint(m, " ", months[m].won, " ", months[m].lost, " ", months[m].value))
		}
		q := report.Query{By: []string{"month"}}
		table := w.ask(t, "sales", all, q)
		same(t, "sales", lines(table), want)

		// Down to the events: of the first month, and of all, page by page.
		sold := reports.BuiltIn("sales")
		var month []eventlog.Position
		for _, d := range w.deals {
			if !d.closed.IsZero() && d.closed.Format("2006-01") == table.Rows[0][0] {
				month = append(month, d.positions[len(d.positions)-1])
			}
		}
		slices.Sort(month)
		var behind []eventlog.Position
		for after := eventlog.Position(0); ; {
			some, err := sold.Events(t.Context(), w.Pool, nil, all, table.Pick(q, table.Rows[0]), after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(some) == 0 {
				break
			}
			behind, after = append(behind, some...), some[len(some)-1]
		}
		if !slices.Equal(behind, month) {
			t.Errorf("behind %v are %v, want %v", table.Rows[0], behind, month)
		}

		top := w.ask(t, "sales", all, report.Query{By: []string{"month"}, Measures: []string{"wonValue"}, Order: []string{"-wonValue"}, Limit: 1})
		best := slices.Max(slices.Collect(func(yield func(int) bool) {
			for _, m := range months {
				if !yield(m.value) {
					return
				}
			}
		}))
		if !top.More || len(top.Rows) != 1 || fmt.Sprint(top.Rows[0][1]) != fmt.Sprint(best) {
			t.Error(top, best)
		}
	})

	t.Run("forecast", func(t *testing.T) {
		var want []string
		for _, p := range products {
			var open int
			var expected, value, left float64
			for _, d := range of(p) {
				if !d.closed.IsZero() {
					continue
				}
				open++
				begin := func(d *deal) time.Time {
					if d.stage == opportunity.Prospecting {
						return d.opened
					}
					return d.engaged
				}
				var closed, won int
				var brought, took float64
				history := of(p)
				if p == "" { // of no product: all tell of it
					history = w.deals
				}
				for _, past := range history {
					if past.closed.IsZero() {
						continue
					}
					closed++
					if from := past.engaged; d.stage == opportunity.Prospecting {
						took += past.closed.Sub(past.opened).Hours() / 24
					} else {
						took += past.closed.Sub(from).Hours() / 24
					}
					if past.stage == opportunity.StageWon {
						won++
						brought += float64(past.value)
					}
				}
				chance := float64(won) / float64(closed)
				expected += chance
				value += chance * brought / float64(won)
				left += max(0, took/float64(closed)-w.now.Sub(begin(d)).Hours()/24)
			}
			want = append(want, fmt.Sprintf("%s %d %.2f %.2f %.1f", p, open, expected, value, left/float64(open)))
		}
		table := w.ask(t, "forecast", all, report.Query{By: []string{"product"}})
		for i, row := range table.Rows {
			var got string
			if p, ok := row[0].(string); ok {
				got = p
			}
			var a, b [3]float64
			var n, m int
			fmt.Sscanf(strings.TrimPrefix(want[i], got), "%d %f %f %f", &n, &a[0], &a[1], &a[2])
			fmt.Sscanf(fmt.Sprintln(row[1:]...), "%d %f %f %f", &m, &b[0], &b[1], &b[2])
			if n != m || math.Abs(a[0]-b[0]) > 0.011 || math.Abs(a[1]-b[1]) > 0.02 || math.Abs(a[2]-b[2]) > 0.11 {
				t.Errorf("%v, want %s", row, want[i])
			}
		}
		months := w.ask(t, "forecast", all, report.Query{By: []string{"month"}, Measures: []string{"open"}})
		if first := months.Rows[0][0].(string); first < w.now.Format("2006-01") {
			t.Error("expects something in the past:", first)
		}
	})

	t.Run("ageing", func(t *testing.T) {
		bucket := func(last time.Time) string {
			days := w.now.Sub(last).Hours() / 24
			switch {
			case last.IsZero():
				return "never"
			case days < 30:
				return "000-029"
			case days < 90:
				return "030-089"
			case days < 180:
				return "090-179"
			case days < 365:
				return "180-364"
			}
			return "365+"
		}
		last := make(map[uuid.UUID]time.Time)
		for _, d := range w.deals {
			if d.lastAct.After(last[d.customer]) {
				last[d.customer] = d.lastAct
			}
		}
		count := make(map[string]int)
		for _, id := range customers {
			count[bucket(last[id])]++
		}
		var want []string
		for _, b := range slices.Sorted(maps.Keys(count)) {
			want = append(want, fmt.Sprint(b, " ", count[b]))
		}
		same(t, "ageing", lines(w.ask(t, "ageing", all, report.Query{By: []string{"age"}, Measures: []string{"customers"}})), want)
	})

	t.Run("who sees what", func(t *testing.T) {
		total := func(v engine.Viewer, name, measure string) int64 {
			return w.ask(t, name, v, report.Query{Measures: []string{measure}}).Rows[0][0].(int64)
		}
		var adas int64
		for _, d := range w.deals {
			if d.owner == w.ada {
				adas++
			}
		}
		own := engine.Viewer{Organization: w.org, Account: w.ada, Scope: organization.Own}
		team := engine.Viewer{Organization: w.org, Account: w.bob, Scope: organization.Team, Teams: []uuid.UUID{w.north}}
		stranger := report.Everything(uuid.New())
		if got := total(own, "funnel", "opened"); got != adas {
			t.Error(got, adas)
		}
		if got := total(team, "funnel", "opened"); got != int64(len(w.deals)) {
			t.Error(got, len(w.deals))
		}
		for _, r := range reports.Reports {
			if got := total(stranger, r.Name, r.Measures[0].Name); got != 0 {
				t.Errorf("another organization sees %d in %s", got, r.Name)
			}
		}
		// What others have closed tells somebody nothing who sees only their own.
		forecast := w.ask(t, "forecast", own, report.Query{Measures: []string{"open"}, By: []string{"region"}})
		if len(forecast.Rows) != 1 || forecast.Rows[0][0] != "North" {
			t.Error(forecast.Rows)
		}
	})

	t.Run("wrong questions", func(t *testing.T) {
		in := func(dimension string, values ...string) report.Query {
			return report.Query{Filter: report.Filter{In: map[string][]string{dimension: values}}}
		}
		for field, q := range map[string]report.Query{
			"groupBy":  {By: []string{"weather"}},
			"measures": {Measures: []string{"joy"}},
			"filter":   {Filter: report.Filter{In: map[string][]string{"weather": {"rain"}}}},
			"orderBy":  {By: []string{"month"}, Order: []string{"-joy"}},

			"measures: none":                {Measures: []string{}},
			"filter: a month of words":      in("month", "March"),
			"filter: a thirteenth month":    in("month", "2017-13"),
			"filter: no stage":              in("stage", "won", "wno"),
			"filter: no id of an account":   in("owner", "darcel.schlecht"),
			"filter: no id of a customer":   in("customer", "Hottechi"),
			"filter: no value":              in("product"),
			"filter.to: before the from":    {Filter: report.Filter{From: day(9), To: day(8)}},
			"filter.to: nothing in between": {Filter: report.Filter{From: day(9), To: day(9)}},
		} {
			field, _, _ := strings.Cut(field, ":")
			r := reports.BuiltIn("sales")
			_, err := r.Query(t.Context(), w.Pool, nil, all, q)
			if bad, ok := errors.AsType[domain.Invalid](err); !ok || bad[field] == "" {
				t.Errorf("%s: %v", field, err)
			}
		}
		for dimension, value := range map[string]string{"type": "opportunity.wonn", "day": "2017-02-30", "outcome": "fail"} {
			r := reports.BuiltIn(map[string]string{"type": "activity"}[dimension])
			if r == nil {
				r = reports.BuiltIn("signins")
			}
			if _, err := r.Query(t.Context(), w.Pool, nil, all, in(dimension, value)); err == nil || !strings.Contains(err.Error(), value) {
				t.Error(err)
			}
		}
		if _, err := reports.Find(func() (reporting.State, error) { return reporting.State{}, nil }, "weather", nil); err == nil || !strings.Contains(err.Error(), "funnel") {
			t.Error(err)
		}
	})

	// Every column of every report is an answer, together with all the others and alone.
	t.Run("every column", func(t *testing.T) {
		some := map[string]string{"stage": "won", "outcome": "failed", "type": "opportunity.won"}
		for _, r := range reports.Reports {
			var by, measures []string
			for _, c := range r.Dimensions {
				by = append(by, c.Name)
				w.ask(t, r.Name, all, report.Query{By: []string{c.Name}, Filter: report.Filter{In: map[string][]string{c.Name: {cmp.Or(some[c.Name], map[report.Kind]string{
					report.Month: "2017-03", report.Day: "2017-03-01", report.Account: all.Organization.String(), report.Customer: all.Organization.String(),
				}[c.Kind], "x")}}}})
			}
			for _, c := range r.Measures {
				measures = append(measures, c.Name)
				w.ask(t, r.Name, all, report.Query{Measures: []string{c.Name}, Order: []string{c.Name}})
			}
			q := report.Query{By: by, Measures: measures, Order: measures, Limit: 3, Offset: 1, Now: w.now, Filter: report.Filter{From: day(-9), To: day(999)}}
			table := w.ask(t, r.Name, all, q)
			for _, row := range table.Rows {
				if behind, err := r.Events(t.Context(), w.Pool, w.Codec, all, table.Pick(q, row), 0, 10); err != nil || len(behind) == 0 {
					t.Errorf("%s: nothing behind %v: %v", r.Name, row, err)
				}
			}
			if len(table.Rows) == 0 {
				t.Errorf("%s: no rows", r.Name)
			}
		}
	})
}

// tenth rounds as the reports do.
func tenth(f float64) float64 { return math.Round(f*10) / 10 }

// nulls writes a missing first value as the lines of a table have it.
func nulls(all []string) []string {
	for i, line := range all {
		if strings.HasPrefix(line, " ") {
			all[i] = "<nil>" + line
		}
	}
	return all
}
