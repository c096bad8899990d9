package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/transparency"
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
		What: "a proof, p50", Against: "–", Ours: timeText(proved), Floor: "–", Ratio: "–", Wanted: "< 10 ms", Met: proved.median() < 0.010,
		Note: fmt.Sprintf("Of an event anywhere in %s, with its signed checkpoint; it reads a tile a level, of which there are three up to 16 million events.", grouped(float64(w.events))),
	}}
	cost, err := auditCost(ctx, b)
	return append(figures, cost...), err
}

// hashLog reads the whole log and hashes what people have written into it.
func hashLog(ctx context.Context, log eventlog.Log) error {
	for at := eventlog.Position(0); ; {
		page, err := log.ReadAll(ctx, at, logPage)
		if err != nil || len(page) == 0 {
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
		at = page[len(page)-1].Position
	}
}

// auditCost measures many clients that append, with and without a tree that follows them.
func auditCost(ctx context.Context, b *bench) ([]Figure, error) {
	w, _, events, err := b.appendWorld(ctx)
	if err != nil {
		return nil, err
	}
	appending := func() (float64, error) {
		who := newWriters(clients, events)
		rate, _, err := load(ctx, clients, b.span(), func(ctx context.Context, client, i int) (bool, error) {
			s, expected, e := who.next(client, i)
			_, err := w.Log.Append(ctx, s, expected, e)
			return true, err
		})
		return rate, err
	}
	var ours, floor, behind series
	with := func() error {
		if _, err := w.Audit.Checkpoint(ctx); err != nil { // what the others have left behind
			return err
		}
		running, stop := context.WithCancel(ctx)
		defer stop()
		var runner sync.WaitGroup
		runner.Go(func() { transparency.NewRunner(w.Audit, transparency.RunnerConfig{}).Run(running) })
		rate, err := appending()
		stop()
		runner.Wait()
		if err != nil {
			return err
		}
		head, err := w.Log.Head(ctx)
		lag := uint64(head) - w.Audit.Size()
		behind.add(float64(lag) / rate)
		ours.add(rate)
		return err
	}
	turn := 0
	err = b.rounds("audit: appends", true, func() error {
		sides := []func() error{with, func() error { rate, err := appending(); floor.add(rate); return err }}
		if turn++; turn%2 == 0 { // whoever comes second finds a longer log
			sides[0], sides[1] = sides[1], sides[0]
		}
		return errors.Join(sides[0](), sides[1]())
	})
	if err != nil {
		return nil, err
	}
	r, text := ratio(ours[1:], floor[1:])
	return []Figure{{
		What: fmt.Sprintf("append, %d clients, with the tree", clients), Against: "without", Ours: rateText("appends", ours[1:]), Floor: rateText("appends", floor[1:]),
		Ratio: text, Wanted: "≥ 0.97", Met: r >= 0.97,
		Note: fmt.Sprintf("At the end of a round the tree was behind by what is appended in %s.", time.Duration(behind[1:].median()*float64(time.Second)).Round(10*time.Millisecond)),
	}}, nil
}
