// Package domaintest tells the story of an aggregate (given, when, then) and freezes
// the stored form of its events in testdata/events.
package domaintest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"testing"

	"github.com/annal-crm/annal/domain"
)

// Story is one example of a decision. Then and Err say all that may follow: an event not listed fails the test.
type Story[S, E any] struct {
	Name  string
	Given []E
	When  func(S) ([]E, error)
	Then  []E
	Err   error // a sentinel, or the whole domain.Invalid
}

// Run plays each story as a subtest. Every event it meets must survive types, and evolve must leave older states alone.
func Run[S, E any](t *testing.T, types domain.EventTypes[E], evolve func(S, E) S, stories ...Story[S, E]) {
	t.Helper()
	for _, st := range stories {
		t.Run(st.Name, func(t *testing.T) {
			t.Parallel()
			s := Fold(t, types, evolve, st.Given...)
			got, err := st.When(s)
			if !same(err, st.Err) {
				t.Fatalf("error = %v, want %v", err, st.Err)
			}
			if len(got)+len(st.Then) > 0 && !reflect.DeepEqual(got, st.Then) {
				t.Errorf("events = %+v\nwant     %+v", show(got), show(st.Then))
			}
			Fold(t, types, evolve, append(st.Given[:len(st.Given):len(st.Given)], got...)...)
		})
	}
}

// Fold returns the state that events lead to.
func Fold[S, E any](t testing.TB, types domain.EventTypes[E], evolve func(S, E) S, events ...E) S {
	t.Helper()
	var s S
	for _, e := range events {
		older, before := s, fmt.Sprint(s)
		s = evolve(s, stored(t, types, e))
		if after := fmt.Sprint(older); after != before {
			t.Fatalf("%T changed the state before it:\n%s\nwas %s", e, after, before)
		}
	}
	return s
}

func same(err, want error) bool {
	if fields, ok := errors.AsType[domain.Invalid](want); ok {
		got, ok := errors.AsType[domain.Invalid](err)
		return ok && maps.Equal(got, fields)
	}
	return errors.Is(err, want)
}

func show[E any](events []E) (lines string) {
	for _, e := range events {
		name, value := reflect.TypeOf(e), reflect.ValueOf(e)
		lines += fmt.Sprintf("\n  %s", name)
		for i := range value.NumField() {
			f := value.Field(i)
			if f.Kind() == reflect.Pointer && !f.IsNil() {
				f = f.Elem()
			}
			lines += fmt.Sprintf(" %s:%+v", name.Field(i).Name, f)
		}
	}
	return lines
}

func stored[E any](t testing.TB, types domain.EventTypes[E], e E) E {
	t.Helper()
	name, schema, data, err := types.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	back, err := types.Decode(name, schema, data)
	if err != nil || !reflect.DeepEqual(back, e) {
		t.Fatalf("%s came back as %+v, %v; want %+v", name, back, err, e)
	}
	return back
}

// KnowsEveryEvent folds each event of the types: one that evolve forgets panics here, long before production.
func KnowsEveryEvent[S, E any](t *testing.T, types domain.EventTypes[E], evolve func(S, E) S) {
	for name, e := range types.All() {
		t.Run(name, func(t *testing.T) {
			var s S
			evolve(s, e)
		})
	}
}
