package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/export"
)

type exportCmd struct {
	Events exportEventsCmd `cmd:"" help:"Write events as a file for tools of your own."`
}

type exportEventsCmd struct {
	place
	Format   string   `help:"${enum}: DuckDB, Arrow, Spark and pandas read parquet." enum:"parquet,ndjson" default:"ndjson"`
	Output   string   `help:"Into this file. Default: standard output." type:"path" placeholder:"FILE"`
	After    string   `help:"Only what comes after this position of the log: where the last file ended." placeholder:"N"`
	To       string   `help:"Only up to this position. Default: the end of the log." placeholder:"N"`
	Type     []string `help:"Events of these types alone." placeholder:"NAME"`
	Personal bool     `help:"With personal fields open. Default: sealed, as the log has them."`

	Organization string `help:"Those of one organization alone, by its name." placeholder:"NAME"`
}

// Run streams: its memory does not depend on how much there is.
func (c exportEventsCmd) Run(ctx context.Context) (err error) {
	options := export.Options{Types: c.Type}
	for _, bound := range []struct {
		flag, text string
		into       *eventlog.Position
	}{{"after", c.After, &options.After}, {"to", c.To, &options.To}} {
		if bound.text == "" {
			continue
		}
		if *bound.into, err = eventlog.ParsePosition(bound.text); err != nil {
			return fmt.Errorf("--%s %s: a position is a whole number", bound.flag, bound.text)
		}
	}
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	if c.Organization != "" {
		if options.Organization, err = named(ctx, i, c.Organization); err != nil {
			return err
		}
	}
	if c.Personal {
		options.Open = i.Book
	}
	var out io.Writer = os.Stdout
	if c.Output != "" {
		file, err := os.Create(c.Output)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = file
	}
	buffered := bufio.NewWriterSize(out, 1<<20)
	bar := newProgress("export")
	options.Progress = func(part float64) { bar.at("export", part) }
	done, err := export.Events(ctx, i.Log, buffered, export.Format(c.Format), options)
	bar.finish()
	if err = errors.Join(err, buffered.Flush()); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d events, up to position %s: what comes later is had by --after %[2]s\n", done.Events, done.Position)
	return nil
}
