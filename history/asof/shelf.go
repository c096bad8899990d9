package asof

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
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

// Shelf holds the lists of pasts that were asked for lately, folded by an engine into tables of their own. It is safe for
// concurrent use.
type Shelf struct {
	engine *engine.Engine
	log    eventlog.Log
	folds  chan struct{}

	mu    sync.Mutex
	lists map[title]*list
}

type title struct {
	model        string
	organization uuid.UUID
	at           eventlog.AsOf
	part         string
}

// list is one on the shelf. Its fields are set when done is closed.
type list struct {
	only    func(*eventlog.Event) bool
	done    chan struct{}
	result  *engine.Result
	err     error
	readers sync.WaitGroup
}

// ErrBusy reports that as many lists are being folded as can be at once.
var ErrBusy = domain.Refuse(domain.CodeRateLimited, "other lists of the past are being folded: try again in a moment")

// NewShelf returns an empty shelf.
func NewShelf(models *engine.Engine, log eventlog.Log) *Shelf {
	return &Shelf{engine: models, log: log, folds: make(chan struct{}, atOnce), lists: make(map[title]*list)}
}

// At returns the database in which the queries of a read model find the rows of an organization as of a past. Call release
// when they are done: a minute after it was folded the list goes. A past that is too long to fold, or that it takes too long,
// is [ErrTooMuch]; one more than can be folded at once is [ErrBusy].
func (s *Shelf) At(ctx context.Context, model string, organization uuid.UUID, at eventlog.AsOf) (db engine.DB, release func(), err error) {
	return s.Of(ctx, model, organization, at, "", nil)
}

// Of is [Shelf.At] for a part of the log: the events that only takes, which part names.
func (s *Shelf) Of(ctx context.Context, model string, organization uuid.UUID, at eventlog.AsOf, part string, only func(*eventlog.Event) bool) (db engine.DB, release func(), err error) {
	key := title{model, organization, at, part}
	s.mu.Lock()
	l, there := s.lists[key]
	if !there {
		l = &list{only: only, done: make(chan struct{})}
		s.lists[key] = l
		go s.fold(context.WithoutCancel(ctx), key, l) // others may wait for it, too
	}
	l.readers.Add(1)
	s.mu.Unlock()
	select {
	case <-l.done:
		err = l.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		l.readers.Done()
		return nil, nil, err
	}
	return l.result.DB(), l.readers.Done, nil
}

// fold folds a list, and takes it off the shelf in time. A failure is not kept.
func (s *Shelf) fold(ctx context.Context, key title, l *list) {
	l.result, l.err = s.folded(ctx, key, l.only)
	if l.err != nil {
		s.forget(key)
		close(l.done)
		return
	}
	close(l.done)
	time.AfterFunc(kept, func() {
		s.forget(key) // nobody comes to it any more
		l.readers.Wait()
		if err := l.result.Drop(ctx); err != nil {
			slog.WarnContext(ctx, "a list of a past stays behind", "schema", l.result.Schema, "error", err)
		}
	})
}

func (s *Shelf) forget(key title) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lists, key)
}

func (s *Shelf) folded(ctx context.Context, key title, only func(*eventlog.Event) bool) (*engine.Result, error) {
	select {
	case s.folds <- struct{}{}:
		defer func() { <-s.folds }()
	default:
		return nil, ErrBusy
	}
	if counter, ok := s.log.(eventlog.Counter); ok {
		n, err := counter.CountAfter(ctx, 0)
		if err == nil && key.at.Position != 0 {
			var later int64
			later, err = counter.CountAfter(ctx, key.at.Position)
			n -= later
		}
		if err != nil {
			return nil, err
		}
		if n > MaxEvents {
			return nil, ErrTooMuch
		}
	}
	ctx, cancel := context.WithTimeout(ctx, maxFold)
	defer cancel()
	if err := s.engine.DropResults(ctx, prefix, func(name string) bool { return stale(name, time.Now()) }); err != nil {
		return nil, err
	}
	result, err := s.engine.FoldResult(ctx, key.model, schema(key.model, time.Now()), engine.ResultOptions{AsOf: key.at, Organization: key.organization, Only: only})
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: it takes longer than %s", ErrTooMuch, maxFold)
	}
	return result, err
}

// The schema of a list says until when it may be there, so that whoever folds next can remove what a process has left that was killed.

const prefix = engine.ResultPrefix + "past_"

func schema(model string, now time.Time) string {
	return fmt.Sprintf("%s%s_%d_%s", prefix, model, now.Add(maxFold+kept).Unix(), strings.ToLower(rand.Text()[:8]))
}

func stale(schema string, now time.Time) bool {
	parts := strings.Split(strings.TrimPrefix(schema, prefix), "_")
	var until int64
	_, err := fmt.Sscan(parts[max(0, len(parts)-2)], &until)
	return err == nil && now.After(time.Unix(until, 0).Add(10*time.Minute)) // clocks differ, and a reader may be slow
}
