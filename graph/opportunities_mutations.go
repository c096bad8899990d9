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
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.EngageOpportunity, commands.On{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), ID: in.ID, Kind: opportunity.Category})
}

func (m mutation) WinOpportunity(ctx context.Context, in generated.WinOpportunityInput) (*generated.OpportunityPayload, error) {
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.WinOpportunity, commands.WinOpportunity{On: commands.On{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), ID: in.ID}, Value: in.Value})
}

func (m mutation) LoseOpportunity(ctx context.Context, in generated.OpportunityInput) (*generated.OpportunityPayload, error) {
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.LoseOpportunity, commands.On{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), ID: in.ID, Kind: opportunity.Category})
}

func (m mutation) ReopenOpportunity(ctx context.Context, in generated.OpportunityInput) (*generated.OpportunityPayload, error) {
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.ReopenOpportunity, commands.On{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), ID: in.ID, Kind: opportunity.Category})
}

func (m mutation) ReassignOpportunity(ctx context.Context, in generated.ReassignOpportunityInput) (*generated.OpportunityPayload, error) {
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.ReassignRecord, commands.ReassignRecord{On: commands.On{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), ID: in.ID, Kind: opportunity.Category}, Owner: in.OwnerID})
}

func (m mutation) EditOpportunity(ctx context.Context, in generated.EditOpportunityInput) (*generated.OpportunityPayload, error) {
	wish := opportunity.Fields{
		Reference: edited(in.Reference), Product: edited(in.Product), Customer: edited(in.CustomerID), Value: edited(in.Value),
	}
	return onOpportunity(ctx, m, in.ExpectedVersion, m.Commands.EditOpportunity, commands.EditOpportunity{On: commands.On{Command: expecting(in.CommandID, in.Reason, in.ExpectedVersion), ID: in.ID}, Fields: wish})
}
