package commands

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
)

// The commands of an import name the object by an id that derives from the row's key, and themselves by one that derives from
// its content (see [Command.ID]): the same row again is the same command, a changed one brings just the change. They need
// the permission for the whole organization.

// ImportTeam creates or follows a team. Its manager need not be there yet: an account may need its team first.
func (c *Commands) ImportTeam(ctx context.Context, p *Principal, cmd Command, row organization.TeamRow) (Result, error) {
	result, err := c.govern(ctx, p, cmd, func(s organization.State, _ *act) ([]organization.Event, error) {
		return organization.ImportTeam(s, row)
	})
	result.ID = row.Team
	return result, err
}

// ImportAccount invites or follows an account. Its team and roles must be there.
func (c *Commands) ImportAccount(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, row account.Invited) (Result, error) {
	if p.Scope(organization.ManageAccounts) != organization.All {
		return Result{}, ErrForbidden
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	now, err := c.organizations.load(ctx, c, c.organizations.stream(p.Organization, p.Organization))
	if err != nil {
		return Result{}, err
	}
	fresh := *p
	fresh.organization = now.state // an import makes teams and uses them
	return c.invite(ctx, &fresh, act, id, row, account.Import)
}

// ImportCustomer registers or follows a customer. Its owner, if any, must be there.
func (c *Commands) ImportCustomer(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, row customer.Registered) (Result, error) {
	if p.Scope(organization.EditCustomers) != organization.All {
		return Result{}, ErrForbidden
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	done, err := decide(ctx, c, &c.customers, c.customers.stream(p.Organization, id), act, nil, func(s customer.State) ([]customer.Event, error) {
		if err := there(ctx, c, &c.accounts, p, "ownerId", row.Owner); err != nil {
			return nil, err
		}
		return customer.Import(s, row)
	})
	return Result{id, done.receipt}, err
}

// ImportOpportunity opens an opportunity and takes it to the row's stage at the row's dates, or follows the row. Its owner and
// its customer, if any, must be there.
func (c *Commands) ImportOpportunity(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, row opportunity.Row) (Result, error) {
	if p.Scope(organization.EditOpportunity) != organization.All {
		return Result{}, ErrForbidden
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	done, err := decide(ctx, c, &c.opportunities, c.opportunities.stream(p.Organization, id), act, nil, func(s opportunity.State) ([]opportunity.Event, error) {
		if err := there(ctx, c, &c.accounts, p, "ownerId", row.Owner); err != nil {
			return nil, err
		}
		if err := there(ctx, c, &c.customers, p, "customerId", row.Customer); err != nil {
			return nil, err
		}
		return opportunity.Import(s, row, act.now)
	})
	return Result{id, done.receipt}, err
}

// there tells whether a row may refer to an object. A stream never goes away, so one that was seen is not read again.
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
