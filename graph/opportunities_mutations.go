package graph

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/graph/generated"
)

func (m mutation) OpenOpportunity(ctx context.Context, in generated.OpenOpportunityInput) (*generated.OpportunityPayload, error) {
	return m.onOpportunity(ctx, in.CommandID, in.Reason, nil, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.OpenOpportunity(ctx, p, commands.OpenOpportunity{
			Command: c, Reference: in.Reference, Product: value(in.Product), CustomerID: value(in.CustomerID), Owner: value(in.OwnerID),
		})
	})
}

func (m mutation) EngageOpportunity(ctx context.Context, in generated.OpportunityInput) (*generated.OpportunityPayload, error) {
	return m.onOpportunity(ctx, in.CommandID, in.Reason, in.ExpectedVersion, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.EngageOpportunity(ctx, p, commands.On{Command: c, ID: in.ID})
	})
}

func (m mutation) WinOpportunity(ctx context.Context, in generated.WinOpportunityInput) (*generated.OpportunityPayload, error) {
	return m.onOpportunity(ctx, in.CommandID, in.Reason, in.ExpectedVersion, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.WinOpportunity(ctx, p, commands.WinOpportunity{On: commands.On{Command: c, ID: in.ID}, Value: in.Value})
	})
}

func (m mutation) LoseOpportunity(ctx context.Context, in generated.OpportunityInput) (*generated.OpportunityPayload, error) {
	return m.onOpportunity(ctx, in.CommandID, in.Reason, in.ExpectedVersion, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.LoseOpportunity(ctx, p, commands.On{Command: c, ID: in.ID})
	})
}

func (m mutation) ReopenOpportunity(ctx context.Context, in generated.OpportunityInput) (*generated.OpportunityPayload, error) {
	return m.onOpportunity(ctx, in.CommandID, in.Reason, in.ExpectedVersion, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.ReopenOpportunity(ctx, p, commands.On{Command: c, ID: in.ID})
	})
}

func (m mutation) ReassignOpportunity(ctx context.Context, in generated.ReassignOpportunityInput) (*generated.OpportunityPayload, error) {
	return m.onOpportunity(ctx, in.CommandID, in.Reason, in.ExpectedVersion, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.ReassignRecord(ctx, p, commands.ReassignRecord{On: commands.On{Command: c, ID: in.ID, Kind: opportunity.Category}, Owner: in.OwnerID})
	})
}

func (m mutation) EditOpportunity(ctx context.Context, in generated.EditOpportunityInput) (*generated.OpportunityPayload, error) {
	wish := opportunity.Fields{
		Reference: edited(in.Reference), Product: edited(in.Product), Customer: edited(in.CustomerID), Value: edited(in.Value),
	}
	return m.onOpportunity(ctx, in.CommandID, in.Reason, in.ExpectedVersion, func(p *commands.Principal, c commands.Command) (commands.Result, error) {
		return m.Commands.EditOpportunity(ctx, p, commands.EditOpportunity{On: commands.On{Command: c, ID: in.ID}, Fields: wish})
	})
}

// onOpportunity is the way of a mutation that is about one opportunity and shows it.
func (m mutation) onOpportunity(ctx context.Context, id *uuid.UUID, reason *string, version *int,
	act func(*commands.Principal, commands.Command) (commands.Result, error),
) (*generated.OpportunityPayload, error) {
	c, err := expecting(id, reason, version)
	if err != nil {
		return nil, err
	}
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	done, err := act(p, c)
	return m.opportunity(ctx, p, done, err)
}
