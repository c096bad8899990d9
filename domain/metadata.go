package domain

import (
	"reflect"

	"github.com/google/uuid"
)

// Metadata is what is known about the act behind an event: who, from where, why, by which command. It is stored beside the
// event's data. IP and Device are personal; they are sealed with the key of the actor, or of the stream's own subject if
// nobody is known to have acted.
type Metadata struct {
	Actor         uuid.UUID `json:"actor,omitzero"`   // account; zero: the system, or nobody known
	Session       uuid.UUID `json:"session,omitzero"` // of the actor
	IP            string    `json:"ip,omitempty" pii:"seal"`
	Device        string    `json:"device,omitempty" pii:"seal"` // as it names itself (User-Agent)
	Reason        string    `json:"reason,omitempty"`            // in the actor's words
	Command       uuid.UUID `json:"commandId,omitzero"`
	Correlation   uuid.UUID `json:"$correlationId,omitzero"` // the request; the names are EventStoreDB's
	Causation     uuid.UUID `json:"$causationId,omitzero"`   // the event that an automation acted on
	PolicyVersion int       `json:"policyVersion,omitempty"` // of the rule that judged an authentication
}

// SealedMetadata lists the JSON names of Metadata's personal fields.
var SealedMetadata = sealedFields(reflect.TypeFor[Metadata]())

// Subject returns whose key seals the metadata of an event in the stream of subject stream.
func (m Metadata) Subject(stream uuid.UUID) uuid.UUID {
	if m.Actor != uuid.Nil {
		return m.Actor
	}
	return stream
}
