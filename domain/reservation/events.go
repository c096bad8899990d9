package reservation

import (
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Category names the streams of reservations.
const Category = "reservation"

// Event is a fact about one reserved name.
type Event interface {
	domain.Event
	reservationEvent()
}

// EventTypes names every event for storage. A name is for ever; its Go type is not.
var EventTypes = domain.NewEventTypes(map[string]Event{
	"reservation.claimed":  Claimed{},
	"reservation.released": Released{},
})

// Kind is what a reserved name is used as.
type Kind string

const (
	LoginName Kind = "login_name"
	Email     Kind = "email"
)

type (
	// Claimed gives a name to an account. The name itself is not stored: the stream's id is its keyed hash.
	Claimed struct {
		Kind         Kind      `json:"kind"`
		Organization uuid.UUID `json:"organization"` // the holder's
		Holder       uuid.UUID `json:"holder"`       // an account
		At           time.Time `json:"at"`
	}
	Released struct{}
)

func (Claimed) reservationEvent()  {}
func (Released) reservationEvent() {}

func (e Claimed) Summary() string { return domain.Words(e.Kind) + " reserved" }
func (Released) Summary() string  { return "reserved name released" }
