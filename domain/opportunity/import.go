package opportunity

import (
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Row is an opportunity as an import says it is.
type Row struct {
	Reference string
	Product   string
	Customer  uuid.UUID // zero: none
	Owner     uuid.UUID
	Stage     Stage
	EngagedAt time.Time      // zero: not said
	ClosedAt  time.Time      // of a closed one
	Value     domain.Decimal // of a won one; else not looked at
	Source    string         // names the import
}

func (r Row) fields() map[string]string {
	return map[string]string{
		"reference": r.Reference, "product": r.Product, "customer": domain.Ref(r.Customer), "owner": domain.Ref(r.Owner),
		"stage": string(r.Stage), "engagedAt": instant(r.EngagedAt), "closedAt": instant(r.ClosedAt), "value": string(r.Value),
	}
}

// Check tells what is wrong with a row, as a [domain.Invalid], without any state. [Import] checks the same.
func (r Row) Check() error {
	_, err := r.clean()
	return err
}

// clean checks a row and leaves out what its stage does not have.
func (r Row) clean() (Row, error) {
	bad := domain.Invalid{}
	r.Reference = bad.Name("reference", r.Reference, domain.MaxReference)
	r.Product = bad.Text("product", r.Product, domain.MaxName)
	if r.Owner == uuid.Nil {
		bad["owner"] = "must not be blank"
	}
	if r.Source == "" {
		bad["source"] = "must not be blank"
	}
	switch r.Stage {
	case Prospecting:
		r.EngagedAt, r.ClosedAt = time.Time{}, time.Time{}
	case Engaging:
		r.ClosedAt = time.Time{}
	case StageWon, StageLost:
		switch {
		case r.ClosedAt.IsZero():
			bad["closedAt"] = "must not be blank for a closed opportunity"
		case r.ClosedAt.Before(r.EngagedAt):
			bad["closedAt"] = "is before the opportunity was engaged"
		}
	default:
		bad["stage"] = "must be prospecting, engaging, won or lost"
	}
	if r.Stage != StageWon {
		r.Value = ""
	} else {
		r.Value = cleanValue(bad, r.Value)
	}
	return r, bad.Err()
}

// Import opens the opportunity of a row and takes it to the row's stage at the row's dates, or follows what has changed in
// the row since it was imported last. What people have changed since stays, unless the row has news of the same thing. Where
// the row has no date, now serves; an opportunity is opened when it was engaged. No event leads back to prospecting, and a
// date is corrected by closing the opportunity again at the right one.
func Import(s State, row Row, now time.Time) ([]Event, error) {
	row, err := row.clean()
	if err != nil {
		return nil, err
	}
	var events []Event
	happen := func(e Event) { events, s = append(events, e), Evolve(s, e) }
	if s.Version == 0 {
		happen(Opened{row.Reference, row.Product, row.Customer, row.Owner, first(row.EngagedAt, now), row.Source})
	}
	if s.restates(row) {
		if s.Stage().Closed() {
			happen(Reopened{now, row.Source})
		}
		engaged := first(row.EngagedAt, s.EngagedAt(), row.ClosedAt, now)
		if row.Stage != Prospecting && (s.Stage() == Prospecting || !engaged.Equal(s.EngagedAt())) {
			happen(Engaged{engaged, row.Source})
		}
		switch row.Stage {
		case StageWon:
			happen(Won{row.Value, row.ClosedAt, row.Source})
		case StageLost:
			happen(Lost{row.ClosedAt, row.Source})
		}
	}
	changes, noted := s.Merge(row.fields())
	if owner, ok := changes["owner"]; ok {
		happen(Reassigned{domain.ParseRef(owner.From), row.Owner, row.Source})
		delete(changes, "owner")
	}
	for name, change := range changes {
		if name == "stage" || name == "engagedAt" || name == "closedAt" || name == "value" && s.Stage() != StageWon {
			noted[name] = change.To // people have taken it elsewhere
			delete(changes, name)
		}
	}
	if len(changes)+len(noted) > 0 {
		e := edited(changes)
		e.Source = row.Source
		if len(noted) > 0 {
			e.Imported = noted
		}
		happen(e)
	}
	return events, nil
}

// restates reports whether a row has news that takes the opportunity through its stages: another stage than the source has
// named before and than it has, or another date of the stage that it has.
func (s State) restates(row Row) bool {
	changes, _ := s.Merge(row.fields())
	_, stage := changes["stage"]
	_, engaged := changes["engagedAt"]
	_, closed := changes["closedAt"]
	return stage || s.Stage() == row.Stage && (engaged && !row.EngagedAt.IsZero() || closed)
}

// first returns the first time that is one.
func first(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
