package asof

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
)

// Bounds of the lists of a past. Each is a fold of the log, so it costs as much as reading that.
const (
	// MaxEvents is how many events are folded for a list: about ten seconds' work. Where the log cannot count, [maxFold] bounds it alone.
	MaxEvents = 3_000_000
	maxFold   = 20 * time.Second
	atOnce    = 2 // folds; more would take the machine away from everybody else
	// kept is how long a list of a past stays, so that its next pages cost nothing: and how long personal data of somebody who is
	// erased meanwhile may be in it.
	kept = time.Minute
)

// Lists keeps the lists of pasts that were asked for lately, folded by an engine into tables of their own. It is safe for
// concurrent use.
type Lists struct {
	folds *engine.Results
	db    engine.DB // of the live read models

	mu    sync.Mutex
	lists map[title]*list
}

type title struct {
	model        string
	organization uuid.UUID
	at           eventlog.AsOf
	part         string
}

// list is one that is kept. Its fields are set when done is closed.
type list struct {
	only    func(*eventlog.Event) bool
	done    chan struct{}
	result  *engine.Result
	err     error
	readers sync.WaitGroup
}

// ErrBusy reports that as many lists are being folded as can be at once.
var ErrBusy = domain.Refuse(domain.CodeRateLimited, "other lists of the past are being folded: try again in a moment")

// NewLists returns an empty cache.
func NewLists(models *engine.Engine, db engine.DB) *Lists {
	limits := engine.ResultLimits{AtOnce: atOnce, Events: MaxEvents, Time: maxFold, Kept: kept, Busy: ErrBusy, TooMuch: ErrTooMuch}
	return &Lists{folds: models.Results("past", limits), db: db, lists: make(map[title]*list)}
}

// AsOf returns the database in which the queries of a read model find the rows of the viewer's organization as of a past, and the
// instant that it is about; as of now (nil), the live ones. The lists of a past are for viewers who may see all of them, because
// nobody knows here whose the records were: [commands.ErrForbidden].
func (l *Lists) AsOf(ctx context.Context, model string, v engine.Viewer, at *eventlog.AsOf) (engine.DB, time.Time, error) {
	if at == nil {
		return l.db, time.Now(), nil
	}
	if v.Scope != organization.All {
		return nil, time.Time{}, commands.ErrForbidden
	}
	now, err := activity.Moment(ctx, l.db, v.Organization, *at)
	if err != nil {
		return nil, now, err
	}
	db, err := l.Of(ctx, model, v.Organization, *at, "", nil)
	return db, now, err
}

// Of returns the rows of an organization as of a past, of the events that only takes, which part names. They are there until ctx
// ends, and a minute after they were folded. A past that is too long to fold, or takes too long, is [ErrTooMuch]; one more than
// can be folded at once is [ErrBusy].
func (l *Lists) Of(ctx context.Context, model string, organization uuid.UUID, at eventlog.AsOf, part string, only func(*eventlog.Event) bool) (engine.DB, error) {
	var err error
	key := title{model, organization, at, part}
	l.mu.Lock()
	one, there := l.lists[key]
	if !there {
		one = &list{only: only, done: make(chan struct{})}
		l.lists[key] = one
		go l.fold(context.WithoutCancel(ctx), key, one) // others may wait for it, too
	}
	one.readers.Add(1)
	l.mu.Unlock()
	select {
	case <-one.done:
		err = one.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		one.readers.Done()
		return nil, err
	}
	context.AfterFunc(ctx, one.readers.Done) // what is counted is counted later
	return one.result.DB(), nil
}

// fold folds a list, and drops it in time. A failure is not kept.
func (l *Lists) fold(ctx context.Context, key title, one *list) {
	one.result, one.err = l.folds.Make(ctx, key.model, engine.ResultOptions{AsOf: key.at, Organization: key.organization, Only: one.only})
	if one.err != nil {
		l.forget(key)
		close(one.done)
		return
	}
	close(one.done)
	time.AfterFunc(kept, func() {
		l.forget(key) // nobody comes to it any more
		one.readers.Wait()
		if err := one.result.Drop(ctx); err != nil {
			slog.WarnContext(ctx, "a list of a past stays behind", "schema", one.result.Schema, "error", err)
		}
	})
}

func (l *Lists) forget(key title) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.lists, key)
}
