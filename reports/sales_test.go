package reports_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/sales"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/report"
)

func date(month time.Month, d int) time.Time {
	return time.Date(2017, month, d, 0, 0, 0, 0, time.UTC)
}

func TestTheReportOfSales(t *testing.T) {
	w, org := querytest.New(t, sales.Model), uuid.New()
	stream := func(category string) eventlog.Stream {
		return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
	}
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
	deal(ada, acme, "GTX", won("0.1", date(3, 31)))
	deal(ada, acme, "GTX", won("0.2", date(4, 1)))
	deal(ada, uuid.Nil, "MG", opportunity.Lost{At: date(3, 1)})
	deal(bob, acme, "MG", won("1000000000000.0001", date(3, 2)))
	deal(bob, acme, "MG", won("7", date(3, 2)), opportunity.Reopened{})
	deal(bob, acme, "MG")
	deal(eve, uuid.Nil, "", opportunity.Lost{At: date(3, 2)})
	w.Settle()

	all := engine.Viewer{Organization: org, Account: ada, Scope: organization.All}
	scoped := func(s organization.Scope, teams ...uuid.UUID) engine.Viewer {
		v := all
		v.Scope, v.Teams = s, teams
		return v
	}
	type only = map[string][]string
	ask := func(v engine.Viewer, by []string, in only) string {
		t.Helper()
		table, err := reports.BuiltIn("sales").Query(t.Context(), w.Pool, nil, v, report.Query{By: by, Filter: report.Filter{In: in}})
		if err != nil {
			t.Fatal(err)
		}
		lines := make([]string, len(table.Rows))
		for i, row := range table.Rows {
			cells := make([]string, len(row))
			for at, value := range row {
				if id, ok := value.(uuid.UUID); ok {
					value = names[id]
				}
				if value != nil {
					cells[at] = fmt.Sprint(value)
				}
			}
			lines[i] = strings.Join(cells[:table.By], " ") + ": " + strings.Join(cells[table.By:], " ")
		}
		return strings.Join(lines, ", ")
	}
	for name, c := range map[string]struct {
		viewer engine.Viewer
		by     []string
		in     only
		want   string
	}{
		"by month":             {all, []string{"month"}, nil, "2017-03: 2 2 1000000000000.1001, 2017-04: 1 0 0.2"},
		"by product":           {all, []string{"product"}, nil, "GTX: 2 0 0.3, MG: 1 1 1000000000000.0001, : 0 1 0"},
		"by region":            {all, []string{"region"}, nil, "North: 2 1 0.3, South: 1 0 1000000000000.0001, : 0 1 0"},
		"by region and month":  {all, []string{"region", "month"}, only{"owner": {ada.String()}}, "North 2017-03: 1 1 0.1, North 2017-04: 1 0 0.2"},
		"by customer":          {all, []string{"customer"}, nil, "acme: 3 0 1000000000000.3001, : 0 2 0"},
		"twice the same":       {all, []string{"month", "month"}, only{"owner": {eve.String()}}, "2017-03: 0 1 0"},
		"the total":            {all, nil, nil, ": 3 2 1000000000000.3001"},
		"the won":              {all, nil, only{"stage": {string(opportunity.StageWon)}}, ": 3 0 1000000000000.3001"},
		"the open are no sale": {all, []string{"month"}, only{"stage": {string(opportunity.Engaging)}}, ""},
		"of a customer":        {all, []string{"owner"}, only{"customer": {acme.String()}, "owner": {bob.String()}}, "bob: 1 0 1000000000000.0001"},
		"own":                  {scoped(organization.Own), []string{"owner"}, nil, "ada: 2 1 0.3"},
		"of a team":            {scoped(organization.Team, south), []string{"region"}, nil, "North: 2 1 0.3, South: 1 0 1000000000000.0001"},
		"own team":             {scoped(organization.Team, dock), []string{"owner"}, nil, "ada: 2 1 0.3"},
		"none":                 {scoped(organization.None), []string{"owner"}, nil, ""},
		"another organization": {engine.Viewer{Organization: uuid.New(), Account: ada, Scope: organization.All}, []string{"owner"}, nil, ""},
	} {
		if got := ask(c.viewer, c.by, c.in); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, c.want)
		}
	}
	if got := ask(all, []string{"owner"}, nil); strings.Count(got, ":") != 3 || !strings.Contains(got, "eve: 0 1 0") {
		t.Error(got)
	}
	if _, err := reports.BuiltIn("sales").Query(t.Context(), w.Pool, nil, all, report.Query{By: []string{"weather"}}); err == nil {
		t.Error("grouped by weather")
	}
}

// The time in a stage is one thing in all reports: all times of talks together, pauses between a closing and a reopening left out.
func TestTheTimeOfTalks(t *testing.T) {
	w, org := querytest.New(t, sales.Model), uuid.New()
	stream := func(category string) eventlog.Stream {
		return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
	}
	owner := uuid.New()
	for _, history := range [][]any{
		{opportunity.Engaged{At: date(1, 11)}, opportunity.Lost{At: date(1, 21)}, opportunity.Reopened{At: date(3, 2)}, opportunity.Won{Value: "10", At: date(3, 12)}}, // 10 days and 10
		{opportunity.Engaged{At: date(1, 11)}, opportunity.Lost{At: date(1, 21)}, opportunity.Reopened{At: date(3, 2)}},                                                // 10 and, so far, 4
	} {
		s := stream(opportunity.Category)
		w.Record(s, opportunity.Opened{Owner: owner, Product: "GTX", At: date(1, 1)})
		for _, e := range history {
			w.Record(s, e)
		}
	}
	w.Settle()
	for name, want := range map[string]string{"funnel daysEngaging": "20", "forecast daysLeft": "6", "forecast month": "2017-03"} {
		name, column, _ := strings.Cut(name, " ")
		q := report.Query{Measures: []string{column}, Now: date(3, 6)}
		if column == "month" {
			q.By, q.Measures = q.Measures, nil
		}
		table, err := reports.BuiltIn(name).Query(t.Context(), w.Pool, nil, report.Everything(org), q)
		if err != nil || len(table.Rows) != 1 || fmt.Sprint(table.Rows[0][0]) != want {
			t.Errorf("%s %s: %v, want %s; %v", name, column, table, want, err)
		}
	}
}
