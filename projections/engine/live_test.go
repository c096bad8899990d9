package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
)

func TestRowsFollowTheLog(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	e := h.engine(engine.Config{}, l.model(1))
	h.run(e)
	ada := uuid.UUID{1}
	head := h.append(
		foldtest.Event(stream(1), customer.Registered{Name: "Acme", Sector: "retail", Website: "acme.example", Phone: "10.50"}),
		foldtest.Event(stream(2), customer.Registered{Name: "Umbrella", Sector: "retail"}),
		foldtest.Event(stream(1), customer.Edited{Name: &domain.Change{From: "Acme", To: "Acme, \"Ltd\" {}"}, Sector: &domain.Change{From: "retail", To: "medical"}}),
		foldtest.Event(stream(1), customer.Reassigned{To: ada}),
		foldtest.Event(stream(1), customer.Archived{}),
		foldtest.Event(stream(2), customer.Restored{}),
	)
	if err := e.Wait(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	items, err := l.items.Find(t.Context(), h.pool, "true order by customer")
	if err != nil || len(items) != 1 {
		t.Fatal(items, err)
	}
	got := items[0]
	if got.Name != `Acme, "Ltd" {}` || got.Sector != "medical" || *got.Website != "acme.example" || got.Owner != ada || len(got.Owners) != 1 || got.Owners[0] != ada ||
		fmt.Sprintf("%q", got.Names) != `["Acme" "Acme, \"Ltd\" {}"]` || got.Changes != 3 || got.Small != 4 || !got.Archived || !got.Since.Equal(foldtest.Start) ||
		!got.Closed.Equal(foldtest.Start) || got.Value != "10.50" || string(got.Data) != "{}" {
		t.Errorf("%+v", got)
	}
	sectors, err := l.sectors.Find(t.Context(), h.pool, "true")
	if err != nil || len(sectors) != 1 || sectors[0] != (sector{organization, "medical", 1}) {
		t.Error(sectors, err)
	}
	if n, err := l.journal.Count(t.Context(), h.pool, "position <= $1", int64(head)); n != 6 || err != nil {
		t.Error(n, err)
	}
	if s := h.status(e, "ledger"); s.State != engine.Live || s.Position != head || *s.Behind != 0 || s.Error != "" {
		t.Errorf("%+v", s)
	}
}

func TestAnEventOfAnUnknownFormIsSkippedAndCounted(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	later := registered(1, "from the future")
	later.Schema = 99
	head := h.append(later, registered(2, "two"))
	registry := prometheus.NewRegistry()
	e := h.engine(engine.Config{Metrics: registry}, l.model(1))
	h.run(e)
	if err := e.Wait(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	if n, err := l.items.Count(t.Context(), h.pool, "name = 'two'"); n != 1 || err != nil {
		t.Error(n, err)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
		# HELP annal_projection_unknown_events_total Events skipped because this program does not know their type.
		# TYPE annal_projection_unknown_events_total counter
		annal_projection_unknown_events_total{model="ledger"} 1
		`), "annal_projection_unknown_events_total"); err != nil {
		t.Error(err)
	}
}

// The journal has a primary key: an event folded twice would fail there, one folded never would be missing.
func TestEachEventCountsOnceWithTwoEngines(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	one, two := h.engine(engine.Config{PageSize: 7}, l.model(1)), h.engine(engine.Config{PageSize: 5}, l.model(1))
	h.run(one)
	h.run(two)
	var head eventlog.Position
	for n := range 300 {
		head = h.append(registered(n, fmt.Sprint("customer ", n)))
	}
	for _, e := range []*engine.Engine{one, two} {
		if err := e.Wait(t.Context(), head); err != nil {
			t.Fatal(err, h.logged())
		}
	}
	h.wantEqualRebuild(one, l)
}

func TestFoldingOutlivesLostConnections(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	registry := prometheus.NewRegistry()
	e := h.engine(engine.Config{PageSize: 3, Metrics: registry}, l.model(1))
	h.run(e)
	if err := e.Wait(t.Context(), h.append(registered(1, "the first"))); err != nil {
		t.Fatal(err)
	}
	killer, err := h.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Release()
	failures := func() int { // zero before the first
		t.Helper()
		failed, err := testutil.GatherAndCount(registry, "annal_projection_failures_total")
		if err != nil {
			t.Fatal(err)
		}
		return failed
	}
	began, killed := time.Now(), 0
	for n := 0; n < 300 || n < 3000 && failures() == 0; n++ { // until a connection was lost in the midst of an attempt
		head := h.append(registered(n+2, fmt.Sprint("customer ", n)))
		if n%30 == 10 {
			var some int
			if err := killer.QueryRow(t.Context(), `select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
				where datname = current_database() and pid <> pg_backend_pid()`).Scan(&some); err != nil {
				t.Fatal(err)
			}
			killed += some
		}
		if n%30 == 29 {
			if err := e.Wait(t.Context(), head); err != nil {
				t.Fatal(err, h.logged())
			}
		}
	}
	if killed < 5 || failures() == 0 {
		t.Error(killed, "connections were lost, and perhaps no attempt has failed: nothing was tried")
	}
	if said := strings.Count(h.logged(), "wait for the database"); said == 0 || said > 3+int(time.Since(began)/(30*time.Second)) {
		t.Errorf("told %d times, that is not once in half a minute: %s", said, h.logged())
	}
	if s := h.status(e, "ledger"); s.State != engine.Live {
		t.Errorf("%+v", s)
	}
	h.wantEqualRebuild(e, l)
}

// wantEqualRebuild rebuilds the ledger and wants the rows that live folding has made.
func (h *house) wantEqualRebuild(e *engine.Engine, l *ledger) {
	h.Helper()
	live := dump(h, h.pool, l.model(1))
	done, err := e.Rebuild(context.Background(), "ledger", engine.RebuildOptions{Verify: true})
	if err != nil || !done.Verified || done.Different != 0 {
		h.Errorf("%+v %v", done, err)
	}
	if rebuilt := dump(h, h.pool, l.model(1)); rebuilt != live {
		h.Errorf("live:\n%s\nrebuilt:\n%s", live, rebuilt)
	}
	if live == "" {
		h.Error("no rows: nothing was compared")
	}
}

func TestWaitEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	e := h.engine(engine.Config{WaitLimit: 50 * time.Millisecond}, Portfolios)
	if err := e.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, running := range []bool{false, true} {
		if running {
			h.run(e)
		}
		if err := e.Wait(t.Context(), 1000); !errors.Is(err, engine.ErrBehind) {
			t.Error(running, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Wait(ctx, 1000); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := e.Wait(t.Context(), 0, "nonsense"); err == nil {
		t.Error("waited for a read model that does not exist")
	}
}

// An engine of another process folds; this one only asks.
func TestWaitForAnEngineElsewhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	here, there := h.engine(engine.Config{}, Portfolios), h.engine(engine.Config{}, Portfolios)
	if err := here.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.run(there)
	head := h.append(registered(1, "one"))
	if err := here.Wait(t.Context(), head); err != nil {
		t.Error(err)
	}
}

func TestTablesThrownAwayAreFoldedAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	head := h.append(registered(1, "one"), registered(2, "two"))
	fold := func() {
		t.Helper()
		l := newLedger(1)
		e := h.engine(engine.Config{}, l.model(1))
		if err := e.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop := h.run(e)
		defer stop()
		if err := e.Wait(t.Context(), head); err != nil {
			t.Fatal(err)
		}
		if n, err := l.items.Count(t.Context(), h.pool, "true"); n != 2 || err != nil {
			t.Error(n, err)
		}
	}
	fold()
	if _, err := h.pool.Exec(t.Context(), "drop schema ledger_v1 cascade"); err != nil {
		t.Fatal(err)
	}
	fold()
}

// Commits do not wait for the disk: a crash of Postgres takes the last ones away, rows and checkpoint together. Nothing new
// happens afterwards that would make the runner look.
func TestCommitsThatACrashTookAwayAreMadeAgain(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	e := h.engine(engine.Config{Logger: slog.New(slog.DiscardHandler)}, l.model(1))
	h.run(e)
	head := h.append(
		foldtest.Event(stream(1), customer.Registered{Name: "Acme", Sector: "retail"}),
		foldtest.Event(stream(2), customer.Registered{Name: "Umbrella", Sector: "retail"}),
	)
	if err := e.Wait(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	before := dump(t, h.pool, l.model(1))
	sql := fmt.Sprintf("truncate %s, %s, %s; update projections.checkpoints set position = 0", l.items.In(h.pool), l.sectors.In(h.pool), l.journal.In(h.pool))
	_, err := h.pool.Exec(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); dump(t, h.pool, l.model(1)) != before; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("what was lost is not folded again:\n%s", dump(t, h.pool, l.model(1)))
		}
	}
	if err := e.Wait(t.Context(), head); err != nil {
		t.Error(err)
	}
}
