package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is what the command line takes.
type cli struct {
	Only    []string `help:"Measure these alone: ${lines}." placeholder:"NAME"`
	Quick   bool     `help:"A first impression in two minutes: a shorter history, shorter rounds."`
	Events  int      `help:"Events of the long history. Default: 1000000, or 100000 with --quick. A million take about 8 GB on the disk for some minutes." placeholder:"N"`
	Write   string   `help:"Write the result as Markdown, too; what people have added to the file stays." placeholder:"FILE" type:"path"`
	TempDir string   `help:"Where to put the data meanwhile. Default: as the system says." placeholder:"DIR" type:"path"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	// As the server runs; see cmd/annal.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}

	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) == 2 && os.Args[1] == PartCommand {
		return Part(ctx, os.Stdin, os.Stdout)
	}

	var c cli
	kong.Parse(&c,
		kong.Name("bench"),
		kong.Description("Measures this machine: each figure of Annal beside its floor, on a temporary Postgres."),
		kong.Vars{"lines": strings.Join(Lines(), ", ")},
	)
	return c.measure(ctx)
}

// measure prints the report, and writes it if asked to.
func (c cli) measure(ctx context.Context) error {
	report, err := Run(ctx, Config{
		Only:     c.Only,
		Quick:    c.Quick,
		Events:   c.Events,
		TempDir:  c.TempDir,
		Progress: func(what string) { fmt.Fprintln(os.Stderr, what) },
	})
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
