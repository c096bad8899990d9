package transparency

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
)

// A log's identity lies in its database, and can be changed there. Nobody gets a fresh history by that: what was signed under
// another identity, as far as it is known here, counts as well. A copy of a log has an identity of its own, and holds what the
// other has signed.

// errBehind reports a tree that has not grown yet as far as another identity of the log has signed.
var errBehind = fmt.Errorf("%w: the tree is not as far yet as was signed under another identity", ErrForked)

// elsewhere says what an anchor of another identity means that this log does not hold.
func (a anchor) elsewhere() string {
	if a.from == inDatabase {
		return "the log's identity was changed, or this database is that of another log"
	}
	return "the log's identity was changed, or this directory belongs to another log: if so move the file away, as docs/audit.md says, After a restore"
}

// others returns what is remembered of other origins than one.
func (m *memory) others(origin string) (all []Checkpoint, err error) {
	if m.dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("transparency: the remembered checkpoints: %w", err)
	}
	for _, e := range entries {
		file := filepath.Join(m.dir, e.Name())
		if !strings.HasPrefix(e.Name(), "checkpoint-") || file == m.file(origin) {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("transparency: the remembered checkpoints: %w", err)
		}
		if len(b) == 0 { // asked for, and never remembered
			continue
		}
		c, err := parseCheckpoint(b)
		if err != nil {
			return nil, fmt.Errorf("the checkpoint remembered in %s: %w", file, err)
		}
		if c.Size > 0 {
			all = append(all, c)
		}
	}
	return all, nil
}

// others are the checkpoints of other identities that this log has to hold, too: those remembered beside the key, and for a log
// that has signed nothing yet the newest in the database.
func (t *Tree) others(ctx context.Context) ([]anchor, error) {
	remembered, err := t.last.others(t.Origin())
	if err != nil {
		return nil, err
	}
	var all []anchor
	for _, c := range remembered {
		all = append(all, anchor{size: c.Size, root: c.Root, from: "remembered in " + t.last.file(c.Origin), other: c.Origin})
	}
	var signed []byte
	err = t.pool.QueryRow(ctx, `select note from transparency.checkpoints where log <> $1 and size > 0
		and not exists (select from transparency.checkpoints where log = $1) order by made_at desc limit 1`, t.id).Scan(&signed)
	if errors.Is(err, pgx.ErrNoRows) {
		return all, nil
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if c, err := parseCheckpoint(signed); err == nil && c.Size > 0 {
		all = append(all, anchor{size: c.Size, root: c.Root, from: inDatabase, other: c.Origin})
	}
	return all, nil
}

// continuesOthers tells [ErrForked] if a tree does not hold what was signed under other identities.
func (t *Tree) continuesOthers(ctx context.Context, c Checkpoint, last eventlog.Position) error {
	others, err := t.others(ctx)
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.size > c.Size {
			if head, err := t.log.Head(ctx); err != nil || head > last {
				return errors.Join(errBehind, err)
			}
		}
		_, err := t.consistency(ctx, Checkpoint{Size: o.size, Root: o.root}, c)
		if errors.Is(err, ErrForked) {
			return fmt.Errorf("%w; this is the checkpoint of %s, %s: %s", err, o.other, o.from, o.elsewhere())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// renamed returns the identity under which this very log has been signed in this database, if it is not the one that it has now:
// a database holds one log without gaps. It is Nil if there is not one.
func (t *Tree) renamed(ctx context.Context) (was uuid.UUID, err error) {
	if _, gapless := t.log.(eventlog.Counter); !gapless {
		return uuid.Nil, nil
	}
	err = t.pool.QueryRow(ctx, `select c.log from transparency.checkpoints c left join transparency.trees t using (log)
		where c.log <> $1 and c.size > 0 and (t.log is null or t.size = t.position) order by c.size desc limit 1`, t.id).Scan(&was)
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		return was, nil
	}
	return uuid.Nil, unavailable(err)
}

// known returns the identity that this log, without gaps, had before as far as is known here: one that is remembered beside the key
// and has a tree in the database, or a given origin of which there is either.
func (t *Tree) known(ctx context.Context, given map[string]bool) (was uuid.UUID, err error) {
	if _, gapless := t.log.(eventlog.Counter); !gapless {
		return uuid.Nil, nil
	}
	remembered, err := t.last.others(t.Origin())
	if err != nil {
		return uuid.Nil, err
	}
	origins := maps.Clone(given)
	for _, c := range remembered {
		origins[c.Origin] = true
	}
	for origin := range origins {
		id, err := uuid.Parse(strings.TrimPrefix(origin, "annal/"))
		if err != nil || id == t.id || "annal/"+id.String() != origin {
			continue
		}
		var tree bool
		if err := t.pool.QueryRow(ctx, `select exists (select from transparency.trees where log = $1 and size = position)`, id).Scan(&tree); err != nil {
			return uuid.Nil, unavailable(err)
		}
		if tree || given[origin] && slices.ContainsFunc(remembered, func(c Checkpoint) bool { return c.Origin == origin }) {
			return id, nil
		}
	}
	return uuid.Nil, nil
}

func (t *Tree) changedFrom(was uuid.UUID) string {
	return fmt.Sprintf("the log's identity was changed: it was %s, and is %s", was, t.id)
}

// OpenCheckpoint reads a checkpoint that [Tree.Verify] can judge: by the key here, or by one before or after it for which that
// vouches; or of an identity that the log had before. The error is [ErrCheckpoint] if it is none.
func (t *Tree) OpenCheckpoint(ctx context.Context, signed []byte) (Checkpoint, error) {
	keys, with, err := t.refresh(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	tr, err := keys.trustIn(with.public)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := tr.open(signed)
	if err == nil || c.Origin == "" || c.Origin == t.Origin() {
		return c, err
	}
	if was, failed := t.known(ctx, map[string]bool{c.Origin: true}); failed != nil || was != uuid.Nil {
		err = failed // Verify looks at the signature
	}
	return c, err
}

// verifyAs verifies the log under the identity that it had, if that was changed; done if so.
func (t *Tree) verifyAs(ctx context.Context, o VerifyOptions) (d Verdict, done bool, err error) {
	was, err := t.renamed(ctx)
	given := map[string]bool{}
	if name, _, ok := strings.Cut(o.Key, "+"); ok {
		given[name] = true
	}
	if c, err := parseCheckpoint(o.Checkpoint); err == nil {
		given[c.Origin] = true
	}
	if was == uuid.Nil && err == nil {
		was, err = t.known(ctx, given)
	}
	if err != nil || was == uuid.Nil {
		return d, false, err
	}
	former := &Tree{pool: t.pool, log: t.log, id: was, source: t.source, last: memory{dir: t.last.dir}}
	keys, err := former.chain(ctx, t.pool)
	if err != nil {
		return d, true, err
	}
	s := &signing{recorded: keys.current(), public: keys.current(), noKey: ErrForked}
	if private, err := t.source.load(); err == nil {
		if _, s.public, err = named(former.Origin(), private); err != nil {
			return d, true, err
		}
	}
	former.signing.Store(s)
	if !strings.HasPrefix(o.Key, former.Origin()+"+") { // of the identity that it has now: nothing was signed under it before
		o.Key = ""
	}
	if c, err := parseCheckpoint(o.Checkpoint); err == nil && c.Origin == t.Origin() {
		o.Checkpoint = nil
	}
	if d, err = former.verify(ctx, o); err != nil {
		return d, true, err
	}
	switch {
	case d.OK && d.Signed == 0:
		d.Problem = t.changedFrom(was)
	case d.OK:
		d.Problem = fmt.Sprintf("%s; the first %d events are those that were signed then", t.changedFrom(was), d.Signed)
	default:
		d.Problem = t.changedFrom(was) + "; compared with what was signed then: " + d.Problem
	}
	d.OK, d.Remark = false, ""
	return d, true, nil
}
