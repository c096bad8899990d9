package accounts

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/projections/engine"
)

// Named returns those of ids that a record names which the viewer sees: its owner, who did it. Of an account that does not lie
// in the viewer's own scope of accounts it tells who that is and whether it is deactivated, and nothing else.
func Named(ctx context.Context, db engine.DB, v engine.Viewer, ids []uuid.UUID) (map[uuid.UUID]Account, error) {
	everybody := v
	everybody.Scope = organization.All
	found, err := Get(ctx, db, everybody, ids)
	for id, a := range found {
		if !a.in(v) {
			found[id] = Account{
				ID: id, Organization: a.Organization, LoginName: a.LoginName, DisplayName: a.DisplayName,
				Activated: true, Deactivated: a.Deactivated, Erased: a.Erased, CreatedAt: a.CreatedAt, Version: a.Version, Position: a.Position,
			}
		}
	}
	return found, err
}

// in tells what the condition of visible does, of a row at hand.
func (a Account) in(v engine.Viewer) bool {
	switch v.Scope {
	case organization.All:
		return true
	case organization.Team:
		return a.ID == v.Account || slices.Contains(v.Teams, a.Team)
	case organization.Own:
		return a.ID == v.Account
	}
	return false
}
