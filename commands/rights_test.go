package commands_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
)

// company is an organization of two teams: mona manages the north with sam and sue in it and the far north with finn, and
// stan is in the south.
type company struct {
	*world
	who map[string]*commands.Principal
}

func newCompany(t *testing.T) company {
	w := newWorld(t)
	north, south := w.team("north", uuid.Nil), w.team("south", uuid.Nil)
	far := w.team("far north", north)
	w.admin = w.again(w.admin)
	c := company{w, map[string]*commands.Principal{
		"administrator": w.admin,
		"manager":       w.invite("mona", uuid.Nil, "manager"),
		"sales":         w.invite("sam", north, "sales"),
		"sue":           w.invite("sue", north, "sales"),
		"finn":          w.invite("finn", far, "sales"),
		"stan":          w.invite("stan", south, "sales"),
		"auditor":       w.invite("auditor", north, "auditor"),
		"analyst":       w.invite("analyst", north, "analyst"),
		"nobody":        w.invite("nobody", north),
	}}
	must(w.SetTeamManager(t.Context(), w.admin, commands.SetTeamManager{Team: north, Manager: c.who["manager"].Account}))
	for name, p := range c.who {
		c.who[name] = w.again(p)
	}
	return c
}

// onRecord are the commands on a customer or an opportunity that an account owns.
func (c company) onRecord(owner uuid.UUID) map[string]func(p *commands.Principal) error {
	system := must(c.System(c.Context(), commands.Home))
	cust := c.customer(system, "Northwind", owner)
	opened := uuid.Nil
	if owner != uuid.Nil { // an opportunity has one
		opened = must(c.OpenOpportunity(c.Context(), system, commands.OpenOpportunity{Reference: "R", Owner: owner})).ID
		must(c.EngageOpportunity(c.Context(), system, commands.On{ID: opened}))
	}
	onCustomer, onOpportunity := commands.On{ID: cust}, commands.On{ID: opened}
	ctx := c.Context()
	all := map[string]func(p *commands.Principal) error{
		"edit a customer": func(p *commands.Principal) error {
			_, err := c.EditCustomer(ctx, p, commands.EditCustomer{On: commands.On{ID: cust}, Fields: customer.Fields{Phone: text(uuid.NewString())}})
			return err
		},
		"edit a customer of an old version": func(p *commands.Principal) error {
			in := commands.EditCustomer{On: commands.On{Command: commands.Command{ExpectedVersion: 999}, ID: cust}, Fields: customer.Fields{Phone: text("1")}}
			_, err := c.EditCustomer(ctx, p, in)
			if _, conflict := errors.AsType[*commands.Conflict](err); conflict {
				return nil // he is told what changed
			}
			return err
		},
		"reassign a customer": func(p *commands.Principal) error {
			_, err := c.ReassignRecord(ctx, p, commands.ReassignRecord{On: commands.On{ID: cust}, Owner: p.Account})
			if err == nil {
				_, err = c.ReassignRecord(ctx, system, commands.ReassignRecord{On: commands.On{ID: cust}, Owner: owner})
			}
			return err
		},
		"archive and restore a customer": func(p *commands.Principal) error {
			_, err := c.ArchiveRecord(ctx, p, onCustomer)
			_, also := c.RestoreRecord(ctx, p, onCustomer)
			if (err == nil) != (also == nil) {
				return fmt.Errorf("archive %w, restore %w", err, also)
			}
			return err
		},
	}
	if opened == uuid.Nil {
		return all
	}
	all["edit an opportunity"] = func(p *commands.Principal) error {
		_, err := c.EditOpportunity(ctx, p, commands.EditOpportunity{On: commands.On{ID: opened}, Fields: opportunity.Fields{Product: text(uuid.NewString())}})
		return err
	}
	all["win, reopen, lose, reopen, engage"] = func(p *commands.Principal) error {
		var errs []error
		_, err := c.WinOpportunity(ctx, p, commands.WinOpportunity{On: commands.On{ID: opened}, Value: "10"})
		errs = append(errs, err)
		for _, f := range []func(*commands.Principal) error{
			func(p *commands.Principal) error { _, err := c.ReopenOpportunity(ctx, p, onOpportunity); return err },
			func(p *commands.Principal) error { _, err := c.LoseOpportunity(ctx, p, onOpportunity); return err },
			func(p *commands.Principal) error { _, err := c.ReopenOpportunity(ctx, p, onOpportunity); return err },
			func(p *commands.Principal) error { _, err := c.EngageOpportunity(ctx, p, onOpportunity); return err },
		} {
			errs = append(errs, f(p))
		}
		for _, e := range errs {
			if !errors.Is(e, err) || (err == nil) != (e == nil) {
				return fmt.Errorf("they differ: %v", errs)
			}
		}
		return err
	}
	all["reassign an opportunity"] = func(p *commands.Principal) error {
		_, err := c.ReassignRecord(ctx, p, commands.ReassignRecord{On: commands.On{ID: opened}, Owner: p.Account})
		if err == nil {
			_, err = c.ReassignRecord(ctx, system, commands.ReassignRecord{On: commands.On{ID: opened}, Owner: owner})
		}
		return err
	}
	return all
}

func TestWhoMayChangeWhoseRecords(t *testing.T) {
	c := newCompany(t)
	forbidden, hidden := commands.ErrForbidden, commands.ErrNotFound
	owners := []string{"sales", "sue", "finn", "stan", "nobody of them"}
	want := map[string][]error{ // by owner
		"administrator": {nil, nil, nil, nil, nil},
		"manager":       {nil, nil, nil, hidden, hidden},
		"sales":         {nil, hidden, hidden, hidden, hidden},
		"finn":          {hidden, hidden, nil, hidden, hidden},
		"auditor":       {forbidden, forbidden, forbidden, forbidden, forbidden},
		"analyst":       {forbidden, forbidden, forbidden, forbidden, forbidden},
		"nobody":        {forbidden, forbidden, forbidden, forbidden, forbidden},
	}
	for i, owner := range owners {
		id := uuid.Nil
		if p, ok := c.who[owner]; ok {
			id = p.Account
		}
		for what, try := range c.onRecord(id) {
			for who, errs := range want {
				before := c.head()
				err := try(c.who[who])
				if !errors.Is(err, errs[i]) || errs[i] == nil && err != nil {
					t.Errorf("%s: %s of %s: %v, want %v", who, what, owner, err, errs[i])
				}
				if err != nil && c.head() != before {
					t.Errorf("%s: %s of %s: refused, and written", who, what, owner)
				}
			}
		}
	}
	for what, try := range map[string]func(p *commands.Principal) error{
		"a customer": func(p *commands.Principal) error {
			_, err := c.edit(p, uuid.New(), commands.Command{}, "1")
			return err
		},
		"an opportunity": func(p *commands.Principal) error {
			_, err := c.LoseOpportunity(t.Context(), p, commands.On{ID: uuid.New()})
			return err
		},
	} {
		for who := range want {
			if err := try(c.who[who]); !errors.Is(err, hidden) && !errors.Is(err, forbidden) {
				t.Errorf("%s: %s that is not there: %v", who, what, err)
			}
		}
	}
}

func TestAdministrationIsForAdministrators(t *testing.T) {
	c := newCompany(t)
	ctx := t.Context()
	on := commands.OnAccount{AccountID: c.who["sue"].Account, Command: commands.Command{Reason: "r"}}
	role := commands.Role{AccountID: on.AccountID, Role: "analyst"}
	err2 := func(_ any, err error) error { return err }
	for what, try := range map[string]func(p *commands.Principal) error{
		"invite": func(p *commands.Principal) error {
			return err2(c.Invite(ctx, p, commands.Invite{LoginName: "x" + p.Account.String(), DisplayName: "X"}))
		},
		"issue an activation": func(p *commands.Principal) error { return err2(c.IssueActivation(ctx, p, on)) },
		"unlock":              func(p *commands.Principal) error { return err2(c.Unlock(ctx, p, on)) },
		"grant":               func(p *commands.Principal) error { return err2(c.GrantRole(ctx, p, role)) },
		"revoke":              func(p *commands.Principal) error { return err2(c.RevokeRole(ctx, p, role)) },
		"move to a team": func(p *commands.Principal) error {
			return err2(c.MoveToTeam(ctx, p, commands.MoveToTeam{AccountID: on.AccountID}))
		},
		"deactivate":      func(p *commands.Principal) error { return err2(c.Deactivate(ctx, p, on)) },
		"reactivate":      func(p *commands.Principal) error { return err2(c.Reactivate(ctx, p, on)) },
		"log another out": func(p *commands.Principal) error { _, _, err := c.LogOutEverywhere(ctx, p, on); return err },
		"define a role":   func(p *commands.Principal) error { return err2(c.DefineRole(ctx, p, commands.DefineRole{Role: "r"})) },
		"add a permission": func(p *commands.Principal) error {
			return err2(c.AddPermission(ctx, p, commands.Permission{Role: "analyst", Permission: organization.ViewAccounts, Scope: organization.All}))
		},
		"remove a permission": func(p *commands.Principal) error {
			return err2(c.RemovePermission(ctx, p, commands.Permission{Role: "analyst", Permission: organization.ViewAccounts}))
		},
		"create a team": func(p *commands.Principal) error { return err2(c.CreateTeam(ctx, p, commands.CreateTeam{Name: "t"})) },
		"set a team's manager": func(p *commands.Principal) error {
			return err2(c.SetTeamManager(ctx, p, commands.SetTeamManager{Team: c.who["stan"].AccountState().Team, Manager: on.AccountID}))
		},
		"change the lockout policy": func(p *commands.Principal) error {
			return err2(c.ChangeLockoutPolicy(ctx, p, commands.ChangeLockoutPolicy{Attempts: 5, Window: time.Minute, LockFor: time.Minute}))
		},
		"import a team": func(p *commands.Principal) error {
			return err2(c.ImportTeam(ctx, p, commands.Command{}, organization.TeamRow{Team: uuid.New(), Name: "t", Source: "s"}))
		},
		"import an account": func(p *commands.Principal) error {
			return err2(c.ImportAccount(ctx, p, commands.Command{}, uuid.New(), account.Invited{LoginName: "y" + p.Account.String(), DisplayName: "Y", Source: "s"}))
		},
		"import a customer": func(p *commands.Principal) error {
			return err2(c.ImportCustomer(ctx, p, commands.Command{}, uuid.New(), customer.Registered{Name: "n", Source: "s"}))
		},
		"import an opportunity": func(p *commands.Principal) error {
			return err2(c.ImportOpportunity(ctx, p, commands.Command{}, uuid.New(), opportunity.Row{Reference: "r", Owner: on.AccountID, Stage: opportunity.Prospecting, Source: "s"}))
		},
	} {
		for who, p := range c.who {
			if p.Account == on.AccountID { // everybody may log himself out
				continue
			}
			must(c.Reactivate(ctx, c.admin, on))
			before := c.head()
			err := try(c.again(p))
			switch {
			case who == "administrator" && err != nil:
				t.Errorf("%s: %s: %v", who, what, err)
			case who != "administrator" && !errors.Is(err, commands.ErrForbidden):
				t.Errorf("%s: %s: %v", who, what, err)
			case err != nil && c.head() != before:
				t.Errorf("%s: %s: refused, and written", who, what)
			}
		}
	}
	for what, err := range map[string]error{
		"register an organization":             err2(c.RegisterOrganization(ctx, c.admin, commands.RegisterOrganization{Name: "n"})),
		"end a lock":                           err2(c.EndLock(ctx, c.admin, on)),
		"set a team's manager to nobody there": err2(c.SetTeamManager(ctx, c.admin, commands.SetTeamManager{Team: c.who["stan"].AccountState().Team, Manager: uuid.New()})),
	} {
		if err == nil {
			t.Error("an administrator may", what)
		}
	}
	_, err := c.GrantRole(ctx, c.admin, commands.Role{AccountID: uuid.New(), Role: "sales"})
	c.wantErr("an account that is not there", err, commands.ErrNotFound)
}

func TestWhatOneRegistersIsOnesOwn(t *testing.T) {
	c := newCompany(t)
	ctx := t.Context()
	register := func(by string, owner uuid.UUID) error {
		_, err := c.RegisterCustomer(ctx, c.who[by], commands.RegisterCustomer{Registered: customer.Registered{Name: "Northwind", Owner: owner, Source: "not an import"}})
		return err
	}
	open := func(by string, owner, customer uuid.UUID) error {
		_, err := c.OpenOpportunity(ctx, c.who[by], commands.OpenOpportunity{Reference: "R", Owner: owner, CustomerID: customer})
		return err
	}
	id := func(who string) uuid.UUID { return c.who[who].Account }
	before := c.head()
	c.wantErr("a customer", register("sales", uuid.Nil), nil)
	c.wantErr("an opportunity", open("sales", uuid.Nil, uuid.Nil), nil)
	_, _, payloads := c.facts(before)
	if payloads[0].(customer.Registered).Owner != id("sales") || payloads[1].(opportunity.Opened).Owner != id("sales") || payloads[0].(customer.Registered).Source != "" {
		t.Errorf("%+v", payloads)
	}
	for _, err := range []error{register("sales", id("sue")), register("manager", id("stan")), register("administrator", uuid.New()), open("sales", id("sue"), uuid.Nil)} {
		c.wantInvalid("for somebody out of reach", err, "ownerId")
	}
	c.wantErr("for the team", register("manager", id("finn")), nil)
	c.wantErr("for anybody", register("administrator", id("stan")), nil)
	for _, who := range []string{"auditor", "analyst", "nobody"} {
		c.wantErr(who, register(who, uuid.Nil), commands.ErrForbidden)
		c.wantErr(who, open(who, uuid.Nil, uuid.Nil), commands.ErrForbidden)
	}
	must(c.Deactivate(ctx, c.admin, commands.OnAccount{AccountID: id("stan")}))
	c.wantInvalid("for a deactivated account", register("administrator", id("stan")), "ownerId")
	c.wantInvalid("of a customer that is not there", open("sales", uuid.Nil, uuid.New()), "customerId")
	theirs := c.customer(c.who["sue"], "Fabrikam", uuid.Nil)
	c.wantErr("of a customer that one may see", open("sales", uuid.Nil, theirs), nil)

	mine := c.customer(c.who["sales"], "Contoso", uuid.Nil)
	_, err := c.ReassignRecord(ctx, c.who["sales"], commands.ReassignRecord{On: commands.On{ID: mine}, Owner: id("sue")})
	c.wantInvalid("given away", err, "ownerId")
	_, err = c.ReassignRecord(ctx, c.who["sales"], commands.ReassignRecord{On: commands.On{ID: mine}})
	c.wantInvalid("given to nobody", err, "ownerId")
	must(c.ReassignRecord(ctx, c.admin, commands.ReassignRecord{On: commands.On{ID: mine}}))
	_, err = c.edit(c.who["sales"], mine, commands.Command{}, "1")
	c.wantErr("what was one's own", err, commands.ErrNotFound)

	opened := must(c.OpenOpportunity(ctx, c.who["sales"], commands.OpenOpportunity{Reference: "R"})).ID
	there, value := theirs, domain.Decimal("-1")
	must(c.EditOpportunity(ctx, c.who["sales"], commands.EditOpportunity{On: commands.On{ID: opened}, Fields: opportunity.Fields{Customer: &there}}))
	there = uuid.New()
	_, err = c.EditOpportunity(ctx, c.who["sales"], commands.EditOpportunity{On: commands.On{ID: opened}, Fields: opportunity.Fields{Customer: &there}})
	c.wantInvalid("an opportunity with a customer that is not there", err, "customerId")
	_, err = c.EditOpportunity(ctx, c.who["sales"], commands.EditOpportunity{On: commands.On{ID: opened}, Fields: opportunity.Fields{Value: &value}})
	c.wantInvalid("a value of an open one", err, "value")
}

// The team that counts is the one of the owner now.
func TestAScopeFollowsWhoMoves(t *testing.T) {
	c := newCompany(t)
	id := c.customer(c.who["stan"], "Northwind", uuid.Nil)
	_, err := c.edit(c.who["manager"], id, commands.Command{}, "1")
	c.wantErr("a stranger's", err, commands.ErrNotFound)
	must(c.MoveToTeam(t.Context(), c.admin, commands.MoveToTeam{AccountID: c.who["stan"].Account, Team: c.who["sue"].AccountState().Team}))
	_, err = c.edit(c.who["manager"], id, commands.Command{}, "1")
	c.wantErr("a new member's", err, nil)
}

func TestTheZeroPrincipalMayNothing(t *testing.T) {
	w := newWorld(t)
	_, err := w.RegisterCustomer(t.Context(), &commands.Principal{Organization: commands.Home}, commands.RegisterCustomer{Registered: customer.Registered{Name: "x"}})
	w.wantErr("nobody", err, commands.ErrForbidden)
}
