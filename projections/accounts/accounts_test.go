package accounts_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/engine/where"
)

var (
	org = uuid.New()
	now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
)

func stream() eventlog.Stream {
	return eventlog.Stream{Organization: org, Category: account.Category, ID: uuid.New()}
}

func TestFold(t *testing.T) {
	team, session := uuid.New(), uuid.New()
	invited := account.Invited{LoginName: "ada", DisplayName: "Ada Lovelace", Email: "ada@example.com", Team: team, Roles: []string{"sales"}}
	activated := account.Activated{Credential: uuid.New()}
	for name, c := range map[string]struct {
		history []any
		want    func(*accounts.Account)
		status  accounts.Status
	}{
		"invited":                 {nil, func(*accounts.Account) {}, accounts.Invited},
		"with a token":            {[]any{account.ActivationIssued{ExpiresAt: now.Add(time.Minute)}}, func(a *accounts.Account) { a.ActivationUntil = now.Add(time.Minute) }, accounts.Invited},
		"with a token run out":    {[]any{account.ActivationIssued{ExpiresAt: now}}, func(a *accounts.Account) { a.ActivationUntil = now }, accounts.Expired},
		"activated":               {[]any{account.ActivationIssued{ExpiresAt: now}, activated}, func(a *accounts.Account) { a.Activated = true }, accounts.Active},
		"given another token":     {[]any{activated, account.ActivationIssued{ExpiresAt: now}}, func(a *accounts.Account) { a.Activated, a.ActivationUntil = true, now }, accounts.Active},
		"locked":                  {[]any{activated, account.Locked{Until: now.Add(1)}}, func(a *accounts.Account) { a.Activated, a.LockedUntil = true, now.Add(1) }, accounts.Locked},
		"a lock that has run out": {[]any{activated, account.Locked{Until: now}}, func(a *accounts.Account) { a.Activated, a.LockedUntil = true, now }, accounts.Active},
		"unlocked":                {[]any{activated, account.Locked{Until: now.Add(1)}, account.Unlocked{}}, func(a *accounts.Account) { a.Activated = true }, accounts.Active},
		"deactivated":             {[]any{account.ActivationIssued{ExpiresAt: now}, account.Deactivated{}}, func(a *accounts.Account) { a.Deactivated = true }, accounts.Deactivated},
		"reactivated":             {[]any{activated, account.Deactivated{}, account.Reactivated{}}, func(a *accounts.Account) { a.Activated = true }, accounts.Active},
		"signed in and out":       {[]any{activated, account.LoggedIn{Session: session, At: now}, account.LoggedOut{Session: session}}, func(a *accounts.Account) { a.Activated, a.LastLoginAt = true, now }, accounts.Active},
		"roles":                   {[]any{account.RoleGranted{Role: "manager"}, account.RoleGranted{Role: "manager"}, account.RoleRevoked{Role: "sales"}}, func(a *accounts.Account) { a.Roles = []string{"manager"} }, accounts.Invited},
		"moved":                   {[]any{account.MovedToTeam{}}, func(a *accounts.Account) { a.Team = uuid.Nil }, accounts.Invited},
	} {
		t.Run(name, func(t *testing.T) {
			s := stream()
			history := []eventlog.Event{foldtest.Event(s, invited)}
			for _, e := range c.history {
				history = append(history, foldtest.Event(s, e))
			}
			rows, err := foldtest.Fold(accounts.Model, history...)
			if err != nil {
				t.Fatal(err)
			}
			want := accounts.Account{
				ID: s.ID, Organization: org, LoginName: "ada", DisplayName: "Ada Lovelace", Email: "ada@example.com", Team: team, Roles: []string{"sales"},
				CreatedAt: foldtest.Start, Version: eventlog.Version(len(history)), Position: eventlog.Position(len(history)),
			}
			c.want(&want)
			got := rows.All()["accounts"]
			if len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
				t.Fatalf("%+v, want %+v", got, want)
			}
			if status := got[0].(accounts.Account).Status(now); status != c.status {
				t.Errorf("%s, want %s", status, c.status)
			}
		})
	}
}

func TestQueries(t *testing.T) {
	w := querytest.New(t, accounts.Model)
	ctx, north := t.Context(), uuid.New()
	ids := make(map[string]uuid.UUID)
	invite := func(name string, team uuid.UUID, more ...any) {
		s := stream()
		ids[name] = s.ID
		w.Record(s, account.Invited{LoginName: name, DisplayName: "Dr " + name, Email: name + "@example.com", Team: team})
		for _, e := range more {
			w.Record(s, e)
		}
	}
	activated := account.Activated{Credential: uuid.New()}
	invite("zoe", north, activated)
	invite("ada", north, activated, account.Locked{Until: now.Add(time.Hour)})
	invite("straße", uuid.Nil)
	invite("bob", uuid.New(), account.ActivationIssued{ExpiresAt: now.Add(-time.Hour)})
	invite("eve", uuid.Nil, activated, account.Deactivated{})
	foreign := eventlog.Stream{Organization: uuid.New(), Category: account.Category, ID: uuid.New()}
	w.Record(foreign, account.Invited{LoginName: "mallory", DisplayName: "Dr mallory"})
	w.Settle()

	all := engine.Viewer{Organization: org, Account: ids["zoe"], Scope: organization.All, Personal: true}
	masked := all
	masked.Personal = false
	list := func(v engine.Viewer, f accounts.Filter) []string {
		t.Helper()
		f.Now = now
		names := querytest.Walk(t, 2, func(r engine.PageRequest) (engine.Page[accounts.Account], error) {
			return accounts.List(ctx, w.Pool, v, f, r)
		},
			func(a accounts.Account) string { return a.LoginName })
		if n, err := accounts.Count(ctx, w.Pool, v, f); err != nil || n != len(names) {
			t.Errorf("counted %d of %v: %v", n, names, err)
		}
		return names
	}
	scoped := func(s organization.Scope) engine.Viewer {
		v := all
		v.Scope, v.Teams = s, []uuid.UUID{north}
		return v
	}
	eve := scoped(organization.Team)
	eve.Account = ids["eve"]
	text := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		viewer engine.Viewer
		filter accounts.Filter
		want   []string
	}{
		"all, by display name": {all, accounts.Filter{}, []string{"ada", "bob", "eve", "straße", "zoe"}},
		"active":               {all, accounts.Filter{Status: accounts.Active}, []string{"zoe"}},
		"locked":               {all, accounts.Filter{Status: accounts.Locked}, []string{"ada"}},
		"invited":              {all, accounts.Filter{Status: accounts.Invited}, []string{"straße"}},
		"expired":              {all, accounts.Filter{Status: accounts.Expired}, []string{"bob"}},
		"deactivated":          {all, accounts.Filter{Status: accounts.Deactivated}, []string{"eve"}},
		"no such status":       {all, accounts.Filter{Status: "x"}, nil},
		"by name":              {all, accounts.Filter{LoginName: &where.Text{StartsWith: text("z")}}, []string{"zoe"}},
		"of a team":            {all, accounts.Filter{Team: north}, []string{"ada", "zoe"}},
		"own":                  {scoped(organization.Own), accounts.Filter{}, []string{"zoe"}},
		"team":                 {scoped(organization.Team), accounts.Filter{}, []string{"ada", "zoe"}},
		"team, and oneself":    {eve, accounts.Filter{}, []string{"ada", "eve", "zoe"}},
		"none":                 {scoped(organization.None), accounts.Filter{}, nil},
	} {
		if got := list(c.viewer, c.filter); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	// The status that a filter finds is the one that the row shows.
	page, err := accounts.List(ctx, w.Pool, all, accounts.Filter{}, engine.PageRequest{First: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range page.Rows {
		if found := list(all, accounts.Filter{Status: a.Status(now)}); !slices.Contains(found, a.LoginName) {
			t.Errorf("%s is %s, but the filter does not find it: %v", a.LoginName, a.Status(now), found)
		}
	}

	for asked, want := range map[string]string{"ada": "ada", " ADA ": "ada", "STRASSE": "", "Straße": "", "mallory": "", "a\x00": ""} {
		a, ok, err := accounts.ByLoginName(ctx, w.Pool, all, asked)
		if err != nil || ok != (want != "") || a.LoginName != want {
			t.Errorf("%q: %q, %v, %v", asked, a.LoginName, ok, err)
		}
	}
	if _, ok, err := accounts.ByLoginName(ctx, w.Pool, scoped(organization.Own), "ada"); ok || err != nil {
		t.Errorf("out of scope: %v, %v", ok, err)
	}

	found, err := accounts.Get(ctx, w.Pool, masked, []uuid.UUID{ids["ada"], ids["zoe"], foreign.ID, uuid.New()})
	if err != nil || len(found) != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	if a := found[ids["ada"]]; a.LoginName != "account-"+ids["ada"].String()[:8] || a.DisplayName != "hidden" || a.Email != "" {
		t.Errorf("not masked: %+v", a)
	}
	if a := found[ids["zoe"]]; a.LoginName != "zoe" {
		t.Errorf("one's own name is hidden: %+v", a)
	}
	for _, a := range list(masked, accounts.Filter{}) {
		if a == "ada" {
			t.Error("not masked in the list")
		}
	}
	for _, f := range []accounts.Filter{{LoginName: &where.Text{}}, {DisplayName: &where.Text{}}} {
		if _, err := accounts.List(ctx, w.Pool, masked, f, engine.PageRequest{}); !errors.Is(err, where.ErrHidden) {
			t.Error(err)
		}
		if _, err := accounts.Count(ctx, w.Pool, masked, f); !errors.Is(err, where.ErrHidden) {
			t.Error(err)
		}
	}
	if _, _, err := accounts.ByLoginName(ctx, w.Pool, masked, "ada"); !errors.Is(err, where.ErrHidden) {
		t.Error(err)
	}
}

func TestNamedTellsWhoAndNoMore(t *testing.T) {
	w := querytest.New(t, accounts.Model)
	mine, other, north := stream(), stream(), uuid.New()
	w.Record(mine, account.Invited{LoginName: "ada", DisplayName: "Ada", Team: north})
	w.Record(other, account.Invited{LoginName: "bob", DisplayName: "Bob", Email: "bob@example.com", Team: uuid.New(), Roles: []string{"auditor"}})
	w.Settle()
	v := engine.Viewer{Organization: org, Account: mine.ID, Scope: organization.Team, Teams: []uuid.UUID{north}, Personal: true}
	found, err := accounts.Named(t.Context(), w.Pool, v, []uuid.UUID{mine.ID, other.ID})
	if err != nil || len(found) != 2 || found[mine.ID].Team != north {
		t.Fatalf("%+v, %v", found, err)
	}
	if b := found[other.ID]; b.LoginName != "bob" || b.DisplayName != "Bob" || b.Email != "" || b.Team != uuid.Nil || b.Roles != nil {
		t.Errorf("%+v", b)
	}
}
