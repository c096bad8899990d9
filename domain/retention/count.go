package retention

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/touch"
)

// Basis says whom a rule is about, and what its days are counted from.
type Basis string

const (
	// CustomerTouched counts from when somebody last had to do with a customer (see package touch); of one that nobody has ever
	// touched, from its registration.
	CustomerTouched    Basis = "customer_touched"
	CustomerArchived   Basis = "customer_archived"   // unless it was restored since
	AccountDeactivated Basis = "account_deactivated" // unless it was reactivated since
)

// Bases lists them all.
func Bases() []Basis { return []Basis{CustomerTouched, CustomerArchived, AccountDeactivated} }

// Of returns the category of the subjects.
func (b Basis) Of() string {
	if b == AccountDeactivated {
		return account.Category
	}
	return customer.Category
}

// Rest is how long nothing may have been recorded of a subject before a rule erases it. What is counted is when things happened in
// the world, so a customer imported with an old history would be due at once, before anybody has seen it.
const Rest = 24 * time.Hour

// Mark is an event that days are counted from: when it happened, and where it stands in the log.
type Mark = touch.Mark

// Count is what the days of a rule are counted from, of one subject; the zero Count is that of a subject that no event has told of.
type Count struct {
	Touched  Mark      // of a customer; zero: unknown so far
	By       bool      // Touched is an act, not a mere registration by an import
	Put      Mark      // archived or deactivated; zero: it is not
	Recorded time.Time // when the newest event about it was recorded
	Erased   bool
}

// Happened is an event as far as it counts.
type Happened struct {
	Mark
	Recorded time.Time
}

// Evolve returns c after an event of the subject's own stream, or of an opportunity with the customer.
func (c Count) Evolve(at Happened, event any) Count {
	if at.Recorded.After(c.Recorded) {
		c.Recorded = at.Recorded
	}
	if touch.By(event) {
		if !c.By { // so far only registered
			c.Touched = Mark{}
		}
		c.Touched, c.By = touch.Last(c.Touched, at.Mark), true
	}
	switch event.(type) {
	case customer.Registered:
		if !c.By && c.Touched == (Mark{}) {
			c.Touched = at.Mark
		}
	case customer.Archived, account.Deactivated:
		c.Put = at.Mark
	case customer.Restored, account.Reactivated:
		c.Put = Mark{}
	case customer.Erased, account.Erased:
		return Count{Erased: true, Recorded: c.Recorded}
	}
	return c
}

// From returns what a basis counts from. There is nothing if the subject is erased, or not archived, or not deactivated.
func (c Count) From(basis Basis) (from Mark, counts bool) {
	switch {
	case c.Erased:
		return Mark{}, false
	case basis == CustomerTouched:
		return c.Touched, c.Touched != Mark{}
	}
	return c.Put, c.Put != Mark{}
}

// Due reports whether a rule's days are over at a time.
func (s State) Due(c Count, now time.Time) bool {
	from, counts := c.From(s.Basis)
	return counts && !from.At.After(Cut(s.Days, now)) && !c.Recorded.After(now.Add(-Rest))
}

// DueAt returns when days that are counted from a time are over, of a subject whose newest event was recorded at another.
func (s State) DueAt(since, recorded time.Time) time.Time {
	due := since.Add(time.Duration(s.Days) * 24 * time.Hour)
	if rested := recorded.Add(Rest); rested.After(due) {
		return rested
	}
	return due
}

// Cut returns the instant up to which what is counted from must have happened, for days to be over at a time. A day has 24 hours.
func Cut(days int, now time.Time) time.Time { return now.Add(-time.Duration(days) * 24 * time.Hour) }

// Kept says why a rule leaves somebody out who is due: the erasure takes a request.
type Kept string

const (
	// KeptLastAdministrator is an account that may manage the organization while no account that can sign in may.
	KeptLastAdministrator Kept = "last_administrator"
	// KeptApprover is who has approved the rule: nobody approves their own erasure.
	KeptApprover Kept = "approver"
)

// Keeps reports whether a rule leaves an account out; managed reports whether somebody else can sign in and manage the organization.
func (s State) Keeps(id uuid.UUID, roles []string, managing []string, managed bool) (why Kept, keeps bool) {
	switch {
	case id == s.ApprovedBy:
		return KeptApprover, true
	case !managed && slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(managing, r) }):
		return KeptLastAdministrator, true
	}
	return "", false
}
