package graph

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/projections/customers"
)

func (q query) Customer(ctx context.Context, id uuid.UUID, asOf *generated.AsOf, at *eventlog.Position) (*model.Customer, error) {
	p, v, err := q.read(ctx, organization.ViewCustomers, at, customers.Model.Name)
	if err != nil {
		return nil, err
	}
	return one(ctx, q.resolver, asof.Customers, v, id, asOf, q.customerOf(p))
}

func (q query) Customers(ctx context.Context, first *int, after *string, last *int, before *string, filter *generated.CustomerFilter, asOf *generated.AsOf, at *eventlog.Position) (*model.CustomerConnection, error) {
	return many(ctx, q, customers.Model.Name, organization.ViewCustomers, list{first, last, after, before, asOf, at}, func(time.Time) (f customers.Filter) {
		if filter != nil {
			f = customers.Filter{Name: filter.Name, Sector: filter.Sector, Country: filter.Country, Owner: value(filter.Owner), Archived: filter.Archived}
		}
		return f
	}, customers.List, customers.Count, q.customerOf)
}

// customerOf returns what makes objects of the customers of one page.
func (r *resolver) customerOf(p *commands.Principal) objectOf[customers.Customer, model.Customer] {
	page := r.page(p, customer.Category)
	return func(c customers.Customer, _ time.Time) *model.Customer {
		page.Add(c.ID, c.Owner)
		return &model.Customer{
			RecordFields: model.RecordFields{
				ID: c.ID, Version: int(c.Version), Archived: c.Archived, Erased: c.Erased, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
				OwnerID: c.Owner, Page: page,
			},
			Name: c.Name, Sector: model.Text(c.Sector), Country: model.Text(c.Country),
			Website: model.Text(c.Website), Phone: model.Text(c.Phone), Email: model.Text(c.Email), Attributes: c.Attributes,
		}
	}
}

// clients returns a batch of the customers that records name, as far as the principal may see customers.
func (r *resolver) clients(p *commands.Principal) *model.Batch[model.Customer] {
	return edges(func() objectOf[customers.Customer, model.Customer] { return r.customerOf(p) }, func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]customers.Customer, error) {
		return customers.Get(ctx, r.DB, p.Sees(organization.ViewCustomers), ids)
	})
}

// onCustomer carries a command on a customer out.
func onCustomer[C any](ctx context.Context, m mutation, version *int, command func(context.Context, *commands.Principal, C) (commands.Result, error), in C) (*generated.CustomerPayload, error) {
	c, receipt, err := onRecord(ctx, m, version, command, in, customers.Model.Name, asof.Customers, m.customerOf)
	if err != nil {
		return nil, err
	}
	return &generated.CustomerPayload{Customer: c, Receipt: receipt}, nil
}
