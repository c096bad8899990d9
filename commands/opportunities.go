package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
)

// OpenOpportunity is the input of [Commands.OpenOpportunity].
type OpenOpportunity struct {
	Command
	Reference, Product string
	CustomerID         uuid.UUID // zero: none yet
	Owner              uuid.UUID // zero: the principal
}

// OpenOpportunity makes an opportunity, owned by the principal or by an account in the scope of opportunity.edit, with a
// customer that the principal may see.
func (c *Commands) OpenOpportunity(ctx context.Context, p *Principal, in OpenOpportunity) (Result, error) {
	if err := p.may(organization.EditOpportunity); err != nil {
		return Result{}, err
	}
	act, err := c.begin(p, in.Command)
	if err != nil {
		return Result{}, err
	}
	wish := opportunity.Opened{Reference: in.Reference, Product: in.Product, Customer: in.CustomerID, Owner: in.Owner, At: act.now}
	if wish.Owner == uuid.Nil {
		wish.Owner = p.Account
	}
	id := act.object(p.Organization, opportunity.Category)
	done, err := decide(ctx, c, &c.opportunities, c.opportunities.stream(p.Organization, id), act, nil, func(s opportunity.State) ([]opportunity.Event, error) {
		if wish.Owner != p.Account {
			if err := c.assignable(ctx, p, organization.EditOpportunity, "ownerId", wish.Owner); err != nil {
				return nil, err
			}
		}
		if err := c.sellableTo(ctx, p, wish.Customer); err != nil {
			return nil, err
		}
		return opportunity.Open(s, wish)
	})
	return Result{id, done.receipt}, err
}

// sellableTo tells whether an opportunity may name a customer: one that is there and that the principal may see.
func (c *Commands) sellableTo(ctx context.Context, p *Principal, id uuid.UUID) error {
	if id == uuid.Nil {
		return nil
	}
	there, err := c.customers.load(ctx, c, c.customers.stream(p.Organization, id))
	if err != nil {
		return err
	}
	if there.state.Version == 0 || c.reaches(ctx, p, organization.ViewCustomers, there.state.Owner()) != nil {
		return domain.Invalid{"customerId": "there is no such customer"}
	}
	return nil
}

// onOpportunity is the way of a command on an opportunity: it needs opportunity.edit with the owner in its scope.
func (c *Commands) onOpportunity(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, choose func(s opportunity.State, now time.Time) ([]opportunity.Event, error)) (Result, error) {
	if err := p.may(organization.EditOpportunity); err != nil {
		return Result{}, err
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	allow := func(s opportunity.State) error {
		if s.Version == 0 {
			return ErrNotFound
		}
		return c.reaches(ctx, p, organization.EditOpportunity, s.Owner())
	}
	done, err := decide(ctx, c, &c.opportunities, c.opportunities.stream(p.Organization, id), act, allow, func(s opportunity.State) ([]opportunity.Event, error) {
		return choose(s, act.now)
	})
	return Result{id, done.receipt}, err
}

// OnOpportunity is a command that needs no more than an opportunity.
type OnOpportunity struct {
	Command
	OpportunityID uuid.UUID
}

// EngageOpportunity begins talks.
func (c *Commands) EngageOpportunity(ctx context.Context, p *Principal, in OnOpportunity) (Result, error) {
	return c.onOpportunity(ctx, p, in.Command, in.OpportunityID, opportunity.Engage)
}

// WinOpportunity is the input of [Commands.WinOpportunity].
type WinOpportunity struct {
	Command
	OpportunityID uuid.UUID
	Value         domain.Decimal
}

// WinOpportunity closes an opportunity with a value.
func (c *Commands) WinOpportunity(ctx context.Context, p *Principal, in WinOpportunity) (Result, error) {
	return c.onOpportunity(ctx, p, in.Command, in.OpportunityID, func(s opportunity.State, now time.Time) ([]opportunity.Event, error) {
		return opportunity.Win(s, in.Value, now)
	})
}

// LoseOpportunity closes an opportunity without a value.
func (c *Commands) LoseOpportunity(ctx context.Context, p *Principal, in OnOpportunity) (Result, error) {
	return c.onOpportunity(ctx, p, in.Command, in.OpportunityID, opportunity.Lose)
}

// ReopenOpportunity takes a closed opportunity back to engaging.
func (c *Commands) ReopenOpportunity(ctx context.Context, p *Principal, in OnOpportunity) (Result, error) {
	return c.onOpportunity(ctx, p, in.Command, in.OpportunityID, opportunity.Reopen)
}

// ReassignOpportunity is the input of [Commands.ReassignOpportunity].
type ReassignOpportunity struct {
	Command
	OpportunityID, Owner uuid.UUID
}

// ReassignOpportunity gives an opportunity another owner, one in the scope of opportunity.edit.
func (c *Commands) ReassignOpportunity(ctx context.Context, p *Principal, in ReassignOpportunity) (Result, error) {
	return c.onOpportunity(ctx, p, in.Command, in.OpportunityID, func(s opportunity.State, _ time.Time) ([]opportunity.Event, error) {
		if err := c.assignable(ctx, p, organization.EditOpportunity, "ownerId", in.Owner); err != nil {
			return nil, err
		}
		return opportunity.Reassign(s, in.Owner)
	})
}

// EditOpportunity is the input of [Commands.EditOpportunity].
type EditOpportunity struct {
	Command
	OpportunityID uuid.UUID
	opportunity.Fields
}

// EditOpportunity changes the fields that are given; for an expected version see [Commands.EditCustomer].
func (c *Commands) EditOpportunity(ctx context.Context, p *Principal, in EditOpportunity) (Result, error) {
	return c.onOpportunity(ctx, p, in.Command, in.OpportunityID, func(s opportunity.State, _ time.Time) ([]opportunity.Event, error) {
		if in.Customer != nil && *in.Customer != s.Customer() {
			if err := c.sellableTo(ctx, p, *in.Customer); err != nil {
				return nil, err
			}
		}
		return opportunity.Edit(s, in.Fields)
	})
}
