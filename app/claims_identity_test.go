package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/logcopy"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/transparency"
)

// again opens the log as another process does.
func (l *ledger) again() {
	l.Helper()
	log := must(postgres.Open(l.Context(), l.pool, postgres.Config{}))
	l.Cleanup(log.Close)
	l.log = log
}

// Who gives the log another identity has not got a fresh history by that: not for its key, nor for who brings one.
func TestAnotherIdentityIsNoFreshHistory(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 30)
	tree := l.with(l.key, l.dir)
	signed := l.sign(tree)
	l.write(10)
	key := tree.VerifierKey()
	l.force(keep)
	const another = `update eventlog.head set identity = '11111111-1111-1111-1111-111111111111'`
	const change = `; update eventlog.events set data = '{}' where position = 20`
	for _, a := range []struct {
		what, sql string
		at        eventlog.Position // the event that differs, as far as that can be told
		noTree    bool
	}{
		{"the identity alone", another, 0, false},
		{"an event", another + change, 20, false},
		{"an event, and no checkpoints in the database", another + change + `;` + noNotes, 20, false},
		{"an event, and no tree", another + change + `; truncate transparency.trees, transparency.tiles, transparency.checkpoints`, 1, true},
		{"an event, and another tree", another + change + `; truncate transparency.tiles, transparency.checkpoints; update transparency.trees set log = '11111111-1111-1111-1111-111111111111',
			size = 0, position = 0, before = 0`, 1, true},
	} {
		l.force(a.sql)
		l.again()
		told := func(by string, tree *transparency.Tree, o transparency.VerifyOptions) {
			t.Helper()
			v := l.verify(tree, o)
			if v.OK || v.Position != a.at || !strings.Contains(v.Problem, "the log's identity was changed") {
				t.Errorf("%s, by %s: %+v", a.what, by, v)
			}
		}
		told("the key here", l.with(l.key, l.dir), transparency.VerifyOptions{})
		told("your key and checkpoint", l.with(l.key, l.dir), transparency.VerifyOptions{Key: key, Checkpoint: signed.Note})
		if !a.noTree && !strings.Contains(a.sql, noNotes) {
			told("what the database has", l.with("", ""), transparency.VerifyOptions{})
			told("your key alone", l.with("", ""), transparency.VerifyOptions{Key: key})
		}
		if c, err := l.with(l.key, l.dir).Checkpoint(t.Context()); !errors.Is(err, transparency.ErrForked) && !(a.noTree && errors.Is(err, transparency.ErrWrongKey)) {
			t.Errorf("%s is signed: %+v %v", a.what, c, err)
		}
		l.force(putBack)
		l.again()
		if v := l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{Checkpoint: signed.Note}); !v.OK {
			t.Fatalf("%s, put back: %+v", a.what, v)
		}
	}
	if c := l.sign(l.with(l.key, l.dir)); c.Size != 40 {
		t.Errorf("put back, it is signed as before: %+v", c)
	}
}

// A copy of a log has an identity of its own; with the same data directory it has to hold what was signed, and does.
func TestACopyHoldsWhatWasSigned(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 300)
	l.sign(l.with(l.key, l.dir))
	cluster := must(esdbtest.New(esdbtest.Config{}))
	t.Cleanup(cluster.Close)
	copied := must(eventstoredb.Open(t.Context(), cluster.URL(), eventstoredb.Config{}))
	t.Cleanup(copied.Close)
	must(logcopy.Copy(t.Context(), l.log, copied, func(string, float64) {}))

	moved := *l // in the same database, beside the same key
	moved.log = copied
	if c := moved.sign(moved.with(l.key, l.dir)); c.Size != 300 {
		t.Errorf("%+v", c)
	}
	moved.write(5)
	moved.sign(moved.with(l.key, l.dir))
	if v := moved.verify(moved.with(l.key, l.dir), transparency.VerifyOptions{}); !v.OK || v.Signed != 305 || !strings.Contains(v.Remark, "is a copy of that log") {
		t.Errorf("%+v", v)
	}
	// Where it came from has gone on without: then it is not that log any more, until the file is out of the way.
	l.write(1)
	if v := l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{}); v.OK || !strings.Contains(v.Problem, "move the file away") {
		t.Errorf("%+v", v)
	}
	if err := os.Rename(filepath.Join(l.dir, "checkpoint-"+strings.ReplaceAll(moved.with(l.key, "").Origin(), "/", "%2F")), filepath.Join(t.TempDir(), "moved")); err != nil {
		t.Fatal(err)
	}
	if v := l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{}); !v.OK || l.sign(l.with(l.key, l.dir)).Size != 301 {
		t.Errorf("%+v", v)
	}
	// A database of its own.
	other := &ledger{T: t, pool: pgtest.New(t, postgres.Migrate, transparency.Migrate), key: l.key, dir: t.TempDir()}
	other.again()
	must(logcopy.Copy(t.Context(), copied, other.log.(eventlog.Importer), func(string, float64) {}))
	other.sign(other.with(other.key, other.dir))
	if v := other.verify(other.with(other.key, other.dir), transparency.VerifyOptions{}); !v.OK || v.Signed != 305 || v.Remark != "" {
		t.Errorf("%+v", v)
	}
}

// Two histories that the key has signed are told with what proves it, and with an honest bound of where they part.
func TestTwoSignedHistoriesAreTheProof(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 20)
	first := l.sign(l.with(l.key, l.dir))
	l.write(20)
	yours := l.sign(l.with(l.key, l.dir))
	l.force(`update eventlog.events set data = '{}' where position = 30`)
	l.regrow()
	l.write(1)
	theirs := l.with(l.key, t.TempDir())
	l.sign(theirs)
	if v := l.verify(theirs, transparency.VerifyOptions{Checkpoint: yours.Note}); v.OK || v.Position != 1 || v.Signed != 0 || !strings.Contains(v.Problem, "somewhere in the first 40 events") ||
		!strings.Contains(v.Problem, "The key has signed two histories") {
		t.Errorf("%+v", v)
	}
	l.force(`insert into transparency.checkpoints (log, size, note) select log, 20, $1 from transparency.trees`, first.Note)
	if v := l.verify(theirs, transparency.VerifyOptions{Checkpoint: yours.Note}); v.OK || v.Position != 21 || v.Signed != 20 {
		t.Errorf("with an older one that holds: %+v", v)
	}
	// A backup that was put back and has new events: which of them are others cannot be known.
	l = newLedger(t, 20)
	l.sign(l.with(l.key, l.dir))
	l.write(5)
	l.with("", "").Grow(t.Context())
	l.force(keep)
	l.write(20)
	newest := l.sign(l.with(l.key, l.dir))
	l.force(putBack)
	l.again()
	l.write(10)
	if v := l.verify(l.with(l.key, t.TempDir()), transparency.VerifyOptions{Checkpoint: newest.Note}); v.OK || v.Position != 21 || !strings.Contains(v.Problem, "45 events were signed") || !strings.Contains(v.Problem, "only the first 20") {
		t.Errorf("%+v", v)
	}
}

// Every checkpoint stays in the database: one that is known to have been there and is not was deleted.
func TestDeletedCheckpointsAreMissed(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 20)
	first := l.sign(l.with(l.key, l.dir))
	l.write(5)
	newest := l.sign(l.with(l.key, l.dir))
	l.force(keep)
	missed := func(what string, size string, o transparency.VerifyOptions) {
		t.Helper()
		if v := l.verify(l.with(l.key, l.dir), o); v.OK || v.Position != 0 || !strings.Contains(v.Problem, "of "+size+" events") || !strings.Contains(v.Problem, "rows were deleted") {
			t.Errorf("%s: %+v", what, v)
		}
	}
	l.force(noNotes)
	missed("all, by the one beside the key", "25", transparency.VerifyOptions{})
	l.write(1)
	if _, err := l.with(l.key, l.dir).Checkpoint(t.Context()); !errors.Is(err, transparency.ErrChanged) || !strings.Contains(err.Error(), "they were deleted") {
		t.Errorf("and it was signed: %v", err)
	}
	l.force(putBack + `; delete from transparency.checkpoints where size = 20`)
	missed("an older one, by yours", "20", transparency.VerifyOptions{Checkpoint: first.Note})
	// A process that was killed before it could store what it remembers is not the one to blame: the next puts it there.
	l.force(putBack + `; delete from transparency.checkpoints where size = 25`)
	l.again()
	l.write(1)
	l.sign(l.with(l.key, l.dir))
	if v := l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{Checkpoint: newest.Note}); !v.OK || v.Signed != 26 {
		t.Errorf("%+v", v)
	}
}
