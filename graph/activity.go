package graph

import (
	"context"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
)

func (q query) Activity(ctx context.Context, first *int, after *string, last *int, before *string, filter *generated.ActivityFilter, at *eventlog.Position) (*model.ActivityConnection, error) {
	request, err := paging(first, after, last, before)
	if err != nil {
		return nil, err
	}
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	if at != nil {
		if err := q.Engine.Wait(ctx, *at, activity.Model.Name); err != nil {
			return nil, err
		}
	}
	f, err := activityFilter(filter)
	if err != nil {
		return nil, err
	}
	if err := q.access.RecordList(ctx, p, f); err != nil {
		return nil, err
	}
	v, sight := onlooker(p)
	page, err := activity.List(ctx, q.DB, q.Codec, v, sight, f, request)
	return listed(page, err, q.activityOf(p), func(ctx context.Context) (int, error) { return activity.Count(ctx, q.DB, v, sight, f) })
}

// onlooker is how the principal may look at activity: everybody at that of what they may see.
func onlooker(p *commands.Principal) (engine.Viewer, activity.Sight) {
	return p.Sees(organization.ViewActivity), activity.SightOf(p.Scope)
}

func activityFilter(f *generated.ActivityFilter) (activity.Filter, error) {
	if f == nil {
		return activity.Filter{}, nil
	}
	return activity.Filter{Account: value(f.Account), Customer: value(f.Customer), Types: f.Types, From: value(f.From), To: value(f.To)}, knownTypes(f.Types)
}

// knownTypes refuses what is no type of event: to find nothing would read as if nothing had happened.
func knownTypes(types []string) error {
	for _, name := range types {
		if wrong := eventcodec.Unknown(name); wrong != "" {
			return invalid("filter.types", wrong)
		}
	}
	return nil
}

// activityOf returns what makes objects of the events of one page.
func (r *resolver) activityOf(p *commands.Principal) func(activity.Activity) *model.Activity {
	people := r.people(p)
	return func(a activity.Activity) *model.Activity {
		people.Want(a.Actor)
		for _, id := range a.Named {
			people.Want(id)
		}
		return &model.Activity{
			Position: a.Position, Type: a.Type, OccurredAt: a.OccurredAt, RecordedAt: a.RecordedAt,
			IP: model.Text(a.Meta.IP), Device: model.Text(a.Meta.Device), Reason: model.Text(a.Meta.Reason),
			Line: a.Naming, Data: a.View.Data, ActorID: a.Actor, Accounts: people,
			Session: given(a.Meta.Session), Request: given(a.Meta.Correlation),
		}
	}
}

// given is nil for what is zero: no id, no instant, no number.
func given[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}
