package engine_test

import (
	"context"
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
	kind := e.Results("test", engine.ResultLimits{AtOnce: 1})
	names := func(o engine.ResultOptions) (names []string, r *engine.Result) {
		t.Helper()
		r, err := kind.Make(t.Context(), "ledger", o)
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
		if err := r.Drop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := kind.Make(t.Context(), "ledger", engine.ResultOptions{AsOf: eventlog.AsOf{KnownAt: time.Now().Add(time.Hour)}}); !errors.Is(err, eventlog.ErrFuture) {
		t.Error(err)
	}
	if _, err := kind.Fold(t.Context(), "ledger", "ledger_v1", engine.ResultOptions{}); err == nil {
		t.Error("a result in the place of the live tables")
	}
	if got := dump(t, h.pool, l.model(1)); got != live {
		t.Error("the live rows have changed:", got)
	}
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	e := h.engine(engine.Config{}, l.model(1))
	if err := e.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.append(registered(1, "one"), registered(2, "two"))
	busy, tooMuch := errors.New("busy"), errors.New("too much")
	kind := func(l engine.ResultLimits) *engine.Results {
		l.AtOnce, l.Busy, l.TooMuch = 1, busy, tooMuch
		return e.Results("test", l)
	}
	schemas := func() (n int) {
		t.Helper()
		if err := h.pool.QueryRow(t.Context(), "select count(*) from pg_namespace where starts_with(nspname, 'result_')").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}

	one := kind(engine.ResultLimits{})
	if _, err := one.Reserve(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Make(t.Context(), "ledger", engine.ResultOptions{}); !errors.Is(err, busy) {
		t.Error("two at once:", err)
	}
	one.Release()
	if _, err := one.Make(t.Context(), "ledger", engine.ResultOptions{}); err != nil {
		t.Error("after the other:", err)
	}

	short := kind(engine.ResultLimits{Events: 1})
	for range 2 { // a refusal takes no place
		if _, err := short.Make(t.Context(), "ledger", engine.ResultOptions{}); !errors.Is(err, tooMuch) {
			t.Error("two events:", err)
		}
	}
	if _, err := short.Make(t.Context(), "ledger", engine.ResultOptions{AsOf: eventlog.AsOf{Position: 1}}); err != nil {
		t.Error("the first of them:", err)
	}
	if _, err := kind(engine.ResultLimits{Time: 1}).Make(t.Context(), "ledger", engine.ResultOptions{}); !errors.Is(err, tooMuch) && !errors.Is(err, context.DeadlineExceeded) {
		t.Error("in a nanosecond:", err)
	}

	// Of four results, one is kept for good, one has its time before it, one has expired, and of one nobody knows whose it is.
	minute, err := kind(engine.ResultLimits{Kept: time.Minute}).Make(t.Context(), "ledger", engine.ResultOptions{})
	if err != nil {
		t.Fatal(err)
	}
	old, err := kind(engine.ResultLimits{Kept: time.Minute}).Make(t.Context(), "ledger", engine.ResultOptions{})
	if err != nil {
		t.Fatal(err)
	}
	execute := func(sql string, args ...any) {
		t.Helper()
		if _, err := h.pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	execute("update projections.result_tables set expires_at = now() - interval '1 second' where schema = $1", old.Schema)
	execute("create schema result_of_an_older_program")
	before := schemas()
	next := kind(engine.ResultLimits{})
	if _, err := next.Reserve(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n := schemas(); n != before-1 {
		t.Errorf("%d of %d are left", n, before)
	}
	if _, err := l.items.Find(t.Context(), old.DB(), "true"); err == nil {
		t.Error("the expired one is there")
	}
	if rows, err := l.items.Find(t.Context(), minute.DB(), "true"); err != nil || len(rows) != 2 {
		t.Error(rows, err)
	}
	execute("update projections.result_tables set expires_at = now() - interval '1 second' where schema = 'result_of_an_older_program'")
	next.Release()
	if _, err := next.Reserve(t.Context(), 0); err != nil || schemas() != before-2 {
		t.Error("what nobody entered stays:", err)
	}
}
