package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/transparency"
)

// The tables of docs/audit.md, "What is proved, by whom, against whom", by those who are named in them: each attack on the
// log, by each who could make it, against each thing that is to tell.

// Whatever an administrator may do, it goes through a log that can be read and added to: there is no call for anything else.
func TestALogHasNoCallThatChangesIt(t *testing.T) {
	t.Parallel()
	var calls []string
	for call := range reflect.TypeFor[eventlog.Log]().Methods() {
		calls = append(calls, call.Name)
	}
	if want := []string{"Append", "Head", "Identity", "ReadAll", "ReadStream", "ReadStreams", "Wait"}; !slices.Equal(calls, want) {
		t.Errorf("a log can be asked for %q", calls)
	}
}

// ledger is a log under a tree, with the means of whoever owns the database, and the machine.
type ledger struct {
	*testing.T
	pool *pgxpool.Pool
	log  eventlog.Log
	key  string
	dir  string // beside the key
}

func newLedger(t *testing.T, events int) *ledger {
	t.Helper()
	l := &ledger{T: t, pool: pgtest.New(t, postgres.Migrate, transparency.Migrate), key: transparency.NewKey(), dir: t.TempDir()}
	log, err := postgres.Open(t.Context(), l.pool, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	l.log = log
	l.write(events)
	return l
}

// write appends events to a stream of their own.
func (l *ledger) write(events int) {
	l.Helper()
	var all []eventlog.NewEvent
	for i := range events {
		all = append(all, eventlog.NewEvent{ID: uuid.New(), Type: "customer.edited", Schema: 1, OccurredAt: time.Now().Add(-time.Hour),
			Data: fmt.Appendf(nil, `{"phone": "+1 555 %03d"}`, i), Meta: []byte(`{"ip":"192.0.2.7"}`)})
	}
	must(l.log.Append(l.Context(), eventlog.Stream{Organization: uuid.New(), Category: "customer", ID: uuid.New()}, 0, all...))
}

// with opens the tree with a key, or none, and what is remembered in a directory, or nothing.
func (l *ledger) with(key, dir string) *transparency.Tree {
	l.Helper()
	tree, _, err := transparency.Open(l.Context(), l.pool, l.log, transparency.Config{Key: transparency.KeySource{Value: key}, Remember: dir})
	if err != nil {
		l.Fatal(err)
	}
	return tree
}

func (l *ledger) sign(tree *transparency.Tree) transparency.Checkpoint {
	l.Helper()
	return must(tree.Checkpoint(l.Context()))
}

func (l *ledger) verify(tree *transparency.Tree, o transparency.VerifyOptions) transparency.Verdict {
	l.Helper()
	v, err := tree.Verify(l.Context(), o)
	if err != nil {
		l.Fatal(err)
	}
	return v
}

// force is what the owner of the database can do: the triggers are switched off.
func (l *ledger) force(statements string, args ...any) {
	l.Helper()
	conn := must(l.pool.Acquire(l.Context()))
	defer conn.Release()
	must(conn.Exec(l.Context(), "alter table if exists eventlog.events drop constraint if exists events_from_one; set session_replication_role = replica"))
	defer conn.Exec(context.WithoutCancel(l.Context()), "set session_replication_role = origin")
	if _, err := conn.Exec(l.Context(), statements, args...); err != nil {
		l.Fatal(statements, err)
	}
}

const (
	keep = `create table kept_events as table eventlog.events; create table kept_head as table eventlog.head; create table kept_trees as table transparency.trees;
		create table kept_tiles as table transparency.tiles; create table kept_notes as table transparency.checkpoints`
	putBack = `delete from eventlog.events; insert into eventlog.events table kept_events; delete from eventlog.head; insert into eventlog.head table kept_head;
		truncate transparency.trees, transparency.tiles, transparency.checkpoints; insert into transparency.trees table kept_trees;
		insert into transparency.tiles table kept_tiles; insert into transparency.checkpoints table kept_notes`
	putNotesBack = `insert into transparency.checkpoints table kept_notes`
	noNotes      = `truncate transparency.checkpoints`
	// A tree that was never grown, of the same key: what its owner can read in the table.
	noTree = `create temp table named as select log, key from transparency.trees; truncate transparency.trees, transparency.tiles, transparency.checkpoints;
		insert into transparency.trees (log, key) select log, key from named; drop table named`
)

// regrow rewrites the stored tree over the log as it is now, without the key: with Annal's own code, so it is as good as can be.
func (l *ledger) regrow() {
	l.Helper()
	l.force(noTree)
	tree := l.with("", "")
	for n := 1; n > 0; {
		n = must(tree.Grow(l.Context()))
	}
}

// attacks on events 1 to 40, of which 30 are signed.
var attacks = []struct {
	what, sql string
	from      int // the first position at which it differs
}{
	{"a byte of data", `update eventlog.events set data = overlay(data::text placing '9' from 18 for 1)::json where position = 20`, 20},
	{"a space in data", `update eventlog.events set data = replace(data::text, ': ', ':')::json where position = 20`, 20},
	{"a byte of metadata", `update eventlog.events set metadata = '{"ip":"192.0.2.8"}' where position = 20`, 20},
	{"recordedAt", `update eventlog.events set recorded_at = recorded_at - interval '1 microsecond' where position = 20`, 20},
	{"occurredAt", `update eventlog.events set occurred_at = occurred_at - interval '1 microsecond' where position = 20`, 20},
	{"the type", `update eventlog.events set type = 'customer.archived' where position = 20`, 20},
	{"the schema version", `update eventlog.events set schema = 2 where position = 20`, 20},
	{"the version", `update eventlog.events set version = version + 1000 where position = 20`, 20},
	{"the id", `update eventlog.events set id = gen_random_uuid() where position = 20`, 20},
	{"the organization", `update eventlog.events set organization = gen_random_uuid() where position = 20`, 20},
	{"the stream", `update eventlog.events set stream = gen_random_uuid() where position = 20`, 20},
	{"the category", `update eventlog.events set category = 'account' where position = 20`, 20},
	{"the first event", `update eventlog.events set data = '{}' where position = 1`, 1},
	{"the last that is signed", `update eventlog.events set data = '{}' where position = 30`, 30},
	{"one removed", `delete from eventlog.events where position = 20`, 20},
	{"one removed, the gap closed", `delete from eventlog.events where position = 20; update eventlog.events set position = -position where position > 20;
		update eventlog.events set position = -position - 1 where position < 0; update eventlog.head set position = (select max(position) from eventlog.events)`, 20},
	{"one inserted", `update eventlog.events set position = -position where position >= 20; update eventlog.events set position = 1 - position where position < 0;
		insert into eventlog.events select 20, gen_random_uuid(), organization, category, gen_random_uuid(), 1, type, schema, data, metadata, occurred_at, recorded_at from kept_events where position = 19;
		update eventlog.head set position = (select max(position) from eventlog.events)`, 20},
	{"two swapped", `update eventlog.events set position = -position where position in (20, 25); update eventlog.events set position = 45 + position where position < 0`, 20},
	{"the newest cut off", `delete from eventlog.events where position > 25; update eventlog.head set position = 25`, 26},
	{"rolled back and gone on differently", `delete from eventlog.events where position > 25; insert into eventlog.events select position, gen_random_uuid(), organization, category,
		gen_random_uuid(), 1, type, schema, data, metadata, occurred_at, recorded_at from kept_events where position > 25`, 26},
	{"every position one higher", `update eventlog.events set position = -position; update eventlog.events set position = 1 - position; update eventlog.head set position = (select max(position) from eventlog.events)`, 1},
	{"a gap left between", `update eventlog.events set position = -position where position >= 20; update eventlog.events set position = 1 - position where position < 0; update eventlog.head set position = (select max(position) from eventlog.events)`, 20},
}

// Each of the four things that a verification compares the log with tells each attack, alone. None of them left, it is not
// told: the page says that, too. But for positions, which are in no checkpoint: there the log itself has to be without gaps.
func TestEachAttackIsToldByEachThingAlone(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 30)
	signed := l.sign(l.with(l.key, l.dir))
	l.write(10)
	for tree := l.with("", ""); must(tree.Grow(t.Context())) > 0; {
	}
	if v := l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{Checkpoint: signed.Note}); !v.OK || v.Size != 40 || v.Signed != 30 {
		t.Fatalf("%+v", v)
	}
	l.force(keep)
	kept := must(filepath.Glob(filepath.Join(l.dir, "checkpoint-*")))
	if len(kept) != 1 || string(must(os.ReadFile(kept[0]))) != string(signed.Note) {
		t.Fatal("the newest checkpoint does not lie in a file beside the key:", kept)
	}
	for _, a := range attacks {
		moved := slices.Contains([]string{"every position one higher", "a gap left between"}, a.what)
		gap := moved || a.what == "one removed" // the log itself shows it
		told := func(by string, v transparency.Verdict, at int) {
			t.Helper()
			if v.OK || at > 0 && v.Position != eventlog.Position(at) {
				t.Errorf("%s, by %s: %+v", a.what, by, v)
			}
		}
		// Whoever changes the log alone.
		l.force(a.sql + ";" + noNotes)
		told("the stored hashes", l.verify(l.with("", ""), transparency.VerifyOptions{}), a.from)
		l.force(putNotesBack)
		told("all there is", l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{Checkpoint: signed.Note}), a.from)

		// Whoever rewrites the stored tree as well.
		l.regrow()
		if v := l.verify(l.with("", ""), transparency.VerifyOptions{}); v.OK == gap || gap && (v.Position != eventlog.Position(a.from) || !strings.Contains(v.Problem, "positions were changed")) {
			t.Errorf("%s, with nothing kept anywhere: %+v", a.what, v)
		}
		told("yours", l.verify(l.with("", ""), transparency.VerifyOptions{Checkpoint: signed.Note}), 0) // not where: that is somewhere before the checkpoint
		told("the one beside the key", l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{}), 0)
		if !moved { // a tree that was moved is the same tree
			if c, err := l.with(l.key, l.dir).Checkpoint(t.Context()); !errors.Is(err, transparency.ErrForked) {
				t.Errorf("%s was signed: %+v %v", a.what, c, err)
			}
		}
		l.force(putNotesBack)
		told("those in the database", l.verify(l.with("", ""), transparency.VerifyOptions{}), 0)

		l.force(putBack)
		if v := l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{Checkpoint: signed.Note}); !v.OK {
			t.Fatalf("%s, put back: %+v", a.what, v)
		}
	}
}

// Who owns the machine has the key as well: their history is as good as yours, until somebody has kept a checkpoint.
func TestWhoHasTheKeyIsToldByWhatIsKeptElsewhere(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 30)
	witness := must(transparency.NewWitness("witness.example", transparency.KeySource{Value: transparency.NewKey()}, t.TempDir(), []string{l.with(l.key, "").VerifierKey()}))
	server := httptest.NewServer(witness)
	t.Cleanup(server.Close)
	publisher := transparency.Publisher{Witnesses: []string{server.URL}}
	began := time.Now().Add(-time.Second).Unix()
	yours, err := publisher.Publish(t.Context(), l.with(l.key, l.dir), l.sign(l.with(l.key, l.dir)))
	if err != nil || transparency.Cosigned(yours.Note, witness.VerifierKey()) != nil {
		t.Fatal(err)
	}
	if at := cosignedAt(t, yours.Note, witness.VerifierKey()); at < began || at > time.Now().Unix() {
		t.Errorf("the witness' own time is %d, it is %d", at, time.Now().Unix())
	}
	l.force(keep)
	for _, a := range attacks[:20] {
		if a.what == "one removed" { // that leaves a gap, which the log shows itself
			continue
		}
		l.force(a.sql)
		l.regrow()
		theirs := l.with(l.key, t.TempDir())
		forged := l.sign(theirs)
		if forged.Root == yours.Root {
			t.Fatalf("%s: the same root", a.what)
		}
		if v := l.verify(theirs, transparency.VerifyOptions{Checkpoint: forged.Note, Key: theirs.VerifierKey()}); !v.OK {
			t.Errorf("%s: to somebody else it is no other history: %+v", a.what, v)
		}
		if v := l.verify(theirs, transparency.VerifyOptions{Checkpoint: yours.Note, Key: theirs.VerifierKey()}); v.OK {
			t.Errorf("%s: your checkpoint fits, too", a.what)
		}
		if c, err := publisher.Publish(t.Context(), theirs, forged); err == nil || transparency.Cosigned(c.Note, witness.VerifierKey()) == nil {
			t.Errorf("%s: the witness cosigns another history: %v", a.what, err)
		}
		l.force(putBack)
	}
}

// The owner of the database puts a key of theirs into it: who brings no key believes it, who has one does not.
func TestAKeyThatTheDatabaseNamesIsBelievedByNobodyWhoHasOne(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 30)
	mine := l.with(l.key, l.dir)
	l.sign(mine)
	l.force(`update eventlog.events set data = '{}' where position = 20; truncate transparency.trees, transparency.tiles, transparency.checkpoints`)
	theirs := l.with(transparency.NewKey(), "")
	forged := l.sign(theirs)
	if v := l.verify(l.with("", ""), transparency.VerifyOptions{Checkpoint: forged.Note}); !v.OK {
		t.Errorf("without any key: %+v", v)
	}
	for what, o := range map[string]transparency.VerifyOptions{"the key here": {}, "the key that was kept": {Key: mine.VerifierKey()}} {
		key := l.key
		if o.Key != "" {
			key = ""
		}
		if v := l.verify(l.with(key, ""), o); v.OK {
			t.Errorf("%s: %+v", what, v)
		}
		o.Checkpoint = forged.Note
		if _, err := l.with(key, "").Verify(t.Context(), o); !errors.Is(err, transparency.ErrCheckpoint) {
			t.Errorf("%s, with their checkpoint: %v", what, err)
		}
	}
}

// What the page says that it does not prove, it does not: whoever relies on more must be able to see it fail.
func TestWhatIsNotProved(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 20)
	tree := l.with(l.key, l.dir)
	l.write(10)
	signed := l.sign(tree)
	const last = `update eventlog.events set data = '{"phone":"other"}' where position = 31`

	// What another process appended is in the tree as it was when the tree came to it; what the same one did, as it was handed over.
	l.write(1)
	l.force(last)
	l.force(keep)
	must(tree.Grow(t.Context()))
	if v := l.verify(tree, transparency.VerifyOptions{Checkpoint: signed.Note}); v.OK || v.Position != 31 {
		t.Errorf("changed before the tree of the same process took it: %+v", v)
	}
	l.force(putBack)
	other := must(postgres.Open(t.Context(), l.pool, postgres.Config{}))
	t.Cleanup(other.Close)
	l.log = other
	tree = l.with(l.key, l.dir)
	must(tree.Grow(t.Context()))
	if v := l.verify(tree, transparency.VerifyOptions{Checkpoint: signed.Note}); !v.OK || v.Size != 31 {
		t.Errorf("changed before the tree took it: %+v", v)
	}
	// What the tree has is told, unless the stored tree was rewritten as well.
	l.force(`update eventlog.events set data = '{"phone":"yet another"}' where position = 31`)
	if v := l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{}); v.OK || v.Position != 31 {
		t.Errorf("changed after the tree took it: %+v", v)
	}
	l.regrow()
	l.force(putNotesBack)
	if v := l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{}); !v.OK || v.Signed != 30 {
		t.Errorf("with the tree: %+v", v)
	}

	// Who writes the log around Annal writes what they like: it is signed as anything else.
	l.force(`insert into eventlog.events select 32, gen_random_uuid(), organization, category, gen_random_uuid(), 1, type, schema, '{"phone":"made up"}', metadata, occurred_at, recorded_at
		from eventlog.events where position = 31; update eventlog.head set position = 32`)
	fresh := l.with(l.key, l.dir)
	if c := l.sign(fresh); c.Size != 32 {
		t.Errorf("%+v", c)
	}

	// A bundle of a stream says nothing of what follows in it.
	events := must(l.log.ReadAll(t.Context(), 0, 1))
	var bundle strings.Builder
	must(fresh.Bundle(t.Context(), &bundle, transparency.Scope{Stream: events[0].Stream}))
	must(l.log.Append(t.Context(), events[0].Stream, 20, eventlog.NewEvent{ID: uuid.New(), Type: "customer.archived", Schema: 1, OccurredAt: time.Now(), Data: []byte(`{}`), Meta: []byte(`{}`)}))
	l.sign(fresh)
	if b, err := transparency.VerifyBundle(strings.NewReader(bundle.String()), verifierOf(t, fresh), nil); err != nil || b.Events != 20 {
		t.Errorf("%+v %v", b, err)
	}
}

// A backup of everything from before, put back: that is a log that was rolled back, and the way that the page names leads on.
func TestARestoreIsToldAndThenOwned(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 30)
	tree := l.with(l.key, l.dir)
	witness := must(transparency.NewWitness("witness.example", transparency.KeySource{Value: transparency.NewKey()}, t.TempDir(), []string{tree.VerifierKey()}))
	server := httptest.NewServer(witness)
	t.Cleanup(server.Close)
	publisher := transparency.Publisher{Witnesses: []string{server.URL}}
	l.sign(tree)
	l.force(keep)
	l.write(10)
	must(publisher.Publish(t.Context(), tree, l.sign(tree)))
	l.force(putBack)
	if v := l.verify(l.with(l.key, l.dir), transparency.VerifyOptions{}); v.OK || !strings.Contains(v.Problem, "40 events were signed") || !strings.Contains(v.Problem, "newest are missing") {
		t.Errorf("%+v", v)
	}
	again, err := postgres.Open(t.Context(), l.pool, postgres.Config{}) // another process, which knows nothing of later
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	l.log = again
	for range 2 { // as it was put back, and once it has grown past what was signed
		if _, err := l.with(l.key, l.dir).Checkpoint(t.Context()); !errors.Is(err, transparency.ErrForked) {
			t.Errorf("it is signed: %v", err)
		}
		l.write(20)
	}
	moved := must(filepath.Glob(filepath.Join(l.dir, "checkpoint-*")))
	if len(moved) != 1 || os.Rename(moved[0], filepath.Join(t.TempDir(), "with a note of why")) != nil {
		t.Fatal(moved)
	}
	tree = l.with(l.key, l.dir)
	c := l.sign(tree)
	if v := l.verify(tree, transparency.VerifyOptions{}); c.Size != 70 || !v.OK || v.Signed != 70 {
		t.Errorf("%+v %+v", c, v)
	}
	if c, err := publisher.Publish(t.Context(), tree, c); err == nil || transparency.Cosigned(c.Note, witness.VerifierKey()) == nil {
		t.Errorf("a witness cosigns the restored log: %v", err)
	}
}

// replaced is a log in EventStoreDB whose server gives other events than it got: its owner has changed them.
type replaced struct {
	eventlog.Log
	events []eventlog.Event
}

func (r *replaced) ReadAll(_ context.Context, after eventlog.Position, limit int) ([]eventlog.Event, error) {
	from := slices.IndexFunc(r.events, func(e eventlog.Event) bool { return e.Position > after })
	if from < 0 {
		return nil, nil
	}
	return r.events[from:min(from+limit, len(r.events))], nil
}

func (r *replaced) Head(context.Context) (eventlog.Position, error) {
	return r.events[len(r.events)-1].Position, nil
}

// The same where the log is in EventStoreDB, whose positions have gaps.
func TestAnEventStoreDBThatGivesOtherEventsIsTold(t *testing.T) {
	t.Parallel()
	cluster := must(esdbtest.New(esdbtest.Config{}))
	t.Cleanup(cluster.Close)
	log := must(eventstoredb.Open(t.Context(), cluster.URL(), eventstoredb.Config{}))
	t.Cleanup(log.Close)
	l := &ledger{T: t, pool: pgtest.New(t, transparency.Migrate), log: log, key: transparency.NewKey(), dir: t.TempDir()}
	l.write(30)
	signed := l.sign(l.with(l.key, l.dir))
	l.force(`create table kept_trees as table transparency.trees; create table kept_tiles as table transparency.tiles; create table kept_notes as table transparency.checkpoints`)
	recorded := must(log.ReadAll(t.Context(), 0, 1000))
	at := func(i int) int { return int(recorded[i].Position) }
	for what, a := range map[string]struct {
		change func([]eventlog.Event) []eventlog.Event
		from   int
	}{
		"nothing":        {func(all []eventlog.Event) []eventlog.Event { return all }, 0},
		"a byte of data": {func(all []eventlog.Event) []eventlog.Event { all[19].Data = []byte(`{"phone": "+1 556"}`); return all }, at(19)},
		"metadata":       {func(all []eventlog.Event) []eventlog.Event { all[19].Meta = []byte(`{}`); return all }, at(19)},
		"recordedAt": {func(all []eventlog.Event) []eventlog.Event {
			all[19].RecordedAt = all[19].RecordedAt.Add(time.Microsecond)
			return all
		}, at(19)},
		"one removed":     {func(all []eventlog.Event) []eventlog.Event { return slices.Delete(all, 19, 20) }, at(19)},
		"the newest gone": {func(all []eventlog.Event) []eventlog.Event { return all[:25] }, at(25)},
		"two swapped": {func(all []eventlog.Event) []eventlog.Event {
			all[19], all[24], all[19].Position, all[24].Position = all[24], all[19], all[24].Position, all[19].Position
			all[19].Position, all[24].Position = recorded[19].Position, recorded[24].Position
			return all
		}, at(19)},
		"one inserted": {func(all []eventlog.Event) []eventlog.Event {
			more := all[19]
			more.ID, more.Position = uuid.New(), all[18].Position+1
			return slices.Insert(all, 19, more)
		}, at(18) + 1},
	} {
		l.log = &replaced{log, a.change(slices.Clone(recorded))}
		v := l.verify(l.with("", ""), transparency.VerifyOptions{})
		if v.OK != (a.from == 0) || int(v.Position) != a.from && a.from > 0 {
			t.Errorf("%s: %+v, want position %d", what, v, a.from)
		}
		l.regrow()
		if v := l.verify(l.with("", ""), transparency.VerifyOptions{}); !v.OK {
			t.Errorf("%s, with the tree and nothing kept: %+v", what, v)
		}
		l.force(putNotesBack)
		if v := l.verify(l.with("", ""), transparency.VerifyOptions{Checkpoint: signed.Note}); v.OK != (a.from == 0) {
			t.Errorf("%s, with the tree, by a checkpoint kept elsewhere: %+v", what, v)
		}
		l.force(`truncate transparency.trees, transparency.tiles, transparency.checkpoints; insert into transparency.trees table kept_trees;
			insert into transparency.tiles table kept_tiles; insert into transparency.checkpoints table kept_notes`)
	}
}

// A view can show a verification the truth and everybody else a forgery: the log's tables must be tables.
func TestALogThatAnswersAsItLikesIsTold(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 20)
	tree := l.with(l.key, l.dir)
	signed := l.sign(tree)
	verify := func(want bool) {
		t.Helper()
		v := l.verify(l.with("", ""), transparency.VerifyOptions{Checkpoint: signed.Note, Key: tree.VerifierKey()})
		if v.OK != want || !want && (!strings.Contains(v.Problem, "eventlog.events is no plain table") || v.Position != 0) {
			t.Errorf("%+v", v)
		}
	}
	owner := func(statements string) {
		t.Helper()
		if _, err := l.pool.Exec(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
	}
	verify(true)
	owner(`alter table eventlog.events rename to held; create view eventlog.events as select position, id, organization, category, stream, version, type, schema, data, metadata,
		case when position = 7 and current_query() not like '%e.position > $1%' then occurred_at - interval '400 days' else occurred_at end as occurred_at, recorded_at from eventlog.held`)
	verify(false)
	owner(`drop view eventlog.events; alter table eventlog.held rename to events`)
	verify(true)
	owner(`alter table eventlog.events enable row level security; create policy part on eventlog.events using (position <> 7)`) // its owner sees all rows
	verify(false)
}
