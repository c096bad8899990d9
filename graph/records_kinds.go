package graph

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/opportunities"
	"github.com/annal-crm/annal/projections/records"
)

// recordKind is a kind of record as the graph reads it.
type recordKind struct {
	view, edit organization.Permission
	model      string             // the read model
	can        model.RecordRights // what can be done with such records at all

	// get returns those of ids that a viewer may see, as the principal sees them.
	get func(ctx context.Context, r *resolver, p *commands.Principal, v engine.Viewer, ids []uuid.UUID) (map[uuid.UUID]*model.Node, error)
}

// recordKinds holds every kind of record, by category.
var recordKinds map[string]recordKind

func init() {
	recordKinds = map[string]recordKind{
		customer.Category: {
			view: organization.ViewCustomers, edit: organization.EditCustomers, model: customers.Model.Name,
			can: model.RecordRights{Edit: true, Reassign: true, Archive: true},
			get: getting(customers.Get, (*resolver).customerOf, func(c *model.Customer) model.Node { return c }),
		},
		opportunity.Category: {
			view: organization.ViewOpportunity, edit: organization.EditOpportunity, model: opportunities.Model.Name,
			can: model.RecordRights{Edit: true, Reassign: true},
			get: getting(opportunities.Get, (*resolver).opportunityOf, func(o *model.Opportunity) model.Node { return o }),
		},
	}
	for _, k := range declared.Kinds {
		objects := func(r *resolver, p *commands.Principal) objectOf[records.Row, model.Node] { return r.recordOf(p, k) }
		recordKinds[k.Category] = recordKind{
			view: organization.Permission(k.ViewPermission()), edit: organization.Permission(k.EditPermission()),
			model: records.Of(k.Category).Model().Name,
			can:   model.RecordRights{Edit: true, Reassign: true, Archive: true},
			get:   getting(records.Of(k.Category).Get, objects, func(n *model.Node) model.Node { return *n }),
		}
	}
}

// getting makes nodes of the rows that a read model has of ids.
func getting[R, T any](
	get func(context.Context, engine.DB, engine.Viewer, []uuid.UUID) (map[uuid.UUID]R, error),
	objects func(*resolver, *commands.Principal) objectOf[R, T], node func(*T) model.Node,
) func(context.Context, *resolver, *commands.Principal, engine.Viewer, []uuid.UUID) (map[uuid.UUID]*model.Node, error) {
	return func(ctx context.Context, r *resolver, p *commands.Principal, v engine.Viewer, ids []uuid.UUID) (map[uuid.UUID]*model.Node, error) {
		found, err := get(ctx, r.DB, v, ids)
		object, nodes := objects(r, p), make(map[uuid.UUID]*model.Node, len(found))
		for id, row := range found {
			one := node(object(row, time.Now()))
			nodes[id] = &one
		}
		return nodes, err
	}
}

// recordOf returns what makes objects of the records of a declared kind of one page.
func (r *resolver) recordOf(p *commands.Principal, k *record.Kind) objectOf[records.Row, model.Node] {
	page := r.page(p, k.Category)
	return func(row records.Row, _ time.Time) *model.Node {
		node := recordObject(k, row, page)
		return &node
	}
}

// recordObject shows a row of a declared kind, on the page that it shares with others.
func recordObject(k *record.Kind, row records.Row, page *model.Page) model.Node {
	page.Add(row.ID, row.Owner)
	for i := range k.Fields {
		if f := &k.Fields[i]; f.Type == record.Ref {
			page.Want(f.Of, domain.ParseRef(row.Values[i]))
		}
	}
	return recordObjects[k.Category](model.RecordFields{
		ID: row.ID, Version: int(row.Version), Archived: row.Archived, Erased: row.Erased, Stage: model.Enum(row.Stage),
		CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt, OwnerID: row.Owner, Values: row.Values, Page: page,
	})
}

// page returns an empty page of records of a category, as the principal sees them.
func (r *resolver) page(p *commands.Principal, category string) *model.Page {
	return model.NewPage(recordSource{r, p}, category, recordKinds[category].can, r.people(p))
}

// nodes returns those records of a category that a viewer may see.
func (r *resolver) nodes(ctx context.Context, p *commands.Principal, v engine.Viewer, category string, ids []uuid.UUID) (map[uuid.UUID]*model.Node, error) {
	return recordKinds[category].get(ctx, r, p, v, ids)
}

// recordSource loads what records lead to, as the principal may see it. It implements [model.RecordSource].
type recordSource struct {
	*resolver
	principal *commands.Principal
}

// Nodes implements [model.RecordSource]. Without the permission there are none.
func (s recordSource) Nodes(ctx context.Context, category string, ids []uuid.UUID) (map[uuid.UUID]*model.Node, error) {
	v, err := s.principal.Viewer(recordKinds[category].view)
	if err != nil {
		return nil, nil
	}
	return s.nodes(ctx, s.principal, v, category, ids)
}

// Editable implements [model.RecordSource]: a principal may change the records that lie in the scope of the permission to edit.
func (s recordSource) Editable(ctx context.Context, category string, ids []uuid.UUID) (map[uuid.UUID]*bool, error) {
	v, err := s.principal.Viewer(recordKinds[category].edit)
	if err != nil {
		return nil, nil
	}
	editable, yes := make(map[uuid.UUID]*bool, len(ids)), true
	if v.Scope == organization.All {
		for _, id := range ids {
			editable[id] = &yes
		}
		return editable, nil
	}

	found, err := s.nodes(ctx, s.principal, v, category, ids)
	for id := range found {
		editable[id] = &yes
	}
	return editable, err
}

// Node looks for a record in the kinds that the viewer may see: ids do not say what they are of.
func (q query) Node(ctx context.Context, id uuid.UUID) (model.Node, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	for category := range recordKinds {
		found, err := recordSource{q.resolver, p}.Nodes(ctx, category, []uuid.UUID{id})
		if err != nil {
			return nil, err
		}
		if node := found[id]; node != nil {
			return *node, nil
		}
	}
	return nil, nil
}
