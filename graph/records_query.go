package graph

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/records"
)

// getRecord answers the query of one record of a declared kind.
func getRecord[T any](ctx context.Context, q query, category string, id uuid.UUID, asOf *generated.AsOf, at *eventlog.Position) (*T, error) {
	kind := recordKinds[category]
	p, v, err := q.read(ctx, kind.view, at, kind.model)
	if err != nil {
		return nil, err
	}
	found, err := q.nodes(ctx, p, v, category, []uuid.UUID{id})
	node := found[id]
	if node != nil && asOf != nil && err == nil {
		node, err = q.pastRecord(ctx, p, v, category, id, asOf)
	}
	if node == nil || err != nil {
		return nil, err
	}
	return any(*node).(*T), nil
}

// pastRecord folds the log for a record that the viewer may see; nil if there was none then.
func (r *resolver) pastRecord(ctx context.Context, p *commands.Principal, v engine.Viewer, category string, id uuid.UUID, in *generated.AsOf) (*model.Node, error) {
	at, err := r.asOf(ctx, "asOf", in)
	if err != nil {
		return nil, err
	}
	rows := records.Of(category)
	row, there, err := folded(ctx, r, v, category, id, at, func(id uuid.UUID, history []*eventcodec.Event, each func(*eventcodec.Event, records.Row)) (records.Row, bool, error) {
		return rows.History(id, history, each)
	})
	if err != nil || !there {
		return nil, err
	}
	node := recordObject(rows.Kind, rows.ShownTo(row, v), r.page(p, category))
	return &node, nil
}

// listArguments are those of a list of records.
type listArguments struct {
	first   *int
	after   *string
	last    *int
	before  *string
	filter  model.Input
	orderBy []model.Input
	search  *string
	asOf    *generated.AsOf
	at      *eventlog.Position
}

// listRecords answers the query of a list of records of a declared kind.
func listRecords[T any](ctx context.Context, q query, category string, a listArguments) (*model.Connection[T], error) {
	request, err := paging(a.first, a.after, a.last, a.before)
	if err != nil {
		return nil, err
	}
	wish, err := recordQuery(declared.Kind(category), a.filter, a.orderBy)
	if err != nil {
		return nil, err
	}
	wish.Search = value(a.search)

	kind, rows := recordKinds[category], records.Of(category)
	p, v, err := q.read(ctx, kind.view, a.at, kind.model)
	if err != nil {
		return nil, err
	}
	db, _, err := q.listOf(ctx, kind.model, v, a.asOf)
	if err != nil {
		return nil, err
	}

	found, err := rows.List(ctx, db, v, wish, request)
	page := q.page(p, category)
	return listed(found, err,
		func(row records.Row) *T { return any(recordObject(rows.Kind, row, page)).(*T) },
		func(ctx context.Context) (int, error) { return rows.Count(ctx, db, v, wish) })
}

// Timeline implements [model.RecordSource]. Who may see a record may see what happened to it. That somebody reads the timeline of
// a customer is on record before anything is shown, as for the query life.
func (s recordSource) Timeline(ctx context.Context, category string, r *model.RecordFields, first *int, after *string, types []string) (*model.ActivityConnection, error) {
	request, err := paging(first, after, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := knownTypes(types); err != nil {
		return nil, err
	}
	if category == customer.Category {
		filter := timeline.Filter{Types: types}
		if err := s.look(ctx, s.principal, activity.Filter{Customer: r.ID}, filter, request.After != ""); err != nil {
			return nil, err
		}
	}

	of := eventlog.Stream{Organization: s.principal.Organization, Category: category, ID: r.ID}
	page, err := s.lives.Newest(ctx, everything(s.principal), of, types, request)
	people := s.people(s.principal)
	return listed(page, err,
		func(a activity.Activity) *model.Activity { return activityObject(a, people) },
		func(ctx context.Context) (int, error) { return s.lives.Count(ctx, of, types) })
}
