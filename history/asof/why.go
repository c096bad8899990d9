package asof

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
)

// Record names a record of any kind, for somebody who asks about it.
type Record struct {
	Kind   AnyKind
	ID     uuid.UUID
	Viewer engine.Viewer
}

// RecordOf names a record to a principal. Who may see all activity sees all that ever happened to it anyway; others need the
// permission to see such records: [commands.ErrForbidden].
func RecordOf(p *commands.Principal, category string, id uuid.UUID) (Record, error) {
	kind := Kinds[category]
	if p.Scope(organization.ViewActivity) == organization.All {
		return Record{kind, id, p.Everything()}, nil
	}
	v, err := p.Viewer(kind.Permission())
	return Record{kind, id, v}, err
}

// Field is a field of a record and the event that made it what it is.
type Field struct {
	Name  string
	Value json.RawMessage // null: it has none
	Event *eventcodec.Event
}

// Change is a field in which two pasts differ, and the latest of the events that made it so.
type Change struct {
	Name     string
	From, To json.RawMessage
	Event    *eventcodec.Event
}

// Provenance tells why a record was as of a past what it was, and its version then. Version 0: it was not there, or is not for
// the viewer.
func (r Reader) Provenance(ctx context.Context, of Record, at eventlog.AsOf) (version int, fields []Field, err error) {
	if visible, err := of.Kind.Visible(ctx, r.DB, of.Viewer, of.ID); err != nil || !visible {
		return 0, nil, err
	}
	known, err := of.Kind.explain(ctx, r, of.Viewer, of.ID, at)
	for _, name := range known.fields() {
		fields = append(fields, Field{name, known.value(name), known.origins[name]})
	}
	return known.version, fields, err
}

// Compare tells in which fields two pasts of a record differ, and its versions then. Two versions 0: it was never there, or is
// not for the viewer.
func (r Reader) Compare(ctx context.Context, of Record, from, to eventlog.AsOf) (versions [2]int, changes []Change, err error) {
	if visible, err := of.Kind.Visible(ctx, r.DB, of.Viewer, of.ID); err != nil || !visible {
		return versions, nil, err
	}
	was, err := of.Kind.explain(ctx, r, of.Viewer, of.ID, from)
	if err != nil {
		return versions, nil, err
	}
	is, err := of.Kind.explain(ctx, r, of.Viewer, of.ID, to)
	seen := make(map[string]bool)
	for _, name := range append(is.fields(), was.fields()...) {
		if seen[name] || bytes.Equal(was.value(name), is.value(name)) {
			continue
		}
		seen[name] = true
		event := is.origins[name]
		if other := was.origins[name]; event == nil || other != nil && other.Position > event.Position {
			event = other
		}
		changes = append(changes, Change{name, was.value(name), is.value(name), event})
	}
	return [2]int{was.version, is.version}, changes, err
}

// explained is what is known of a record as of a past.
type explained struct {
	version int // 0: it was not there
	values  []Value
	origins map[string]*eventcodec.Event
}

// fields names those that have or had a value: as the record has them, then those that are gone.
func (e explained) fields() (names []string) {
	for _, v := range e.values {
		if e.origins[v.Name] != nil {
			names = append(names, v.Name)
		}
	}
	var gone []string
	for name := range e.origins {
		if !slices.Contains(names, name) {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	return append(names, gone...)
}

// value is a field's, null if it has none.
func (e explained) value(name string) json.RawMessage {
	for _, v := range e.values {
		if v.Name == name {
			return v.JSON
		}
	}
	return json.RawMessage("null")
}
