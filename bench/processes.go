package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
)

// PartCommand is the subcommand by which a measurement starts the program again: it has to run [Part].
const PartCommand = "bench-part"

// processCount is how many processes share the clients of one.
const processCount = 3

// part is what a process of its own does in a measurement.
type part struct {
	Database, MasterKey string
	// Appending: so many clients, each over and over for the spans that come after this. Exporting: the log into a file for each
	// span, however long. Else the process keeps the read models.
	Clients int
	Export  bool
	Events  []eventlog.NewEvent
	Lease   time.Duration // see [engine.Config]; in tests shorter than as served
}

// Part does what its parent orders on in, as lines of JSON, and answers on out. It ends with in.
func Part(ctx context.Context, in io.Reader, out io.Writer) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	var p part
	if err := orders.Decode(&p); err != nil {
		return err
	}
	i, err := app.Open(ctx, app.Config{DatabaseURL: p.Database, MasterKey: p.MasterKey, Projections: engine.Config{Lease: p.Lease}})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var keeping errgroup.Group
	defer func() { stop(); _ = keeping.Wait(); i.Close() }()
	if p.Clients == 0 && !p.Export {
		keeping.Go(func() error { return i.Engine.Run(ctx) })
	}
	for done := (did{}); ; {
		if err := answers.Encode(done); err != nil { // the first says that it is ready
			return err
		}
		var span time.Duration
		if err := orders.Decode(&span); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if p.Export {
			if done, err = exportLog(ctx, i.Log); err != nil {
				return err
			}
			continue
		}
		who := newWriters(p.Clients, p.Events)
		done.Rate, _, err = load(ctx, p.Clients, span, func(ctx context.Context, client, n int) (bool, error) {
			s, expected, e := who.next(client, n)
			_, err := i.Log.Append(ctx, s, expected, e)
			return true, err
		})
		if err != nil {
			return err
		}
	}
}

// did is what a part has done in a span.
type did struct {
	Rate   float64 // appends or events a second
	Memory uint64  // most that was held, in bytes; of an export
}

// partner is a process that runs a [Part].
type partner struct {
	cmd     *exec.Cmd
	orders  *json.Encoder
	answers *json.Decoder
	in      io.Closer
}

// begin starts this program once more and is back when the part is ready.
func begin(ctx context.Context, p part) (*partner, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, PartCommand)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	started := &partner{cmd, json.NewEncoder(in), json.NewDecoder(out), in}
	if err = started.orders.Encode(p); err == nil {
		_, err = started.answer()
	}
	if err != nil {
		started.kill()
		return nil, fmt.Errorf("another process: %w", err)
	}
	return started, nil
}

func (p *partner) answer() (done did, err error) {
	err = p.answers.Decode(&done)
	return done, err
}

// work lets the process work for a span.
func (p *partner) work(span time.Duration) (did, error) {
	if err := p.orders.Encode(span); err != nil {
		return did{}, err
	}
	return p.answer()
}

// end lets the process end by itself.
func (p *partner) end() error {
	p.in.Close()
	return p.cmd.Wait()
}

// kill ends it at once, also if it is paused.
func (p *partner) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// appendShared appends by several processes at once.
func appendShared(processes []*partner, span time.Duration) (rate float64, err error) {
	for _, p := range processes {
		if err := p.orders.Encode(span); err != nil {
			return 0, err
		}
	}
	for _, p := range processes {
		done, err := p.answer()
		if err != nil {
			return 0, err
		}
		rate += done.Rate
	}
	return rate, nil
}

// severalProcesses measures what it costs to share the work, and how long read models stand still when their process ends.
func severalProcesses(ctx context.Context, b *bench) ([]Figure, error) {
	w, _, events, err := b.appendWorld(ctx)
	if err != nil {
		return nil, err
	}
	shared, err := b.measureShared(ctx, part{Database: w.Address, MasterKey: w.masterKey, Events: events})
	if err != nil {
		return nil, err
	}
	lost, err := b.measureTakeover(ctx)
	return append(shared, lost...), err
}

func (b *bench) measureShared(ctx context.Context, p part) (figures []Figure, err error) {
	var processes []*partner // the first has all clients, the others share as many
	defer func() {
		for _, p := range processes {
			err = errors.Join(err, p.end())
		}
	}()
	for i := range 1 + processCount {
		if p.Clients = clients; i > 0 {
			p.Clients = (clients + i - 1) / processCount
		}
		started, err := begin(ctx, p)
		if err != nil {
			return nil, err
		}
		processes = append(processes, started)
	}
	var many, one series
	const turns = 2 // of a round, so that what the disk is doing meanwhile hits both
	err = b.rounds("processes", true, func() error {
		var apart, together float64
		for range turns {
			for _, side := range []struct {
				who []*partner
				sum *float64
			}{{processes[:1], &together}, {processes[1:], &apart}} {
				rate, err := appendShared(side.who, b.span()/turns)
				if err != nil {
					return err
				}
				*side.sum += rate / turns
			}
		}
		one.add(together)
		many.add(apart)
		return nil
	})
	if err != nil {
		return nil, err
	}
	one, many = one[1:], many[1:] // the first round was to warm up
	share, shares := ratio(many, one)
	return []Figure{{
		What: fmt.Sprintf("durable append, %d clients in %d processes", clients, processCount), Against: "the same clients in one process",
		Ours: rateText("appends", many), Floor: rateText("appends", one), Ratio: shares, Wanted: "≥ 0.8", Met: share >= 0.8,
		Note: "On one Postgres. The clients are in the processes.",
	}}, nil
}

// measureTakeover ends and pauses the process that keeps the read models while another one stands by.
func (b *bench) measureTakeover(ctx context.Context) (figures []Figure, err error) {
	w, err := b.short(ctx)
	if err != nil {
		return nil, err
	}
	lease, kills, pauses := 3*time.Second, 10, 4
	switch {
	case b.config.instant > 0:
		lease, kills, pauses = 400*time.Millisecond, 1, 1
	case b.config.Quick:
		kills, pauses = 3, 1
	}
	p := part{Database: w.Address, MasterKey: w.masterKey, Lease: lease}
	var pair [2]*partner
	defer func() {
		for _, p := range pair {
			if p != nil {
				p.kill()
			}
		}
	}()
	for _, how := range []struct {
		signal       syscall.Signal
		name, wanted string
		times        int
		limit        float64 // seconds
	}{{syscall.SIGKILL, "SIGKILL", "< 5 s", kills, 5}, {syscall.SIGSTOP, "SIGSTOP", "< 15 s", pauses, 15}} {
		var took []time.Duration
		for n := range how.times {
			b.say("processes: %s %d of %d", how.name, n+1, how.times)
			for i := range pair {
				if pair[i] == nil {
					if pair[i], err = begin(ctx, p); err != nil {
						return nil, err
					}
				}
			}
			keeper, err := w.keeper(ctx, pair)
			if err != nil {
				return nil, err
			}
			time.Sleep(rand.N(lease / 3)) // anywhere between two renewals
			began := time.Now()
			if err := pair[keeper].cmd.Process.Signal(how.signal); err != nil {
				return nil, err
			}
			if err := w.open(ctx); err != nil {
				return nil, err
			}
			if err := w.CaughtUp(ctx); err != nil {
				return nil, err
			}
			took = append(took, time.Since(began))
			pair[keeper].kill()
			pair[keeper] = nil
		}
		slowest := percentile(took, 99)
		figures = append(figures, Figure{
			What: fmt.Sprintf("takeover of the read models after %s, p99", how.name), Ours: fmt.Sprintf("%.2f s", slowest), Wanted: how.wanted, Met: slowest < how.limit,
			Note: fmt.Sprintf("Of %d, median %.2f s, with a lease of %v: from the signal until another process has folded an event that came after it into all %d read models.",
				how.times, percentile(took, 50), lease, len(app.Models())),
		})
	}
	return figures, nil
}

// keeper waits until two processes keep all read models, and returns the one that keeps more of them.
func (w *world) keeper(ctx context.Context, pair [2]*partner) (int, error) {
	for {
		statuses, err := w.Engine.Statuses(ctx)
		if err != nil {
			return 0, err
		}
		var keeps [len(pair)]int
		for _, s := range statuses {
			for i, p := range pair {
				if s.State == engine.Live && strings.HasSuffix(s.Runner, fmt.Sprintf(":%d", p.cmd.Process.Pid)) {
					keeps[i]++
				}
			}
		}
		if keeps[0]+keeps[1] == len(statuses) {
			if keeps[1] > keeps[0] {
				return 1, nil
			}
			return 0, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
