package contract

import (
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
	"github.com/annal-crm/annal/domain/record"
)

type story = domaintest.Story[record.State, record.Event]

func TestStoredForms(t *testing.T) { domaintest.StoredForms(t, Kind.Events()) }

func TestAContract(t *testing.T) {
	customer := uuid.NewString()
	fields := record.Values{"number": "C-1", "title": "Service", "customer": customer, "value": "5000 CHF", "startsOn": "2026-01-01", "endsOn": "2026-12-31"}

	created := record.Created{Fields: fields, Stage: "draft"}
	sent := record.Moved{From: "draft", To: "sent"}
	signed := record.Moved{From: "sent", To: "signed"}
	edit := func(field, value string) func(record.State) ([]record.Event, error) {
		return func(s record.State) ([]record.Event, error) { return Kind.Edit(s, record.Values{field: value}) }
	}
	move := func(stage string) func(record.State) ([]record.Event, error) {
		return func(s record.State) ([]record.Event, error) { return Kind.Move(s, stage) }
	}
	given := []record.Event{created, sent, signed}
	domaintest.Run(t, Kind.Events(), record.Evolve,
		story{Name: "its value changes until it is signed", Given: given[:2], When: edit("value", "4000 CHF"), Then: []record.Event{
			record.Edited{Fields: map[string]domain.Change{"value": {From: "5000 CHF", To: "4000 CHF"}}},
		}},
		story{Name: "and not after that", Given: given, When: edit("value", "4000 CHF"), Err: domain.Invalid{"value": "of a signed contract does not change"}},
		story{Name: "a signed one has other fields that change", Given: given, When: edit("signedOn", "2026-01-02"), Then: []record.Event{
			record.Edited{Fields: map[string]domain.Change{"signedOn": {To: "2026-01-02"}}},
		}},
		story{Name: "it ends after it begins", Given: given[:1], When: edit("endsOn", "2025-12-31"), Err: domain.Invalid{"endsOn": "is before the contract starts"}},
		story{Name: "a signed one is not declined", Given: given, When: move("declined"), Err: record.ErrStage},
		story{Name: "a signed one ends", Given: given, When: move("ended"), Then: []record.Event{record.Moved{From: "signed", To: "ended"}}},
	)
}
