// Package accounts is the list of accounts: who they are, which team and roles
// they have, whether they may sign in.
//
// What depends on the time of looking (a lock or an activation token that has
// run out) is not stored but told by [Account.Status].
package accounts

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
)

var schema = engine.Schema{Name: "accounts", Version: 2}

var table = engine.NewTable[uuid.UUID, Account](schema, "accounts", engine.TableConfig{
	Indexes:  []string{"(organization, display_name, id)", "(login_name)", "(team)"},
	Personal: []string{"login_name", "display_name", "email"},
})

// Model folds the events of accounts.
var Model = engine.ReadModel{
	Schema: schema,
	Tables: []engine.Relation{table},
	Events: events(),
	Keys: func(f *eventcodec.Event, rows *engine.Rows) error {
		table.Touch(rows, f.Stream.ID)
		return nil
	},
	Fold: fold,
}

func events() (types []string) {
	for name := range account.EventTypes.All() {
		types = append(types, name)
	}
	slices.Sort(types)
	return types
}

// Status is what an account may do at a time.
type Status string

const (
	Invited     Status = "invited" // not activated yet
	Active      Status = "active"
	Locked      Status = "locked"
	Expired     Status = "expired" // not activated, and the token for it has run out
	Deactivated Status = "deactivated"
	Erased      Status = "erased"
)

// Account is a row of the list.
type Account struct {
	ID              uuid.UUID         `db:"id,key"`
	Organization    uuid.UUID         `db:"organization"`
	LoginName       string            `db:"login_name"`
	DisplayName     string            `db:"display_name"`
	Email           string            `db:"email,null"`
	Team            uuid.UUID         `db:"team,null"`
	Roles           []string          `db:"roles"` // in the order granted
	Activated       bool              `db:"activated"`
	Deactivated     bool              `db:"deactivated"`
	Erased          bool              `db:"erased"`
	LockedUntil     time.Time         `db:"locked_until,null"`     // of the last lock that no event has ended
	ActivationUntil time.Time         `db:"activation_until,null"` // of the last token that was not used
	CreatedAt       time.Time         `db:"created_at"`
	LastLoginAt     time.Time         `db:"last_login_at,null"`
	Version         eventlog.Version  `db:"version"`
	Position        eventlog.Position `db:"position"`
}

// Status returns the account's status at a time. A lock that has run out is none, even before the event that says so.
func (a Account) Status(now time.Time) Status {
	switch {
	case a.Erased:
		return Erased
	case a.Deactivated:
		return Deactivated
	case !a.Activated && !a.ActivationUntil.IsZero() && !now.Before(a.ActivationUntil):
		return Expired
	case !a.Activated:
		return Invited
	case now.Before(a.LockedUntil):
		return Locked
	}
	return Active
}

func fold(f *eventcodec.Event, rows *engine.Rows) error {
	payload, err := f.Payload()
	if err != nil {
		return err
	}
	if e, ok := payload.(account.Invited); ok {
		table.Put(rows, Account{
			ID: f.Stream.ID, Organization: f.Stream.Organization,
			LoginName: e.LoginName, DisplayName: e.DisplayName, Email: e.Email, Team: e.Team, Roles: e.Roles,
			CreatedAt: f.OccurredAt, Version: f.Version, Position: f.Position,
		})
		return nil
	}
	table.Update(rows, f.Stream.ID, func(a *Account) {
		a.Version, a.Position = f.Version, f.Position
		switch e := payload.(type) {
		case account.ActivationIssued:
			a.ActivationUntil = e.ExpiresAt
		case account.Activated:
			a.Activated, a.ActivationUntil = true, time.Time{}
		case account.LoggedIn:
			a.LastLoginAt = e.At
		case account.Locked:
			a.LockedUntil = e.Until
		case account.Unlocked:
			a.LockedUntil = time.Time{}
		case account.RoleGranted:
			if !slices.Contains(a.Roles, e.Role) { // an import may say so again
				a.Roles = append(slices.Clip(a.Roles), e.Role)
			}
		case account.RoleRevoked:
			a.Roles = slices.DeleteFunc(slices.Clone(a.Roles), func(r string) bool { return r == e.Role })
		case account.MovedToTeam:
			a.Team = e.Team
		case account.Deactivated:
			a.Deactivated, a.ActivationUntil = true, time.Time{}
		case account.Reactivated:
			a.Deactivated = false
		case account.Erased:
			*a = Account{ // who it was in the organization stays, who it was does not
				ID: a.ID, Organization: a.Organization, Team: a.Team, Roles: a.Roles, Erased: true,
				CreatedAt: a.CreatedAt, LastLoginAt: a.LastLoginAt, Version: a.Version, Position: a.Position,
			}
		}
	})
	return nil
}

// Of folds the events of one account in memory, as the list does, and returns its row; see [engine.Trace].
func Of(id uuid.UUID, history []*eventcodec.Event, each func(*eventcodec.Event, Account)) (Account, bool, error) {
	return engine.Trace(Model, table, id, history, each)
}
