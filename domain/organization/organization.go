// Package organization decides what the members of an organization may do: its
// roles, its tree of teams, its rule against guessing passwords.
//
// [Evolve] folds its events into a [State]; a decision ([DefineRole], [MoveTeam],
// …) returns the events that a wish leads to, or the error of the rule that it
// breaks. A wish for what is so already leads to none. A State is never changed
// in place, so any number of goroutines may read it.
package organization

import (
	"bytes"
	"fmt"
	"github.com/annal-crm/annal/domain"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// What the rules forbid.
var (
	ErrExists      = domain.Refuse(domain.CodeConflict, "the organization exists")
	ErrNotFound    = domain.NoSuch()
	ErrRoleExists  = domain.Refuse(domain.CodeConflict, "the role exists with other permissions")
	ErrUnknownRole = domain.Refuse(domain.CodeNotFound, "there is no such role")
	ErrTeamExists  = domain.Refuse(domain.CodeConflict, "the team exists")
	ErrUnknownTeam = domain.Refuse(domain.CodeNotFound, "there is no such team")
	ErrCycle       = domain.Refuse(domain.CodeConflict, "a team cannot stand below itself")
	ErrLastManage  = domain.Refuse(domain.CodeConflict, "no role would be left that may manage the organization")
)

// State is an organization as the rules need it.
type State struct {
	Name          string // empty: not registered
	Roles         map[string]map[Permission]Scope
	Teams         map[uuid.UUID]TeamNode
	Lockout       Lockout
	PolicyVersion int // of Lockout, from 1
	skipped       map[skipped]bool
	reads         map[string]bool     // by login of the database; false: no more
	known         map[Permission]bool // that events have spoken of
}

// skipped is an event that was left out of a read model.
type skipped struct {
	readModel string
	event     uuid.UUID
}

// TeamNode is a team in the tree of teams.
type TeamNode struct {
	Name     string
	Parent   uuid.UUID // zero: at the top
	Manager  uuid.UUID // an account; zero: none
	imported placement
}

// placement is what an import said last about a team.
type placement struct{ parent, manager uuid.UUID }

// Lockout is the rule against guessing: Attempts wrong passwords, each younger than Window, lock an account for LockFor.
type Lockout struct {
	Attempts int
	Window   time.Duration
	LockFor  time.Duration
}

// DefaultLockout is the rule of an organization that has not set its own: 10 guesses in 15 minutes, then half an hour's
// wait, are 320 a day; NIST SP 800-63B-4 §3.2.2 allows 100 consecutive ones in all, so an administrator sees the locks.
var DefaultLockout = Lockout{Attempts: 10, Window: 15 * time.Minute, LockFor: 30 * time.Minute}

// Evolve returns s as e leaves it. It never refuses: an event has happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Registered:
		s.Name, s.Lockout, s.PolicyVersion = e.Name, DefaultLockout, 1
	case RoleDefined:
		s.Roles = with(s.Roles, e.Role, e.Permissions)
		for permission := range e.Permissions {
			s.known = knowing(s.known, permission)
		}
	case PermissionAdded:
		s.Roles = with(s.Roles, e.Role, with(s.Roles[e.Role], e.Permission, e.Scope))
		s.known = knowing(s.known, e.Permission)
	case PermissionRemoved:
		permissions := maps.Clone(s.Roles[e.Role])
		delete(permissions, e.Permission)
		s.Roles = with(s.Roles, e.Role, permissions)
	case TeamCreated:
		t := TeamNode{Name: e.Name, Parent: e.Parent}
		if e.Source != "" {
			t.imported.parent = e.Parent
		}
		s.Teams = with(s.Teams, e.Team, t)
	case TeamMoved:
		t := s.Teams[e.Team]
		t.Parent = e.Parent
		if e.Source != "" {
			t.imported.parent = e.Parent
		}
		s.Teams = with(s.Teams, e.Team, t)
	case TeamManagerSet:
		t := s.Teams[e.Team]
		t.Manager = e.Manager
		if e.Source != "" {
			t.imported.manager = e.Manager
		}
		s.Teams = with(s.Teams, e.Team, t)
	case LockoutPolicyChanged:
		s.Lockout = Lockout{e.Attempts, time.Duration(e.Window), time.Duration(e.LockFor)}
		s.PolicyVersion++
	case EventSkipped:
		s.skipped = with(s.skipped, skipped{e.ReadModel, e.Event}, true)
	case SQLGranted:
		s.reads = with(s.reads, e.Login, true)
	case SQLRevoked:
		s.reads = with(s.reads, e.Login, false)
	default:
		panic(fmt.Sprintf("organization: Evolve lacks %T", e))
	}
	return s
}

func knowing(known map[Permission]bool, p Permission) map[Permission]bool {
	if known[p] {
		return known
	}
	return with(known, p, true)
}

// with returns a copy of m that has v at k.
func with[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	next := make(map[K]V, len(m)+1)
	maps.Copy(next, m)
	next[k] = v
	return next
}

// Scopes returns what the holder of some roles may do: each permission with the widest scope that any of them gives it.
// Roles that the organization does not have give nothing.
func (s State) Scopes(roles []string) map[Permission]Scope {
	scopes := make(map[Permission]Scope)
	for _, role := range roles {
		for permission, scope := range s.Roles[role] {
			scopes[permission] = Wider(scopes[permission], scope)
		}
	}
	return scopes
}

// TeamsOf returns the teams on whose members' records an account acts at scope [Team]: its own, those it manages, and all
// below these, in the order of their ids.
func (s State) TeamsOf(account, team uuid.UUID) (teams []uuid.UUID) {
	for id := range s.Teams {
		for above := range s.upwards(id) {
			if above == team || s.Teams[above].Manager == account && account != uuid.Nil {
				teams = append(teams, id)
				break
			}
		}
	}
	slices.SortFunc(teams, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return teams
}

// upwards yields a team and those above it.
func (s State) upwards(team uuid.UUID) func(yield func(uuid.UUID) bool) {
	return func(yield func(uuid.UUID) bool) {
		for id := team; id != uuid.Nil && yield(id); id = s.Teams[id].Parent {
		}
	}
}
