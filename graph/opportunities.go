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
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/projections/opportunities"
)

func (q query) Opportunity(ctx context.Context, id uuid.UUID, asOf *generated.AsOf, at *eventlog.Position) (*model.Opportunity, error) {
	p, v, err := q.read(ctx, organization.ViewOpportunity, at, opportunities.Model.Name)
	if err != nil {
		return nil, err
	}
	return one(ctx, q.resolver, asof.Opportunities, v, id, asOf, q.opportunityOf(p))
}

func (q query) Opportunities(ctx context.Context, first *int, after *string, last *int, before *string, filter *generated.OpportunityFilter, asOf *generated.AsOf, at *eventlog.Position) (*model.OpportunityConnection, error) {
	return many(ctx, q, opportunities.Model.Name, organization.ViewOpportunity, list{first, last, after, before, asOf, at}, func(time.Time) (f opportunities.Filter) {
		if filter != nil {
			f = opportunities.Filter{
				Stages: stages(filter.Stage), Owner: value(filter.Owner), Customer: value(filter.Customer), Reference: filter.Reference, Product: filter.Product,
			}
		}
		return f
	}, opportunities.List, opportunities.Count, q.opportunityOf)
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

// opportunityOf returns what makes objects of the opportunities of one page.
func (r *resolver) opportunityOf(p *commands.Principal) objectOf[opportunities.Opportunity, model.Opportunity] {
	page := r.page(p, opportunity.Category)
	return func(o opportunities.Opportunity, _ time.Time) *model.Opportunity {
		page.Add(o.ID, o.Owner)
		page.Want(customer.Category, o.Customer)
		return &model.Opportunity{
			RecordFields: model.RecordFields{
				ID: o.ID, Version: int(o.Version), Stage: model.Enum(o.Stage), CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, OwnerID: o.Owner, Page: page,
			},
			Reference: o.Reference, Product: model.Text(o.Product), Value: given(o.Value), CustomerID: o.Customer,
			OpenedAt: o.OpenedAt, EngagedAt: given(o.EngagedAt), ClosedAt: given(o.ClosedAt),
		}
	}
}

// onOpportunity carries a command on an opportunity out.
func onOpportunity[C any](ctx context.Context, m mutation, version *int, command func(context.Context, *commands.Principal, C) (commands.Result, error), in C) (*generated.OpportunityPayload, error) {
	o, receipt, err := onRecord(ctx, m, version, command, in, opportunities.Model.Name, asof.Opportunities, m.opportunityOf)
	if err != nil {
		return nil, err
	}
	return &generated.OpportunityPayload{Opportunity: o, Receipt: receipt}, nil
}
