package account

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

func TestImportAttempt(t *testing.T) {
	attempt := func(name string, a Attempt) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return ImportAttempt(s, name, a), nil }
	}
	root := Invited{LoginName: "root", DisplayName: "root", Source: AuthLog}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "the first on a name makes its account", When: attempt("root", Attempt{At: now}), Then: events{root, failed(now)}},
		story{Name: "a name may be empty", When: attempt("", Attempt{At: now, Unknown: true}), Then: events{Invited{Source: AuthLog}, LoginFailed{UnknownName, now}}},
		story{Name: "the next", Given: events{root, failed(now)}, When: attempt("root", Attempt{At: now, Unknown: true}), Then: events{LoginFailed{UnknownName, now}}},
		story{Name: "no rule judges it here", Given: repeated(root, 100), When: attempt("root", Attempt{At: now}), Then: events{failed(now)}},
		story{Name: "accepted", Given: events{root}, When: attempt("root", Attempt{At: now, Accepted: true}), Then: events{LoggedIn{At: now}}},
	)
}

func repeated(e Event, failures int) events {
	all := events{e}
	for range failures {
		all = append(all, failed(now))
	}
	return all
}

func TestAnImportedAttemptOpensNoDoor(t *testing.T) {
	s := State{}
	for _, a := range []Attempt{{At: now}, {At: now, Accepted: true}} {
		for _, e := range ImportAttempt(s, "root", a) {
			s = Evolve(s, e)
		}
	}
	if len(s.Sessions) != 0 || s.Credential != uuid.Nil || len(s.Failures) != 0 {
		t.Errorf("%+v", s)
	}
	got, err := LogIn(s, true, phone, domain.Hash{1}, rule, now.Add(time.Hour))
	if err != nil || len(got) != 1 || got[0] != (LoginRefused{RefusedNotActivated}) {
		t.Errorf("%v, %v", got, err)
	}
}
