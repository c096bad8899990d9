package engine

import (
	"context"
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
// meanwhile. It stays as it was folded until it is dropped.
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

// ResultOptions choose what a result is folded from.
type ResultOptions struct {
	AsOf         eventlog.AsOf
	Organization uuid.UUID                  // its events alone; zero: those of all
	Only         func(*eventlog.Event) bool // nil: all of these
	Progress     func(Progress)             // called now and then, if not nil; it must not block
}

// ResultPrefix begins the names of results' schemas.
const ResultPrefix = "result_"

var resultName = regexp.MustCompile(`^` + ResultPrefix + `[a-z0-9_]{1,40}$`)

// FoldResult folds a read model into a schema whose name begins with [ResultPrefix]; one that is there under this name is
// replaced. Who made it drops it. The error is [ErrRebuilding] if somebody else is folding into that name.
func (e *Engine) FoldResult(ctx context.Context, model, schema string, options ResultOptions) (*Result, error) {
	r, err := e.runner(model)
	if err != nil {
		return nil, err
	}
	if !resultName.MatchString(schema) {
		return nil, fmt.Errorf("projections: %q does not name a result", schema)
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
	s, err := e.newShadow(ctx, r.model, schema, schema, options.Progress)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.takes = func(event *eventlog.Event) bool {
		return options.AsOf.Takes(event) && (options.Organization == uuid.Nil || event.Stream.Organization == options.Organization) &&
			(options.Only == nil || options.Only(event))
	}
	for _, step := range []func(context.Context) error{
		s.create, func(ctx context.Context) error { return s.foldTo(ctx, target) }, s.index,
	} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("projections: fold %s: %w", schema, err)
		}
	}
	s.swapped = true // it stays
	return &Result{Model: model, Version: r.model.Version, Schema: schema, Events: s.events, Position: s.at.position, Parked: len(s.side.parked), Took: time.Since(s.began),
		engine: e, model: r.model}, nil
}

// Result returns the result in a schema, made earlier by this version of its read model, in whatever process.
func (e *Engine) Result(model, schema string) (*Result, error) {
	r, err := e.runner(model)
	if err == nil && !resultName.MatchString(schema) {
		err = fmt.Errorf("projections: %q does not name a result", schema)
	}
	if err != nil {
		return nil, err
	}
	return &Result{Model: model, Version: r.model.Version, Schema: schema, engine: e, model: r.model}, nil
}

// DB returns the database as a result has it: the queries of its read model find the result's rows there.
func (r *Result) DB() DB {
	return resultDB{r.engine.pool, r.model.Schema.String() + ".", r.Schema + "."}
}

// resultDB reads from another schema. The names of tables stand in the SQL text as [Table.String] gives them, and nothing that
// people have entered ever does.
type resultDB struct {
	DB
	live, result string
}

func (d resultDB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return d.DB.Query(ctx, strings.ReplaceAll(sql, d.live, d.result), args...)
}

func (d resultDB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return d.DB.QueryRow(ctx, strings.ReplaceAll(sql, d.live, d.result), args...)
}

// Drop removes the result.
func (r *Result) Drop(ctx context.Context) error {
	if _, err := r.engine.pool.Exec(ctx, "drop schema if exists "+r.Schema+" cascade"); err != nil {
		return fmt.Errorf("projections: drop %s: %w", r.Schema, err)
	}
	return nil
}

// errOtherModel reports two results that cannot be compared.
var errOtherModel = errors.New("projections: they are of different read models")

// Compare compares the rows of two results of one read model, or of a result with the live rows (other is nil): how many differ,
// and the first of them, where Live is the value of r and Rebuilt that of other.
func (r *Result) Compare(ctx context.Context, other *Result) (different int64, first []Difference, err error) {
	schema := r.model.Schema.String()
	if other != nil {
		if other.model != r.model {
			return 0, nil, errOtherModel
		}
		schema = other.Schema
	}
	var sides [2]pgx.Tx // each goes through its tables in the order of their keys
	for i := range sides {
		tx, err := r.engine.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return 0, nil, fmt.Errorf("projections: compare %s: %w", r.Schema, err)
		}
		defer tx.Rollback(context.WithoutCancel(ctx))
		sides[i] = tx
	}
	for _, t := range r.model.Tables {
		n, some, err := t.relation().compare(ctx, sides[0], sides[1], r.Schema, schema, maxDifferences-len(first))
		if err != nil {
			return 0, nil, fmt.Errorf("projections: compare %s: %w", r.Schema, err)
		}
		different, first = different+n, append(first, some...)
	}
	return different, first, nil
}
