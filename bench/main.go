package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is what the command line takes.
type cli struct {
	Only  []string `help:"Measure these alone: ${lines}." placeholder:"NAME" enum:"${lines}"`
	Quick bool     `help:"A first impression in a few minutes: a shorter history, fewer and shorter rounds."`
	Write string   `help:"Write the result as Markdown, too; what people have added to the file stays." placeholder:"FILE" type:"path"`
}

func (c *cli) options() []kong.Option {
	return []kong.Option{
		kong.Name("bench"),
		kong.Description("Measures this machine: each figure of Annal beside its floor, on a Postgres of its own that is gone afterwards."),
		kong.Vars{"lines": strings.Join(lineNames(), ",")},
	}
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
	if isWorker() {
		return work(ctx)
	}

	var c cli
	kong.Parse(&c, c.options()...)
	size := full
	if c.Quick {
		size = quick
	}
	report, err := measure(ctx, size, c.Only, func(what string) { fmt.Fprintln(os.Stderr, what) })
	if err != nil {
		return err
	}
	if err := report.text(os.Stdout); err != nil || c.Write == "" {
		return err
	}
	return report.write(c.Write)
}
