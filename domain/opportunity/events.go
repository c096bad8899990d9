package opportunity

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Category names the streams of opportunities.
const Category = "opportunity"

// Event is a fact about one opportunity.
type Event interface {
	domain.Event
	opportunityEvent()
}

// EventTypes names every event for storage. A name is for ever; its Go type is not.
var EventTypes = domain.NewEventTypes(map[string]Event{
	"opportunity.opened":     Opened{},
	"opportunity.engaged":    Engaged{},
	"opportunity.won":        Won{},
	"opportunity.lost":       Lost{},
	"opportunity.reopened":   Reopened{},
	"opportunity.reassigned": Reassigned{},
	"opportunity.edited":     Edited{},
})

// At is when it happened in the world: the event's occurredAt. Source names the import that an event came from; empty: a
// person's act.
type (
	Opened struct {
		Reference string    `json:"reference"`
		Product   string    `json:"product,omitempty"`
		Customer  uuid.UUID `json:"customer,omitzero"` // zero: none yet
		Owner     uuid.UUID `json:"owner"`
		At        time.Time `json:"at"`
		Source    string    `json:"source,omitempty"`
	}
	Engaged struct {
		At     time.Time `json:"at"`
		Source string    `json:"source,omitempty"`
	}
	Won struct {
		Value  domain.Decimal `json:"value"`
		At     time.Time      `json:"at"`
		Source string         `json:"source,omitempty"`
	}
	Lost struct {
		At     time.Time `json:"at"`
		Source string    `json:"source,omitempty"`
	}
	// Reopened takes a closed opportunity back to engaging.
	Reopened struct {
		At     time.Time `json:"at"`
		Source string    `json:"source,omitempty"`
	}
	Reassigned struct {
		From   uuid.UUID `json:"from,omitzero"`
		To     uuid.UUID `json:"to"`
		Source string    `json:"source,omitempty"`
	}
	// Edited holds the changed fields only. Customer changes from and to ids; empty: none. Imported is what an import says
	// that it leaves as it is, since people have made it so already or the stage does not allow it; it is kept so that the
	// same import cannot undo what people do next.
	Edited struct {
		Reference *domain.Change    `json:"reference,omitempty"`
		Product   *domain.Change    `json:"product,omitempty"`
		Customer  *domain.Change    `json:"customer,omitempty"`
		Value     *domain.Change    `json:"value,omitempty"` // of a won one
		Imported  map[string]string `json:"imported,omitempty"`
		Source    string            `json:"source,omitempty"`
	}
)

func (Opened) opportunityEvent()     {}
func (Engaged) opportunityEvent()    {}
func (Won) opportunityEvent()        {}
func (Lost) opportunityEvent()       {}
func (Reopened) opportunityEvent()   {}
func (Reassigned) opportunityEvent() {}
func (Edited) opportunityEvent()     {}

// OccurredAt says when an event happened, if it says so itself.
func (e Opened) OccurredAt() time.Time   { return e.At }
func (e Engaged) OccurredAt() time.Time  { return e.At }
func (e Won) OccurredAt() time.Time      { return e.At }
func (e Lost) OccurredAt() time.Time     { return e.At }
func (e Reopened) OccurredAt() time.Time { return e.At }

func (e Opened) Summary() string {
	s := fmt.Sprintf("opportunity %s opened", e.Reference)
	if e.Product != "" {
		s += " for " + e.Product
	}
	return s
}

func (Engaged) Summary() string      { return "engaged" }
func (e Won) Summary() string        { return fmt.Sprintf("won, worth %s", e.Value) }
func (Lost) Summary() string         { return "lost" }
func (Reopened) Summary() string     { return "reopened" }
func (e Reassigned) Summary() string { return domain.Reassigned(e.From, e.To) }

// Accounts lists the accounts that the summary names.
func (e Reassigned) Accounts() []uuid.UUID { return []uuid.UUID{e.From, e.To} }

func (e Edited) Summary() string {
	var c domain.Changes
	c.Add("reference", e.Reference)
	c.Add("product", e.Product)
	c.Add("customer", e.Customer)
	c.Add("value", e.Value)
	return c.String()
}
