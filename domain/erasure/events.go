package erasure

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
)

// Category names the streams of requests.
const Category = "erasure"

// Event is a fact about one request.
type Event interface {
	domain.Event
	erasureEvent()
}

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

func (e Requested) Summary() string {
	by := ""
	if e.Rule != uuid.Nil {
		by = " by a retention rule"
	}
	return of(e.Category, e.Subject) + " requested" + by + ": " + e.Reason
}

func (e Approved) Summary() string { return of(e.Category, e.Subject) + " approved" }
func (e Refused) Summary() string  { return of(e.Category, e.Subject) + " refused: " + e.Reason }
func (e Done) Summary() string     { return of(e.Category, e.Subject) + " carried out" }

// Accounts lists the accounts that the summary names.
func (e Requested) Accounts() []uuid.UUID { return account.Named(e.Category, e.Subject) }
func (e Approved) Accounts() []uuid.UUID  { return account.Named(e.Category, e.Subject) }
func (e Refused) Accounts() []uuid.UUID   { return account.Named(e.Category, e.Subject) }
func (e Done) Accounts() []uuid.UUID      { return account.Named(e.Category, e.Subject) }

// of names the subject of a request. The oldest events that follow a request do not say it.
func of(category string, id uuid.UUID) string {
	if id == uuid.Nil {
		return "erasure"
	}
	return fmt.Sprintf("erasure of %s %s", category, id)
}
