// Command bench measures this machine: what Annal does beside the floor, the least that any program would have to do here
// for the same result.
//
// [Run] starts a Postgres of its own in a temporary directory, as Annal serves with, fills it with a history of customers,
// and measures line after line; for some it starts the program again, which then has to run [Part]. What is measured and its floor alternate, round by round, so that the machine's moods hit
// both; figures are medians of the rounds. Nothing of the user's is read or written, and nothing is left behind.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/annal-crm/annal/internal/embedded"
)

// Config says what to measure. The zero value is the full run: about ten minutes, and up to 8 GB on the disk meanwhile.
type Config struct {
	Only     []string     // names of [Lines]; none: all
	Events   int          // of the long history; 1 000 000, or 100 000 if Quick
	Quick    bool         // two short rounds of each line instead of three longer ones
	TempDir  string       // where the temporary directory is made; as the system says
	Progress func(string) // told what is being done

	instant time.Duration // in tests: one round of each line, each side of it as long as this
}

// limit bounds a run on a machine that is slower than any we have thought of.
const limit = 30 * time.Minute

// Figure is a line of the result: what was measured, beside its floor.
type Figure struct {
	What, Against string
	Ours, Floor   string // medians, with units
	Ratio         string
	Wanted        string
	Met           bool
	Note          string // what a reader needs to know to believe it
}

// line is something to measure. It may give several figures.
type line struct {
	name    string
	measure func(context.Context, *bench) ([]Figure, error)
}

// The order is that in which a history is made and used up.
var lines = []line{
	{"append", appendMany},
	{"single", appendOne},
	{"live", foldLive},
	{"reproject", reprojectCustomers},
	{"activity", reprojectActivity},
	{"page", servePage},
	{"growth", growth},
	{"latency", latency},
	{"eventstore", eventStore},
	{"audit", audit},
	{"past", thePast},
	{"reports", analysts},
	{"processes", severalProcesses},
}

// Lines are the names of what can be measured.
func Lines() (names []string) {
	for _, l := range lines {
		names = append(names, l.name)
	}
	return names
}

// bench is a run.
type bench struct {
	config  Config
	scratch string // the temporary directory
	server  *embedded.Server
	worlds  map[string]*world
}

// Run measures. It takes the machine for itself: whatever else runs meanwhile is measured too.
func Run(ctx context.Context, config Config) (r Report, err error) {
	r = Report{Config: config, Began: time.Now()}
	config.Events = cmp.Or(config.Events, map[bool]int{false: 1_000_000, true: 100_000}[config.Quick])
	if config.Progress == nil {
		config.Progress = func(string) {}
	}
	r.Config = config
	for _, name := range config.Only {
		if !slices.Contains(Lines(), name) {
			return r, fmt.Errorf("bench: there is no line %q; there are %s", name, strings.Join(Lines(), ", "))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	b := &bench{config: config, worlds: make(map[string]*world)}
	if b.scratch, err = os.MkdirTemp(config.TempDir, "annal-bench-"); err != nil {
		return r, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := os.Chmod(b.scratch, 0o711); err != nil { // for root's sake, whose Postgres runs as another user
		return r, err
	}
	if b.server, err = embedded.Start(ctx, b.dir(), embedded.Config{}); err != nil {
		return r, err
	}
	for _, l := range lines {
		if len(config.Only) > 0 && !slices.Contains(config.Only, l.name) {
			continue
		}
		figures, err := l.measure(ctx, b)
		if err != nil {
			return r, fmt.Errorf("bench: %s: %w", l.name, err)
		}
		r.Figures = append(r.Figures, figures...)
	}
	r.Took = time.Since(r.Began)
	r.Machine, err = b.machine(ctx)
	return r, err
}

func (b *bench) dir() string { return filepath.Join(b.scratch, "data") }

func (b *bench) say(format string, args ...any) { b.config.Progress(fmt.Sprintf(format, args...)) }

// close ends everything and removes the directory.
func (b *bench) close() error {
	var errs []error
	for _, w := range b.worlds {
		errs = append(errs, w.Close())
	}
	if b.server != nil {
		errs = append(errs, b.server.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.scratch))...)
}
