package account

import "time"

// AuthLog is the [Invited.Source] of accounts that stand for the login names in another system's log. Nobody can sign in to
// them: they have no credential, no name is reserved for them, and nobody is told a token.
const AuthLog = "auth-log"

// Attempt is an attempt to sign in to another system, as that one's log tells.
type Attempt struct {
	At       time.Time
	Accepted bool
	Unknown  bool // refused, and the other system had no account of this name
}

// ImportAttempt puts an attempt on record. The first one makes the account; its name may be anything that somebody typed, or
// nothing. No rule judges an attempt here, for the other system has: it locks nothing and opens no session.
func ImportAttempt(s State, loginName string, a Attempt) []Event {
	var events []Event
	if !s.Invited {
		events = append(events, Invited{LoginName: loginName, DisplayName: loginName, Source: AuthLog})
	}
	switch {
	case a.Accepted:
		return append(events, LoggedIn{At: a.At})
	case a.Unknown:
		return append(events, LoginFailed{Reason: UnknownName, At: a.At})
	}
	return append(events, LoginFailed{Reason: WrongPassword, At: a.At})
}
