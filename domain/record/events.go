package record

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Event is something that happened to one record.
type Event interface {
	domain.Event
	recordEvent()
}

// Personal fields stand in a map of their own, and each of its values is sealed by itself: after an erasure the log still says
// which field was changed when. Source names the import that an event came from; it is empty if a person caused the event.
type (
	Created struct {
		Fields   map[string]string `json:"fields,omitempty"`
		Personal map[string]string `json:"personal,omitempty" pii:"each"`
		Stage    string            `json:"stage,omitempty"`
		Owner    uuid.UUID         `json:"owner,omitzero"` // an account; zero: nobody
		Source   string            `json:"source,omitempty"`
	}

	// Edited holds the changed fields only. Imported is what an import says of fields that already have that value, because
	// people have made the same change: it is kept so that the same import cannot undo what people do next.
	Edited struct {
		Fields           map[string]domain.Change `json:"fields,omitempty"`
		Personal         map[string]domain.Change `json:"personal,omitempty" pii:"each"`
		Imported         map[string]string        `json:"imported,omitempty"`
		ImportedPersonal map[string]string        `json:"importedPersonal,omitempty" pii:"each"`
		Source           string                   `json:"source,omitempty"`
	}

	// Moved takes a record from one stage to another.
	Moved struct {
		From   string `json:"from"`
		To     string `json:"to"`
		Source string `json:"source,omitempty"`
	}

	// Reassigned gives a record to another account; zero: nobody.
	Reassigned struct {
		From   uuid.UUID `json:"from,omitzero"`
		To     uuid.UUID `json:"to,omitzero"`
		Source string    `json:"source,omitempty"`
	}

	Archived struct{}
	Restored struct{}

	// Erased certifies that the personal fields are gone.
	Erased domain.Erased
)

func (Created) recordEvent()    {}
func (Edited) recordEvent()     {}
func (Moved) recordEvent()      {}
func (Reassigned) recordEvent() {}
func (Archived) recordEvent()   {}
func (Restored) recordEvent()   {}
func (Erased) recordEvent()     {}

func (Created) Summary() string { return "created" }

func (e Edited) Summary() string {
	var c domain.Changes
	c.AddAll(e.Fields)
	c.AddAll(e.Personal)
	return c.String()
}

func (e Moved) Summary() string      { return fmt.Sprintf("moved from %s to %s", e.From, e.To) }
func (e Reassigned) Summary() string { return domain.Reassigned(e.From, e.To) }
func (Archived) Summary() string     { return "archived" }
func (Restored) Summary() string     { return "restored" }
func (e Erased) Summary() string     { return domain.Erased(e).Summary() }

// Accounts lists the accounts that the summary names.
func (e Reassigned) Accounts() []uuid.UUID { return []uuid.UUID{e.From, e.To} }
