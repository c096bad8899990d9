package graph

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
)

func (q query) Customer(ctx context.Context, id uuid.UUID, asOf *generated.AsOf, at *eventlog.Position) (*model.Customer, error) {
	p, v, err := q.read(ctx, organization.ViewCustomers, at, customers.Model.Name)
	if err != nil {
		return nil, err
	}
	if asOf != nil {
		return q.pastCustomer(ctx, p, v, id, asOf)
	}
	return q.oneCustomer(ctx, p, v, id)
}

func (r *resolver) oneCustomer(ctx context.Context, p *commands.Principal, v engine.Viewer, id uuid.UUID) (*model.Customer, error) {
	found, err := customers.Get(ctx, r.DB, v, []uuid.UUID{id})
	if row, ok := found[id]; ok && err == nil {
		return customerObject(row, r.page(p, customer.Category)), nil
	}
	return nil, err
}

func (q query) Customers(ctx context.Context, first *int, after *string, last *int, before *string, filter *generated.CustomerFilter, asOf *generated.AsOf, at *eventlog.Position) (*model.CustomerConnection, error) {
	request, err := paging(first, after, last, before)
	if err != nil {
		return nil, err
	}
	p, v, err := q.read(ctx, organization.ViewCustomers, at, customers.Model.Name)
	if err != nil {
		return nil, err
	}
	var f customers.Filter
	if filter != nil {
		f = customers.Filter{Name: filter.Name, Sector: filter.Sector, Country: filter.Country, Owner: value(filter.Owner), Archived: filter.Archived}
	}
	db, _, err := q.listOf(ctx, customers.Model.Name, v, asOf)
	if err != nil {
		return nil, err
	}
	page, err := customers.List(ctx, db, v, f, request)
	shared := q.page(p, customer.Category)
	return listed(page, err, func(c customers.Customer) *model.Customer { return customerObject(c, shared) },
		func(ctx context.Context) (int, error) { return customers.Count(ctx, db, v, f) })
}

func customerObject(c customers.Customer, page *model.Page) *model.Customer {
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

// clients returns a batch of the customers that records name, as far as the principal may see customers.
func (r *resolver) clients(p *commands.Principal) *model.Batch[model.Customer] {
	return model.NewBatch(func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*model.Customer, error) {
		v, err := viewer(p, organization.ViewCustomers)
		if err != nil {
			return nil, nil
		}
		found, err := customers.Get(ctx, r.DB, v, ids)
		if err != nil {
			return nil, err
		}
		page, objects := r.page(p, customer.Category), make(map[uuid.UUID]*model.Customer, len(found))
		for id, c := range found {
			objects[id] = customerObject(c, page)
		}
		return objects, nil
	})
}

// customer answers a command on a customer with what that is now.
func (m mutation) customer(ctx context.Context, p *commands.Principal, done commands.Result, err error) (*generated.CustomerPayload, error) {
	if err != nil {
		return nil, err
	}
	c, err := shown(ctx, m.resolver, done.Receipt, []string{customers.Model.Name}, func() (*model.Customer, error) {
		return m.oneCustomer(ctx, p, everything(p), done.ID)
	})
	if err != nil {
		return nil, err
	}
	return &generated.CustomerPayload{Customer: c, Receipt: receipt(done.Receipt)}, nil
}
