package main

import (
	"context"
	"fmt"

	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/sales"
)

// analysts measures what analysts wait for: a report folded again for a question, and the log written into a Parquet file.
func analysts(ctx context.Context, b *bench) {
	w := b.long(ctx)
	memory := &Figure{
		What: "its memory at most", Unit: "MB", Wanted: "< 200 MB",
		Note: "As the Go runtime holds it from the system. Each export runs in a new process, as people run it: in the measuring one counts what the lines before have left behind.",
	}
	parquet := &Figure{
		What: "the log as a Parquet file", Against: "reading the log alone", Unit: "events/s", Wanted: "≥ 100 000 events/s",
		Note: "`annal export events --format parquet`, personal fields sealed as they are, written to nowhere.",
		ours: func() float64 {
			exporter := begin(ctx, Orders{Database: w.Address, MasterKey: w.masterKey})
			var done Exported
			check(exporter.Call("Worker.Export", 0, &done))
			check(exporter.end())
			memory.Ours.add(done.Memory)
			return done.Rate
		},
		floor: w.reading(ctx),
	}

	var figures []*Figure
	for _, model := range []string{sales.Model.Name, acts.Model.Name} {
		figures = append(figures, &Figure{
			What: fmt.Sprintf("a report on `%s` as of a time, %s events", model, grouped(w.events)), Against: "reading the log alone", Unit: "events/s", Wanted: "≥ 0.5",
			Note:  "Folded into tables of its own beside the live ones, with their indexes. The history is of customers, by one actor: `sales` folds a row for each customer, `acts` a row for each event.",
			floor: w.reading(ctx),
			ours: func() float64 {
				result := must(w.Engine.Results("bench", engine.ResultLimits{AtOnce: 1}).Make(ctx, model, engine.ResultOptions{}))
				check(result.Drop(ctx))
				return float64(result.Events) / result.Took.Seconds()
			},
		})
	}
	b.measure(false, append(figures, parquet, memory)...)
}
