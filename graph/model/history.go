package model

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Provenance is why a record is as it is.
type Provenance struct {
	ID      uuid.UUID
	Version int
	Fields  []*FieldOrigin
}

// FieldOrigin is a field and the event that made it what it is.
type FieldOrigin struct {
	Field string
	Value json.RawMessage
	Event *Activity
}

// Since returns when that happened.
func (f *FieldOrigin) Since() time.Time { return f.Event.OccurredAt }

// By returns the account that did it.
func (f *FieldOrigin) By(ctx context.Context) (*Account, error) { return f.Event.Actor(ctx) }

// Reason returns why, in the actor's words.
func (f *FieldOrigin) Reason() Text { return f.Event.Reason }

// Request returns the request that the event came by.
func (f *FieldOrigin) Request() *uuid.UUID { return f.Event.Request }

// Comparison is what differs between two pasts of a record.
type Comparison struct {
	ID                     uuid.UUID
	FromVersion, ToVersion int
	Fields                 []*FieldChange
}

// FieldChange is a field that differs.
type FieldChange struct {
	Field    string
	From, To json.RawMessage
	Event    *Activity
}

// EffectiveRights is what an account could do.
type EffectiveRights struct {
	Account     uuid.UUID
	Status      Enum
	Roles       []string
	Teams       []*Team
	Permissions []*EffectivePermission
}

// EffectivePermission is a permission and where it came from.
type EffectivePermission struct {
	Permission string
	Scope      Enum
	By         []*RightGrant
}

// RightGrant is a role that gave a permission.
type RightGrant struct {
	Role             string
	Scope            Enum
	Granted, Defined *Activity
}
