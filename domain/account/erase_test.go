package account

import (
	"reflect"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

func TestErase(t *testing.T) {
	certificate := domain.Erased{Request: phone, RequestedBy: first, ApprovedBy: second, Reason: "left", Key: domain.Hash{1}, Freed: []uuid.UUID{south}}
	erase := func(s State) ([]Event, error) { return Erase(s, certificate) }
	row := ada
	row.Source = "crm"
	in := events{ada, active, onPhone}
	erased := append(in[:3:3], LoggedOut{phone, LoggedOutByErasure}, Erased(certificate))
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "erased, and its sessions end", Given: in, When: erase, Then: erased[3:]},
		story{Name: "erased twice", Given: erased, When: erase},
		story{Name: "nobody", When: erase, Err: ErrNotFound},
		story{Name: "then signs in", Given: erased, When: func(s State) ([]Event, error) { return LogIn(s, true, laptop, token, rule, now) }, Err: ErrNotFound},
		story{Name: "then gets a token", Given: erased, When: func(s State) ([]Event, error) { return IssueActivation(s, token, now) }, Err: ErrNotFound},
		story{Name: "then is invited", Given: erased, When: func(s State) ([]Event, error) { return Invite(s, ada) }, Err: ErrErased},
		story{Name: "then is imported", Given: erased, When: func(s State) ([]Event, error) { return Import(s, row) }, Err: ErrErased},
		story{Name: "then is reactivated", Given: erased, When: Reactivate, Err: ErrNotFound},
	)
	if s := domaintest.Fold(t, EventTypes, Evolve, erased...); !reflect.DeepEqual(s, State{Erased: true, Team: north, Freed: []uuid.UUID{south}}) {
		t.Errorf("the rules still remember %+v", s)
	}
}
