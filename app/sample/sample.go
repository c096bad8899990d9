// Package sample tells a small, lively story of the last thirty days, through the same commands that people's acts go
// through: a few people, their logins, a lock and its end, a role granted and revoked, customers edited, deals won and lost.
//
// Ids derive from the steps' names, so they are the same on every machine. Times are real: recordedAt is now, occurredAt is
// when the story says it happened, and the log has the story in that order.
package sample

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/internal/auth"
)

// days is how far back the story begins.
const days = 30

// Begin is when the story begins that is told now: before it, there was nothing.
func Begin(now time.Time) time.Time { return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -days) }

// Login is what a person of the sample signs in with.
type Login struct {
	Role, Name, Password string
}

// Accounts is what of the sample is worth showing.
type Accounts struct {
	Logins []Login   // the auditor's and a sales person's
	Locked uuid.UUID // the account that was locked
}

// Record adds the sample to the home organization, whose administrator is given. The first error ends it.
func Record(ctx context.Context, c *commands.Commands, administrator uuid.UUID, now time.Time) (Accounts, error) {
	s := &story{begin: Begin(now), administrator: administrator, passwords: make(map[string]string)}
	s.people()
	s.signingIn()
	s.selling()
	s.governing()
	slices.SortStableFunc(s.steps, func(a, b step) int { return a.at.Compare(b.at) })
	t := &teller{ctx, c, s}
	for _, step := range s.steps {
		cmd := commands.Command{ID: s.command(step.name), OccurredAt: step.at, Reason: step.reason}
		if err := step.run(t, cmd); err != nil {
			return Accounts{}, fmt.Errorf("the sample: %s: %w", step.name, err)
		}
	}
	return Accounts{[]Login{{"auditor", noor, s.passwords[noor]}, {"sales", jonas, s.passwords[jonas]}}, s.account(jonas)}, nil
}

// story is a list of steps, in any order until it is told.
type story struct {
	begin         time.Time
	administrator uuid.UUID
	passwords     map[string]string // by login name; made here: there are no known passwords
	steps         []step
}

type step struct {
	name, reason string
	at           time.Time
	run          func(*teller, commands.Command) error
}

// on adds a step at a day of the story and a time of day.
func (s *story) on(day int, clock, name string, run func(*teller, commands.Command) error) *step {
	of, err := time.Parse("15:04", clock)
	if err != nil {
		panic(err) // a mistake in the program text
	}
	at := s.begin.AddDate(0, 0, day).Add(time.Duration(of.Hour())*time.Hour + time.Duration(of.Minute())*time.Minute)
	s.steps = append(s.steps, step{name: name, at: at, run: run})
	return &s.steps[len(s.steps)-1]
}

func (s *step) because(reason string) { s.reason = reason }

// command returns the id of a step's command; what it makes has an id that derives from it (see [commands.Command]).
func (s *story) command(name string) uuid.UUID {
	return uuid.NewSHA1(commands.Home, []byte("sample: "+name))
}

func (s *story) made(kind, name string) uuid.UUID {
	return commands.MadeBy(s.command(name), commands.Home, kind)
}

func (s *story) account(name string) uuid.UUID { return s.made("account", "invite "+name) }
func (s *story) team(name string) uuid.UUID    { return s.made("team", "team "+name) }

// teller goes through the story.
type teller struct {
	ctx context.Context
	*commands.Commands
	story *story
}

// as is an account as it is now: a principal knows the rights of the moment it was made.
func (t *teller) as(account uuid.UUID) (*commands.Principal, error) {
	return t.Acting(t.ctx, commands.Home, account, commands.Origin{IP: office, Device: laptop})
}

// by makes a step of one command by an account: by(id, (*commands.Commands).GrantRole, …).
func by[In, Out any](account uuid.UUID, do func(*commands.Commands, context.Context, *commands.Principal, In) (Out, error), in func(commands.Command) In) func(*teller, commands.Command) error {
	return func(t *teller, cmd commands.Command) error {
		p, err := t.as(account)
		if err == nil {
			_, err = do(t.Commands, t.ctx, p, in(cmd))
		}
		return err
	}
}

// join invites a person and lets it choose a password.
func (s *story) join(name, display, role string, team uuid.UUID, clock string) {
	s.passwords[name] = auth.MakePassword()
	s.on(0, clock, "invite "+name, by(s.administrator, (*commands.Commands).Invite, func(cmd commands.Command) commands.Invite {
		return commands.Invite{Command: cmd, LoginName: name, DisplayName: display, Email: name + "@example.com", Team: team, Roles: []string{role}}
	}))
	s.on(0, "10:05", "activate "+name, func(t *teller, cmd commands.Command) error {
		p, err := t.as(s.administrator)
		if err != nil {
			return err
		}
		issued, err := t.IssueActivation(t.ctx, p, commands.OnAccount{Command: commands.Command{OccurredAt: cmd.OccurredAt.Add(-time.Hour)}, AccountID: s.account(name)})
		if err != nil {
			return err
		}
		_, err = t.ActivateAccount(t.ctx, commands.Origin{IP: office, Device: laptop}, commands.ActivateAccount{Command: cmd, Token: issued.Token, Password: s.passwords[name]})
		return err
	})
}

// visit signs a person in, and out again.
func (s *story) visit(name string, day int, from, to, device string) {
	var in commands.LoggedIn
	label := fmt.Sprintf("%s, day %d", name, day)
	s.on(day, from, "login "+label, func(t *teller, cmd commands.Command) (err error) {
		in, err = t.LogIn(t.ctx, commands.Origin{IP: office, Device: device}, commands.LogIn{Command: cmd, LoginName: name, Password: s.passwords[name]})
		return err
	})
	s.on(day, to, "logout "+label, func(t *teller, cmd commands.Command) error {
		_, _, err := t.LogOut(t.ctx, in.Principal, cmd)
		return err
	})
}

// guess is a stranger's attempt on an account, which fails.
func (s *story) guess(n int, day int, clock, name string) {
	s.on(day, clock, fmt.Sprintf("guess %d", n), func(t *teller, cmd commands.Command) error {
		_, err := t.LogIn(t.ctx, commands.Origin{IP: "198.51.100.77", Device: "python-requests/2.32"},
			commands.LogIn{Command: cmd, LoginName: name, Password: fmt.Sprint("summer", 2020+n)})
		if !errors.Is(err, commands.ErrInvalidCredentials) {
			return fmt.Errorf("a guess was answered with %v", err)
		}
		return nil
	})
}
