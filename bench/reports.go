package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/sales"
	"github.com/annal-crm/annal/transfer/export"
)

// analysts measures what analysts wait for: a report folded anew for a question, and the log written into a Parquet file.
func analysts(ctx context.Context, b *bench) ([]Figure, error) {
	w, err := b.long(ctx)
	if err != nil {
		return nil, err
	}
	models := []string{sales.Model.Name, acts.Model.Name}
	rebuilt, read := make(map[string]*series), series{}
	for _, name := range models {
		rebuilt[name] = new(series)
	}
	var exported, memory series
	err = b.rounds("reports", false, func() error {
		var events int
		took, err := seconds(func() (err error) { events, err = readLog(ctx, w.Log); return err })
		if err != nil {
			return err
		}
		read.add(float64(events) / took)
		for _, name := range models {
			result, err := w.Engine.Results("bench", engine.ResultLimits{AtOnce: 1}).Make(ctx, name, engine.ResultOptions{})
			if err != nil {
				return err
			}
			rebuilt[name].add(float64(result.Events) / result.Took.Seconds())
			if err := result.Drop(ctx); err != nil {
				return err
			}
		}
		exporter, err := begin(ctx, part{Database: w.Address, MasterKey: w.masterKey, Export: true})
		if err != nil {
			return err
		}
		done, err := exporter.work(0)
		exported.add(done.Rate)
		memory.add(float64(done.Memory) / 1e6)
		return errors.Join(err, exporter.end())
	})
	var figures []Figure
	for _, name := range models {
		r, text := ratio(*rebuilt[name], read)
		figures = append(figures, Figure{
			What: fmt.Sprintf("a report on `%s` as of a time, %s events", name, grouped(float64(w.events))), Against: "reading the log alone",
			Ours: rateText("events", *rebuilt[name]), Floor: rateText("events", read), Ratio: text, Wanted: "≥ 0.5", Met: r >= 0.5,
			Note: "Folded into tables of its own beside the live ones, with their indexes. The history is of customers, by one actor: `sales` folds a row for each customer, `acts` a row for each event.",
		})
	}
	return append(figures, Figure{
		What: "the log as a Parquet file", Against: "reading the log alone", Ours: rateText("events", exported), Floor: rateText("events", read),
		Ratio: "", Wanted: "≥ 100 000 events/s", Met: exported.median() >= 100_000, Note: "`annal export events --format parquet`, personal fields sealed as they are, written to nowhere.",
	}, Figure{
		What: "its memory at most", Ours: fmt.Sprintf("%.0f MB", memory.median()), Wanted: "< 200 MB", Met: memory.median() < 200,
		Note: "As the Go runtime holds it from the system. Each export runs in a new process, as people run it: in the measuring one counts what the lines before have left behind.",
	}), err
}

// exportLog writes the whole log into a Parquet file that nobody keeps.
func exportLog(ctx context.Context, log eventlog.Log) (did, error) {
	var done export.Done
	began := time.Now()
	most, err := peak(func() (err error) {
		done, err = export.Events(ctx, log, io.Discard, export.Parquet, export.Options{})
		return err
	})
	return did{float64(done.Events) / time.Since(began).Seconds(), most}, err
}
