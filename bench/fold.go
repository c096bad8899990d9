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
func foldLive(ctx context.Context, b *bench) ([]Figure, error) {
	w, err := b.long(ctx)
	if err != nil {
		return nil, err
	}
	version := 1000 // each time a version of the read model that has no rows yet
	fold := func(pageSize int) (float64, error) {
		version++
		model := customers.Model
		model.Schema.Version = version
		models, err := engine.New(w.Log, w.Codec, w.Pool, []engine.ReadModel{model},
			engine.Config{PageSize: pageSize, FastStart: math.MaxInt64, Logger: slog.New(slog.DiscardHandler)}) // it is cut short, which it would tell
		if err == nil {
			err = models.Prepare(ctx)
		}
		if err != nil {
			return 0, err
		}
		running, stop := context.WithTimeout(ctx, b.span())
		defer stop()
		var work errgroup.Group
		began := time.Now()
		work.Go(func() error { return models.Run(running) })
		for running.Err() == nil && models.Wait(running, eventlog.Position(w.events)) != nil { // to the end of the history, or of the time
		}
		took := time.Since(began).Seconds()
		stop()
		if err := work.Wait(); err != nil {
			return 0, err
		}
		statuses, err := models.Statuses(ctx)
		if err != nil {
			return 0, err
		}
		if statuses[0].State == engine.Failed {
			return 0, errors.New(statuses[0].Error)
		}
		_, err = w.Pool.Exec(ctx, "drop schema "+model.Schema.String()+" cascade")
		return float64(statuses[0].Position) / took, err
	}
	var ours, floor series
	err = b.rounds("live", false, func() error {
		o, err := fold(0)
		if err != nil {
			return err
		}
		f, err := fold(1)
		ours.add(o)
		floor.add(f)
		return err
	})
	r, text := ratio(ours, floor)
	return []Figure{{What: "live folding of `customers`", Against: "a transaction per event", Ours: rateText("events", ours), Floor: rateText("events", floor),
		Ratio: text, Wanted: "≥ 25", Met: r >= 25, Note: "The same engine and fold, at pages of 2 000 events and of one."}}, err
}

// readLog reads the whole log and does nothing with it.
func readLog(ctx context.Context, log eventlog.Log) (events int, err error) {
	for page, err := range eventlog.Pages(ctx, log, 0, eventlog.End, eventlog.PageSize) {
		if err != nil {
			return events, err
		}
		events += len(page)
	}
	return events, nil
}

// reprojectCustomers measures a rebuild of few rows that change often, and its memory.
func reprojectCustomers(ctx context.Context, b *bench) ([]Figure, error) {
	w, err := b.long(ctx)
	if err != nil {
		return nil, err
	}
	var ours, floor, memory series
	err = b.rounds("reproject", false, func() error {
		var events int
		t, err := seconds(func() (err error) { events, err = readLog(ctx, w.Log); return err })
		if err != nil {
			return err
		}
		floor.add(float64(events) / t)
		var done engine.Rebuilt
		most, err := peak(func() (err error) {
			done, err = w.Engine.Rebuild(ctx, customers.Model.Name, engine.RebuildOptions{})
			return err
		})
		ours.add(float64(done.Events) / done.Took.Seconds())
		memory.add(float64(most) / 1e6)
		return err
	})
	r, text := ratio(ours, floor)
	return []Figure{{
		What: fmt.Sprintf("reproject `customers`, %s events", grouped(float64(w.events))), Against: "reading the log alone",
		Ours: rateText("events", ours), Floor: rateText("events", floor), Ratio: text, Wanted: "≥ 0.55", Met: r >= 0.55,
		Note: fmt.Sprintf("%s customers; the log is read in pages of %d; the rebuild ends when the new tables serve, with their indexes.", grouped(float64(w.events/eventsEach)), eventlog.PageSize),
	}, {
		What: "its memory at most", Against: "", Ours: fmt.Sprintf("%.0f MB", memory.median()), Wanted: "< 256 MB", Met: memory.median() < 256,
		Note: "Of the whole measuring process, as the Go runtime holds it from the system.",
	}}, err
}

const copySchema = "bench_copy"

// reprojectActivity measures a rebuild of a row per event. The floor takes the same rows from a file in Postgres' own binary
// form, and makes the same indexes.
func reprojectActivity(ctx context.Context, b *bench) ([]Figure, error) {
	w, err := b.long(ctx)
	if err != nil {
		return nil, err
	}
	var ours, floor, oursRows, floorRows series
	rebuild := func() error {
		var folded time.Duration
		done, err := w.Engine.Rebuild(ctx, activity.Model.Name, engine.RebuildOptions{Progress: func(p engine.Progress) {
			if p.Phase == "indexing" {
				folded = p.Took
			}
		}})
		ours.add(float64(done.Events) / done.Took.Seconds())
		oursRows.add(float64(done.Events) / folded.Seconds())
		return err
	}
	b.say("activity: the rows to copy")
	if err := rebuild(); err != nil {
		return nil, err
	}
	ours, oursRows = nil, nil
	file := filepath.Join(b.scratch, "activity.copy")
	defer os.Remove(file)
	if err := dump(ctx, w, file); err != nil {
		return nil, err
	}
	err = b.rounds("activity", false, func() error {
		rows, copied, all, err := copyBack(ctx, w, file)
		if err != nil {
			return err
		}
		floor.add(float64(rows) / all)
		floorRows.add(float64(rows) / copied)
		return rebuild()
	})
	r, text := ratio(ours, floor)
	rows, rowsText := ratio(oursRows, floorRows)
	return []Figure{{
		What: "reproject `activity`, a row per event", Against: "`COPY` and the indexes", Ours: rateText("rows", ours), Floor: rateText("rows", floor),
		Ratio: text, Wanted: "≥ 0.6", Met: r >= 0.6, Note: "The floor is one binary COPY from a file into the same table, then the same key, indexes and statistics.",
	}, {
		What: "its folding, without indexes", Against: "`COPY` alone", Ours: rateText("rows", oursRows), Floor: rateText("rows", floorRows),
		Ratio: rowsText, Wanted: "≥ 0.6", Met: rows >= 0.6,
	}}, err
}

func dump(ctx context.Context, w *world, file string) error {
	conn, err := w.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = conn.Conn().PgConn().CopyTo(ctx, f, "copy "+activity.Model.Schema.String()+".events to stdout (format binary)")
	return errors.Join(err, f.Close())
}

// copyBack returns the seconds of copying, and of all.
func copyBack(ctx context.Context, w *world, file string) (rows int64, copied, all float64, err error) {
	conn, err := w.Pool.Acquire(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	defer conn.Release()
	from, into := activity.Model.Schema.String()+".events", copySchema+".events"
	found, err := conn.Query(ctx, "select indexdef from pg_indexes where schemaname || '.' || tablename = $1", from)
	if err != nil {
		return 0, 0, 0, err
	}
	indexes, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		return 0, 0, 0, err
	}
	f, err := os.Open(file)
	if err != nil {
		return 0, 0, 0, err
	}
	defer f.Close()
	began := time.Now()
	for _, s := range []string{"create schema " + copySchema, "create table " + into + " (like " + from + ")"} {
		if _, err := conn.Exec(ctx, s); err != nil {
			return 0, 0, 0, err
		}
	}
	tag, err := conn.Conn().PgConn().CopyFrom(ctx, f, "copy "+into+" from stdin (format binary)")
	if err != nil {
		return 0, 0, 0, err
	}
	copied = time.Since(began).Seconds()
	for _, s := range indexes {
		if _, err := conn.Exec(ctx, strings.Replace(s, " ON "+from+" ", " ON "+into+" ", 1)); err != nil {
			return 0, 0, 0, err
		}
	}
	if _, err := conn.Exec(ctx, "analyze "+into); err != nil {
		return 0, 0, 0, err
	}
	all = time.Since(began).Seconds()
	_, err = conn.Exec(ctx, "drop schema "+copySchema+" cascade")
	return tag.RowsAffected(), copied, all, err
}

const arrivals = 2000 // events a second

// latency measures how long after its receipt an event is in the read model, with all read models running as they do when
// Annal serves. Events come when they come, whether those before them have arrived or not.
func latency(ctx context.Context, b *bench) ([]Figure, error) {
	w, err := b.short(ctx)
	if err != nil {
		return nil, err
	}
	b.say("latency: read models catch up")
	running, stop := context.WithCancel(ctx)
	var engine errgroup.Group
	engine.Go(func() error { return w.Engine.Run(running) })
	defer func() { stop(); _ = engine.Wait() }()
	if err := w.CaughtUp(ctx); err != nil {
		return nil, err
	}
	lives, err := w.register(ctx, arrivals) // each of them changes about once a second
	if err != nil {
		return nil, err
	}
	var p50, p99, rate series
	err = b.rounds("latency", true, func() error {
		took, r, err := arrive(ctx, lives, 2*b.span())
		p50.add(percentile(took, 50))
		p99.add(percentile(took, 99))
		rate.add(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	p50, p99, rate = p50[1:], p99[1:], rate[1:] // the first round was to warm up
	inTime := rate.median() > 0.95*arrivals
	note := fmt.Sprintf("From the receipt to the row, with all %d read models running; %s events/s arrived.", len(app.Models()), grouped(rate.median()))
	return []Figure{
		{What: "event to read model at 2 000 events/s, p50", Ours: timeText(p50), Wanted: "< 10 ms", Met: inTime && p50.median() < 0.010, Note: note},
		{What: "its p99", Ours: timeText(p99), Wanted: "< 50 ms", Met: inTime && p99.median() < 0.050},
	}, nil
}

// arrive changes customers in turn at the rate, and returns how long each change took from its receipt to the read model.
func arrive(ctx context.Context, lives []*life, span time.Duration) (took []time.Duration, rate float64, err error) {
	group, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began, n := time.Now(), 0
	for ; time.Since(began) < span && ctx.Err() == nil; <-tick.C {
		for ; float64(n) < time.Since(began).Seconds()*arrivals; n++ {
			l := lives[n%len(lives)]
			group.Go(func() error {
				l.mu.Lock()
				defer l.mu.Unlock()
				if err := l.append(ctx, 1); err != nil {
					return err
				}
				began := time.Now()
				if err := l.world.Engine.Wait(ctx, l.receipt.Position, customers.Model.Name); err != nil {
					return err
				}
				d := time.Since(began)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, d)
				return nil
			})
		}
	}
	err = group.Wait()
	return took, float64(len(took)) / time.Since(began).Seconds(), err
}
