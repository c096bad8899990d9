package engine_test

import (
	"flag"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
)

// Whatever the history, whatever the pages, whenever the engine was started anew: live folding, a rebuild with much memory
// and one with next to none give equal rows.
func TestLiveFoldingAndRebuildGiveEqualRows(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		defer f.Value.Set(f.DefValue)
		f.Value.Set("25") // each makes and drops a dozen tables
	}
	h := newHouse(t)
	var version atomic.Int32
	rapid.Check(t, func(t *rapid.T) {
		h.log = memory.New()
		v := int(version.Add(1))
		l := newLedger(v)
		model := l.model(v)
		pageSize := rapid.IntRange(1, 20)
		for range rapid.IntRange(1, 3).Draw(t, "lives") {
			history := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 40).Draw(t, "history")
			e := h.engine(engine.Config{PageSize: pageSize.Draw(t, "page size")}, model)
			before := rapid.IntRange(0, len(history)).Draw(t, "events before the start")
			h.append(history[:before]...)
			stop := h.run(e)
			head := h.append(history[before:]...)
			if rapid.Bool().Draw(t, "in peace") {
				if err := e.Wait(h.Context(), head); err != nil {
					t.Fatal(err, h.logged())
				}
			}
			stop()
		}
		head, _ := h.log.Head(h.Context())
		e := h.engine(engine.Config{}, model)
		stop := h.run(e)
		if err := e.Wait(h.Context(), head); err != nil {
			t.Fatal(err, h.logged())
		}
		stop()
		live := dump(h, h.pool, model)
		for _, memory := range []int{0, 1500} {
			e := h.engine(engine.Config{PageSize: pageSize.Draw(t, "page size of the rebuild"), Memory: memory}, model)
			done, err := e.Rebuild(h.Context(), "ledger", engine.RebuildOptions{Verify: true})
			if err != nil || !done.Verified || done.Different != 0 {
				t.Fatalf("%+v %v", done, err)
			}
			if rebuilt := dump(h, h.pool, model); rebuilt != live || live == "" {
				t.Fatalf("live:\n%s\nrebuilt:\n%s", live, rebuilt)
			}
		}
	})
}

func drawEvent(t *rapid.T) eventlog.Event {
	s := stream(rapid.IntRange(1, 12).Draw(t, "customer"))
	word := rapid.SampledFrom([]string{"", "a", "b", "retail", "it's", `"{}\,`, "Grüße 🎈", "NULL"})
	number := rapid.SampledFrom([]string{"", "0", "10.50", "-3", "1500", "123456789012345.1234", "0.10"})
	switch rapid.IntRange(0, 6).Draw(t, "what") {
	case 0, 1:
		return foldtest.Event(s, customer.Registered{Name: word.Draw(t, "name"), Sector: word.Draw(t, "sector"), Website: word.Draw(t, "website"),
			Phone: number.Draw(t, "value"), Owner: uuid.UUID{0: byte(rapid.IntRange(0, 3).Draw(t, "owner"))}})
	case 2:
		return foldtest.Event(s, customer.Edited{Name: &domain.Change{To: word.Draw(t, "name")}, Phone: &domain.Change{To: number.Draw(t, "value")}})
	case 3:
		return foldtest.Event(s, customer.Edited{Sector: &domain.Change{To: word.Draw(t, "sector")}})
	case 4:
		return foldtest.Event(s, customer.Reassigned{To: uuid.UUID{0: byte(rapid.IntRange(0, 3).Draw(t, "owner"))}})
	case 5:
		return foldtest.Event(s, customer.Archived{})
	}
	return foldtest.Event(s, customer.Restored{})
}
