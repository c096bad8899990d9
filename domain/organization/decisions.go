package organization

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Bounds of a lockout rule. NIST SP 800-63B-4 §3.2.2 allows at most 100 wrong passwords in a row. A lock that lasts longer
// than a day would be a way to keep somebody out.
const (
	MaxAttempts = 100
	MinLockout  = time.Second
	MaxLockout  = 24 * time.Hour
)

// Register makes an organization with the built-in roles.
func Register(s State, name string) ([]Event, error) {
	if s.Name != "" {
		return nil, ErrExists
	}
	bad := domain.Invalid{}
	events := []Event{Registered{bad.Name("name", name, domain.MaxName)}}
	for _, role := range BuiltIn() {
		events = append(events, role)
	}
	return checked(bad, events...)
}

// DefineRole makes a role. A role that is there with the same permissions is left as it is.
func DefineRole(s State, role string, permissions map[Permission]Scope) ([]Event, error) {
	bad := domain.Invalid{}
	role = bad.Name("role", role, domain.MaxName)
	for permission, scope := range permissions {
		checkPermission(bad, permission, scope)
	}
	there, exists := s.Roles[role]
	switch {
	case s.Name == "":
		return nil, ErrNotFound
	case exists && maps.Equal(there, permissions):
		return nil, nil
	case exists:
		return nil, ErrRoleExists
	}
	return checked(bad, RoleDefined{role, maps.Clone(permissions)})
}

// AddPermission gives a role a permission, or another scope for one that it has.
func AddPermission(s State, role string, permission Permission, scope Scope) ([]Event, error) {
	bad := domain.Invalid{}
	checkPermission(bad, permission, scope)
	there, exists := s.Roles[role]
	switch {
	case !exists:
		return nil, ErrUnknownRole
	case there[permission] == scope && scope != None:
		return nil, nil
	}
	return checked(bad, PermissionAdded{role, permission, scope})
}

// RemovePermission takes a permission from a role. The last role that may manage the organization keeps that.
func RemovePermission(s State, role string, permission Permission) ([]Event, error) {
	there, exists := s.Roles[role]
	switch {
	case !exists:
		return nil, ErrUnknownRole
	case there[permission] == None:
		return nil, nil
	}
	e := PermissionRemoved{role, permission}
	if !Evolve(s, e).managed() {
		return nil, ErrLastManage
	}
	return []Event{e}, nil
}

func (s State) managed() bool {
	for _, permissions := range s.Roles {
		if permissions[Manage] == All {
			return true
		}
	}
	return false
}

func checkPermission(bad domain.Invalid, permission Permission, scope Scope) {
	if !slices.Contains(Permissions(), permission) {
		bad["permission"] = "is not a permission: " + string(permission)
	}
	switch {
	case scope != Own && scope != Team && scope != All:
		bad["scope"] = "must be own, team or all"
	case permission == Manage && scope != All:
		bad["scope"] = "must be all: nobody manages a part of an organization"
	}
}

// CreateTeam makes a team below another; zero: at the top.
func CreateTeam(s State, team uuid.UUID, name string, parent uuid.UUID) ([]Event, error) {
	_, exists := s.Teams[team]
	switch {
	case s.Name == "":
		return nil, ErrNotFound
	case exists:
		return nil, ErrTeamExists
	case !s.hasTeam(parent):
		return nil, ErrUnknownTeam
	}
	bad := domain.Invalid{}
	e := TeamCreated{Team: team, Name: bad.Name("name", name, domain.MaxName), Parent: parent}
	if team == uuid.Nil {
		bad["team"] = "needs an id"
	}
	return checked(bad, e)
}

// MoveTeam puts a team, with all below it, below another; zero: at the top.
func MoveTeam(s State, team, parent uuid.UUID) ([]Event, error) {
	there, exists := s.Teams[team]
	switch {
	case !exists || !s.hasTeam(parent):
		return nil, ErrUnknownTeam
	case there.Parent == parent:
		return nil, nil
	case s.below(parent, team):
		return nil, ErrCycle
	}
	return []Event{TeamMoved{Team: team, Parent: parent}}, nil
}

// hasTeam reports whether a team may stand below parent: it is there, or zero.
func (s State) hasTeam(parent uuid.UUID) bool {
	_, exists := s.Teams[parent]
	return exists || parent == uuid.Nil
}

// below reports whether a team is another or stands somewhere below it.
func (s State) below(team, other uuid.UUID) bool {
	for above := range s.upwards(team) {
		if above == other {
			return true
		}
	}
	return false
}

// SetTeamManager makes an account the manager of a team; zero: nobody. Whether the account exists is for the caller to know.
func SetTeamManager(s State, team, manager uuid.UUID) ([]Event, error) {
	there, exists := s.Teams[team]
	switch {
	case !exists:
		return nil, ErrUnknownTeam
	case there.Manager == manager:
		return nil, nil
	}
	return []Event{TeamManagerSet{Team: team, Manager: manager}}, nil
}

// TeamRow is a team as an import says it is.
type TeamRow struct {
	Team            uuid.UUID
	Name            string
	Parent, Manager uuid.UUID
	Source          string
}

// ImportTeam creates the team of a row, or follows what has changed in the row since it was imported last: its parent and
// its manager. What people have changed since stays, and so does the name.
func ImportTeam(s State, row TeamRow) ([]Event, error) {
	if row.Source == "" {
		return nil, domain.Invalid{"source": "must not be blank"}
	}
	there, exists := s.Teams[row.Team]
	var events []Event
	if !exists {
		created, err := CreateTeam(s, row.Team, row.Name, row.Parent)
		if err != nil {
			return nil, err
		}
		e := created[0].(TeamCreated)
		e.Source = row.Source
		events = append(events, e)
	} else if row.Parent != there.imported.parent { // also where people have put it there already: the import is to be remembered
		switch {
		case !s.hasTeam(row.Parent):
			return nil, ErrUnknownTeam
		case s.below(row.Parent, row.Team):
			return nil, ErrCycle
		}
		events = append(events, TeamMoved{row.Team, row.Parent, row.Source})
	}
	if row.Manager != there.imported.manager {
		events = append(events, TeamManagerSet{row.Team, row.Manager, row.Source})
	}
	return events, nil
}

// ChangeLockoutPolicy sets the rule against guessing passwords.
func ChangeLockoutPolicy(s State, rule Lockout) ([]Event, error) {
	switch {
	case s.Name == "":
		return nil, ErrNotFound
	case s.Lockout == rule:
		return nil, nil
	}
	bad := domain.Invalid{}
	if rule.Attempts < 1 || rule.Attempts > MaxAttempts {
		bad["attempts"] = "must be 1 to 100"
	}
	for field, d := range map[string]time.Duration{"window": rule.Window, "lockFor": rule.LockFor} {
		if d < MinLockout || d > MaxLockout {
			bad[field] = "must be 1s to 24h"
		}
	}
	return checked(bad, LockoutPolicyChanged{rule.Attempts, domain.Duration(rule.Window), domain.Duration(rule.LockFor)})
}

// MaxReason is how long a reason may be, in code points: some sentences.
const MaxReason = 1000

// SkipEvent leaves an event out of a read model that cannot fold it. It needs a reason, for whoever reads the record later.
func SkipEvent(s State, wish EventSkipped) ([]Event, error) {
	switch {
	case s.Name == "":
		return nil, ErrNotFound
	case s.skipped[skipped{wish.ReadModel, wish.Event}]:
		return nil, nil
	}
	bad := domain.Invalid{}
	wish.Reason = bad.Name("reason", wish.Reason, MaxReason)
	return checked(bad, wish)
}

// GrantSQL lets a login of the database read the organization's rows.
func GrantSQL(s State, login string) ([]Event, error) {
	if s.reads[login] {
		return nil, nil
	}
	return ofLogin(s, login, SQLGranted{login})
}

// RevokeSQL takes that away, also from a login that was let before there were events of it.
func RevokeSQL(s State, login string) ([]Event, error) {
	if reads, known := s.reads[login]; known && !reads {
		return nil, nil
	}
	return ofLogin(s, login, SQLRevoked{login})
}

const maxLogin = 63 // bytes: of a name in Postgres

func ofLogin(s State, login string, e Event) ([]Event, error) {
	if s.Name == "" {
		return nil, ErrNotFound
	}
	bad := domain.Invalid{}
	if login == "" || len(login) > maxLogin {
		bad["login"] = "must be given, in at most 63 bytes"
	}
	return checked(bad, e)
}

// checked returns the events of a wish in whose fields nothing is wrong.
func checked(bad domain.Invalid, events ...Event) ([]Event, error) {
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return events, nil
}
