package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/transfer/export"
)

type exportCmd struct {
	Events exportEventsCmd `cmd:"" help:"Write events to a file that other tools read."`
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
	if c.To != "" && options.To <= options.After {
		return fmt.Errorf("--to %s: must be greater than --after %s: nothing is between them", options.To, options.After)
	}
	for _, name := range c.Type {
		if unknown := eventcodec.Unknown(name); unknown != "" {
			return fmt.Errorf("--type: %s", unknown)
		}
	}
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	head, err := i.Log.Head(ctx)
	if err != nil {
		return err
	}
	for flag, at := range map[string]eventlog.Position{"after": options.After, "to": options.To} {
		if at > head {
			return fmt.Errorf("--%s %s: the log ends at %s", flag, at, head)
		}
	}
	if c.Organization != "" {
		if options.Organization, err = named(ctx, i, c.Organization); err != nil {
			return err
		}
	}
	if c.Personal {
		options.Open = i.Codec
	}
	if err := c.onRecord(ctx, i, head, &options); err != nil {
		return err
	}
	out, err := create(c.Output)
	if err != nil {
		return err
	}
	defer func() { err = out.end(err) }()
	buffered := bufio.NewWriterSize(out, 1<<20)
	bar := newProgress("export")
	options.Progress = func(part float64) { bar.at("export", part) }
	done, err := export.Events(ctx, i.Log, buffered, export.Format(c.Format), options)
	bar.finish()
	if err = errors.Join(err, buffered.Flush()); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d events, up to position %s; to export what comes later, use --after %[2]s\n", done.Events, done.Position)
	return nil
}

// onRecord puts on record what is written, before it is: up to the end of the log as it is now, if nothing else was said.
func (c exportEventsCmd) onRecord(ctx context.Context, i *app.Instance, head eventlog.Position, o *export.Options) error {
	if o.To == 0 {
		o.To = head
	}
	wish := audit.LogExported{Of: []string{"after=" + o.After.String(), "to=" + o.To.String()}, Personal: c.Personal, Format: c.Format}
	for _, name := range o.Types {
		wish.Of = append(wish.Of, "type="+name)
	}
	of := commands.Home
	if o.Organization != uuid.Nil {
		of = o.Organization
		wish.Of = append(wish.Of, "organization="+of.String())
	}
	if counter, ok := i.Log.(eventlog.Counter); ok && len(wish.Of) == 2 && o.After < o.To {
		after, failed := counter.CountAfter(ctx, o.After)
		later, err := counter.CountAfter(ctx, o.To)
		if err := errors.Join(failed, err); err != nil {
			return err
		}
		wish.Events = after - later
	}
	return recorded(ctx, i, of, i.Commands.ExportLog, wish)
}
