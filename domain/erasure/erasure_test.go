package erasure

import (
	"reflect"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

type (
	story  = domaintest.Story[State, Event]
	events = []Event
)

var (
	ada   = uuid.MustParse("0195d3c4-0000-7000-8000-000000000001") // accounts
	grace = uuid.MustParse("0195d3c4-0000-7000-8000-000000000002")
	acme  = uuid.MustParse("0195d3c4-0000-7000-8000-000000000003")
	asked = Requested{Category: "customer", Subject: acme, By: ada, Reason: "asked by the person"}
)

func TestErasure(t *testing.T) {
	request := func(wish Requested) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Request(s, wish) }
	}
	approve := func(by uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Approve(s, by) }
	}
	refuse := func(by uuid.UUID, reason string) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Refuse(s, by, reason) }
	}
	byRule := func(wish Requested, by uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return ByRule(s, wish, by) }
	}
	ruled := asked
	ruled.Rule = uuid.MustParse("0195d3c4-0000-7000-8000-000000000004")
	byGrace := Approved{grace, "customer", acme}
	approved, refused := events{asked, byGrace}, events{asked, Refused{grace, "no", "customer", acme}}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "asked", When: request(asked), Then: events{asked}},
		story{Name: "asked twice", Given: events{asked}, When: request(asked), Err: ErrExists},
		story{Name: "asked without a reason, about nothing", When: request(Requested{Category: "team", Reason: " "}), Err: domain.Invalid{
			"reason": "must not be blank", "subject": "must be an account, a customer or another record with personal data",
		}},
		story{Name: "approved by another", Given: events{asked}, When: approve(grace), Then: events{byGrace}},
		story{Name: "approved by who asked", Given: events{asked}, When: approve(ada), Err: ErrSamePerson},
		story{Name: "approved by who is to be erased", Given: events{Requested{Category: "account", Subject: grace, By: ada, Reason: "x"}}, When: approve(grace), Err: ErrSamePerson},
		story{Name: "approved by nobody", Given: events{asked}, When: approve(uuid.Nil), Err: ErrSamePerson},
		story{Name: "approved twice", Given: approved, When: approve(grace), Err: ErrDecided},
		story{Name: "approved after it was refused", Given: refused, When: approve(grace), Err: ErrDecided},
		story{Name: "approved without a request", When: approve(grace), Err: ErrNotFound},
		story{Name: "refused", Given: events{asked}, When: refuse(grace, " no "), Then: events{Refused{grace, "no", "customer", acme}}},
		story{Name: "withdrawn", Given: events{asked}, When: refuse(ada, "no"), Then: events{Refused{ada, "no", "customer", acme}}},
		story{Name: "refused without a reason", Given: events{asked}, When: refuse(grace, ""), Err: domain.Invalid{"reason": "must not be blank"}},
		story{Name: "refused after it was approved", Given: approved, When: refuse(grace, "no"), Err: ErrDecided},
		story{Name: "refused without a request", When: refuse(grace, "no"), Err: ErrNotFound},
		story{Name: "by a rule", When: byRule(ruled, grace), Then: events{ruled, byGrace}},
		story{Name: "by a rule, again", Given: events{ruled, byGrace}, When: byRule(ruled, grace), Err: ErrExists},
		story{Name: "by a rule that one person has made", When: byRule(ruled, ada), Err: ErrSamePerson},
		story{Name: "done", Given: approved, When: Finish, Then: events{Done{"customer", acme}}},
		story{Name: "done twice", Given: append(approved[:2:2], Done{}), When: Finish},
		story{Name: "done before it is approved", Given: events{asked}, When: Finish, Err: ErrNotFound},
		story{Name: "done though it was refused", Given: refused, When: Finish, Err: ErrNotFound},
	)
	s := domaintest.Fold(t, EventTypes, Evolve, events{ruled, approved[1]}...)
	got := s.Certificate(acme)
	if want := (domain.Erased{Request: acme, RequestedBy: ada, ApprovedBy: grace, Reason: asked.Reason, Rule: ruled.Rule}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
