package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

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
func (w *world) freshTree(ctx context.Context, log eventlog.Log) (*transparency.Tree, error) {
	key := transparency.KeySource{Value: transparency.NewKey()}
	tree, _, err := transparency.Open(ctx, w.Pool, renamed{log, uuid.New()}, transparency.Config{Key: key})
	return tree, err
}

// audit measures the Merkle tree over the log: growing, verifying, proving, and what it costs those who append.
func audit(ctx context.Context, b *bench) error {
	w, err := b.long(ctx)
	if err != nil {
		return err
	}
	far, err := b.farTree(ctx, w.Log)
	if err != nil {
		return err
	}
	var tree *transparency.Tree // of this round
	var checkpoint transparency.Checkpoint
	grow := func() (float64, error) {
		if tree, err = w.freshTree(ctx, w.Log); err != nil {
			return 0, err
		}
		return rate(func() (_ uint64, err error) {
			checkpoint, err = tree.Checkpoint(ctx)
			return checkpoint.Size, err
		})
	}
	verify := func() (float64, error) {
		return rate(func() (uint64, error) {
			v, err := tree.Verify(ctx, transparency.VerifyOptions{Checkpoint: checkpoint.Note})
			if err == nil && (!v.OK || v.Signed != checkpoint.Size) {
				err = fmt.Errorf("a log that nobody touched: %s", v.Problem)
			}
			return v.Signed, err
		})
	}
	hash := func() (float64, error) {
		return rate(func() (int, error) {
			h := sha256.New()
			var sum [sha256.Size]byte
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
	err = b.measure(false, &Figure{
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
		calls: [2]func() error{prove(&far, b.proofs), prove(&tree, uint64(w.events))},
	})
	if err != nil {
		return err
	}
	return b.auditCost(ctx)
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

// farTree is a tree of many events.
func (b *bench) farTree(ctx context.Context, log eventlog.Log) (*transparency.Tree, error) {
	page, err := log.ReadAll(ctx, 0, logPage)
	if err != nil {
		return nil, err
	}
	b.say("a tree over %s events", grouped(b.proofs))
	apart, err := b.world(ctx, "proofs", 0) // in one database there are only trees that continue each other
	if err != nil {
		return nil, err
	}
	tree, err := apart.freshTree(ctx, repeated{log, page, eventlog.Position(b.proofs)})
	if err == nil {
		_, err = tree.Checkpoint(ctx)
	}
	return tree, err
}

// auditCost measures many clients that append, with and without a tree that follows them in the same process. Both have a log
// client of their own, so that what the log keeps for the tree does not cost those without.
func (b *bench) auditCost(ctx context.Context) error {
	a, err := b.appendWorld(ctx)
	if err != nil {
		return err
	}
	bare, err := postgres.Open(ctx, a.Pool, postgres.Config{})
	if err != nil {
		return err
	}
	defer bare.Close()
	appending := func(log eventlog.Log) (int, error) {
		_, took, err := a.events.write(clients, b.span, into(ctx, log))
		return len(took), err
	}
	var behind series
	with := func() (int, error) {
		running, stop := context.WithCancel(ctx)
		defer stop()
		var runner errgroup.Group
		runner.Go(func() error {
			transparency.NewRunner(a.Audit, transparency.RunnerConfig{}).Run(running)
			return nil
		})
		appends, err := appending(a.Log)
		stop()
		runner.Wait()
		if err != nil {
			return 0, err
		}
		head, err := a.Log.Head(ctx)
		behind.add(float64(head) - min(float64(head), float64(a.Audit.Size())))
		for err == nil && a.Audit.Size() < uint64(head) { // it is not done before the tree has it all
			_, err = a.Audit.Grow(ctx)
		}
		return appends, err
	}
	f := &Figure{
		What: fmt.Sprintf("append, %d clients, with the tree", clients), Against: "without", Unit: "appends/s", Wanted: "≥ 0.97",
		ours: func() (float64, error) {
			if _, err := a.Audit.Checkpoint(ctx); err != nil { // of what the others have left behind
				return 0, err
			}
			return rate(with)
		},
		floor: func() (float64, error) { return rate(func() (int, error) { return appending(bare) }) },
		twice: true,
	}
	err = b.measure(true, f)
	f.Note = fmt.Sprintf("In each round with, without, without, with. The tree is in the process that appends, so it need not read. The time counts until it has all events of the round: "+
		"at the end of the appends %s were missing.", grouped(behind.median()))
	return err
}
