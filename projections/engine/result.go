package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
)

// Result is a read model folded from a chosen part of the log, into tables of its own beside the live ones, which go on
// meanwhile. It stays as it was folded until it expires or is dropped.
type Result struct {
	Model    string
	Version  int    // of the read model
	Schema   string // of its tables
	Events   int64  // read
	Position eventlog.Position
	Parked   int // events that could not be folded, and the later ones of their streams: they are missing in it
	Took     time.Duration

	engine *Engine
	model  *ReadModel
}

// Results makes results of one kind, and bounds what they cost. It is safe for concurrent use.
type Results struct {
	engine *Engine
	kind   string
	limits ResultLimits
	slots  chan struct{}
}

// ResultLimits bound what results of a kind cost.
type ResultLimits struct {
	AtOnce int           // reserved or folded at once in this process
	Events int64         // of the log, up to the position asked for; 0, or a log that cannot count: any number
	Time   time.Duration // of a fold; 0: as long as it takes
	Kept   time.Duration // after the fold; 0: until it is dropped

	Busy, TooMuch error // what is returned when AtOnce, or one of Events and Time, is exceeded
}

// ResultOptions choose what a result is folded from.
type ResultOptions struct {
	AsOf         eventlog.AsOf
	Organization uuid.UUID                  // its events alone; zero: those of all
	Only         func(*eventlog.Event) bool // nil: all of these
	Progress     func(Progress)             // called now and then, if not nil; it must not block
}

const (
	// ResultPrefix begins the names of results' schemas; the kind and a random text follow.
	ResultPrefix = "result_"

	slack = 10 * time.Minute // after its time, for those who still read a result
)

var resultName = regexp.MustCompile(`^` + ResultPrefix + `[a-z0-9_]{1,50}$`)

// Results returns a maker of results of a kind, which is a word. One maker bounds only what it makes itself.
func (e *Engine) Results(kind string, limits ResultLimits) *Results {
	if !identifier.MatchString(kind) || limits.AtOnce < 1 {
		panic(fmt.Sprintf("projections: %q, %d at once, is no kind of results", kind, limits.AtOnce))
	}
	return &Results{engine: e, kind: kind, limits: limits, slots: make(chan struct{}, limits.AtOnce)}
}

// Make reserves, folds and releases.
func (r *Results) Make(ctx context.Context, model string, options ResultOptions) (*Result, error) {
	schema, err := r.Reserve(ctx, options.AsOf.Position)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	return r.Fold(ctx, model, schema, options)
}

// Reserve takes one of the places at once, until [Results.Release], and returns the schema of a result of the log up
// to a position; 0 is its end. It drops expired results first.
func (r *Results) Reserve(ctx context.Context, until eventlog.Position) (schema string, err error) {
	select {
	case r.slots <- struct{}{}:
	default:
		return "", r.limits.Busy
	}
	defer func() {
		if err != nil {
			r.Release()
		}
	}()

	if err := r.affordable(ctx, until); err != nil {
		return "", err
	}
	if err := r.engine.dropExpired(ctx); err != nil {
		return "", err
	}
	schema = ResultPrefix + r.kind + "_" + strings.ToLower(rand.Text())
	_, err = r.engine.pool.Exec(ctx, "insert into projections.result_tables (schema, expires_at) values ($1, clock_timestamp() + $2::interval)", schema, r.limits.Time+slack)
	return schema, err
}

// Release gives back the place that [Results.Reserve] has taken.
func (r *Results) Release() { <-r.slots }

func (r *Results) affordable(ctx context.Context, until eventlog.Position) error {
	counter, ok := r.engine.log.(eventlog.Counter)
	if !ok || r.limits.Events == 0 {
		return nil
	}
	n, err := counter.CountAfter(ctx, 0)
	if err == nil && until != 0 {
		var later int64
		later, err = counter.CountAfter(ctx, until)
		n -= later
	}
	if err == nil && n > r.limits.Events {
		err = r.limits.TooMuch
	}
	return err
}

// Fold folds a read model into a reserved schema. If it fails nothing is left. Errors: [eventlog.ErrFuture], TooMuch
// of the limits, or what kept it from folding.
func (r *Results) Fold(ctx context.Context, model, schema string, options ResultOptions) (*Result, error) {
	if r.limits.Time > 0 {
		limited, cancel := context.WithTimeout(ctx, r.limits.Time)
		defer cancel()
		ctx = limited
	}
	result, err := r.fold(ctx, model, schema, options)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: it takes longer than %s", r.limits.TooMuch, r.limits.Time)
	}
	return result, err
}

func (r *Results) fold(ctx context.Context, model, schema string, options ResultOptions) (*Result, error) {
	e := r.engine
	result, err := e.Result(model, schema)
	if err != nil {
		return nil, err
	}
	target, err := e.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	if err := options.AsOf.Validate(time.Now(), target); err != nil {
		return nil, err
	}
	if at := options.AsOf.Position; at != 0 {
		target = at
	}

	b, err := e.begin(ctx, result.model, schema, options.Progress, schema)
	if err != nil {
		return nil, err
	}
	defer b.close()
	b.takes = func(event *eventlog.Event) bool {
		return options.AsOf.Takes(event) && (options.Organization == uuid.Nil || event.Stream.Organization == options.Organization) &&
			(options.Only == nil || options.Only(event))
	}
	if err := b.foldTo(ctx, target); err != nil {
		return nil, fmt.Errorf("projections: fold %s: %w", schema, err)
	}
	if err := b.index(ctx); err != nil {
		return nil, fmt.Errorf("projections: fold %s: %w", schema, err)
	}

	var kept *time.Duration
	if r.limits.Kept > 0 {
		until := r.limits.Kept + slack
		kept = &until
	}
	if _, err := e.pool.Exec(ctx, "update projections.result_tables set expires_at = coalesce(clock_timestamp() + $2::interval, 'infinity') where schema = $1", schema, kept); err != nil {
		return nil, fmt.Errorf("projections: keep %s: %w", schema, err)
	}
	b.done = true
	result.Events, result.Position, result.Parked, result.Took = b.events, b.at.position, len(b.parking.parked), time.Since(b.began)
	return result, nil
}

// Result returns the result in a schema, made earlier by this version of its read model, in whatever process.
func (e *Engine) Result(model, schema string) (*Result, error) {
	r, err := e.runner(model)
	if err != nil {
		return nil, err
	}
	if !resultName.MatchString(schema) {
		return nil, fmt.Errorf("projections: %q does not name a result", schema)
	}
	return &Result{Model: model, Version: r.model.Version, Schema: schema, engine: e, model: r.model}, nil
}

// DB returns the database in which the queries of the result's read model find its rows.
func (r *Result) DB() DB { return resultDB{r.engine.pool, r} }

type resultDB struct {
	DB
	result *Result
}

func (d resultDB) schemaOf(s Schema) string {
	if s == d.result.model.Schema {
		return d.result.Schema
	}
	return s.String()
}

// Drop removes the result. It waits for those who read it.
func (r *Result) Drop(ctx context.Context) error {
	return r.engine.dropResult(ctx, r.Schema, 0)
}

func (e *Engine) dropResult(ctx context.Context, schema string, wait time.Duration) error {
	if _, err := dropSchema(ctx, e.pool, schema, wait, "delete from projections.result_tables where schema = $1", schema); err != nil {
		return fmt.Errorf("projections: drop %s: %w", schema, err)
	}
	return nil
}

// dropExpired drops the results whose time is over and that nobody folds or reads.
func (e *Engine) dropExpired(ctx context.Context) error {
	// What is not entered was made by an older program, which may still use it.
	if _, err := e.pool.Exec(ctx, `insert into projections.result_tables (schema, expires_at)
		select nspname, case when exists (select from projections.results where schema = nspname) then 'infinity' else clock_timestamp() + interval '1 day' end
		from pg_namespace where starts_with(nspname, $1) on conflict do nothing`, ResultPrefix); err != nil {
		return fmt.Errorf("projections: enter results: %w", err)
	}
	rows, err := e.pool.Query(ctx, "select schema from projections.result_tables where expires_at < clock_timestamp()")
	if err != nil {
		return fmt.Errorf("projections: find expired results: %w", err)
	}
	expired, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("projections: find expired results: %w", err)
	}

	for _, schema := range expired {
		busy, err := e.building(ctx, schema)
		if err == nil && !busy {
			err = e.dropResult(ctx, schema, time.Second)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
