package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
)

func newOpportunities(cached int) owned[opportunity.State, opportunity.Event] {
	return owned[opportunity.State, opportunity.Event]{
		aggregate: newAggregate(opportunity.Category, opportunity.EventTypes, opportunity.Evolve, cached),
		view:      organization.ViewOpportunity,
		edit:      organization.EditOpportunity,
		move:      opportunity.Move,
		reassign:  opportunity.Reassign,
	}
}

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
	return c.opportunities.create(ctx, c, p, in.Command, in.Owner, func(s opportunity.State, owner uuid.UUID, now time.Time) ([]opportunity.Event, error) {
		if err := c.refer(ctx, p, "customerId", customer.Category, in.CustomerID); err != nil {
			return nil, err
		}
		return opportunity.Open(s, opportunity.Opened{Reference: in.Reference, Product: in.Product, Customer: in.CustomerID, Owner: owner, At: now})
	})
}

// EngageOpportunity begins talks.
func (c *Commands) EngageOpportunity(ctx context.Context, p *Principal, on On) (Result, error) {
	return c.opportunities.change(ctx, c, p, on, opportunity.Engage)
}

// WinOpportunity is the input of [Commands.WinOpportunity].
type WinOpportunity struct {
	On
	Value domain.Decimal
}

// WinOpportunity closes an opportunity with a value.
func (c *Commands) WinOpportunity(ctx context.Context, p *Principal, in WinOpportunity) (Result, error) {
	return c.opportunities.change(ctx, c, p, in.On, func(s opportunity.State, now time.Time) ([]opportunity.Event, error) {
		return opportunity.Win(s, in.Value, now)
	})
}

// LoseOpportunity closes an opportunity without a value.
func (c *Commands) LoseOpportunity(ctx context.Context, p *Principal, on On) (Result, error) {
	return c.opportunities.change(ctx, c, p, on, opportunity.Lose)
}

// ReopenOpportunity takes a closed opportunity back to engaging.
func (c *Commands) ReopenOpportunity(ctx context.Context, p *Principal, on On) (Result, error) {
	return c.opportunities.change(ctx, c, p, on, opportunity.Reopen)
}

// EditOpportunity is the input of [Commands.EditOpportunity].
type EditOpportunity struct {
	On
	opportunity.Fields
}

// EditOpportunity changes the fields that are given; for an expected version see [Commands.EditCustomer].
func (c *Commands) EditOpportunity(ctx context.Context, p *Principal, in EditOpportunity) (Result, error) {
	return c.opportunities.change(ctx, c, p, in.On, func(s opportunity.State, _ time.Time) ([]opportunity.Event, error) {
		if in.Customer != nil && *in.Customer != s.Customer() {
			if err := c.refer(ctx, p, "customerId", customer.Category, *in.Customer); err != nil {
				return nil, err
			}
		}
		return opportunity.Edit(s, in.Fields)
	})
}

// ImportOpportunity opens an opportunity and takes it to the row's stage at the row's dates, or follows the row. Its owner and
// its customer, if any, must be there.
func (c *Commands) ImportOpportunity(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, row opportunity.Row) (Imported, error) {
	check := func() error { return there(ctx, c, &c.customers.aggregate, p, "customerId", row.Customer) }
	return c.opportunities.follow(ctx, c, p, cmd, id, row.Owner, check, func(s opportunity.State, now time.Time) ([]opportunity.Event, error) {
		return opportunity.Import(s, row, now)
	})
}
