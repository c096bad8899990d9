package source

import (
	"testing"
	"time"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

type (
	story  = domaintest.Story[State, Event]
	events = []Event
)

var now = time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC)

func TestRecord(t *testing.T) {
	name := domain.Hash{1}
	after := func(d time.Duration) time.Time { return now.Add(d) }
	attempt := func(at time.Time) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Record(s, name, "n…y", at) }
	}
	failed := func(at time.Time) Event { return LoginFailed{name, "n…y", at} }
	var flood events
	for i := range MaxPerHour {
		flood = append(flood, failed(after(time.Duration(i)*time.Second)))
	}
	muted := Muted{after(time.Hour)}
	silent := append(flood[:MaxPerHour:MaxPerHour], muted)
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "the first", When: attempt(now), Then: events{failed(now)}},
		story{Name: "the hundredth", Given: flood[:MaxPerHour-1], When: attempt(after(59 * time.Minute)), Then: events{failed(after(59 * time.Minute))}},
		story{Name: "one too many", Given: flood, When: attempt(after(59 * time.Minute)), Then: events{muted}},
		story{Name: "then silence", Given: silent, When: attempt(after(time.Hour - 1))},
		story{Name: "until the hour ends", Given: silent, When: attempt(after(time.Hour)), Then: events{failed(after(time.Hour))}},
		story{Name: "an hour without flood begins a new one", Given: flood, When: attempt(after(time.Hour)), Then: events{failed(after(time.Hour))}},
		story{Name: "the next hour's flood", Given: append(silent[:MaxPerHour+1:MaxPerHour+1], failed(after(2*time.Hour))), When: attempt(after(2*time.Hour + 1)), Then: events{failed(after(2*time.Hour + 1))}},
	)
}
