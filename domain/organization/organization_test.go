package organization

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

type (
	story  = domaintest.Story[State, Event]
	events = []Event
)

var (
	west  = uuid.MustParse("0195d3c4-0000-7000-8000-000000000001") // teams
	coast = uuid.MustParse("0195d3c4-0000-7000-8000-000000000002")
	pier  = uuid.MustParse("0195d3c4-0000-7000-8000-000000000003")
	east  = uuid.MustParse("0195d3c4-0000-7000-8000-000000000004")
	ada   = uuid.MustParse("0195d3c4-0000-7000-8000-000000000005") // accounts
	grace = uuid.MustParse("0195d3c4-0000-7000-8000-000000000006")

	org  = Registered{"Annal"}
	tree = events{org, TeamCreated{Team: west, Name: "West"}, TeamCreated{Team: coast, Name: "Coast", Parent: west}, TeamCreated{Team: pier, Name: "Pier", Parent: coast}, TeamCreated{Team: east, Name: "East"}}
)

func TestRoles(t *testing.T) {
	define := func(role string, permissions map[Permission]Scope) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return DefineRole(s, role, permissions) }
	}
	add := func(role string, p Permission, scope Scope) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return AddPermission(s, role, p, scope) }
	}
	remove := func(role string, p Permission) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return RemovePermission(s, role, p) }
	}
	register := func(s State) ([]Event, error) { return Register(s, "Annal") }
	start := events{org}
	for _, role := range BuiltIn() {
		start = append(start, role)
	}
	clerk := RoleDefined{"clerk", map[Permission]Scope{ViewCustomers: Team}}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "registered with the built-in roles", When: register, Then: start},
		story{Name: "registered twice", Given: start, When: register, Err: ErrExists},
		story{Name: "registered without a name", When: func(s State) ([]Event, error) { return Register(s, " ") }, Err: domain.Invalid{"name": "must not be blank"}},
		story{Name: "role defined", Given: start, When: define("clerk", clerk.Permissions), Then: events{clerk}},
		story{Name: "role defined alike", Given: append(start[:6:6], clerk), When: define("clerk", clerk.Permissions)},
		story{Name: "role defined otherwise", Given: append(start[:6:6], clerk), When: define("clerk", nil), Err: ErrRoleExists},
		story{Name: "role of an unknown permission", Given: start, When: define("clerk", map[Permission]Scope{"fly": All}), Err: domain.Invalid{"permission": "is not a permission: fly"}},
		story{Name: "role of nobody", When: define("clerk", nil), Err: ErrNotFound},
		story{Name: "permission added", Given: append(start[:6:6], clerk), When: add("clerk", ViewReports, All), Then: events{PermissionAdded{"clerk", ViewReports, All}}},
		story{Name: "permission widened", Given: append(start[:6:6], clerk), When: add("clerk", ViewCustomers, All), Then: events{PermissionAdded{"clerk", ViewCustomers, All}}},
		story{Name: "permission there", Given: append(start[:6:6], clerk), When: add("clerk", ViewCustomers, Team)},
		story{Name: "permission without a scope", Given: append(start[:6:6], clerk), When: add("clerk", ViewReports, None), Err: domain.Invalid{"scope": "must be own, team or all"}},
		story{Name: "a part of the organization to manage", Given: append(start[:6:6], clerk), When: add("clerk", Manage, Team), Err: domain.Invalid{"scope": "must be all: nobody manages a part of an organization"}},
		story{Name: "permission for an unknown role", Given: start, When: add("clerk", ViewReports, All), Err: ErrUnknownRole},
		story{Name: "permission removed", Given: append(start[:6:6], clerk), When: remove("clerk", ViewCustomers), Then: events{PermissionRemoved{"clerk", ViewCustomers}}},
		story{Name: "permission removed twice", Given: append(start[:6:6], clerk, PermissionRemoved{"clerk", ViewCustomers}), When: remove("clerk", ViewCustomers)},
		story{Name: "permission removed from an unknown role", Given: start, When: remove("clerk", ViewCustomers), Err: ErrUnknownRole},
		story{Name: "the last who may manage", Given: start, When: remove("administrator", Manage), Err: ErrLastManage},
		story{Name: "the last but one who may manage", Given: append(start[:6:6], clerk, PermissionAdded{"clerk", Manage, All}), When: remove("administrator", Manage), Then: events{PermissionRemoved{"administrator", Manage}}},
	)
}

func TestTeams(t *testing.T) {
	create := func(id uuid.UUID, name string, parent uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return CreateTeam(s, id, name, parent) }
	}
	move := func(id, parent uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return MoveTeam(s, id, parent) }
	}
	manager := func(id, account uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return SetTeamManager(s, id, account) }
	}
	row := TeamRow{Team: coast, Name: "Coast", Parent: west, Manager: ada, Source: "crm"}
	imported := func(row TeamRow) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return ImportTeam(s, row) }
	}
	from := events{org, TeamCreated{Team: west, Name: "West"}, TeamCreated{Team: east, Name: "East"}, TeamCreated{coast, "Coast", west, "crm"}, TeamManagerSet{coast, ada, "crm"}}
	moved := row
	moved.Parent, moved.Manager = east, grace
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "created", Given: events{org}, When: create(west, "West", uuid.Nil), Then: tree[1:2]},
		story{Name: "created twice", Given: tree, When: create(west, "West", uuid.Nil), Err: ErrTeamExists},
		story{Name: "created below nothing", Given: events{org}, When: create(west, "West", east), Err: ErrUnknownTeam},
		story{Name: "created without a name", Given: events{org}, When: create(west, "", uuid.Nil), Err: domain.Invalid{"name": "must not be blank"}},
		story{Name: "created by nobody", When: create(west, "West", uuid.Nil), Err: ErrNotFound},
		story{Name: "moved", Given: tree, When: move(coast, east), Then: events{TeamMoved{Team: coast, Parent: east}}},
		story{Name: "moved to the top", Given: tree, When: move(coast, uuid.Nil), Then: events{TeamMoved{Team: coast}}},
		story{Name: "there already", Given: tree, When: move(coast, west)},
		story{Name: "below itself", Given: tree, When: move(west, west), Err: ErrCycle},
		story{Name: "below what is below it", Given: tree, When: move(west, pier), Err: ErrCycle},
		story{Name: "an unknown team", Given: events{org}, When: move(west, uuid.Nil), Err: ErrUnknownTeam},
		story{Name: "below an unknown team", Given: tree[:2], When: move(west, east), Err: ErrUnknownTeam},
		story{Name: "given a manager", Given: tree, When: manager(west, ada), Then: events{TeamManagerSet{Team: west, Manager: ada}}},
		story{Name: "given its manager", Given: append(tree[:5:5], TeamManagerSet{Team: west, Manager: ada}), When: manager(west, ada)},
		story{Name: "an unknown team's manager", Given: events{org}, When: manager(west, ada), Err: ErrUnknownTeam},
		story{Name: "imported", Given: from[:3], When: imported(row), Then: from[3:]},
		story{Name: "imported again", Given: from, When: imported(row)},
		story{Name: "imported after people moved it", Given: append(from[:5:5], TeamMoved{Team: coast}, TeamManagerSet{Team: coast}), When: imported(row)},
		story{Name: "imported news", Given: from, When: imported(moved), Then: events{TeamMoved{coast, east, "crm"}, TeamManagerSet{coast, grace, "crm"}}},
		story{Name: "imported below itself", Given: append(from[:5:5], TeamMoved{Team: east, Parent: coast}), When: imported(moved), Err: ErrCycle},
	)
}

func TestTeamsOf(t *testing.T) {
	s := domaintest.Fold(t, EventTypes, Evolve, append(tree[:5:5], TeamManagerSet{Team: coast, Manager: ada})...)
	for name, c := range map[string]struct{ account, team, want []uuid.UUID }{
		"a member of none":        {[]uuid.UUID{grace}, []uuid.UUID{uuid.Nil}, nil},
		"a member":                {[]uuid.UUID{grace}, []uuid.UUID{west}, []uuid.UUID{west, coast, pier}},
		"a manager":               {[]uuid.UUID{ada}, []uuid.UUID{uuid.Nil}, []uuid.UUID{coast, pier}},
		"a manager and a member":  {[]uuid.UUID{ada}, []uuid.UUID{east}, []uuid.UUID{coast, pier, east}},
		"nobody manages no team":  {[]uuid.UUID{uuid.Nil}, []uuid.UUID{uuid.Nil}, nil},
		"nobody, though a member": {[]uuid.UUID{uuid.Nil}, []uuid.UUID{pier}, []uuid.UUID{pier}},
	} {
		if got := s.TeamsOf(c.account[0], c.team[0]); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestScopes(t *testing.T) {
	s := domaintest.Fold(t, EventTypes, Evolve, events{org, RoleDefined{"a", map[Permission]Scope{ViewCustomers: Own, EditCustomers: Team}}, RoleDefined{"b", map[Permission]Scope{ViewCustomers: All, EditCustomers: Own}}}...)
	if got, want := s.Scopes([]string{"a", "b", "gone"}), (map[Permission]Scope{ViewCustomers: All, EditCustomers: Team}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLockoutPolicy(t *testing.T) {
	set := func(rule Lockout) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return ChangeLockoutPolicy(s, rule) }
	}
	strict := LockoutPolicyChanged{5, domain.Duration(time.Hour), domain.Duration(2 * time.Hour)}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "changed", Given: events{org}, When: set(Lockout{5, time.Hour, 2 * time.Hour}), Then: events{strict}},
		story{Name: "not changed", Given: events{org, strict}, When: set(Lockout{5, time.Hour, 2 * time.Hour})},
		story{Name: "as it is from the start", Given: events{org}, When: set(DefaultLockout)},
		story{Name: "at its bounds", Given: events{org}, When: set(Lockout{100, time.Second, 24 * time.Hour}), Then: events{LockoutPolicyChanged{100, domain.Duration(time.Second), domain.Duration(24 * time.Hour)}}},
		story{
			Name:  "beyond them",
			Given: events{org},
			When:  set(Lockout{101, time.Second - 1, 24*time.Hour + 1}),
			Err:   domain.Invalid{"attempts": "must be 1 to 100", "window": "must be 1s to 24h", "lockFor": "must be 1s to 24h"},
		},
		story{Name: "no attempt at all", Given: events{org}, When: set(Lockout{0, time.Hour, time.Hour}), Err: domain.Invalid{"attempts": "must be 1 to 100"}},
		story{Name: "of nobody", When: set(DefaultLockout), Err: ErrNotFound},
	)
	if s := domaintest.Fold(t, EventTypes, Evolve, events{org, strict}...); s.PolicyVersion != 2 || s.Lockout.Attempts != 5 {
		t.Errorf("%+v", s)
	}
}

func TestLoginsOfTheDatabase(t *testing.T) {
	grant := func(login string) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return GrantSQL(s, login) }
	}
	revoke := func(login string) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return RevokeSQL(s, login) }
	}
	granted, revoked := SQLGranted{"lena"}, SQLRevoked{"lena"}
	invalid := domain.Invalid{"login": "must be given, in at most 63 bytes"}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "granted", Given: events{org}, When: grant("lena"), Then: events{granted}},
		story{Name: "granted before", Given: events{org, granted}, When: grant("lena")},
		story{Name: "another one", Given: events{org, granted}, When: grant("ivo"), Then: events{SQLGranted{"ivo"}}},
		story{Name: "revoked", Given: events{org, granted}, When: revoke("lena"), Then: events{revoked}},
		story{Name: "revoked, granted when there were no events of it", Given: events{org}, When: revoke("lena"), Then: events{revoked}},
		story{Name: "revoked before", Given: events{org, granted, revoked}, When: revoke("lena")},
		story{Name: "granted again", Given: events{org, granted, revoked}, When: grant("lena"), Then: events{granted}},
		story{Name: "no login", Given: events{org}, When: grant(""), Err: invalid},
		story{Name: "a long login", Given: events{org}, When: revoke(strings.Repeat("a", 64)), Err: invalid},
		story{Name: "no organization", When: grant("lena"), Err: ErrNotFound},
	)
}

func TestEventsAreSkippedOnceAndForAReason(t *testing.T) {
	skip := func(e EventSkipped) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return SkipEvent(s, e) }
	}
	wish := EventSkipped{ReadModel: "customers", Position: 7, Event: ada, Type: "customer.edited", Category: "customer", Stream: grace, Reason: " a fault of the import "}
	done, elsewhere, silent := wish, wish, wish
	done.Reason, elsewhere.Reason, silent.Reason = "a fault of the import", "a fault of the import", " \t"
	elsewhere.ReadModel = "sales"
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "skipped", Given: events{org}, When: skip(wish), Then: events{done}},
		story{Name: "skipped before", Given: events{org, done}, When: skip(wish)},
		story{Name: "skipped before, and no reason needed now", Given: events{org, done}, When: skip(silent)},
		story{Name: "in another read model", Given: events{org, done}, When: skip(elsewhere), Then: events{elsewhere}},
		story{Name: "without a reason", Given: events{org}, When: skip(silent), Err: domain.Invalid{"reason": "must not be blank"}},
		story{Name: "by nobody", When: skip(wish), Err: ErrNotFound},
	)
}

// Teams created, moved and imported in any order are a tree: from each, the way up ends.
func TestTeamsStayATree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Evolve(State{}, org)
		team := rapid.Map(rapid.IntRange(0, 6), func(n int) uuid.UUID {
			if n == 0 {
				return uuid.Nil
			}
			return uuid.UUID{byte(n)}
		})
		for range rapid.IntRange(10, 60).Draw(t, "wishes") {
			a, b := team.Draw(t, "team"), team.Draw(t, "parent")
			var wished []Event
			switch rapid.IntRange(0, 3).Draw(t, "wish") {
			case 0:
				wished, _ = CreateTeam(s, a, "x", b)
			case 1:
				wished, _ = ImportTeam(s, TeamRow{Team: a, Name: "x", Parent: b, Source: "crm"})
			default:
				wished, _ = MoveTeam(s, a, b)
			}
			for _, e := range wished {
				s = Evolve(s, e)
			}
			for id := range s.Teams {
				steps := 0
				for range s.upwards(id) {
					if steps++; steps > len(s.Teams) {
						t.Fatalf("a cycle above %v", id)
					}
				}
			}
		}
	})
}
