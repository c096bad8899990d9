package graph

import (
	"context"

	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/graph/model"
)

// ReadModels is for whoever is signed in: it tells nothing about anybody's records.
func (q query) ReadModels(ctx context.Context) ([]*model.ReadModel, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	statuses, err := q.Engine.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	models := make([]*model.ReadModel, len(statuses))
	for i, s := range statuses {
		models[i] = &model.ReadModel{
			Name: s.Name, Version: s.Version, Position: s.Position, Parked: s.Parked, Status: model.Enum(s.State),
		}
		if p.Scope(organization.Manage) != organization.None { // it may quote the event
			models[i].Error = model.Text(s.Error)
		}
		if s.Behind != nil {
			behind := int(*s.Behind)
			models[i].Behind = &behind
		}
		if s.ErrorPosition > 0 {
			models[i].ErrorPosition = &s.ErrorPosition
		}
	}
	return models, nil
}
