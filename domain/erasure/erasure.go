// Package erasure decides how a person, or another bearer of personal data, is
// forgotten: one person asks for it, another one approves or refuses, the program
// carries it out and says when it is done.
//
// Each request is a stream. [Evolve] folds its events into a [State]; a decision
// ([Request], [Approve], …) returns the events that a wish leads to, or the error
// of the rule that it breaks. That the subject is erased is an event of the
// subject's own stream: see [domain.Erased].
package erasure

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/organization"
)

// What the rules forbid.
var (
	ErrNotFound   = domain.NoSuch()
	ErrExists     = domain.Refuse(domain.CodeConflict, "the erasure was asked for before")
	ErrSamePerson = domain.Refuse(domain.CodeForbidden, "who asks for an erasure, or is to be erased, does not approve it: somebody else must")
	ErrDecided    = domain.Refuse(domain.CodeConflict, "the request was approved or refused before")
)

// Status is what has become of a request.
type Status string

const (
	StatusRequested Status = "requested"
	StatusApproved  Status = "approved" // and is being carried out
	StatusDone      Status = "done"
	StatusRefused   Status = "refused"
)

// State is a request as the rules need it.
type State struct {
	Status     Status // empty: there is no request
	Category   string // of the subject's stream
	Subject    uuid.UUID
	By         uuid.UUID // who asked
	ApprovedBy uuid.UUID // zero: nobody yet
	Reason     string
	Rule       uuid.UUID // of retention; zero: none
}

// Evolve returns s as e leaves it. It never refuses: an event has happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Requested:
		s = State{Status: StatusRequested, Category: e.Category, Subject: e.Subject, By: e.By, Reason: e.Reason, Rule: e.Rule}
	case Approved:
		s.Status, s.ApprovedBy = StatusApproved, e.By
	case Refused:
		s.Status = StatusRefused
	case Done:
		s.Status = StatusDone
	default:
		panic(fmt.Sprintf("erasure: Evolve lacks %T", e))
	}
	return s
}

// Erasable reports whether the streams of a category are data subjects.
func Erasable(category string) bool {
	k := declared.Kind(category)
	return category == account.Category || category == customer.Category || k != nil && k.Personal()
}

// Request asks for the erasure of a data subject. Whether that exists is for the caller to know.
func Request(s State, wish Requested) ([]Event, error) {
	if s.Status != "" {
		return nil, ErrExists
	}
	bad := domain.Invalid{}
	wish.Reason = bad.Name("reason", wish.Reason, organization.MaxReason)
	if !Erasable(wish.Category) || wish.Subject == uuid.Nil {
		bad["subject"] = "must be an account, a customer or another record with personal data"
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return []Event{wish}, nil
}

// ByRule asks for an erasure in the name of who has proposed a rule of retention, and approves it in the name of who has approved that.
func ByRule(s State, wish Requested, approvedBy uuid.UUID) ([]Event, error) {
	asked, err := Request(s, wish)
	if err != nil {
		return nil, err
	}
	approved, err := Approve(Evolve(s, asked[0]), approvedBy)
	if err != nil {
		return nil, err
	}
	return append(asked, approved...), nil
}

// Approve lets a request be carried out. By is somebody else than who asked, and than who is to be erased.
func Approve(s State, by uuid.UUID) ([]Event, error) {
	switch {
	case s.Status == "":
		return nil, ErrNotFound
	case by == s.By, by == s.Subject, by == uuid.Nil:
		return nil, ErrSamePerson
	case s.Status != StatusRequested:
		return nil, ErrDecided
	}
	return []Event{Approved{By: by, Category: s.Category, Subject: s.Subject}}, nil
}

// Refuse turns a request down; who asked may withdraw it by this.
func Refuse(s State, by uuid.UUID, reason string) ([]Event, error) {
	bad := domain.Invalid{}
	reason = bad.Name("reason", reason, organization.MaxReason)
	switch {
	case s.Status == "":
		return nil, ErrNotFound
	case len(bad) > 0:
		return nil, bad
	case s.Status != StatusRequested:
		return nil, ErrDecided
	}
	return []Event{Refused{by, reason, s.Category, s.Subject}}, nil
}

// Finish puts on record that an approved request was carried out.
func Finish(s State) ([]Event, error) {
	switch s.Status {
	case StatusApproved:
		return []Event{Done{s.Category, s.Subject}}, nil
	case StatusDone:
		return nil, nil
	}
	return nil, ErrNotFound
}

// Certificate is what the subject's stream is told of a request.
func (s State) Certificate(request uuid.UUID) domain.Erased {
	return domain.Erased{Request: request, RequestedBy: s.By, ApprovedBy: s.ApprovedBy, Reason: s.Reason, Rule: s.Rule}
}
