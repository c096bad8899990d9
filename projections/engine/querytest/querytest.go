// Package querytest gives tests of read models' queries a log, a vault and a
// database of their own, with an engine that folds what they record.
package querytest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/kinds"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
	"github.com/annal-crm/annal/internal/auth"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
)

// World is where a test's history happens. It is not safe for concurrent use.
type World struct {
	Pool   *pgxpool.Pool
	Vault  *vault.Vault
	Codec  *eventcodec.Codec
	Log    *memory.Log
	Engine *engine.Engine
	Now    time.Time // when the next event occurs; a minute later with each

	t      testing.TB
	models []string
}

// New returns a world in which an engine folds read models until the test ends.
func New(t testing.TB, models ...engine.ReadModel) *World {
	t.Helper()
	w := &World{t: t, Pool: pgtest.New(t, vault.Migrate, auth.Migrate, engine.Migrate), Log: memory.New(), Now: time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC)}
	var err error
	if w.Vault, _, err = vault.Open(t.Context(), w.Pool, vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{}); err != nil {
		t.Fatal(err)
	}
	w.Codec = eventcodec.New(w.Vault)
	if w.Engine, err = engine.New(w.Log, w.Codec, w.Pool, models, engine.Config{}); err != nil {
		t.Fatal(err)
	}
	for _, m := range models {
		w.models = append(w.models, m.Name)
	}
	if err := w.Engine.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// Event is an event of the domain that is to be recorded.
type Event struct {
	Stream  eventlog.Stream
	Payload any
	Meta    domain.Metadata
}

// Record appends an event to its stream and returns it as the log has it.
func (w *World) Record(s eventlog.Stream, payload any) eventlog.Event {
	w.t.Helper()
	return w.RecordAll(Event{Stream: s, Payload: payload})[0]
}

// RecordAll appends events, each to its stream.
func (w *World) RecordAll(events ...Event) (stored []eventlog.Event) {
	w.t.Helper()
	for _, e := range events {
		sealed, err := w.encode(e)
		if err != nil {
			w.t.Fatal(err)
		}
		var version eventlog.Version
		for known, err := range w.Log.ReadStream(w.t.Context(), e.Stream, 0) {
			if err != nil {
				w.t.Fatal(err)
			}
			version = known.Version
		}
		receipt, err := w.Log.Append(w.t.Context(), e.Stream, version, sealed)
		if err != nil {
			w.t.Fatal(err)
		}
		stored = append(stored, eventlog.Event{NewEvent: sealed, Stream: e.Stream, Version: receipt.Version, Position: receipt.Position})
		w.Now = w.Now.Add(time.Minute)
	}
	return stored
}

func (w *World) encode(e Event) (eventlog.NewEvent, error) {
	kind, ok := kinds.Of(e.Stream.Category)
	if !ok {
		panic("querytest: there is no kind " + e.Stream.Category)
	}
	return eventcodec.Encode(w.t.Context(), w.Codec, kind.Types, e.Stream, uuid.New(), e.Payload.(domain.Event), e.Meta, w.Now)
}

// Settle waits until every read model has folded all there is.
func (w *World) Settle() {
	w.t.Helper()
	head, err := w.Log.Head(w.t.Context())
	if err == nil {
		err = w.Engine.Wait(w.t.Context(), head, w.models...)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// Walk reads a list page by page in both directions and returns the keys of its rows. It fails the test if the directions
// differ, or a page says something wrong about what is beyond it.
func Walk[R any, K comparable](t testing.TB, size int, list func(engine.PageRequest) (engine.Page[R], error), key func(R) K) []K {
	t.Helper()
	var forward, backward []K
	for request := (engine.PageRequest{First: size}); ; {
		page, err := list(request)
		if err != nil {
			t.Fatal(err)
		}
		if page.HasPrevious != (request.After != "") || len(page.Rows) != len(page.Cursors) || page.HasNext && len(page.Rows) != size {
			t.Fatalf("a page of %d rows after %q: previous %v, next %v", len(page.Rows), request.After, page.HasPrevious, page.HasNext)
		}
		for _, row := range page.Rows {
			forward = append(forward, key(row))
		}
		if !page.HasNext {
			break
		}
		request.After = page.Cursors[size-1]
	}
	for request := (engine.PageRequest{Last: size}); ; {
		page, err := list(request)
		if err != nil {
			t.Fatal(err)
		}
		var keys []K
		for _, row := range page.Rows {
			keys = append(keys, key(row))
		}
		backward = append(keys, backward...)
		if !page.HasPrevious {
			break
		}
		request.Before = page.Cursors[0]
	}
	if !slices.Equal(forward, backward) {
		t.Fatalf("forward %v, backward %v", forward, backward)
	}
	return forward
}

// Plans runs queries and returns how Postgres went about each: EXPLAIN (ANALYZE).
func (w *World) Plans(queries func(engine.DB)) []string {
	w.t.Helper()
	seen := &spy{DB: w.Pool}
	queries(seen)
	var plans []string
	for _, q := range seen.asked {
		rows, err := w.Pool.Query(w.t.Context(), "explain (analyze, timing off, costs off, summary off) "+q.sql, q.args...)
		if err != nil {
			w.t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			w.t.Fatal(err)
		}
		plans = append(plans, strings.Join(lines, "\n"))
	}
	return plans
}

type asked struct {
	sql  string
	args []any
}

// spy remembers what was asked of a database.
type spy struct {
	engine.DB
	asked []asked
}

func (s *spy) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	s.asked = append(s.asked, asked{sql, args})
	return s.DB.Query(ctx, sql, args...)
}

func (s *spy) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	s.asked = append(s.asked, asked{sql, args})
	return s.DB.QueryRow(ctx, sql, args...)
}
