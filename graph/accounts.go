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
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/engine"
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
	return accountObject(accounts.Account{
		ID: p.Account, LoginName: s.LoginName, DisplayName: s.DisplayName, Email: s.Email, Team: s.Team, Roles: s.Roles,
		Activated: s.Credential != uuid.Nil, Deactivated: s.Deactivated, LockedUntil: s.LockedUntil, ActivationUntil: s.Activation.ExpiresAt,
	}, r.teams(p))
}

func (r *resolver) oneAccount(ctx context.Context, p *commands.Principal, v engine.Viewer, id uuid.UUID) (*model.Account, error) {
	found, err := accounts.Get(ctx, r.DB, v, []uuid.UUID{id})
	if row, ok := found[id]; ok && err == nil {
		return accountObject(row, r.teams(p)), nil
	}
	return nil, err
}

func accountObject(a accounts.Account, teams *teams) *model.Account {
	return accountObjectAt(a, teams, time.Now())
}

// accountObjectAt is the account as it stands at an instant: a lock that has run out by then is none.
func accountObjectAt(a accounts.Account, teams *teams, now time.Time) *model.Account {
	object := &model.Account{
		ID: a.ID, LoginName: a.LoginName, DisplayName: a.DisplayName, Email: model.Text(a.Email), Status: model.Enum(a.Status(now)),
		Roles: a.Roles, Team: teams.get(a.Team), Erased: a.Erased,
	}
	if object.Roles == nil {
		object.Roles = []string{}
	}
	if now.Before(a.LockedUntil) {
		object.LockedUntil = &a.LockedUntil
	}
	return object
}

// people returns a batch of the accounts that records name: who may see a record may see whose it is.
func (r *resolver) people(p *commands.Principal) *model.Batch[model.Account] {
	return model.NewBatch(func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*model.Account, error) {
		v, err := viewer(p, organization.ViewAccounts)
		if err != nil { // no right to look at accounts leaves their names
			v = engine.Viewer{Organization: p.Organization, Account: p.Account, Personal: personal(p)}
		}
		found, err := accounts.Named(ctx, r.DB, v, ids)
		if err != nil {
			return nil, err
		}
		teams, objects := r.teams(p), make(map[uuid.UUID]*model.Account, len(found))
		for id, a := range found {
			objects[id] = accountObject(a, teams)
		}
		return objects, nil
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
	if id != nil && asOf == nil {
		return q.oneAccount(ctx, p, v, *id)
	}
	if id != nil {
		return q.pastAccount(ctx, p, v, *id, asOf)
	}
	a, found, err := accounts.ByLoginName(ctx, q.DB, v, *loginName)
	if err != nil || !found {
		return nil, err
	}
	if asOf != nil {
		return q.pastAccount(ctx, p, v, a.ID, asOf)
	}
	return accountObject(a, q.teams(p)), nil
}

func (q query) Accounts(ctx context.Context, first *int, after *string, last *int, before *string, filter *generated.AccountFilter, asOf *generated.AsOf, at *eventlog.Position) (*model.AccountConnection, error) {
	request, err := paging(first, after, last, before)
	if err != nil {
		return nil, err
	}
	p, v, err := q.read(ctx, organization.ViewAccounts, at, accounts.Model.Name)
	if err != nil {
		return nil, err
	}
	var f accounts.Filter
	if filter != nil {
		f = accounts.Filter{LoginName: filter.LoginName, DisplayName: filter.DisplayName, Status: accounts.Status(value(filter.Status)), Team: value(filter.Team)}
	}
	db, now, err := q.listOf(ctx, accounts.Model.Name, v, asOf)
	if err != nil {
		return nil, err
	}
	f.Now = now
	page, err := accounts.List(ctx, db, v, f, request)
	teams := q.teams(p)
	return listed(page, err, func(a accounts.Account) *model.Account { return accountObjectAt(a, teams, now) },
		func(ctx context.Context) (int, error) { return accounts.Count(ctx, db, v, f) })
}

// account answers a command on an account with what that is now.
func (m mutation) account(ctx context.Context, p *commands.Principal, done commands.Result, err error) (*generated.AccountPayload, error) {
	if err != nil {
		return nil, err
	}
	a, err := shown(ctx, m.resolver, done.Receipt, []string{accounts.Model.Name}, func() (*model.Account, error) {
		return m.oneAccount(ctx, p, everything(p), done.ID)
	})
	if err != nil {
		return nil, err
	}
	return &generated.AccountPayload{Account: a, Receipt: receipt(done.Receipt)}, nil
}
