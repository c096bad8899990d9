package model

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/record"
)

// Node is what has an id of its own.
type Node interface{ IsNode() }

// Record is a record of any kind.
type Record interface {
	Node
	IsRecord()
}

// RecordFields are what every record has. Values are the fields of a declared kind in their stored form, in the order in which
// the kind declares them; a method of the kind's own type shows each.
type RecordFields struct {
	ID        uuid.UUID
	Version   int
	Archived  bool
	Erased    bool
	Stage     Enum
	CreatedAt time.Time
	UpdatedAt time.Time
	OwnerID   uuid.UUID
	Values    []string
	Page      *Page
}

// IsNode implements [Node].
func (r *RecordFields) IsNode() {}

// IsNode implements [Node]: a field of a record may refer to an account.
func (a *Account) IsNode() {}

// IsRecord implements [Record].
func (r *RecordFields) IsRecord() {}

// Owner returns the account that the record belongs to.
func (r *RecordFields) Owner(ctx context.Context) (*Account, error) {
	return r.Page.Accounts.Get(ctx, r.OwnerID)
}

// ViewerCan returns what the viewer may do with the record.
func (r *RecordFields) ViewerCan(ctx context.Context) (*RecordRights, error) {
	may, err := r.Page.editable.Get(ctx, r.ID)
	if err != nil || may == nil || r.Erased {
		return &RecordRights{}, err
	}
	rights := r.Page.rights
	return &RecordRights{
		Edit:     rights.Edit && !r.Archived,
		Reassign: rights.Reassign && !r.Archived,
		Archive:  rights.Archive,
	}, nil
}

// Timeline returns the events of the record.
func (r *RecordFields) Timeline(ctx context.Context, first *int, after *string, types []string) (*ActivityConnection, error) {
	return r.Page.timeline(ctx, r, first, after, types)
}

// RecordRights are what a viewer may do with a record.
type RecordRights struct{ Edit, Reassign, Archive bool }

// Page is what the records of one page share: the edges of all of them are loaded in one query each. It is filled with
// [Page.Add] while the page is made, then read by any number of goroutines.
type Page struct {
	Accounts *Batch[Account]

	source   RecordSource
	category string
	rights   RecordRights
	edges    map[string]*Batch[Node]
	editable *Batch[bool]
}

// RecordSource loads what records lead to.
type RecordSource interface {
	// Nodes returns those records of a category that the viewer may see.
	Nodes(ctx context.Context, category string, ids []uuid.UUID) (map[uuid.UUID]*Node, error)

	// Editable returns those records of a category that the viewer has the right to change.
	Editable(ctx context.Context, category string, ids []uuid.UUID) (map[uuid.UUID]*bool, error)

	// Timeline returns the events of a record, the newest first.
	Timeline(ctx context.Context, category string, r *RecordFields, first *int, after *string, types []string) (*ActivityConnection, error)
}

// NewPage returns an empty page of records of a category, which can be changed in the ways that rights holds.
func NewPage(source RecordSource, category string, rights RecordRights, accounts *Batch[Account]) *Page {
	return &Page{
		Accounts: accounts,
		source:   source,
		category: category,
		rights:   rights,
		edges:    make(map[string]*Batch[Node]),
		editable: NewBatch(func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*bool, error) {
			return source.Editable(ctx, category, ids)
		}),
	}
}

// Add puts a record on the page.
func (p *Page) Add(id, owner uuid.UUID) {
	p.editable.Want(id)
	p.Accounts.Want(owner)
}

// Want adds what a record of the page refers to.
func (p *Page) Want(category string, id uuid.UUID) {
	if category == account.Category {
		p.Accounts.Want(id)
		return
	}
	batch := p.edges[category]
	if batch == nil {
		batch = NewBatch(func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Node, error) {
			return p.source.Nodes(ctx, category, ids)
		})
		p.edges[category] = batch
	}
	batch.Want(id)
}

func (p *Page) timeline(ctx context.Context, r *RecordFields, first *int, after *string, types []string) (*ActivityConnection, error) {
	return p.source.Timeline(ctx, p.category, r, first, after, types)
}

// edge returns the record of a category that a record of the page refers to, nil if it does not exist or it may not be seen.
func edge[T Node](ctx context.Context, p *Page, category string, id uuid.UUID) (object T, err error) {
	if id == uuid.Nil {
		return object, nil
	}
	found, err := p.edges[category].Get(ctx, id)
	if err != nil || found == nil {
		return object, err
	}
	object, _ = (*found).(T)
	return object, nil
}

// ref returns the id that a field holds; zero: none.
func (r *RecordFields) ref(field int) uuid.UUID { return domain.ParseRef(r.Values[field]) }

// Money is an amount in a currency.
type Money struct {
	Amount   domain.Decimal
	Currency string
}

// money reads the stored form; nil if it does not exist.
func money(value string) *Money {
	if value == "" {
		return nil
	}
	amount, currency := record.Amount(value)
	return &Money{amount, currency}
}

// Literal is a value that JSON writes as it is stored, a number or true or false; null when it is empty.
type Literal string

// MarshalGQL implements [graphql.Marshaler].
func (l Literal) MarshalGQL(w io.Writer) {
	if l == "" {
		l = "null"
	}
	io.WriteString(w, string(l))
}

// UnmarshalGQL implements [graphql.Unmarshaler]. Nobody gives a Literal: gqlgen wants both directions of a type.
func (l *Literal) UnmarshalGQL(any) error { return errors.New("is not an input") }

// Input is an input of a record as it came, for the declaration of the kind to read. The validator has held it to the schema,
// except for what is in scalars of our own.
type Input map[string]any

// MarshalInput is there because gqlgen wants both directions of a type.
func MarshalInput(Input) graphql.Marshaler { return graphql.Null }

// UnmarshalInput takes an object as it is.
func UnmarshalInput(v any) (Input, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("is not an object")
	}
	return object, nil
}
