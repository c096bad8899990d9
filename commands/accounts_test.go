package commands_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
)

func TestAFirstStartMakesAnAdministratorOnce(t *testing.T) {
	w := newWorld(t)
	w.log = &log{Log: memory.New()}
	w.Commands = w.another(commands.Config{})
	_, err := w.FirstStart(t.Context(), commands.FirstStart{Organization: "Analytical Engines", Password: "too short"})
	w.wantInvalid("a short password", err, "password")
	if w.head() != 0 {
		t.Error("something was written")
	}
	started, err := w.FirstStart(t.Context(), commands.FirstStart{Organization: "Analytical Engines"})
	if err != nil || !started.Made || started.Password == "" {
		t.Fatal(started, err)
	}
	w.since(0, "organization.registered", "organization.role_defined", "organization.role_defined", "organization.role_defined", "organization.role_defined",
		"organization.role_defined", "reservation.claimed", "account.invited", "account.activation_issued", "account.activated")
	in, err := w.login("ADMIN", started.Password)
	if err != nil || in.Principal.Account != started.Administrator || in.Principal.Scope(organization.Manage) != organization.All {
		t.Error(in, err)
	}
	head := w.head()
	again, err := w.another(commands.Config{}).FirstStart(t.Context(), commands.FirstStart{Organization: "Another", Password: "x"})
	if err != nil || again.Made || again.Password != "" || again.Administrator != started.Administrator || w.head() != head {
		t.Error(again, err)
	}
}

func TestAFirstStartThatWasInterruptedGoesOn(t *testing.T) {
	w := newWorld(t)
	for after := range 4 { // appends: organization, claim, invitation, activation
		w.log = &log{Log: memory.New()}
		w.log.failAfter.Store(int64(after))
		w.log.failing.Store(true)
		w.Commands = w.another(commands.Config{})
		if _, err := w.FirstStart(t.Context(), commands.FirstStart{Organization: "Home", Password: password}); !errors.Is(err, eventlog.ErrUnavailable) {
			t.Fatal(after, err)
		}
		w.log.failing.Store(false)
		started, err := w.another(commands.Config{}).FirstStart(t.Context(), commands.FirstStart{Organization: "Home", Password: password})
		if err != nil || !started.Made || started.Password != "" {
			t.Fatal(after, started, err)
		}
		w.mustLogin("admin")
	}
}

func TestFirstStartsAtOnceMakeOneAdministrator(t *testing.T) {
	w := newWorld(t)
	w.log = &log{Log: memory.New()}
	made := make([]commands.Started, 4)
	var wg sync.WaitGroup
	for i := range made {
		wg.Go(func() {
			made[i] = must(w.another(commands.Config{}).FirstStart(t.Context(), commands.FirstStart{Organization: "Home"}))
		})
	}
	wg.Wait()
	w.Commands = w.another(commands.Config{})
	n := 0
	for _, started := range made {
		if started.Made != (started.Password != "") {
			t.Error(started)
		}
		if started.Made {
			n++
			if _, err := w.login("admin", started.Password); err != nil {
				t.Error(err)
			}
		}
	}
	if n != 1 {
		t.Error(n, "administrators")
	}
}

func TestAnInvitationIsCheckedWhole(t *testing.T) {
	w := newWorld(t)
	head := w.head()
	_, err := w.Invite(t.Context(), w.admin, commands.Invite{
		LoginName: " ", DisplayName: strings.Repeat("x", 10_000), Email: "nobody", Team: uuid.New(), Roles: []string{"sales", "emperor"},
		Command: commands.Command{Reason: "r"},
	})
	w.wantInvalid("everything wrong", err, "loginName", "displayName", "email", "teamId", "roles")
	if w.head() != head {
		t.Error("something was written")
	}
}

func TestANameHasOneHolder(t *testing.T) {
	w := newWorld(t)
	invite := commands.Invite{Command: commands.Command{ID: uuid.New()}, LoginName: " Ada ", DisplayName: "Ada", Email: "ada@example.com"}
	before := w.head()
	made := must(w.Invite(t.Context(), w.admin, invite))
	w.since(before, "reservation.claimed", "reservation.claimed", "account.invited")
	_, about, payloads := w.facts(before)
	if payloads[2].(account.Invited).LoginName != "ada" || about[0].IP+about[0].Device != "" || about[0].Actor != w.admin.Account || about[2].IP != office.IP {
		t.Errorf("%+v %+v", payloads[2], about)
	}
	before = w.head()
	if again, err := w.Invite(t.Context(), w.admin, invite); err != nil || again != made {
		t.Error("resent:", again, err)
	}
	_, err := w.Invite(t.Context(), w.admin, commands.Invite{LoginName: "ADA", DisplayName: "Another"})
	w.wantInvalid("the login name", err, "loginName")
	w.since(before)
	bob := commands.Invite{LoginName: "bob", DisplayName: "Bob", Email: "Ada@Example.com"}
	_, err = w.Invite(t.Context(), w.admin, bob)
	w.wantInvalid("the e-mail address", err, "email")
	w.since(before, "reservation.claimed", "reservation.released")
	bob.Email = ""
	must(w.Invite(t.Context(), w.admin, bob)) // the name is free again

	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := w.Invite(t.Context(), w.admin, commands.Invite{LoginName: "carl", DisplayName: "Carl"})
			if err == nil {
				won.Add(1)
			} else {
				w.wantInvalid("at once", err, "loginName")
				lost.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		t.Error(won.Load(), lost.Load())
	}
}

func TestAnOrphanClaimIsTakenOver(t *testing.T) {
	w := newWorld(t)
	orphan := commands.Invite{Command: commands.Command{ID: uuid.New()}, LoginName: "ada", DisplayName: "Ada"}
	w.log.failAfter.Store(1) // killed between claim and invitation
	w.log.failing.Store(true)
	_, err := w.Invite(t.Context(), w.admin, orphan)
	w.wantErr("interrupted", err, eventlog.ErrUnavailable)
	w.log.failing.Store(false)

	other := commands.Invite{LoginName: "ada", DisplayName: "Ada"}
	_, err = w.Invite(t.Context(), w.admin, other)
	w.wantInvalid("at once", err, "loginName")
	if _, err := w.login("ada", password); err != commands.ErrInvalidCredentials {
		t.Error("a login with a name that is only claimed:", err)
	}
	w.now.Advance(reservation.Patience + time.Second)
	must(w.Invite(t.Context(), w.admin, other))
	_, err = w.Invite(t.Context(), w.admin, orphan)
	w.wantInvalid("the one who came too late", err, "loginName")
}

func TestAnActivationWorksOnceAndForAWhile(t *testing.T) {
	w := newWorld(t)
	ada := w.invite("ada", uuid.Nil, "sales")
	issue := func() commands.Activation {
		return must(w.IssueActivation(t.Context(), w.admin, commands.OnAccount{AccountID: ada.Account}))
	}
	activate := func(token, password string) error {
		_, err := w.ActivateAccount(t.Context(), office, commands.ActivateAccount{Token: token, Password: password})
		return err
	}
	first, second := issue(), issue()
	w.wantErr("an older token", activate(first.Token, password), account.ErrActivation)
	w.wantErr("no token", activate("", password), account.ErrActivation)
	w.wantErr("a session's token", activate("annal_"+second.Token[17:], password), account.ErrActivation)
	w.wantInvalid("a short password", activate(second.Token, "short"), "password")
	w.wantInvalid("a password of the account's names", activate(second.Token, "ada analytical engines"), "password")
	before := w.head()
	w.wantErr("the token", activate(second.Token, password), nil)
	w.since(before, "account.activated")
	if _, about, _ := w.facts(before); about[0].Actor != ada.Account || about[0].IP != office.IP {
		t.Errorf("%+v", about)
	}
	w.wantErr("the token again", activate(second.Token, password), account.ErrActivation)

	token := w.mustLogin("ada")
	third := issue()
	w.now.Advance(account.ActivationValidity)
	w.wantErr("an old token", activate(third.Token, password), account.ErrActivation)
	w.mustLogin("ada") // the password holds until a new one is set
	fourth := issue()
	w.wantErr("a lost password", activate(fourth.Token, password+"!"), nil)
	if _, err := w.Authenticate(t.Context(), token, office); err != commands.ErrUnauthenticated {
		t.Error("a session outlives the password:", err)
	}
	if _, err := w.login("ada", password); err != commands.ErrInvalidCredentials {
		t.Error("the old password:", err)
	}

	command := commands.Command{ID: uuid.New()}
	one := must(w.IssueActivation(t.Context(), w.admin, commands.OnAccount{Command: command, AccountID: ada.Account}))
	two := must(w.IssueActivation(t.Context(), w.admin, commands.OnAccount{Command: command, AccountID: ada.Account}))
	if two.Receipt != one.Receipt || two.Token != "" || !two.ExpiresAt.Equal(one.ExpiresAt) {
		t.Error(one, two)
	}
	var atOnce [8]commands.Activation
	var wg sync.WaitGroup
	command = commands.Command{ID: uuid.New()}
	for i := range atOnce {
		wg.Go(func() {
			atOnce[i] = must(w.IssueActivation(t.Context(), w.admin, commands.OnAccount{Command: command, AccountID: ada.Account}))
		})
	}
	wg.Wait()
	shown := slices.DeleteFunc(atOnce[:], func(a commands.Activation) bool { return a.Token == "" })
	if len(shown) != 1 {
		t.Fatal(len(shown), "tokens of one command")
	}
	w.wantErr("the one token of a command sent at once", activate(shown[0].Token, password), nil)

	one = issue()
	must(w.Deactivate(t.Context(), w.admin, commands.OnAccount{AccountID: ada.Account}))
	w.wantErr("a deactivated account", activate(one.Token, password), account.ErrActivation)
}

func TestAPasswordIsChangedByWhoKnowsIt(t *testing.T) {
	w := newWorld(t)
	ada := w.invite("ada", uuid.Nil, "sales")
	w.activate(ada.Account)
	other, token := w.mustLogin("ada"), w.mustLogin("ada")
	p := must(w.Authenticate(t.Context(), token, office))
	change := func(current, password string) error {
		_, err := w.ChangePassword(t.Context(), p, commands.ChangePassword{CurrentPassword: current, NewPassword: password})
		return err
	}
	before := w.head()
	w.wantErr("a guess", change("a guess", password+"!"), commands.ErrInvalidCredentials)
	w.since(before, "account.login_failed")
	w.wantInvalid("a short one", change(password, "short"), "newPassword")
	before = w.head()
	w.wantErr("the right one", change(password, password+"!"), nil)
	w.since(before, "account.password_changed", "account.logged_out")
	must(w.Authenticate(t.Context(), token, office))
	if _, err := w.Authenticate(t.Context(), other, office); err != commands.ErrUnauthenticated {
		t.Error("another session goes on:", err)
	}

	must(w.ChangeLockoutPolicy(t.Context(), w.admin, commands.ChangeLockoutPolicy{Attempts: 2, Window: time.Minute, LockFor: time.Minute}))
	w.now.Advance(2 * time.Minute) // the guess above is forgotten
	p = must(w.Authenticate(t.Context(), token, office))
	before = w.head()
	w.wantErr("a guess", change("a guess", password), commands.ErrInvalidCredentials)
	w.wantErr("a guess", change("a guess", password), commands.ErrInvalidCredentials)
	w.wantErr("the right one, locked", change(password+"!", password), commands.ErrInvalidCredentials)
	w.since(before, "account.login_failed", "account.login_failed", "account.locked", "account.login_refused")
	_, err := w.ChangePassword(t.Context(), w.system, commands.ChangePassword{})
	w.wantErr("the program", err, commands.ErrForbidden)
}

func TestNobodyTakesAwayHisOwnAdministration(t *testing.T) {
	w := newWorld(t)
	head := w.head()
	_, err := w.RevokeRole(t.Context(), w.admin, commands.Role{AccountID: w.admin.Account, Role: "administrator"})
	w.wantErr("his role", err, commands.ErrOwnRights)
	_, err = w.Deactivate(t.Context(), w.admin, commands.OnAccount{AccountID: w.admin.Account})
	w.wantErr("his account", err, commands.ErrOwnRights)
	if w.head() != head {
		t.Error("something was written")
	}
	other := w.invite("other", uuid.Nil, "administrator")
	must(w.RevokeRole(t.Context(), other, commands.Role{AccountID: w.admin.Account, Role: "administrator"}))
	_, err = w.RevokeRole(t.Context(), w.again(w.admin), commands.Role{AccountID: other.Account, Role: "administrator"})
	w.wantErr("an administrator no more", err, commands.ErrForbidden)
}

// Whoever may manage accounts must not become more than he is by it.
func TestNobodyHandsOutWhatHeDoesNotHave(t *testing.T) {
	w := newWorld(t)
	team := w.team("north", uuid.Nil)
	must(w.DefineRole(t.Context(), w.admin, commands.DefineRole{Role: "helpdesk", Permissions: map[organization.Permission]organization.Scope{
		organization.ManageAccounts: organization.All, organization.ViewAccounts: organization.All,
	}}))
	lead := maps.Clone(organization.BuiltIn()[1].Permissions) // the manager's
	lead[organization.ManageAccounts] = organization.Team
	must(w.DefineRole(t.Context(), w.admin, commands.DefineRole{Role: "lead", Permissions: lead}))
	w.admin = w.again(w.admin)
	helpdesk, leader := w.invite("helpdesk", uuid.Nil, "helpdesk"), w.invite("lead", team, "lead")
	nobody, member, stranger := w.invite("nobody", uuid.Nil), w.invite("member", team, "sales"), w.invite("stranger", w.team("south", uuid.Nil), "sales")
	grant := func(by, to *commands.Principal, role string) error {
		_, err := w.GrantRole(t.Context(), by, commands.Role{AccountID: to.Account, Role: role})
		return err
	}
	for what, c := range map[string]struct{ err, want error }{
		"helpdesk makes himself administrator": {grant(helpdesk, helpdesk, "administrator"), commands.ErrForbidden},
		"helpdesk grants sales":                {grant(helpdesk, nobody, "sales"), commands.ErrForbidden},
		"helpdesk grants helpdesk":             {grant(helpdesk, nobody, "helpdesk"), nil},
		"lead grants manager to the team":      {grant(leader, member, "manager"), nil},
		"lead grants analyst":                  {grant(leader, member, "analyst"), commands.ErrForbidden},
		"lead grants to a stranger":            {grant(leader, stranger, "sales"), commands.ErrNotFound},
		"lead grants to nobody there":          {grant(leader, &commands.Principal{Account: uuid.New()}, "sales"), commands.ErrNotFound},
	} {
		w.wantErr(what, c.err, c.want)
	}
	w.wantInvalid("an unknown role", grant(w.admin, member, "emperor"), "role")

	_, err := w.IssueActivation(t.Context(), helpdesk, commands.OnAccount{AccountID: w.admin.Account})
	w.wantErr("helpdesk takes the administrator's account over", err, commands.ErrForbidden)
	_, err = w.Invite(t.Context(), helpdesk, commands.Invite{LoginName: "x", DisplayName: "X", Roles: []string{"administrator"}})
	w.wantErr("helpdesk invites an administrator", err, commands.ErrForbidden)
	_, err = w.Invite(t.Context(), leader, commands.Invite{LoginName: "x", DisplayName: "X", Roles: []string{"sales"}})
	w.wantInvalid("lead invites outside of the team", err, "teamId")
	must(w.Invite(t.Context(), leader, commands.Invite{LoginName: "x", DisplayName: "X", Team: team, Roles: []string{"sales"}}))
	_, err = w.MoveToTeam(t.Context(), leader, commands.MoveToTeam{AccountID: member.Account})
	w.wantInvalid("lead moves a member out of reach", err, "teamId")
}

func TestAnUnlockSaysWhy(t *testing.T) {
	w := newWorld(t)
	_, err := w.Unlock(t.Context(), w.admin, commands.OnAccount{AccountID: w.admin.Account, Command: commands.Command{Reason: "  "}})
	w.wantInvalid("no reason", err, "reason")
}
