// Package domain holds what every aggregate shares: how its events are named and
// stored, which of their fields are personal, and what is known about the act
// that caused them. The rules themselves live in one package per aggregate; each
// is a closed set of events, an Evolve that folds them, and pure decisions.
package domain

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"strings"
)

// ErrUnknownEvent reports a stored event that this program has no type for: a newer program wrote it.
var ErrUnknownEvent = errors.New("domain: unknown event")

// EventTypes maps the events of one aggregate to and from their stored form. Its table is the registration: a stored name is
// for ever, its Go type is not. A Codec is immutable and safe for concurrent use.
type EventTypes[E any] struct {
	events map[string]E
	names  map[reflect.Type]string
	sealed map[string][]string
}

// schema is the version of every stored form so far. The first event whose form must change brings a table of upcasts.
const schema = 1

// NewEventTypes returns the table of the zero events given by stored name. It panics if two names share a type: that is a
// mistake in the program text.
func NewEventTypes[E any](events map[string]E) EventTypes[E] {
	c := EventTypes[E]{events, make(map[reflect.Type]string, len(events)), make(map[string][]string)}
	for name, e := range events {
		t := reflect.TypeOf(e)
		if other, ok := c.names[t]; ok {
			panic(fmt.Sprintf("domain: %s is both %q and %q", t, other, name))
		}
		c.names[t] = name
		if fields := sealedFields(t); len(fields) > 0 {
			c.sealed[name] = fields
		}
	}
	return c
}

// All yields every stored name with its zero event.
func (c EventTypes[E]) All() iter.Seq2[string, E] { return maps.All(c.events) }

// Encode returns the stored name, schema version and form of e. Personal fields are still in clear.
func (c EventTypes[E]) Encode(e E) (name string, version int, data []byte, err error) {
	name, ok := c.names[reflect.TypeOf(e)]
	if !ok {
		return "", 0, nil, fmt.Errorf("%w: %T", ErrUnknownEvent, e)
	}
	data, err = json.Marshal(e)
	return name, schema, data, err
}

// Decode is the inverse of [EventTypes.Encode]. A name or schema version that the table does not have is [ErrUnknownEvent].
func (c EventTypes[E]) Decode(name string, version int, data []byte) (e E, err error) {
	zero, ok := c.events[name]
	if !ok || version > schema {
		return e, fmt.Errorf("%w: %q, version %d", ErrUnknownEvent, name, version)
	}
	p := reflect.New(reflect.TypeOf(zero))
	if err := json.Unmarshal(data, p.Interface()); err != nil {
		return e, fmt.Errorf("domain: decode %s: %w", name, err)
	}
	return p.Elem().Interface().(E), nil
}

// Sealed returns the JSON names of an event's personal fields: they are stored under their subject's key. A field tagged
// pii:"seal" is sealed whole; of a map tagged pii:"each" every value is sealed by itself, and its name ends in [EachValue].
func (c EventTypes[E]) Sealed(name string) []string { return c.sealed[name] }

// EachValue ends the name of a map whose values are sealed one by one.
const EachValue = ".*"

// sealedFields lists the JSON names of a struct's personal fields. Only top-level fields are looked at: a personal field
// inside another struct is tagged on the outside and sealed whole.
func sealedFields(t reflect.Type) (fields []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch f.Tag.Get("pii") {
		case "seal":
			fields = append(fields, name)
		case "each":
			fields = append(fields, name+EachValue)
		}
	}
	return fields
}
