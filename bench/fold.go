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
func foldLive(ctx context.Context, b *bench) error {
	w, err := b.long(ctx)
	if err != nil {
		return err
	}
	model := customers.Model
	model.Schema.Version = 1000
	fold := func(pageSize int) func() (float64, error) {
		return func() (float64, error) {
			model.Schema.Version++ // one that has no rows yet
			return w.foldFor(ctx, model, pageSize, b.span)
		}
	}
	return b.measure(false, &Figure{
		What: "live folding of `customers`", Against: "a transaction per event", Unit: "events/s", Wanted: "≥ 25",
		Note: "The same engine and fold, at pages of 2 000 events and of one.",
		ours: fold(0), floor: fold(1),
	})
}

// foldFor runs an engine of one read model for some time, or to the end of the history, and returns the events a second.
func (w *world) foldFor(ctx context.Context, model engine.ReadModel, pageSize int, span time.Duration) (float64, error) {
	models, err := engine.New(w.Log, w.Codec, w.Pool, []engine.ReadModel{model},
		engine.Config{PageSize: pageSize, FastStart: math.MaxInt64, Logger: slog.New(slog.DiscardHandler)}) // it would complain of being cut short
	if err == nil {
		err = models.Prepare(ctx)
	}
	if err != nil {
		return 0, err
	}
	folded, err := rate(func() (eventlog.Position, error) {
		running, stop := context.WithTimeout(ctx, span)
		defer stop()
		var run errgroup.Group
		run.Go(func() error { return models.Run(running) })
		for running.Err() == nil && models.Wait(running, eventlog.Position(w.events)) != nil {
		}
		stop()
		if err := run.Wait(); err != nil {
			return 0, err
		}
		statuses, err := models.Statuses(ctx)
		if err == nil && statuses[0].State == engine.Failed {
			err = errors.New(statuses[0].Error)
		}
		return statuses[0].Position, err
	})
	_, dropped := w.Pool.Exec(ctx, "drop schema "+model.Schema.String()+" cascade")
	return folded, errors.Join(err, dropped)
}

// reprojectCustomers measures a rebuild of few rows that change often, and its memory.
func reprojectCustomers(ctx context.Context, b *bench) error {
	w, err := b.long(ctx)
	if err != nil {
		return err
	}
	memory := &Figure{What: "its memory at most", Unit: "MB", Wanted: "< 256 MB", Note: "Of the whole measuring process, as the Go runtime holds it from the system."}
	return b.measure(false, &Figure{
		What: fmt.Sprintf("reproject `customers`, %s events", grouped(w.events)), Against: "reading the log alone", Unit: "events/s", Wanted: "≥ 0.55",
		Note: fmt.Sprintf("%s customers; the log is read in pages of %d; the rebuild ends when the new tables serve, with their indexes.", grouped(w.events/eventsEach), logPage),
		ours: func() (float64, error) {
			var done engine.Rebuilt
			most, err := peak(func() (err error) {
				done, err = w.rebuild(ctx, customers.Model, nil)
				return err
			})
			memory.Ours.add(most)
			return float64(done.Events) / done.Took.Seconds(), err
		},
		floor: w.reading(ctx),
	}, memory)
}

// reprojectActivity measures a rebuild of a row per event. The floor takes the same rows from a file in Postgres' own binary
// form, and makes the same indexes.
func reprojectActivity(ctx context.Context, b *bench) error {
	w, err := b.long(ctx)
	if err != nil {
		return err
	}
	rows := &Figure{
		What: "reproject `activity`, a row per event", Against: "`COPY` and the indexes", Unit: "rows/s", Wanted: "≥ 0.6",
		Note: "The floor is one binary COPY from a file into the same table, then the same key, indexes and statistics.",
	}
	bare := &Figure{What: "its folding, without indexes", Against: "`COPY` alone", Unit: "rows/s", Wanted: "≥ 0.6"}
	rows.ours = func() (float64, error) {
		var folded time.Duration
		done, err := w.rebuild(ctx, activity.Model, func(p engine.Progress) {
			if p.Phase == "indexing" {
				folded = p.Took
			}
		})
		bare.Ours.add(float64(done.Events) / folded.Seconds())
		return float64(done.Events) / done.Took.Seconds(), err
	}
	b.say("the rows to copy")
	if _, err := rows.ours(); err != nil {
		return err
	}
	bare.Ours = nil
	file := filepath.Join(b.scratch, "activity.copy")
	defer os.Remove(file)
	held, err := w.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer held.Release()
	conn := held.Conn()
	if err := dump(ctx, conn, file); err != nil {
		return err
	}
	rows.floor = func() (float64, error) { return copyBack(ctx, conn, file, &bare.Floor) }
	return b.measure(false, rows, bare)
}

var (
	copiedFrom = activity.Model.Schema.String() + ".events"
	copiedInto = "bench_copy.events"
)

func dump(ctx context.Context, conn *pgx.Conn, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = conn.PgConn().CopyTo(ctx, f, "copy "+copiedFrom+" to stdout (format binary)")
	return errors.Join(err, f.Close())
}

// copyBack returns the rows a second, with the indexes; without them it adds them to bare.
func copyBack(ctx context.Context, conn *pgx.Conn, file string, bare *series) (float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var indexes string // the statements that make them
	err = conn.QueryRow(ctx, "select string_agg(indexdef, ';') from pg_indexes where schemaname || '.' || tablename = $1", copiedFrom).Scan(&indexes)
	if err != nil {
		return 0, err
	}
	indexes = strings.ReplaceAll(indexes, " ON "+copiedFrom+" ", " ON "+copiedInto+" ")
	all, err := rate(func() (copied int64, err error) {
		only, err := rate(func() (int64, error) {
			if _, err := conn.Exec(ctx, "create schema bench_copy; create table "+copiedInto+" (like "+copiedFrom+")"); err != nil {
				return 0, err
			}
			tag, err := conn.PgConn().CopyFrom(ctx, f, "copy "+copiedInto+" from stdin (format binary)")
			copied = tag.RowsAffected()
			return copied, err
		})
		if err != nil {
			return 0, err
		}
		bare.add(only)
		_, err = conn.Exec(ctx, indexes+"; analyze "+copiedInto)
		return copied, err
	})
	if err == nil {
		_, err = conn.Exec(ctx, "drop schema bench_copy cascade")
	}
	return all, err
}

// latency measures how long after its receipt an event is in the read model, with all read models running as they do when
// Annal serves. Events come when they come, whether those before them have arrived or not.
func latency(ctx context.Context, b *bench) error {
	w, err := b.short(ctx)
	if err != nil {
		return err
	}
	b.say("read models catch up")
	running, stop := context.WithCancel(ctx)
	var models errgroup.Group
	models.Go(func() error { return w.Engine.Run(running) })
	defer func() { stop(); _ = models.Wait() }()
	if err := w.CaughtUp(ctx); err != nil {
		return err
	}

	changed := make([]*history, arrivals) // each of them about once a second, and registered while warming up
	for i := range changed {
		changed[i] = w.newHistory(i)
	}
	p50 := &Figure{What: "event to read model at 2 000 events/s, p50", Unit: "s", Wanted: "< 10 ms"}
	p99 := &Figure{What: "its p99", Unit: "s", Wanted: "< 50 ms"}
	var rates series
	p50.ours = func() (float64, error) {
		var mu sync.Mutex
		var took []time.Duration
		rate, err := arrive(ctx, 2*b.span, func(ctx context.Context, n int) error {
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
		})
		rates.add(rate)
		p99.Ours.add(percentile(took, 99))
		return percentile(took, 50), err
	}
	err = b.measure(true, p50, p99)
	arrived := rates[min(1, len(rates)):].median()
	p50.spoiled = arrived < 0.95*arrivals
	p99.spoiled = p50.spoiled
	p50.Note = fmt.Sprintf("From the receipt to the row, with all %d read models running; %s events/s arrived.", len(app.Models()), grouped(arrived))
	return err
}
