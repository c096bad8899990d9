package account

import (
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Invite makes an account, which cannot sign in before it is activated. Whether its team and roles exist, and its names
// are free, is for the caller to know.
func Invite(s State, wish Invited) ([]Event, error) {
	switch {
	case s.Erased:
		return nil, ErrErased
	case s.Invited:
		return nil, ErrExists
	}
	wish, err := wish.clean()
	if err != nil {
		return nil, err
	}
	return []Event{wish}, nil
}

func (e Invited) clean() (Invited, error) {
	bad := domain.Invalid{}
	e.LoginName = bad.Name("loginName", e.LoginName, domain.MaxName)
	if strings.ContainsFunc(e.LoginName, unicode.IsSpace) {
		bad["loginName"] = "contains spaces"
	}
	e.DisplayName = bad.Name("displayName", e.DisplayName, domain.MaxName)
	e.Email = bad.Email("email", e.Email)
	var roles []string
	for _, role := range e.Roles {
		roles = plus(roles, role)
	}
	e.Roles = roles
	return e, bad.Err()
}

// GrantRole adds a role. Granting one already held changes nothing.
func GrantRole(s State, role string) ([]Event, error) {
	switch {
	case !s.Invited:
		return nil, ErrNotFound
	case slices.Contains(s.Roles, role):
		return nil, nil
	}
	return []Event{RoleGranted{Role: role}}, nil
}

// RevokeRole takes a role away. Revoking one not held changes nothing.
func RevokeRole(s State, role string) ([]Event, error) {
	switch {
	case !s.Invited:
		return nil, ErrNotFound
	case !slices.Contains(s.Roles, role):
		return nil, nil
	}
	return []Event{RoleRevoked{Role: role}}, nil
}

// MoveToTeam makes the account a member of another team; zero: of none.
func MoveToTeam(s State, team uuid.UUID) ([]Event, error) {
	switch {
	case !s.Invited:
		return nil, ErrNotFound
	case s.Team == team:
		return nil, nil
	}
	return []Event{MovedToTeam{Team: team}}, nil
}

// Deactivate closes the account: nobody signs in, every session ends, a waiting activation is void.
func Deactivate(s State) ([]Event, error) {
	switch {
	case !s.Invited:
		return nil, ErrNotFound
	case s.Deactivated:
		return nil, nil
	}
	return append([]Event{Deactivated{}}, s.endSessions(uuid.Nil, LoggedOutByDeactivated)...), nil
}

// Reactivate opens a deactivated account again, with the password it had.
func Reactivate(s State) ([]Event, error) {
	switch {
	case !s.Invited:
		return nil, ErrNotFound
	case !s.Deactivated:
		return nil, nil
	}
	return []Event{Reactivated{}}, nil
}

// Erase ends the account as a bearer of personal data, for good, and every session with it.
func Erase(s State, certificate domain.Erased) ([]Event, error) {
	switch {
	case s.Erased:
		return nil, nil
	case !s.Invited:
		return nil, ErrNotFound
	}
	return append(s.endSessions(uuid.Nil, LoggedOutByErasure), Erased(certificate)), nil
}

// placement is what an import said last about where an account belongs.
type placement struct {
	team  uuid.UUID
	roles []string
}

// said returns p after an event; only those of a source say anything.
func (p placement) said(source string, team uuid.UUID, roles []string) placement {
	if source == "" {
		return p
	}
	return placement{team, roles}
}

// Import invites the account of a row, or follows what has changed in the row since it was imported last: its team and
// roles. What people have changed since stays. Names and e-mail of an account that exists are its own.
func Import(s State, row Invited) ([]Event, error) {
	row, err := row.clean()
	switch {
	case err != nil:
		return nil, err
	case row.Source == "":
		return nil, domain.Invalid{"source": "must not be blank"}
	case s.Erased:
		return nil, ErrErased
	case !s.Invited:
		return []Event{row}, nil
	}
	var events []Event
	if row.Team != s.imported.team { // also where people have moved it there already: the import is to be remembered
		events = append(events, MovedToTeam{row.Team, row.Source})
	}
	for _, role := range row.Roles {
		if !slices.Contains(s.imported.roles, role) {
			events = append(events, RoleGranted{role, row.Source})
		}
	}
	for _, role := range s.imported.roles {
		if !slices.Contains(row.Roles, role) {
			events = append(events, RoleRevoked{role, row.Source})
		}
	}
	return events, nil
}
