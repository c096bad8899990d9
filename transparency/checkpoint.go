package transparency

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is what a log was at a size, signed: a note in the form of C2SP tlog-checkpoint.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   tlog.Hash
	Note   []byte // with its signatures
}

func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// OpenCheckpoint reads a checkpoint that is signed by verifier, whose name is the log's origin. The error is [ErrCheckpoint]
// if it is none, of another log or by another key.
func OpenCheckpoint(signed []byte, verifier note.Verifier) (Checkpoint, error) {
	c, err := parseCheckpoint(signed)
	if err != nil {
		return c, err
	}
	if c.Origin != verifier.Name() {
		return c, fmt.Errorf("%w: it is not signed by this key: it is of the log %q, the key is of %q", ErrCheckpoint, c.Origin, verifier.Name())
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
		if _, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
			return c, fmt.Errorf("%w: it is signed by another key", ErrCheckpoint)
		}
		return c, fmt.Errorf("%w: its signature is cut off or changed", ErrCheckpoint)
	}
	return c, nil
}

// parseCheckpoint reads a checkpoint without regard to its signatures.
func parseCheckpoint(signed []byte) (c Checkpoint, err error) {
	text, _, ok := strings.Cut(string(signed), "\n\n")
	lines := strings.SplitN(text, "\n", 4) // a fourth and later ones are extensions
	if !ok || len(lines) < 3 || lines[0] == "" {
		return c, fmt.Errorf("%w: it has not the form of one", ErrCheckpoint)
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	root, err2 := tlog.ParseHash(lines[2])
	if err != nil || err2 != nil || strconv.FormatUint(size, 10) != lines[1] {
		return c, fmt.Errorf("%w: it has not the form of one", ErrCheckpoint)
	}
	return Checkpoint{lines[0], size, root, signed}, nil
}

// Checkpoint brings the tree up to the head of the log and signs it. If nothing has grown it returns the newest checkpoint
// again. The error is [ErrForked] if the log or the tree does not continue what was signed before.
func (t *Tree) Checkpoint(ctx context.Context) (Checkpoint, error) {
	if err := t.signing.Load().noKey; err != nil {
		return Checkpoint{}, err
	}
	if err := t.growAll(ctx); err != nil {
		return Checkpoint{}, err
	}
	return t.sign(ctx)
}

// sign signs the tree as it lies in the database, if it continues what was signed last and the log still ends as it does.
func (t *Tree) sign(ctx context.Context) (c Checkpoint, err error) {
	var keys chain
	var former []byte
	err = t.last.update(t.Origin(), func(last []byte) (_ []byte, err error) {
		former = last
		var with *signing
		if keys, with, err = t.refresh(ctx); err != nil {
			return nil, err
		}
		if with.noKey != nil {
			return nil, with.noKey
		}
		if c, err = t.continued(ctx, keys, with, last); err != nil {
			return nil, err
		}
		if err := t.stored(ctx, last); err != nil {
			return nil, err
		}
		c.Note, err = note.Sign(&note.Note{Text: c.text()}, with.key)
		return c.Note, err
	})
	if err != nil {
		return c, err
	}
	err = t.store(ctx, &c, len(keys.handovers))
	if errors.Is(err, ErrWrongKey) { // nobody has seen it
		err = errors.Join(err, t.last.update(t.Origin(), func(last []byte) ([]byte, error) {
			if string(last) == string(c.Note) {
				last = former
			}
			return last, nil
		}))
	}
	return c, err
}

// store adds a checkpoint to those in the database, unless the key has been handed over meanwhile: [ErrWrongKey].
func (t *Tree) store(ctx context.Context, c *Checkpoint, handovers int) error {
	err := pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select from transparency.trees where log = $1 for share`, t.id); err != nil {
			return unavailable(err)
		}
		var n int
		if err := tx.QueryRow(ctx, `select count(*) from transparency.handovers where log = $1`, t.id).Scan(&n); err != nil {
			return unavailable(err)
		}
		if n != handovers {
			return fmt.Errorf("%w: it has just been replaced", ErrWrongKey)
		}
		// Another process may have signed the same, and had it cosigned.
		_, err := tx.Exec(ctx, `insert into transparency.checkpoints (log, size, note) values ($1, $2, $3) on conflict do nothing`, t.id, int64(c.Size), c.Note)
		if err == nil {
			err = tx.QueryRow(ctx, `select note from transparency.checkpoints where log = $1 and size = $2`, t.id, int64(c.Size)).Scan(&c.Note)
		}
		return unavailable(err)
	})
	if err == nil || errors.Is(err, ErrWrongKey) || errors.Is(err, ErrUnavailable) {
		return err
	}
	return unavailable(err)
}

// stored sees to it that what was signed last is in the database: a process that was killed may have remembered it only. If there is
// none at all they were deleted.
func (t *Tree) stored(ctx context.Context, last []byte) error {
	c, err := parseCheckpoint(last)
	if err != nil || c.Size == 0 { // nothing is remembered
		return nil
	}
	var all int
	if err := t.pool.QueryRow(ctx, `select count(*) from (select from transparency.checkpoints where log = $1 limit 1) one`, t.id).Scan(&all); err != nil {
		return unavailable(err)
	}
	if all == 0 {
		return fmt.Errorf("%w: there is no checkpoint in the database, and one of %d events is remembered in %s: they were deleted; docs/audit.md, After a restore, says what to do", ErrChanged, c.Size, t.last.file(t.Origin()))
	}
	_, err = t.pool.Exec(ctx, `insert into transparency.checkpoints (log, size, note) values ($1, $2, $3) on conflict do nothing`, t.id, int64(c.Size), last)
	return unavailable(err)
}

// continued returns the tree as it lies in the database, unsigned, if it continues what is remembered.
func (t *Tree) continued(ctx context.Context, keys chain, with *signing, last []byte) (c Checkpoint, err error) {
	t.growth.mu.Lock()
	defer t.growth.mu.Unlock()
	t.growth.state = nil
	s, err := t.state(ctx)
	if err != nil {
		return c, err
	}
	c = Checkpoint{Origin: t.Origin(), Size: s.size, Root: s.root()}
	former, err := t.previousKeys(ctx, keys, with.public, last)
	if err != nil {
		return c, err
	}
	if _, err = t.consistency(ctx, former, c); err == nil {
		err = t.continuesOthers(ctx, c, s.position)
	}
	return c, err
}

// previousKeys returns the checkpoint that the next has to continue: what is remembered, else the newest in the database.
func (t *Tree) previousKeys(ctx context.Context, keys chain, key string, remembered []byte) (Checkpoint, error) {
	tr, err := keys.trustIn(key)
	if err != nil {
		return Checkpoint{}, err
	}
	if len(remembered) == 0 {
		return t.newest(ctx, t.pool, tr)
	}
	c, err := tr.open(remembered)
	if err != nil {
		return c, fmt.Errorf("the checkpoint remembered in %s: %w", t.last.file(t.Origin()), err)
	}
	return c, nil
}

// Latest returns the newest checkpoint in the database, one of size 0 without a note if there is not one.
func (t *Tree) Latest(ctx context.Context) (Checkpoint, error) {
	keys, with, err := t.refresh(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	if with.public == "" {
		return Checkpoint{}, with.noKey
	}
	tr, err := keys.trustIn(with.public)
	if err != nil {
		return Checkpoint{}, err
	}
	return t.newest(ctx, t.pool, tr)
}

func (t *Tree) newest(ctx context.Context, q querier, tr trust) (Checkpoint, error) {
	var signed []byte
	err := q.QueryRow(ctx, `select note from transparency.checkpoints where log = $1 order by size desc limit 1`, t.id).Scan(&signed)
	if errors.Is(err, pgx.ErrNoRows) {
		return Checkpoint{Origin: t.Origin()}, nil
	}
	if err != nil {
		return Checkpoint{}, unavailable(err)
	}
	return tr.open(signed)
}

// consistency proves from the tiles that a checkpoint continues a former one; [ErrForked] if it does not.
func (t *Tree) consistency(ctx context.Context, old, c Checkpoint) (tlog.TreeProof, error) {
	if old.Size > c.Size {
		return nil, fmt.Errorf("%w: %d events were signed, the tree has %d; if it was restored, docs/audit.md says what to do", ErrForked, old.Size, c.Size)
	}
	if old.Size == 0 {
		return nil, nil
	}
	proof, err := tlog.ProveTree(int64(c.Size), int64(old.Size), t.hashes(ctx, c.Size, c.Root))
	if errors.Is(err, ErrUnavailable) {
		return nil, err
	}
	if err == nil {
		err = tlog.CheckTree(proof, int64(c.Size), c.Root, int64(old.Size), old.Root)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the tree of %d events is not a part of that of %d: %w", ErrForked, old.Size, c.Size, err)
	}
	return proof, nil
}
