package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
)

// foldLive measures the engine as it runs, at pages of its own size and of one event: a transaction each.
func foldLive(ctx context.Context, b *bench) {
	w := b.long(ctx)
	model := customers.Model
	model.Schema.Version = 1000
	fold := func(pageSize int) func() float64 {
		return func() float64 {
			model.Schema.Version++ // one that has no rows yet
			defer w.Pool.Exec(ctx, "drop schema "+model.Schema.String()+" cascade")
			return w.foldFor(ctx, model, pageSize, b.span)
		}
	}
	b.measure(false, &Figure{
		What: "live folding of `customers`", Against: "a transaction per event", Unit: "events/s", Wanted: "≥ 25",
		Note: "The same engine and fold, at pages of 2 000 events and of one.",
		ours: fold(0), floor: fold(1),
	})
}

// foldFor runs an engine of one read model for some time, or to the end of the history, and returns the events a second.
func (w *world) foldFor(ctx context.Context, model engine.ReadModel, pageSize int, span time.Duration) float64 {
	quiet := slog.New(slog.DiscardHandler) // it would complain of being cut short
	models := must(engine.New(w.Log, w.Codec, w.Pool, []engine.ReadModel{model}, engine.Config{PageSize: pageSize, FastStart: math.MaxInt64, Logger: quiet}))
	check(models.Prepare(ctx))
	return rate(func() eventlog.Position {
		running, stop := context.WithCancel(ctx)
		defer stop()
		var run errgroup.Group
		run.Go(func() error { return models.Run(running) })
		for ctx.Err() == nil && models.Wait(ctx, 1) != nil { // however short the span: a rate is of something
		}
		over, end := context.WithTimeout(ctx, span)
		defer end()
		for over.Err() == nil && models.Wait(over, eventlog.Position(w.events)) != nil {
		}
		stop()
		check(run.Wait())
		status := must(models.Statuses(ctx))[0]
		if status.State == engine.Failed {
			check(errors.New(status.Error))
		}
		return status.Position
	})
}

// reprojectCustomers measures a rebuild of few rows that change often, and its memory.
func reprojectCustomers(ctx context.Context, b *bench) {
	w := b.long(ctx)
	memory := &Figure{What: "its memory at most", Unit: "MB", Wanted: "< 256 MB", Note: "Of the whole measuring process, as the Go runtime holds it from the system."}
	b.measure(false, &Figure{
		What: fmt.Sprintf("reproject `customers`, %s events", grouped(w.events)), Against: "reading the log alone", Unit: "events/s", Wanted: "≥ 0.55",
		Note: fmt.Sprintf("%s customers; the log is read in pages of %d; the rebuild ends when the new tables serve, with their indexes.", grouped(w.events/eventsEach), logPage),
		ours: func() float64 {
			var done engine.Rebuilt
			memory.Ours.add(peak(func() { done = w.rebuild(ctx, customers.Model, nil) }))
			return float64(done.Events) / done.Took.Seconds()
		},
		floor: w.reading(ctx),
	}, memory)
}

// reprojectActivity measures a rebuild of a row per event. The floor takes the same rows from a file in Postgres' own binary
// form, and makes the same indexes.
func reprojectActivity(ctx context.Context, b *bench) {
	w := b.long(ctx)
	bare := &Figure{What: "its folding, without indexes", Against: "`COPY` alone", Unit: "rows/s", Wanted: "≥ 0.6"}
	rebuild := func() float64 {
		var folded time.Duration
		done := w.rebuild(ctx, activity.Model, func(p engine.Progress) {
			if p.Phase == "indexing" {
				folded = p.Took
			}
		})
		bare.Ours.add(float64(done.Events) / folded.Seconds())
		return float64(done.Events) / done.Took.Seconds()
	}
	b.say("the rows to copy")
	rebuild()
	bare.Ours = nil
	held := must(w.Pool.Acquire(ctx))
	defer held.Release()
	f := must(os.Create(filepath.Join(b.scratch, "activity.copy")))
	defer os.Remove(f.Name())
	defer f.Close()
	must(held.Conn().PgConn().CopyTo(ctx, f, "copy "+copiedFrom+" to stdout (format binary)"))

	b.measure(false, &Figure{
		What: "reproject `activity`, a row per event", Against: "`COPY` and the indexes", Unit: "rows/s", Wanted: "≥ 0.6",
		Note: "The floor is one binary COPY from a file into the same table, then the same key, indexes and statistics.",
		ours: rebuild, floor: func() float64 {
			must(f.Seek(0, 0))
			return copyBack(ctx, held.Conn(), f, &bare.Floor)
		},
	}, bare)
}

const copiedInto = "bench_copy.events"

var copiedFrom = activity.Model.Schema.String() + ".events"

// copyBack returns the rows a second, with the indexes; without them it adds them to bare.
func copyBack(ctx context.Context, conn *pgx.Conn, f *os.File, bare *series) float64 {
	var indexes string // the statements that make them
	check(conn.QueryRow(ctx, "select string_agg(indexdef, ';') from pg_indexes where schemaname || '.' || tablename = $1", copiedFrom).Scan(&indexes))
	indexes = strings.ReplaceAll(indexes, " ON "+copiedFrom+" ", " ON "+copiedInto+" ")
	defer conn.Exec(ctx, "drop schema bench_copy cascade")
	return rate(func() (rows int64) {
		bare.add(rate(func() int64 {
			must(conn.Exec(ctx, "create schema bench_copy; create table "+copiedInto+" (like "+copiedFrom+")"))
			rows = must(conn.PgConn().CopyFrom(ctx, f, "copy "+copiedInto+" from stdin (format binary)")).RowsAffected()
			return rows
		}))
		must(conn.Exec(ctx, indexes+"; analyze "+copiedInto))
		return rows
	})
}

// latency measures how long after its receipt an event is in the read model, with all read models running as they do when
// Annal serves. Events come when they come, whether those before them have arrived or not.
func latency(ctx context.Context, b *bench) {
	w := b.short(ctx)
	b.say("read models catch up")
	running, stop := context.WithCancel(ctx)
	var models errgroup.Group
	models.Go(func() error { return w.Engine.Run(running) })
	defer func() { stop(); _ = models.Wait() }()
	check(w.CaughtUp(ctx))

	changed := make([]*history, arrivals) // each of them about once a second, and registered while warming up
	for i := range changed {
		changed[i] = w.newHistory(i)
	}
	var rates series
	p99 := &Figure{What: "its p99", Unit: "s", Wanted: "< 50 ms"}
	p50 := &Figure{What: "event to read model at 2 000 events/s, p50", Unit: "s", Wanted: "< 10 ms", ours: func() float64 {
		var mu sync.Mutex
		var took []time.Duration
		rates.add(arrive(ctx, 2*b.span, func(ctx context.Context, n int) error {
			h := changed[n%len(changed)]
			h.mu.Lock()
			defer h.mu.Unlock()
			if err := h.append(ctx, 1); err != nil {
				return err
			}
			began := time.Now()
			err := w.Engine.Wait(ctx, h.receipt.Position, customers.Model.Name)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
			return err
		}))
		p99.Ours.add(percentile(took, 99))
		return percentile(took, 50)
	}}
	b.measure(true, p50, p99)
	arrived := rates[1:].median()
	p50.spoiled = arrived < 0.95*arrivals
	p99.spoiled = p50.spoiled
	p50.Note = fmt.Sprintf("From the receipt to the row, with all %d read models running; %s events/s arrived.", len(app.Models()), grouped(arrived))
}
