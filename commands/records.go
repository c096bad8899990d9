package commands

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/eventlog"
)

// declaredKind is a declared kind of record on the write side.
type declaredKind struct {
	owned[record.State, record.Event]
	kind *record.Kind
}

func newDeclaredKind(k *record.Kind, cached int) *declaredKind {
	return &declaredKind{
		kind: k,
		owned: owned[record.State, record.Event]{
			aggregate: newAggregate(k.Category, k.Events(), record.Evolve, cached),
			view:      organization.Permission(k.ViewPermission()),
			edit:      organization.Permission(k.EditPermission()),
			move:      func(s record.State, stage string, _ time.Time) ([]record.Event, error) { return k.Move(s, stage) },
			reassign:  record.Reassign,
			archive:   record.Archive,
			restore:   record.Restore,
			erase:     record.Erase,
			erased: func(s record.State) error {
				if s.Erased {
					return record.ErrErased
				}
				return nil
			},
		},
	}
}

// declared returns a declared kind. An unknown category is a mistake in the program text, for requests name kinds by types.
func (c *Commands) declared(category string) *declaredKind {
	k, ok := c.owned[category].(*declaredKind)
	if !ok {
		panic(fmt.Sprintf("commands: %q is not a declared kind", category))
	}
	return k
}

// CreateRecord is the input of [Commands.CreateRecord].
type CreateRecord struct {
	Command
	Kind   string    // a declared one
	Owner  uuid.UUID // zero: the principal
	Values record.Values
}

// CreateRecord makes a record of a declared kind, owned by the principal or by an account in the scope of the permission to
// edit the kind. What it refers to must be there, and the principal must see it.
func (c *Commands) CreateRecord(ctx context.Context, p *Principal, in CreateRecord) (Result, error) {
	k := c.declared(in.Kind)
	return k.create(ctx, c, p, in.Command, in.Owner, func(s record.State, owner uuid.UUID, _ time.Time) ([]record.Event, error) {
		events, err := k.kind.Create(s, in.Values, owner)
		if err != nil {
			return nil, err
		}
		return events, c.referred(ctx, p, k.kind, s, in.Values)
	})
}

// EditRecord is the input of [Commands.EditRecord].
type EditRecord struct {
	On                   // of a declared kind, which is given
	Values record.Values // an empty one clears a field; a missing one leaves it as it is
}

// EditRecord changes fields of a record; for an expected version see [Commands.EditCustomer].
func (c *Commands) EditRecord(ctx context.Context, p *Principal, in EditRecord) (Result, error) {
	k := c.declared(in.Kind)
	return k.change(ctx, c, p, in.On, func(s record.State, _ time.Time) ([]record.Event, error) {
		events, err := k.kind.Edit(s, in.Values)
		if err != nil {
			return nil, err
		}
		return events, c.referred(ctx, p, k.kind, s, in.Values)
	})
}

// referred checks the references that values would change; the rules have found them to be ids.
func (c *Commands) referred(ctx context.Context, p *Principal, k *record.Kind, s record.State, values record.Values) error {
	for i := range k.Fields {
		f := &k.Fields[i]
		if f.Type != record.Ref || domain.ParseRef(values[f.Name]) == domain.ParseRef(s.Value(f.Name)) {
			continue
		}
		if err := c.refer(ctx, p, f.Input(), f.Of, domain.ParseRef(values[f.Name])); err != nil {
			return err
		}
	}
	return nil
}

// ImportRecord creates or follows a record of a declared kind. Its owner and what it refers to must be there.
func (c *Commands) ImportRecord(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, kind string, row record.Row) (Imported, error) {
	k := c.declared(kind)
	check := func() error {
		for i := range k.kind.Fields {
			f := &k.kind.Fields[i]
			if f.Type != record.Ref {
				continue
			}
			if err := c.importedRef(ctx, p, f, domain.ParseRef(row.Values[f.Name])); err != nil {
				return err
			}
		}
		return nil
	}
	return k.follow(ctx, c, p, cmd, id, row.Owner, check, func(s record.State, _ time.Time) ([]record.Event, error) {
		return k.kind.Import(s, row)
	})
}

// importedRef reports whether the row of an import may refer to a record. A stream never goes away, so one that was seen is not
// read again.
func (c *Commands) importedRef(ctx context.Context, p *Principal, f *record.Field, id uuid.UUID) error {
	if f.Of == account.Category {
		return there(ctx, c, &c.accounts, p, f.Input(), id)
	}
	s := eventlog.Stream{Organization: p.Organization, Category: f.Of, ID: id}
	if id == uuid.Nil || c.owned[f.Of].cached(s) {
		return nil
	}
	of, err := c.owned[f.Of].find(ctx, c, s)
	if err == nil && !of.exists {
		err = domain.Invalid{f.Input(): "refers to nothing"}
	}
	return err
}

// MoveRecord is the input of [Commands.MoveRecord].
type MoveRecord struct {
	On
	Stage string
}

// MoveRecord takes a record of any kind that has stages to another stage.
func (c *Commands) MoveRecord(ctx context.Context, p *Principal, in MoveRecord) (Result, error) {
	return c.onRecordOf(ctx, p, in.On, verb{stage: &in.Stage})
}

// ReassignRecord is the input of [Commands.ReassignRecord].
type ReassignRecord struct {
	On
	Owner uuid.UUID // zero: nobody, which needs the permission to edit everywhere
}

// ReassignRecord gives a record of any kind to another account, one in the scope of the permission to edit it.
func (c *Commands) ReassignRecord(ctx context.Context, p *Principal, in ReassignRecord) (Result, error) {
	return c.onRecordOf(ctx, p, in.On, verb{owner: &in.Owner})
}

// ArchiveRecord puts a record away: it can be read and restored, not changed.
func (c *Commands) ArchiveRecord(ctx context.Context, p *Principal, on On) (Result, error) {
	archived := true
	return c.onRecordOf(ctx, p, on, verb{archived: &archived})
}

// RestoreRecord takes an archived record back.
func (c *Commands) RestoreRecord(ctx context.Context, p *Principal, on On) (Result, error) {
	archived := false
	return c.onRecordOf(ctx, p, on, verb{archived: &archived})
}

// onRecordOf carries out a command that every kind has.
func (c *Commands) onRecordOf(ctx context.Context, p *Principal, on On, what verb) (Result, error) {
	category := on.Kind
	if category == "" {
		var err error
		if category, err = c.categoryOf(ctx, p, on.ID); err != nil {
			return Result{}, err
		}
	}
	done, err := c.owned[category].do(ctx, c, p, on, what)
	done.Kind = category
	return done, err
}
