package commands

import (
	"context"
	"crypto/subtle"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/auth"
)

// Principal is who asks: an account with the rights it has at this instant, or the program itself. It is read from streams
// for one request and not changed; make a new one for the next.
type Principal struct {
	Organization uuid.UUID
	Account      uuid.UUID // zero: the program itself
	Session      uuid.UUID // zero: not by a token
	Origin       Origin

	account      account.State
	organization organization.State
	scopes       map[organization.Permission]organization.Scope
	teams        func() []uuid.UUID // worked out when first asked for: most rights do not need it
	system       bool               // the program itself, which may do everything
}

// Scope says on whose records the principal may use a permission.
func (p *Principal) Scope(permission organization.Permission) organization.Scope {
	if p.system {
		return organization.All
	}
	return p.scopes[permission]
}

// Teams lists the teams whose members' records lie in the scope "team". Do not change it.
func (p *Principal) Teams() []uuid.UUID {
	if p.teams == nil { // the program itself
		return nil
	}
	return p.teams()
}

// Permissions lists what the principal may do, sorted, with the scope where it is not all: "opportunity.edit:own".
func (p *Principal) Permissions() []string {
	var names []string
	for permission, scope := range p.scopes {
		switch scope {
		case organization.None:
		case organization.All:
			names = append(names, string(permission))
		default:
			names = append(names, fmt.Sprintf("%s:%s", permission, scope))
		}
	}
	slices.Sort(names)
	return names
}

// AccountState is the principal's account; of the program itself it is empty. Do not change it.
func (p *Principal) AccountState() account.State { return p.account }

// OrganizationState is the principal's organization. Do not change it.
func (p *Principal) OrganizationState() organization.State { return p.organization }

// Authenticate returns the principal of a token. What was written before the call is seen: a session, role or permission
// ended a moment ago counts no more. The answer to a token that holds no open session is [ErrUnauthenticated]; if the
// session has run out, its end is recorded first. A lock keeps an account from signing in, not from going on.
func (c *Commands) Authenticate(ctx context.Context, token string, origin Origin) (*Principal, error) {
	t, err := auth.ParseToken(token)
	if err != nil {
		return nil, ErrUnauthenticated
	}
	p, err := c.principal(ctx, t.Organization, t.Account, origin)
	if err != nil {
		return nil, err
	}
	session, open := p.account.Sessions[t.Session]
	hash := domain.Hash(t.Secret.Hash())
	if subtle.ConstantTimeCompare(hash[:], session.TokenHash[:]) != 1 || !open || p.account.Deactivated {
		return nil, ErrUnauthenticated
	}
	if p, err = c.widened(ctx, p); err != nil {
		return nil, err
	}
	p.Session = t.Session
	now := c.now()
	last, err := c.uses.Last(ctx, t.Session, now)
	if err != nil {
		return nil, err
	}
	if session.Expired(last, now) {
		if _, _, err := c.ExpireSession(ctx, program(p), ExpireSession{AccountID: t.Account, SessionID: t.Session}); err != nil {
			return nil, err
		}
		return nil, ErrUnauthenticated
	}
	c.uses.Used(t.Session, now)
	return p, nil
}

// widened gives the built-in roles of an organization that is older than this program what is new in them: see
// [organization.Widen]. It is on record, as the program's own act.
func (c *Commands) widened(ctx context.Context, p *Principal) (*Principal, error) {
	if len(organization.Widen(p.organization)) == 0 {
		return p, nil
	}
	if _, err := c.govern(ctx, program(p), Command{Reason: "new in this version"}, func(s organization.State, _ *action) ([]organization.Event, error) {
		return organization.Widen(s), nil
	}); err != nil {
		return nil, err
	}
	return c.principal(ctx, p.Organization, p.Account, p.Origin)
}

// Acting returns the principal of an account without a session. It asks for no proof: call it where there has been one, as
// after an activation token was redeemed, or where the program acts in somebody's name, as the sample does.
func (c *Commands) Acting(ctx context.Context, organization, account uuid.UUID, origin Origin) (*Principal, error) {
	p, err := c.principal(ctx, organization, account, origin)
	if err == nil && !p.account.Invited {
		return nil, ErrNotFound
	}
	return p, err
}

// System returns the principal of the program itself in an organization: it may do everything, and its events have no actor.
func (c *Commands) System(ctx context.Context, organization uuid.UUID) (*Principal, error) {
	o, err := c.organizations.load(ctx, c, c.organizations.stream(organization, organization))
	if err != nil {
		return nil, err
	}
	return &Principal{Organization: organization, organization: o.state, system: true}, nil
}

// program is the program itself in the organization of a principal.
func program(p *Principal) *Principal {
	return &Principal{Organization: p.Organization, organization: p.organization, Origin: Origin{Correlation: p.Origin.Correlation}, system: true}
}

// principal folds an account and its organization, with one read for what is new in both.
func (c *Commands) principal(ctx context.Context, organizationID, accountID uuid.UUID, origin Origin) (*Principal, error) {
	as, os := c.accounts.stream(organizationID, accountID), c.organizations.stream(organizationID, organizationID)
	a, known := c.accounts.cache.Get(as)
	o, also := c.organizations.cache.Get(os)
	if known && also {
		tails, err := c.log.ReadStreams(ctx, eventlog.Tail{Stream: as, After: a.receipt.Version}, eventlog.Tail{Stream: os, After: o.receipt.Version})
		if err != nil {
			return nil, err
		}
		if a, err = c.accounts.advance(ctx, c, as, a, read(tails[0])); err != nil {
			return nil, err
		}
		if o, err = c.organizations.advance(ctx, c, os, o, read(tails[1])); err != nil {
			return nil, err
		}
	} else { // long reads, once
		var err error
		if a, err = c.accounts.load(ctx, c, as); err != nil {
			return nil, err
		}
		if o, err = c.organizations.load(ctx, c, os); err != nil {
			return nil, err
		}
	}
	return &Principal{
		Organization: organizationID, Account: accountID, Origin: origin,
		account: a.state, organization: o.state,
		scopes: o.state.Scopes(a.state.Roles),
		teams:  sync.OnceValue(func() []uuid.UUID { return o.state.TeamsOf(accountID, a.state.Team) }),
	}, nil
}

func read(events []eventlog.Event) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// may reports whether the principal may use a permission at all: [ErrForbidden] if not.
func (p *Principal) may(permission organization.Permission) error {
	if p.Scope(permission) == organization.None {
		return ErrForbidden
	}
	return nil
}

// reaches reports whether a record of an owner lies in the principal's scope of a permission: [ErrNotFound] if not, for a
// record out of reach is not told apart from one that does not exist. The owner's team is read from the owner's stream.
func (c *Commands) reaches(ctx context.Context, p *Principal, permission organization.Permission, owner uuid.UUID) error {
	if err := p.may(permission); err != nil {
		return err
	}
	switch scope := p.Scope(permission); {
	case scope == organization.All, owner == p.Account && owner != uuid.Nil:
		return nil
	case scope == organization.Team && owner != uuid.Nil:
		of, err := c.accounts.load(ctx, c, c.accounts.stream(p.Organization, owner))
		if err != nil {
			return err
		}
		if slices.Contains(p.Teams(), of.state.Team) {
			return nil
		}
	}
	return ErrNotFound
}

// outranks reports whether the principal itself has every right that some roles give: nobody hands out, takes away or takes over
// what is above him.
func (p *Principal) outranks(roles []string) bool {
	for permission, scope := range p.organization.Scopes(roles) {
		if organization.Wider(p.Scope(permission), scope) != p.Scope(permission) {
			return false
		}
	}
	return true
}

// assignable reports whether an account may be given a record: it is there and not deactivated, and in the principal's scope. What
// is wrong is told of a field, and is the same for an account out of reach and one that does not exist.
func (c *Commands) assignable(ctx context.Context, p *Principal, permission organization.Permission, field string, owner uuid.UUID) error {
	to, err := c.accounts.load(ctx, c, c.accounts.stream(p.Organization, owner))
	if err != nil {
		return err
	}
	if !to.state.Invited || to.state.Deactivated || c.reaches(ctx, p, permission, owner) != nil {
		return domain.Invalid{field: "is not an account that this may be given to"}
	}
	return nil
}
