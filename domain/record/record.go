package record

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// What the rules forbid.
var (
	ErrExists   = domain.Refuse(domain.CodeConflict, "the record exists")
	ErrNotFound = domain.NoSuch()
	ErrArchived = domain.Refuse(domain.CodeConflict, "the record is archived: restore it first")
	ErrErased   = domain.Refuse(domain.CodeConflict, "the record was erased")
	ErrStage    = domain.Refuse(domain.CodeConflict, "this stage does not follow the one that the record is at")
)

// The fields that every record has beside those of its kind.
const (
	fieldOwner    = "owner"
	fieldStage    = "stage"
	fieldArchived = "archived"
)

// State is a record as the rules need it: its fields by name, with owner, stage and archived among them.
type State struct {
	Version int // events so far; 0: there is no such record
	Erased  bool
	domain.Record
}

// Exists reports whether the record was ever created.
func (s State) Exists() bool { return s.Version > 0 }

// Owner returns the account that the record belongs to; zero: nobody.
func (s State) Owner() uuid.UUID { return domain.ParseRef(s.Value(fieldOwner)) }

// Stage returns the stage that the record is at; empty if its kind has none.
func (s State) Stage() string { return s.Value(fieldStage) }

// Archived reports whether the record was put away.
func (s State) Archived() bool { return s.Value(fieldArchived) == "true" }

// Evolve returns s as e leaves it. It never refuses: an event has happened.
func Evolve(s State, e Event) State {
	s.Version++
	set := func(source string, values map[string]string) {
		s.Record = s.With(s.Version, source != "", values)
	}
	switch e := e.(type) {
	case Created:
		values := Values{fieldOwner: domain.Ref(e.Owner), fieldStage: e.Stage}
		maps.Copy(values, e.Fields)
		maps.Copy(values, e.Personal)
		set(e.Source, values)
	case Edited:
		values := to(e.Fields)
		maps.Copy(values, to(e.Personal))
		set(e.Source, values)
		s.Record = s.WithImported(e.Imported).WithImported(e.ImportedPersonal)
	case Moved:
		set(e.Source, Values{fieldStage: e.To})
	case Reassigned:
		set(e.Source, Values{fieldOwner: domain.Ref(e.To)})
	case Archived:
		set("", Values{fieldArchived: "true"})
	case Restored:
		set("", Values{fieldArchived: ""})
	case Erased:
		kept := Values{fieldOwner: s.Value(fieldOwner), fieldStage: s.Value(fieldStage)} // it stays in its owner's scope
		s.Erased = true
		s.Record = domain.Record{}.With(s.Version, false, kept)
	default:
		panic(fmt.Sprintf("record: Evolve lacks %T", e))
	}
	return s
}

func to(changes map[string]domain.Change) Values {
	values := make(Values, len(changes))
	for name, c := range changes {
		values[name] = c.To
	}
	return values
}

// open refuses to change a record that is not there, erased or archived.
func (s State) open() error {
	switch {
	case s.Version == 0:
		return ErrNotFound
	case s.Erased:
		return ErrErased
	case s.Archived():
		return ErrArchived
	}
	return nil
}

// Create makes a record at the first stage. Whether its owner exists, and what it refers to, is for the caller to know.
func (k *Kind) Create(s State, values Values, owner uuid.UUID) ([]Event, error) {
	if s.Exists() {
		return nil, ErrExists
	}
	stage := ""
	if k.Stages != nil {
		stage = k.Stages[0].Name
	}
	return k.created(values, Created{Owner: owner, Stage: stage})
}

// created fills in the fields of a new record.
func (k *Kind) created(values Values, e Created) ([]Event, error) {
	values, err := k.clean(values, true)
	if err != nil {
		return nil, err
	}
	if err := k.check(State{}, values); err != nil {
		return nil, err
	}

	maps.DeleteFunc(values, func(_, value string) bool { return value == "" })
	e.Fields, e.Personal = divide(k, values)
	return []Event{e}, nil
}

// Edit changes the fields that are given; an empty value clears one.
func (k *Kind) Edit(s State, values Values) ([]Event, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	values, err := k.clean(values, false)
	if err != nil {
		return nil, err
	}
	changes := s.Changes(values)
	if len(changes) == 0 {
		return nil, nil
	}
	if err := k.check(s, to(changes)); err != nil {
		return nil, err
	}

	var e Edited
	e.Fields, e.Personal = divide(k, changes)
	return []Event{e}, nil
}

// Move takes a record to a stage that may follow its own.
func (k *Kind) Move(s State, stage string) ([]Event, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	switch {
	case k.stage(stage) == nil:
		return nil, domain.Invalid{fieldStage: fmt.Sprintf("a %s has no stage %q", k.Category, stage)}
	case s.Stage() == stage:
		return nil, nil
	case !slices.Contains(k.stage(s.Stage()).Next, stage):
		return nil, fmt.Errorf("%w: %s after %s", ErrStage, stage, s.Stage())
	}
	if err := k.check(s, Values{fieldStage: stage}); err != nil {
		return nil, err
	}
	return []Event{Moved{From: s.Stage(), To: stage}}, nil
}

// Reassign gives a record to another account; zero: nobody.
func Reassign(s State, owner uuid.UUID) ([]Event, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	if s.Owner() == owner {
		return nil, nil
	}
	return []Event{Reassigned{From: s.Owner(), To: owner}}, nil
}

// Archive puts a record away: it can be read and restored, not changed.
func Archive(s State) ([]Event, error) {
	err := s.open()
	switch {
	case errors.Is(err, ErrArchived):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []Event{Archived{}}, nil
}

// Restore takes an archived record back.
func Restore(s State) ([]Event, error) {
	err := s.open()
	switch {
	case err == nil:
		return nil, nil
	case !errors.Is(err, ErrArchived):
		return nil, err
	}
	return []Event{Restored{}}, nil
}

// Erase ends a record as the bearer of personal data, for good. The record stays, for others that refer to it.
func Erase(s State, certificate domain.Erased) ([]Event, error) {
	switch {
	case !s.Exists():
		return nil, ErrNotFound
	case s.Erased:
		return nil, nil
	}
	return []Event{Erased(certificate)}, nil
}

// check asks the kind's own rule about some changed fields.
func (k *Kind) check(s State, changed Values) error {
	if k.Check == nil {
		return nil
	}
	after := make(Values, len(s.Record)+len(changed))
	for name, f := range s.Record {
		after[name] = f.Value
	}
	maps.Copy(after, changed)
	return k.Check(s, after)
}

// divide parts the personal fields from the others, owner and stage among these; a part without any is nil.
func divide[V any](k *Kind, values map[string]V) (plain, personal map[string]V) {
	for name, value := range values {
		part := &plain
		if f := k.Field(name); f != nil && f.Personal {
			part = &personal
		}
		if *part == nil {
			*part = make(map[string]V)
		}
		(*part)[name] = value
	}
	return plain, personal
}
