package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
)

func renamed(n int, name string) eventlog.Event {
	return foldtest.Event(stream(n), customer.Edited{Name: &domain.Change{To: name}})
}

func (h *house) parked(e *engine.Engine) (parked []engine.Parked) {
	h.Helper()
	parked, err := e.Parked(h.Context(), engine.ParkedFilter{})
	if err != nil {
		h.Fatal(err)
	}
	return parked
}

func (h *house) name(l *ledger, n int) string {
	h.Helper()
	items, err := l.items.Find(h.Context(), h.pool, "customer = $1", stream(n).ID)
	if err != nil || len(items) > 1 {
		h.Fatal(items, err)
	}
	if len(items) == 0 {
		return "(none)"
	}
	return items[0].Name
}

func TestAnEventThatCannotBeFoldedParksItsStreamAlone(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	var trouble atomic.Bool
	trouble.Store(true)
	l.trouble = func(f *eventcodec.Event) error {
		if trouble.Load() && f.Stream == stream(7) && f.Version == 2 {
			panic(errTrouble)
		}
		return nil
	}
	registry := prometheus.NewRegistry()
	e := h.engine(engine.Config{Metrics: registry}, l.model(1), Portfolios)
	h.append(registered(1, "good"), registered(7, "before"))
	bad := h.append(renamed(7, "never seen"))
	h.append(registered(2, "good too"))
	h.run(e)
	if err := e.Wait(t.Context(), h.append(renamed(7, "later"), renamed(1, "better"))); err != nil {
		t.Fatal(err)
	}
	// One that comes when the stream is parked already, in a page of its own.
	head := h.append(renamed(7, "latest"))
	if err := e.Wait(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	if got := h.name(l, 1) + ", " + h.name(l, 2) + ", " + h.name(l, 7); got != "better, good too, before" {
		t.Error(got)
	}
	if s := h.status(e, "ledger"); s.State != engine.Live || s.Parked != 3 || s.Position != head {
		t.Errorf("%+v", s)
	}
	if s := h.status(e, "portfolios"); s.Parked != 0 {
		t.Errorf("%+v", s)
	}
	parked := h.parked(e)
	if len(parked) != 1 {
		t.Fatalf("%+v", parked)
	}
	if p := parked[0]; p.Model != "ledger" || p.Position != bad || p.Stream != stream(7) || p.StreamVersion != 2 || p.Type != "customer.edited" ||
		!strings.Contains(p.Error, "trouble") || p.Waiting != 2 || p.At.IsZero() {
		t.Errorf("%+v", p)
	}
	if !strings.Contains(h.logged(), fmt.Sprintf("position=%d", bad)) || strings.Contains(h.logged(), "never seen") {
		t.Error(h.logged())
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
		# HELP annal_projection_parked Parked events: those that cannot be folded, and the later ones of their streams.
		# TYPE annal_projection_parked gauge
		annal_projection_parked{model="ledger"} 3
		annal_projection_parked{model="portfolios"} 0
		`), "annal_projection_parked"); err != nil {
		t.Error(err)
	}

	// Not mended yet: it stays as it is. A rebuild parks the same.
	if done, err := e.RetryParked(t.Context(), "ledger", bad); err != nil || done.Folded != 0 || done.Left != 3 || !strings.Contains(done.Error, "trouble") {
		t.Errorf("%+v %v", done, err)
	}
	if done, err := e.Rebuild(t.Context(), "ledger", engine.RebuildOptions{Verify: true}); err != nil || done.Different != 0 || done.Parked != 3 {
		t.Errorf("%+v %v", done, err)
	}
	if again := h.parked(e); len(again) != 1 || again[0].Position != bad || again[0].Waiting != 2 {
		t.Errorf("%+v", again)
	}

	// Mended, and written to while it is retried.
	trouble.Store(false)
	if done, err := e.RetryParked(t.Context(), "ledger", bad); err != nil || done != (engine.Retried{Folded: 3}) {
		t.Errorf("%+v %v", done, err)
	}
	if got := h.name(l, 7); got != "latest" {
		t.Error(got)
	}
	if err := e.Wait(t.Context(), h.append(renamed(7, "and on"))); err != nil || h.name(l, 7) != "and on" {
		t.Error(h.name(l, 7), err)
	}
	if _, err := e.RetryParked(t.Context(), "ledger", bad); !errors.Is(err, engine.ErrNotParked) {
		t.Error(err)
	}
}

func TestASkippedEventStaysOutAndTheRestOfItsStreamGoesOn(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	l.trouble = func(f *eventcodec.Event) error {
		if f.Stream == stream(7) && (f.Version == 2 || f.Version == 4) {
			return errTrouble
		}
		return nil
	}
	e := h.engine(engine.Config{}, l.model(1))
	h.run(e)
	head := h.append(registered(7, "one"), renamed(7, "two"), renamed(7, "three"), renamed(7, "four"), renamed(7, "five"))
	if err := e.Wait(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	if _, err := e.SkipParked(t.Context(), "ledger", 3); !errors.Is(err, engine.ErrNotParked) {
		t.Error("skipped one that only waits:", err)
	}
	if done, err := e.SkipParked(t.Context(), "ledger", 2); err != nil || done.Folded != 2 || done.Left != 2 || !strings.Contains(done.Error, "trouble") {
		t.Errorf("%+v %v", done, err)
	}
	if p := h.parked(e); len(p) != 1 || p[0].Position != 4 || p[0].Waiting != 1 || h.name(l, 7) != "three" {
		t.Errorf("%+v %s", p, h.name(l, 7))
	}
	if done, err := e.SkipParked(t.Context(), "ledger", 4); err != nil || done != (engine.Retried{Folded: 2}) {
		t.Errorf("%+v %v", done, err)
	}
	if p := h.parked(e); len(p) != 0 || h.name(l, 7) != "five" {
		t.Errorf("%+v %s", p, h.name(l, 7))
	}
	h.wantEqualRebuild(e, l) // it leaves out what was skipped
	// An event skipped in another version of the read model is not folded by a retry in this one.
	if _, err := h.pool.Exec(t.Context(), `insert into projections.parked (name, version, position, organization, category, stream, stream_version, event, type, error)
		select 'ledger', 1, position, organization, category, stream, 2, event, 'customer.edited', 'x' from projections.skipped,
		(values (2::bigint, $1::uuid, 'customer', $2::uuid)) as at (position, organization, category, stream) order by skipped_at limit 1`, stream(7).Organization, stream(7).ID); err != nil {
		t.Fatal(err)
	}
	if done, err := e.RetryParked(t.Context(), "ledger", 2); err != nil || done != (engine.Retried{Folded: 1}) || h.name(l, 7) != "five" {
		t.Errorf("%+v %v %s", done, err, h.name(l, 7))
	}
	if err := e.Wait(t.Context(), h.append(renamed(7, "six"))); err != nil || h.name(l, 7) != "six" {
		t.Error(h.name(l, 7), err)
	}
}

// Each of these the log takes and the tables do not, or nobody can make sense of: they must be found among good ones, live and
// in a rebuild, which keeps thousands of events in hand before it writes.
func TestWhatCannotBeStoredOrReadIsParked(t *testing.T) {
	t.Parallel()
	unreadable := foldtest.EventBy(stream(3), customer.Registered{Name: "three"}, domain.Metadata{})
	unreadable.Meta = []byte(`{"ip":{"sealed":"x"},"actor":"nobody, but as long as a uuid has to"}`)
	malformed := registered(3, "three")
	malformed.Data = []byte(`{"name": 5}`)
	long := make([]byte, 8000) // no index takes it: it does not compress
	for i := range long {
		long[i] = byte('!' + rand.N(90))
	}
	for name, bad := range map[string]eventlog.Event{
		"a zero byte":        foldtest.Event(stream(3), customer.Registered{Name: "thr\x00ee"}),
		"a word as a number": foldtest.Event(stream(3), customer.Registered{Name: "three", Phone: "many"}),
		"unreadable":         unreadable,
		"malformed":          malformed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, l := newHouse(t), newLedger(1)
			h.append(registered(1, "one"), registered(2, "two"), bad)
			head := h.append(registered(4, "four"), renamed(3, "later"))
			e := h.engine(engine.Config{}, l.model(1))
			h.run(e)
			if err := e.Wait(t.Context(), head); err != nil {
				t.Fatal(err, h.logged())
			}
			for range 2 {
				if p := h.parked(e); len(p) != 1 || p[0].Position != 3 || p[0].Waiting != 1 {
					t.Errorf("%+v", p)
				}
				if n, err := l.items.Count(t.Context(), h.pool, "true"); n != 3 || err != nil {
					t.Error(n, err)
				}
				h.wantEqualRebuild(e, l)
			}
			if done, err := e.RetryParked(t.Context(), "ledger", 3); err != nil || done.Left != 2 || done.Error == "" {
				t.Errorf("%+v %v", done, err)
			}
		})
	}
	t.Run("too long for an index", func(t *testing.T) { // only Postgres can tell
		t.Parallel()
		h, l := newHouse(t), newLedger(1)
		h.append(registered(1, "one"), registered(2, "two"), registered(3, string(long)))
		head := h.append(registered(4, "four"), foldtest.Event(stream(3), customer.Reassigned{To: uuid.UUID{1}}))
		e := h.engine(engine.Config{}, l.model(1))
		h.run(e)
		if err := e.Wait(t.Context(), head); err != nil {
			t.Fatal(err, h.logged())
		}
		if p := h.parked(e); len(p) != 1 || p[0].Position != 3 || p[0].Waiting != 1 {
			t.Errorf("%+v", p)
		}
		if done, err := e.RetryParked(t.Context(), "ledger", 3); err != nil || done.Left != 2 || !strings.Contains(done.Error, "index row") {
			t.Errorf("%+v %v", done, err)
		}
	})
}

func TestALongParkedStreamIsRetriedInParts(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	l.trouble = func(f *eventcodec.Event) error {
		if f.Version == 2 {
			return errTrouble
		}
		return nil
	}
	h.append(registered(7, "one"))
	for n := range 1100 {
		if _, err := h.log.Append(t.Context(), stream(7), eventlog.Version(1+n), newEvent(renamed(7, fmt.Sprint("name ", n)))); err != nil {
			t.Fatal(err)
		}
	}
	e := h.engine(engine.Config{}, l.model(1))
	h.run(e)
	if err := e.Wait(t.Context(), 1101); err != nil {
		t.Fatal(err)
	}
	if done, err := e.SkipParked(t.Context(), "ledger", 2); err != nil || done != (engine.Retried{Folded: 1100}) {
		t.Errorf("%+v %v", done, err)
	}
	if got := h.name(l, 7); got != "name 1099" {
		t.Error(got)
	}
	h.wantEqualRebuild(e, l)
}

func newEvent(e eventlog.Event) eventlog.NewEvent {
	e.ID, e.OccurredAt = uuid.New(), foldtest.Start
	return e.NewEvent
}

// A fold that fails halfway has changed rows that others share: nothing of that may stay.
func TestAFoldThatFailsHalfwayChangesNothing(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	good := l.model(1)
	half := good
	half.Fold = func(f *eventcodec.Event, rows *engine.Rows) error {
		err := good.Fold(f, rows)
		if err == nil && f.Stream == stream(3) {
			err = errTrouble // after it has counted and written
		}
		return err
	}
	h.append(registered(1, "one"), registered(3, "three"), registered(2, "two"))
	e := h.engine(engine.Config{}, half)
	h.run(e)
	if err := e.Wait(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		sectors, err := l.sectors.Find(t.Context(), h.pool, "true")
		if err != nil || len(sectors) != 1 || sectors[0].Customers != 2 || h.name(l, 3) != "(none)" {
			t.Error(sectors, h.name(l, 3), err)
		}
		if n, err := l.journal.Count(t.Context(), h.pool, "true"); n != 2 || err != nil {
			t.Error(n, err)
		}
		if _, err := e.Rebuild(t.Context(), "ledger", engine.RebuildOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
