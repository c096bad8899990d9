package graph

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
)

func (q query) Life(ctx context.Context, accountID, customerID *uuid.UUID, first *int, after *string, in *generated.LifeFilter) (*model.ActivityConnection, error) {
	request, err := paging(first, after, nil, nil)
	if err != nil {
		return nil, err
	}
	who, filter, err := timelineOf(accountID, customerID, in)
	if err != nil {
		return nil, err
	}
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	if err := q.access.Record(ctx, p, who, filter, request.After != ""); err != nil {
		return nil, err
	}
	v, sight := onlooker(p)
	page, err := q.timelines.Of(ctx, v, sight, who, filter, cmp.Or(request.First, defaultPage), request.After)
	c, err := listed(page.Page, err, q.activityOf(p),
		func(ctx context.Context) (int, error) {
			if filter.Opened() {
				return 0, invalid("filter", "by address, device, session or request cannot be counted")
			}
			counted := who
			counted.Types, counted.From, counted.To = filter.Types, filter.From, filter.To
			return activity.Count(ctx, q.DB, v, sight, counted)
		})
	if err == nil && page.HasNext {
		c.PageInfo.EndCursor = model.Text(page.End)
	}
	return c, err
}

// timelineOf reads whose timeline is asked for, and what of it.
func timelineOf(accountID, customerID *uuid.UUID, in *generated.LifeFilter) (who activity.Filter, f timeline.Filter, err error) {
	if _, _, err := oneOf(invalid("account", "or customer must be given, and not both"), map[string]*uuid.UUID{"account": accountID, "customer": customerID}); err != nil {
		return who, f, err
	}
	who = activity.Filter{Account: value(accountID), Customer: value(customerID)}
	if in == nil {
		return who, f, nil
	}
	if err := knownTypes(in.Types); err != nil {
		return who, f, err
	}
	f = timeline.Filter{Types: in.Types, From: value(in.From), To: value(in.To), Device: value(in.Device), Session: value(in.Session), Request: value(in.Request)}
	if in.IP != nil {
		if f.IP, err = timeline.ParseIP(*in.IP); err != nil {
			return who, f, invalid("filter.ip", "is neither an address nor a network")
		}
	}
	return who, f, nil
}

// longestPause is the longest between two events of a replay if nobody says: nights and weekends tell nothing.
const longestPause = 5 * time.Second

// Life replays a timeline event by event, then follows it as [subscription.Activity] follows all.
func (s subscription) Life(ctx context.Context, accountID, customerID *uuid.UUID, after *string, in *generated.LifeFilter, speed *float64, pause *time.Duration) (<-chan *model.Activity, error) {
	who, filter, err := timelineOf(accountID, customerID, in)
	if err != nil {
		return nil, err
	}
	switch {
	case speed != nil && !(*speed > 0 && *speed <= 1e9):
		return nil, invalid("speed", "must be above 0, at most 1e9")
	case pause != nil && (*pause < 0 || *pause > time.Hour):
		return nil, invalid("longestPause", "must be 0s to 1h")
	}
	if _, err := activity.ParseCursor(value(after)); value(after) != "" && err != nil {
		return nil, invalid("after", "is not a cursor of this list")
	}
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.access.Record(ctx, p, who, filter, false); err != nil {
		return nil, err
	}
	head, err := s.Log.Head(ctx)
	if err != nil {
		return nil, err
	}
	longest := longestPause
	if pause != nil {
		longest = *pause
	}
	r := replay{subscription: s, who: who, filter: filter, cursor: value(after), past: head, speed: value(speed), longest: longest, events: make(chan *model.Activity)}
	return follow(ctx, s, r.events, r.run)
}

// replay is one under way.
type replay struct {
	subscription
	who     activity.Filter
	filter  timeline.Filter
	cursor  string            // after the last event looked at
	past    eventlog.Position // up to here it is paced
	speed   float64           // 0: as fast as can be
	longest time.Duration
	before  time.Time // when the event before happened
	events  chan *model.Activity
}

func (r *replay) run(ctx context.Context) error {
	for {
		p, err := callerOf(ctx).now(ctx) // the session and the rights it has, before anything is shown and while nothing happens
		if err != nil {
			return err
		}
		head, err := r.Log.Head(ctx)
		if err != nil {
			return err
		}
		v, sight := onlooker(p)
		page, err := r.timelines.Of(ctx, v, sight, r.who, r.filter, livePage, r.cursor)
		if errors.Is(err, engine.ErrCursor) {
			err = invalid("after", "is not a cursor of this list")
		}
		if err != nil {
			return err
		}
		events := objects(page.Rows, r.activityOf(p))
		checked, all := time.Now(), true
		for i, a := range events {
			if all, err = r.send(ctx, a, &checked); err != nil || ctx.Err() != nil {
				return err
			}
			r.cursor = page.Cursors[i]
			if !all { // the session is to be looked at again, with what is left read anew
				break
			}
		}
		if !all {
			continue
		}
		r.cursor = page.End
		if page.HasNext {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, r.config.Recheck)
		err = r.Log.Wait(limited, head)
		cancel()
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		select {
		case <-time.After(pace):
		case <-ctx.Done():
			return nil
		}
	}
}

// send waits until an event's time has come and delivers it. While it waits it looks at the session again and again. go on: the
// rest of the page may be shown without another look.
func (r *replay) send(ctx context.Context, a *model.Activity, checked *time.Time) (goOn bool, err error) {
	if gap := a.OccurredAt.Sub(r.before); r.speed > 0 && a.Position <= r.past && !r.before.IsZero() && gap > 0 {
		until := time.Now().Add(min(r.longest, time.Duration(float64(gap)/r.speed)))
		for left := time.Until(until); left > 0; left = time.Until(until) {
			select {
			case <-time.After(min(left, r.config.Recheck)):
			case <-ctx.Done():
				return false, nil
			}
			if time.Since(*checked) >= r.config.Recheck {
				if _, err := callerOf(ctx).now(ctx); err != nil {
					return false, err
				}
				*checked = time.Now()
			}
		}
	}
	r.before = a.OccurredAt
	select {
	case r.events <- a:
		return time.Since(*checked) < r.config.Recheck, nil
	case <-ctx.Done():
		return false, nil
	}
}
