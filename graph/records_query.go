package graph

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/records"
)

// getRecord answers the query of one record of a declared kind.
func getRecord[T any](ctx context.Context, q query, category string, id uuid.UUID, asOf *generated.AsOf, at *eventlog.Position) (*T, error) {
	kind := recordKinds[category]
	p, v, err := q.read(ctx, kind.view, at, kind.model)
	if err != nil {
		return nil, err
	}
	node, err := one(ctx, q.resolver, asof.Records(category), v, id, asOf, q.recordOf(p, declared.Kind(category)))
	if node == nil || err != nil {
		return nil, err
	}
	return any(*node).(*T), nil
}

// listArguments are those of a list of records.
type listArguments struct {
	list
	filter  model.Input
	orderBy []model.Input
	search  *string
}

// listRecords answers the query of a list of records of a declared kind.
func listRecords[T any](ctx context.Context, q query, category string, in listArguments) (*model.Connection[T], error) {
	k, kind, rows := declared.Kind(category), recordKinds[category], records.Of(category)
	wish, err := recordQuery(k, in.filter, in.orderBy)
	if err != nil {
		return nil, err
	}
	wish.Search = value(in.search)

	return many(ctx, q, kind.model, kind.view, in.list, func(time.Time) records.Query { return wish }, rows.List, rows.Count,
		func(p *commands.Principal) objectOf[records.Row, T] {
			object := q.recordOf(p, k)
			return func(row records.Row, now time.Time) *T { return any(*object(row, now)).(*T) }
		})
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
		if err := s.access.Record(ctx, s.principal, activity.Filter{Customer: r.ID}, filter, request.After != ""); err != nil {
			return nil, err
		}
	}

	of := eventlog.Stream{Organization: s.principal.Organization, Category: category, ID: r.ID}
	page, err := s.timelines.Newest(ctx, s.principal.Everything(), of, types, request)
	return listed(page, err, s.activityOf(s.principal),
		func(ctx context.Context) (int, error) { return s.timelines.Count(ctx, of, types) })
}
