package account

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Category names the streams of accounts.
const Category = "account"

// Event is a fact about one account. Only this package can declare one.
type Event interface {
	domain.Event
	accountEvent()
}

// EventTypes names every event for storage. A name is for ever; its Go type is not.
var EventTypes = domain.NewEventTypes(map[string]Event{
	"account.invited":           Invited{},
	"account.activation_issued": ActivationIssued{},
	"account.activated":         Activated{},
	"account.logged_in":         LoggedIn{},
	"account.login_failed":      LoginFailed{},
	"account.login_refused":     LoginRefused{},
	"account.locked":            Locked{},
	"account.unlocked":          Unlocked{},
	"account.logged_out":        LoggedOut{},
	"account.password_changed":  PasswordChanged{},
	"account.role_granted":      RoleGranted{},
	"account.role_revoked":      RoleRevoked{},
	"account.moved_to_team":     MovedToTeam{},
	"account.deactivated":       Deactivated{},
	"account.reactivated":       Reactivated{},
	domain.ErasedType:           Erased{},
})

// Reasons, as stored.
type (
	FailureReason string
	RefusalReason string
	LockReason    string
	UnlockCause   string
	LogoutReason  string
)

const (
	WrongPassword FailureReason = "wrong_password"
	UnknownName   FailureReason = "unknown_name" // of an imported attempt: the other system had no such account

	RefusedLocked       RefusalReason = "locked"
	RefusedNotActivated RefusalReason = "not_activated"
	RefusedDeactivated  RefusalReason = "deactivated"

	LockedByFailures LockReason = "wrong_passwords"

	UnlockedByTimer         UnlockCause = "timer"
	UnlockedByAdministrator UnlockCause = "administrator"

	LoggedOutByUser        LogoutReason = "logout"
	LoggedOutEverywhere    LogoutReason = "everywhere"
	LoggedOutExpired       LogoutReason = "expired"
	LoggedOutByDeactivated LogoutReason = "deactivated"
	LoggedOutByErasure     LogoutReason = "erased"
	LoggedOutByLimit       LogoutReason = "limit" // too many at once: see [MaxSessions]
)

// Device and address of each act stand in the event's [domain.Metadata]. Source names the import that an event came from;
// empty: a person's act. An import may say what is so already: a role granted twice is held once.
type (
	Invited struct {
		LoginName   string    `json:"loginName" pii:"seal"`
		DisplayName string    `json:"displayName" pii:"seal"`
		Email       string    `json:"email,omitempty" pii:"seal"`
		Team        uuid.UUID `json:"team,omitzero"`
		Roles       []string  `json:"roles,omitempty"`
		Source      string    `json:"source,omitempty"`
	}
	// ActivationIssued hands out a one-time token; it makes the ones before it worthless.
	ActivationIssued struct {
		TokenHash domain.Hash `json:"tokenHash"`
		ExpiresAt time.Time   `json:"expiresAt"`
	}
	// Activated sets the first password, or a new one after an administrator issued a token for it.
	Activated struct {
		Credential uuid.UUID `json:"credential"` // in the vault: no secret enters the log
	}
	LoggedIn struct {
		Session   uuid.UUID   `json:"session"` // zero: none, of an imported attempt
		TokenHash domain.Hash `json:"tokenHash"`
		At        time.Time   `json:"at"`
	}
	LoginFailed struct {
		Reason FailureReason `json:"reason"`
		At     time.Time     `json:"at"`
	}
	LoginRefused struct {
		Reason RefusalReason `json:"reason"`
	}
	Locked struct {
		Reason LockReason `json:"reason"`
		Until  time.Time  `json:"until"`
	}
	Unlocked struct {
		Cause UnlockCause `json:"cause"`
	}
	LoggedOut struct {
		Session uuid.UUID    `json:"session"`
		Reason  LogoutReason `json:"reason"`
	}
	PasswordChanged struct {
		Credential uuid.UUID `json:"credential"`
	}
	RoleGranted struct {
		Role   string `json:"role"`
		Source string `json:"source,omitempty"`
	}
	RoleRevoked struct {
		Role   string `json:"role"`
		Source string `json:"source,omitempty"`
	}
	MovedToTeam struct {
		Team   uuid.UUID `json:"team,omitzero"` // zero: none
		Source string    `json:"source,omitempty"`
	}
	Deactivated struct{}
	Reactivated struct{}
	// Erased is the certificate that what was personal of the account is gone, its credentials with it.
	Erased domain.Erased
)

func (Invited) accountEvent()          {}
func (ActivationIssued) accountEvent() {}
func (Activated) accountEvent()        {}
func (LoggedIn) accountEvent()         {}
func (LoginFailed) accountEvent()      {}
func (LoginRefused) accountEvent()     {}
func (Locked) accountEvent()           {}
func (Unlocked) accountEvent()         {}
func (LoggedOut) accountEvent()        {}
func (PasswordChanged) accountEvent()  {}
func (RoleGranted) accountEvent()      {}
func (RoleRevoked) accountEvent()      {}
func (MovedToTeam) accountEvent()      {}
func (Deactivated) accountEvent()      {}
func (Reactivated) accountEvent()      {}
func (Erased) accountEvent()           {}

func (e Invited) Summary() string {
	s := fmt.Sprintf("%s (%s) invited", e.LoginName, e.DisplayName)
	if len(e.Roles) > 0 {
		s += " as " + strings.Join(e.Roles, ", ")
	}
	return s
}

func (e ActivationIssued) Summary() string {
	return "activation token issued, valid until " + domain.At(e.ExpiresAt)
}

func (Activated) Summary() string      { return "account activated, password set" }
func (LoggedIn) Summary() string       { return "signed in" }
func (e LoginFailed) Summary() string  { return "sign-in failed: " + domain.Words(e.Reason) }
func (e LoginRefused) Summary() string { return "sign-in refused: account " + domain.Words(e.Reason) }

func (e Locked) Summary() string {
	return fmt.Sprintf("locked until %s: %s", domain.At(e.Until), domain.Words(e.Reason))
}

func (e Unlocked) Summary() string {
	if e.Cause == UnlockedByAdministrator {
		return "unlocked by an administrator"
	}
	return "unlocked by " + domain.Words(e.Cause)
}

func (e LoggedOut) Summary() string {
	switch e.Reason {
	case LoggedOutByUser:
		return "signed out"
	case LoggedOutEverywhere:
		return "signed out everywhere"
	}
	return "session ended: " + domain.Words(e.Reason)
}

func (PasswordChanged) Summary() string { return "password changed" }
func (e RoleGranted) Summary() string   { return "role granted: " + e.Role }
func (e RoleRevoked) Summary() string   { return "role revoked: " + e.Role }

func (e MovedToTeam) Summary() string {
	if e.Team == uuid.Nil {
		return "left the team"
	}
	return "moved to another team"
}

func (Deactivated) Summary() string { return "account deactivated" }
func (Reactivated) Summary() string { return "account reactivated" }
func (e Erased) Summary() string    { return domain.Erased(e).Summary() }

// Named lists the subject of another aggregate's event if it is an account, for the event's Accounts method.
func Named(category string, subject uuid.UUID) []uuid.UUID {
	if category != Category {
		return nil
	}
	return []uuid.UUID{subject}
}
