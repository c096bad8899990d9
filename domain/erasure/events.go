package erasure

import (
	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Category names the streams of requests.
const Category = "erasure"

// Event is a fact about one request.
type Event interface{ erasureEvent() }

// EventTypes names every event for storage. A name is for ever; its Go type is not.
var EventTypes = domain.NewEventTypes(map[string]Event{
	"erasure.requested": Requested{},
	"erasure.approved":  Approved{},
	"erasure.refused":   Refused{},
	"erasure.done":      Done{},
})

// By is an account. What comes after Requested names the subject again, so that it can be read by itself; events of before that do not.
type (
	// Requested names the subject by the category and id of its stream.
	Requested struct {
		Category string    `json:"category"`
		Subject  uuid.UUID `json:"subject"`
		By       uuid.UUID `json:"by"`
		Reason   string    `json:"reason"`
		Rule     uuid.UUID `json:"rule,omitzero"` // of retention, which By has proposed; zero: a person's own wish
	}
	// Approved is the point of no return: from here on the program carries the erasure out, however often it is interrupted.
	Approved struct {
		By       uuid.UUID `json:"by"`
		Category string    `json:"category,omitempty"`
		Subject  uuid.UUID `json:"subject,omitzero"`
	}
	Refused struct {
		By       uuid.UUID `json:"by"`
		Reason   string    `json:"reason"`
		Category string    `json:"category,omitempty"`
		Subject  uuid.UUID `json:"subject,omitzero"`
	}
	// Done says that everything has happened: the certificate, the key, the names, the read models, their dead rows.
	Done struct {
		Category string    `json:"category,omitempty"`
		Subject  uuid.UUID `json:"subject,omitzero"`
	}
)

func (Requested) erasureEvent() {}
func (Approved) erasureEvent()  {}
func (Refused) erasureEvent()   {}
func (Done) erasureEvent()      {}
