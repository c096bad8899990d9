package graph

import (
	"context"
	"errors"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
)

// subscription resolves the fields of Subscription.
type subscription struct{ *resolver }

// livePage is how many events a subscription reads at once, so also how many it holds for a client that is slow. What the
// client has not taken yet stays in the read model.
const livePage = 100

// pace is the least time between two reads of a subscription, so that a busy log costs it 20 reads a second and not one for
// each event. The first event after a pause is not held up.
const pace = 50 * time.Millisecond

// Activity follows the read model of activity: it waits for that to move and reads what is after the last position seen, by
// the same query as everybody else. Nothing is missed, and nothing is kept for a slow client but a page.
func (s subscription) Activity(ctx context.Context, filter *generated.ActivityFilter) (<-chan *model.Activity, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	of, err := activityFilter(filter)
	if err != nil {
		return nil, err
	}
	if err := s.access.RecordList(ctx, p, of); err != nil {
		return nil, err
	}
	head, err := s.Log.Head(ctx)
	if err != nil {
		return nil, err
	}
	f := follower{subscription: s, filter: of, events: make(chan *model.Activity), seen: head, cursor: activity.Cursor(head)}
	return follow(ctx, s, f.events, f.run)
}

// follow runs what sends to a subscription, and tells it why that has ended.
func follow[T any](ctx context.Context, s subscription, to chan T, run func(context.Context) error) (<-chan T, error) {
	go func() {
		defer close(to)
		if err := run(ctx); err != nil && ctx.Err() == nil {
			transport.AddSubscriptionError(ctx, s.errors.present(ctx, err))
		}
	}()
	return to, nil
}

// statePace is the time between two looks at what is watched.
const statePace = 200 * time.Millisecond

// watch sends a state whenever its progress has moved, until it has ended or the session has. read checks the session's rights.
func watch[S, T any](ctx context.Context, s subscription, read func(*commands.Principal) (state S, progress float64, ended bool, err error), object func(*commands.Principal, S) T) (<-chan T, error) {
	p, err := callerOf(ctx).now(ctx)
	if err == nil {
		_, _, _, err = read(p)
	}
	if err != nil {
		return nil, err
	}
	states, checked, sent := make(chan T), time.Now(), -1.0
	return follow(ctx, s, states, func(ctx context.Context) error {
		for {
			if time.Since(checked) >= s.config.Recheck {
				if p, err = callerOf(ctx).now(ctx); err != nil {
					return err
				}
				checked = time.Now()
			}
			state, progress, ended, err := read(p)
			if err != nil {
				return err
			}
			if ended || progress > sent {
				sent = progress
				select {
				case states <- object(p, state):
				case <-ctx.Done():
					return nil
				}
			}
			if ended {
				return nil
			}
			select {
			case <-time.After(statePace):
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// follower is one subscription under way.
type follower struct {
	subscription
	filter activity.Filter
	events chan *model.Activity // unbuffered: what is sent has been taken by the client's connection
	seen   eventlog.Position    // everything up to here has been looked at
	cursor string               // after the last event delivered
}

func (f *follower) run(ctx context.Context) error {
	for {
		began := time.Now()
		p, err := callerOf(ctx).now(ctx) // the session and the rights it has, before anything is shown and while nothing happens
		if err != nil {
			return err
		}
		head, err := f.Log.Head(ctx)
		if err != nil {
			return err
		}
		folded, err := f.wait(ctx, head)
		if err != nil {
			return err
		}
		all, err := f.deliver(ctx, p, began.Add(f.config.Recheck))
		if err != nil {
			return err
		}
		if all && folded {
			f.seen = max(f.seen, head)
		}
		if all {
			if _, err := f.wait(ctx, f.seen+1); err != nil {
				return err
			}
		}
		select {
		case <-time.After(time.Until(began.Add(pace))):
		case <-ctx.Done():
			return nil
		}
	}
}

// wait waits until activity has been folded up to a position, at most until the session should be looked at again.
func (f *follower) wait(ctx context.Context, to eventlog.Position) (folded bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.config.Recheck)
	defer cancel()
	err = f.Engine.Wait(ctx, to, activity.Model.Name)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return false, nil
	case errors.Is(err, engine.ErrBehind): // stopped, maybe for long
		<-ctx.Done()
		return false, nil
	}
	return err == nil, err
}

// deliver sends what is there after the cursor, until a time. all is false if there is more.
func (f *follower) deliver(ctx context.Context, p *commands.Principal, until time.Time) (all bool, err error) {
	v, sight := onlooker(p)
	page, err := activity.List(ctx, f.DB, f.Codec, v, sight, f.filter, engine.PageRequest{First: livePage, After: f.cursor})
	if err != nil {
		return false, err
	}
	events := objects(page.Rows, f.activityOf(p))
	for i, a := range events {
		select {
		case f.events <- a:
			f.cursor, f.seen = page.Cursors[i], max(f.seen, a.Position)
		case <-ctx.Done():
			return false, nil
		}
		if time.Now().After(until) { // a slow client: look at the session again
			return false, nil
		}
	}
	return !page.HasNext, nil
}
