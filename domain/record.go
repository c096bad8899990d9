package domain

import (
	"maps"
	"slices"
)

// Field is one field of a [Record]. An empty string is a field without a value.
type Field struct {
	Value    string // now
	Imported string // what an import said last
	Changed  int    // the version of the object that changed it last
}

// Record remembers the fields of an object, by name: what they are, and what judging an edit of an old version or a row
// imported again needs. Its methods copy, so that states may share a Record.
type Record map[string]Field

// Value returns what a field is now.
func (r Record) Value(name string) string { return r[name].Value }

// With returns r after the event that made version has set fields; imported reports whether an import said so.
func (r Record) With(version int, imported bool, values map[string]string) Record {
	next := make(Record, max(len(r), len(values)))
	maps.Copy(next, r)
	for name, value := range values {
		f := next[name]
		if f.Value != value {
			f.Value, f.Changed = value, version
		}
		if imported {
			f.Imported = value
		}
		next[name] = f
	}
	return next
}

// WithImported returns r after an import said these values and left the fields as they are.
func (r Record) WithImported(values map[string]string) Record {
	if len(values) == 0 {
		return r
	}
	next := maps.Clone(r)
	for name, value := range values {
		f := next[name]
		f.Imported = value
		next[name] = f
	}
	return next
}

// ChangedSince lists the fields that have changed after a version, sorted.
func (r Record) ChangedSince(version int) (names []string) {
	for name, f := range r {
		if f.Changed > version {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Changes lists the fields that values would change.
func (r Record) Changes(values map[string]string) map[string]Change {
	changes := make(map[string]Change)
	for name, value := range values {
		if was := r[name].Value; was != value {
			changes[name] = Change{From: was, To: value}
		}
	}
	return changes
}

// Merge judges a row of an import, field by field. What the import has said before changes nothing, whatever people have
// made of it since. News is a change, or is only to be noted (see [Record.WithImported]) if the field has that value already.
func (r Record) Merge(row map[string]string) (changes map[string]Change, noted map[string]string) {
	changes, noted = make(map[string]Change), make(map[string]string)
	for name, value := range row {
		switch f := r[name]; value {
		case f.Imported:
		case f.Value:
			noted[name] = value
		default:
			changes[name] = Change{From: f.Value, To: value}
		}
	}
	return changes, noted
}
