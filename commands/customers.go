package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
)

func newCustomers(cached int) owned[customer.State, customer.Event] {
	return owned[customer.State, customer.Event]{
		aggregate: newAggregate(customer.Category, customer.EventTypes, customer.Evolve, cached),
		view:      organization.ViewCustomers,
		edit:      organization.EditCustomers,
		reassign:  customer.Reassign,
		archive:   customer.Archive,
		restore:   customer.Restore,
		erase:     customer.Erase,
		erased: func(s customer.State) error {
			if s.Erased {
				return customer.ErrErased
			}
			return nil
		},
	}
}

// RegisterCustomer is the input of [Commands.RegisterCustomer]. The zero owner is the principal; a source is not taken.
type RegisterCustomer struct {
	Command
	customer.Registered
}

// RegisterCustomer makes a customer, owned by the principal or by an account in the scope of customer.edit.
func (c *Commands) RegisterCustomer(ctx context.Context, p *Principal, in RegisterCustomer) (Result, error) {
	return c.customers.create(ctx, c, p, in.Command, in.Owner, func(s customer.State, owner uuid.UUID, _ time.Time) ([]customer.Event, error) {
		wish := in.Registered
		wish.Source = ""
		wish.Owner = owner
		return customer.Register(s, wish)
	})
}

// EditCustomer is the input of [Commands.EditCustomer].
type EditCustomer struct {
	On
	customer.Fields
}

// EditCustomer changes the fields that are given. With an expected version it is a [Conflict] if the customer has moved on;
// without, it applies to the newest state.
func (c *Commands) EditCustomer(ctx context.Context, p *Principal, in EditCustomer) (Result, error) {
	return c.customers.change(ctx, c, p, in.On, func(s customer.State, _ time.Time) ([]customer.Event, error) {
		return customer.Edit(s, in.Fields)
	})
}

// ImportCustomer registers or follows a customer. Its owner, if any, must be there.
func (c *Commands) ImportCustomer(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, row customer.Registered) (Imported, error) {
	nothing := func() error { return nil }
	return c.customers.follow(ctx, c, p, cmd, id, row.Owner, nothing, func(s customer.State, _ time.Time) ([]customer.Event, error) {
		return customer.Import(s, row)
	})
}
