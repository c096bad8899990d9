// Package reservation keeps names unique: each name that may have one holder only
// (a login name, an e-mail address) is a stream of its own, and whoever appends to
// it first holds the name.
//
// [Evolve] folds its events into a [State]; [Claim] and [Release] return the events
// of a wish. A name is claimed before its holder exists, so a holder that never
// came to be (the program was killed in between) loses it after [Patience].
package reservation

import (
	"fmt"
	"github.com/annal-crm/annal/domain"
	"time"

	"github.com/google/uuid"
)

// ErrTaken reports a name that another holder has.
var ErrTaken = domain.Refuse(domain.CodeConflict, "the name is taken")

// Patience is how long a claim waits for its holder to come to be. The two are written within one request, which lasts
// seconds at most.
const Patience = 10 * time.Minute

// State is who holds the name.
type State struct {
	Organization uuid.UUID // the holder's
	Holder       uuid.UUID // zero: nobody
	Since        time.Time
}

// Evolve returns the state that e leaves; the one before does not matter. It never refuses: an event has happened.
func Evolve(_ State, e Event) State {
	switch e := e.(type) {
	case Claimed:
		return State{e.Organization, e.Holder, e.At}
	case Released:
		return State{}
	default:
		panic(fmt.Sprintf("reservation: Evolve lacks %T", e))
	}
}

// Claim takes a name that nobody holds, or whose holder does not exist though it had [Patience] to. holderExists is about
// the present holder. Claiming what one holds changes nothing, unless others could soon take it: then the time starts anew.
func Claim(s State, wish Claimed, holderExists bool) ([]Event, error) {
	switch {
	case s.Holder == wish.Holder && (holderExists || wish.At.Sub(s.Since) < Patience/2):
		return nil, nil
	case s.Holder == uuid.Nil, s.Holder == wish.Holder, !holderExists && wish.At.Sub(s.Since) > Patience:
		return []Event{wish}, nil
	}
	return nil, ErrTaken
}

// Release gives a name back. Whoever does not hold it changes nothing.
func Release(s State, holder uuid.UUID) ([]Event, error) {
	if holder == uuid.Nil || s.Holder != holder {
		return nil, nil
	}
	return []Event{Released{}}, nil
}
