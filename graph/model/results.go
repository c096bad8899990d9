package model

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
)

// ReportResult is a named result.
type ReportResult struct {
	ID                      uuid.UUID
	Name, Report, ReadModel string
	Definition              *int // nil: the report is built in
	Of                      []string
	Status                  Enum
	Progress                float64
	Events, Parked          int
	Position                *eventlog.Position
	Problem                 *string
	MadeAt                  time.Time
	EndedAt                 *time.Time

	By       uuid.UUID
	Accounts *Batch[Account]
}

// MadeBy returns who had it made.
func (r *ReportResult) MadeBy(ctx context.Context) (*Account, error) {
	return r.Accounts.Get(ctx, r.By)
}

// ResultDifferenceConnection is a page of the groups in which two results differ.
type ResultDifferenceConnection struct {
	Columns   []*ReportColumn
	Different int
	Nodes     []*ResultDifference
	PageInfo  *PageInfo
}

// ResultDifference is one group in which two results differ.
type ResultDifference struct {
	Group, A, B json.RawMessage
	Differs     []string

	AccountID, CustomerID uuid.UUID
	Accounts              *Batch[Account]
	Customers             *Batch[Customer]
	Behind                func(ctx context.Context, first *int, after *string) (*ActivityConnection, error)
}

// Account returns the account that the group is about.
func (d *ResultDifference) Account(ctx context.Context) (*Account, error) {
	return d.Accounts.Get(ctx, d.AccountID)
}

// Customer returns the customer that the group is about.
func (d *ResultDifference) Customer(ctx context.Context) (*Customer, error) {
	return d.Customers.Get(ctx, d.CustomerID)
}

// Events returns the events that explain the difference.
func (d *ResultDifference) Events(ctx context.Context, first *int, after *string) (*ActivityConnection, error) {
	return d.Behind(ctx, first, after)
}
