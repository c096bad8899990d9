package asof

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/opportunities"
	"github.com/annal-crm/annal/projections/records"
)

// Kind is a kind of record whose past can be told, by its read model. Who may see a record now may see how it was.
type Kind[R any] struct {
	Category string
	View     organization.Permission // to see such a record

	get   func(context.Context, engine.DB, engine.Viewer, []uuid.UUID) (map[uuid.UUID]R, error)
	fold  func(uuid.UUID, []*eventcodec.Event, func(*eventcodec.Event, R)) (R, bool, error)
	shown func(R, engine.Viewer) R
}

// The kinds of record.
var (
	Accounts  = Kind[accounts.Account]{account.Category, organization.ViewAccounts, accounts.Get, accounts.Of, accounts.Account.ShownTo}
	Customers = Kind[customers.Customer]{customer.Category, organization.ViewCustomers, customers.Get, customers.Of, customers.Customer.ShownTo}

	Opportunities = Kind[opportunities.Opportunity]{
		opportunity.Category, organization.ViewOpportunity, opportunities.Get, opportunities.Of,
		func(o opportunities.Opportunity, _ engine.Viewer) opportunities.Opportunity { return o },
	}
)

// Records returns a declared kind.
func Records(category string) Kind[records.Row] {
	rows := records.Of(category)
	return Kind[records.Row]{category, organization.Permission(rows.ViewPermission()), rows.Get, rows.History, rows.ShownTo}
}

// AnyKind is a [Kind] of whatever rows.
type AnyKind interface {
	// Visible says whether a viewer may see a record now.
	Visible(ctx context.Context, db engine.DB, v engine.Viewer, id uuid.UUID) (bool, error)
	// Permission is the one to see such a record.
	Permission() organization.Permission
	explain(ctx context.Context, r Reader, v engine.Viewer, id uuid.UUID, at eventlog.AsOf) (explained, error)
}

// Kinds are all kinds by the categories of their streams.
var Kinds = map[string]AnyKind{Accounts.Category: Accounts, Customers.Category: Customers, Opportunities.Category: Opportunities}

// Permission implements [AnyKind].
func (k Kind[R]) Permission() organization.Permission { return k.View }

// Now returns a record as it is, if the viewer may see it.
func (k Kind[R]) Now(ctx context.Context, db engine.DB, v engine.Viewer, id uuid.UUID) (row R, visible bool, err error) {
	found, err := k.get(ctx, db, v, []uuid.UUID{id})
	row, visible = found[id]
	return row, visible, err
}

// Visible implements [AnyKind].
func (k Kind[R]) Visible(ctx context.Context, db engine.DB, v engine.Viewer, id uuid.UUID) (bool, error) {
	_, visible, err := k.Now(ctx, db, v, id)
	return visible, err
}

// AsOf returns a record as of a past, if it was there then and the viewer may see it now.
func (k Kind[R]) AsOf(ctx context.Context, r Reader, v engine.Viewer, id uuid.UUID, at eventlog.AsOf) (row R, there bool, err error) {
	if visible, err := k.Visible(ctx, r.DB, v, id); err != nil || !visible {
		return row, false, err
	}
	history, err := r.history(ctx, v, k.Category, id, at)
	if err != nil {
		return row, false, err
	}
	row, there, err = k.fold(id, history, nil)
	if err != nil || !there {
		return row, false, unfoldable(err)
	}
	return k.shown(row, v), true, nil
}

func (k Kind[R]) explain(ctx context.Context, r Reader, v engine.Viewer, id uuid.UUID, at eventlog.AsOf) (explained, error) {
	history, err := r.history(ctx, v, k.Category, id, at)
	if err != nil {
		return explained{}, err
	}
	known, err := Explain(id, history, k.fold)
	if err != nil || !known.Exists {
		return explained{}, unfoldable(err)
	}
	return explained{int(history[len(history)-1].Version), Values(k.shown(known.Row, v)), known.Origins}, nil
}

// history reads the events of a record as of a past.
func (r Reader) history(ctx context.Context, v engine.Viewer, category string, id uuid.UUID, at eventlog.AsOf) ([]*eventcodec.Event, error) {
	return r.Events(ctx, eventlog.Stream{Organization: v.Organization, Category: category, ID: id}, at)
}

// unfoldable is an error about a history that this program cannot fold.
func unfoldable(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", commands.ErrUnreadable, err)
	}
	return nil
}
