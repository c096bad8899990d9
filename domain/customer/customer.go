// Package customer decides what may become of a customer: registered, edited,
// handed to another owner, archived, restored; by people or by an import.
//
// [Evolve] folds its events into a [State]; a decision ([Edit], [Import], …)
// returns the events that a wish leads to, or the error of the rule that it
// breaks. A wish for what is so already leads to none. A State is never changed
// in place, so any number of goroutines may read it.
package customer

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// What the rules forbid.
var (
	ErrExists   = domain.Refuse(domain.CodeConflict, "the customer exists")
	ErrNotFound = domain.NoSuch()
	ErrArchived = domain.Refuse(domain.CodeConflict, "the customer is archived: restore it first")
	ErrErased   = domain.Refuse(domain.CodeConflict, "the customer was erased")
)

// State is a customer as the rules need it. The Record has its fields by the names of [Registered]'s stored form, an
// attribute as "attributes." and its name, and "archived".
type State struct {
	Version int // events so far; 0: not registered
	Erased  bool
	domain.Record
}

// Exists reports whether the customer was ever registered.
func (s State) Exists() bool { return s.Version > 0 }

// Owner returns the account that owns the customer; zero: none.
func (s State) Owner() uuid.UUID { return domain.ParseRef(s.Value("owner")) }

// Archived reports whether the customer is put away.
func (s State) Archived() bool { return s.Value("archived") == "true" }

// Evolve returns s as e leaves it. It never refuses: an event has happened.
func Evolve(s State, e Event) State {
	s.Version++
	switch e := e.(type) {
	case Registered:
		s.Record = s.With(s.Version, e.Source != "", e.fields())
	case Edited:
		s.Record = s.With(s.Version, e.Source != "", e.fields()).WithImported(e.Imported)
	case Reassigned:
		s.Record = s.With(s.Version, e.Source != "", map[string]string{"owner": domain.Ref(e.To)})
	case Archived:
		s.Record = s.With(s.Version, false, map[string]string{"archived": "true"})
	case Restored:
		s.Record = s.With(s.Version, false, map[string]string{"archived": ""})
	case Erased:
		owner := map[string]string{"owner": s.Value("owner")} // it stays in its owner's scope
		s = State{Version: s.Version, Erased: true, Record: domain.Record{}.With(s.Version, false, owner)}
	default:
		panic(fmt.Sprintf("customer: Evolve lacks %T", e))
	}
	return s
}

// Register makes a customer. Whether its owner exists is for the caller to know.
func Register(s State, wish Registered) ([]Event, error) {
	if s.Version > 0 {
		return nil, ErrExists
	}
	wish, err := wish.clean()
	if err != nil {
		return nil, err
	}
	return []Event{wish.compact()}, nil
}

// Fields are the fields that an edit touches: nil leaves one as it is, an empty string clears it.
type Fields struct {
	Name, Sector, Country, Website, Phone, Email *string
	Attributes                                   map[string]*string // by name; nil clears
}

// Edit changes fields of a customer.
func Edit(s State, wish Fields) ([]Event, error) {
	switch {
	case s.Version == 0:
		return nil, ErrNotFound
	case s.Erased:
		return nil, ErrErased
	case s.Archived():
		return nil, ErrArchived
	}
	values, err := clean(wish.fields())
	if err != nil {
		return nil, err
	}
	changes := s.Changes(values)
	if len(changes) == 0 {
		return nil, nil
	}
	if err := s.checkAttributes(changes); err != nil {
		return nil, err
	}
	return []Event{edited(changes)}, nil
}

// Import registers the customer of a row, or follows what has changed in the row since it was imported last. What people
// have changed since stays. An archived customer stays as it is; the change comes with the first import after its return.
// An erased one never returns: [ErrErased].
func Import(s State, row Registered) ([]Event, error) {
	row, err := row.clean()
	switch {
	case err != nil:
		return nil, err
	case row.Source == "":
		return nil, domain.Invalid{"source": "must not be blank"}
	case s.Version == 0:
		return []Event{row.compact()}, nil
	case s.Erased:
		return nil, ErrErased
	case s.Archived():
		return nil, nil
	}
	var events []Event
	changes, noted := s.Merge(row.fields())
	if _, ok := changes["owner"]; ok {
		events = append(events, Reassigned{s.Owner(), row.Owner, row.Source})
		delete(changes, "owner")
	}
	if err := s.checkAttributes(changes); err != nil {
		return nil, err
	}
	if len(changes)+len(noted) > 0 {
		e := edited(changes)
		e.Source = row.Source
		if len(noted) > 0 {
			e.Imported = noted
		}
		events = append(events, e)
	}
	return events, nil
}

// Reassign gives the customer another owner; zero: none.
func Reassign(s State, to uuid.UUID) ([]Event, error) {
	switch {
	case s.Version == 0:
		return nil, ErrNotFound
	case s.Erased:
		return nil, ErrErased
	case s.Archived():
		return nil, ErrArchived
	case s.Owner() == to:
		return nil, nil
	}
	return []Event{Reassigned{From: s.Owner(), To: to}}, nil
}

// Archive puts the customer away: it is kept as it is.
func Archive(s State) ([]Event, error) {
	switch {
	case s.Version == 0:
		return nil, ErrNotFound
	case s.Erased:
		return nil, ErrErased
	case s.Archived():
		return nil, nil
	}
	return []Event{Archived{}}, nil
}

// Restore takes an archived customer back.
func Restore(s State) ([]Event, error) {
	switch {
	case s.Version == 0:
		return nil, ErrNotFound
	case s.Erased:
		return nil, ErrErased
	case !s.Archived():
		return nil, nil
	}
	return []Event{Restored{}}, nil
}

// Erase ends the customer as a bearer of personal data, for good. Its record stays, for the opportunities that refer to it.
func Erase(s State, certificate domain.Erased) ([]Event, error) {
	switch {
	case s.Version == 0:
		return nil, ErrNotFound
	case s.Erased:
		return nil, nil
	}
	return []Event{Erased(certificate)}, nil
}

// checkAttributes reports whether changes would leave too many attributes.
func (s State) checkAttributes(changes map[string]domain.Change) error {
	n := 0
	for name, f := range s.Record {
		if strings.HasPrefix(name, attribute) && f.Value != "" {
			n++
		}
	}
	for name, c := range changes {
		switch {
		case !strings.HasPrefix(name, attribute):
		case c.From == "":
			n++
		case c.To == "":
			n--
		}
	}
	if n > domain.MaxAttributes {
		return domain.Invalid{"attributes": "are more than " + strconv.Itoa(domain.MaxAttributes)}
	}
	return nil
}
