package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
)

type logCmd struct {
	Stats logStatsCmd `cmd:"" help:"How many events of which type, since when, how large."`
}

type logStatsCmd struct{ place }

// Run reads what Postgres knows of the log's table.
func (c logStatsCmd) Run(ctx context.Context) error {
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	identity, err := i.Log.Identity(ctx)
	if err != nil {
		return err
	}
	stats, err := i.Log.Stats(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("log %s: %d events in %d streams, %.1f MB with indexes\n", identity, stats.Events, stats.Streams, float64(stats.Bytes)/1e6)
	if stats.Events == 0 {
		return nil
	}
	const form = "2006-01-02 15:04:05"
	fmt.Printf("recorded %s to %s (UTC)\n\n", stats.First.Format(form), stats.Last.Format(form))
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, t := range stats.Types {
		fmt.Fprintf(w, "%d\t  %s\t\n", t.Events, t.Type)
	}
	return w.Flush()
}
