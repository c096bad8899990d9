package transparency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/eventlog"
)

// VerifyOptions say what the log is compared with, beside the tree and the checkpoints in the database.
type VerifyOptions struct {
	Checkpoint []byte             // one that was kept elsewhere
	Key        string             // verifier key that was kept elsewhere, instead of [Tree.VerifierKey]
	Progress   func(part float64) // told after each page how much is done, up to 1
}

// Verdict is what a verification found.
type Verdict struct {
	OK       bool
	Size     uint64            // events in the log
	Signed   uint64            // of these, events under a checkpoint that holds
	Position eventlog.Position // the first that differs; not if OK
	Problem  string            // what differs there, for people; not if OK
	Remark   string            // what the key says of itself, if it has been replaced, for people
}

// anchor is a checkpoint to be met.
type anchor struct {
	size uint64
	root tlog.Hash
	from string // where the checkpoint was kept
}

// Verify reads the whole log, computes its tree anew and compares it with the stored tree, hash by hash, and with every
// checkpoint there is: those in the database, the one remembered beside the key, the one given. It changes nothing. The
// error is [ErrCheckpoint] if the given checkpoint is not of this log and key.
func (t *Tree) Verify(ctx context.Context, o VerifyOptions) (Verdict, error) {
	v := verification{tree: t}
	if err := v.collect(ctx, o); err != nil {
		return Verdict{}, err
	}
	var size int64
	err := t.pool.QueryRow(ctx, `select size from transparency.trees where log = $1`, t.id).Scan(&size)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Verdict{}, unavailable(err)
	}
	v.stored = uint64(size)
	head, err := t.log.Head(ctx) // not before the tree's size, which is never ahead of the log
	if err != nil {
		return Verdict{}, err
	}
	_, v.gapless = t.log.(eventlog.Counter)
	if err := v.read(ctx, head, o.Progress); err != nil {
		return Verdict{}, err
	}
	if log, ok := t.log.(eventlog.Inspector); ok {
		if v.beside.problem, v.beside.position, err = log.Inspect(ctx); err != nil {
			return Verdict{}, err
		}
	}
	return v.verdict(ctx)
}

// finding is something that differs at an index.
type finding struct {
	index    uint64
	position eventlog.Position
	problem  string
}

// verification compares leaf by leaf.
type verification struct {
	tree    *Tree
	stored  uint64   // leaves in the stored tree
	anchors []anchor // by size; those not yet reached
	gapless bool     // the log leaves no gaps between positions
	edge    edge
	last    eventlog.Position

	tiles []tile // of level 0, from a tile on
	leaf  *finding
	inner *finding // a hash above the leaves
	moved *finding // an event at another position than its index says; positions are in no hash

	beside    finding           // in the log's store, and not in the log
	good      uint64            // size of the newest anchor that held
	afterGood eventlog.Position // of the first event behind it
	bad       *anchor           // the first that did not hold
	unsigned  *finding          // a stored checkpoint that is not signed
	most      uint64            // the most that any anchor has signed
	remark    string            // what the key could not judge
}

// collect gathers the checkpoints.
func (v *verification) collect(ctx context.Context, o VerifyOptions) error {
	t := v.tree
	if err := t.Ready(); err != nil && o.Key == "" {
		return err
	}
	keys, with, err := t.refresh(ctx)
	if err != nil {
		return err
	}
	key := cmp.Or(o.Key, with.public)
	tr, err := keys.trustIn(key)
	if err != nil {
		return err
	}
	if tr.origin != t.Origin() {
		return fmt.Errorf("%w: the key is of %q, this log is %q", ErrCheckpoint, tr.origin, t.Origin())
	}
	v.judgeKeys(keys, tr, key, o.Key == "")
	meet := func(signed []byte, from string) error {
		c, err := tr.open(signed)
		if err == nil && c.Size > 0 {
			v.anchors = append(v.anchors, anchor{c.Size, c.Root, from})
			v.most = max(v.most, c.Size)
		}
		return err
	}
	if o.Checkpoint != nil {
		if err := meet(o.Checkpoint, "given"); err != nil {
			return err
		}
	}
	remembered, err := t.last.recall(t.Origin())
	if err != nil {
		return err
	}
	if len(remembered) > 0 {
		if err := meet(remembered, "remembered beside the key"); err != nil && !errors.Is(err, errBeyond) {
			return fmt.Errorf("the checkpoint remembered in %s: %w", t.last.file(t.Origin()), err)
		}
	}
	rows, err := t.pool.Query(ctx, `select size, note from transparency.checkpoints where log = $1 order by size`, t.id)
	if err != nil {
		return unavailable(err)
	}
	defer rows.Close()
	for rows.Next() {
		var size int64
		var signed []byte
		if err := rows.Scan(&size, &signed); err != nil {
			return unavailable(err)
		}
		if err := meet(signed, "in the database"); err != nil && !errors.Is(err, errBeyond) && v.unsigned == nil {
			v.unsigned = &finding{index: uint64(size) - 1, problem: fmt.Sprintf("the checkpoint of %d events in the database is not signed by the key that signed then", size)}
		}
	}
	slices.SortStableFunc(v.anchors, func(a, b anchor) int { return cmp.Compare(a.size, b.size) })
	return unavailable(rows.Err())
}

// judgeKeys says what the handovers of keys make of a judgement by one of them.
func (v *verification) judgeKeys(keys chain, tr trust, key string, here bool) {
	for _, h := range tr.vouched {
		if h.Size > 0 {
			v.anchors = append(v.anchors, anchor{h.Size, h.Root, "at the handover to the key " + h.New})
			v.most = max(v.most, h.Size)
		}
		if h.Old == key {
			v.remark = fmt.Sprintf("the key was replaced after %d events; it vouches for its successor %s", h.Size, h.New)
		}
	}
	switch {
	case keys.broken != nil:
		v.unsigned = &finding{problem: keys.broken.Error()}
	case len(tr.beyond) == 0:
	case here: // it was not lost
		v.unsigned = &finding{index: tr.beyond[0].Size, problem: fmt.Sprintf("the database says that the key was lost after %d events, and names %s; the key here does not vouch for that",
			tr.beyond[0].Size, tr.beyond[0].New)}
	default:
		v.remark = fmt.Sprintf("this key judges what was signed until it was replaced, after %d events; what came later is signed by %s, for which it does not vouch, because it was lost: %s",
			tr.beyond[0].Size, tr.beyond[0].New, tr.beyond[0].Reason)
	}
}

// hashed is a page of the log, hashed.
type hashed struct {
	positions []eventlog.Position
	hashes    []tlog.Hash
}

// read reads up to the head; reading, hashing and comparing go on at the same time.
func (v *verification) read(ctx context.Context, head eventlog.Position, progress func(float64)) error {
	group, ctx := errgroup.WithContext(ctx)
	pages, leaves := make(chan []eventlog.Event, 1), make(chan hashed, 1)
	group.Go(func() error {
		defer close(pages)
		for after := eventlog.Position(0); after < head; {
			page, err := v.tree.log.ReadAll(ctx, after, growPage)
			if err != nil || len(page) == 0 {
				return err
			}
			after = page[len(page)-1].Position
			select {
			case pages <- page:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	group.Go(func() error {
		defer close(leaves)
		var h hasher
		index := uint64(0)
		for page := range pages {
			l := hashed{make([]eventlog.Position, len(page)), make([]tlog.Hash, len(page))}
			for i := range page {
				l.positions[i], l.hashes[i] = page[i].Position, h.hash(index, &page[i])
				index++
			}
			select {
			case leaves <- l:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	group.Go(func() error {
		for page := range leaves {
			if err := v.compare(ctx, page); err != nil {
				return err
			}
			if progress != nil {
				progress(float64(v.last) / float64(head))
			}
		}
		return nil
	})
	return group.Wait()
}

func (v *verification) compare(ctx context.Context, page hashed) error {
	var full []tile
	for i, h := range page.hashes {
		index, position := v.edge.size, page.positions[i]
		if index == v.good {
			v.afterGood = position
		}
		if v.gapless && v.moved == nil && position != eventlog.Position(index+1) {
			v.moved = &finding{index, eventlog.Position(index + 1), fmt.Sprintf("the event is at position %s: positions were changed, in log and tree; the events are as they were recorded", position)}
		}
		if v.leaf == nil {
			if err := v.compareLeaf(ctx, index, position, h); err != nil {
				return err
			}
		}
		v.last = position
		v.edge.add(h, func(level int, number uint64, hashes []tlog.Hash) {
			if level > 0 {
				full = append(full, tile{level: level, number: number, hashes: packed(hashes)})
			}
		})
		if v.edge.size == v.stored {
			for level, hashes := range v.edge.levels {
				if level > 0 && len(hashes) > 0 {
					full = append(full, tile{level: level, number: v.edge.size >> (tileHeight * (level + 1)), hashes: packed(hashes)})
				}
			}
		}
		for len(v.anchors) > 0 && v.anchors[0].size == v.edge.size {
			if v.anchors[0].root == v.edge.root() {
				v.good = v.edge.size
			} else if v.bad == nil {
				v.bad = &v.anchors[0]
			}
			v.anchors = v.anchors[1:]
		}
	}
	for _, computed := range full {
		if err := v.compareInner(ctx, computed); err != nil {
			return err
		}
	}
	return nil
}

// compareLeaf compares an event with the leaf that the stored tree has at its index.
func (v *verification) compareLeaf(ctx context.Context, index uint64, position eventlog.Position, h tlog.Hash) (err error) {
	if index >= v.stored {
		if v.gapless && position != v.last+1 {
			v.leaf = &finding{index, v.last + 1, "the event is missing"}
		}
		return nil
	}
	number := index / tileWidth
	if len(v.tiles) == 0 || v.tiles[len(v.tiles)-1].number < number {
		v.tiles, err = v.tree.tiles(ctx, 0, number, number+growPage/tileWidth)
		if err != nil && !errors.Is(err, ErrChanged) {
			return err
		}
	}
	i, at := int(index%tileWidth), slices.IndexFunc(v.tiles, func(t tile) bool { return t.number == number })
	if at < 0 || v.tiles[at].len() <= i {
		v.leaf = &finding{index, position, "the tree's hash of the event is missing"}
		return nil
	}
	was := v.tiles[at].position(i)
	switch {
	case position > was:
		v.leaf = &finding{index, was, "the event is missing"}
	case position < was:
		v.leaf = &finding{index, position, "the event was inserted"}
	case h != v.tiles[at].hash(i):
		v.leaf = &finding{index, position, "the event is not as it was recorded"}
	}
	return nil
}

// compareInner compares a tile above the leaves with the stored one.
func (v *verification) compareInner(ctx context.Context, computed tile) error {
	reach := uint64(tileWidth) << (tileHeight * computed.level) // leaves under it if it is full
	if v.inner != nil || v.leaf != nil || computed.len() == tileWidth && (computed.number+1)*reach > v.stored {
		return nil
	}
	stored, err := v.tree.tile(ctx, computed.level, computed.number, computed.len())
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	if err != nil || string(stored.hashes) != string(computed.hashes) {
		v.inner = &finding{computed.number * reach, v.last, fmt.Sprintf("a hash of level %d in the stored tree was changed; the events are as they were recorded", computed.level)}
	}
	return nil
}

// verdict weighs what differs; the earliest place is named.
func (v *verification) verdict(ctx context.Context) (Verdict, error) {
	size := v.edge.size
	if size < v.stored && v.leaf == nil {
		next, err := v.tree.tile(ctx, 0, size/tileWidth, int(size%tileWidth)+1)
		if err != nil && !errors.Is(err, ErrChanged) {
			return Verdict{}, err
		}
		v.leaf = &finding{size, v.last + 1, "the event is missing, and all that followed"}
		if err == nil {
			v.leaf.position = next.position(int(size % tileWidth))
		}
	}
	d := Verdict{Size: size, Signed: v.good, Remark: v.remark}
	if size == v.good { // nothing is behind it
		v.afterGood = v.last + 1
	}
	switch {
	case v.bad != nil && (v.leaf == nil || v.bad.size <= v.leaf.index):
		d.Position = v.afterGood
		d.Problem = fmt.Sprintf("the first %d events are not those of the checkpoint %s: log and tree were both changed, at this position or after it", v.bad.size, v.bad.from)
	case v.leaf != nil && v.leaf.index < v.good:
		d.Position, d.Problem = v.leaf.position, "the stored tree was changed: it contradicts a signed checkpoint, which the log fulfils"
	case v.leaf != nil:
		d.Position, d.Problem = v.leaf.position, v.leaf.problem
	case len(v.anchors) > 0:
		d.Position = v.last + 1
		d.Problem = fmt.Sprintf("%d events were signed by the checkpoint %s, the log has %d: the newest are missing", v.anchors[0].size, v.anchors[0].from, size)
	case v.most > v.stored:
		d.Position, d.Problem = v.afterGood, fmt.Sprintf("the stored tree was cut: %d events were signed, it has %d; the events are as they were signed", v.most, v.stored)
	case v.unsigned != nil:
		d.Position, d.Problem = v.afterGood, v.unsigned.problem
	case v.inner != nil:
		d.Position, d.Problem = v.inner.position, v.inner.problem
	case v.moved != nil:
		d.Position, d.Problem = v.moved.position, v.moved.problem
	case v.beside.problem != "":
		d.Position, d.Problem = v.beside.position, v.beside.problem
	default:
		d.OK = true
	}
	return d, nil
}
