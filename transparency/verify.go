package transparency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/annal-crm/annal/eventlog"
)

// VerifyOptions say what the log is compared with, beside the tree and the checkpoints in the database.
type VerifyOptions struct {
	Checkpoint []byte             // one that was kept elsewhere
	Key        string             // verifier key that was kept elsewhere, instead of [Tree.VerifierKey]
	Progress   func(part float64) // called after each page with how much is done, up to 1
}

// Verdict is what a verification found.
type Verdict struct {
	OK       bool
	Size     uint64            // events in the log
	Signed   uint64            // of these, events under a checkpoint that holds
	Position eventlog.Position // the first that differs, or that can: see Problem; 0 if OK, and if no event differs
	Problem  string            // what differs there, for people; not if OK
	Remark   string            // what is to be known beside, for people: of keys that were replaced, of a log that was copied
}

// anchor is a checkpoint to be met.
type anchor struct {
	size uint64
	root tlog.Hash
	from string // where the checkpoint was kept
	// other is the origin that signed it, if that is not the log's own.
	other string
	// stays: it must be among those in the database, where every one stays.
	stays bool
}

// Verify reads the whole log, computes its tree anew and compares it with the stored tree, hash by hash, and with every
// checkpoint there is: those in the database, the one remembered beside the key, the one given. It changes nothing. The
// error is [ErrCheckpoint] if the given checkpoint is not of this log and key.
//
// A log whose identity was changed is judged by what was signed under the one before.
func (t *Tree) Verify(ctx context.Context, o VerifyOptions) (Verdict, error) {
	if d, done, err := t.verifyAs(ctx, o); done || err != nil {
		return d, err
	}
	return t.verify(ctx, o)
}

func (t *Tree) verify(ctx context.Context, o VerifyOptions) (Verdict, error) {
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
	shifted  bool // the positions differ
}

// verification compares leaf by leaf.
type verification struct {
	tree    *Tree
	stored  uint64   // leaves in the stored tree
	anchors []anchor // by size
	reached int      // how many of them the reading has come to
	gapless bool     // the log leaves no gaps between positions
	edge    edge
	last    eventlog.Position

	tiles []tile // of level 0, from a tile on
	leaf  *finding
	inner *finding // a hash above the leaves
	moved *finding // an event at another position than its index says; positions are in no hash

	beside    finding           // in the log's store, and not in the log
	good      *anchor           // the newest that held
	held      uint64            // size of the newest that held before the first that did not
	afterHeld eventlog.Position // of the first event behind it
	bad       *anchor           // the first that did not hold
	foreign   *anchor           // the same, of those of another identity
	deleted   *anchor           // the first of them that is not
	unsigned  *finding          // a stored checkpoint that is not signed
	remark    string            // what the key could not judge
}

const inDatabase = "in the database"

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
		return fmt.Errorf("%w: nothing here is signed by this key: it is of the log %q, this is %q", ErrCheckpoint, tr.origin, t.Origin())
	}
	v.judgeKeys(keys, tr, key, o.Key == "")
	meet := func(signed []byte, from string) error {
		c, err := tr.open(signed)
		if err == nil && c.Size > 0 {
			v.anchors = append(v.anchors, anchor{size: c.Size, root: c.Root, from: from, stays: from != inDatabase})
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
		if err := meet(signed, inDatabase); err != nil && !errors.Is(err, errBeyond) && v.unsigned == nil {
			v.unsigned = &finding{index: uint64(size) - 1, problem: fmt.Sprintf("the checkpoint of %d events in the database is not signed by the key that signed then", size)}
		}
	}
	if err := rows.Err(); err != nil {
		return unavailable(err)
	}
	others, err := t.others(ctx)
	if err != nil {
		return err
	}
	v.anchors = append(v.anchors, others...)
	slices.SortStableFunc(v.anchors, func(a, b anchor) int { return cmp.Compare(a.size, b.size) })
	return nil
}

// judgeKeys says what the handovers of keys make of a judgement by one of them.
func (v *verification) judgeKeys(keys chain, tr trust, key string, here bool) {
	for _, h := range tr.vouched {
		if h.Size > 0 {
			from := "at the handover to the key " + h.New
			v.anchors = append(v.anchors, anchor{size: h.Size, root: h.Root, from: from, stays: h.Vouched}) // else it may have been remembered only
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
	read := func(ctx context.Context) iter.Seq2[[]eventlog.Event, error] {
		return func(yield func([]eventlog.Event, error) bool) {
			// To the end of a page, for what the log has behind its end is evidence, too.
			for page, err := range eventlog.Pages(ctx, v.tree.log, 0, eventlog.End, growPage) {
				if !yield(page, err) || err != nil || page[len(page)-1].Position >= head {
					return
				}
			}
		}
	}
	hash := func(ctx context.Context) iter.Seq2[hashed, error] {
		return func(yield func(hashed, error) bool) {
			var h hasher
			index := uint64(0)
			for page, err := range eventlog.Ahead(ctx, 1, read) {
				l := hashed{make([]eventlog.Position, len(page)), make([]tlog.Hash, len(page))}
				for i := range page {
					l.positions[i], l.hashes[i] = page[i].Position, h.hash(index, &page[i])
					index++
				}
				if !yield(l, err) {
					return
				}
			}
		}
	}

	for page, err := range eventlog.Ahead(ctx, 1, hash) {
		if err == nil {
			err = v.compare(ctx, page)
		}
		if err != nil {
			return err
		}
		if progress != nil {
			progress(float64(v.last) / float64(head))
		}
	}
	return nil
}

func (v *verification) compare(ctx context.Context, page hashed) error {
	var full []tile
	for i, h := range page.hashes {
		index, position := v.edge.size, page.positions[i]
		if index == v.held {
			v.afterHeld = position
		}
		if v.gapless && v.moved == nil && position != eventlog.Position(index+1) {
			v.moved = &finding{index: index, position: eventlog.Position(index + 1), problem: fmt.Sprintf("the event is at position %s: positions were changed, in log and tree; the events are as they were recorded", position)}
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
		v.meet()
	}
	for _, computed := range full {
		if err := v.compareInner(ctx, computed); err != nil {
			return err
		}
	}
	return nil
}

// meet compares the log up to here with the anchors of its size.
func (v *verification) meet() {
	for ; v.reached < len(v.anchors) && v.anchors[v.reached].size == v.edge.size; v.reached++ {
		switch a := &v.anchors[v.reached]; {
		case a.root == v.edge.root():
			if a.other != "" {
				v.remark = fmt.Sprintf("the log holds the %d events that %s has signed: it is a copy of that log", a.size, a.other)
				continue
			}
			v.good = a
		case a.other != "":
			v.foreign = cmp.Or(v.foreign, a)
		default:
			v.bad = cmp.Or(v.bad, a)
		}
	}
	if v.bad == nil && v.good != nil {
		v.held = v.good.size
	}
}

// compareLeaf compares an event with the leaf that the stored tree has at its index.
func (v *verification) compareLeaf(ctx context.Context, index uint64, position eventlog.Position, h tlog.Hash) (err error) {
	if index >= v.stored {
		if v.gapless && position != v.last+1 {
			v.leaf = &finding{index: index, position: v.last + 1, problem: "the event is missing"}
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
		v.leaf = &finding{index: index, position: position, problem: "the tree's hash of the event is missing"}
		return nil
	}
	was := v.tiles[at].position(i)
	switch {
	case position > was:
		v.leaf = &finding{index, was, "the event is missing", true}
	case position < was:
		v.leaf = &finding{index, position, "the event was inserted", true}
	case h != v.tiles[at].hash(i):
		v.leaf = &finding{index: index, position: position, problem: "the event is not as it was recorded"}
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
		v.inner = &finding{index: computed.number * reach, position: v.last, problem: fmt.Sprintf("a hash of level %d in the stored tree was changed", computed.level)}
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
		v.leaf = &finding{index: size, position: v.last + 1, problem: "the event is missing, and all that followed"}
		if err == nil {
			v.leaf.position = next.position(int(size % tileWidth))
		}
	}
	if size == v.held { // nothing is behind it
		v.afterHeld = v.last + 1
	}
	d := Verdict{Size: size, Signed: v.held, Remark: v.remark}
	var missing *anchor
	for i := v.reached; i < len(v.anchors); i++ {
		if a := &v.anchors[i]; a.other == "" {
			missing = cmp.Or(missing, a)
		} else {
			v.foreign = cmp.Or(v.foreign, a)
		}
	}
	most := uint64(0) // events that were signed under this identity
	for _, a := range v.anchors {
		if a.other == "" {
			most = a.size
		}
	}
	const unharmed = "; no event differs"
	switch {
	case v.bad != nil && (v.leaf == nil || v.bad.size <= v.leaf.index):
		d.Position = v.afterHeld
		d.Problem = fmt.Sprintf("the first %d events are not those of the checkpoint %s: log and tree were both changed, at this position or after it, somewhere in the first %d events", v.bad.size, v.bad.from, v.bad.size)
		if v.good != nil && v.good.size >= v.bad.size {
			d.Problem += fmt.Sprintf(". The key has signed two histories: that checkpoint, and the one of %d events %s, which the log fulfils; the two are the proof of it", v.good.size, v.good.from)
		}
	case v.leaf != nil && v.leaf.index < v.held && v.leaf.shifted:
		d.Position, d.Problem = v.leaf.position, "the event is at another position than the stored tree has it; the events are as they were recorded, and positions were changed, in the log or in the tree"
	case v.leaf != nil && v.leaf.index < v.held:
		d.Problem = fmt.Sprintf("the stored tree was changed: what it has of the event at position %s contradicts a signed checkpoint, which the log fulfils", v.leaf.position) + unharmed
	case v.leaf != nil:
		d.Position, d.Problem = v.leaf.position, v.leaf.problem
	case missing != nil:
		d.Position = v.afterHeld
		d.Problem = fmt.Sprintf("%d events were signed by the checkpoint %s, the log has %d: the newest are missing", missing.size, missing.from, size)
		if v.held < size {
			d.Problem += fmt.Sprintf(", and of those that are here only the first %d are known to be the ones that were signed", v.held)
		}
	case most > v.stored:
		d.Problem = fmt.Sprintf("the stored tree was cut: %d events were signed, it has %d", most, v.stored) + unharmed
	case v.unsigned != nil:
		d.Problem = v.unsigned.problem + unharmed
	case v.inner != nil:
		d.Problem = v.inner.problem + unharmed
	case v.moved != nil:
		d.Position, d.Problem = v.moved.position, v.moved.problem
	case v.beside.problem != "":
		d.Position, d.Problem = v.beside.position, v.beside.problem
	case v.foreign != nil:
		d.Position = v.afterHeld
		d.Problem = fmt.Sprintf("the first %d events are not those that %s has signed, by the checkpoint %s: %s", v.foreign.size, v.foreign.other, v.foreign.from, v.foreign.elsewhere())
	default:
		if err := v.findDeleted(ctx); err != nil {
			return d, err
		}
		if d.OK = v.deleted == nil; d.OK {
			break
		}
		d.Problem = fmt.Sprintf("the checkpoint %s, of %d events, which the log fulfils, is not among those in the database, where every one stays: rows were deleted there", v.deleted.from, v.deleted.size) + unharmed
	}
	return d, nil
}

// findDeleted looks for checkpoints that are not in the database any more.
func (v *verification) findDeleted(ctx context.Context) error {
	for _, a := range v.anchors {
		for look := 0; a.stays; look++ {
			var there bool
			if err := v.tree.pool.QueryRow(ctx, `select exists (select from transparency.checkpoints where log = $1 and size = $2)`, v.tree.id, int64(a.size)).Scan(&there); err != nil {
				return unavailable(err)
			}
			if there {
				break
			}
			if look == 10 { // another process may have remembered it just now, and be about to store it
				v.deleted = cmp.Or(v.deleted, &a)
				break
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
