package reservation

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/domaintest"
)

type (
	story  = domaintest.Story[State, Event]
	events = []Event
)

var (
	now   = time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC)
	org   = uuid.MustParse("0195d3c4-0000-7000-8000-000000000001")
	ada   = uuid.MustParse("0195d3c4-0000-7000-8000-000000000002")
	grace = uuid.MustParse("0195d3c4-0000-7000-8000-000000000003")
)

func TestClaim(t *testing.T) {
	by := func(holder uuid.UUID, at time.Time) Event { return Claimed{LoginName, org, holder, at} }
	claim := func(wish Event, holderExists bool) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Claim(s, wish.(Claimed), holderExists) }
	}
	release := func(holder uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Release(s, holder) }
	}
	hers := events{by(ada, now)}
	late := by(grace, now.Add(Patience+1))
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "a free name", When: claim(by(ada, now), false), Then: hers},
		story{Name: "one's own", Given: hers, When: claim(by(ada, now.Add(time.Hour)), true)},
		story{Name: "one's own, still to come", Given: hers, When: claim(by(ada, now.Add(Patience/2-1)), false)},
		story{Name: "one's own, soon to be another's", Given: hers, When: claim(by(ada, now.Add(Patience/2)), false), Then: events{by(ada, now.Add(Patience/2))}},
		story{Name: "another's", Given: hers, When: claim(late, true), Err: ErrTaken},
		story{Name: "of a holder still to come", Given: hers, When: claim(by(grace, now.Add(Patience)), false), Err: ErrTaken},
		story{Name: "of a holder that never came", Given: hers, When: claim(late, false), Then: events{late}},
		story{Name: "released", Given: hers, When: release(ada), Then: events{Released{}}},
		story{Name: "released by another", Given: hers, When: release(grace)},
		story{Name: "released twice", Given: append(hers[:1:1], Released{}), When: release(ada)},
		story{Name: "released by nobody", When: release(uuid.Nil)},
		story{Name: "free again", Given: append(hers[:1:1], Released{}), When: claim(by(grace, now), false), Then: events{by(grace, now)}},
	)
}
