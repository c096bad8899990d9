package model

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
)

// RetentionRule is a rule that erases by policy. Its counts are taken only when a client asks for them.
type RetentionRule struct {
	ID         uuid.UUID
	Status     Enum
	Basis      Enum
	Days       int
	PerDay     int
	Reason     string
	ProposedAt time.Time
	ApprovedAt *time.Time
	Due        *int
	EndedAt    *time.Time
	Ending     Text

	ProposedByID, ApprovedByID, EndedByID uuid.UUID
	Accounts                              *Batch[Account]
	Erasures                              *Batch[RetentionErasures]
	CountWaiting                          func(context.Context) (int, error)
}

// RetentionErasures are the erasures that a rule has asked for.
type RetentionErasures struct{ Done, UnderWay int }

// ProposedBy returns who proposed the rule.
func (r *RetentionRule) ProposedBy(ctx context.Context) (*Account, error) {
	return r.Accounts.Get(ctx, r.ProposedByID)
}

// ApprovedBy returns who approved the rule.
func (r *RetentionRule) ApprovedBy(ctx context.Context) (*Account, error) {
	return r.Accounts.Get(ctx, r.ApprovedByID)
}

// EndedBy returns who ended the rule.
func (r *RetentionRule) EndedBy(ctx context.Context) (*Account, error) {
	return r.Accounts.Get(ctx, r.EndedByID)
}

// Done returns how many the rule has erased.
func (r *RetentionRule) Done(ctx context.Context) (int, error) {
	e, err := r.erasures(ctx)
	return e.Done, err
}

// UnderWay returns how many are being erased.
func (r *RetentionRule) UnderWay(ctx context.Context) (int, error) {
	e, err := r.erasures(ctx)
	return e.UnderWay, err
}

func (r *RetentionRule) erasures(ctx context.Context) (RetentionErasures, error) {
	e, err := r.Erasures.Get(ctx, r.ID)
	if err != nil || e == nil {
		return RetentionErasures{}, err
	}
	return *e, nil
}

// Waiting returns how many are due and wait.
func (r *RetentionRule) Waiting(ctx context.Context) (int, error) { return r.CountWaiting(ctx) }

// RetentionDryRun is the answer to whom a rule would erase.
type RetentionDryRun struct {
	At       time.Time
	Position eventlog.Position
	Due      int
	Kept     []*RetentionKept

	Page func(ctx context.Context, first *int, after *string, last *int, before *string) (*RetentionSubjectConnection, error)
}

// Subjects returns a page of those who are due.
func (d *RetentionDryRun) Subjects(ctx context.Context, first *int, after *string, last *int, before *string) (*RetentionSubjectConnection, error) {
	return d.Page(ctx, first, after, last, before)
}

// RetentionSubject is somebody who is due.
type RetentionSubject struct {
	Kind     string
	ID       uuid.UUID
	Since    time.Time
	Position eventlog.Position
	DueAt    time.Time
}

// RetentionKept is an account that would be due, and is left out.
type RetentionKept struct {
	AccountID uuid.UUID
	Why       Enum
}
