package commands

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
)

// RegisterCustomer is the input of [Commands.RegisterCustomer]. The zero owner is the principal; a source is not taken.
type RegisterCustomer struct {
	Command
	customer.Registered
}

// RegisterCustomer makes a customer, owned by the principal or by an account in the scope of customer.edit.
func (c *Commands) RegisterCustomer(ctx context.Context, p *Principal, in RegisterCustomer) (Result, error) {
	if err := p.may(organization.EditCustomers); err != nil {
		return Result{}, err
	}
	act, err := c.begin(p, in.Command)
	if err != nil {
		return Result{}, err
	}
	wish := in.Registered
	wish.Source = ""
	if wish.Owner == uuid.Nil {
		wish.Owner = p.Account
	}
	id := act.object(p.Organization, customer.Category)
	done, err := decide(ctx, c, &c.customers, c.customers.stream(p.Organization, id), act, nil, func(s customer.State) ([]customer.Event, error) {
		if wish.Owner != p.Account {
			if err := c.assignable(ctx, p, organization.EditCustomers, "ownerId", wish.Owner); err != nil {
				return nil, err
			}
		}
		return customer.Register(s, wish)
	})
	return Result{id, done.receipt}, err
}

// onCustomer is the way of a command on a customer: it needs customer.edit with the customer's owner in its scope.
func (c *Commands) onCustomer(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, choose func(customer.State) ([]customer.Event, error)) (Result, error) {
	if err := p.may(organization.EditCustomers); err != nil {
		return Result{}, err
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	allow := func(s customer.State) error {
		if s.Version == 0 {
			return ErrNotFound
		}
		return c.reaches(ctx, p, organization.EditCustomers, s.Owner())
	}
	done, err := decide(ctx, c, &c.customers, c.customers.stream(p.Organization, id), act, allow, choose)
	return Result{id, done.receipt}, err
}

// OnCustomer is a command that needs no more than a customer.
type OnCustomer struct {
	Command
	CustomerID uuid.UUID
}

// EditCustomer is the input of [Commands.EditCustomer].
type EditCustomer struct {
	Command
	CustomerID uuid.UUID
	customer.Fields
}

// EditCustomer changes the fields that are given. With an expected version it is a [Conflict] if the customer has moved on;
// without, it applies to the newest state.
func (c *Commands) EditCustomer(ctx context.Context, p *Principal, in EditCustomer) (Result, error) {
	return c.onCustomer(ctx, p, in.Command, in.CustomerID, func(s customer.State) ([]customer.Event, error) {
		return customer.Edit(s, in.Fields)
	})
}

// ReassignCustomer is the input of [Commands.ReassignCustomer].
type ReassignCustomer struct {
	Command
	CustomerID uuid.UUID
	Owner      uuid.UUID // zero: nobody, which needs customer.edit everywhere
}

// ReassignCustomer gives a customer another owner, one in the scope of customer.edit.
func (c *Commands) ReassignCustomer(ctx context.Context, p *Principal, in ReassignCustomer) (Result, error) {
	return c.onCustomer(ctx, p, in.Command, in.CustomerID, func(s customer.State) ([]customer.Event, error) {
		if in.Owner != uuid.Nil || p.Scope(organization.EditCustomers) != organization.All {
			if err := c.assignable(ctx, p, organization.EditCustomers, "ownerId", in.Owner); err != nil {
				return nil, err
			}
		}
		return customer.Reassign(s, in.Owner)
	})
}

// ArchiveCustomer puts a customer away.
func (c *Commands) ArchiveCustomer(ctx context.Context, p *Principal, in OnCustomer) (Result, error) {
	return c.onCustomer(ctx, p, in.Command, in.CustomerID, customer.Archive)
}

// RestoreCustomer takes an archived customer back.
func (c *Commands) RestoreCustomer(ctx context.Context, p *Principal, in OnCustomer) (Result, error) {
	return c.onCustomer(ctx, p, in.Command, in.CustomerID, customer.Restore)
}
