package transparency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/annal-crm/annal/eventlog"
)

// Proof shows that an event is in the log that a checkpoint signs: the hash of its leaf leads to the checkpoint's root.
type Proof struct {
	Position   eventlog.Position
	Index      uint64 // of the leaf, from 0
	Leaf       []byte // see [AppendLeaf]
	Proof      tlog.RecordProof
	Checkpoint Checkpoint
}

// MarshalJSON writes the form that docs/audit.md documents.
func (p Proof) MarshalJSON() ([]byte, error) {
	proof := p.Proof
	if proof == nil {
		proof = tlog.RecordProof{} // of a log with one event
	}
	return json.Marshal(struct {
		Position   string           `json:"position"`
		Index      uint64           `json:"index"`
		Leaf       []byte           `json:"leaf"`
		Proof      tlog.RecordProof `json:"proof"`
		Checkpoint string           `json:"checkpoint"`
	}{p.Position.String(), p.Index, p.Leaf, proof, string(p.Checkpoint.Note)})
}

// Prove proves the event at a position, against the newest checkpoint or, if that is older than the event, a new one. The
// error is [ErrNotThere] if the log has no such event, [ErrChanged] if it is not as the tree has it.
func (t *Tree) Prove(ctx context.Context, at eventlog.Position) (Proof, error) {
	c, err := t.Latest(ctx)
	if err != nil {
		return Proof{}, err
	}
	index, before, err := t.find(ctx, at)
	if errors.Is(err, ErrNotThere) || err == nil && index >= c.Size {
		head, err := t.log.Head(ctx)
		if err != nil {
			return Proof{}, err
		}
		if at > head {
			return Proof{}, fmt.Errorf("%w: %s; the log ends at %s", ErrNotThere, at, head)
		}
		if c, err = t.Checkpoint(ctx); err != nil {
			return Proof{}, fmt.Errorf("the event is newer than the newest checkpoint, and there can be no new one: %w", err)
		}
		index, before, err = t.find(ctx, at)
		if err != nil {
			return Proof{}, fmt.Errorf("%w: %s", err, at)
		}
	} else if err != nil {
		return Proof{}, err
	}
	events, err := t.log.ReadAll(ctx, before, 1)
	if err != nil {
		return Proof{}, err
	}
	if len(events) == 0 || events[0].Position != at {
		return Proof{}, fmt.Errorf("%w: the event at position %s is missing", ErrChanged, at)
	}
	return prove(t.hashes(ctx, c.Size, c.Root), c, index, events[0])
}

// prove makes the proof of an event at an index, from hashes of the checkpoint's tree, and checks it.
func prove(hashes tlog.HashReader, c Checkpoint, index uint64, e eventlog.Event) (Proof, error) {
	p := Proof{Position: e.Position, Index: index, Leaf: AppendLeaf(nil, index, &e), Checkpoint: c}
	var err error
	p.Proof, err = tlog.ProveRecord(int64(c.Size), int64(index), hashes)
	if errors.Is(err, ErrUnavailable) {
		return p, err
	}
	if err != nil {
		return p, fmt.Errorf("%w: the tree does not lead to the checkpoint's root: %w", ErrChanged, err)
	}
	if err := tlog.CheckRecord(p.Proof, int64(c.Size), c.Root, int64(index), tlog.RecordHash(p.Leaf)); err != nil {
		return p, fmt.Errorf("%w: the event at position %s", ErrChanged, e.Position)
	}
	return p, nil
}
