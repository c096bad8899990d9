package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/graph/generated"
)

func (m mutation) RegisterCustomer(ctx context.Context, in generated.RegisterCustomerInput) (*generated.CustomerPayload, error) {
	attributes, err := texts(in.Attributes)
	if err != nil {
		return nil, err
	}
	wish := customer.Registered{
		Name: in.Name, Sector: value(in.Sector), Country: value(in.Country), Website: value(in.Website), Phone: value(in.Phone),
		Email: value(in.Email), Owner: value(in.OwnerID), Attributes: make(map[string]string, len(attributes)),
	}
	for name, text := range attributes {
		wish.Attributes[name] = value(text)
	}
	return m.onCustomer(ctx, in.CommandID, in.Reason, nil, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.RegisterCustomer(ctx, p, commands.RegisterCustomer{Command: c, Registered: wish})
	})
}

func (m mutation) EditCustomer(ctx context.Context, in generated.EditCustomerInput) (*generated.CustomerPayload, error) {
	attributes, err := texts(in.Attributes)
	if err != nil {
		return nil, err
	}
	wish := customer.Fields{
		Name: edited(in.Name), Sector: edited(in.Sector), Country: edited(in.Country), Website: edited(in.Website),
		Phone: edited(in.Phone), Email: edited(in.Email), Attributes: attributes,
	}
	return m.onCustomer(ctx, in.CommandID, in.Reason, in.ExpectedVersion, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.EditCustomer(ctx, p, commands.EditCustomer{On: commands.On{Command: c, ID: in.ID, Kind: customer.Category}, Fields: wish})
	})
}

func (m mutation) ReassignCustomer(ctx context.Context, in generated.ReassignCustomerInput) (*generated.CustomerPayload, error) {
	return m.onCustomer(ctx, in.CommandID, in.Reason, in.ExpectedVersion, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.ReassignRecord(ctx, p, commands.ReassignRecord{On: commands.On{Command: c, ID: in.ID, Kind: customer.Category}, Owner: value(in.OwnerID)})
	})
}

func (m mutation) ArchiveCustomer(ctx context.Context, in generated.CustomerInput) (*generated.CustomerPayload, error) {
	return m.onCustomer(ctx, in.CommandID, in.Reason, in.ExpectedVersion, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.ArchiveRecord(ctx, p, commands.On{Command: c, ID: in.ID, Kind: customer.Category})
	})
}

func (m mutation) RestoreCustomer(ctx context.Context, in generated.CustomerInput) (*generated.CustomerPayload, error) {
	return m.onCustomer(ctx, in.CommandID, in.Reason, in.ExpectedVersion, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.RestoreRecord(ctx, p, commands.On{Command: c, ID: in.ID, Kind: customer.Category})
	})
}

// onCustomer is the way of a mutation that is about one customer and shows it.
func (m mutation) onCustomer(ctx context.Context, id *uuid.UUID, reason *string, version *int,
	act func(*commands.Principal, commands.Command) (commands.Result, error),
) (*generated.CustomerPayload, error) {
	c, err := expecting(id, reason, version)
	if err != nil {
		return nil, err
	}
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	done, err := act(p, c)
	return m.customer(ctx, p, done, err)
}

// edited is nil for a field that is absent, and the zero value, which clears it, for one that is null.
func edited[T any](field graphql.Omittable[*T]) *T {
	v, present := field.ValueOK()
	if present && v == nil {
		return new(T)
	}
	return v
}
