package graph

import (
	"context"
	"errors"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/transparency"
)

// resolver resolves the roots of the schema; the fields below them are methods of package model.
type resolver struct {
	Dependencies
	config     Config
	errors     presenter
	access     timeline.Access
	timelines  timeline.Pages
	history    asof.Reader
	lists      *asof.Lists
	catalogue  reports.Catalogue
	checks     *transparency.Verifications
	background context.Context // ends when the server goes down
}

var _ generated.ResolverRoot = (*resolver)(nil)

// Query implements [generated.ResolverRoot].
func (r *resolver) Query() generated.QueryResolver { return query{r} }

// Mutation implements [generated.ResolverRoot].
func (r *resolver) Mutation() generated.MutationResolver { return mutation{r} }

// Subscription implements [generated.ResolverRoot].
func (r *resolver) Subscription() generated.SubscriptionResolver { return subscription{r} }

// query resolves the fields of Query.
type query struct{ *resolver }

// read begins a query: who asks, with which scope of a permission, and not before the read models have come to a position.
func (r *resolver) read(ctx context.Context, permission organization.Permission, at *eventlog.Position, models ...string) (*commands.Principal, engine.Viewer, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, engine.Viewer{}, err
	}
	v, err := p.Viewer(permission)
	if err != nil {
		return nil, v, err
	}
	if at != nil {
		err = r.Engine.Wait(ctx, *at, models...)
	}
	return p, v, err
}

// paging reads the arguments that every connection has.
func paging(first *int, after *string, last *int, before *string) (engine.PageRequest, error) {
	if first != nil && last != nil {
		return engine.PageRequest{}, invalid("last", "cannot be given together with first")
	}
	for name, n := range map[string]*int{"first": first, "last": last} {
		if n != nil && (*n < 1 || *n > maxPageSize) {
			return engine.PageRequest{}, invalid(name, "must be 1 to 200")
		}
	}
	return engine.PageRequest{First: value(first), Last: value(last), After: value(after), Before: value(before)}, nil
}

// listed makes the answer of a page.
func listed[R, T any](page engine.Page[R], err error, object func(R) *T, count func(context.Context) (int, error)) (*model.Connection[T], error) {
	if errors.Is(err, engine.ErrCursor) {
		return nil, invalid("after", "is not a cursor of this list, or `before` is not")
	}
	if errors.Is(err, where.ErrHidden) {
		return nil, invalid("filter", "asks for personal data, which are hidden from you")
	}
	if err != nil {
		return nil, err
	}
	c := &model.Connection[T]{
		Nodes: objects(page.Rows, object), Cursors: page.Cursors, Count: count,
		PageInfo: &model.PageInfo{HasNextPage: page.HasNext, HasPreviousPage: page.HasPrevious},
	}
	if n := len(page.Cursors); n > 0 {
		c.PageInfo.StartCursor, c.PageInfo.EndCursor = model.Text(page.Cursors[0]), model.Text(page.Cursors[n-1])
	}
	return c, nil
}

// objects makes the objects of rows, all before one is read: until then their batches collect what they want.
func objects[R, T any](rows []R, object func(R) *T) []*T {
	all := make([]*T, len(rows))
	for i, row := range rows {
		all[i] = object(row)
	}
	return all
}
