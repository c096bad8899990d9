package model

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// ErasureRequest is somebody's request that a person be erased.
type ErasureRequest struct {
	ID          uuid.UUID
	Status      Enum
	Kind        string
	SubjectID   uuid.UUID
	Reason      string
	RequestedAt time.Time
	DecidedAt   *time.Time
	Refusal     Text
	DoneAt      *time.Time
	RuleID      *uuid.UUID

	RequestedByID, DecidedByID uuid.UUID
	Accounts                   *Batch[Account]
}

// RequestedBy returns who asked.
func (r *ErasureRequest) RequestedBy(ctx context.Context) (*Account, error) {
	return r.Accounts.Get(ctx, r.RequestedByID)
}

// DecidedBy returns who approved or refused.
func (r *ErasureRequest) DecidedBy(ctx context.Context) (*Account, error) {
	return r.Accounts.Get(ctx, r.DecidedByID)
}
