package sales_test

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
	"github.com/annal-crm/annal/projections"
	"github.com/annal-crm/annal/projections/foldtest"
	"github.com/annal-crm/annal/projections/querytest"
	"github.com/annal-crm/annal/projections/sales"
)

var org = uuid.New()

func stream(category string) eventlog.Stream {
	return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
}

func day(month time.Month, d int) time.Time { return time.Date(2017, month, d, 0, 0, 0, 0, time.UTC) }

func TestADealCountsWhileItIsClosed(t *testing.T) {
	s, ada, bob := stream(opportunity.Category), uuid.New(), uuid.New()
	opened := opportunity.Opened{Reference: "R", Product: "GTX", Owner: ada}
	won := opportunity.Won{Value: "10", At: time.Date(2017, 3, 1, 0, 30, 0, 0, time.FixedZone("", 3600))} // in UTC it is February
	for name, c := range map[string]struct {
		history []any
		want    sales.Deal
	}{
		"open":     {nil, sales.Deal{Stage: opportunity.Prospecting, Product: "GTX", Owner: ada}},
		"won":      {[]any{won}, sales.Deal{Stage: opportunity.StageWon, Month: "2017-02", Value: "10", Product: "GTX", Owner: ada}},
		"lost":     {[]any{opportunity.Lost{At: day(3, 1)}}, sales.Deal{Stage: opportunity.StageLost, Month: "2017-03", Product: "GTX", Owner: ada}},
		"reopened": {[]any{won, opportunity.Reopened{}}, sales.Deal{Stage: opportunity.Engaging, Product: "GTX", Owner: ada}},
		"edited": {[]any{won, opportunity.Reassigned{To: bob}, opportunity.Edited{Value: &domain.Change{To: "12"}, Product: &domain.Change{To: "MG"}, Customer: &domain.Change{To: bob.String()}}},
			sales.Deal{Stage: opportunity.StageWon, Month: "2017-02", Value: "12", Product: "MG", Customer: bob, Owner: bob}},
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
		if got := rows.All()["deals"]; len(got) != 1 || got[0] != c.want {
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

	all := projections.Viewer{Organization: org, Account: ada, Scope: organization.All}
	scoped := func(s organization.Scope, teams ...uuid.UUID) projections.Viewer {
		v := all
		v.Scope, v.Teams = s, teams
		return v
	}
	report := func(v projections.Viewer, by []sales.Dimension, f sales.Filter) string {
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
		viewer projections.Viewer
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
		"another organization": {projections.Viewer{Organization: uuid.New(), Account: ada, Scope: organization.All}, []sales.Dimension{sales.Owner}, sales.Filter{}, ""},
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
