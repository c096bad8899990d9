package customer

import (
	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Category names the streams of customers.
const Category = "customer"

// Event is a fact about one customer.
type Event interface {
	domain.Event
	customerEvent()
}

// EventTypes names every event for storage. A name is for ever; its Go type is not.
var EventTypes = domain.NewEventTypes(map[string]Event{
	"customer.registered": Registered{},
	"customer.edited":     Edited{},
	"customer.reassigned": Reassigned{},
	"customer.archived":   Archived{},
	"customer.restored":   Restored{},
	domain.ErasedType:     Erased{},
})

// A customer may be a person, so its name, phone and e-mail are personal. Source names the import that an event came from;
// empty: a person's act.
type (
	Registered struct {
		Name       string            `json:"name" pii:"seal"`
		Sector     string            `json:"sector,omitempty"`
		Country    string            `json:"country,omitempty"`
		Website    string            `json:"website,omitempty"`
		Phone      string            `json:"phone,omitempty" pii:"seal"`
		Email      string            `json:"email,omitempty" pii:"seal"`
		Attributes map[string]string `json:"attributes,omitempty"`
		Owner      uuid.UUID         `json:"owner,omitzero"` // an account; zero: none
		Source     string            `json:"source,omitempty"`
	}
	// Edited holds the changed fields only. Imported is what an import says of fields that it leaves as they are, since
	// people have made them so already; it is kept so that the same import cannot undo what people make of them next.
	Edited struct {
		Name       *domain.Change           `json:"name,omitempty" pii:"seal"`
		Sector     *domain.Change           `json:"sector,omitempty"`
		Country    *domain.Change           `json:"country,omitempty"`
		Website    *domain.Change           `json:"website,omitempty"`
		Phone      *domain.Change           `json:"phone,omitempty" pii:"seal"`
		Email      *domain.Change           `json:"email,omitempty" pii:"seal"`
		Attributes map[string]domain.Change `json:"attributes,omitempty"`
		Imported   map[string]string        `json:"imported,omitempty" pii:"seal"`
		Source     string                   `json:"source,omitempty"`
	}
	Reassigned struct {
		From   uuid.UUID `json:"from,omitzero"`
		To     uuid.UUID `json:"to,omitzero"`
		Source string    `json:"source,omitempty"`
	}
	Archived struct{}
	Restored struct{}
	// Erased is the certificate that what was personal of the customer is gone; what follows in the stream cannot be personal.
	Erased domain.Erased
)

func (Registered) customerEvent() {}
func (Edited) customerEvent()     {}
func (Reassigned) customerEvent() {}
func (Archived) customerEvent()   {}
func (Restored) customerEvent()   {}
func (Erased) customerEvent()     {}

func (e Registered) Summary() string { return "registered " + e.Name }

func (e Edited) Summary() string {
	var c domain.Changes
	c.Add("name", e.Name)
	c.Add("sector", e.Sector)
	c.Add("country", e.Country)
	c.Add("website", e.Website)
	c.Add("phone", e.Phone)
	c.Add("e-mail", e.Email)
	c.AddAll(e.Attributes)
	return c.String()
}

func (e Reassigned) Summary() string { return domain.Reassigned(e.From, e.To) }
func (Archived) Summary() string     { return "archived" }
func (Restored) Summary() string     { return "restored" }
func (e Erased) Summary() string     { return domain.Erased(e).Summary() }

// Accounts lists the accounts that the summary names.
func (e Reassigned) Accounts() []uuid.UUID { return []uuid.UUID{e.From, e.To} }
