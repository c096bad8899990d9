// Package results keeps named results: reports rebuilt from a chosen part of the log, beside the live ones, which go on.
//
// [Results.Begin] enters one, [Results.Fold] folds it, [Results.Open] reads it, until [Results.Drop]. They are rows of a table, so
// every process has them and a restart leaves them there. Who folds one beats as it goes: a result whose process was killed is
// soon a failed one. What is dropped while it is folded is folded no further. A process folds one at a time, an organization has a
// few, and a log that is too long is refused: see [Config].
package results

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
)

// Status is what has become of a result.
type Status string

const (
	Running Status = "RUNNING"
	Done    Status = "DONE"
	Failed  Status = "FAILED"
)

var (
	ErrNotFound = domain.NoSuch()
	ErrRunning  = domain.Refuse(domain.CodeConflict, "a result of this name is being made: wait for it, or drop it")
	ErrTaken    = domain.Refuse(domain.CodeConflict, "there is a result of this name: drop it first, or take another")
	ErrFull     = domain.Refuse(domain.CodeConflict, "there are as many named results as there may be: drop one first")
	ErrBusy     = domain.Refuse(domain.CodeRateLimited, "another report is being rebuilt: try again when it is done")
	ErrTooMuch  = domain.Refuse(domain.CodeTooComplex, "the log is too long for a named result: ask for an earlier position")
	ErrNotDone  = domain.Refuse(domain.CodeConflict, "the result is not done")
	ErrOutdated = domain.Refuse(domain.CodeConflict, "another version of the program has made this result: drop it and rebuild the report")
	// ErrDropped reports that a result was dropped while it was folded.
	ErrDropped = errors.New("results: the result was dropped")
)

const (
	beatEvery = 500 * time.Millisecond
	lapse     = "20 seconds" // without a beat the process that folded is gone; a busy machine may miss some beats
)

// Config bounds what results cost.
type Config struct {
	Number int           // of an organization; default 10
	Events int64         // of the log, up to the position asked for; default 30 million, about two minutes' work. A log that cannot count is bounded by Time alone
	Time   time.Duration // of a fold; default 10 min
}

// Results are those of all processes. It is safe for concurrent use.
type Results struct {
	engine *engine.Engine
	db     engine.DB
	config Config
	folds  *engine.Results
}

// New returns the results in the database of the engine's read models.
func New(models *engine.Engine, db engine.DB, config Config) *Results {
	config.Number, config.Events, config.Time = cmp.Or(config.Number, 10), cmp.Or(config.Events, 30_000_000), cmp.Or(config.Time, 10*time.Minute)
	limits := engine.ResultLimits{AtOnce: 1, Events: config.Events, Time: config.Time, Busy: ErrBusy, TooMuch: ErrTooMuch}
	return &Results{engine: models, db: db, config: config, folds: models.Results("named", limits)}
}

// Wish is what somebody asks for.
type Wish struct {
	Organization uuid.UUID
	By           uuid.UUID // account
	Name         string
	Report       string
	Definition   int    // version of the report, if it is one of the organization's own; 0: it is built in
	Under        Part   // of the log that the definition takes
	Model        string // the report's read model
	AsOf         eventlog.AsOf
	Part         Part      // of what the definition takes
	Moment       time.Time // that the report speaks of
}

// State is a result as it is at an instant.
type State struct {
	Wish
	ID       uuid.UUID
	Version  int // of the read model
	Schema   string
	Status   Status
	Progress float64 // 0 to 1
	Events   int64   // of the log that were read
	Position eventlog.Position
	Parked   int    // events that could not be folded, and the later ones of their streams
	Problem  string // for people, why it failed
	MadeAt   time.Time
	EndedAt  time.Time // zero: it runs
}

// Takes reports whether an event of its organization belongs to the part of the log that it was folded from.
func (s *State) Takes(e *eventlog.Event) bool {
	recorded, _ := Bounds(s.AsOf)
	return e.Position <= s.Position && recorded.Takes(e) && s.Wish.takes(e)
}

// takes reports whether an event belongs to its part of the log and had happened.
func (w *Wish) takes(e *eventlog.Event) bool {
	_, happened := Bounds(w.AsOf)
	return happened(e) && w.Under.Takes(e) && w.Part.Takes(e)
}

// Begin enters a result, for [Results.Fold]; one that failed under its name goes. Errors: [ErrBusy], [ErrRunning], [ErrTaken],
// [ErrFull], [ErrTooMuch].
func (r *Results) Begin(ctx context.Context, wish Wish) (state State, err error) {
	schema, err := r.folds.Reserve(ctx, wish.AsOf.Position)
	if errors.Is(err, ErrBusy) {
		// If it is the same result that is asked for again, that says more.
		if s, err := r.one(ctx, "name = $2", wish.Organization, wish.Name); err == nil && s.Status == Running {
			return s, ErrRunning
		}
	}
	if err != nil {
		return state, err
	}
	defer func() {
		if err != nil {
			r.folds.Release()
		}
	}()

	switch s, err := r.one(ctx, "name = $2", wish.Organization, wish.Name); {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return state, err
	case s.Status == Running:
		return state, ErrRunning
	case s.Status == Done:
		return state, ErrTaken
	default:
		if err := r.Drop(ctx, wish.Organization, s.ID); err != nil && !errors.Is(err, ErrNotFound) {
			return state, err
		}
	}
	id := uuid.New()
	model, err := r.engine.Result(wish.Model, schema)
	if err != nil {
		return state, err
	}
	asOf, err := json.Marshal(wish.AsOf)
	if err != nil {
		return state, err
	}
	part, err := json.Marshal(wish.Part)
	if err != nil {
		return state, err
	}
	under, err := json.Marshal(wish.Under)
	if err != nil {
		return state, err
	}
	err = r.db.QueryRow(ctx, `insert into projections.results (id, organization, slot, name, report, model, version, schema, as_of, part, moment, made_by, definition, under)
		select $1, $2, min(slot), $3, $4, $5, $6, $7, $8, $9, $10, $11, $13, $14 from generate_series(1, $12::int) slot
		where slot not in (select slot from projections.results where organization = $2) having min(slot) is not null returning id`,
		id, wish.Organization, wish.Name, wish.Report, wish.Model, model.Version, schema, asOf, part, wish.Moment, wish.By, r.config.Number, wish.Definition, under).Scan(&id)
	if raced, ok := errors.AsType[*pgconn.PgError](err); ok && raced.Code == "23505" { // another process took the name or the slot
		if strings.Contains(raced.ConstraintName, "name") {
			return state, ErrRunning
		}
		return state, ErrBusy
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return state, ErrFull
	}
	if err != nil {
		return state, fmt.Errorf("results: enter: %w", err)
	}
	return r.Get(ctx, wish.Organization, id)
}

// Fold folds what [Results.Begin] has entered. When it is folded, and before anybody can read it, record puts it on record. The
// error is what made it fail, which explain words for people; [ErrDropped] if somebody dropped it meanwhile.
func (r *Results) Fold(ctx context.Context, s State, record func(context.Context) error, explain func(error) string) error {
	defer r.folds.Release()
	err := r.fold(ctx, s, record)
	if err != nil && !errors.Is(err, ErrDropped) {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if told := r.change(end, s.ID, "status = 'FAILED', ended_at = now(), problem = $2", explain(err)); told != nil {
			err = errors.Join(err, told) // it will lapse
		}
	}
	return err
}

func (r *Results) fold(ctx context.Context, s State, record func(context.Context) error) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	var progress atomic.Pointer[engine.Progress]
	progress.Store(&engine.Progress{})
	beaten := make(chan struct{})
	defer func() { stop(nil); <-beaten }()
	go func() {
		defer close(beaten)
		r.beat(ctx, s.ID, &progress, stop)
	}()
	defer func() {
		if cause := recover(); cause != nil { // it would take the process with it
			err = fmt.Errorf("results: panic: %v", cause)
		}
		if err != nil && errors.Is(context.Cause(ctx), ErrDropped) {
			err = ErrDropped
		}
	}()
	recorded, _ := Bounds(s.AsOf)
	result, err := r.folds.Fold(ctx, s.Model, s.Schema, engine.ResultOptions{
		AsOf: recorded, Organization: s.Organization, Only: s.Wish.takes, Progress: func(p engine.Progress) { progress.Store(&p) },
	})
	if err != nil {
		return err
	}
	if err = record(ctx); err == nil {
		err = r.change(ctx, s.ID, "status = 'DONE', progress = 1, ended_at = now(), events = $2, position = $3, parked = $4", result.Events, result.Position, result.Parked)
	}
	if err != nil {
		drop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, result.Drop(drop))
	}
	return err
}

// beat says that somebody folds a result, and how far it is; if it is not there any more it stops the fold.
func (r *Results) beat(ctx context.Context, id uuid.UUID, progress *atomic.Pointer[engine.Progress], stop context.CancelCauseFunc) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		p := progress.Load()
		if err := r.change(ctx, id, "beat_at = now(), progress = $2, events = $3", min(p.Done, 0.99), p.Events); errors.Is(err, ErrDropped) {
			stop(err)
			return
		} // an outage passes, or the result lapses
	}
}

// change changes a result that runs, or has lapsed; [ErrDropped] if it is not there.
func (r *Results) change(ctx context.Context, id uuid.UUID, set string, args ...any) error {
	err := r.db.QueryRow(ctx, "update projections.results set "+set+" where id = $1 and status = 'RUNNING' returning id", append([]any{id}, args...)...).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrDropped
	}
	return err
}
