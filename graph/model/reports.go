package model

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// ReportDefinition describes a report.
type ReportDefinition struct {
	Name, About, ReadModel string
	BasedOn                *string // nil: it is built in
	Definition             *int    // its newest version
	Dimensions, Measures   []*ReportColumn
}

// OwnReportVersion is a version of a report of an organization's own.
type OwnReportVersion struct {
	Version    int
	Definition json.RawMessage
	DefinedAt  time.Time
	Reason     *string

	By       uuid.UUID
	Accounts *Batch[Account]
}

// DefinedBy returns who defined it.
func (v *OwnReportVersion) DefinedBy(ctx context.Context) (*Account, error) {
	return v.Accounts.Get(ctx, v.By)
}

// ReportColumn is a dimension or a measure of a report.
type ReportColumn struct {
	Name, Kind, About string
	Personal          bool
}

// ReportConnection is a page of the rows of a report.
type ReportConnection struct {
	Columns  []*ReportColumn
	Nodes    []*ReportRow
	PageInfo *PageInfo
}

// ReportRow is one group of a report.
type ReportRow struct {
	Values json.RawMessage
	Group
}

// Group is what the groups of a report have in common.
type Group struct {
	AccountID, CustomerID uuid.UUID
	Accounts              *Batch[Account]
	Customers             *Batch[Customer]
	Behind                func(ctx context.Context, first *int, after *string) (*ActivityConnection, error)
}

// Account returns the account that the group is about.
func (g *Group) Account(ctx context.Context) (*Account, error) {
	return g.Accounts.Get(ctx, g.AccountID)
}

// Customer returns the customer that the group is about.
func (g *Group) Customer(ctx context.Context) (*Customer, error) {
	return g.Customers.Get(ctx, g.CustomerID)
}

// Events returns the events behind the group, or those that explain a difference.
func (g *Group) Events(ctx context.Context, first *int, after *string) (*ActivityConnection, error) {
	return g.Behind(ctx, first, after)
}
