// Package model holds the objects of the GraphQL schema: rows of the read models with their edges, and how scalars are
// written and read. An edge is a method that looks into a [Batch] shared by the whole page. Nothing here decides anything.
package model

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
)

// Text is a String that is null when it is empty.
type Text string

// MarshalGQL implements [graphql.Marshaler].
func (t Text) MarshalGQL(w io.Writer) {
	if t == "" {
		io.WriteString(w, "null")
		return
	}
	graphql.MarshalString(string(t)).MarshalGQL(w)
}

// UnmarshalGQL implements [graphql.Unmarshaler].
func (t *Text) UnmarshalGQL(v any) error {
	s, err := text(v)
	*t = Text(s)
	return err
}

// Enum is a value of any enumeration: in Go as the domain stores it (won), in GraphQL in capitals (WON), null when it is empty.
// Which values there are is in the schema; gqlgen's validator holds to it.
type Enum string

// MarshalGQL implements [graphql.Marshaler].
func (e Enum) MarshalGQL(w io.Writer) {
	if e == "" {
		io.WriteString(w, "null")
		return
	}
	io.WriteString(w, `"`+strings.ToUpper(string(e))+`"`)
}

// UnmarshalGQL implements [graphql.Unmarshaler].
func (e *Enum) UnmarshalGQL(v any) error {
	s, err := text(v)
	*e = Enum(strings.ToLower(s))
	return err
}

// Account is an account as a viewer sees it.
type Account struct {
	ID          uuid.UUID
	LoginName   string
	DisplayName string
	Email       Text
	Status      Enum
	Roles       []string
	Team        *Team
	LockedUntil *time.Time
	Erased      bool
}

// Session is one signed-in device.
type Session struct {
	ID        uuid.UUID
	OpenedAt  time.Time
	ExpiresAt time.Time
	Current   bool
}

// Customer is a customer as a viewer sees it.
type Customer struct {
	RecordFields
	Name       string
	Sector     Text
	Country    Text
	Website    Text
	Phone      Text
	Email      Text
	Attributes json.RawMessage
}

// Opportunity is an opportunity as a viewer sees it.
type Opportunity struct {
	RecordFields
	Reference  string
	Value      *domain.Decimal
	Product    Text
	OpenedAt   time.Time
	EngagedAt  *time.Time
	ClosedAt   *time.Time
	CustomerID uuid.UUID
}

// Customer returns the customer that the business is with.
func (o *Opportunity) Customer(ctx context.Context) (*Customer, error) {
	return edge[*Customer](ctx, o.Page, customer.Category, o.CustomerID)
}

// SalesRow is one group of a report.
type SalesRow struct {
	Month, Product, Region Text
	Won, Lost              int
	WonValue               domain.Decimal

	OwnerID, CustomerID uuid.UUID
	Accounts            *Batch[Account]
	Customers           *Batch[Customer]
}

// Owner returns the account that the group is about.
func (r *SalesRow) Owner(ctx context.Context) (*Account, error) {
	return r.Accounts.Get(ctx, r.OwnerID)
}

// Customer returns the customer that the group is about.
func (r *SalesRow) Customer(ctx context.Context) (*Customer, error) {
	return r.Customers.Get(ctx, r.CustomerID)
}

// Activity is one event as a viewer sees it.
type Activity struct {
	Position   eventlog.Position
	Type       string
	OccurredAt time.Time
	RecordedAt time.Time
	IP         Text
	Device     Text
	Reason     Text
	Data       json.RawMessage
	Session    *uuid.UUID
	Request    *uuid.UUID

	Line     func(name func(uuid.UUID) string) string // the summary, with the names that accounts in it have
	ActorID  uuid.UUID
	Accounts *Batch[Account]
}

// Summary tells what happened, other accounts by id and login name.
func (a *Activity) Summary(ctx context.Context) (string, error) {
	var failed error
	line := a.Line(func(id uuid.UUID) string {
		found, err := a.Accounts.Get(ctx, id)
		if err != nil {
			failed = err
		}
		if found == nil || found.Erased {
			return ""
		}
		return found.LoginName
	})
	return line, failed
}

// Actor returns the account that did it.
func (a *Activity) Actor(ctx context.Context) (*Account, error) {
	return a.Accounts.Get(ctx, a.ActorID)
}

// Team is a node of the organization's tree.
type Team struct {
	ID     uuid.UUID
	Name   string
	Parent *Team

	ManagerID uuid.UUID
	Accounts  *Batch[Account]
}

// Manager returns the account that manages the team.
func (t *Team) Manager(ctx context.Context) (*Account, error) {
	return t.Accounts.Get(ctx, t.ManagerID)
}

// Role is what its holders may do.
type Role struct {
	Name        string
	Permissions []*RolePermission
}

// RolePermission is one permission of a role.
type RolePermission struct {
	Permission string
	Scope      Enum
}

// Organization is the organization that the viewer is signed in to.
type Organization struct {
	ID            uuid.UUID
	Name          string
	LockoutPolicy *LockoutPolicy
	Roles         []*Role
	Teams         []*Team
}

// LockoutPolicy is the rule against guessing.
type LockoutPolicy struct {
	Attempts        int
	Window, LockFor time.Duration
}

// Viewer is who is signed in.
type Viewer struct {
	Account     *Account
	Permissions []string
	Sessions    []*Session
}

// ReadModel is a table folded from the log, and how far it has come.
type ReadModel struct {
	Name          string
	Version       int
	Position      eventlog.Position
	Behind        *int
	Parked        int
	Status        Enum
	Error         Text
	ErrorPosition *eventlog.Position
}

// ParkedEvent is an event that a read model could not fold.
type ParkedEvent struct {
	ReadModel         string
	Position          eventlog.Position
	EventID, StreamID uuid.UUID
	Type, Category    string
	StreamVersion     int
	Error             string
	Since             time.Time
	Waiting           int

	Read func(context.Context) (json.RawMessage, error) // the event, from the log
}

// Data returns what the event holds.
func (p *ParkedEvent) Data(ctx context.Context) (json.RawMessage, error) { return p.Read(ctx) }

// RetryParkedPayload is what came of folding parked events once more.
type RetryParkedPayload struct {
	Folded, Left int
	Error        Text
}

// SkipParkedPayload is what came of leaving one out.
type SkipParkedPayload struct {
	Folded, Left int
	Error        Text
	Receipt      *Receipt
}

// Receipt is proof of a write.
type Receipt struct {
	Position eventlog.Position
	Version  int
}
