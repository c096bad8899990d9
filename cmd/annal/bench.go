package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/annal-crm/annal/internal/bench"
)

type benchCmd struct {
	Only    []string `help:"Measure these alone: append, single, live, reproject, activity, page, growth, latency, eventstore, audit, past, processes." placeholder:"NAME"`
	Quick   bool     `help:"A first impression in two minutes: a shorter history, shorter rounds."`
	Events  int      `help:"Events of the long history. Default: 1000000, or 100000 with --quick. A million take about 8 GB on the disk for some minutes." placeholder:"N"`
	Write   string   `help:"Write the result as Markdown, too; what people have added to the file stays." placeholder:"FILE" type:"path"`
	TempDir string   `help:"Where to put the data meanwhile. Default: as the system says." placeholder:"DIR" type:"path"`
}

// Run measures on a Postgres of its own that is gone afterwards; it touches no data directory.
func (c benchCmd) Run(ctx context.Context) error {
	report, err := bench.Run(ctx, bench.Config{Only: c.Only, Quick: c.Quick, Events: c.Events, TempDir: c.TempDir,
		Progress: func(what string) { fmt.Fprintln(os.Stderr, what) }})
	if err != nil {
		return err
	}
	if err := report.Text(os.Stdout); err != nil {
		return err
	}
	if c.Write == "" {
		return nil
	}
	former, err := os.ReadFile(c.Write)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.Create(c.Write)
	if err != nil {
		return err
	}
	return errors.Join(report.Markdown(f, string(former)), f.Close())
}

type benchPartCmd struct{}

// Run does what the annal bench that has started it says, on a database of that.
func (benchPartCmd) Run(ctx context.Context) error { return bench.Part(ctx, os.Stdin, os.Stdout) }
