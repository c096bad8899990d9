package account

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/organization"
)

// LogIn judges an attempt to sign in. A wrong password and an attempt at a closed door are facts, not errors: they are
// stored, or nobody would ever be locked out and no auditor would see them. The caller looks for a [LoggedIn] among the
// events to know whether the door opened. [ErrNotFound] is the only error.
//
// The rule: rule.Attempts wrong passwords, each younger than rule.Window, since the last success, lock or unlock, lock the
// account for rule.LockFor. An attempt while locked is refused and does not count. A lock that has run out ends first.
func LogIn(s State, passwordOK bool, session uuid.UUID, token domain.Hash, rule organization.Lockout, now time.Time) ([]Event, error) {
	if !s.Invited {
		return nil, ErrNotFound
	}
	events, _ := EndLock(s, now)
	switch {
	case s.Deactivated:
		return append(events, LoginRefused{RefusedDeactivated}), nil
	case s.Credential == uuid.Nil:
		return append(events, LoginRefused{RefusedNotActivated}), nil
	case s.Locked(now):
		return append(events, LoginRefused{RefusedLocked}), nil
	case passwordOK:
		for _, oldest := range s.opened()[:max(0, len(s.Sessions)-MaxSessions+1)] {
			events = append(events, LoggedOut{oldest, LoggedOutByLimit})
		}
		return append(events, LoggedIn{Session: session, TokenHash: token, At: now}), nil
	}
	events = append(events, LoginFailed{Reason: WrongPassword, At: now})
	if younger(s.Failures, now.Add(-rule.Window))+1 >= rule.Attempts {
		events = append(events, Locked{Reason: LockedByFailures, Until: now.Add(rule.LockFor)})
	}
	return events, nil
}

// EndLock ends a lock whose time has come. Before that, and without a lock, nothing happens.
func EndLock(s State, now time.Time) ([]Event, error) {
	if s.LockedUntil.IsZero() || s.Locked(now) {
		return nil, nil
	}
	return []Event{Unlocked{UnlockedByTimer}}, nil
}

// Unlock ends a lock before its time. Without a lock nothing happens.
func Unlock(s State) ([]Event, error) {
	switch {
	case !s.Invited:
		return nil, ErrNotFound
	case s.LockedUntil.IsZero():
		return nil, nil
	}
	return []Event{Unlocked{UnlockedByAdministrator}}, nil
}

// LogOut ends a session. Ending one that is over changes nothing.
func LogOut(s State, session uuid.UUID, reason LogoutReason) ([]Event, error) {
	if _, open := s.Sessions[session]; !open {
		return nil, nil
	}
	return []Event{LoggedOut{session, reason}}, nil
}

// LogOutEverywhere ends every session, the oldest first.
func LogOutEverywhere(s State, reason LogoutReason) ([]Event, error) {
	return s.endSessions(uuid.Nil, reason), nil
}

// ExpireSession ends a session that is [Session.Expired]; before that nothing happens.
func ExpireSession(s State, session uuid.UUID, lastUse, now time.Time) ([]Event, error) {
	if open, ok := s.Sessions[session]; !ok || !open.Expired(lastUse, now) {
		return nil, nil
	}
	return []Event{LoggedOut{session, LoggedOutExpired}}, nil
}

// IssueActivation hands out a token by which its holder sets a password, once, within [ActivationValidity]: the first one, or
// a new one. The password there is holds until then.
func IssueActivation(s State, token domain.Hash, now time.Time) ([]Event, error) {
	switch {
	case !s.Invited:
		return nil, ErrNotFound
	case s.Deactivated:
		return nil, ErrDeactivated
	}
	return []Event{ActivationIssued{TokenHash: token, ExpiresAt: now.Add(ActivationValidity)}}, nil
}

// Activate sets the password of whoever holds the activation token, and ends every session: they may be another's.
func Activate(s State, token domain.Hash, credential uuid.UUID, now time.Time) ([]Event, error) {
	switch {
	case !s.Invited:
		return nil, ErrNotFound
	case s.Deactivated:
		return nil, ErrDeactivated
	case s.Activation.TokenHash != token || !now.Before(s.Activation.ExpiresAt):
		return nil, ErrActivation
	}
	return append([]Event{Activated{credential}}, s.endSessions(uuid.Nil, LoggedOutEverywhere)...), nil
}

// ChangePassword sets a new password and ends every session but keep.
func ChangePassword(s State, credential, keep uuid.UUID) ([]Event, error) {
	switch {
	case !s.Invited:
		return nil, ErrNotFound
	case s.Deactivated:
		return nil, ErrDeactivated
	case s.Credential == uuid.Nil:
		return nil, ErrNotActive
	}
	return append([]Event{PasswordChanged{credential}}, s.endSessions(keep, LoggedOutEverywhere)...), nil
}

func (s State) endSessions(keep uuid.UUID, reason LogoutReason) (events []Event) {
	for _, id := range s.opened() {
		if id != keep {
			events = append(events, LoggedOut{id, reason})
		}
	}
	return events
}

// opened lists the open sessions, the oldest first.
func (s State) opened() []uuid.UUID {
	return slices.SortedFunc(maps.Keys(s.Sessions), func(a, b uuid.UUID) int {
		if order := s.Sessions[a].Opened.Compare(s.Sessions[b].Opened); order != 0 {
			return order
		}
		return bytes.Compare(a[:], b[:])
	})
}

func younger(failures []time.Time, than time.Time) (n int) {
	for _, at := range failures {
		if at.After(than) {
			n++
		}
	}
	return n
}
