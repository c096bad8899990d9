package commands

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/internal/auth"
)

// ErrOwnRights reports an administrator about to lock himself out: another one must do it.
var ErrOwnRights = domain.Refuse(domain.CodeForbidden, "nobody takes away their own administration or account")

const administrator = "administrator"

// Invite makes an account, which can sign in once it is activated.
type Invite struct {
	Command
	LoginName, DisplayName string
	Email                  string    // empty: none
	Team                   uuid.UUID // zero: none
	Roles                  []string
}

// Invite needs account.manage for the whole organization, or for the team, and every right that the roles give.
func (c *Commands) Invite(ctx context.Context, p *Principal, in Invite) (Result, error) {
	act, err := c.begin(p, in.Command)
	if err != nil {
		return Result{}, err
	}
	id := act.object(p.Organization, account.Category)
	done, err := c.invite(ctx, p, act, id, account.Invited{
		LoginName: in.LoginName, DisplayName: in.DisplayName, Email: in.Email, Team: in.Team, Roles: in.Roles,
	}, account.Invite)
	return Result{ID: id, Receipt: done.receipt}, err
}

// inviteTime bounds the time between claim and invitation, far below [reservation.Patience].
const inviteTime = time.Minute

// invite claims the names of an account that is not there yet, and then appends what choose makes of the wish.
func (c *Commands) invite(ctx context.Context, p *Principal, act *action, id uuid.UUID, wish account.Invited,
	choose func(account.State, account.Invited) ([]account.Event, error),
) (outcome[account.Event], error) {
	ctx, cancel := context.WithTimeout(ctx, inviteTime)
	defer cancel()
	wish.LoginName = LoginName(wish.LoginName)
	switch scope := p.Scope(organization.ManageAccounts); {
	case scope != organization.All && scope != organization.Team, !p.outranks(wish.Roles):
		return outcome[account.Event]{}, ErrForbidden
	}
	bad := domain.Invalid{}
	for _, role := range wish.Roles {
		p.checkRole(bad, "roles", role)
	}
	p.checkTeam(bad, "teamId", wish.Team)
	if _, err := choose(account.State{}, wish); err != nil { // what is wrong with the wish itself, before a name is claimed
		var fields domain.Invalid
		if !errors.As(err, &fields) {
			return outcome[account.Event]{}, err
		}
		for field, reason := range fields {
			bad[field] = reason
		}
	}
	if err := bad.Err(); err != nil {
		return outcome[account.Event]{}, err
	}
	stream := c.accounts.stream(p.Organization, id)
	there, err := c.accounts.load(ctx, c, stream)
	if err != nil {
		return outcome[account.Event]{}, err
	}
	if there.state.Erased { // by an import: it claims no names again
		return outcome[account.Event]{}, account.ErrErased
	}
	if !there.state.Invited {
		fresh, err := c.claim(ctx, p, act, reservation.LoginName, "loginName", wish.LoginName, id)
		if err != nil {
			return outcome[account.Event]{}, err
		}
		if email := emailName(wish.Email); email != "" {
			if _, err := c.claim(ctx, p, act, reservation.Email, "email", email, id); err != nil {
				if fresh {
					err = errors.Join(err, c.release(ctx, act, reservation.LoginName, wish.LoginName, id))
				}
				return outcome[account.Event]{}, err
			}
		}
	}
	return decide(ctx, c, &c.accounts, stream, act, nil, func(s account.State) ([]account.Event, error) { return choose(s, wish) })
}

// emailName is the form in which an e-mail address is unique.
func emailName(s string) string { return LoginName(s) }

func (p *Principal) checkRole(bad domain.Invalid, field, role string) {
	if _, ok := p.organization.Roles[role]; !ok {
		bad[field] = "there is no role " + line(role, 50)
	}
}

// checkTeam reports whether an account may be put into a team: it is there, and in the principal's scope.
func (p *Principal) checkTeam(bad domain.Invalid, field string, team uuid.UUID) {
	_, ok := p.organization.Teams[team]
	if p.Scope(organization.ManageAccounts) != organization.All {
		ok = slices.Contains(p.Teams(), team)
	} else if team == uuid.Nil {
		ok = true
	}
	if !ok {
		bad[field] = "there is no such team"
	}
}

// manage is the way of a command on somebody's account: it needs account.manage with the account in its scope, and every
// right that the account has, or it would be a way to them.
func (c *Commands) manage(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, choose func(account.State, *action) ([]account.Event, error)) (Result, outcome[account.Event], error) {
	none := outcome[account.Event]{}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, none, err
	}
	if err := c.reaches(ctx, p, organization.ManageAccounts, id); err != nil {
		return Result{}, none, err
	}
	allow := func(s account.State) error {
		switch {
		case s.Erased:
			return account.ErrErased
		case !s.Invited:
			return ErrNotFound
		case !p.outranks(s.Roles):
			return ErrForbidden
		}
		return nil
	}
	done, err := decide(ctx, c, &c.accounts, c.accounts.stream(p.Organization, id), act, allow, func(s account.State) ([]account.Event, error) {
		return choose(s, act)
	})
	return Result{ID: id, Receipt: done.receipt}, done, err
}

// OnAccount is a command that needs no more than an account.
type OnAccount struct {
	Command
	AccountID uuid.UUID
}

// Activation is a token that lets its holder set an account's password, once. It is shown now and never again: the answer to
// a resent command has none.
type Activation struct {
	Result
	Token     string
	ExpiresAt time.Time
}

// IssueActivation lets the holder of the token set the account's first password, or a new one. Tokens issued before end.
func (c *Commands) IssueActivation(ctx context.Context, p *Principal, in OnAccount) (Activation, error) {
	token := auth.Activation{Organization: p.Organization, Account: in.AccountID, Secret: auth.NewSecret()}
	result, done, err := c.manage(ctx, p, in.Command, in.AccountID, func(s account.State, act *action) ([]account.Event, error) {
		return account.IssueActivation(s, token.Secret.Hash(), act.now)
	})
	if err != nil {
		return Activation{}, err
	}
	issued := Activation{Result: result}
	for _, e := range done.events {
		if e, ok := e.(account.ActivationIssued); ok {
			issued.ExpiresAt = e.ExpiresAt
		}
	}
	now, err := c.accounts.load(ctx, c, c.accounts.stream(p.Organization, in.AccountID))
	if err != nil {
		return Activation{}, err
	}
	if now.state.Activation.TokenHash == token.Secret.Hash() { // else a resend, even at once, or void already
		issued.Token = token.String()
	}
	return issued, nil
}

// Role is a command about a role of an account.
type Role struct {
	Command
	AccountID uuid.UUID
	Role      string
}

// GrantRole gives a role, which the principal must have the rights of.
func (c *Commands) GrantRole(ctx context.Context, p *Principal, in Role) (Result, error) {
	result, _, err := c.manage(ctx, p, in.Command, in.AccountID, func(s account.State, _ *action) ([]account.Event, error) {
		bad := domain.Invalid{}
		if p.checkRole(bad, "role", in.Role); len(bad) > 0 {
			return nil, bad
		}
		if !p.outranks([]string{in.Role}) {
			return nil, ErrForbidden
		}
		return account.GrantRole(s, in.Role)
	})
	return result, err
}

// RevokeRole takes a role away. Nobody takes the role administrator from himself.
func (c *Commands) RevokeRole(ctx context.Context, p *Principal, in Role) (Result, error) {
	result, _, err := c.manage(ctx, p, in.Command, in.AccountID, func(s account.State, _ *action) ([]account.Event, error) {
		if in.AccountID == p.Account && in.Role == administrator {
			return nil, ErrOwnRights
		}
		return account.RevokeRole(s, in.Role)
	})
	return result, err
}

// MoveToTeam is the input of [Commands.MoveToTeam].
type MoveToTeam struct {
	Command
	AccountID uuid.UUID
	Team      uuid.UUID // zero: none
}

// MoveToTeam makes an account the member of another team.
func (c *Commands) MoveToTeam(ctx context.Context, p *Principal, in MoveToTeam) (Result, error) {
	result, _, err := c.manage(ctx, p, in.Command, in.AccountID, func(s account.State, _ *action) ([]account.Event, error) {
		bad := domain.Invalid{}
		if p.checkTeam(bad, "teamId", in.Team); len(bad) > 0 {
			return nil, bad
		}
		return account.MoveToTeam(s, in.Team)
	})
	return result, err
}

// Unlock ends a lock before its time. The reason must be told: who asked, and how it was checked who that is.
func (c *Commands) Unlock(ctx context.Context, p *Principal, in OnAccount) (Result, error) {
	result, _, err := c.manage(ctx, p, in.Command, in.AccountID, func(s account.State, act *action) ([]account.Event, error) {
		if act.meta.Reason == "" {
			return nil, domain.Invalid{"reason": "must not be blank"}
		}
		return account.Unlock(s)
	})
	return result, err
}

// Deactivate ends an account's sessions and lets nobody sign in with it. Nobody deactivates himself.
func (c *Commands) Deactivate(ctx context.Context, p *Principal, in OnAccount) (Result, error) {
	result, _, err := c.manage(ctx, p, in.Command, in.AccountID, func(s account.State, _ *action) ([]account.Event, error) {
		if in.AccountID == p.Account {
			return nil, ErrOwnRights
		}
		return account.Deactivate(s)
	})
	return result, err
}

// Reactivate lets a deactivated account sign in again, with the password it had.
func (c *Commands) Reactivate(ctx context.Context, p *Principal, in OnAccount) (Result, error) {
	result, _, err := c.manage(ctx, p, in.Command, in.AccountID, func(s account.State, _ *action) ([]account.Event, error) {
		return account.Reactivate(s)
	})
	return result, err
}
