package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/rpc"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/transfer/export"
)

const (
	// workerCommand is how this program is started again as a [Worker].
	workerCommand = "bench-worker"

	// processCount is how many processes share the clients of one.
	processCount = 3
)

// Worker is what a process of its own does in a measurement. Its methods are called over its standard input and output.
type Worker struct {
	ctx      context.Context
	instance *app.Instance
	orders   Orders
	keeping  errgroup.Group
}

// Orders say where a worker works, and with what.
type Orders struct {
	Database, MasterKey string

	Clients int                 // who append, see [Worker.Append]
	Events  []eventlog.NewEvent // that they append
	Lease   time.Duration       // of the read models that the process keeps; 0: it keeps none
}

func isWorker() bool { return len(os.Args) == 2 && os.Args[1] == workerCommand }

// work serves a worker until its input ends.
func work(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	w := &Worker{ctx: ctx}
	if err := rpc.Register(w); err != nil {
		stop()
		return err
	}
	rpc.ServeConn(pipes{os.Stdin, os.Stdout})
	stop()
	err := w.keeping.Wait()
	if w.instance != nil {
		err = errors.Join(err, w.instance.Close())
	}
	return err
}

// pipes are a connection: the input and the output of a process.
type pipes struct {
	io.Reader
	io.WriteCloser
}

// Open is called first.
func (w *Worker) Open(orders Orders, _ *int) (err error) {
	w.orders = orders
	w.instance, err = app.Open(w.ctx, app.Config{DatabaseURL: orders.Database, MasterKey: orders.MasterKey, Projections: engine.Config{Lease: orders.Lease}})
	if err == nil && orders.Lease > 0 {
		w.keeping.Go(func() error { return w.instance.Engine.Run(w.ctx) })
	}
	return err
}

// Append lets the clients append for some time.
func (w *Worker) Append(span time.Duration, rate *float64) error {
	return try(func() { *rate, _ = stored(w.orders.Events).write(w.orders.Clients, span, into(w.ctx, w.instance.Log)) })
}

// Exported is the speed and the memory of an export.
type Exported struct {
	Rate   float64 // events a second
	Memory float64 // MB
}

// Export writes the whole log into a Parquet file that nobody keeps.
func (w *Worker) Export(_ int, done *Exported) error {
	return try(func() {
		done.Memory = peak(func() {
			done.Rate = rate(func() int64 {
				return int64(must(export.Events(w.ctx, w.instance.Log, io.Discard, export.Parquet, export.Options{})).Events)
			})
		})
	})
}

// process is one that runs a [Worker].
type process struct {
	*rpc.Client
	cmd *exec.Cmd
}

// begin starts this program once more and is back when the worker is ready.
func begin(ctx context.Context, orders Orders) *process {
	cmd := exec.CommandContext(ctx, must(os.Executable()), workerCommand)
	cmd.Stderr = os.Stderr
	in, out := must(cmd.StdinPipe()), must(cmd.StdoutPipe())
	check(cmd.Start())
	p := &process{rpc.NewClient(pipes{out, in}), cmd}
	if err := p.Call("Worker.Open", orders, nil); err != nil {
		p.kill()
		check(fmt.Errorf("another process: %w", err))
	}
	return p
}

// end lets the process end by itself.
func (p *process) end() error { return errors.Join(p.Close(), p.cmd.Wait()) }

// kill ends it at once, also if it is paused.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// severalProcesses measures what it costs to share the work, and how long read models stand still when their process ends.
func severalProcesses(ctx context.Context, b *bench) {
	b.sharedAppends(ctx)
	b.takeovers(ctx)
}

func (b *bench) sharedAppends(ctx context.Context) {
	a := b.appendWorld(ctx)
	var processes []*process // the first has all clients, the others share as many
	for i := range 1 + processCount {
		orders := Orders{Database: a.Address, MasterKey: a.masterKey, Events: a.events, Clients: clients}
		if i > 0 {
			orders.Clients = (clients + i - 1) / processCount
		}
		p := begin(ctx, orders)
		defer p.end()
		processes = append(processes, p)
	}
	appending := func(processes []*process) func() float64 {
		return func() (sum float64) {
			var group errgroup.Group
			rates := make([]float64, len(processes))
			for i, p := range processes {
				group.Go(func() error { return p.Call("Worker.Append", b.span/2, &rates[i]) })
			}
			check(group.Wait())
			for _, rate := range rates {
				sum += rate
			}
			return sum
		}
	}
	b.measure(true, &Figure{
		What: fmt.Sprintf("durable append, %d clients in %d processes", clients, processCount), Against: "the same clients in one process", Unit: "appends/s", Wanted: "≥ 0.8",
		Note: "On one Postgres. The clients are in the processes.",
		ours: appending(processes[1:]), floor: appending(processes[:1]), twice: true,
	})
}

// takeovers ends and pauses the process that keeps the read models while another one stands by.
func (b *bench) takeovers(ctx context.Context) {
	w := b.short(ctx)
	orders := Orders{Database: w.Address, MasterKey: w.masterKey, Lease: b.lease}
	keeper := begin(ctx, orders)
	defer func() { keeper.kill() }()
	w.folded(ctx)
	for _, how := range []struct {
		signal       syscall.Signal
		name, wanted string
		times        int
	}{{syscall.SIGKILL, "SIGKILL", "< 5 s", b.kills}, {syscall.SIGSTOP, "SIGSTOP", "< 15 s", b.pauses}} {
		var took []time.Duration
		for n := range how.times {
			b.say("%s %d of %d", how.name, n+1, how.times)
			ended := keeper
			defer ended.kill() // also where the other one does not take over
			keeper = begin(ctx, orders)
			time.Sleep(rand.N(b.lease / 3)) // anywhere between two renewals
			began := time.Now()
			check(ended.cmd.Process.Signal(how.signal))
			w.folded(ctx)
			took = append(took, time.Since(began))
			ended.kill()
		}
		b.figures = append(b.figures, &Figure{
			What: fmt.Sprintf("takeover of the read models after %s, p99", how.name), Unit: "s", Wanted: how.wanted, Ours: series{percentile(took, 99)},
			Note: fmt.Sprintf("Of %d, median %.2f s, with a lease of %v: from the signal until another process has folded an event that came after it into all %d read models.",
				how.times, percentile(took, 50), b.lease, len(app.Models())),
		})
	}
}

// folded appends an event and is back when all read models have it.
func (w *world) folded(ctx context.Context) {
	check(w.open(ctx))
	check(w.CaughtUp(ctx))
}
