package graph

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	declaration "github.com/annal-crm/annal/domain/record"
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

	// get puts those of ids that a viewer may see on a page.
	get func(ctx context.Context, db engine.DB, v engine.Viewer, ids []uuid.UUID, page *model.Page) (map[uuid.UUID]*model.Node, error)
}

// recordKinds holds every kind of record, by category.
var recordKinds = allRecordKinds()

func allRecordKinds() map[string]recordKind {
	kinds := map[string]recordKind{
		customer.Category: {
			view: organization.ViewCustomers, edit: organization.EditCustomers, model: customers.Model.Name,
			can: model.RecordRights{Edit: true, Reassign: true, Archive: true},
			get: getting(customers.Get, func(c customers.Customer, page *model.Page) model.Node { return customerObject(c, page) }),
		},
		opportunity.Category: {
			view: organization.ViewOpportunity, edit: organization.EditOpportunity, model: opportunities.Model.Name,
			can: model.RecordRights{Edit: true, Reassign: true},
			get: getting(opportunities.Get, func(o opportunities.Opportunity, page *model.Page) model.Node { return opportunityObject(o, page) }),
		},
	}
	for _, k := range declared.Kinds {
		rows := records.Of(k.Category)
		kinds[k.Category] = recordKind{
			view: organization.Permission(k.ViewPermission()), edit: organization.Permission(k.EditPermission()), model: rows.Model().Name,
			can: model.RecordRights{Edit: true, Reassign: true, Archive: true},
			get: getting(rows.Get, func(row records.Row, page *model.Page) model.Node { return recordObject(k, row, page) }),
		}
	}
	return kinds
}

// getting makes nodes of the rows that a read model has of ids.
func getting[R any](
	get func(context.Context, engine.DB, engine.Viewer, []uuid.UUID) (map[uuid.UUID]R, error), object func(R, *model.Page) model.Node,
) func(context.Context, engine.DB, engine.Viewer, []uuid.UUID, *model.Page) (map[uuid.UUID]*model.Node, error) {
	return func(ctx context.Context, db engine.DB, v engine.Viewer, ids []uuid.UUID, page *model.Page) (map[uuid.UUID]*model.Node, error) {
		found, err := get(ctx, db, v, ids)
		nodes := make(map[uuid.UUID]*model.Node, len(found))
		for id, row := range found {
			node := object(row, page)
			nodes[id] = &node
		}
		return nodes, err
	}
}

// recordObject shows a row of a declared kind, on the page that it shares with others.
func recordObject(k *declaration.Kind, row records.Row, page *model.Page) model.Node {
	page.Add(row.ID, row.Owner)
	for i := range k.Fields {
		if f := &k.Fields[i]; f.Type == declaration.Ref {
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
	return recordKinds[category].get(ctx, r.DB, v, ids, r.page(p, category))
}

// recordSource loads what records lead to, as the principal may see it. It implements [model.RecordSource].
type recordSource struct {
	*resolver
	principal *commands.Principal
}

// Nodes implements [model.RecordSource]. Without the permission there are none.
func (s recordSource) Nodes(ctx context.Context, category string, ids []uuid.UUID) (map[uuid.UUID]*model.Node, error) {
	v, err := viewer(s.principal, recordKinds[category].view)
	if err != nil {
		return nil, nil
	}
	return s.nodes(ctx, s.principal, v, category, ids)
}

// Editable implements [model.RecordSource]: a principal may change the records that lie in the scope of the permission to edit.
func (s recordSource) Editable(ctx context.Context, category string, ids []uuid.UUID) (map[uuid.UUID]*bool, error) {
	v, err := viewer(s.principal, recordKinds[category].edit)
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
