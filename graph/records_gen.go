// Code generated from domain/declared by go generate ./graph. DO NOT EDIT.

package graph

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
)

// recordObjects makes the object of the schema of a record, by category.
var recordObjects = map[string]func(model.RecordFields) model.Node{
	"contract": func(f model.RecordFields) model.Node { return &model.Contract{RecordFields: f} },
}

func (q query) Contract(ctx context.Context, id uuid.UUID, asOf *generated.AsOf, at *eventlog.Position) (*model.Contract, error) {
	return getRecord[model.Contract](ctx, q, "contract", id, asOf, at)
}

func (q query) Contracts(ctx context.Context, first *int, after *string, last *int, before *string, filter model.Input, orderBy []model.Input, search *string, asOf *generated.AsOf, at *eventlog.Position) (*model.ContractConnection, error) {
	return listRecords[model.Contract](ctx, q, "contract", listArguments{list{first, last, after, before, asOf, at}, filter, orderBy, search})
}

func (m mutation) CreateContract(ctx context.Context, in model.Input) (*generated.ContractPayload, error) {
	object, receipt, err := createRecord[model.Contract](ctx, m, "contract", in)
	return &generated.ContractPayload{Contract: object, Receipt: receipt}, err
}

func (m mutation) EditContract(ctx context.Context, in model.Input) (*generated.ContractPayload, error) {
	object, receipt, err := editRecord[model.Contract](ctx, m, "contract", in)
	return &generated.ContractPayload{Contract: object, Receipt: receipt}, err
}
