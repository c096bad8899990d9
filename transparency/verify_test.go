package transparency_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/transparency"
)

// Each way to change the log behind Annal's back is told, at its first place, and told again with the tree's help or without.
func TestWhateverIsDoneToTheLogIsTold(t *testing.T) {
	const count = 1500 // six tiles
	w := newWorld(t, count)
	c := w.checkpoint()
	w.append(300) // in the log, not in the tree
	if v := w.verify(c.Note); !v.OK || v.Size != count+300 || v.Signed != count {
		t.Fatalf("the untouched log: %+v", v)
	}
	w.force(`create table kept as select * from eventlog.events`)
	const restore = `delete from eventlog.events; insert into eventlog.events select * from kept`
	renumbered := func(from int, by int) string { // in two steps, past the unique key
		return fmt.Sprintf(`update eventlog.events set position = position + 1000000 where position >= %d; update eventlog.events set position = position - 1000000 + %d where position > 1000000`, from, by)
	}
	for _, spoil := range []struct {
		what, do string
		at       eventlog.Position
		problem  string
	}{
		{"a byte of data", `update eventlog.events set data = overlay(data::text placing ' ' from 2 for 0)::json where position = 800`, 800, "not as it was"},
		{"a byte of metadata", `update eventlog.events set metadata = '{"ip":"192.0.2.8"}' where position = 1`, 1, "not as it was"},
		{"the type", `update eventlog.events set type = 'customer.edites' where position = 800`, 800, "not as it was"},
		{"the schema", `update eventlog.events set schema = 2 where position = 800`, 800, "not as it was"},
		{"the id", `update eventlog.events set id = gen_random_uuid() where position = 800`, 800, "not as it was"},
		{"the stream", `update eventlog.events set stream = gen_random_uuid() where position = 800`, 800, "not as it was"},
		{"the organization", `update eventlog.events set organization = gen_random_uuid() where position = 800`, 800, "not as it was"},
		{"the category", `update eventlog.events set category = 'account' where position = 800`, 800, "not as it was"},
		{"the version", `update eventlog.events set version = version + 1000000 where position = 800`, 800, "not as it was"},
		{"the time it occurred", `update eventlog.events set occurred_at = occurred_at + interval '1 microsecond' where position = 800`, 800, "not as it was"},
		{"the time it was recorded", `update eventlog.events set recorded_at = recorded_at + interval '1 microsecond' where position = 800`, 800, "not as it was"},
		{"an event gone", `delete from eventlog.events where position = 800`, 800, "missing"},
		{"the first event gone", `delete from eventlog.events where position = 1`, 1, "missing"},
		{"an event gone and the gap closed", `delete from eventlog.events where position = 800; ` + renumbered(801, -1), 800, "not as it was"},
		{"one that no checkpoint has signed gone", fmt.Sprintf(`delete from eventlog.events where position = %d`, count+7), count + 7, "missing"},
		{"the newest gone", fmt.Sprintf(`delete from eventlog.events where position > %d`, count-5), count - 4, "missing"},
		{"an event inserted", renumbered(800, 1) + `; insert into eventlog.events select 800, gen_random_uuid(), organization, category, gen_random_uuid(), 1, type, schema, data, metadata, occurred_at, recorded_at from kept where position = 799`, 800, "not as it was"},
		{"two swapped", `update eventlog.events set position = position + 10000 where position in (900, 901); update eventlog.events set position = 11801 - position where position > 10000`, 900, "not as it was"},
		{"the data of two swapped", `update eventlog.events e set data = o.data from kept o where (e.position, o.position) in ((800, 801), (801, 800))`, 800, "not as it was"},
		{"a log rolled back that went on differently", fmt.Sprintf(`delete from eventlog.events where position > %d; insert into eventlog.events select position, gen_random_uuid(), organization, category, gen_random_uuid(), 1, type, schema, data, metadata, occurred_at, recorded_at from kept where position > %d`, count-100, count-100), count - 99, "not as it was"},
	} {
		w.force(spoil.do)
		if v := w.verify(nil); v.OK || v.Position != spoil.at || !strings.Contains(v.Problem, spoil.problem) {
			t.Errorf("%s: %+v", spoil.what, v)
		}
		if v := w.verify(c.Note); v.OK || v.Position != spoil.at {
			t.Errorf("%s, with a checkpoint: %+v", spoil.what, v)
		}
		w.force(restore)
	}
	if v := w.verify(c.Note); !v.OK {
		t.Errorf("put back, it does not verify: %+v", v)
	}
}

// Who owns the database can change log and tree alike. What was signed before cannot be made to fit.
func TestWhoChangesTheTreeAsWellIsToldByWhatWasSigned(t *testing.T) {
	w := newWorld(t, 3000)
	first := w.checkpoint()
	w.append(2000)
	w.checkpoint()
	forge := func(position int) *world { // the tree that an honest Annal would have grown over the changed log
		w.force(fmt.Sprintf(`update eventlog.events set data = '{"phone":"forged"}' where position = %d;
			truncate transparency.tiles, transparency.trees, transparency.checkpoints`, position))
		forged := &world{T: t, pool: w.pool, log: w.log, key: w.key}
		forged.tree = forged.open()
		for n := 1; n > 0; {
			var err error
			if n, err = forged.tree.Grow(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return forged
	}
	w.force(`create table kept as select * from eventlog.events; create table notes as select * from transparency.checkpoints`)
	forged := forge(2000)
	if v := forged.verify(nil); !v.OK {
		t.Fatalf("the forgery is not a good one: %+v", v)
	}
	if v := forged.verify(first.Note); v.OK || v.Position != 1 || !strings.Contains(v.Problem, "given") {
		t.Errorf("with a checkpoint from elsewhere: %+v", v)
	}
	if v := w.verify(nil); v.OK || !strings.Contains(v.Problem, "remembered") {
		t.Errorf("with what is remembered beside the key: %+v", v)
	}
	if _, err := w.open().Checkpoint(t.Context()); !errors.Is(err, transparency.ErrForked) {
		t.Errorf("and it was signed: %v", err)
	}
	w.force(`insert into transparency.checkpoints select * from notes`)
	if v := forged.verify(nil); v.OK || v.Position != 1 || !strings.Contains(v.Problem, "in the database") {
		t.Errorf("with the checkpoints left in the database: %+v", v)
	}
	w.force(`delete from eventlog.events; insert into eventlog.events select * from kept`)
	forge(4000)
	w.force(`insert into transparency.checkpoints select * from notes`)
	if v := forged.verify(nil); v.OK || v.Position != 3001 || v.Signed != 3000 {
		t.Errorf("the first checkpoint still holds: %+v", v)
	}
}

// What is wrong with the tree alone is not blamed on the log.
func TestATreeThatWasChangedIsToldApart(t *testing.T) {
	const count = 70_000 // more than the 65 536 of two full levels of tiles
	w := newWorld(t, count)
	c := w.checkpoint()
	w.append(1000)
	w.force(`create table tiles as select * from transparency.tiles; create table trees as select * from transparency.trees; create table notes as select * from transparency.checkpoints`)
	for _, spoil := range []struct {
		what, do, problem string
	}{
		{"a leaf's hash", `update transparency.tiles set hashes = overlay(hashes placing '\x00' from 33) where level = 0 and number = 3`, "the stored tree was changed"},
		{"a full tile above", `update transparency.tiles set hashes = overlay(hashes placing '\x00' from 33) where level = 1 and number = 0`, "level 1"},
		{"a partial tile above", `update transparency.tiles set hashes = overlay(hashes placing '\x00' from 33) where level = 1 and number = 1`, "level 1"},
		{"a tile gone", `delete from transparency.tiles where level = 0 and number = 3`, "the stored tree was changed"},
		{"the tree cut", `update transparency.trees set size = 512`, "was cut"},
		{"a signature", `update transparency.checkpoints set note = overlay(note placing 'AAAA' from length(note) - 40)`, "not signed"},
	} {
		w.force(spoil.do)
		if v := w.verify(c.Note); v.OK || v.Size != count+1000 || v.Position != 0 || !strings.Contains(v.Problem, spoil.problem) || !strings.Contains(v.Problem, "no event differs") {
			t.Errorf("%s: %+v", spoil.what, v)
		}
		w.force(`truncate transparency.tiles, transparency.trees, transparency.checkpoints;
			insert into transparency.trees select * from trees; insert into transparency.tiles select * from tiles; insert into transparency.checkpoints select * from notes`)
	}
	if v := w.verify(c.Note); !v.OK {
		t.Errorf("put back: %+v", v)
	}
}

// A checkpoint that says nothing about this log is refused; it is no verdict.
func TestCheckpointsOfOthersAreRefused(t *testing.T) {
	w, other := newWorld(t, 300), newWorld(t, 300)
	c := w.checkpoint()
	stranger := &world{T: t, pool: pgtest.New(t, transparency.Migrate), log: w.log, key: transparency.NewKey(), dir: t.TempDir()} // another key, the same log
	stranger.tree = stranger.open()
	for what, given := range map[string][]byte{
		"of another log":    other.checkpoint().Note,
		"by another key":    stranger.checkpoint().Note,
		"a changed root":    bytes.Replace(c.Note, c.Note[bytes.IndexByte(c.Note, '\n')+5:][:8], []byte("AAAAAAAA"), 1),
		"a changed size":    bytes.Replace(c.Note, []byte("\n300\n"), []byte("\n200\n"), 1),
		"no checkpoint":     []byte("hello\n"),
		"nothing":           {},
		"without signature": c.Note[:bytes.Index(c.Note, []byte("\n\n"))+2],
	} {
		if _, err := w.tree.Verify(t.Context(), transparency.VerifyOptions{Checkpoint: given}); !errors.Is(err, transparency.ErrCheckpoint) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, key := range []string{stranger.tree.VerifierKey(), other.tree.VerifierKey(), "key"} {
		if v, err := w.tree.Verify(t.Context(), transparency.VerifyOptions{Key: key}); !errors.Is(err, transparency.ErrCheckpoint) {
			t.Errorf("the key %s: %+v %v", key, v, err)
		}
	}
	// A checkpoint of more events than the log has is a verdict: it was signed, so they were there.
	w.append(10)
	larger := w.checkpoint()
	w.force(`delete from eventlog.events where position > 305; truncate transparency.tiles, transparency.trees, transparency.checkpoints`)
	fresh := &world{T: t, pool: w.pool, log: w.log, key: w.key}
	fresh.tree = fresh.open()
	if v := fresh.verify(larger.Note); v.OK || v.Position != 1 || !strings.Contains(v.Problem, "310 events were signed") {
		t.Errorf("%+v", v)
	}
	files, _ := filepath.Glob(filepath.Join(w.dir, "checkpoint-*"))
	if len(files) != 1 || os.WriteFile(files[0], []byte("torn"), 0o600) != nil {
		t.Fatal(files)
	}
	if _, err := w.tree.Verify(t.Context(), transparency.VerifyOptions{}); !errors.Is(err, transparency.ErrCheckpoint) {
		t.Error("a torn file:", err)
	}
}
