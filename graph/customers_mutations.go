package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

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
	return onCustomer(ctx, m, nil, m.Commands.RegisterCustomer, commands.RegisterCustomer{Command: command(in.CommandID, in.Reason), Registered: wish})
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
	return onCustomer(ctx, m, in.ExpectedVersion, m.Commands.EditCustomer, commands.EditCustomer{On: commands.On{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), ID: in.ID}, Fields: wish})
}

func (m mutation) ReassignCustomer(ctx context.Context, in generated.ReassignCustomerInput) (*generated.CustomerPayload, error) {
	return onCustomer(ctx, m, in.ExpectedVersion, m.Commands.ReassignRecord, commands.ReassignRecord{On: commands.On{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), ID: in.ID, Kind: customer.Category}, Owner: value(in.OwnerID)})
}

func (m mutation) ArchiveCustomer(ctx context.Context, in generated.CustomerInput) (*generated.CustomerPayload, error) {
	return onCustomer(ctx, m, in.ExpectedVersion, m.Commands.ArchiveRecord, commands.On{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), ID: in.ID, Kind: customer.Category})
}

func (m mutation) RestoreCustomer(ctx context.Context, in generated.CustomerInput) (*generated.CustomerPayload, error) {
	return onCustomer(ctx, m, in.ExpectedVersion, m.Commands.RestoreRecord, commands.On{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), ID: in.ID, Kind: customer.Category})
}

// edited is nil for a field that is absent, and the zero value, which clears it, for one that is null.
func edited[T any](field graphql.Omittable[*T]) *T {
	v, present := field.ValueOK()
	if present && v == nil {
		return new(T)
	}
	return v
}
