package graph

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/opportunities"
)

// Who may see a record now may see how it was: each resolver here asks the read model first, then folds the log.

// asOf reads an argument that chooses a past.
func (r *resolver) asOf(ctx context.Context, argument string, in *generated.AsOf) (at eventlog.AsOf, err error) {
	if in == nil {
		return at, nil
	}
	head, err := r.Log.Head(ctx)
	if err != nil {
		return at, err
	}
	at = eventlog.AsOf{KnownAt: instantOf(in.KnownAt), HappenedBy: instantOf(in.HappenedBy), Position: value(in.Position)}
	now := time.Now()
	for field, one := range map[string]eventlog.AsOf{
		"knownAt": {KnownAt: at.KnownAt}, "happenedBy": {HappenedBy: at.HappenedBy}, "position": {Position: at.Position},
	} {
		if one.Validate(now, head) != nil {
			return at, invalid(argument+"."+field, "has not come yet")
		}
	}
	switch {
	case in.Position != nil && at.Position == 0:
		return at, invalid(argument+".position", "must be at least 1")
	case at.IsZero():
		return at, invalid(argument, "must say knownAt, position or happenedBy")
	}
	return at, nil
}

// instantOf is the zero time for none: the year 1, should anybody ask for it, is a moment later.
func instantOf(t *time.Time) time.Time {
	if t != nil && t.IsZero() {
		return t.Add(1)
	}
	return value(t)
}

// moment is the instant that a past is about, for what depends on the time of looking: of a position, when the organization's
// newest event up to there was recorded.
func (r *resolver) moment(ctx context.Context, of uuid.UUID, at eventlog.AsOf) (time.Time, error) {
	switch {
	case !at.HappenedBy.IsZero():
		return at.HappenedBy, nil
	case !at.KnownAt.IsZero():
		return at.KnownAt, nil
	case at.Position == 0:
		return time.Now(), nil
	}
	newest, err := activity.Index(ctx, r.DB, engine.Viewer{Organization: of, Scope: organization.All}, activity.Sight{}, activity.Filter{},
		engine.PageRequest{Last: 1, Before: activity.Cursor(at.Position + 1)})
	if err != nil || len(newest.Rows) == 0 {
		return time.Now(), err
	}
	return newest.Rows[0].RecordedAt, nil
}

// listOf is the database of a list: as it is, or as it was, and then the instant that it is about.
func (r *resolver) listOf(ctx context.Context, readModel string, v engine.Viewer, in *generated.AsOf) (engine.DB, time.Time, error) {
	if in == nil {
		return r.DB, time.Now(), nil
	}
	at, err := r.asOf(ctx, "asOf", in)
	if err != nil {
		return nil, time.Time{}, err
	}
	if v.Scope != organization.All { // whose the records were is not whose they are
		return nil, time.Time{}, commands.ErrForbidden
	}
	now, err := r.moment(ctx, v.Organization, at)
	if err != nil {
		return nil, now, err
	}
	db, release, err := r.lists.At(ctx, readModel, v.Organization, at)
	if err == nil {
		context.AfterFunc(ctx, release) // what is counted is counted later
	}
	return db, now, err
}

// history reads the events of a record as of a past.
func (r *resolver) history(ctx context.Context, v engine.Viewer, category string, id uuid.UUID, at eventlog.AsOf) ([]*eventcodec.Event, error) {
	return r.past.Facts(ctx, eventlog.Stream{Organization: v.Organization, Category: category, ID: id}, at)
}

func (r *resolver) pastCustomer(ctx context.Context, p *commands.Principal, v engine.Viewer, id uuid.UUID, in *generated.AsOf) (*model.Customer, error) {
	at, err := r.asOf(ctx, "asOf", in)
	if err != nil {
		return nil, err
	}
	now, err := customers.Get(ctx, r.DB, v, []uuid.UUID{id})
	if _, ok := now[id]; !ok || err != nil {
		return nil, err
	}
	row, there, err := folded(ctx, r, v, customer.Category, id, at, customers.Of)
	if err != nil || !there {
		return nil, err
	}
	return customerObject(row.ShownTo(v), r.page(p, customer.Category)), nil
}

func (r *resolver) pastOpportunity(ctx context.Context, p *commands.Principal, v engine.Viewer, id uuid.UUID, in *generated.AsOf) (*model.Opportunity, error) {
	at, err := r.asOf(ctx, "asOf", in)
	if err != nil {
		return nil, err
	}
	now, err := opportunities.Get(ctx, r.DB, v, []uuid.UUID{id})
	if _, ok := now[id]; !ok || err != nil {
		return nil, err
	}
	row, there, err := folded(ctx, r, v, opportunity.Category, id, at, opportunities.Of)
	if err != nil || !there {
		return nil, err
	}
	return opportunityObject(row, r.page(p, opportunity.Category)), nil
}

func (r *resolver) pastAccount(ctx context.Context, p *commands.Principal, v engine.Viewer, id uuid.UUID, in *generated.AsOf) (*model.Account, error) {
	at, err := r.asOf(ctx, "asOf", in)
	if err != nil {
		return nil, err
	}
	now, err := accounts.Get(ctx, r.DB, v, []uuid.UUID{id})
	if _, ok := now[id]; !ok || err != nil {
		return nil, err
	}
	row, there, err := folded(ctx, r, v, account.Category, id, at, accounts.Of)
	if err != nil || !there {
		return nil, err
	}
	moment, err := r.moment(ctx, v.Organization, at)
	if err != nil {
		return nil, err
	}
	return accountObjectAt(row.ShownTo(v), r.teams(p), moment), nil
}

// fold is a read model's fold of one record.
type fold[R any] func(uuid.UUID, []*eventcodec.Event, func(*eventcodec.Event, R)) (R, bool, error)

// folded is a record as of a past.
func folded[R any](ctx context.Context, r *resolver, v engine.Viewer, category string, id uuid.UUID, at eventlog.AsOf, fold fold[R]) (row R, there bool, err error) {
	history, err := r.history(ctx, v, category, id, at)
	if err != nil {
		return row, false, err
	}
	row, there, err = fold(id, history, nil)
	return row, there, unfoldable(err)
}
