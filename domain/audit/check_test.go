package audit

import (
	"strings"
	"testing"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

func TestCheck(t *testing.T) {
	check := func(wish Checked) func(State) ([]Event, error) {
		return func(State) ([]Event, error) { return Check(wish) }
	}
	bad := "must be given, in at most 500 bytes"
	domaintest.Run(t, EventTypes, Evolve,
		domaintest.Story[State, Event]{Name: "a check is a fact", When: check(Checked{Proved, "position=7"}), Then: []Event{Checked{Proved, "position=7"}}},
		domaintest.Story[State, Event]{Name: "of an unknown kind", When: check(Checked{"burnt", "all"}), Err: domain.Invalid{"kind": "is unknown"}},
		domaintest.Story[State, Event]{Name: "of nothing", When: check(Checked{Kind: Verified}), Err: domain.Invalid{"of": bad}},
		domaintest.Story[State, Event]{Name: "of too much", When: check(Checked{Bundled, strings.Repeat("a", maxFilter+1)}), Err: domain.Invalid{"of": bad}},
	)
}
