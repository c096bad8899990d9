package audit

import (
	"strings"
	"testing"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

func TestReplaceKey(t *testing.T) {
	fact := KeyReplaced{Old: "annal/x+01+AQ==", New: "annal/x+02+AQ==", Lost: true}
	replace := func(change func(*KeyReplaced)) func(State) ([]Event, error) {
		wish := fact
		change(&wish)
		return func(State) ([]Event, error) { return ReplaceKey(wish) }
	}
	bad := domain.Invalid{"key": "is not replaced by itself, or by none"}
	domaintest.Run(t, EventTypes, Evolve,
		domaintest.Story[State, Event]{Name: "a replacement is a fact, each time", Given: []Event{fact}, When: replace(func(*KeyReplaced) {}), Then: []Event{fact}},
		domaintest.Story[State, Event]{Name: "of no key", When: replace(func(k *KeyReplaced) { k.Old = "" }), Err: bad},
		domaintest.Story[State, Event]{Name: "by no key", When: replace(func(k *KeyReplaced) { k.New = "" }), Err: bad},
		domaintest.Story[State, Event]{Name: "by itself", When: replace(func(k *KeyReplaced) { k.New = k.Old }), Err: bad},
		domaintest.Story[State, Event]{Name: "by what is no key", When: replace(func(k *KeyReplaced) { k.New = strings.Repeat("x", maxFilter) }), Err: bad},
	)
}
