// Command bench measures this machine: what Annal does beside the floor, the least that any program would have to do here
// for the same result.
//
// It starts a Postgres of its own in a temporary directory, as Annal serves with, fills it with a history of customers, and
// measures line after line; for some it starts itself again as a [Worker]. What is measured and its floor alternate, round
// by round, so that the machine's moods hit both; figures are medians of the rounds. Nothing of the user's is read or
// written, and nothing is left behind.
package main

import (
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

// size says how much is measured.
type size struct {
	events   int           // of the long history
	rounds   int           // of each line
	span     time.Duration // of one side of a round where that can be chosen
	patience time.Duration // no further round of a line is begun that would end later
	stored   int           // events to catch up with in EventStoreDB
	proofs   uint64        // events in the tree in which proofs are measured
	lease    time.Duration // of the read models that are taken over, see engine.Config
	kills    int           // of the process that keeps them
	pauses   int           // and how often it is only paused
}

// The full run takes about ten minutes, and up to 8 GB on the disk meanwhile.
var (
	full  = size{1_000_000, 3, 3 * time.Second, 100 * time.Second, 500_000, 10_000_000, 3 * time.Second, 10, 4}
	quick = size{100_000, 2, 800 * time.Millisecond, 12 * time.Second, 50_000, 1_000_000, 3 * time.Second, 3, 1}
)

// limit bounds a run on a machine that is slower than any we have thought of.
const limit = 30 * time.Minute

// lines are what can be measured; each gives some figures. The order is that in which a history is made and used up.
var lines = []struct {
	name    string
	measure func(context.Context, *bench)
}{
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

func lineNames() (names []string) {
	for _, l := range lines {
		names = append(names, l.name)
	}
	return names
}

// bench is a run.
type bench struct {
	size
	progress func(string)
	line     string // that is being measured
	scratch  string // the temporary directory
	server   *embedded.Server
	worlds   map[string]*world
	appends  *appends
	figures  []*Figure
}

// measure runs the lines of some names, all if there are none. It takes the machine for itself: other programs that run
// meanwhile are measured too.
func measure(ctx context.Context, size size, only []string, progress func(string)) (r Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r = Report{Flags: strings.Join(os.Args[1:], " "), Began: time.Now()}
	b := &bench{size: size, progress: progress, worlds: make(map[string]*world)}
	if b.scratch, err = os.MkdirTemp("", "annal-bench-"); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := os.Chmod(b.scratch, 0o711); err != nil { // for root's sake, whose Postgres runs as another user
		return r, err
	}
	if b.server, err = embedded.Start(ctx, filepath.Join(b.scratch, "data"), embedded.Config{}); err != nil {
		return r, err
	}

	for _, l := range lines {
		if len(only) > 0 && !slices.Contains(only, l.name) {
			continue
		}
		b.line = l.name
		if err := try(func() { l.measure(ctx, b) }); err != nil {
			return r, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	r.Figures = b.figures
	r.Took = time.Since(r.Began)
	return r, try(func() { r.Machine = b.machine(ctx) })
}

// failure is an error that ends the line that is being measured, as [testing.B.Fatal] does. It is thrown on the line's own
// goroutine only: calls that many clients make at once return their errors.
type failure struct{ error }

func try(measure func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.error
		default:
			panic(r)
		}
	}()
	measure()
	return nil
}

func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func (b *bench) say(format string, args ...any) {
	b.progress(b.line + ": " + fmt.Sprintf(format, args...))
}

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
