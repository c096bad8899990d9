package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
)

// ErrBehind reports that a read model has not reached a position within the limit, or has stopped before it.
var ErrBehind = errors.New("projections: read model is behind")

// progress is how far a runner is, for those that wait.
type progress struct {
	mu       sync.Mutex
	running  bool
	position eventlog.Position
	failed   error
	changed  chan struct{} // closed and replaced at each change
}

func newProgress() progress { return progress{changed: make(chan struct{})} }

func (p *progress) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *progress) reach(at eventlog.Position) { p.set(func() { p.position, p.failed = at, nil }) }

// stand sets the position, and leaves open whether the read model can go on.
func (p *progress) stand(at eventlog.Position) { p.set(func() { p.position = at }) }

// fail returns the failure before.
func (p *progress) fail(err error) (was error) {
	p.set(func() { was, p.failed = p.failed, err })
	return was
}

func (p *progress) run(running bool) {
	p.set(func() { p.running, p.position, p.failed = running, 0, nil })
}

// Wait returns when the named read models, or all if none is named, have folded all events up to a position: who then
// queries them reads what was written there. If that takes longer than [Config.WaitLimit], or one has stopped before,
// the error is [ErrBehind]. A read model that this process runs wakes its waiters; that of another is looked at again
// and again.
func (e *Engine) Wait(ctx context.Context, position eventlog.Position, models ...string) error {
	limited, cancel := context.WithTimeout(ctx, e.config.WaitLimit)
	defer cancel()
	if len(models) == 0 {
		for _, r := range e.runners {
			models = append(models, r.model.Name)
		}
	}
	for _, name := range models {
		r, err := e.runner(name)
		if err != nil {
			return err
		}
		if err := r.wait(limited, position); err != nil {
			if ctx.Err() == nil && limited.Err() != nil {
				err = fmt.Errorf("%w: %s has not reached position %d", ErrBehind, name, position)
			}
			return err
		}
	}
	return nil
}

func (r *runner) wait(ctx context.Context, position eventlog.Position) error {
	poll := 2 * time.Millisecond
	for {
		p := &r.progress
		p.mu.Lock()
		at, running, failed, changed := p.position, p.running, p.failed, p.changed
		p.mu.Unlock()
		var again <-chan time.Time
		if !running {
			// One read serves all that wait here.
			all, err, _ := r.engine.reads.Do("", func() (any, error) { return r.engine.standings(context.WithoutCancel(ctx), nil) })
			if err != nil {
				return err
			}
			c := all.(map[Schema]standing)[r.model.Schema] // none: it has not been started yet
			if at = c.position; c.err != "" {
				failed = errors.New(c.err)
			}
			again = time.After(poll)
			poll = min(2*poll, 50*time.Millisecond)
		}
		switch {
		case at >= position:
			return nil
		case failed != nil:
			return fmt.Errorf("%w: %s has stopped: %w", ErrBehind, r.model.Name, failed)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// State is what a read model is doing.
type State string

const (
	Live       State = "LIVE"        // at the head of the log, or within a page of it
	CatchingUp State = "CATCHING_UP" // folding towards it
	Rebuilding State = "REBUILDING"  // a rebuild runs; meanwhile the rows are those of Position
	Failed     State = "FAILED"      // cannot go on: log, vault and read model do not belong together
)

// Status says how far a read model is.
type Status struct {
	Name          string
	Version       int
	Position      eventlog.Position
	Behind        *int64 // events it has not folded; nil if the log cannot count
	Parked        int    // parked events: those that cannot be folded, and the later ones of their streams
	Runner        string // the process that folds it; "" if none does now
	State         State
	Error         string
	ErrorPosition eventlog.Position // where it cannot go on
}

// Statuses returns how far the read models are, in whatever process they run.
func (e *Engine) Statuses(ctx context.Context) ([]Status, error) {
	identity, err := e.log.Identity(ctx)
	if err != nil {
		return nil, err
	}
	parked := make(map[Schema]int)
	all, err := e.standings(ctx, func(batch *pgx.Batch) {
		batch.Queue("select name, version, count(*) from projections.parked group by name, version").Query(func(rows pgx.Rows) error {
			var of Schema
			var n int
			_, err := pgx.ForEachRow(rows, []any{&of.Name, &of.Version, &n}, func() error { parked[of] = n; return nil })
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	head, err := e.log.Head(ctx) // after the checkpoints: others move them meanwhile, and none is ahead of this
	if err != nil {
		return nil, err
	}
	var statuses []Status
	for _, r := range e.runners {
		c, ok := all[r.model.Schema]
		if !ok { // it has not been started yet
			c.log = identity
		}
		s, err := e.status(ctx, r.model.Schema, c, identity, head)
		if err != nil {
			return nil, err
		}
		s.Parked = parked[r.model.Schema]
		statuses = append(statuses, s)
	}
	return statuses, nil
}

func (e *Engine) status(ctx context.Context, model Schema, c standing, identity uuid.UUID, head eventlog.Position) (Status, error) {
	s := Status{Name: model.Name, Version: model.Version, Position: c.position, Runner: c.runner}
	if counter, ok := e.log.(eventlog.Counter); ok && c.log == identity {
		behind, err := counter.CountAfter(ctx, c.position)
		if err != nil {
			return s, err
		}
		s.Behind = &behind
	}
	rebuilding, err := e.building(ctx, model.String())
	if err != nil {
		return s, err
	}
	misfit := error(nil)
	if c.log == identity {
		misfit = c.ahead(model, head)
	}
	switch {
	case rebuilding:
		s.State = Rebuilding
	case misfit != nil || c.err != "":
		s.State, s.Error, s.ErrorPosition = Failed, c.err, c.failed
		if misfit != nil {
			s.Error = misfit.Error()
		}
	case c.log != identity: // it will be folded again
		s.State, s.Position = CatchingUp, 0
	case s.Behind == nil && c.position < head, s.Behind != nil && *s.Behind > int64(e.config.PageSize):
		s.State = CatchingUp
	default:
		s.State = Live
	}
	return s, nil
}
