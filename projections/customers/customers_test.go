package customers_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/engine/where"
)

var org = uuid.New()

func stream(category string) eventlog.Stream {
	return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
}

func TestFold(t *testing.T) {
	s, ada, bob := stream(customer.Category), uuid.New(), uuid.New()
	to := func(from, to string) *domain.Change { return &domain.Change{From: from, To: to} }
	rows, err := foldtest.Fold(customers.Model,
		foldtest.Event(s, customer.Registered{Name: "Acme", Sector: "retail", Phone: "+1", Owner: ada, Attributes: map[string]string{"b": "2", "a": "1"}}),
		foldtest.Event(s, customer.Edited{Name: to("Acme", "Acme Corporation"), Phone: to("+1", ""), Country: to("", "Norway"), Website: to("", "acme.example"),
			Email: to("", "info@acme.example"), Attributes: map[string]domain.Change{"b": {From: "2"}, "c": {To: "3"}}}),
		foldtest.Event(s, customer.Edited{Sector: to("retail", "medical"), Imported: map[string]string{"country": "Sweden"}, Source: "crm"}),
		foldtest.Event(s, customer.Reassigned{From: ada, To: bob}),
		foldtest.Event(s, customer.Archived{}),
		foldtest.Event(s, customer.Restored{}),
		foldtest.Event(s, customer.Archived{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := customers.Customer{
		ID: s.ID, Organization: org, Name: "Acme Corporation", Sector: "medical", Country: "Norway", Website: "acme.example", Email: "info@acme.example",
		Attributes: []byte(`{"a":"1","c":"3"}`), Owner: bob, Archived: true,
		CreatedAt: foldtest.Start, UpdatedAt: foldtest.Start.Add(6 * 60e9), Version: 7, Position: 7,
	}
	if got := rows.All()["customers"]; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestQueries(t *testing.T) {
	w := querytest.New(t, customers.Model)
	ctx, north, south := t.Context(), uuid.New(), uuid.New()
	ada, bob := stream(account.Category), stream(account.Category)
	w.Record(ada, account.Invited{LoginName: "ada", Team: north})
	w.Record(bob, account.Invited{LoginName: "bob", Team: south})
	ids := make(map[string]uuid.UUID)
	register := func(name, sector string, owner uuid.UUID) {
		s := stream(customer.Category)
		ids[name] = s.ID
		w.Record(s, customer.Registered{Name: name, Sector: sector, Phone: "+47 " + name, Owner: owner})
	}
	register("Umbrella", "medical", ada.ID)
	register("Acme", "retail", bob.ID)
	register("Contoso", "medical", uuid.Nil)
	register("Northwind", "", ada.ID)
	register(`100 % "x" \ _'`, "o'hara", bob.ID)
	w.Record(eventlog.Stream{Organization: org, Category: customer.Category, ID: ids["Northwind"]}, customer.Archived{})
	foreign := eventlog.Stream{Organization: uuid.New(), Category: customer.Category, ID: uuid.New()}
	w.Record(foreign, customer.Registered{Name: "Foreign", Sector: "medical", Owner: ada.ID})
	w.Settle()

	all := engine.Viewer{Organization: org, Account: ada.ID, Scope: organization.All, Personal: true}
	masked := all
	masked.Personal = false
	scoped := func(s organization.Scope, teams ...uuid.UUID) engine.Viewer {
		v := all
		v.Scope, v.Teams = s, teams
		return v
	}
	list := func(v engine.Viewer, f customers.Filter) []string {
		t.Helper()
		names := querytest.Walk(t, 2, func(r engine.PageRequest) (engine.Page[customers.Customer], error) {
			return customers.List(ctx, w.Pool, v, f, r)
		},
			func(c customers.Customer) string { return c.Name })
		if n, err := customers.Count(ctx, w.Pool, v, f); err != nil || n != len(names) {
			t.Errorf("counted %d of %v: %v", n, names, err)
		}
		return names
	}
	text := func(s string) *string { return &s }
	yes, no := true, false
	for name, c := range map[string]struct {
		viewer engine.Viewer
		filter customers.Filter
		want   []string
	}{
		"all, by name":         {all, customers.Filter{}, []string{`100 % "x" \ _'`, "Acme", "Contoso", "Northwind", "Umbrella"}},
		"not archived":         {all, customers.Filter{Archived: &no}, []string{`100 % "x" \ _'`, "Acme", "Contoso", "Umbrella"}},
		"archived":             {all, customers.Filter{Archived: &yes}, []string{"Northwind"}},
		"sector":               {all, customers.Filter{Sector: &where.Text{Eq: text("medical")}}, []string{"Contoso", "Umbrella"}},
		"another sector":       {all, customers.Filter{Sector: &where.Text{Neq: text("medical")}}, []string{`100 % "x" \ _'`, "Acme", "Northwind"}},
		"no sector":            {all, customers.Filter{Sector: &where.Text{IsNull: &yes}}, []string{"Northwind"}},
		"some sector":          {all, customers.Filter{Sector: &where.Text{IsNull: &no}}, []string{`100 % "x" \ _'`, "Acme", "Contoso", "Umbrella"}},
		"one of the sectors":   {all, customers.Filter{Sector: &where.Text{In: []string{"retail", "o'hara", "\x00"}}}, []string{`100 % "x" \ _'`, "Acme"}},
		"none of no sectors":   {all, customers.Filter{Sector: &where.Text{In: []string{}}}, nil},
		"name":                 {all, customers.Filter{Name: &where.Text{Eq: text("Acme")}}, []string{"Acme"}},
		"case counts":          {all, customers.Filter{Name: &where.Text{Contains: text("acme")}}, nil},
		"contains":             {all, customers.Filter{Name: &where.Text{Contains: text("o")}}, []string{"Contoso", "Northwind"}},
		"no wildcards":         {all, customers.Filter{Name: &where.Text{Contains: text("_")}}, []string{`100 % "x" \ _'`}},
		"percent is a percent": {all, customers.Filter{Name: &where.Text{StartsWith: text("100 %")}}, []string{`100 % "x" \ _'`}},
		"starts":               {all, customers.Filter{Name: &where.Text{StartsWith: text("cme")}}, nil},
		"no text":              {all, customers.Filter{Name: &where.Text{Eq: text("\x00"), Neq: text("\xff")}}, nil},
		"all must hold":        {all, customers.Filter{Name: &where.Text{Contains: text("o"), Neq: text("Northwind")}, Owner: uuid.Nil}, []string{"Contoso"}},
		"owner":                {all, customers.Filter{Owner: bob.ID}, []string{`100 % "x" \ _'`, "Acme"}},
		"own":                  {scoped(organization.Own), customers.Filter{}, []string{"Northwind", "Umbrella"}},
		"team of others":       {scoped(organization.Team, south), customers.Filter{}, []string{`100 % "x" \ _'`, "Acme", "Northwind", "Umbrella"}},
		"own team":             {scoped(organization.Team, north), customers.Filter{}, []string{"Northwind", "Umbrella"}},
		"none":                 {scoped(organization.None, north), customers.Filter{}, nil},
	} {
		if got := list(c.viewer, c.filter); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}

	// Scopes follow the owner's team.
	w.Record(bob, account.MovedToTeam{Team: north})
	w.Settle()
	if got := list(scoped(organization.Team, south), customers.Filter{}); !slices.Equal(got, []string{"Northwind", "Umbrella"}) {
		t.Errorf("the team that was left still sees %v", got)
	}

	found, err := customers.Get(ctx, w.Pool, masked, []uuid.UUID{ids["Acme"], foreign.ID})
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	if c := found[ids["Acme"]]; c.Name != "hidden" || c.Phone != "" || c.Sector != "retail" {
		t.Errorf("not masked: %+v", c)
	}
	if found, err := customers.Get(ctx, w.Pool, scoped(organization.Own), []uuid.UUID{ids["Acme"]}); err != nil || len(found) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if got := list(masked, customers.Filter{}); !slices.Equal(got, []string{"hidden", "hidden", "hidden", "hidden", "hidden"}) {
		t.Errorf("%q", got)
	}
	page, err := customers.List(ctx, w.Pool, masked, customers.Filter{}, engine.PageRequest{First: 1})
	if err != nil || strings.Contains(fmt.Sprint(page), "Acme") {
		t.Errorf("%+v, %v", page, err)
	}
	// Cursors of the list by name would tell the names: they are not taken, nor given.
	named, err := customers.List(ctx, w.Pool, all, customers.Filter{}, engine.PageRequest{First: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := customers.List(ctx, w.Pool, masked, customers.Filter{}, engine.PageRequest{First: 1, After: named.Cursors[0]}); !errors.Is(err, engine.ErrCursor) {
		t.Error(err)
	}
	for _, f := range []customers.Filter{{Name: &where.Text{}}} {
		if _, err := customers.List(ctx, w.Pool, masked, f, engine.PageRequest{}); !errors.Is(err, where.ErrHidden) {
			t.Error(err)
		}
		if _, err := customers.Count(ctx, w.Pool, masked, f); !errors.Is(err, where.ErrHidden) {
			t.Error(err)
		}
	}
}

// A page is read along an index: what it costs does not depend on how many customers there are.
func TestAPageIsReadAlongAnIndex(t *testing.T) {
	w := querytest.New(t, customers.Model)
	if _, err := w.Pool.Exec(t.Context(), `insert into customers_v2.customers
		select gen_random_uuid(), $1, 'Customer ' || i, case when i % 1000 = 0 then 'rare' else 'retail' end, null, null, null, null, '{}', null, false, now(), now(), 1, i from generate_series(1, 20000) i`, org); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Pool.Exec(t.Context(), `analyze customers_v2.customers`); err != nil {
		t.Fatal(err)
	}
	v := engine.Viewer{Organization: org, Scope: organization.All, Personal: true}
	masked, rare := v, "rare"
	masked.Personal = false
	for name, c := range map[string]struct {
		viewer engine.Viewer
		filter customers.Filter
	}{"all": {v, customers.Filter{}}, "hidden": {masked, customers.Filter{}}, "of a sector": {v, customers.Filter{Sector: &where.Text{Eq: &rare}}}} {
		first, err := customers.List(t.Context(), w.Pool, c.viewer, c.filter, engine.PageRequest{First: 5})
		if err != nil {
			t.Fatal(err)
		}
		plans := w.Plans(func(db engine.DB) {
			for _, request := range []engine.PageRequest{{First: 10}, {Last: 10}, {First: 10, After: first.Cursors[4]}, {Last: 10, Before: first.Cursors[4]}} {
				if _, err := customers.List(t.Context(), db, c.viewer, c.filter, request); err != nil {
					t.Fatal(err)
				}
			}
		})
		for _, plan := range plans {
			if !strings.Contains(plan, "Index Scan") || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Sort") || strings.Contains(plan, "Removed by Filter") {
				t.Errorf("%s:\n%s", name, plan)
			}
		}
	}
}
