package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/transfer/importer"
)

type importCmd struct {
	CSV     importCSVCmd     `cmd:"" name:"csv" default:"withargs" help:"Import CSV files as a mapping says; annal import DIR is the same. Importing again adds only what has changed in the files."`
	AuthLog importAuthLogCmd `cmd:"" help:"Import the attempts to sign in from the log of an OpenSSH server, into a separate organization, to try lockout rules on them (annal audit what-if). Importing again adds what is new in the file."`
}

type importCSVCmd struct {
	place
	founding
	Dir     string `arg:"" type:"existingdir" help:"The directory with the CSV files."`
	Mapping string `required:"" type:"existingfile" help:"The mapping file: which column becomes what. examples/ has one to copy."`
	Strict  bool   `help:"All or nothing: import nothing if a single row is bad."`
}

// shown is how many bad rows are named one by one.
const shown = 20

// Run imports beside a running Annal or without one; the read models follow when one runs.
func (c importCSVCmd) Run(ctx context.Context) error {
	file, err := os.Open(c.Mapping)
	if err != nil {
		return err
	}
	defer file.Close()
	mapping, err := importer.ParseMapping(file)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Mapping, err)
	}
	plan, err := importer.Read(mapping, c.Dir, commands.Home)
	if err != nil {
		return err
	}
	if c.Strict && len(plan.Bad) > 0 {
		return nothing(plan.Bad)
	}
	i, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	started, err := c.found(ctx, i, time.Time{})
	if err != nil {
		return err
	}
	if started.Password != "" {
		fmt.Printf("made the administrator %s with the password %s (shown once)\n", commands.AdministratorName, started.Password)
	}
	program, err := i.Commands.System(ctx, commands.Home)
	if err != nil {
		return err
	}
	if c.Strict {
		if err := plan.Check(ctx, i.Commands, program); err != nil {
			return err
		}
		if len(plan.Bad) > 0 {
			return nothing(plan.Bad)
		}
	}
	bar := newProgress("importing")
	summary, err := plan.Run(ctx, i.Commands, program, importer.Config{
		Progress: func(done, total int) { bar.at("importing", float64(done)/float64(max(total, 1))) },
	})
	bar.finish()
	for _, n := range summary.Counts {
		fmt.Printf("%-12s %6d added  %6d changed  %6d unchanged  %6d bad\n", n.Kind, n.Added, n.Changed, n.Unchanged, n.Bad)
		if n.Erased > 0 {
			fmt.Printf("%-12s %6d erased: they are not brought back\n", n.Kind, n.Erased)
		}
	}
	printBadRows(summary.Bad)
	if err != nil {
		return err
	}
	if len(summary.Bad) > 0 {
		return fmt.Errorf("%d bad rows were left out", len(summary.Bad))
	}
	return nil
}

func nothing(bad []importer.BadRow) error {
	printBadRows(bad)
	return fmt.Errorf("nothing was imported: %d bad rows", len(bad))
}

func printBadRows(rows []importer.BadRow) {
	for _, r := range rows[:min(len(rows), shown)] {
		fmt.Fprintf(os.Stderr, "%s:%d: %s\n", r.File, r.Line, r.Reason)
	}
	if more := len(rows) - shown; more > 0 {
		fmt.Fprintf(os.Stderr, "and %d more\n", more)
	}
}
