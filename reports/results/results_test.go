package results

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/sales"
)

func TestParts(t *testing.T) {
	actor, record, other := uuid.New(), uuid.New(), uuid.New()
	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	e := eventlog.Event{NewEvent: eventlog.NewEvent{Type: "customer.edited", OccurredAt: at, Meta: []byte(`{"actor":"` + actor.String() + `"}`)}, Stream: eventlog.Stream{ID: record}}
	for name, c := range map[string]struct {
		part Part
		want bool
	}{
		"everything":        {Part{}, true},
		"its type":          {Part{Types: []string{"x", "customer.edited"}}, true},
		"another type":      {Part{Types: []string{"x"}}, false},
		"without its type":  {Part{Without: []string{"customer.edited"}}, false},
		"without another":   {Part{Without: []string{"x"}}, true},
		"its actor":         {Part{Actors: []uuid.UUID{other, actor}}, true},
		"another actor":     {Part{Actors: []uuid.UUID{other}}, false},
		"its record":        {Part{Streams: []uuid.UUID{record}}, true},
		"another record":    {Part{Streams: []uuid.UUID{other}}, false},
		"from then":         {Part{From: at}, true},
		"from later":        {Part{From: at.Add(1)}, false},
		"to then":           {Part{To: at}, false},
		"to later":          {Part{To: at.Add(1)}, true},
		"all of it, or not": {Part{Types: []string{"customer.edited"}, Actors: []uuid.UUID{actor}, To: at}, false},
	} {
		if got := c.part.Takes(&e); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	nobody := eventlog.Event{NewEvent: eventlog.NewEvent{Type: "customer.edited", OccurredAt: at}}
	team := eventlog.Event{NewEvent: eventlog.NewEvent{Type: "organization.team_created", OccurredAt: at}}
	if narrow := (Part{Actors: []uuid.UUID{actor}}); narrow.Takes(&nobody) || !narrow.Takes(&team) {
		t.Error("nobody's act is an actor's, or the teams are left out")
	}
	part := Part{Types: []string{"a"}, Without: []string{"b"}, Actors: []uuid.UUID{actor}, Streams: []uuid.UUID{record}, From: at, To: at}
	kept, _ := json.Marshal(part)
	var again Part
	if err := json.Unmarshal(kept, &again); err != nil || !reflect.DeepEqual(again, part) || len(part.Words(eventlog.AsOf{KnownAt: at, HappenedBy: at, Position: 7})) != 9 {
		t.Errorf("%+v, %v", again, err)
	}
}

// What people do about teams happens when they do it; what an import tells of them has no time of its own.
func TestTeamsOfAnImportedPast(t *testing.T) {
	then := time.Date(2017, 3, 31, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		kind, data string
		late       time.Duration
		want       bool
	}{
		"a deal by then":          {"opportunity.won", `{"source":"crm"}`, 0, true},
		"a deal later":            {"opportunity.won", `{"source":"crm"}`, 1, false},
		"a team of an import":     {"organization.team_created", `{"name":"West","source":"crm"}`, time.Hour, true},
		"a member of an import":   {"account.invited", `{"source":"crm"}`, time.Hour, true},
		"a team that people made": {"organization.team_created", `{"name":"West"}`, time.Hour, false},
		"moved by people by then": {"account.moved_to_team", `{}`, 0, true},
	} {
		recorded, happened := Bounds(eventlog.AsOf{HappenedBy: then, Position: 7})
		if got := happened(&eventlog.Event{NewEvent: eventlog.NewEvent{Type: c.kind, Data: []byte(c.data), OccurredAt: then.Add(c.late)}}); got != c.want || recorded != (eventlog.AsOf{Position: 7}) {
			t.Errorf("%s: %t, %+v", name, got, recorded)
		}
	}
}

func TestBounds(t *testing.T) {
	w := querytest.New(t, sales.Model)
	org := uuid.New()
	var at eventlog.Position
	for range 3 {
		at = w.Record(eventlog.Stream{Organization: org, Category: customer.Category, ID: uuid.New()}, customer.Registered{Name: "Acme"}).Position
	}
	plain := func(err error) string { return err.Error() }
	none := func(context.Context) error { return nil }
	wish := func(name string, of uuid.UUID) Wish {
		return Wish{Organization: of, By: uuid.New(), Name: name, Report: "sales", Model: sales.Model.Name, Moment: time.Now()}
	}
	r, elsewhere := New(w.Engine, w.Pool, Config{Number: 2, Events: 3}), New(w.Engine, w.Pool, Config{Number: 2})
	keep := func(r *Results, name string, of uuid.UUID) {
		t.Helper()
		s, err := r.Begin(t.Context(), wish(name, of))
		if err == nil {
			err = r.Fold(t.Context(), s, none, plain)
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	// Two processes: each folds one at a time, and one name is for one of them.
	one, err := r.Begin(t.Context(), wish("one", org))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"one": ErrRunning, "two": ErrBusy} {
		if _, err := r.Begin(t.Context(), wish(name, org)); !errors.Is(err, want) {
			t.Errorf("%s meanwhile: %v", name, err)
		}
	}
	if _, err := elsewhere.Begin(t.Context(), wish("one", org)); !errors.Is(err, ErrRunning) {
		t.Errorf("the same elsewhere: %v", err)
	}
	keep(elsewhere, "two", org)
	if _, err := elsewhere.Begin(t.Context(), wish("three", org)); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if _, _, err := r.Open(t.Context(), org, one.ID); !errors.Is(err, ErrNotDone) {
		t.Errorf("opened before it is done: %v", err)
	}

	// What cannot be put on record cannot be read, and leaves its name.
	unheard := errors.New("no record")
	if err := r.Fold(t.Context(), one, func(context.Context) error { return unheard }, plain); !errors.Is(err, unheard) {
		t.Error(err)
	}
	if s, err := r.Get(t.Context(), org, one.ID); err != nil || s.Status != Failed || s.Problem != "no record" {
		t.Errorf("%+v, %v", s, err)
	}
	keep(r, "one", org)
	keep(r, "one", uuid.New()) // another organization has names and room of its own
	if _, err := r.Begin(t.Context(), wish("one", org)); !errors.Is(err, ErrTaken) {
		t.Error(err)
	}

	// What was dropped while it was folded goes when the fold has ended.
	all, err := r.List(t.Context(), org)
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	if err := r.Drop(t.Context(), org, all[0].ID); err != nil {
		t.Fatal(err)
	}
	s, err := r.Begin(t.Context(), wish("gone", org))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Fold(t.Context(), s, func(ctx context.Context) error { return elsewhere.Drop(ctx, org, s.ID) }, plain); !errors.Is(err, ErrDropped) {
		t.Error(err)
	}
	var left int
	if err := w.Pool.QueryRow(t.Context(), "select count(*) from pg_namespace where nspname = $1", s.Schema).Scan(&left); err != nil || left != 0 {
		t.Errorf("its tables stay: %d, %v", left, err)
	}

	w.Record(eventlog.Stream{Organization: org, Category: account.Category, ID: uuid.New()}, account.Invited{LoginName: "sam"})
	if _, err := r.Begin(t.Context(), wish("long", org)); !errors.Is(err, ErrTooMuch) {
		t.Errorf("of four events: %v", err)
	}
	past := wish("short", org)
	past.AsOf.Position = at
	if _, err := r.Begin(t.Context(), past); err != nil {
		t.Errorf("of the first three: %v", err)
	}
}
