package transparency

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/annal-crm/annal/internal/keyfile"
)

// ErrReplacement reports a replacement of the key that cannot be, and says why not.
var ErrReplacement = errors.New("transparency: the checkpoint key cannot be replaced")

// Replacement says how a key is replaced.
type Replacement struct {
	Reason string    // one line, at most 500 bytes; it will be read by strangers
	Old    KeySource // the old key, where the one here is the new one already
	Lost   bool      // the old key is not to be had: nothing vouches for the new one
	// Record puts on record that old is replaced by new, in the log, before that is so. The first checkpoint under the new key
	// has that event.
	Record func(old, new string) error
}

// Replace has another key sign from now on: a new one, made in the file of the key, or the one here if it is not the log's. The
// old key, if it is at hand, signs all there is for the last time, and the handover. It returns the handover and the first
// checkpoint under the new key. Other processes take the new key when they next sign, if it comes from the same file. The error
// is [ErrReplacement], or [ErrForked] if the log does not continue what the old key has signed: then nothing is replaced.
func (t *Tree) Replace(ctx context.Context, r Replacement) (h Handover, first Checkpoint, err error) {
	if !reasonable(r.Reason) {
		return h, first, fmt.Errorf("%w: a reason must be given, one line of at most 500 bytes", ErrReplacement)
	}
	keys, with, err := t.refresh(ctx)
	switch {
	case err != nil:
		return h, first, err
	case keys.broken != nil:
		return h, first, keys.broken
	case errors.Is(with.noKey, ErrForked):
		return h, first, with.noKey
	case with.recorded == "":
		return h, first, fmt.Errorf("%w: this log has none yet", ErrReplacement)
	}
	var place bool
	if h, place = t.interrupted(keys); !place {
		var old, next pair
		if old, next, place, err = t.successor(keys, with, r); err != nil {
			return h, first, err
		}
		if h, err = t.handOver(ctx, keys, old, next, r); err != nil {
			return h, first, err
		}
	}
	if place {
		if err := t.moveIn(h.Old); err != nil {
			return h, first, fmt.Errorf("the key was replaced, but the new one is still in %s; give the same command again: %w", t.incoming(), err)
		}
	}
	if _, err := t.settle(ctx); err != nil {
		return h, first, err
	}
	first, err = t.Checkpoint(ctx)
	return h, first, err
}

// pair is a key with its public half.
type pair struct {
	private ed25519.PrivateKey // of the old one nil, if it was lost
	public  string
	key     note.Signer
}

func (t *Tree) pair(private ed25519.PrivateKey) (p pair, err error) {
	p.private = private
	p.key, p.public, err = named(t.Origin(), private)
	return p, err
}

// incoming is where a new key waits until it signs.
func (t *Tree) incoming() string { return t.source.File + ".new" }

// successor finds the old key and the new one, and whether that is to be put into its place afterwards.
func (t *Tree) successor(keys chain, with *signing, r Replacement) (old, next pair, place bool, err error) {
	refuse := func(why string) (pair, pair, bool, error) {
		return old, next, false, fmt.Errorf("%w: %s", ErrReplacement, why)
	}
	old.public = with.recorded
	here, err := t.source.load()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return old, next, false, err
	}
	if err == nil {
		if next, err = t.pair(here); err != nil {
			return old, next, false, err
		}
	}
	switch {
	case here != nil && next.public == with.recorded: // the old one is here
		old, next = next, pair{}
	case r.Old != KeySource{}:
		private, err := r.Old.load()
		if err == nil {
			old, err = t.pair(private)
		}
		if err != nil {
			return old, next, false, err
		}
		if old.public != with.recorded {
			return refuse("the key given as the old one is not the one that signs: " + with.recorded)
		}
	case !r.Lost:
		return refuse("the old key is not here; give it, or say that it was lost, for then nothing vouches for the new one")
	}
	switch {
	case r.Lost && old.private != nil:
		return refuse("the old key is here and was not lost; it will sign the handover")
	case next.private == nil && t.source.Value != "":
		return refuse("the key comes from the environment: set that to a new one (openssl rand -base64 32) and give the old one in a file")
	case next.private == nil && t.source.File == "":
		return refuse("there is neither a data directory nor a key in the environment, so nowhere to have the new one")
	case next.private == nil:
		place = true
		if err := keyfile.Make(t.incoming(), NewKey()+"\n"); err != nil && !errors.Is(err, fs.ErrExist) {
			return old, next, false, fmt.Errorf("%w: %w", ErrReplacement, err)
		}
		private, err := KeySource{File: t.incoming()}.load()
		if err == nil {
			next, err = t.pair(private)
		}
		if err != nil {
			return old, next, false, err
		}
	}
	if keys.has(next.public) {
		return refuse("the new key has signed for this log before: " + next.public)
	}
	return old, next, place, nil
}

// handOver puts the handover on record and into force.
func (t *Tree) handOver(ctx context.Context, keys chain, old, next pair, r Replacement) (h Handover, err error) {
	if err := t.growAll(ctx); err != nil { // nothing is replaced if the log does not continue what was signed
		return h, err
	}
	tr, err := keys.trustIn(old.public)
	if err != nil {
		return h, err
	}
	h = Handover{Old: old.public, New: next.public, At: time.Now(), Reason: r.Reason, Vouched: old.private != nil}
	// While this lasts no process that shares the memory signs anything.
	err = t.last.update(t.Origin(), func(last []byte) ([]byte, error) {
		c, err := t.continued(ctx, keys, &signing{public: old.public}, last)
		if err != nil {
			return nil, err
		}
		if old.private != nil {
			if c.Note, err = note.Sign(&note.Note{Text: c.text()}, old.key); err == nil {
				err = t.store(ctx, &c, len(keys.handovers))
			}
			if err != nil {
				return nil, err
			}
			last = c.Note
		}
		if err := r.Record(old.public, next.public); err != nil {
			return nil, err
		}
		return last, pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `select from transparency.trees where log = $1 for update`, t.id); err != nil {
				return unavailable(err)
			}
			now, err := t.chain(ctx, tx)
			if err != nil {
				return err
			}
			if now.current() != old.public {
				return fmt.Errorf("%w: it has just been replaced", ErrReplacement)
			}
			newest, err := t.newest(ctx, tx, tr)
			if err != nil {
				return err
			}
			if len(last) > 0 {
				remembered, err := tr.open(last)
				if err != nil {
					return err
				}
				if remembered.Size > newest.Size {
					newest = remembered
				}
			}
			h.Size, h.Root = newest.Size, newest.Root
			signers := []note.Signer{next.key}
			if old.private != nil {
				signers = append(signers, old.key)
			}
			if h.Note, err = note.Sign(&note.Note{Text: h.text(t.Origin())}, signers...); err != nil {
				return err
			}
			if h, err = openHandover(h.Note, t.Origin()); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `insert into transparency.handovers (log, number, note) values ($1, $2, $3)`, t.id, len(now.handovers)+1, h.Note)
			return unavailable(err)
		})
	})
	return h, err
}

// interrupted reports whether the newest handover is to a key that has not been put into its place.
func (t *Tree) interrupted(keys chain) (h Handover, is bool) {
	if t.source.File == "" || len(keys.handovers) == 0 {
		return h, false
	}
	private, err := KeySource{File: t.incoming()}.load()
	if err != nil {
		return h, false
	}
	h = keys.handovers[len(keys.handovers)-1]
	p, err := t.pair(private)
	return h, err == nil && p.public == h.New
}

// moveIn puts the new key into the place of the old one, which stays beside it if it was there.
func (t *Tree) moveIn(old string) error {
	v, err := note.NewVerifier(old)
	if err != nil {
		return err
	}
	err = os.Rename(t.source.File, fmt.Sprintf("%s.replaced-%08x", t.source.File, v.KeyHash()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(t.incoming(), t.source.File)
}
