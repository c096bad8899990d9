// Package opportunity decides what may become of a chance to sell: opened,
// engaged, won or lost, reopened, reassigned, edited; by people or by an import.
//
//	prospecting → engaging → won | lost → (reopened) engaging
//
// [Evolve] folds its events into a [State]; a decision ([Win], [Import], …)
// returns the events that a wish leads to, or the error of the rule that it
// breaks. A wish for what is so already leads to none. A State is never changed
// in place, so any number of goroutines may read it.
package opportunity

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// What the rules forbid.
var (
	ErrExists     = domain.Refuse(domain.CodeConflict, "the opportunity exists")
	ErrNotFound   = domain.NoSuch()
	ErrNotEngaged = domain.Refuse(domain.CodeConflict, "the opportunity is not engaged yet")
	ErrClosed     = domain.Refuse(domain.CodeConflict, "the opportunity is closed: reopen it first")
)

// Stage is how far an opportunity is.
type Stage string

const (
	Prospecting Stage = "prospecting"
	Engaging    Stage = "engaging"
	StageWon    Stage = "won"
	StageLost   Stage = "lost"
)

// Closed reports whether a stage is an end.
func (s Stage) Closed() bool { return s == StageWon || s == StageLost }

// State is an opportunity as the rules need it. The Record has the fields reference, product, customer, owner, stage,
// engagedAt, closedAt and value.
type State struct {
	Version int // events so far; 0: not opened
	domain.Record
}

// Stage returns how far the opportunity is; empty: not opened.
func (s State) Stage() Stage { return Stage(s.Value("stage")) }

// Exists reports whether the opportunity was ever opened.
func (s State) Exists() bool { return s.Version > 0 }

// Owner returns the account that owns the opportunity.
func (s State) Owner() uuid.UUID { return domain.ParseRef(s.Value("owner")) }

// Customer returns the customer that may buy; zero: none yet.
func (s State) Customer() uuid.UUID { return domain.ParseRef(s.Value("customer")) }

// EngagedAt returns when talks began; zero: not yet.
func (s State) EngagedAt() time.Time {
	t, _ := time.Parse(time.RFC3339Nano, s.Value("engagedAt")) // written by instant
	return t
}

// instant is the text of a time in the Record.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Evolve returns s as e leaves it. It never refuses: an event has happened.
func Evolve(s State, e Event) State {
	s.Version++
	set := func(source string, values map[string]string) { s.Record = s.With(s.Version, source != "", values) }
	switch e := e.(type) {
	case Opened:
		set(e.Source, map[string]string{
			"reference": e.Reference, "product": e.Product, "customer": domain.Ref(e.Customer), "owner": domain.Ref(e.Owner), "stage": string(Prospecting),
		})
	case Engaged:
		set(e.Source, map[string]string{"stage": string(Engaging), "engagedAt": instant(e.At)})
	case Won:
		set(e.Source, map[string]string{"stage": string(StageWon), "closedAt": instant(e.At), "value": string(e.Value)})
	case Lost:
		set(e.Source, map[string]string{"stage": string(StageLost), "closedAt": instant(e.At)})
	case Reopened:
		set(e.Source, map[string]string{"stage": string(Engaging), "closedAt": "", "value": ""})
	case Reassigned:
		set(e.Source, map[string]string{"owner": domain.Ref(e.To)})
	case Edited:
		set(e.Source, e.fields())
		s.Record = s.WithImported(e.Imported)
	default:
		panic(fmt.Sprintf("opportunity: Evolve lacks %T", e))
	}
	return s
}

// Open makes an opportunity. Whether its customer and owner exist is for the caller to know.
func Open(s State, wish Opened) ([]Event, error) {
	if s.Version > 0 {
		return nil, ErrExists
	}
	bad := domain.Invalid{}
	wish.Reference = bad.Name("reference", wish.Reference, domain.MaxReference)
	wish.Product = bad.Text("product", wish.Product, domain.MaxName)
	if wish.Owner == uuid.Nil {
		bad["owner"] = "must not be blank"
	}
	return checked(bad, wish)
}

// Engage begins talks.
func Engage(s State, at time.Time) ([]Event, error) {
	switch {
	case s.Version == 0:
		return nil, ErrNotFound
	case s.Stage().Closed():
		return nil, ErrClosed
	case s.Stage() == Engaging:
		return nil, nil
	}
	return []Event{Engaged{At: at}}, nil
}

// Win closes the opportunity with a value.
func Win(s State, value domain.Decimal, at time.Time) ([]Event, error) {
	bad := domain.Invalid{}
	value = cleanValue(bad, value)
	if s.Stage() == StageWon && s.Value("value") == string(value) && s.Value("closedAt") == instant(at) {
		return nil, nil
	}
	if err := s.mayClose(bad, at); err != nil {
		return nil, err
	}
	return checked(bad, Won{Value: value, At: at})
}

// Lose closes the opportunity without one.
func Lose(s State, at time.Time) ([]Event, error) {
	bad := domain.Invalid{}
	if s.Stage() == StageLost && s.Value("closedAt") == instant(at) {
		return nil, nil
	}
	if err := s.mayClose(bad, at); err != nil {
		return nil, err
	}
	return checked(bad, Lost{At: at})
}

func (s State) mayClose(bad domain.Invalid, at time.Time) error {
	switch {
	case s.Version == 0:
		return ErrNotFound
	case s.Stage().Closed():
		return ErrClosed
	case s.Stage() == Prospecting:
		return ErrNotEngaged
	}
	if at.Before(s.EngagedAt()) {
		bad["at"] = "is before the opportunity was engaged"
	}
	return nil
}

// Reopen takes a closed opportunity back to engaging.
func Reopen(s State, at time.Time) ([]Event, error) {
	switch {
	case s.Version == 0:
		return nil, ErrNotFound
	case !s.Stage().Closed():
		return nil, nil
	}
	return []Event{Reopened{At: at}}, nil
}

// Move takes the opportunity to another stage, as far as that says everything: a won one has a value, so it takes [Win].
func Move(s State, stage string, at time.Time) ([]Event, error) {
	switch Stage(stage) {
	case Engaging:
		if s.Stage().Closed() {
			return Reopen(s, at)
		}
		return Engage(s, at)
	case StageLost:
		return Lose(s, at)
	case StageWon:
		return nil, domain.Invalid{"stage": "is reached by winning the opportunity, with a value"}
	}
	return nil, domain.Invalid{"stage": "must be engaging or lost"}
}

// Reassign gives the opportunity another owner.
func Reassign(s State, to uuid.UUID) ([]Event, error) {
	switch {
	case s.Version == 0:
		return nil, ErrNotFound
	case to == uuid.Nil:
		return nil, domain.Invalid{"owner": "must not be blank"}
	case s.Owner() == to:
		return nil, nil
	}
	return []Event{Reassigned{From: s.Owner(), To: to}}, nil
}

// Fields are the fields that an edit touches: nil leaves one as it is.
type Fields struct {
	Reference, Product *string
	Customer           *uuid.UUID // zero: none
	Value              *domain.Decimal
}

// Edit changes fields of an opportunity. Only a won one has a value.
func Edit(s State, wish Fields) ([]Event, error) {
	if s.Version == 0 {
		return nil, ErrNotFound
	}
	bad, values := domain.Invalid{}, make(map[string]string)
	if wish.Reference != nil {
		values["reference"] = bad.Name("reference", *wish.Reference, domain.MaxReference)
	}
	if wish.Product != nil {
		values["product"] = bad.Text("product", *wish.Product, domain.MaxName)
	}
	if wish.Customer != nil {
		values["customer"] = domain.Ref(*wish.Customer)
	}
	if wish.Value != nil {
		values["value"] = string(cleanValue(bad, *wish.Value))
		if s.Stage() != StageWon {
			bad["value"] = "belongs to won opportunities only"
		}
	}
	changes := s.Changes(values)
	if len(changes) == 0 {
		return nil, bad.Err()
	}
	return checked(bad, edited(changes))
}

func cleanValue(bad domain.Invalid, value domain.Decimal) domain.Decimal {
	value, err := domain.ParseDecimal(string(value))
	switch {
	case err != nil:
		bad["value"] = err.Error()
	case strings.HasPrefix(string(value), "-"):
		bad["value"] = "must not be negative"
	}
	return value
}

// edited is the event of some changes, by field.
func edited(changes map[string]domain.Change) Edited {
	var e Edited
	targets := e.targets()
	for name, change := range changes {
		*targets[name] = &change
	}
	return e
}

// targets says where the change of each field stands.
func (e *Edited) targets() map[string]**domain.Change {
	return map[string]**domain.Change{"reference": &e.Reference, "product": &e.Product, "customer": &e.Customer, "value": &e.Value}
}

func (e Edited) fields() map[string]string {
	values := make(map[string]string)
	for name, target := range e.targets() {
		if *target != nil {
			values[name] = (*target).To
		}
	}
	return values
}

// checked returns the events of a wish in whose fields nothing is wrong.
func checked(bad domain.Invalid, events ...Event) ([]Event, error) {
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return events, nil
}
