package graph

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/projections/accounts"
)

func (q query) Viewer(ctx context.Context) (*model.Viewer, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	return q.self(p), nil
}

// self is who is signed in. It is the principal's own fold of its stream, so it is never behind and needs no permission.
func (r *resolver) self(p *commands.Principal) *model.Viewer {
	v := &model.Viewer{Account: r.ownAccount(p), Permissions: p.Permissions(), Sessions: []*model.Session{}}
	for id, s := range p.AccountState().Sessions {
		v.Sessions = append(v.Sessions, &model.Session{ID: id, OpenedAt: s.Opened, ExpiresAt: s.Opened.Add(account.SessionMax), Current: id == p.Session})
	}
	slices.SortFunc(v.Sessions, func(a, b *model.Session) int { return b.OpenedAt.Compare(a.OpenedAt) })
	return v
}

func (r *resolver) ownAccount(p *commands.Principal) *model.Account {
	s := p.AccountState()
	return r.accountOf(p)(accounts.Account{
		ID: p.Account, LoginName: s.LoginName, DisplayName: s.DisplayName, Email: s.Email, Team: s.Team, Roles: s.Roles,
		Activated: s.Credential != uuid.Nil, Deactivated: s.Deactivated, LockedUntil: s.LockedUntil, ActivationUntil: s.Activation.ExpiresAt,
	}, time.Now())
}

// accountOf returns what makes objects of the accounts of one page. A lock that has run out by an instant is not shown.
func (r *resolver) accountOf(p *commands.Principal) objectOf[accounts.Account, model.Account] {
	teams := r.teams(p)
	return func(a accounts.Account, now time.Time) *model.Account {
		object := &model.Account{
			ID: a.ID, LoginName: a.LoginName, DisplayName: a.DisplayName, Email: model.Text(a.Email), Status: model.Enum(a.Status(now)),
			Roles: append([]string{}, a.Roles...), Team: teams.get(a.Team), Erased: a.Erased,
		}
		if now.Before(a.LockedUntil) {
			object.LockedUntil = &a.LockedUntil
		}
		return object
	}
}

// people returns a batch of the accounts that records name: who may see a record may see whose it is. Without a right to look at
// accounts that leaves their names.
func (r *resolver) people(p *commands.Principal) *model.Batch[model.Account] {
	return edges(func() objectOf[accounts.Account, model.Account] { return r.accountOf(p) }, func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]accounts.Account, error) {
		return accounts.Named(ctx, r.DB, p.Sees(organization.ViewAccounts), ids)
	})
}

func (q query) Account(ctx context.Context, id *uuid.UUID, loginName *string, asOf *generated.AsOf, at *eventlog.Position) (*model.Account, error) {
	if (id == nil) == (loginName == nil) {
		return nil, invalid("id", "or loginName must be given, and not both")
	}
	p, v, err := q.read(ctx, organization.ViewAccounts, at, accounts.Model.Name)
	if err != nil {
		return nil, err
	}
	if id == nil {
		a, found, err := accounts.ByLoginName(ctx, q.DB, v, *loginName)
		if err != nil || !found {
			return nil, err
		}
		id = &a.ID
	}
	return one(ctx, q.resolver, asof.Accounts, v, *id, asOf, q.accountOf(p))
}

func (q query) Accounts(ctx context.Context, first *int, after *string, last *int, before *string, filter *generated.AccountFilter, asOf *generated.AsOf, at *eventlog.Position) (*model.AccountConnection, error) {
	return many(ctx, q, accounts.Model.Name, organization.ViewAccounts, list{first, last, after, before, asOf, at}, func(now time.Time) accounts.Filter {
		if filter == nil {
			return accounts.Filter{Now: now}
		}
		return accounts.Filter{LoginName: filter.LoginName, DisplayName: filter.DisplayName, Status: accounts.Status(value(filter.Status)), Team: value(filter.Team), Now: now}
	}, accounts.List, accounts.Count, q.accountOf)
}

// onAccount carries a command on an account out.
func onAccount[C any](ctx context.Context, m mutation, command func(context.Context, *commands.Principal, C) (commands.Result, error), in C) (*generated.AccountPayload, error) {
	a, receipt, err := onRecord(ctx, m, nil, command, in, accounts.Model.Name, asof.Accounts, m.accountOf)
	if err != nil {
		return nil, err
	}
	return &generated.AccountPayload{Account: a, Receipt: receipt}, nil
}
