package source

import (
	"fmt"
	"time"

	"github.com/annal-crm/annal/domain"
)

// Category names the streams of sources.
const Category = "source"

// Event is a fact about one source of sign-in attempts.
type Event interface {
	domain.Event
	sourceEvent()
}

// EventTypes names every event for storage. A name is for ever; its Go type is not.
var EventTypes = domain.NewEventTypes(map[string]Event{
	"source.login_failed": LoginFailed{},
	"source.muted":        Muted{},
})

type (
	// LoginFailed is an attempt on a name that no account has. People type passwords into the wrong field, so the name is
	// kept only as a keyed hash (equal names can be told to be equal) and masked.
	LoginFailed struct {
		NameHash   domain.Hash `json:"nameHash"`
		NameMasked string      `json:"nameMasked" pii:"seal"`
		At         time.Time   `json:"at"`
	}
	// Muted says that attempts from this source are not recorded one by one until then: there were too many.
	Muted struct {
		Until time.Time `json:"until"`
	}
)

func (LoginFailed) sourceEvent() {}
func (Muted) sourceEvent()       {}

func (e LoginFailed) Summary() string {
	return fmt.Sprintf("sign-in failed: unknown name %q", e.NameMasked)
}

func (e Muted) Summary() string {
	return "too many failed sign-ins from one source: no longer recorded one by one until " + domain.At(e.Until)
}
