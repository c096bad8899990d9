package opportunities_test

import (
	"reflect"
	"slices"
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
	"github.com/annal-crm/annal/projections/engine/foldtest"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/engine/where"
	"github.com/annal-crm/annal/projections/opportunities"
)

var org = uuid.New()

func stream(category string) eventlog.Stream {
	return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
}

func day(d int) time.Time { return time.Date(2017, 3, d, 0, 0, 0, 0, time.UTC) }

func TestFold(t *testing.T) {
	s, ada, bob, acme := stream(opportunity.Category), uuid.New(), uuid.New(), uuid.New()
	rows, err := foldtest.Fold(opportunities.Model,
		foldtest.Event(s, opportunity.Opened{Reference: "R1", Product: "GTX Pro", Owner: ada, At: day(1)}),
		foldtest.Event(s, opportunity.Engaged{At: day(2)}),
		foldtest.Event(s, opportunity.Won{Value: "10.5", At: day(3)}),
		foldtest.Event(s, opportunity.Reassigned{From: ada, To: bob}),
		foldtest.Event(s, opportunity.Edited{Value: &domain.Change{From: "10.5", To: "11.50"}, Customer: &domain.Change{To: acme.String()},
			Reference: &domain.Change{From: "R1", To: "R2"}, Product: &domain.Change{From: "GTX Pro"}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := opportunities.Opportunity{
		ID: s.ID, Organization: org, Reference: "R2", Stage: opportunity.StageWon, Value: "11.50", Customer: acme, Owner: bob,
		OpenedAt: day(1), EngagedAt: day(2), ClosedAt: day(3),
		CreatedAt: foldtest.Start, UpdatedAt: foldtest.Start.Add(4 * time.Minute), Version: 5, Position: 5,
	}
	if got := rows.All()["opportunities"]; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("%+v, want %+v", got, want)
	}

	rows, err = foldtest.Fold(opportunities.Model,
		foldtest.Event(s, opportunity.Opened{Reference: "R1", Customer: acme, Owner: ada, At: day(1)}),
		foldtest.Event(s, opportunity.Engaged{At: day(2)}),
		foldtest.Event(s, opportunity.Won{Value: "10.5", At: day(3)}),
		foldtest.Event(s, opportunity.Reopened{At: day(4)}),
		foldtest.Event(s, opportunity.Edited{Customer: &domain.Change{From: acme.String()}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	want = opportunities.Opportunity{ID: s.ID, Organization: org, Reference: "R1", Stage: opportunity.Engaging, Owner: ada, OpenedAt: day(1), EngagedAt: day(2), CreatedAt: foldtest.Start, UpdatedAt: foldtest.Start.Add(4 * time.Minute), Version: 5, Position: 5}
	if got := rows.All()["opportunities"]; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestQueries(t *testing.T) {
	w := querytest.New(t, opportunities.Model)
	ctx, north, acme := t.Context(), uuid.New(), uuid.New()
	ada, bob := stream(account.Category), stream(account.Category)
	w.Record(ada, account.Invited{LoginName: "ada"})
	w.Record(bob, account.Invited{LoginName: "bob", Team: north})
	var ids []uuid.UUID
	open := func(reference string, owner uuid.UUID, at time.Time, more ...any) {
		s := stream(opportunity.Category)
		ids = append(ids, s.ID)
		w.Record(s, opportunity.Opened{Reference: reference, Product: "P" + reference, Customer: acme, Owner: owner, At: at})
		for _, e := range more {
			w.Record(s, e)
		}
	}
	open("1", ada.ID, day(5), opportunity.Engaged{At: day(6)})
	open("2", bob.ID, day(1), opportunity.Engaged{At: day(6)}, opportunity.Won{Value: "999999999999999.9999", At: day(7)})
	open("3", ada.ID, day(3))
	open("4", bob.ID, day(5))
	open("5", bob.ID, day(5), opportunity.Engaged{At: day(6)}, opportunity.Lost{At: day(7)}, opportunity.Edited{Customer: &domain.Change{From: acme.String()}})
	w.Settle()

	all := engine.Viewer{Organization: org, Account: ada.ID, Scope: organization.All}
	scoped := func(s organization.Scope, teams ...uuid.UUID) engine.Viewer {
		v := all
		v.Scope, v.Teams = s, teams
		return v
	}
	list := func(v engine.Viewer, f opportunities.Filter) string {
		t.Helper()
		refs := querytest.Walk(t, 2, func(r engine.PageRequest) (engine.Page[opportunities.Opportunity], error) {
			return opportunities.List(ctx, w.Pool, v, f, r)
		}, func(o opportunities.Opportunity) string { return o.Reference })
		if n, err := opportunities.Count(ctx, w.Pool, v, f); err != nil || n != len(refs) {
			t.Errorf("counted %d of %v: %v", n, refs, err)
		}
		if v.Scope != organization.All || !reflect.DeepEqual(f, opportunities.Filter{}) {
			slices.Sort(refs) // those opened on one day come in the order of their ids
		}
		return strings.Join(refs, "")
	}
	text := func(s string) *string { return &s }
	if got := list(all, opportunities.Filter{}); len(got) != 5 || got[3:] != "32" {
		t.Errorf("not the newest first: %s", got)
	}
	for name, c := range map[string]struct {
		viewer engine.Viewer
		filter opportunities.Filter
		want   string
	}{
		"closed":         {all, opportunities.Filter{Stages: []opportunity.Stage{opportunity.StageWon, opportunity.StageLost}}, "25"},
		"engaging":       {all, opportunities.Filter{Stages: []opportunity.Stage{opportunity.Engaging}}, "1"},
		"of no stage":    {all, opportunities.Filter{Stages: []opportunity.Stage{}}, ""},
		"owner":          {all, opportunities.Filter{Owner: bob.ID}, "245"},
		"customer":       {all, opportunities.Filter{Customer: acme}, "1234"},
		"reference":      {all, opportunities.Filter{Reference: &where.Text{Eq: text("3")}}, "3"},
		"product":        {all, opportunities.Filter{Product: &where.Text{In: []string{"P1", "P4"}}}, "14"},
		"own":            {scoped(organization.Own), opportunities.Filter{}, "13"},
		"team":           {scoped(organization.Team, north), opportunities.Filter{}, "12345"},
		"another team":   {scoped(organization.Team, uuid.New()), opportunities.Filter{}, "13"},
		"none":           {scoped(organization.None), opportunities.Filter{}, ""},
		"of others, own": {scoped(organization.Own), opportunities.Filter{Owner: bob.ID}, ""},
	} {
		if got := list(c.viewer, c.filter); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	found, err := opportunities.Get(ctx, w.Pool, scoped(organization.Own), ids)
	if err != nil || len(found) != 2 {
		t.Errorf("%+v, %v", found, err)
	}
	found, err = opportunities.Get(ctx, w.Pool, all, ids)
	if won := found[ids[1]]; err != nil || won.Value != "999999999999999.9999" || !won.ClosedAt.Equal(day(7)) {
		t.Errorf("%+v, %v", won, err)
	}
	if open := found[ids[0]]; open.Value != "" || !open.ClosedAt.IsZero() {
		t.Errorf("%+v", open)
	}
}
