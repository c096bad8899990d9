package audit

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

func TestRebuild(t *testing.T) {
	fact := Rebuilt{Result: uuid.New(), Name: "As of May 2.1", Report: "sales", Of: []string{"type=opportunity.won"}}
	rebuild := func(change func(*Rebuilt)) func(State) ([]Event, error) {
		wish := fact
		change(&wish)
		return func(State) ([]Event, error) { return Rebuild(wish) }
	}
	name := domain.Invalid{"name": "has 1 to 60 letters, digits, spaces and . _ -, and begins with a letter or digit"}
	long := domain.Invalid{"filter": "is too long: at most 50 values, of 500 bytes"}
	domaintest.Run(t, EventTypes, Evolve,
		domaintest.Story[State, Event]{Name: "a rebuild is a fact, each time", Given: []Event{fact}, When: rebuild(func(*Rebuilt) {}), Then: []Event{fact}},
		domaintest.Story[State, Event]{Name: "without a name", When: rebuild(func(r *Rebuilt) { r.Name = "" }), Err: name},
		domaintest.Story[State, Event]{Name: "with a path for a name", When: rebuild(func(r *Rebuilt) { r.Name = "../x" }), Err: name},
		domaintest.Story[State, Event]{Name: "with a long name", When: rebuild(func(r *Rebuilt) { r.Name = strings.Repeat("é", 61) }), Err: name},
		domaintest.Story[State, Event]{Name: "of no report", When: rebuild(func(r *Rebuilt) { r.Report = "" }), Err: domain.Invalid{"report": "must be given"}},
		domaintest.Story[State, Event]{Name: "of too many parts", When: rebuild(func(r *Rebuilt) { r.Of = make([]string, maxOf+1) }), Err: long},
		domaintest.Story[State, Event]{Name: "of a long part", When: rebuild(func(r *Rebuilt) { r.Of = []string{strings.Repeat("a", maxFilter+1)} }), Err: long},
	)
}
