// Package sample tells a small, lively story of the last thirty days, through the same commands that people's acts go
// through: a few people, their logins, a lock and its end, a role granted and revoked, customers edited, deals won and lost.
//
// Ids derive from the steps' names, so they are the same on every machine. Times are real: recordedAt is now, occurredAt is
// when the story says it happened.
package sample

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/internal/auth"
)

// days is how far back the story begins.
const days = 30

// Login is what a person of the sample signs in with.
type Login struct {
	Role, Name, Password string
}

// Told is what the sample has made that is worth showing.
type Told struct {
	Logins   []Login // the auditor and a sales person
	Customer uuid.UUID
	Locked   uuid.UUID // the account that was locked
}

// Tell adds the sample to the home organization, whose administrator is given. The first error ends it.
func Tell(ctx context.Context, c *commands.Commands, administrator uuid.UUID, now time.Time) (told Told, err error) {
	t := &teller{ctx: ctx, c: c, begin: now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)}
	t.admin = t.acting(administrator, "192.0.2.10", laptop)
	people := t.people(&told)
	t.signingIn(people)
	t.selling(people, &told)
	t.governing(people)
	return told, t.err
}

const (
	laptop = "Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0"
	phone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Mobile/15E148"
)

// teller goes through the story, and does nothing more after the first error.
type teller struct {
	ctx   context.Context
	c     *commands.Commands
	begin time.Time
	admin *commands.Principal
	err   error
}

// person is an account of the story and the office it works from.
type person struct {
	id             uuid.UUID
	name, password string
	ip             string
}

// at makes the command of a step: its id from the name, its time from the day of the story and the time of day.
func (t *teller) at(step string, day int, clock string, reason ...string) commands.Command {
	of, err := time.Parse("15:04", clock)
	t.fail(step, err)
	cmd := commands.Command{
		ID:         uuid.NewSHA1(commands.Home, []byte("sample: "+step)),
		OccurredAt: t.begin.AddDate(0, 0, day).Add(time.Duration(of.Hour())*time.Hour + time.Duration(of.Minute())*time.Minute),
	}
	if len(reason) > 0 {
		cmd.Reason = reason[0]
	}
	return cmd
}

func (t *teller) fail(step string, err error) {
	if err != nil && t.err == nil {
		t.err = fmt.Errorf("the sample: %s: %w", step, err)
	}
}

// do runs a step that answers with a result.
func (t *teller) do(step string, run func() (commands.Result, error)) uuid.UUID {
	if t.err != nil {
		return uuid.Nil
	}
	r, err := run()
	t.fail(step, err)
	return r.ID
}

func (t *teller) acting(account uuid.UUID, ip, device string) *commands.Principal {
	if t.err != nil {
		return nil
	}
	p, err := t.c.Acting(t.ctx, commands.Home, account, commands.Origin{IP: ip, Device: device})
	t.fail("acting", err)
	return p
}

// cast are the people of the story, by what they do in it.
type cast struct{ manager, jonas, amara, auditor, analyst person }

func (t *teller) people(told *Told) (c cast) {
	team := func(name string, parent uuid.UUID, clock string) uuid.UUID {
		return t.do("team "+name, func() (commands.Result, error) {
			return t.c.CreateTeam(t.ctx, t.admin, commands.CreateTeam{Command: t.at("team "+name, 0, clock), Name: name, Parent: parent})
		})
	}
	field := team("Field Sales", uuid.Nil, "08:30")
	north := team("North", field, "08:32")
	t.do("policy", func() (commands.Result, error) {
		return t.c.ChangeLockoutPolicy(t.ctx, t.admin, commands.ChangeLockoutPolicy{
			Command: t.at("policy", 0, "08:40", "works council agreement"), Attempts: 5, Window: 15 * time.Minute, LockFor: 30 * time.Minute,
		})
	})
	c.manager = t.join("ines.duarte", "Inês Duarte", "manager", north, "08:45")
	c.jonas = t.join("jonas.weber", "Jonas Weber", "sales", north, "08:50")
	c.amara = t.join("amara.okafor", "Amara Okafor", "sales", north, "08:55")
	c.auditor = t.join("noor.haddad", "Noor Haddad", "auditor", uuid.Nil, "09:00")
	c.analyst = t.join("li.wei", "Li Wei", "analyst", uuid.Nil, "09:05")
	t.do("manager of North", func() (commands.Result, error) {
		return t.c.SetTeamManager(t.ctx, t.admin, commands.SetTeamManager{Command: t.at("manager of North", 0, "09:10"), Team: north, Manager: c.manager.id})
	})
	told.Logins = []Login{{"auditor", c.auditor.name, c.auditor.password}, {"sales", c.jonas.name, c.jonas.password}}
	told.Locked = c.jonas.id
	return c
}

// join invites a person and lets it choose a password, which is made here: there are no known passwords.
func (t *teller) join(name, display, role string, team uuid.UUID, clock string) person {
	p := person{name: name, password: auth.MakePassword(), ip: "192.0.2.20"}
	p.id = t.do("invite "+name, func() (commands.Result, error) {
		return t.c.Invite(t.ctx, t.admin, commands.Invite{
			Command: t.at("invite "+name, 0, clock), LoginName: name, DisplayName: display, Email: name + "@example.com", Team: team, Roles: []string{role},
		})
	})
	t.do("activate "+name, func() (commands.Result, error) {
		issued, err := t.c.IssueActivation(t.ctx, t.admin, commands.OnAccount{Command: t.at("issue "+name, 0, "09:15"), AccountID: p.id})
		if err != nil {
			return issued.Result, err
		}
		return t.c.ActivateAccount(t.ctx, commands.Origin{IP: p.ip, Device: laptop}, commands.ActivateAccount{
			Command: t.at("activate "+name, 0, "10:05"), Token: issued.Token, Password: p.password,
		})
	})
	return p
}

// visit signs a person in and out again, and lets it work in between.
func (t *teller) visit(step string, p person, day int, from, to, device string, work func(*commands.Principal)) {
	if t.err != nil {
		return
	}
	in, err := t.c.LogIn(t.ctx, commands.Origin{IP: p.ip, Device: device}, commands.LogIn{
		Command: t.at("login "+step, day, from), LoginName: p.name, Password: p.password,
	})
	if t.fail(step, err); err != nil {
		return
	}
	if work != nil {
		work(in.Principal)
	}
	_, _, err = t.c.LogOut(t.ctx, in.Principal, t.at("logout "+step, day, to))
	t.fail(step, err)
}

// signingIn: somebody guesses Jonas' password at night until the account is locked; the lock ends by its timer.
func (t *teller) signingIn(c cast) {
	t.visit("amara 1", c.amara, 1, "08:58", "17:01", laptop, nil)
	t.visit("jonas 1", c.jonas, 1, "09:02", "12:10", laptop, nil)
	t.visit("jonas phone", c.jonas, 3, "18:40", "18:55", phone, nil)
	stranger := commands.Origin{IP: "198.51.100.77", Device: "python-requests/2.32"}
	for i, clock := range []string{"02:10", "02:11", "02:11", "02:12", "02:12", "02:13"} {
		if t.err != nil {
			return
		}
		step := fmt.Sprintf("guess %d", i)
		_, err := t.c.LogIn(t.ctx, stranger, commands.LogIn{Command: t.at(step, 9, clock), LoginName: c.jonas.name, Password: "summer" + fmt.Sprint(2020+i)})
		if !errors.Is(err, commands.ErrInvalidCredentials) {
			t.fail(step, fmt.Errorf("a guess was answered with %v", err))
		}
	}
	t.do("the lock ends", func() (commands.Result, error) {
		return t.c.EndLock(t.ctx, t.system(), commands.OnAccount{Command: t.at("the lock ends", 9, "02:43"), AccountID: c.jonas.id})
	})
	t.visit("jonas after the lock", c.jonas, 9, "08:47", "17:30", laptop, nil)
}

func (t *teller) system() *commands.Principal {
	p, err := t.c.System(t.ctx, commands.Home)
	t.fail("the program itself", err)
	return p
}

// selling: customers are registered and edited, deals won and lost.
func (t *teller) selling(c cast, told *Told) {
	amara, jonas := t.acting(c.amara.id, c.amara.ip, laptop), t.acting(c.jonas.id, c.jonas.ip, laptop)
	register := func(by *commands.Principal, day int, clock, name, sector, country string) uuid.UUID {
		return t.do("register "+name, func() (commands.Result, error) {
			return t.c.RegisterCustomer(t.ctx, by, commands.RegisterCustomer{
				Command:    t.at("register "+name, day, clock),
				Registered: customer.Registered{Name: name, Sector: sector, Country: country},
			})
		})
	}
	harbor := register(amara, 1, "09:20", "Harbor Instruments", "measurement", "Denmark")
	linden := register(jonas, 2, "10:05", "Linden Bakery Group", "food", "Germany")
	sable := register(amara, 4, "14:30", "Sable Logistics", "transport", "Nigeria")
	told.Customer = harbor
	edit := func(by *commands.Principal, step string, day int, clock string, id uuid.UUID, reason string, f customer.Fields) {
		t.do(step, func() (commands.Result, error) {
			return t.c.EditCustomer(t.ctx, by, commands.EditCustomer{Command: t.at(step, day, clock, reason), CustomerID: id, Fields: f})
		})
	}
	text := func(s string) *string { return &s }
	edit(amara, "harbor phone", 5, "11:15", harbor, "from their letterhead", customer.Fields{Phone: text("+45 5550 1200"), Website: text("https://harbor.example")})
	edit(amara, "harbor phone again", 12, "09:40", harbor, "called back: new extension", customer.Fields{Phone: text("+45 5550 1248")})
	edit(jonas, "linden sector", 13, "16:20", linden, "they deliver now", customer.Fields{Sector: text("food delivery")})

	deal := func(by *commands.Principal, ref, product string, at uuid.UUID, opened, closed int, value domain.Decimal) {
		id := t.do("open "+ref, func() (commands.Result, error) {
			return t.c.OpenOpportunity(t.ctx, by, commands.OpenOpportunity{Command: t.at("open "+ref, opened, "10:30"), Reference: ref, Product: product, CustomerID: at})
		})
		if closed == 0 {
			return
		}
		t.do("engage "+ref, func() (commands.Result, error) {
			return t.c.EngageOpportunity(t.ctx, by, commands.OnOpportunity{Command: t.at("engage "+ref, opened+1, "11:00"), OpportunityID: id})
		})
		t.do("close "+ref, func() (commands.Result, error) {
			if value == "" {
				return t.c.LoseOpportunity(t.ctx, by, commands.OnOpportunity{Command: t.at("close "+ref, closed, "15:45", "budget cut"), OpportunityID: id})
			}
			return t.c.WinOpportunity(t.ctx, by, commands.WinOpportunity{Command: t.at("close "+ref, closed, "15:45"), OpportunityID: id, Value: value})
		})
	}
	deal(amara, "S-1001", "Gauge", harbor, 5, 16, "4821.00")
	deal(jonas, "S-1002", "Gauge", linden, 6, 18, "")
	deal(amara, "S-1003", "Logger", sable, 8, 24, "12750.50")
	deal(jonas, "S-1004", "Logger", harbor, 11, 26, "990.00")
	deal(jonas, "S-1005", "Gauge", linden, 21, 0, "")
}

// governing: Jonas stands in for the manager for a week; the auditor looks at it.
func (t *teller) governing(c cast) {
	role := commands.Role{AccountID: c.jonas.id, Role: "manager"}
	t.do("grant", func() (commands.Result, error) {
		role.Command = t.at("grant", 14, "08:20", "stands in for Inês for a week")
		return t.c.GrantRole(t.ctx, t.admin, role)
	})
	t.do("revoke", func() (commands.Result, error) {
		role.Command = t.at("revoke", 21, "08:15", "Inês is back")
		return t.c.RevokeRole(t.ctx, t.admin, role)
	})
	t.visit("auditor", c.auditor, 22, "10:00", "11:25", laptop, nil)
	t.visit("amara 2", c.amara, 29, "09:00", "17:00", laptop, nil)
}
