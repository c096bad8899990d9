package audit

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

func TestStoredForms(t *testing.T) { domaintest.StoredForms(t, EventTypes) }

func TestEvolveKnowsEveryEvent(t *testing.T) { domaintest.KnowsEveryEvent(t, EventTypes, Evolve) }

func TestLook(t *testing.T) {
	read := Read{Act: Replayed, Kind: "account", Subject: uuid.New(), Filters: []string{"types=account.locked"}}
	look := func(change func(*Read)) func(State) ([]Event, error) {
		wish := read
		change(&wish)
		return func(State) ([]Event, error) { return RecordRead(wish) }
	}
	domaintest.Run(t, EventTypes, Evolve,
		domaintest.Story[State, Event]{Name: "a look is a fact, each time", Given: []Event{read}, When: look(func(*Read) {}), Then: []Event{read}},
		domaintest.Story[State, Event]{Name: "nobody's life", When: look(func(r *Read) { r.Subject = uuid.Nil }), Err: domain.Invalid{"subject": "must be given"}},
		domaintest.Story[State, Event]{Name: "an unknown act", When: look(func(r *Read) { r.Act = "burnt" }), Err: domain.Invalid{"act": "is unknown"}},
		domaintest.Story[State, Event]{Name: "many filters", When: look(func(r *Read) { r.Filters = make([]string, maxFilters+1) }), Err: domain.Invalid{"filter": "is too long"}},
		domaintest.Story[State, Event]{Name: "a long filter", When: look(func(r *Read) { r.Filters = []string{strings.Repeat("a", maxFilter+1)} }), Err: domain.Invalid{"filter": "is too long"}},
	)
}
