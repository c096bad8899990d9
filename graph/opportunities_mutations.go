package graph

import (
	"context"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/graph/generated"
)

func (m mutation) OpenOpportunity(ctx context.Context, in generated.OpenOpportunityInput) (*generated.OpportunityPayload, error) {
	return onOpportunity(ctx, m, nil, m.Commands.OpenOpportunity, commands.OpenOpportunity{
		Command: command(in.CommandID, in.Reason), Reference: in.Reference, Product: value(in.Product), CustomerID: value(in.CustomerID), Owner: value(in.OwnerID),
	})
}

func (m mutation) EngageOpportunity(ctx context.Context, in generated.OpportunityInput) (*generated.OpportunityPayload, error) {
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.EngageOpportunity, commands.OnOpportunity{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), OpportunityID: in.ID})
}

func (m mutation) WinOpportunity(ctx context.Context, in generated.WinOpportunityInput) (*generated.OpportunityPayload, error) {
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.WinOpportunity, commands.WinOpportunity{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), OpportunityID: in.ID, Value: in.Value})
}

func (m mutation) LoseOpportunity(ctx context.Context, in generated.OpportunityInput) (*generated.OpportunityPayload, error) {
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.LoseOpportunity, commands.OnOpportunity{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), OpportunityID: in.ID})
}

func (m mutation) ReopenOpportunity(ctx context.Context, in generated.OpportunityInput) (*generated.OpportunityPayload, error) {
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.ReopenOpportunity, commands.OnOpportunity{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), OpportunityID: in.ID})
}

func (m mutation) ReassignOpportunity(ctx context.Context, in generated.ReassignOpportunityInput) (*generated.OpportunityPayload, error) {
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.ReassignOpportunity, commands.ReassignOpportunity{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), OpportunityID: in.ID, Owner: in.OwnerID})
}

func (m mutation) EditOpportunity(ctx context.Context, in generated.EditOpportunityInput) (*generated.OpportunityPayload, error) {
	wish := opportunity.Fields{
		Reference: edited(in.Reference), Product: edited(in.Product), Customer: edited(in.CustomerID), Value: edited(in.Value),
	}
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.EditOpportunity, commands.EditOpportunity{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), OpportunityID: in.ID, Fields: wish})
}
