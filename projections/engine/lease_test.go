package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
)

func (h *house) runner(e *engine.Engine) string {
	h.Helper()
	return h.status(e, "ledger").Runner
}

func TestOneOfSeveralEnginesFoldsAndAnotherTakesOverWhenItEnds(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	one := h.engine(engine.Config{Process: "one"}, l.model(1))
	stop := h.run(one)
	h.eventually("one folds", func() bool { return h.runner(one) == "one" })
	two := h.engine(engine.Config{Process: "two"}, l.model(1))
	h.run(two)
	head := h.append(registered(1, "a"))
	for _, e := range []*engine.Engine{one, two} {
		if err := e.Wait(t.Context(), head); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.runner(two); got != "one" {
		t.Error(got)
	}
	stop()
	began := time.Now()
	h.eventually("two has taken over", func() bool { return h.runner(two) == "two" })
	if took := time.Since(began); took > 2*time.Second { // it was given back, not left to run out
		t.Error("after", took)
	}
	// Taken away and given back while nothing happens in the log: it is taken again all the same.
	if _, err := h.pool.Exec(t.Context(), "update projections.checkpoints set epoch = epoch + 1, holder = gen_random_uuid(), runner = 'third', leased_until = now() + interval '2 s'"); err != nil {
		t.Fatal(err)
	}
	h.eventually("two folds again", func() bool { return h.runner(two) == "two" })
	if err := two.Wait(t.Context(), h.append(registered(2, "b"))); err != nil {
		t.Error(err)
	}
	h.wantEqualRebuild(two, l)
}

// A runner that was paused for longer than its lease holds rows, a page, and the belief that it is alone. The test plays the
// other process by SQL, so that it can do so between two steps of the runner.
func TestARunnerThatWakesUpLateWritesNothing(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	var tried atomic.Bool
	l.trouble = func(f *eventcodec.Event) error {
		if f.Stream == stream(2) {
			tried.Store(true)
		}
		return nil
	}
	e := h.engine(engine.Config{Process: "late", Lease: time.Minute}, l.model(1)) // it does not look for a while
	h.run(e)
	if err := e.Wait(t.Context(), h.append(registered(1, "one"))); err != nil {
		t.Fatal(err)
	}
	if _, err := h.pool.Exec(t.Context(), "update projections.checkpoints set epoch = epoch + 1, holder = gen_random_uuid(), runner = 'other', leased_until = now() + interval '5 min'"); err != nil {
		t.Fatal(err)
	}
	h.append(registered(2, "two"))
	h.eventually("it tries", tried.Load)
	time.Sleep(500 * time.Millisecond) // what it has folded it sends at once, and is refused
	if n, err := l.items.Count(t.Context(), h.pool, "true"); n != 1 || err != nil {
		t.Error(n, "rows: a runner without its lease has written", err)
	}
	if s := h.status(e, "ledger"); s.Position != 1 || s.Runner != "other" {
		t.Errorf("%+v", s)
	}
}

func TestARunnerThatHangsGivesItsReadModelUp(t *testing.T) {
	t.Parallel()
	h, hangs, l := newHouse(t), newLedger(1), newLedger(1)
	over := make(chan struct{})
	hangs.trouble = func(f *eventcodec.Event) error {
		if f.Stream == stream(7) {
			<-over
		}
		return nil
	}
	one := h.engine(engine.Config{Process: "one", Attempt: 300 * time.Millisecond}, hangs.model(1))
	h.run(one)
	t.Cleanup(func() { close(over) }) // before it is stopped
	if err := one.Wait(t.Context(), h.append(registered(1, "good"))); err != nil {
		t.Fatal(err)
	}
	two := h.engine(engine.Config{Process: "two"}, l.model(1))
	h.run(two)
	if err := two.Wait(t.Context(), h.append(registered(7, "slow"))); err != nil {
		t.Fatal(err, h.logged())
	}
	if got := h.runner(two); got != "two" {
		t.Error(got)
	}
	h.wantEqualRebuild(two, l)
}

// After a crash of Postgres that took a takeover away another one may have counted to the same epoch: the holder tells.
func TestAnEpochThatComesAgainIsNotTakenForOnesOwn(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	e := h.engine(engine.Config{Process: "crashed"}, l.model(1))
	h.run(e)
	if err := e.Wait(t.Context(), h.append(registered(1, "one"))); err != nil {
		t.Fatal(err)
	}
	if _, err := h.pool.Exec(t.Context(), "update projections.checkpoints set holder = gen_random_uuid(), runner = 'other', leased_until = now() + interval '3 s'"); err != nil {
		t.Fatal(err)
	}
	h.eventually("it sees that another holds it", func() bool { return strings.Contains(h.logged(), "another process has taken over") })
	h.eventually("and takes it when that is gone", func() bool { return h.runner(e) == "crashed" })
}

// The connection of a runner that stands still in the midst of a transaction keeps the locks that the next one needs.
func TestTheLocksOfARunnerThatIsNotHeardOfAreBroken(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	e := h.engine(engine.Config{Lease: 600 * time.Millisecond}, l.model(1))
	if err := e.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	paused, err := h.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer paused.Rollback(context.Background())
	if _, err := h.pool.Exec(t.Context(), "update projections.checkpoints set epoch = 7, holder = gen_random_uuid(), runner = 'paused', leased_until = now() + interval '1 s'"); err != nil {
		t.Fatal(err)
	}
	if _, err := paused.Exec(t.Context(), "select projections.move('ledger', 1, 7, 0, 0, 1, '')"); err != nil {
		t.Fatal(err)
	}
	h.run(e)
	head := h.append(registered(1, "one"))
	if err := e.Wait(t.Context(), head); err != nil {
		t.Fatal(err, h.logged())
	}
	if err := paused.Commit(t.Context()); err == nil {
		t.Error("what the paused one had in hand was committed")
	}
	h.wantEqualRebuild(e, l)
}

// Engines that come and go, take over from each other and lose their connections: each event counts once.
func TestEachEventCountsOnceWhileLeasesWander(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var robbed atomic.Int64
	ended := make(chan struct{})
	go func() { // leases that run out at once, as if the process had been paused
		defer close(ended)
		for ctx.Err() == nil {
			tag, err := h.pool.Exec(context.Background(), "update projections.checkpoints set leased_until = now() - interval '1 s'")
			if err == nil {
				robbed.Add(tag.RowsAffected())
			}
			time.Sleep(30 * time.Millisecond)
		}
	}()
	engines := make([]*engine.Engine, 3)
	for i := range engines {
		engines[i] = h.engine(engine.Config{PageSize: 5 + i, Lease: 300 * time.Millisecond, Process: fmt.Sprint(i)}, l.model(1))
		h.run(engines[i])
	}
	var head eventlog.Position
	runners := make(map[string]bool)
	for n := 0; n < 400 || n < 20_000 && (robbed.Load() < 10 || len(runners) < 2); n++ { // however fast the machine is
		head = h.append(registered(n, fmt.Sprint("customer ", n)))
		if n%20 == 0 {
			time.Sleep(50 * time.Millisecond)
			runners[h.lastRunner()] = true
		}
	}
	cancel()
	<-ended
	if n := robbed.Load(); n < 10 {
		t.Error("leases ran out only", n, "times")
	}
	for _, e := range engines {
		if err := e.Wait(t.Context(), head); err != nil {
			t.Fatal(err, h.logged())
		}
	}
	if len(runners) < 2 {
		t.Error("it never wandered:", runners)
	}
	h.wantEqualRebuild(engines[0], l)
}

// lastRunner returns who folded last, whether or not the lease has run out.
func (h *house) lastRunner() (name string) {
	h.Helper()
	if err := h.pool.QueryRow(context.Background(), "select coalesce((select runner from projections.checkpoints where name = 'ledger'), '')").Scan(&name); err != nil {
		h.Fatal(err)
	}
	return name
}

// What the log holds but no fold of the model wants costs no transaction a page; its checkpoint follows nevertheless, for those
// in other processes who wait.
func TestTheCheckpointFollowsAlsoWhereNothingMatters(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	e, elsewhere := h.engine(engine.Config{}, l.model(1)), h.engine(engine.Config{}, l.model(1))
	h.run(e)
	head := h.append(registered(1, "one"))
	for n := range 20 {
		other := registered(n, "of another aggregate")
		other.Type, other.Stream.Category = "account.locked", "account"
		head = h.append(other)
		if err := e.Wait(t.Context(), head); err != nil {
			t.Fatal(err)
		}
	}
	if err := elsewhere.Wait(t.Context(), head); err != nil {
		t.Error(err)
	}
	if err := e.Wait(t.Context(), h.append(registered(2, "two"))); err != nil {
		t.Error(err)
	}
	h.wantEqualRebuild(e, l)

	// Somebody else moves the checkpoint, a rebuild or a retry, before the last of such pages: nothing comes after it.
	if _, err := h.pool.Exec(t.Context(), "update projections.checkpoints set generation = generation + 1"); err != nil {
		t.Fatal(err)
	}
	last := registered(50, "of another aggregate")
	last.Type, last.Stream.Category = "account.locked", "account"
	head = h.append(last)
	h.eventually("the checkpoint follows", func() bool { return h.status(e, "ledger").Position == head })
}

func TestFormerVersionsAreKeptWhileSomebodyServesThem(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	schemas := func() (names string) {
		t.Helper()
		if err := h.pool.QueryRow(t.Context(), "select coalesce(string_agg(nspname, ' ' order by nspname), '') from pg_namespace where nspname like 'ledger%'").Scan(&names); err != nil {
			t.Fatal(err)
		}
		return names
	}
	former, latter := newLedger(1), newLedger(2)
	old := h.engine(engine.Config{}, former.model(1))
	stopOld := h.run(old)
	head := h.append(registered(1, "one"), registered(2, "two"))
	if err := old.Wait(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	next := h.engine(engine.Config{KeepPrevious: time.Hour}, latter.model(2))
	stop := h.run(next)
	head = h.append(registered(3, "three"))
	for name, e := range map[string]*engine.Engine{"old": old, "new": next} { // both fold, each its own
		if err := e.Wait(t.Context(), head); err != nil {
			t.Error(name, err)
		}
	}
	for _, l := range []*ledger{former, latter} {
		if n, err := l.items.Count(t.Context(), h.pool, "true"); n != 3 || err != nil {
			t.Error(n, err)
		}
	}
	stop()
	stopOld()
	stop = h.run(h.engine(engine.Config{KeepPrevious: time.Hour}, latter.model(2)))
	time.Sleep(300 * time.Millisecond)
	if got := schemas(); got != "ledger_v1 ledger_v2" { // one may still go back to the program of yesterday
		t.Error(got)
	}
	stop()
	h.run(h.engine(engine.Config{KeepPrevious: 100 * time.Millisecond}, latter.model(2)))
	h.eventually("what nobody serves goes", func() bool { return schemas() == "ledger_v2" })
}
