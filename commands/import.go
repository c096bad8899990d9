package commands

import (
	"context"
	"encoding/binary"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/eventlog"
)

// The commands of an import name the object by an id that derives from the row's key, and themselves by one that derives from
// its content (see [Command.ID]). The object remembers what the import said last, so a row that says the same again writes
// nothing, and a changed one brings just the change. They need the permission for the whole organization.

// Outcome is what the import of a row came to.
type Outcome int

const (
	Unchanged Outcome = iota // the object has followed this row before
	Added
	Changed
)

// Imported is the result of importing a row.
type Imported struct {
	Result
	Outcome Outcome
}

// importing lets choose judge a row. Its events' ids derive from the row and the version of the object that the row meets: a
// row that goes back to what it said before is news once more.
func importing[S, E any](act *action, choose func(S) ([]E, error)) func(S) ([]E, error) {
	row := act.id
	act.resent = false // choose itself knows a row that comes again
	return func(s S) ([]E, error) {
		act.id = uuid.NewSHA1(row, binary.BigEndian.AppendUint64(nil, uint64(act.judged)))
		act.meta.Command = act.id
		return choose(s)
	}
}

func imported[E any](id uuid.UUID, done outcome[E]) Imported {
	i := Imported{Result: Result{ID: id, Receipt: done.receipt}}
	switch {
	case len(done.events) == 0:
	case eventlog.Version(len(done.events)) == done.receipt.Version:
		i.Outcome = Added
	default:
		i.Outcome = Changed
	}
	return i
}

// ImportTeam creates or follows a team. Its manager need not be there yet: an account may need its team first.
func (c *Commands) ImportTeam(ctx context.Context, p *Principal, cmd Command, row organization.TeamRow) (Imported, error) {
	if p.Scope(organization.Manage) != organization.All {
		return Imported{}, ErrForbidden
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Imported{}, err
	}
	stream := c.organizations.stream(p.Organization, p.Organization)
	done, err := decide(ctx, c, &c.organizations, stream, act, nil, importing(act, func(s organization.State) ([]organization.Event, error) {
		return organization.ImportTeam(s, row)
	}))
	if err != nil {
		return Imported{}, err
	}
	result := imported(row.Team, done)
	if len(done.events) > 0 {
		if _, created := done.events[0].(organization.TeamCreated); created {
			result.Outcome = Added
		}
	}
	return result, nil
}

// ImportAccount invites or follows an account. Its team and roles must be there.
func (c *Commands) ImportAccount(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, row account.Invited) (Imported, error) {
	if p.Scope(organization.ManageAccounts) != organization.All {
		return Imported{}, ErrForbidden
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Imported{}, err
	}
	now, err := c.organizations.load(ctx, c, c.organizations.stream(p.Organization, p.Organization))
	if err != nil {
		return Imported{}, err
	}
	fresh := *p
	fresh.organization = now.state // an import makes teams and uses them
	row.LoginName = LoginName(row.LoginName)
	judge := importing(act, func(s account.State) ([]account.Event, error) { return account.Import(s, row) })
	done, err := c.invite(ctx, &fresh, act, id, row, func(s account.State, _ account.Invited) ([]account.Event, error) { return judge(s) })
	return imported(id, done), err
}

// CheckAccount tells what is wrong with the row of an account, as a [domain.Invalid], without writing: its roles must be
// there and its names free. Whether its team is there is not looked at.
func (c *Commands) CheckAccount(ctx context.Context, p *Principal, id uuid.UUID, row account.Invited) error {
	if p.Scope(organization.ManageAccounts) != organization.All {
		return ErrForbidden
	}
	bad := domain.Invalid{}
	for _, role := range row.Roles {
		p.checkRole(bad, "roles", role)
	}
	for field, stream := range map[string]eventlog.Stream{
		"loginName": c.reservation(reservation.LoginName, LoginName(row.LoginName)), "email": c.reservation(reservation.Email, emailName(row.Email)),
	} {
		now, err := c.reservations.load(ctx, c, stream)
		if err != nil {
			return err
		}
		if now.state.Holder == uuid.Nil || now.state.Holder == id {
			continue
		}
		holder, err := c.accounts.load(ctx, c, c.accounts.stream(now.state.Organization, now.state.Holder))
		if err != nil {
			return err
		}
		if holder.state.Invited {
			bad[field] = "is taken"
		}
	}
	return bad.Err()
}

// there reports whether a row may refer to an object. A stream never goes away, so one that was seen is not read again.
func there[S, E any](ctx context.Context, c *Commands, a *aggregate[S, E], p *Principal, field string, id uuid.UUID) error {
	s := a.stream(p.Organization, id)
	if id == uuid.Nil || a.cache.Contains(s) {
		return nil
	}
	now, err := a.load(ctx, c, s)
	if err == nil && now.receipt.Version == 0 {
		return domain.Invalid{field: "refers to nothing"}
	}
	return err
}
