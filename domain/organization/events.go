package organization

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Category names the streams of organizations. An organization's stream has the organization's own id.
const Category = "organization"

// Event is a fact about one organization: its roles, its tree of teams, its rules, what it left out of a read model, which logins of the
// database read its rows.
type Event interface {
	domain.Event
	organizationEvent()
}

// EventTypes names every event for storage. A name is for ever; its Go type is not.
var EventTypes = domain.NewEventTypes(map[string]Event{
	"organization.registered":             Registered{},
	"organization.role_defined":           RoleDefined{},
	"organization.permission_added":       PermissionAdded{},
	"organization.permission_removed":     PermissionRemoved{},
	"organization.team_created":           TeamCreated{},
	"organization.team_moved":             TeamMoved{},
	"organization.team_manager_set":       TeamManagerSet{},
	"organization.lockout_policy_changed": LockoutPolicyChanged{},
	"organization.event_skipped":          EventSkipped{},
	"organization.sql_granted":            SQLGranted{},
	"organization.sql_revoked":            SQLRevoked{},
})

// Source names the import that an event came from; empty: a person's act.
type (
	Registered struct {
		Name string `json:"name"`
	}
	RoleDefined struct {
		Role        string               `json:"role"`
		Permissions map[Permission]Scope `json:"permissions"`
	}
	PermissionAdded struct {
		Role       string     `json:"role"`
		Permission Permission `json:"permission"`
		Scope      Scope      `json:"scope"`
	}
	PermissionRemoved struct {
		Role       string     `json:"role"`
		Permission Permission `json:"permission"`
	}
	TeamCreated struct {
		Team   uuid.UUID `json:"team"`
		Name   string    `json:"name"`
		Parent uuid.UUID `json:"parent,omitzero"` // zero: a team at the top
		Source string    `json:"source,omitempty"`
	}
	TeamMoved struct {
		Team   uuid.UUID `json:"team"`
		Parent uuid.UUID `json:"parent,omitzero"`
		Source string    `json:"source,omitempty"`
	}
	TeamManagerSet struct {
		Team    uuid.UUID `json:"team"`
		Manager uuid.UUID `json:"manager,omitzero"` // an account; zero: none
		Source  string    `json:"source,omitempty"`
	}
	LockoutPolicyChanged struct {
		Attempts int             `json:"attempts"`
		Window   domain.Duration `json:"window"`
		LockFor  domain.Duration `json:"lockFor"`
	}
	// EventSkipped leaves an event that a read model cannot fold out of it for good. The event itself stays in the log.
	EventSkipped struct {
		ReadModel string    `json:"readModel"`
		Position  int64     `json:"position"` // of the event, in the log
		Event     uuid.UUID `json:"event"`
		Type      string    `json:"type"`
		Category  string    `json:"category"` // of its stream
		Stream    uuid.UUID `json:"stream"`
		Reason    string    `json:"reason"`
	}
	// SQLGranted lets a login of the database read the organization's rows in the views for SQL; SQLRevoked takes that away.
	SQLGranted struct {
		Login string `json:"login"`
	}
	SQLRevoked struct {
		Login string `json:"login"`
	}
)

func (Registered) organizationEvent()           {}
func (RoleDefined) organizationEvent()          {}
func (PermissionAdded) organizationEvent()      {}
func (PermissionRemoved) organizationEvent()    {}
func (TeamCreated) organizationEvent()          {}
func (TeamMoved) organizationEvent()            {}
func (TeamManagerSet) organizationEvent()       {}
func (LockoutPolicyChanged) organizationEvent() {}
func (EventSkipped) organizationEvent()         {}
func (SQLGranted) organizationEvent()           {}
func (SQLRevoked) organizationEvent()           {}

func (e Registered) Summary() string { return fmt.Sprintf("organization %s registered", e.Name) }

func (e RoleDefined) Summary() string {
	return fmt.Sprintf("role %s defined with %d permissions", e.Role, len(e.Permissions))
}

func (e PermissionAdded) Summary() string {
	return fmt.Sprintf("role %s may %s (%s)", e.Role, e.Permission, e.Scope)
}

func (e PermissionRemoved) Summary() string {
	return fmt.Sprintf("role %s may no longer %s", e.Role, e.Permission)
}

func (e TeamCreated) Summary() string { return fmt.Sprintf("team %s created", e.Name) }

func (e TeamMoved) Summary() string {
	if e.Parent == uuid.Nil {
		return "team moved to the top"
	}
	return "team moved below another"
}

func (e TeamManagerSet) Summary() string {
	if e.Manager == uuid.Nil {
		return "team left without a manager"
	}
	return "team given the manager " + e.Manager.String()
}

// Accounts lists the accounts that the summary names.
func (e TeamManagerSet) Accounts() []uuid.UUID { return []uuid.UUID{e.Manager} }

func (e LockoutPolicyChanged) Summary() string {
	return fmt.Sprintf("lockout: after %d wrong passwords within %s, for %s", e.Attempts, time.Duration(e.Window), time.Duration(e.LockFor))
}

func (e EventSkipped) Summary() string {
	return fmt.Sprintf("%s at position %d left out of the read model %s: %s", e.Type, e.Position, e.ReadModel, e.Reason)
}

func (e SQLGranted) Summary() string {
	return fmt.Sprintf("database login %q may read with SQL", e.Login)
}

func (e SQLRevoked) Summary() string {
	return fmt.Sprintf("database login %q may no longer read with SQL", e.Login)
}
