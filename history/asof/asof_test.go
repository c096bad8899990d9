package asof

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/querytest"
)

var org = uuid.New()

func stream(category string) eventlog.Stream {
	return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
}

func to(from, to string) *domain.Change { return &domain.Change{From: from, To: to} }

// What was known and what had happened are two things: an import brings old news.
func TestKnownAndHappened(t *testing.T) {
	w := querytest.New(t, customers.Model)
	s := stream(customer.Category)
	r := Reader{Log: w.Log, Codec: w.Codec}
	began := w.Now
	w.Record(s, customer.Registered{Name: "Acme", Attributes: map[string]string{"size": "s"}}) // occurs at began
	w.Record(s, customer.Edited{Name: to("Acme", "Acme Ltd")})                                 // a minute later
	w.Now = began.Add(30 * time.Second)                                                        // old news
	w.Record(s, customer.Edited{Sector: to("", "retail"), Attributes: map[string]domain.Change{"size": {From: "s"}, "kind": {To: "k"}}})
	var recorded []eventlog.Event
	for e, err := range w.Log.ReadStream(t.Context(), s, 0) {
		if err != nil {
			t.Fatal(err)
		}
		recorded = append(recorded, e)
	}
	p := func(i int) eventlog.Position { return recorded[i].Position }
	for name, c := range map[string]struct {
		at   eventlog.AsOf
		want []eventlog.Version
	}{
		"everything":                         {eventlog.AsOf{}, []eventlog.Version{1, 2, 3}},
		"nothing yet":                        {eventlog.AsOf{HappenedBy: began.Add(-time.Second)}, nil},
		"known by a position":                {eventlog.AsOf{Position: p(1)}, []eventlog.Version{1, 2}},
		"happened by, news of later and all": {eventlog.AsOf{HappenedBy: began.Add(40 * time.Second)}, []eventlog.Version{1, 3}},
		"happened by, as known then":         {eventlog.AsOf{HappenedBy: began.Add(40 * time.Second), Position: p(1)}, []eventlog.Version{1}},
		"known by the instant of recording":  {eventlog.AsOf{KnownAt: recorded[2].RecordedAt}, []eventlog.Version{1, 2, 3}},
		"known before":                       {eventlog.AsOf{KnownAt: recorded[0].RecordedAt.Add(-time.Microsecond)}, nil},
	} {
		history, err := r.Events(t.Context(), s, c.at)
		var got []eventlog.Version
		for _, f := range history {
			got = append(got, f.Version)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}

	history, err := r.Events(t.Context(), s, eventlog.AsOf{})
	if err != nil {
		t.Fatal(err)
	}
	why, err := Explain(s.ID, history, customers.Of)
	if err != nil || !why.Exists || why.Row.Name != "Acme Ltd" {
		t.Fatalf("%+v, %v", why, err)
	}
	for field, version := range map[string]eventlog.Version{"name": 2, "sector": 3, "attributes.size": 3, "attributes.kind": 3, "createdAt": 1} {
		if f := why.Origins[field]; f == nil || f.Version != version {
			t.Errorf("%s comes from %+v", field, f)
		}
	}
	if len(why.Origins) != 5 {
		t.Errorf("%v", why.Origins)
	}
	var names []string
	for _, v := range Values(why.Row) {
		if names = append(names, v.Name); v.Name == "attributes.kind" && string(v.JSON) != `"k"` || v.Name == "phone" && string(v.JSON) != "null" {
			t.Errorf("%s is %s", v.Name, v.JSON)
		}
	}
	if slices.Contains(names, "position") || slices.Contains(names, "attributes.size") || !slices.Contains(names, "owner") {
		t.Error(names)
	}
}

func TestRightsOfThen(t *testing.T) {
	w := querytest.New(t, customers.Model)
	s, house := stream(account.Category), eventlog.Stream{Organization: org, Category: organization.Category, ID: org}
	w.Record(house, organization.Registered{Name: "Home"})
	w.Record(house, organization.RoleDefined{Role: "a", Permissions: map[organization.Permission]organization.Scope{organization.ViewCustomers: organization.Own}})
	w.Record(house, organization.RoleDefined{Role: "b", Permissions: map[organization.Permission]organization.Scope{organization.ViewCustomers: organization.Team}})
	w.Record(s, account.Invited{LoginName: "sam", Roles: []string{"a"}})
	w.Record(s, account.RoleGranted{Role: "b"})
	taken := w.Record(house, organization.PermissionRemoved{Role: "b", Permission: organization.ViewCustomers})
	w.Record(house, organization.PermissionAdded{Role: "a", Permission: organization.ViewCustomers, Scope: organization.All})
	r := Reader{Log: w.Log, Codec: w.Codec}
	for at, want := range map[eventlog.Position]struct {
		scope organization.Scope
		roles []string
	}{taken.Position - 2: {organization.Own, []string{"a"}}, taken.Position - 1: {organization.Team, []string{"a", "b"}}, taken.Position: {organization.Own, []string{"a"}}, taken.Position + 1: {organization.All, []string{"a"}}} {
		rights, err := r.Rights(t.Context(), org, s.ID, eventlog.AsOf{Position: at})
		if err != nil || len(rights.Permissions) != 1 || rights.Permissions[0].Scope != want.scope {
			t.Errorf("at %d: %+v, %v", at, rights.Permissions, err)
			continue
		}
		var roles []string
		for _, g := range rights.Permissions[0].By {
			if roles = append(roles, g.Role); g.Granted == nil || g.Defined == nil || g.Defined.Position > at {
				t.Errorf("at %d: %+v", at, g)
			}
		}
		if !slices.Equal(roles, want.roles) {
			t.Errorf("at %d by %v", at, roles)
		}
	}
}

func TestTheLists(t *testing.T) {
	w := querytest.New(t, customers.Model)
	s := stream(customer.Category)
	first := w.Record(s, customer.Registered{Name: "Acme"})
	w.Record(s, customer.Archived{})
	w.Record(eventlog.Stream{Organization: uuid.New(), Category: customer.Category, ID: uuid.New()}, customer.Registered{Name: "Elsewhere"})
	lists := NewLists(w.Engine, w.Pool)
	at := eventlog.AsOf{Position: first.Position}
	viewer := engine.Viewer{Organization: org, Scope: organization.All, Personal: true}
	schemas := func() (n int) {
		t.Helper()
		if err := w.Pool.QueryRow(t.Context(), "select count(*) from pg_namespace where starts_with(nspname, 'result_past_')").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 3 {
		ctx, release := context.WithCancel(t.Context())
		db, err := lists.Of(ctx, customers.Model.Name, org, at, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		page, err := customers.List(t.Context(), db, viewer, customers.Filter{}, engine.PageRequest{})
		if err != nil || len(page.Rows) != 1 || page.Rows[0].Archived || page.Rows[0].Name != "Acme" {
			t.Errorf("%+v, %v", page, err)
		}
		release()
	}
	if n := schemas(); n != 1 {
		t.Errorf("%d folds for one list", n)
	}
	if _, err := lists.Of(t.Context(), customers.Model.Name, org, eventlog.AsOf{Position: first.Position + 1}, "", nil); err != nil {
		t.Fatal(err)
	}
	if n := schemas(); n != 2 {
		t.Errorf("%d schemas", n)
	}
	for range atOnce {
		if _, err := lists.folds.Reserve(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := lists.Of(t.Context(), customers.Model.Name, org, eventlog.AsOf{KnownAt: time.Now()}, "", nil); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	lists.folds.Release()
	if _, err := lists.Of(t.Context(), customers.Model.Name, org, eventlog.AsOf{KnownAt: time.Now()}, "", nil); err != nil {
		t.Error(err)
	}
}
