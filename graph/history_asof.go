package graph

import (
	"context"
	"time"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/projections/engine"
)

// asOf reads an argument that chooses a past; none is nil.
func (r *resolver) asOf(ctx context.Context, argument string, in *generated.AsOf) (*eventlog.AsOf, error) {
	if in == nil {
		return nil, nil
	}
	head, err := r.Log.Head(ctx)
	if err != nil {
		return nil, err
	}
	at := &eventlog.AsOf{KnownAt: instantOf(in.KnownAt), HappenedBy: instantOf(in.HappenedBy), Position: value(in.Position)}
	now := time.Now()
	for field, one := range map[string]eventlog.AsOf{
		"knownAt": {KnownAt: at.KnownAt}, "happenedBy": {HappenedBy: at.HappenedBy}, "position": {Position: at.Position},
	} {
		if one.Validate(now, head) != nil {
			return nil, invalid(argument+"."+field, "has not come yet")
		}
	}
	switch {
	case in.Position != nil && at.Position == 0:
		return nil, invalid(argument+".position", "must be at least 1")
	case at.IsZero():
		return nil, invalid(argument, "must say knownAt, position or happenedBy")
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

// listOf is the database of a list: as it is, or as it was, and then the instant that it is about.
func (r *resolver) listOf(ctx context.Context, readModel string, v engine.Viewer, in *generated.AsOf) (engine.DB, time.Time, error) {
	at, err := r.asOf(ctx, "asOf", in)
	if err != nil {
		return nil, time.Time{}, err
	}
	return r.lists.AsOf(ctx, readModel, v, at)
}
