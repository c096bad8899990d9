package transparency

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// handoverForm is the first line of a handover. No checkpoint has it: there the origin is first, and a number follows.
const handoverForm = "annal/key-handover/v1"

// Handover is the statement that another key signs a log's checkpoints from now on: a note that the new key has signed and,
// unless it was lost, the old one too. docs/audit.md documents it; the form is for ever.
type Handover struct {
	Old, New string    // verifier keys
	Size     uint64    // of the newest checkpoint under the old key, which the first under the new one continues; 0: there is none
	Root     tlog.Hash // of the same
	At       time.Time // by the clock of the machine, to the second
	Reason   string    // one line
	Vouched  bool      // signed by the old key
	Note     []byte    // the statement
}

func (h Handover) text(origin string) string {
	return fmt.Sprintf("%s\n%s\nold %s\nnew %s\nsize %d\nroot %s\nat %s\nreason %s\n", handoverForm, origin, h.Old, h.New,
		h.Size, base64.StdEncoding.EncodeToString(h.Root[:]), h.At.UTC().Format(time.RFC3339), h.Reason)
}

// reasonable reports whether a reason can stand in a statement.
func reasonable(reason string) bool {
	return strings.TrimSpace(reason) != "" && len(reason) <= 500 && utf8.ValidString(reason) && !strings.ContainsFunc(reason, unicode.IsControl)
}

// openHandover reads a statement about the log with an origin and checks its signatures; [ErrCheckpoint] if it is none.
func openHandover(signed []byte, origin string) (h Handover, err error) {
	text, _, _ := strings.Cut(string(signed), "\n\n")
	lines := strings.Split(text, "\n")
	bad := fmt.Errorf("%w: a handover of keys that does not hold", ErrCheckpoint)
	if len(lines) != 8 {
		return h, bad
	}
	for i, line := range lines {
		_, lines[i], _ = strings.Cut(line, " ")
	}
	h = Handover{Old: lines[2], New: lines[3], Reason: lines[7], Note: signed}
	// What cannot be read, and whatever else differs from the form, shows when it is written again.
	h.Size, _ = strconv.ParseUint(lines[4], 10, 63)
	h.Root, _ = tlog.ParseHash(lines[5])
	h.At, _ = time.Parse(time.RFC3339, lines[6])
	if h.text(origin) != text+"\n" {
		return h, bad
	}
	before, err := note.NewVerifier(h.Old)
	after, err2 := note.NewVerifier(h.New)
	if err != nil || err2 != nil || h.Old == h.New || before.Name() != origin || after.Name() != origin {
		return h, bad
	}
	opened, err := note.Open(signed, note.VerifierList(before, after))
	if err != nil {
		return h, bad
	}
	signs := false
	for _, s := range opened.Sigs {
		signs = signs || s.Hash == after.KeyHash()
		h.Vouched = h.Vouched || s.Hash == before.KeyHash()
	}
	if !signs {
		return h, bad
	}
	return h, nil
}

// chain is the keys that a log has had: the first, and each handover to the next.
type chain struct {
	first     string
	handovers []Handover
	broken    error // why those that follow in the database do not hold; [ErrChanged]
}

// current is the key that signs now.
func (c chain) current() string {
	if n := len(c.handovers); n > 0 {
		return c.handovers[n-1].New
	}
	return c.first
}

// has reports whether a key is or was one of the log's.
func (c chain) has(key string) bool {
	for _, h := range c.handovers {
		if h.New == key {
			return true
		}
	}
	return c.first == key
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// chain reads the keys of the tree's log. It is empty if there is no tree.
func (t *Tree) chain(ctx context.Context, q querier) (c chain, err error) {
	err = q.QueryRow(ctx, `select key from transparency.trees where log = $1`, t.id).Scan(&c.first)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, nil
	}
	if err != nil {
		return c, unavailable(err)
	}
	rows, err := q.Query(ctx, `select note from transparency.handovers where log = $1 order by number`, t.id)
	if err != nil {
		return c, unavailable(err)
	}
	notes, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return c, unavailable(err)
	}
	for i, signed := range notes {
		h, err := openHandover(signed, t.Origin())
		if err != nil || h.Old != c.current() || c.has(h.New) || i > 0 && h.Size < c.handovers[i-1].Size {
			c.broken = fmt.Errorf("%w: the statement in the database that hands the key over for the %d. time does not hold, or does not follow the one before", ErrChanged, i+1)
			break
		}
		c.handovers = append(c.handovers, h)
	}
	return c, nil
}

// trust is whose checkpoints count for one who trusts a key.
type trust struct {
	origin  string
	keys    []trusted
	vouched []Handover // by these keys
	beyond  []Handover // those that follow and that these keys do not vouch for
}

// trusted is a key and the size up to which it signs.
type trusted struct {
	verifier note.Verifier
	key      string
	upTo     uint64
}

// trustIn returns what follows from trusting a key. A key vouches for the one before, up to where it has taken over, by its own
// signature of the handover; for the one after it only if it has signed that, too.
func (c chain) trustIn(key string) (tr trust, err error) {
	add := func(key string, upTo uint64) {
		v, err2 := note.NewVerifier(key)
		if err2 != nil {
			err = fmt.Errorf("%w: %q is not a verifier key", ErrCheckpoint, key)
			return
		}
		tr.origin = v.Name()
		tr.keys = append(tr.keys, trusted{v, key, upTo})
	}
	at := 0 // handovers before the key
	for i, h := range c.handovers {
		if h.New == key {
			at = i + 1
		}
	}
	if !c.has(key) {
		add(key, math.MaxUint64)
		return tr, err
	}
	for _, h := range c.handovers[:at] {
		add(h.Old, h.Size)
		tr.vouched = append(tr.vouched, h)
	}
	for i, h := range c.handovers[at:] {
		if !h.Vouched {
			tr.beyond = c.handovers[at+i:]
			break
		}
		add(h.Old, h.Size)
		tr.vouched = append(tr.vouched, h)
		key = h.New
	}
	add(key, math.MaxUint64)
	return tr, err
}

// errBeyond reports a checkpoint by a key of the log for which the trusted ones do not vouch.
var errBeyond = fmt.Errorf("%w: it is signed by a later key of this log, for which this one does not vouch, because it was lost", ErrCheckpoint)

// open reads a checkpoint that is signed by a trusted key, while that was the one to sign.
func (tr trust) open(signed []byte) (Checkpoint, error) {
	for i, k := range tr.keys {
		c, err := OpenCheckpoint(signed, k.verifier)
		switch {
		case err == nil && c.Size <= k.upTo:
			return c, nil
		case err == nil:
			return c, fmt.Errorf("%w: it is of %d events, by a key that was replaced after %d: who trusts its successor does not trust it any more; verify with that key alone, %s",
				ErrCheckpoint, c.Size, k.upTo, k.key)
		case i < len(tr.keys)-1:
			continue
		}
		for _, h := range tr.beyond {
			if v, err := note.NewVerifier(h.New); err == nil {
				if c, err := OpenCheckpoint(signed, v); err == nil && c.Size >= h.Size {
					return c, errBeyond
				}
			}
		}
		return c, err
	}
	return Checkpoint{}, ErrCheckpoint
}

// Period is how long a key signs.
type Period struct {
	VerifierKey string
	From, To    uint64    // events when it began, and of its newest checkpoint; To of the one that signs now is 0
	Handover    *Handover // to this key; nil: it is the first
}

// Keys returns all keys that the log has had, the one that signs now first. What a stranger pins must not come from here.
func (t *Tree) Keys(ctx context.Context) (periods []Period, err error) {
	c, err := t.chain(ctx, t.pool)
	if err == nil && c.first == "" {
		err = t.signing.Load().noKey
	}
	if err == nil {
		err = c.broken
	}
	if err != nil {
		return nil, err
	}
	periods = []Period{{VerifierKey: c.first}}
	for _, h := range c.handovers {
		periods[0].To = h.Size
		periods = append([]Period{{VerifierKey: h.New, From: h.Size, Handover: &h}}, periods...)
	}
	return periods, nil
}
