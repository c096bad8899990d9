package sales_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/sales"
	"github.com/annal-crm/annal/reports/report"
)

var org = uuid.New()

func stream(category string) eventlog.Stream {
	return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
}

func day(month time.Month, d int) time.Time { return time.Date(2017, month, d, 0, 0, 0, 0, time.UTC) }

func TestADealCountsWhileItIsClosed(t *testing.T) {
	s, ada, bob := stream(opportunity.Category), uuid.New(), uuid.New()
	opened := opportunity.Opened{Reference: "R", Product: "GTX", Owner: ada, At: day(1, 1)}
	engaged := opportunity.Engaged{At: day(1, 11)}
	won := opportunity.Won{Value: "10", At: time.Date(2017, 3, 1, 0, 30, 0, 0, time.FixedZone("", 3600))} // in UTC it is February
	base := sales.Deal{Stage: opportunity.Prospecting, Product: "GTX", Owner: ada, OpenedAt: day(1, 1), Since: day(1, 1), Opened: 1}
	with := func(changes ...func(*sales.Deal)) sales.Deal {
		d := base
		for _, change := range changes {
			change(&d)
		}
		return d
	}
	talking := func(d *sales.Deal) {
		d.Stage, d.EngagedAt, d.Since, d.Engaged = opportunity.Engaging, day(1, 11), day(1, 11), 2
	}
	const tenDays = 10 * 24 * 60 * 60
	closed := func(stage opportunity.Stage, month string, value domain.Decimal, at time.Time, worked int64) func(*sales.Deal) {
		return func(d *sales.Deal) {
			talking(d)
			d.Stage, d.Month, d.Value, d.ClosedAt, d.Since, d.Closed, d.Worked = stage, month, value, at, at, 3, worked
		}
	}
	sold := closed(opportunity.StageWon, "2017-02", "10", won.At, int64(won.At.Sub(day(1, 11)).Seconds()))
	for name, c := range map[string]struct {
		history []any
		want    sales.Deal
	}{
		"open":    {nil, base},
		"engaged": {[]any{engaged}, with(talking)},
		"won":     {[]any{engaged, won}, with(sold)},
		"lost":    {[]any{engaged, opportunity.Lost{At: day(1, 21)}}, with(closed(opportunity.StageLost, "2017-01", "", day(1, 21), tenDays))},
		"reopened": {[]any{engaged, opportunity.Lost{At: day(1, 21)}, opportunity.Reopened{At: day(2, 1)}},
			with(talking, func(d *sales.Deal) { d.Since, d.Worked = day(2, 1), tenDays })},
		"closed twice": {[]any{engaged, opportunity.Lost{At: day(1, 21)}, opportunity.Reopened{At: day(2, 1)}, opportunity.Lost{At: day(2, 11)}},
			with(closed(opportunity.StageLost, "2017-02", "", day(2, 11), 2*tenDays), func(d *sales.Deal) { d.Closed = 5 })},
		"engaged at another time": {[]any{engaged, opportunity.Lost{At: day(1, 21)}, opportunity.Reopened{At: day(2, 1)}, opportunity.Engaged{At: day(1, 12)}},
			with(talking, func(d *sales.Deal) { d.EngagedAt, d.Since, d.Engaged = day(1, 12), day(1, 12), 5 })},
		"edited": {[]any{engaged, won, opportunity.Reassigned{To: bob}, opportunity.Edited{Value: &domain.Change{To: "12"}, Product: &domain.Change{To: "MG"}, Customer: &domain.Change{To: bob.String()}}},
			with(sold, func(d *sales.Deal) { d.Value, d.Product, d.Customer, d.Owner = "12", "MG", bob, bob })},
	} {
		history := []eventlog.Event{foldtest.Fact(s, opened)}
		for _, e := range c.history {
			history = append(history, foldtest.Fact(s, e))
		}
		rows, err := foldtest.Fold(sales.Model, history...)
		if err != nil {
			t.Fatal(err)
		}
		c.want.ID, c.want.Organization = s.ID, org
		got := rows.All()["deals"]
		if len(got) != 1 {
			t.Fatalf("%s: %+v", name, got)
		}
		d := got[0].(sales.Deal)
		if !d.ClosedAt.Equal(c.want.ClosedAt) || !d.Since.Equal(c.want.Since) { // the same instant, told in another zone
			t.Errorf("%s: closed %s since %s, want %s and %s", name, d.ClosedAt, d.Since, c.want.ClosedAt, c.want.Since)
		}
		d.ClosedAt, d.Since = c.want.ClosedAt, c.want.Since
		if d != c.want {
			t.Errorf("%s: %+v, want %+v", name, d, c.want)
		}
	}
}

func TestACustomerIsTouched(t *testing.T) {
	s, deal, ada, bob := stream(customer.Category), stream(opportunity.Category), uuid.New(), uuid.New()
	at := func(d time.Time, s eventlog.Stream, e any) eventlog.Event {
		f := foldtest.Fact(s, e)
		f.OccurredAt = d
		return f
	}
	registered := at(day(1, 1), s, customer.Registered{Name: "Northwind", Owner: ada})
	imported := at(day(9, 9), s, customer.Registered{Name: "Northwind", Owner: ada, Source: "crm"})
	opened := at(day(2, 2), deal, opportunity.Opened{Customer: s.ID, Owner: bob, At: day(2, 2), Source: "crm"})
	for name, c := range map[string]struct {
		history []eventlog.Event
		want    sales.Client
	}{
		"registered":      {[]eventlog.Event{registered}, sales.Client{Owner: ada, TouchedAt: day(1, 1), Touched: 1, Registered: 1}},
		"imported":        {[]eventlog.Event{imported}, sales.Client{Owner: ada, Registered: 1}},
		"by a deal":       {[]eventlog.Event{imported, opened}, sales.Client{Owner: ada, Registered: 1, TouchedAt: day(2, 2), Touched: 2}},
		"by a deal alone": {[]eventlog.Event{opened}, sales.Client{TouchedAt: day(2, 2), Touched: 1}},
		"an earlier one":  {[]eventlog.Event{at(day(5, 5), s, customer.Registered{Name: "Northwind", Owner: ada}), opened}, sales.Client{Owner: ada, Registered: 1, TouchedAt: day(5, 5), Touched: 1}},
		"edited":          {[]eventlog.Event{registered, at(day(3, 3), s, customer.Edited{})}, sales.Client{Owner: ada, Registered: 1, TouchedAt: day(3, 3), Touched: 2}},
		"by an import":    {[]eventlog.Event{registered, at(day(3, 3), s, customer.Reassigned{To: bob, Source: "crm"})}, sales.Client{Owner: bob, Registered: 1, TouchedAt: day(1, 1), Touched: 1}},
		"archived":        {[]eventlog.Event{registered, at(day(3, 3), s, customer.Archived{})}, sales.Client{Owner: ada, Archived: true, Registered: 1, TouchedAt: day(1, 1), Touched: 1}},
		"restored":        {[]eventlog.Event{registered, at(day(3, 3), s, customer.Archived{}), at(day(4, 4), s, customer.Restored{})}, sales.Client{Owner: ada, Registered: 1, TouchedAt: day(4, 4), Touched: 3}},
		"deal moved here": {[]eventlog.Event{at(day(1, 1), deal, opportunity.Opened{Owner: bob, At: day(1, 1)}), at(day(2, 2), deal, opportunity.Edited{Customer: &domain.Change{To: s.ID.String()}})}, sales.Client{TouchedAt: day(2, 2), Touched: 2}},
	} {
		rows, err := foldtest.Fold(sales.Model, c.history...)
		if err != nil {
			t.Fatal(err)
		}
		c.want.ID, c.want.Organization = s.ID, org
		if got := rows.All()["clients"]; len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	w := querytest.New(t, sales.Model)
	// Two regions; ada is in a team two levels below the first, bob at the top of the second, eve in no team.
	tree := eventlog.Stream{Organization: org, Category: organization.Category, ID: org}
	north, oslo, dock, south := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	w.Record(tree, organization.TeamCreated{Team: north, Name: "North"})
	w.Record(tree, organization.TeamCreated{Team: south, Name: "South"})
	w.Record(tree, organization.TeamCreated{Team: oslo, Name: "Oslo", Parent: south})
	w.Record(tree, organization.TeamCreated{Team: dock, Name: "Dock", Parent: oslo})
	w.Record(tree, organization.TeamMoved{Team: oslo, Parent: north})
	names := make(map[uuid.UUID]string)
	invite := func(name string, team uuid.UUID) uuid.UUID {
		s := stream(account.Category)
		names[s.ID] = name
		w.Record(s, account.Invited{LoginName: name, Team: team})
		return s.ID
	}
	ada, bob, eve, acme := invite("ada", dock), invite("bob", south), invite("eve", uuid.Nil), uuid.New()
	names[acme] = "acme"
	deal := func(owner, customer uuid.UUID, product string, more ...any) {
		s := stream(opportunity.Category)
		w.Record(s, opportunity.Opened{Owner: owner, Customer: customer, Product: product})
		for _, e := range more {
			w.Record(s, e)
		}
	}
	won := func(value domain.Decimal, at time.Time) opportunity.Won { return opportunity.Won{Value: value, At: at} }
	deal(ada, acme, "GTX", won("0.1", day(3, 31)))
	deal(ada, acme, "GTX", won("0.2", day(4, 1)))
	deal(ada, uuid.Nil, "MG", opportunity.Lost{At: day(3, 1)})
	deal(bob, acme, "MG", won("1000000000000.0001", day(3, 2)))
	deal(bob, acme, "MG", won("7", day(3, 2)), opportunity.Reopened{})
	deal(bob, acme, "MG")
	deal(eve, uuid.Nil, "", opportunity.Lost{At: day(3, 2)})
	w.Settle()

	all := engine.Viewer{Organization: org, Account: ada, Scope: organization.All}
	scoped := func(s organization.Scope, teams ...uuid.UUID) engine.Viewer {
		v := all
		v.Scope, v.Teams = s, teams
		return v
	}
	report := func(v engine.Viewer, by []sales.Dimension, f sales.Filter) string {
		t.Helper()
		rows, err := sales.Report(t.Context(), w.Pool, v, by, f)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, r := range rows {
			lines = append(lines, strings.Trim(fmt.Sprintf("%s %s %s %s %s", r.Month, names[r.Owner], names[r.Customer], r.Product, r.Region), " ")+
				fmt.Sprintf(": %d %d %s", r.Won, r.Lost, r.WonValue))
		}
		return strings.Join(lines, ", ")
	}
	for name, c := range map[string]struct {
		viewer engine.Viewer
		by     []sales.Dimension
		filter sales.Filter
		want   string
	}{
		"by month":             {all, []sales.Dimension{sales.Month}, sales.Filter{}, "2017-03: 2 2 1000000000000.1001, 2017-04: 1 0 0.2"},
		"by product":           {all, []sales.Dimension{sales.Product}, sales.Filter{}, "GTX: 2 0 0.3, MG: 1 1 1000000000000.0001, : 0 1 0"},
		"by region":            {all, []sales.Dimension{sales.Region}, sales.Filter{}, "North: 2 1 0.3, South: 1 0 1000000000000.0001, : 0 1 0"},
		"by region and month":  {all, []sales.Dimension{sales.Region, sales.Month}, sales.Filter{Owner: ada}, "2017-03    North: 1 1 0.1, 2017-04    North: 1 0 0.2"},
		"by customer":          {all, []sales.Dimension{sales.Customer}, sales.Filter{}, "acme: 3 0 1000000000000.3001, : 0 2 0"},
		"twice the same":       {all, []sales.Dimension{sales.Month, sales.Month}, sales.Filter{Owner: eve}, "2017-03: 0 1 0"},
		"the total":            {all, nil, sales.Filter{}, ": 3 2 1000000000000.3001"},
		"the won":              {all, nil, sales.Filter{Stages: []opportunity.Stage{opportunity.StageWon}}, ": 3 0 1000000000000.3001"},
		"the open are no sale": {all, []sales.Dimension{sales.Month}, sales.Filter{Stages: []opportunity.Stage{opportunity.Engaging}}, ""},
		"of a customer":        {all, []sales.Dimension{sales.Owner}, sales.Filter{Customer: acme, Owner: bob}, "bob: 1 0 1000000000000.0001"},
		"own":                  {scoped(organization.Own), []sales.Dimension{sales.Owner}, sales.Filter{}, "ada: 2 1 0.3"},
		"of a team":            {scoped(organization.Team, south), []sales.Dimension{sales.Region}, sales.Filter{}, "North: 2 1 0.3, South: 1 0 1000000000000.0001"},
		"own team":             {scoped(organization.Team, dock), []sales.Dimension{sales.Owner}, sales.Filter{}, "ada: 2 1 0.3"},
		"none":                 {scoped(organization.None), []sales.Dimension{sales.Owner}, sales.Filter{}, ""},
		"another organization": {engine.Viewer{Organization: uuid.New(), Account: ada, Scope: organization.All}, []sales.Dimension{sales.Owner}, sales.Filter{}, ""},
	} {
		if got := report(c.viewer, c.by, c.filter); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, c.want)
		}
	}
	if got := report(all, []sales.Dimension{sales.Owner}, sales.Filter{}); strings.Count(got, ":") != 3 || !strings.Contains(got, "eve: 0 1 0") {
		t.Error(got)
	}
	if _, err := sales.Report(t.Context(), w.Pool, all, []sales.Dimension{"weather"}, sales.Filter{}); err == nil {
		t.Error("grouped by weather")
	}
}

// The time in a stage is one thing in all reports: all times of talks together, pauses between a closing and a reopening left out.
func TestTheTimeOfTalks(t *testing.T) {
	w := querytest.New(t, sales.Model)
	owner := uuid.New()
	for _, history := range [][]any{
		{opportunity.Engaged{At: day(1, 11)}, opportunity.Lost{At: day(1, 21)}, opportunity.Reopened{At: day(3, 2)}, opportunity.Won{Value: "10", At: day(3, 12)}}, // 10 days and 10
		{opportunity.Engaged{At: day(1, 11)}, opportunity.Lost{At: day(1, 21)}, opportunity.Reopened{At: day(3, 2)}},                                               // 10 and, so far, 4
	} {
		s := stream(opportunity.Category)
		w.Record(s, opportunity.Opened{Owner: owner, Product: "GTX", At: day(1, 1)})
		for _, e := range history {
			w.Record(s, e)
		}
	}
	w.Settle()
	for name, want := range map[string]string{"funnel daysEngaging": "20", "forecast daysLeft": "6", "forecast month": "2017-03"} {
		name, column, _ := strings.Cut(name, " ")
		q := report.Query{Measures: []string{column}, Now: day(3, 6)}
		if column == "month" {
			q.By, q.Measures = q.Measures, nil
		}
		for _, r := range sales.Reports {
			if r.Name != name {
				continue
			}
			table, err := r.Query(t.Context(), w.Pool, nil, report.Everything(org), q)
			if err != nil || len(table.Rows) != 1 || fmt.Sprint(table.Rows[0][0]) != want {
				t.Errorf("%s %s: %v, want %s; %v", name, column, table, want, err)
			}
		}
	}
}
