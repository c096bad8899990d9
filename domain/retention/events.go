package retention

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Category names the streams of rules.
const Category = "retention"

// Event is a fact about one rule.
type Event interface {
	domain.Event
	retentionEvent()
}

// EventTypes names every event for storage. A name is for ever; its Go type is not.
var EventTypes = domain.NewEventTypes(map[string]Event{
	"retention.proposed": Proposed{},
	"retention.approved": Approved{},
	"retention.applied":  Applied{},
	"retention.ended":    Ended{},
})

// By is an account.
type (
	Proposed struct {
		Basis  Basis     `json:"basis"`
		Days   int       `json:"days"`
		PerDay int       `json:"perDay"` // erasures in 24 hours, at most
		By     uuid.UUID `json:"by"`
		Reason string    `json:"reason"`
	}
	// Approved lets the rule erase. Due is how many it would have erased at that moment, as the dry run had shown.
	Approved struct {
		By  uuid.UUID `json:"by"`
		Due int       `json:"due"`
	}
	// Applied says whom the rule is about to erase: what its limit counts. Each erasure is a request of its own.
	Applied struct {
		At       time.Time   `json:"at"`
		Subjects []uuid.UUID `json:"subjects"`
	}
	Ended struct {
		By     uuid.UUID `json:"by"`
		Reason string    `json:"reason"`
	}
)

func (Proposed) retentionEvent() {}
func (Approved) retentionEvent() {}
func (Applied) retentionEvent()  {}
func (Ended) retentionEvent()    {}

func (e Proposed) Summary() string {
	return fmt.Sprintf("retention rule proposed, to erase after %d days (%s), at most %d a day: %s", e.Days, domain.Words(e.Basis), e.PerDay, e.Reason)
}

func (e Approved) Summary() string { return fmt.Sprintf("retention rule approved, with %d due", e.Due) }
func (e Applied) Summary() string {
	return fmt.Sprintf("retention rule applied to %d", len(e.Subjects))
}
func (e Ended) Summary() string { return "retention rule ended: " + e.Reason }
