package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/transparency"
)

// renamed is a log under an identity of its own, so that a tree over it begins with nothing.
type renamed struct {
	eventlog.Log
	id uuid.UUID
}

func (r renamed) Identity(context.Context) (uuid.UUID, error) { return r.id, nil }

// freshTree is a tree over a log that has not grown yet.
func (w *world) freshTree(ctx context.Context, log eventlog.Log) *transparency.Tree {
	key := transparency.KeySource{Value: transparency.NewKey()}
	tree, _, err := transparency.Open(ctx, w.Pool, renamed{log, uuid.New()}, transparency.Config{Key: key})
	check(err)
	return tree
}

// audit measures the Merkle tree over the log: growing, verifying, proving, and what it costs those who append.
func audit(ctx context.Context, b *bench) {
	w := b.long(ctx)
	b.say("a tree over %s events", grouped(b.proofs))
	page := must(w.Log.ReadAll(ctx, 0, logPage))
	apart := b.world(ctx, "proofs", 0) // in one database there are only trees that continue each other
	far := apart.freshTree(ctx, repeated{w.Log, page, eventlog.Position(b.proofs)})
	must(far.Checkpoint(ctx))

	var near *transparency.Tree // of this round
	var checkpoint transparency.Checkpoint
	grow := func() float64 {
		near = w.freshTree(ctx, w.Log)
		return rate(func() uint64 {
			checkpoint = must(near.Checkpoint(ctx))
			return checkpoint.Size
		})
	}
	verify := func() float64 {
		return rate(func() uint64 {
			v := must(near.Verify(ctx, transparency.VerifyOptions{Checkpoint: checkpoint.Note}))
			if !v.OK || v.Signed != checkpoint.Size {
				check(fmt.Errorf("a log that nobody touched: %s", v.Problem))
			}
			return v.Signed
		})
	}
	hash := func() float64 {
		h := sha256.New()
		var sum [sha256.Size]byte
		return rate(func() int {
			return w.readLog(ctx, func(e eventlog.Event) {
				h.Reset()
				h.Write(e.Data)
				h.Write(e.Meta)
				h.Sum(sum[:0])
			})
		})
	}
	prove := func(tree **transparency.Tree, events uint64) func() error {
		return func() error {
			_, err := (*tree).Prove(ctx, eventlog.Position(1+rand.Uint64N(events)))
			return err
		}
	}
	b.measure(false, &Figure{
		What: fmt.Sprintf("growing the tree over %s events", grouped(w.events)), Against: "reading the log alone", Unit: "events/s", Wanted: "≥ 20 000/s",
		Note: "From nothing, with the signing of a checkpoint at the end.",
		ours: grow, floor: w.reading(ctx),
	}, &Figure{
		What: "verifying the whole log", Against: "reading it and SHA-256 of each event's data and metadata", Unit: "events/s", Wanted: "≥ 150 000/s and ≥ 0.6",
		Note: "It reads, hashes and compares with the stored tree at the same time, the floor one after the other.",
		ours: verify, floor: hash,
	}, &Figure{
		What: fmt.Sprintf("a proof in a log of %s events, p50", grouped(b.proofs)), Against: "the same of " + grouped(w.events), Unit: "s", Wanted: "< 10 ms",
		Note: "Of an event anywhere, which is read, with its signed checkpoint; it reads a tile a level, of which there are three up to 16 million events. " +
			"The tree is whole; the log it is over repeats a page of events, so that it need not be made first.",
		calls: [2]func() error{prove(&far, b.proofs), prove(&near, uint64(w.events))},
	})
	b.auditCost(ctx)
}

// repeated is a log of many events that are those of a page of another, over and over. One by one they are read, a page of them is
// at hand.
type repeated struct {
	eventlog.Log
	page []eventlog.Event
	head eventlog.Position
}

func (r repeated) Head(context.Context) (eventlog.Position, error) { return r.head, nil }

func (r repeated) ReadAll(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Event, error) {
	n := eventlog.Position(len(r.page))
	limit = int(min(eventlog.Position(limit), r.head-after))
	if limit == 1 {
		events, err := r.Log.ReadAll(ctx, after%n, 1)
		if len(events) == 1 {
			events[0].Position = after + 1
		}
		return events, err
	}
	events := make([]eventlog.Event, limit)
	for i := range events {
		at := after + eventlog.Position(i)
		events[i] = r.page[at%n]
		events[i].Position = at + 1
	}
	return events, nil
}

// auditCost measures many clients that append, with and without a tree that follows them in the same process. Both have a log
// client of their own, so that what the log keeps for the tree does not cost those without.
func (b *bench) auditCost(ctx context.Context) {
	a := b.appendWorld(ctx)
	bare := must(postgres.Open(ctx, a.Pool, postgres.Config{}))
	defer bare.Close()
	appending := func(log eventlog.Log) int {
		_, took := a.events.write(clients, b.span, into(ctx, log))
		return len(took)
	}
	var behind series
	f := &Figure{
		What: fmt.Sprintf("append, %d clients, with the tree", clients), Against: "without", Unit: "appends/s", Wanted: "≥ 0.97",
		ours: func() float64 {
			must(a.Audit.Checkpoint(ctx)) // of what the others have left behind
			return rate(func() int {
				running, stop := context.WithCancel(ctx)
				defer stop()
				var runner sync.WaitGroup
				runner.Go(func() { transparency.NewRunner(a.Audit, transparency.RunnerConfig{}).Run(running) })
				appends := appending(a.Log)
				stop()
				runner.Wait()
				head := must(a.Log.Head(ctx))
				behind.add(float64(head) - min(float64(head), float64(a.Audit.Size())))
				for a.Audit.Size() < uint64(head) { // it is not done before the tree has it all
					must(a.Audit.Grow(ctx))
				}
				return appends
			})
		},
		floor: func() float64 { return rate(func() int { return appending(bare) }) },
		twice: true,
	}
	b.measure(true, f)
	f.Note = fmt.Sprintf("In each round with, without, without, with. The tree is in the process that appends, so it need not read. The time counts until it has all events of the round: "+
		"at the end of the appends %s were missing.", grouped(behind.median()))
}
