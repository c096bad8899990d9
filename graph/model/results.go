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
	Named, A, B json.RawMessage
	Differs     []string
	Group
}
