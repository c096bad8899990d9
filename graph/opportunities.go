package graph

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/opportunities"
)

func (q query) Opportunity(ctx context.Context, id uuid.UUID, asOf *generated.AsOf, at *eventlog.Position) (*model.Opportunity, error) {
	p, v, err := q.read(ctx, organization.ViewOpportunity, at, opportunities.Model.Name)
	if err != nil {
		return nil, err
	}
	if asOf != nil {
		return q.pastOpportunity(ctx, p, v, id, asOf)
	}
	return q.oneOpportunity(ctx, p, v, id)
}

func (r *resolver) oneOpportunity(ctx context.Context, p *commands.Principal, v engine.Viewer, id uuid.UUID) (*model.Opportunity, error) {
	found, err := opportunities.Get(ctx, r.DB, v, []uuid.UUID{id})
	if row, ok := found[id]; ok && err == nil {
		return opportunityObject(row, r.page(p, opportunity.Category)), nil
	}
	return nil, err
}

func (q query) Opportunities(ctx context.Context, first *int, after *string, last *int, before *string, filter *generated.OpportunityFilter, asOf *generated.AsOf, at *eventlog.Position) (*model.OpportunityConnection, error) {
	request, err := paging(first, after, last, before)
	if err != nil {
		return nil, err
	}
	p, v, err := q.read(ctx, organization.ViewOpportunity, at, opportunities.Model.Name)
	if err != nil {
		return nil, err
	}
	var f opportunities.Filter
	if filter != nil {
		f = opportunities.Filter{
			Stages: stages(filter.Stage), Owner: value(filter.Owner), Customer: value(filter.Customer), Reference: filter.Reference, Product: filter.Product,
		}
	}
	db, _, err := q.listOf(ctx, opportunities.Model.Name, v, asOf)
	if err != nil {
		return nil, err
	}
	page, err := opportunities.List(ctx, db, v, f, request)
	shared := q.page(p, opportunity.Category)
	return listed(page, err, func(o opportunities.Opportunity) *model.Opportunity { return opportunityObject(o, shared) },
		func(ctx context.Context) (int, error) { return opportunities.Count(ctx, db, v, f) })
}

// stages returns what a filter lets pass; nil: everything.
func stages(f *generated.OpportunityStageFilter) (pass []opportunity.Stage) {
	if f == nil || f.Eq == nil && f.In == nil {
		return nil
	}
	pass = []opportunity.Stage{}
	for _, s := range f.In {
		if f.Eq == nil || s == *f.Eq {
			pass = append(pass, opportunity.Stage(s))
		}
	}
	if f.In == nil {
		pass = append(pass, opportunity.Stage(*f.Eq))
	}
	return pass
}

func opportunityObject(o opportunities.Opportunity, page *model.Page) *model.Opportunity {
	page.Add(o.ID, o.Owner)
	page.Want(customer.Category, o.Customer)
	object := &model.Opportunity{
		RecordFields: model.RecordFields{
			ID: o.ID, Version: int(o.Version), Stage: model.Enum(o.Stage), CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
			OwnerID: o.Owner, Page: page,
		},
		Reference: o.Reference, Product: model.Text(o.Product), CustomerID: o.Customer,
		OpenedAt: o.OpenedAt, EngagedAt: instant(o.EngagedAt), ClosedAt: instant(o.ClosedAt),
	}
	if o.Value != "" {
		object.Value = &o.Value
	}
	return object
}

// instant is nil for the zero time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// opportunity answers a command on an opportunity with what that is now.
func (m mutation) opportunity(ctx context.Context, p *commands.Principal, done commands.Result, err error) (*generated.OpportunityPayload, error) {
	if err != nil {
		return nil, err
	}
	o, err := shown(ctx, m.resolver, done.Receipt, []string{opportunities.Model.Name}, func() (*model.Opportunity, error) {
		return m.oneOpportunity(ctx, p, everything(p), done.ID)
	})
	if err != nil {
		return nil, err
	}
	return &generated.OpportunityPayload{Opportunity: o, Receipt: receipt(done.Receipt)}, nil
}
