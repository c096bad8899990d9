// Package account decides who may sign in, and keeps who is signed in.
//
// An account is the fold of its events. [Evolve] adds one event to a [State]; a
// decision ([LogIn], [LogOut], …) turns a State and a wish into the events that
// follow, or an error if the rules forbid the wish. Nothing here does I/O, reads
// a clock or hashes: callers pass the results in. A State is never changed in
// place, so it may be kept and read by any number of goroutines.
package account

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// What the rules forbid.
var (
	ErrExists      = domain.Refuse(domain.CodeConflict, "the account exists")
	ErrNotFound    = domain.NoSuch()
	ErrNotActive   = domain.Refuse(domain.CodeConflict, "the account is not active")
	ErrDeactivated = domain.Refuse(domain.CodeConflict, "the account is deactivated")
	ErrErased      = domain.Refuse(domain.CodeConflict, "the account was erased")
	ErrActivation  = domain.Refuse(domain.CodeInvalid, "the activation token is unknown, used or expired")
)

const (
	SessionIdle        = time.Hour      // NIST SP 800-63B-4 §2.2.3 (AAL2): at most 1 h without use …
	SessionMax         = 24 * time.Hour // … and 24 h in any case
	ActivationValidity = 24 * time.Hour // ASVS 5.0 6.4.1: an activation code expires soon
	MaxSessions        = 100            // open at once; the next login ends the oldest. More than one person has devices
)

// remembered failures: no lockout rule counts further (see [organization.MaxAttempts]).
const maxFailures = 100

// Status is what an account is to those who look at it.
type Status string

const (
	StatusInvited     Status = "invited" // not activated yet
	StatusActive      Status = "active"
	StatusLocked      Status = "locked"
	StatusDeactivated Status = "deactivated"
)

// State is what the rules need to remember, and no more.
type State struct {
	Invited     bool // and not erased
	Erased      bool
	Deactivated bool
	LoginName   string
	DisplayName string
	Email       string // empty: none
	Team        uuid.UUID
	Roles       []string  // in the order granted
	Credential  uuid.UUID // names a hash in the vault; zero until activated
	Activation  Activation
	Failures    []time.Time           // wrong passwords since the last success, lock or unlock; the newest 100
	LockedUntil time.Time             // zero: not locked. It stays until an event ends the lock; see [State.Locked]
	Sessions    map[uuid.UUID]Session // open ones
	Freed       []uuid.UUID           // of an erased account: the streams of the names that it held
	imported    placement
}

// Activation is a one-time token that is waiting to be used; zero: none.
type Activation struct {
	TokenHash domain.Hash
	ExpiresAt time.Time
}

// Session is one signed-in device.
type Session struct {
	TokenHash domain.Hash // SHA-256 of the token's secret
	Opened    time.Time
}

// Expired reports whether a session has ended by itself: unused for [SessionIdle], or [SessionMax] old. A last use before
// its opening counts as its opening.
func (s Session) Expired(lastUse, now time.Time) bool {
	if lastUse.Before(s.Opened) {
		lastUse = s.Opened
	}
	return now.Sub(lastUse) >= SessionIdle || now.Sub(s.Opened) >= SessionMax
}

// Locked reports whether a lock holds.
func (s State) Locked(now time.Time) bool { return now.Before(s.LockedUntil) }

// Status sums the state up. A lock that has run out no longer shows, even before its event.
func (s State) Status(now time.Time) Status {
	switch {
	case s.Deactivated:
		return StatusDeactivated
	case s.Credential == uuid.Nil:
		return StatusInvited
	case s.Locked(now):
		return StatusLocked
	}
	return StatusActive
}

// Evolve returns s as e leaves it. It never refuses: an event has happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Invited:
		s.Invited, s.LoginName, s.DisplayName, s.Email = true, e.LoginName, e.DisplayName, e.Email
		s.Team, s.Roles = e.Team, e.Roles
		s.imported = s.imported.said(e.Source, e.Team, e.Roles)
	case ActivationIssued:
		s.Activation = Activation(e)
	case Activated:
		s.Credential, s.Activation = e.Credential, Activation{}
	case LoggedIn:
		s.Failures = nil
		if e.Session != uuid.Nil {
			s.Sessions = with(s.Sessions, e.Session, Session{e.TokenHash, e.At})
		}
	case LoginFailed:
		known := s.Failures[max(0, len(s.Failures)-maxFailures+1):]
		s.Failures = append(slices.Clip(known), e.At)
	case LoginRefused: // for the auditors; changes nothing
	case Locked:
		s.Failures, s.LockedUntil = nil, e.Until
	case Unlocked:
		s.Failures, s.LockedUntil = nil, time.Time{}
	case LoggedOut:
		s.Sessions = without(s.Sessions, e.Session)
	case PasswordChanged:
		s.Credential = e.Credential
	case RoleGranted:
		s.Roles = plus(s.Roles, e.Role)
		s.imported = s.imported.said(e.Source, s.imported.team, plus(s.imported.roles, e.Role))
	case RoleRevoked:
		s.Roles = minus(s.Roles, e.Role)
		s.imported = s.imported.said(e.Source, s.imported.team, minus(s.imported.roles, e.Role))
	case MovedToTeam:
		s.Team = e.Team
		s.imported = s.imported.said(e.Source, e.Team, s.imported.roles)
	case Deactivated:
		s.Deactivated, s.Activation = true, Activation{}
	case Reactivated:
		s.Deactivated = false
	case Erased:
		s = State{Erased: true, Team: s.Team, Freed: e.Freed} // whose records stay in the team's scope
	default:
		panic(fmt.Sprintf("account: Evolve lacks %T", e))
	}
	return s
}

func with(m map[uuid.UUID]Session, id uuid.UUID, s Session) map[uuid.UUID]Session {
	next := make(map[uuid.UUID]Session, len(m)+1)
	maps.Copy(next, m)
	next[id] = s
	return next
}

func without(m map[uuid.UUID]Session, id uuid.UUID) map[uuid.UUID]Session {
	m = maps.Clone(m)
	delete(m, id)
	return m
}

func plus(roles []string, role string) []string {
	if slices.Contains(roles, role) {
		return roles
	}
	return append(slices.Clip(roles), role)
}

func minus(roles []string, role string) []string {
	return slices.DeleteFunc(slices.Clone(roles), func(r string) bool { return r == role })
}
