package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/annal-crm/annal/eventlog"
)

type logCmd struct {
	Stats logStatsCmd `cmd:"" help:"Show how many events the log has, by type, their dates and their size."`
	Copy  logCopyCmd  `cmd:"" help:"Copy the log to another place, EventStoreDB or Postgres, and verify the copy. If it was stopped, run it again and it continues. Exit status 3: the copy differs; 4: the source has grown meanwhile."`
}

type logStatsCmd struct{ place }

// Run reads the whole log: seconds for millions of events, on any log.
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
	var events, streams, size int
	var first, last string
	types := make(map[string]int)
	for e, err := range eventlog.Events(eventlog.Pages(ctx, i.Log, 0, eventlog.End, eventlog.PageSize)) {
		if err != nil {
			return err
		}
		if last = e.RecordedAt.Format("2006-01-02 15:04:05"); events == 0 {
			first = last
		}
		if e.Version == 1 {
			streams++
		}
		events++
		size += len(e.Data) + len(e.Meta)
		types[e.Type]++
	}
	fmt.Printf("log %s: %d events in %d streams, %.1f MB of data and metadata\n", identity, events, streams, float64(size)/1e6)
	if events == 0 {
		return nil
	}
	fmt.Printf("recorded %s to %s (UTC)\n\n", first, last)
	names := make([]string, 0, len(types))
	for name := range types {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if n := types[b] - types[a]; n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, name := range names {
		fmt.Fprintf(w, "%d\t  %s\t\n", types[name], name)
	}
	return w.Flush()
}
