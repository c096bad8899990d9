package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
)

func TestAResultIsFoldedFromAPastBesideTheLiveRows(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	e := h.engine(engine.Config{}, l.model(1))
	h.run(e)
	dated := func(e eventlog.Event, day int) eventlog.Event {
		e.OccurredAt = foldtest.Start.AddDate(0, 0, day)
		return e
	}
	elsewhere := registered(9, "of another organization")
	elsewhere.Stream.Organization = uuid.UUID{7}
	head := h.append(dated(registered(1, "one"), 0), dated(renamed(1, "uno"), 10), dated(registered(2, "two"), 5), elsewhere)
	if err := e.Wait(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	live := dump(t, h.pool, l.model(1))
	names := func(o engine.ResultOptions) (names []string, r *engine.Result) {
		t.Helper()
		r, err := e.FoldResult(t.Context(), "ledger", "result_test", o)
		if err != nil {
			t.Fatal(err)
		}
		items, err := l.items.Find(t.Context(), r.DB(), "true order by customer")
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			names = append(names, i.Name)
		}
		return names, r
	}
	for what, c := range map[string]struct {
		options engine.ResultOptions
		want    []string
	}{
		"everything":    {engine.ResultOptions{}, []string{"uno", "two", "of another organization"}},
		"a position":    {engine.ResultOptions{AsOf: eventlog.AsOf{Position: 1}}, []string{"one"}},
		"happened by":   {engine.ResultOptions{AsOf: eventlog.AsOf{HappenedBy: foldtest.Start.AddDate(0, 0, 5)}, Organization: organization}, []string{"one", "two"}},
		"known by then": {engine.ResultOptions{AsOf: eventlog.AsOf{KnownAt: time.Now().Add(-time.Hour)}}, nil},
		"part of it":    {engine.ResultOptions{Only: func(e *eventlog.Event) bool { return e.Stream == stream(2) }}, []string{"two"}},
	} {
		got, r := names(c.options)
		if len(got) != len(c.want) {
			t.Error(what, got)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Error(what, got)
			}
		}
		different, _, err := r.Compare(t.Context(), nil)
		if err != nil || (different == 0) != (what == "everything") {
			t.Error(what, different, err)
		}
		if err := r.Drop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := e.FoldResult(t.Context(), "ledger", "result_test", engine.ResultOptions{AsOf: eventlog.AsOf{KnownAt: time.Now().Add(time.Hour)}}); !errors.Is(err, eventlog.ErrFuture) {
		t.Error(err)
	}
	if _, err := e.FoldResult(t.Context(), "ledger", "ledger_v1", engine.ResultOptions{}); err == nil {
		t.Error("a result in the place of the live tables")
	}
	if got := dump(t, h.pool, l.model(1)); got != live {
		t.Error("the live rows have changed:", got)
	}
}
