package record

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Row is a record as an import says that it is.
type Row struct {
	Values Values    // fields that the import does not speak of are missing
	Owner  uuid.UUID // zero: nobody
	Stage  string    // empty: the import does not say, and a new record is at the first
	Source string    // names the import
}

// Import creates the record of a row, or follows what has changed in the row since it was imported last. What people have
// changed since stays. A row may set any stage: the world did not ask our rules. An archived record stays as it is; the change
// comes with the first import after its return. An erased one never returns: [ErrErased].
func (k *Kind) Import(s State, row Row) ([]Event, error) {
	if row.Source == "" {
		return nil, domain.Invalid{"source": "must not be blank"}
	}
	if row.Stage != "" && k.stage(row.Stage) == nil {
		return nil, domain.Invalid{fieldStage: fmt.Sprintf("a %s has no stage %q", k.Category, row.Stage)}
	}
	switch {
	case !s.Exists():
		e := Created{Owner: row.Owner, Stage: row.Stage, Source: row.Source}
		if e.Stage == "" && k.Stages != nil {
			e.Stage = k.Stages[0].Name
		}
		return k.created(row.Values, e)
	case s.Erased:
		return nil, ErrErased
	case s.Archived():
		return nil, nil
	}

	values, err := k.clean(row.Values, false)
	if err != nil {
		return nil, err
	}
	values[fieldOwner] = domain.Ref(row.Owner)
	if row.Stage != "" {
		values[fieldStage] = row.Stage
	}
	changes, noted := s.Merge(values)
	if err := k.check(s, to(changes)); err != nil {
		return nil, err
	}
	return k.followed(s, changes, noted, row.Source), nil
}

// followed returns the events of what a row has changed.
func (k *Kind) followed(s State, changes map[string]domain.Change, noted Values, source string) (events []Event) {
	if c, ok := changes[fieldOwner]; ok {
		events = append(events, Reassigned{From: s.Owner(), To: domain.ParseRef(c.To), Source: source})
	}
	if c, ok := changes[fieldStage]; ok {
		events = append(events, Moved{From: c.From, To: c.To, Source: source})
	}
	delete(changes, fieldOwner)
	delete(changes, fieldStage)
	if len(changes)+len(noted) == 0 {
		return events
	}

	e := Edited{Source: source}
	e.Fields, e.Personal = divide(k, changes)
	e.Imported, e.ImportedPersonal = divide(k, noted)
	return append(events, e)
}
