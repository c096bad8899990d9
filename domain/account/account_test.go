package account

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
	"github.com/annal-crm/annal/domain/organization"
)

type (
	story  = domaintest.Story[State, Event]
	events = []Event
)

var (
	now     = time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC)
	phone   = uuid.MustParse("0195d3c4-0000-7000-8000-000000000001")
	laptop  = uuid.MustParse("0195d3c4-0000-7000-8000-000000000002")
	first   = uuid.MustParse("0195d3c4-0000-7000-8000-000000000003") // credentials
	second  = uuid.MustParse("0195d3c4-0000-7000-8000-000000000004")
	north   = uuid.MustParse("0195d3c4-0000-7000-8000-000000000005") // teams
	south   = uuid.MustParse("0195d3c4-0000-7000-8000-000000000006")
	token   = domain.Hash{1, 2, 3}
	ada     = Invited{LoginName: "ada", DisplayName: "Ada L.", Email: "ada@example.com", Team: north, Roles: []string{"sales"}}
	active  = Activated{first}
	onPhone = LoggedIn{phone, token, now}
	rule    = organization.Lockout{Attempts: 3, Window: 15 * time.Minute, LockFor: 30 * time.Minute}
)

func after(d time.Duration) time.Time { return now.Add(d) }
func ago(d time.Duration) time.Time   { return now.Add(-d) }
func failed(at time.Time) Event       { return LoginFailed{WrongPassword, at} }

func TestLogIn(t *testing.T) {
	attempt := func(passwordOK bool, at time.Time) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return LogIn(s, passwordOK, phone, token, rule, at) }
	}
	lock := Locked{LockedByFailures, after(30 * time.Minute)}
	locked := events{ada, active, failed(now), failed(now), failed(now), lock}
	full := events{ada, active}
	for i := range MaxSessions {
		full = append(full, LoggedIn{uuid.NewSHA1(laptop, []byte{byte(i)}), token, ago(time.Duration(i) * time.Minute)})
	}

	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "unknown account", When: attempt(true, now), Err: ErrNotFound},
		story{Name: "invited, not yet activated", Given: events{ada}, When: attempt(true, now), Then: events{LoginRefused{RefusedNotActivated}}},
		story{Name: "right password", Given: events{ada, active}, When: attempt(true, now), Then: events{onPhone}},
		story{Name: "wrong password", Given: events{ada, active}, When: attempt(false, now), Then: events{failed(now)}},
		story{Name: "deactivated, even with the right password", Given: events{ada, active, Deactivated{}}, When: attempt(true, now), Then: events{LoginRefused{RefusedDeactivated}}},
		story{Name: "deactivated says so before it is activated or locked", Given: append(locked[:6:6], Deactivated{}), When: attempt(true, now), Then: events{LoginRefused{RefusedDeactivated}}},
		story{Name: "reactivated", Given: events{ada, active, Deactivated{}, Reactivated{}}, When: attempt(true, now), Then: events{onPhone}},
		story{
			Name:  "third wrong password within the window locks",
			Given: events{ada, active, failed(ago(15*time.Minute - 1*time.Microsecond)), failed(ago(time.Minute))},
			When:  attempt(false, now),
			Then:  events{failed(now), lock},
		},
		story{
			Name:  "a failure as old as the window no longer counts",
			Given: events{ada, active, failed(ago(15 * time.Minute)), failed(ago(time.Minute))},
			When:  attempt(false, now),
			Then:  events{failed(now)},
		},
		story{
			Name:  "a success forgets earlier failures",
			Given: events{ada, active, failed(now), failed(now), onPhone},
			When:  attempt(false, now),
			Then:  events{failed(now)},
		},
		story{Name: "locked, even with the right password, and it is on record", Given: locked, When: attempt(true, after(30*time.Minute-1)), Then: events{LoginRefused{RefusedLocked}}},
		story{
			Name:  "attempts while locked do not count",
			Given: append(locked[:6:6], LoginRefused{RefusedLocked}, LoginRefused{RefusedLocked}, LoginRefused{RefusedLocked}, Unlocked{UnlockedByTimer}),
			When:  attempt(false, lock.Until),
			Then:  events{failed(lock.Until)},
		},
		story{
			Name:  "a lock that has run out ends before the attempt",
			Given: locked,
			When:  attempt(true, lock.Until),
			Then:  events{Unlocked{UnlockedByTimer}, LoggedIn{phone, token, lock.Until}},
		},
		story{
			Name:  "after a lock, counting starts again",
			Given: locked,
			When:  attempt(false, lock.Until),
			Then:  events{Unlocked{UnlockedByTimer}, failed(lock.Until)},
		},
		story{Name: "unlocked by an administrator", Given: append(locked[:6:6], Unlocked{UnlockedByAdministrator}), When: attempt(true, now), Then: events{onPhone}},
		story{
			Name:  "one session too many ends the oldest",
			Given: full,
			When:  attempt(true, now),
			Then:  events{LoggedOut{uuid.NewSHA1(laptop, []byte{MaxSessions - 1}), LoggedOutByLimit}, onPhone},
		},
	)
}

func TestLockEnds(t *testing.T) {
	end := func(at time.Time) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return EndLock(s, at) }
	}
	locked := events{ada, active, Locked{LockedByFailures, after(time.Hour)}}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "not before its time", Given: locked, When: end(after(time.Hour - 1))},
		story{Name: "at its time", Given: locked, When: end(after(time.Hour)), Then: events{Unlocked{UnlockedByTimer}}},
		story{Name: "once", Given: append(locked[:3:3], Unlocked{UnlockedByTimer}), When: end(after(time.Hour))},
		story{Name: "by an administrator, before its time", Given: locked, When: Unlock, Then: events{Unlocked{UnlockedByAdministrator}}},
		story{Name: "by an administrator, without a lock", Given: events{ada, active}, When: Unlock},
		story{Name: "of nobody", When: Unlock, Err: ErrNotFound},
	)
}

func TestSessionsEnd(t *testing.T) {
	onLaptop := LoggedIn{laptop, token, ago(time.Hour)}
	open := events{ada, active, onPhone, onLaptop}
	expire := func(lastUse, at time.Time) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return ExpireSession(s, phone, lastUse, at) }
	}
	gone := events{LoggedOut{phone, LoggedOutExpired}}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "by logging out", Given: open, When: func(s State) ([]Event, error) { return LogOut(s, phone, LoggedOutByUser) }, Then: events{LoggedOut{phone, LoggedOutByUser}}},
		story{
			Name:  "once",
			Given: append(open[:4:4], LoggedOut{phone, LoggedOutByUser}),
			When:  func(s State) ([]Event, error) { return LogOut(s, phone, LoggedOutByUser) },
		},
		story{
			Name:  "everywhere, the oldest first",
			Given: open,
			When:  func(s State) ([]Event, error) { return LogOutEverywhere(s, LoggedOutEverywhere) },
			Then:  events{LoggedOut{laptop, LoggedOutEverywhere}, LoggedOut{phone, LoggedOutEverywhere}},
		},
		story{Name: "by deactivation", Given: open, When: Deactivate, Then: events{Deactivated{}, LoggedOut{laptop, LoggedOutByDeactivated}, LoggedOut{phone, LoggedOutByDeactivated}}},
		story{
			Name:  "by a new password, but for the one it was set in",
			Given: open,
			When:  func(s State) ([]Event, error) { return ChangePassword(s, second, phone) },
			Then:  events{PasswordChanged{second}, LoggedOut{laptop, LoggedOutEverywhere}},
		},
		story{Name: "when unused for an hour", Given: open, When: expire(after(2*time.Hour), after(3*time.Hour)), Then: gone},
		story{Name: "not when used a moment less long ago", Given: open, When: expire(after(2*time.Hour), after(3*time.Hour-1))},
		story{Name: "after a day, however much used", Given: open, When: expire(after(24*time.Hour), after(24*time.Hour)), Then: gone},
		story{Name: "never used is unused since it was opened", Given: open, When: expire(time.Time{}, after(time.Hour)), Then: gone},
		story{Name: "never used, fresh", Given: open, When: expire(time.Time{}, after(time.Minute))},
		story{Name: "expired once", Given: append(open[:4:4], gone...), When: expire(now, after(3*time.Hour))},
	)
}

func TestActivation(t *testing.T) {
	issued := ActivationIssued{token, after(24 * time.Hour)}
	activate := func(hash domain.Hash, at time.Time) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Activate(s, hash, first, at) }
	}
	issue := func(s State) ([]Event, error) { return IssueActivation(s, token, now) }
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "issued for a day", Given: events{ada}, When: issue, Then: events{issued}},
		story{Name: "issued to nobody", When: issue, Err: ErrNotFound},
		story{Name: "issued to a deactivated account", Given: events{ada, Deactivated{}}, When: issue, Err: ErrDeactivated},
		story{Name: "used", Given: events{ada, issued}, When: activate(token, now), Then: events{active}},
		story{Name: "used twice", Given: events{ada, issued, active}, When: activate(token, now), Err: ErrActivation},
		story{Name: "used too late", Given: events{ada, issued}, When: activate(token, issued.ExpiresAt), Err: ErrActivation},
		story{Name: "another token", Given: events{ada, issued}, When: activate(domain.Hash{9}, now), Err: ErrActivation},
		story{Name: "an earlier token", Given: events{ada, issued, ActivationIssued{domain.Hash{9}, after(time.Hour)}}, When: activate(token, now), Err: ErrActivation},
		story{Name: "never issued", Given: events{ada}, When: activate(domain.Hash{}, now), Err: ErrActivation},
		story{Name: "void after deactivation", Given: events{ada, issued, Deactivated{}, Reactivated{}}, When: activate(token, now), Err: ErrActivation},
		story{Name: "used while deactivated", Given: events{ada, issued, Deactivated{}}, When: activate(token, now), Err: ErrDeactivated},
		story{Name: "a new password ends every session", Given: events{ada, active, onPhone, issued}, When: activate(token, now), Then: events{active, LoggedOut{phone, LoggedOutEverywhere}}},
		story{Name: "a password before activation", Given: events{ada}, When: func(s State) ([]Event, error) { return ChangePassword(s, second, phone) }, Err: ErrNotActive},
	)
}

func TestMembership(t *testing.T) {
	invite := func(wish Invited) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Invite(s, wish) }
	}
	role := func(decide func(State, string) ([]Event, error), role string) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return decide(s, role) }
	}
	move := func(to uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return MoveToTeam(s, to) }
	}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "invited, tidied", When: invite(Invited{LoginName: " ada ", DisplayName: "Ada", Roles: []string{"sales", "sales"}}), Then: events{Invited{LoginName: "ada", DisplayName: "Ada", Roles: []string{"sales"}}}},
		story{Name: "invited twice", Given: events{ada}, When: invite(ada), Err: ErrExists},
		story{
			Name: "every wrong field at once",
			When: invite(Invited{LoginName: "a b", DisplayName: "\n", Email: "@"}),
			Err:  domain.Invalid{"loginName": "contains spaces", "displayName": "must not be blank", "email": "is not an e-mail address"},
		},
		story{Name: "role granted", Given: events{ada}, When: role(GrantRole, "auditor"), Then: events{RoleGranted{Role: "auditor"}}},
		story{Name: "role held", Given: events{ada}, When: role(GrantRole, "sales")},
		story{Name: "role revoked", Given: events{ada}, When: role(RevokeRole, "sales"), Then: events{RoleRevoked{Role: "sales"}}},
		story{Name: "role not held", Given: events{ada, RoleRevoked{Role: "sales"}}, When: role(RevokeRole, "sales")},
		story{Name: "moved", Given: events{ada}, When: move(south), Then: events{MovedToTeam{Team: south}}},
		story{Name: "there already", Given: events{ada, MovedToTeam{Team: south}}, When: move(south)},
		story{Name: "deactivated twice", Given: events{ada, Deactivated{}}, When: Deactivate},
		story{Name: "reactivated", Given: events{ada, Deactivated{}}, When: Reactivate, Then: events{Reactivated{}}},
		story{Name: "reactivated without need", Given: events{ada}, When: Reactivate},
		story{Name: "nobody moves", When: move(south), Err: ErrNotFound},
		story{Name: "nobody is granted", When: role(GrantRole, "sales"), Err: ErrNotFound},
		story{Name: "nobody is revoked", When: role(RevokeRole, "sales"), Err: ErrNotFound},
		story{Name: "nobody is deactivated", When: Deactivate, Err: ErrNotFound},
		story{Name: "nobody is reactivated", When: Reactivate, Err: ErrNotFound},
	)
}

func TestImport(t *testing.T) {
	row := ada
	row.Source = "crm"
	imported := func(team uuid.UUID, roles ...string) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) {
			row := row
			row.Team, row.Roles = team, roles
			return Import(s, row)
		}
	}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "a new row invites", When: imported(north, "sales"), Then: events{row}},
		story{Name: "again", Given: events{row}, When: imported(north, "sales")},
		story{Name: "after people moved and promoted", Given: events{row, MovedToTeam{Team: south}, RoleRevoked{Role: "sales"}, RoleGranted{Role: "manager"}}, When: imported(north, "sales")},
		story{
			Name:  "news",
			Given: events{row},
			When:  imported(south, "manager"),
			Then:  events{MovedToTeam{south, "crm"}, RoleGranted{"manager", "crm"}, RoleRevoked{"sales", "crm"}},
		},
		story{Name: "news, again", Given: events{row, MovedToTeam{south, "crm"}, RoleGranted{"manager", "crm"}, RoleRevoked{"sales", "crm"}}, When: imported(south, "manager")},
		story{Name: "there and back", Given: events{row, MovedToTeam{south, "crm"}}, When: imported(north, "sales"), Then: events{MovedToTeam{north, "crm"}}},
		story{Name: "of nowhere", When: func(s State) ([]Event, error) { return Import(s, ada) }, Err: domain.Invalid{"source": "must not be blank"}},
	)
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		given events
		want  Status
	}{
		{events{ada}, StatusInvited},
		{events{ada, active}, StatusActive},
		{events{ada, active, Locked{LockedByFailures, after(1)}}, StatusLocked},
		{events{ada, active, Locked{LockedByFailures, now}}, StatusActive},
		{events{ada, active, Locked{LockedByFailures, after(1)}, Deactivated{}}, StatusDeactivated},
	} {
		if got := domaintest.Fold(t, EventTypes, Evolve, c.given...).Status(now); got != c.want {
			t.Errorf("after %T: %s, want %s", c.given[len(c.given)-1], got, c.want)
		}
	}
}

// A long life must not cost its square: of failures without end only so many are kept as any rule counts.
func TestLongLife(t *testing.T) {
	s := Evolve(State{}, ada)
	for i := range 1000 {
		s = Evolve(s, LoginFailed{WrongPassword, after(time.Duration(i) * time.Hour)})
	}
	if len(s.Failures) != organization.MaxAttempts || s.Failures[0] != after(900*time.Hour) {
		t.Errorf("%d failures kept, from %v", len(s.Failures), s.Failures[0])
	}
}
