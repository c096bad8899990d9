// Package touch says when somebody last had to do with a customer: the report of ageing groups customers by it, and retention
// erases by it.
package touch

import (
	"time"

	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
)

// Mark is an event: when it happened in the world, and where it stands in the log.
type Mark struct {
	At       time.Time
	Position int64
}

// Last returns the later one of a touch and the next one in the log.
func Last(before, next Mark) Mark {
	if next.At.Before(before.At) {
		return before
	}
	return next
}

// By reports whether an event touches the customer that it is about, or that its opportunity is with. What people do does,
// except archiving: putting a customer away is no business with it. An import touches nobody by what it says of a customer, or
// by an edit; the course of an imported opportunity is history, and does.
func By(event any) bool {
	switch e := event.(type) {
	case customer.Registered:
		return e.Source == ""
	case customer.Edited:
		return e.Source == ""
	case customer.Reassigned:
		return e.Source == ""
	case customer.Restored:
		return true
	case opportunity.Reassigned:
		return e.Source == ""
	case opportunity.Edited:
		return e.Source == ""
	case opportunity.Event:
		return true
	}
	return false
}
