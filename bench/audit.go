package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/transparency"
)

// renamed is a log under an identity of its own, so that a tree over it begins anew.
type renamed struct {
	eventlog.Log
	id uuid.UUID
}

func (r renamed) Identity(context.Context) (uuid.UUID, error) { return r.id, nil }

// freshTree is a tree over a world's log that has not grown yet.
func (w *world) freshTree(ctx context.Context) (*transparency.Tree, error) {
	tree, _, err := transparency.Open(ctx, w.Pool, renamed{w.Log, uuid.New()}, transparency.Config{Key: transparency.KeySource{Value: transparency.NewKey()}})
	return tree, err
}

// audit measures the Merkle tree over the log: growing, verifying, proving, and what it costs those who append.
func audit(ctx context.Context, b *bench) ([]Figure, error) {
	w, err := b.long(ctx)
	if err != nil {
		return nil, err
	}
	var grown, read, verified, hashed, proved series
	err = b.rounds("audit", false, func() error {
		tree, err := w.freshTree(ctx)
		if err != nil {
			return err
		}
		var c transparency.Checkpoint
		t, err := seconds(func() (err error) { c, err = tree.Checkpoint(ctx); return err })
		if err != nil {
			return err
		}
		grown.add(float64(c.Size) / t)
		if t, err = seconds(func() error { _, err := readLog(ctx, w.Log); return err }); err != nil {
			return err
		}
		read.add(float64(c.Size) / t)
		t, err = seconds(func() error {
			v, err := tree.Verify(ctx, transparency.VerifyOptions{Checkpoint: c.Note})
			if err == nil && (!v.OK || v.Signed != c.Size) {
				err = fmt.Errorf("a log that nobody touched: %s", v.Problem)
			}
			return err
		})
		if err != nil {
			return err
		}
		verified.add(float64(c.Size) / t)
		if t, err = seconds(func() error { return hashLog(ctx, w.Log) }); err != nil {
			return err
		}
		hashed.add(float64(c.Size) / t)
		_, took, err := load(ctx, 1, b.span()/2, func(ctx context.Context, _, _ int) (bool, error) {
			_, err := tree.Prove(ctx, eventlog.Position(1+rand.Uint64N(c.Size)))
			return true, err
		})
		proved.add(percentile(took, 50))
		return err
	})
	if err != nil {
		return nil, err
	}
	far, err := proofs(ctx, b, w)
	if err != nil {
		return nil, err
	}
	g, growing := ratio(grown, read)
	v, verifying := ratio(verified, hashed)
	figures := []Figure{{
		What: fmt.Sprintf("growing the tree over %s events", grouped(float64(w.events))), Against: "reading the log alone",
		Ours: rateText("events", grown), Floor: rateText("events", read), Ratio: growing, Wanted: "≥ 20 000/s", Met: grown.median() >= 20_000 && g > 0,
		Note: "From nothing, with the signing of a checkpoint at the end.",
	}, {
		What: "verifying the whole log", Against: "reading it and SHA-256 of each event's data and metadata",
		Ours: rateText("events", verified), Floor: rateText("events", hashed), Ratio: verifying, Wanted: "≥ 150 000/s and ≥ 0.6", Met: verified.median() >= 150_000 && v >= 0.6,
		Note: "It reads, hashes and compares with the stored tree at the same time, the floor one after the other.",
	}, {
		What: fmt.Sprintf("a proof in a log of %s events, p50", grouped(float64(b.many()))), Against: "the same of " + grouped(float64(w.events)),
		Ours: timeText(far), Floor: timeText(proved), Ratio: fmt.Sprintf("%.2f", far.median()/proved.median()), Wanted: "< 10 ms", Met: far.median() < 0.010,
		Note: "Of an event anywhere, which is read, with its signed checkpoint; it reads a tile a level, of which there are three up to 16 million events. " +
			"The tree is whole; the log it is over repeats a page of events, so that it need not be made first.",
	}}
	cost, err := auditCost(ctx, b)
	return append(figures, cost...), err
}

// many is how many events the tree has in which a proof is measured.
func (b *bench) many() uint64 {
	switch {
	case b.config.instant > 0:
		return 70_000 // a third level
	case b.config.Quick:
		return 1_000_000
	}
	return 10_000_000
}

// repeated is a log of many events that are those of a page of another, over and over. One by one they are read, a page of them is
// at hand.
type repeated struct {
	eventlog.Log
	id   uuid.UUID
	page []eventlog.Event
	head eventlog.Position
}

func (r repeated) Identity(context.Context) (uuid.UUID, error)     { return r.id, nil }
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
		events[i] = r.page[(after+eventlog.Position(i))%n]
		events[i].Position = after + eventlog.Position(i) + 1
	}
	return events, nil
}

// proofs measures proofs in a tree of many events.
func proofs(ctx context.Context, b *bench, w *world) (took series, err error) {
	page, err := w.Log.ReadAll(ctx, 0, eventlog.PageSize)
	if err != nil {
		return nil, err
	}
	b.say("audit: a tree over %s events", grouped(float64(b.many())))
	log := repeated{w.Log, uuid.New(), page, eventlog.Position(b.many())}
	apart, err := b.world(ctx, "proofs", 0) // in one database there are only trees that continue each other
	if err != nil {
		return nil, err
	}
	tree, _, err := transparency.Open(ctx, apart.Pool, log, transparency.Config{Key: transparency.KeySource{Value: transparency.NewKey()}})
	if err != nil {
		return nil, err
	}
	c, err := tree.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	err = b.rounds("audit: proofs", false, func() error {
		_, each, err := load(ctx, 1, b.span()/2, func(ctx context.Context, _, _ int) (bool, error) {
			_, err := tree.Prove(ctx, eventlog.Position(1+rand.Uint64N(c.Size)))
			return true, err
		})
		took.add(percentile(each, 50))
		return err
	})
	return took, err
}

// hashLog reads the whole log and hashes what people have written into it.
func hashLog(ctx context.Context, log eventlog.Log) error {
	for page, err := range eventlog.Pages(ctx, log, 0, eventlog.End, eventlog.PageSize) {
		if err != nil {
			return err
		}
		h := sha256.New()
		var sum [sha256.Size]byte
		for _, e := range page {
			h.Reset()
			h.Write(e.Data)
			h.Write(e.Meta)
			h.Sum(sum[:0])
		}
	}
	return nil
}

// auditCost measures many clients that append, with and without a tree that follows them in the same process. Both have a log
// client of their own, so that what the log keeps for the tree does not cost those without.
func auditCost(ctx context.Context, b *bench) ([]Figure, error) {
	w, _, events, err := b.appendWorld(ctx)
	if err != nil {
		return nil, err
	}
	bare, err := postgres.Open(ctx, w.Pool, postgres.Config{})
	if err != nil {
		return nil, err
	}
	defer bare.Close()
	appending := func(log eventlog.Log) (int, error) {
		who := newWriters(clients, events)
		_, took, err := load(ctx, clients, b.span(), func(ctx context.Context, client, i int) (bool, error) {
			s, expected, e := who.next(client, i)
			_, err := log.Append(ctx, s, expected, e)
			return true, err
		})
		return len(took), err
	}
	var ours, floor, behind series
	with := func() (appends int, took float64, err error) {
		if _, err := w.Audit.Checkpoint(ctx); err != nil { // what the others have left behind
			return 0, 0, err
		}
		running, stop := context.WithCancel(ctx)
		defer stop()
		var runner sync.WaitGroup
		runner.Go(func() { transparency.NewRunner(w.Audit, transparency.RunnerConfig{}).Run(running) })
		began := time.Now()
		if appends, err = appending(w.Log); err != nil {
			return 0, 0, err
		}
		stop()
		runner.Wait()
		head, err := w.Log.Head(ctx)
		if err != nil {
			return 0, 0, err
		}
		behind.add(float64(uint64(head) - min(uint64(head), w.Audit.Size())))
		for err == nil && w.Audit.Size() < uint64(head) { // it is not done before the tree has it all
			_, err = w.Audit.Grow(ctx)
		}
		return appends, time.Since(began).Seconds(), err
	}
	without := func() (appends int, took float64, err error) {
		took, err = seconds(func() (err error) { appends, err = appending(bare); return err })
		return appends, took, err
	}
	err = b.rounds("audit: appends", true, func() error {
		var appends, took [2]float64
		for i, side := range []func() (int, float64, error){with, without, without, with} { // whoever comes later finds a longer log
			n, t, err := side()
			if err != nil {
				return err
			}
			which := min(i, 3-i) // 0 with, 1 without
			appends[which], took[which] = appends[which]+float64(n), took[which]+t
		}
		ours.add(appends[0] / took[0])
		floor.add(appends[1] / took[1])
		return nil
	})
	if err != nil {
		return nil, err
	}
	r, text := ratio(ours[1:], floor[1:])
	return []Figure{{
		What: fmt.Sprintf("append, %d clients, with the tree", clients), Against: "without", Ours: rateText("appends", ours[1:]), Floor: rateText("appends", floor[1:]),
		Ratio: text, Wanted: "≥ 0.97", Met: r >= 0.97,
		Note: fmt.Sprintf("In each round with, without, without, with. The tree is in the process that appends, so it need not read. The time counts until it has all events of the round: "+
			"at the end of the appends %s were missing.", grouped(behind.median())),
	}}, nil
}
