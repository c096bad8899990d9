package graph

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
)

// objectOf makes the object of a record as it is at an instant.
type objectOf[R, T any] func(R, time.Time) *T

// one shows a record as it is, or as of a past; nil if it was not there, or is not for the viewer.
func one[R, T any](ctx context.Context, r *resolver, kind asof.Kind[R], v engine.Viewer, id uuid.UUID, in *generated.AsOf, object objectOf[R, T]) (*T, error) {
	if in == nil {
		row, there, err := kind.Now(ctx, r.DB, v, id)
		if err != nil || !there {
			return nil, err
		}
		return object(row, time.Now()), nil
	}
	at, err := r.asOf(ctx, "asOf", in)
	if err != nil {
		return nil, err
	}
	row, there, err := kind.AsOf(ctx, r.history, v, id, *at)
	if err != nil || !there {
		return nil, err
	}
	moment, err := activity.Moment(ctx, r.DB, v.Organization, *at)
	if err != nil {
		return nil, err
	}
	return object(row, moment), nil
}

// list is what a query for a list of records may say besides its filter.
type list struct {
	first, last   *int
	after, before *string
	asOf          *generated.AsOf
	at            *eventlog.Position
}

// many shows a page of records, as they are or as of a past. What a filter lets pass may depend on the instant that it is about.
func many[R, F, T any](ctx context.Context, q query, readModel string, view organization.Permission, in list, filter func(now time.Time) F,
	find func(context.Context, engine.DB, engine.Viewer, F, engine.PageRequest) (engine.Page[R], error),
	count func(context.Context, engine.DB, engine.Viewer, F) (int, error),
	objects func(*commands.Principal) objectOf[R, T],
) (*model.Connection[T], error) {
	request, err := paging(in.first, in.after, in.last, in.before)
	if err != nil {
		return nil, err
	}
	p, v, err := q.read(ctx, view, in.at, readModel)
	if err != nil {
		return nil, err
	}
	db, now, err := q.listOf(ctx, readModel, v, in.asOf)
	if err != nil {
		return nil, err
	}
	f, object := filter(now), objects(p)
	page, err := find(ctx, db, v, f, request)
	return listed(page, err, func(row R) *T { return object(row, now) }, func(ctx context.Context) (int, error) { return count(ctx, db, v, f) })
}

// edges returns a batch of the records that others name.
func edges[R, T any](object func() objectOf[R, T], find func(context.Context, []uuid.UUID) (map[uuid.UUID]R, error)) *model.Batch[T] {
	return model.NewBatch(func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*T, error) {
		found, err := find(ctx, ids)
		if err != nil {
			return nil, err
		}
		show, objects := object(), make(map[uuid.UUID]*T, len(found))
		for id, row := range found {
			objects[id] = show(row, time.Now())
		}
		return objects, nil
	})
}

// onRecord carries a command on a record out, and shows what that is now.
func onRecord[C, R, T any](ctx context.Context, m mutation, version *int, command func(context.Context, *commands.Principal, C) (commands.Result, error), in C,
	readModel string, kind asof.Kind[R], objects func(*commands.Principal) objectOf[R, T],
) (*T, *model.Receipt, error) {
	if version != nil && *version < 1 {
		return nil, nil, invalid("expectedVersion", "must be at least 1")
	}
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, nil, err
	}
	done, err := command(ctx, p, in)
	if err != nil {
		return nil, nil, err
	}
	object, err := shown(ctx, m.resolver, done.Receipt, []string{readModel}, func() (*T, error) {
		return one(ctx, m.resolver, kind, p.Everything(), done.ID, nil, objects(p))
	})
	return object, receipt(done.Receipt), err
}
