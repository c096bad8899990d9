// Package retention decides which rules erase by policy, and who is due by them: a
// rule is proposed by one person and approved by another one who has seen, by a dry
// run, whom it would erase; anybody of them may end it.
//
// Each rule is a stream. [Evolve] folds its events into a [State]; a decision
// ([Propose], [Approve], …) returns the events that a wish leads to, or the error of
// the rule that it breaks. What the days of a rule are counted from is the fold of a
// subject's own history: see [Count].
package retention

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/organization"
)

// What the rules forbid.
var (
	ErrNotFound   = domain.NoSuch()
	ErrExists     = domain.Refuse(domain.CodeConflict, "the rule was proposed before")
	ErrSamePerson = domain.Refuse(domain.CodeForbidden, "another person than the proposer must approve a rule")
	ErrApproved   = domain.Refuse(domain.CodeConflict, "the rule was approved before")
	ErrEnded      = domain.Refuse(domain.CodeConflict, "the rule has ended")
	ErrChanged    = domain.Refuse(domain.CodeConflict, "another number is due now than the dry run has shown: look again")
)

// Bounds of a rule. A day's default is what two persons could look through in a day; its bound keeps one event small.
const (
	MaxDays       = 36_500 // 100 years: more is a slip of the finger
	DefaultPerDay = 100
	MaxPerDay     = 1000
)

// Window is the time in which a rule erases no more than its limit.
const Window = 24 * time.Hour

// Status is what has become of a rule.
type Status string

const (
	StatusProposed Status = "proposed"
	StatusApproved Status = "approved" // and erases
	StatusEnded    Status = "ended"
)

// State is a rule as the rules need it.
type State struct {
	Status     Status // empty: there is no rule
	Basis      Basis
	Days       int
	PerDay     int
	By         uuid.UUID // who proposed
	ApprovedBy uuid.UUID // zero: nobody yet
	Reason     string
	Applied    []Applied // in the [Window] before the newest one
}

// Evolve returns s as e leaves it. It never refuses: an event has happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Proposed:
		s = State{Status: StatusProposed, Basis: e.Basis, Days: e.Days, PerDay: e.PerDay, By: e.By, Reason: e.Reason}
	case Approved:
		s.Status, s.ApprovedBy = StatusApproved, e.By
	case Applied:
		var within []Applied // a new slice: states share theirs
		for _, a := range s.Applied {
			if a.At.After(e.At.Add(-Window)) {
				within = append(within, a)
			}
		}
		s.Applied = append(within, e)
	case Ended:
		s.Status = StatusEnded
	default:
		panic(fmt.Sprintf("retention: Evolve lacks %T", e))
	}
	return s
}

// Check tells what is wrong with a rule's own fields, and returns it with its defaults.
func Check(wish Proposed) (Proposed, error) {
	bad := domain.Invalid{}
	wish.check(bad)
	return wish, bad.Err()
}

func (p *Proposed) check(bad domain.Invalid) {
	if !slices.Contains(Bases(), p.Basis) {
		names := make([]string, len(Bases()))
		for i, b := range Bases() {
			names[i] = string(b)
		}
		bad["basis"] = "must be one of " + strings.Join(names, ", ")
	}
	if p.Days < 1 || p.Days > MaxDays {
		bad["days"] = fmt.Sprintf("must be 1 to %d", MaxDays)
	}
	if p.PerDay == 0 {
		p.PerDay = DefaultPerDay
	}
	if p.PerDay < 1 || p.PerDay > MaxPerDay {
		bad["perDay"] = fmt.Sprintf("must be 1 to %d", MaxPerDay)
	}
}

// Propose makes a rule, which erases nobody before it is approved.
func Propose(s State, wish Proposed) ([]Event, error) {
	if s.Status != "" {
		return nil, ErrExists
	}
	bad := domain.Invalid{}
	wish.check(bad)
	wish.Reason = bad.Name("reason", wish.Reason, organization.MaxReason)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return []Event{wish}, nil
}

// Approve lets a rule erase. By is somebody else than who proposed it, and shown what the dry run has shown: as many as are due.
func Approve(s State, by uuid.UUID, shown, due int) ([]Event, error) {
	switch {
	case s.Status == "":
		return nil, ErrNotFound
	case s.Status == StatusEnded:
		return nil, ErrEnded
	case s.Status == StatusApproved:
		return nil, ErrApproved
	case by == s.By, by == uuid.Nil:
		return nil, ErrSamePerson
	case shown != due:
		return nil, ErrChanged
	}
	return []Event{Approved{by, due}}, nil
}

// End ends a rule, or withdraws one that nobody has approved. Whom it was about to erase by then is erased.
func End(s State, by uuid.UUID, reason string) ([]Event, error) {
	bad := domain.Invalid{}
	reason = bad.Name("reason", reason, organization.MaxReason)
	switch {
	case s.Status == "":
		return nil, ErrNotFound
	case len(bad) > 0:
		return nil, bad
	case s.Status == StatusEnded:
		return nil, ErrEnded
	}
	return []Event{Ended{by, reason}}, nil
}

// Left returns how many the rule may still erase at a time.
func (s State) Left(now time.Time) int {
	if s.Status != StatusApproved {
		return 0
	}
	left := s.PerDay
	for _, a := range s.Applied {
		if a.At.After(now.Add(-Window)) {
			left -= len(a.Subjects)
		}
	}
	return max(0, left)
}

// May reports whether the rule has set out to erase a subject within the last [Window].
func (s State) May(subject uuid.UUID, now time.Time) bool {
	return s.Status == StatusApproved && slices.ContainsFunc(s.Applied, func(a Applied) bool {
		return a.At.After(now.Add(-Window)) && slices.Contains(a.Subjects, subject)
	})
}

// Apply sets out to erase as many of some subjects that are due as the limit lets. Those that it has set out for already count once.
func Apply(s State, due []uuid.UUID, now time.Time) []Event {
	var fresh []uuid.UUID
	for _, id := range due {
		if len(fresh) == s.Left(now) {
			break
		}
		if !s.May(id, now) {
			fresh = append(fresh, id)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return []Event{Applied{now, fresh}}
}
