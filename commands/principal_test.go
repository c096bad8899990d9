package commands_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/internal/auth"
)

func TestATokenShowsItsAccountWithTheRightsOfThisInstant(t *testing.T) {
	w := newWorld(t)
	ada := w.invite("ada", uuid.Nil, "sales")
	w.activate(ada.Account)
	token := w.mustLogin("ada")
	processes := map[string]*commands.Commands{"this process": w.Commands, "another process": w.another(commands.Config{})}
	each := func(what string, check func(t *testing.T, p *commands.Principal, err error)) {
		for name, c := range processes {
			t.Run(what+" in "+name, func(t *testing.T) {
				p, err := c.Authenticate(t.Context(), token, office)
				check(t, p, err)
			})
		}
	}
	scope := func(want organization.Scope) func(*testing.T, *commands.Principal, error) {
		return func(t *testing.T, p *commands.Principal, err error) {
			if err != nil || p.Account != ada.Account || p.Scope(organization.EditCustomers) != want {
				t.Error(p, err)
			}
		}
	}
	dead := func(t *testing.T, p *commands.Principal, err error) {
		if err != commands.ErrUnauthenticated {
			t.Error(p, err)
		}
	}
	each("signed in", scope(organization.Own))
	must(w.GrantRole(t.Context(), w.admin, commands.Role{AccountID: ada.Account, Role: "manager"}))
	each("a role granted", scope(organization.Team))
	must(w.RevokeRole(t.Context(), w.admin, commands.Role{AccountID: ada.Account, Role: "manager"}))
	must(w.RevokeRole(t.Context(), w.admin, commands.Role{AccountID: ada.Account, Role: "sales"}))
	each("roles revoked", scope(organization.None))
	must(w.DefineRole(t.Context(), w.admin, commands.DefineRole{Role: "clerk", Permissions: map[organization.Permission]organization.Scope{organization.EditCustomers: organization.Own}}))
	w.admin, w.system = w.again(w.admin), must(w.System(t.Context(), commands.Home))
	must(w.GrantRole(t.Context(), w.admin, commands.Role{AccountID: ada.Account, Role: "clerk"}))
	each("a role defined", scope(organization.Own))
	must(w.AddPermission(t.Context(), w.admin, commands.Permission{Role: "clerk", Permission: organization.EditCustomers, Scope: organization.All}))
	each("a permission widened", scope(organization.All))
	must(w.RemovePermission(t.Context(), w.admin, commands.Permission{Role: "clerk", Permission: organization.EditCustomers}))
	each("a permission removed", scope(organization.None))
	must(w.Deactivate(t.Context(), w.admin, commands.OnAccount{AccountID: ada.Account}))
	each("deactivated", dead)
	must(w.Reactivate(t.Context(), w.admin, commands.OnAccount{AccountID: ada.Account}))
	each("reactivated", dead)

	token = w.mustLogin("ada")
	second := w.mustLogin("ada")
	p := must(w.Authenticate(t.Context(), token, office))
	if n, _, err := w.LogOut(t.Context(), p, commands.Command{}); n != 1 || err != nil {
		t.Error("logged out", n, err)
	}
	each("logged out", dead)
	if n, r, err := w.LogOut(t.Context(), p, commands.Command{}); n != 0 || err != nil || r.Position == 0 {
		t.Error("logged out again", n, r, err)
	}
	token = second
	each("another session goes on", scope(organization.None))
	must(w.Authenticate(t.Context(), w.mustLogin("ada"), office))
	if n, _, err := w.LogOutEverywhere(t.Context(), w.again(w.admin), commands.OnAccount{AccountID: ada.Account}); n != 2 || err != nil {
		t.Error("logged out everywhere", n, err)
	}
	each("logged out everywhere", dead)
}

func TestAForgedTokenIsNobodys(t *testing.T) {
	w := newWorld(t)
	w.activate(w.admin.Account)
	token := must(auth.ParseToken(w.mustLogin("administrator")))
	other := token
	other.Secret[0] ^= 1
	session := token
	session.Session = uuid.New()
	account := token
	account.Account = uuid.New()
	organization := token
	organization.Organization = uuid.New()
	empty := auth.Token{Organization: token.Organization, Account: token.Account, Session: uuid.New()}
	for what, forged := range map[string]string{
		"nothing": "", "garbage": "annal_garbage", "another secret": other.String(), "another session": session.String(),
		"another account": account.String(), "another organization": organization.String(), "no secret": empty.String(),
		"an activation": auth.Activation{Organization: token.Organization, Account: token.Account, Secret: token.Secret}.String(),
	} {
		if p, err := w.Authenticate(t.Context(), forged, office); err != commands.ErrUnauthenticated || p != nil {
			t.Errorf("%s: %v %v", what, p, err)
		}
	}
	must(w.Authenticate(t.Context(), token.String(), office))
}

func TestARequestReadsBothTailsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.activate(w.admin.Account)
	token := w.mustLogin("administrator")
	must(w.Authenticate(t.Context(), token, office))
	reads := w.log.readStreams.Load()
	for range 5 {
		must(w.Authenticate(t.Context(), token, office))
	}
	if n := w.log.readStreams.Load() - reads; n != 5 {
		t.Errorf("%d reads for 5 requests", n)
	}
}

func TestASessionEnds(t *testing.T) {
	w := newWorld(t)
	w.activate(w.admin.Account)
	for name, steps := range map[string][]time.Duration{
		"when nobody uses it":  {59 * time.Minute, 59 * time.Minute, 61 * time.Minute},
		"after a day, used on": slices.Repeat([]time.Duration{50 * time.Minute}, 29),
	} {
		t.Run(name, func(t *testing.T) {
			token := w.mustLogin("administrator")
			before := w.head()
			for i, step := range steps {
				w.now.Advance(step)
				_, err := w.Authenticate(t.Context(), token, office)
				if last := i == len(steps)-1; last && err != commands.ErrUnauthenticated || !last && err != nil {
					t.Fatal(i, err)
				}
			}
			w.since(before, "account.logged_out")
			_, about, payloads := w.facts(before)
			if e := payloads[0].(account.LoggedOut); e.Reason != account.LoggedOutExpired || about[0].Actor != uuid.Nil || about[0].IP != "" {
				t.Errorf("%+v %+v", e, about[0])
			}
			if _, err := w.Authenticate(t.Context(), token, office); err != commands.ErrUnauthenticated {
				t.Error(err)
			}
			w.since(before, "account.logged_out")
		})
	}
}

func TestALastUseIsKnownToOtherProcesses(t *testing.T) {
	w := newWorld(t)
	w.activate(w.admin.Account)
	token := w.mustLogin("administrator")
	w.now.Advance(50 * time.Minute)
	must(w.Authenticate(t.Context(), token, office))
	if err := w.uses.Close(); err != nil {
		t.Fatal(err)
	}
	w.uses = auth.OpenUses(w.pool)
	w.now.Advance(50 * time.Minute)
	if _, err := w.another(commands.Config{}).Authenticate(t.Context(), token, office); err != nil {
		t.Error(err)
	}
}

func TestPermissionsAreNamedWithTheirScope(t *testing.T) {
	w := newWorld(t)
	got := w.invite("ada", uuid.Nil, "sales").Permissions()
	want := []string{
		"account.view:own", "contract.edit:own", "contract.view:own", "customer.edit:own", "customer.view", "opportunity.edit:own", "opportunity.view:own",
		"personal.view", "report.view:own", "specimen.edit:own", "specimen.view:own",
	}
	if !slices.Equal(got, want) {
		t.Error(got)
	}
}
