package organization

import "github.com/annal-crm/annal/domain/declared"

// Permission names what a role allows.
type Permission string

// The permissions there are. A read permission's scope narrows what lists show; a write permission's scope decides which
// records may be changed.
const (
	Manage          Permission = "organization.manage" // roles, teams, rules; all or nothing
	ViewAccounts    Permission = "account.view"
	ManageAccounts  Permission = "account.manage" // invite, activate, unlock, roles, teams, deactivate
	ViewCustomers   Permission = "customer.view"
	EditCustomers   Permission = "customer.edit" // register, edit, reassign, archive, restore
	ViewOpportunity Permission = "opportunity.view"
	EditOpportunity Permission = "opportunity.edit"
	ViewReports     Permission = "report.view"
	DefineReports   Permission = "report.define"   // make, change and retire reports of the organization's own; all or nothing
	ViewActivity    Permission = "activity.view"   // beyond what lies in one's scope: auditors and administrators
	ViewPersonal    Permission = "personal.view"   // names, e-mail, phone, address, device of people; without it they are masked
	RequestErasure  Permission = "erasure.request" // ask that a person be erased, and see such requests
	ApproveErasure  Permission = "erasure.approve" // approve or refuse what somebody else has asked for
	VerifyLog       Permission = "audit.verify"    // verify the log, take proofs out of it; all or nothing
)

// Permissions lists them all: those above, and two for each declared kind of record.
func Permissions() []Permission {
	all := []Permission{
		Manage, ViewAccounts, ManageAccounts, ViewCustomers, EditCustomers, ViewOpportunity, EditOpportunity, ViewReports,
		DefineReports, ViewActivity, ViewPersonal, RequestErasure, ApproveErasure, VerifyLog,
	}
	for _, k := range declared.Kinds {
		all = append(all, Permission(k.ViewPermission()), Permission(k.EditPermission()))
	}
	return all
}

// Scope says on whose records a permission acts. A wider scope holds the narrower ones.
type Scope string

const (
	None Scope = ""
	Own  Scope = "own"  // records the account owns; itself
	Team Scope = "team" // also those owned by members of its team, of teams it manages, and of all teams below these
	All  Scope = "all"
)

var width = map[Scope]int{None: 0, Own: 1, Team: 2, All: 3}

// Wider returns the wider of two scopes.
func Wider(a, b Scope) Scope {
	if width[a] >= width[b] {
		return a
	}
	return b
}

// BuiltIn are the roles that every organization starts with.
func BuiltIn() []RoleDefined {
	return []RoleDefined{
		{"administrator", withRecords(All, All, map[Permission]Scope{
			Manage: All, ViewAccounts: All, ManageAccounts: All, ViewCustomers: All, EditCustomers: All,
			ViewOpportunity: All, EditOpportunity: All, ViewReports: All, DefineReports: All, ViewActivity: All, ViewPersonal: All,
			RequestErasure: All, ApproveErasure: All, VerifyLog: All,
		})},
		{"manager", withRecords(Team, Team, map[Permission]Scope{
			ViewAccounts: Team, ViewCustomers: All, EditCustomers: Team, ViewOpportunity: Team, EditOpportunity: Team,
			ViewReports: Team, ViewPersonal: All,
		})},
		{"sales", withRecords(Own, Own, map[Permission]Scope{
			ViewAccounts: Own, ViewCustomers: All, EditCustomers: Own, ViewOpportunity: Own, EditOpportunity: Own,
			ViewReports: Own, ViewPersonal: All,
		})},
		{"auditor", withRecords(All, None, map[Permission]Scope{
			ViewAccounts: All, ViewCustomers: All, ViewOpportunity: All, ViewReports: All, ViewActivity: All, ViewPersonal: All,
			VerifyLog: All,
		})},
		{"analyst", withRecords(All, None, map[Permission]Scope{
			ViewCustomers: All, ViewOpportunity: All, ViewReports: All, DefineReports: All,
		})},
	}
}

// withRecords adds the permissions of every declared kind.
func withRecords(view, edit Scope, scopes map[Permission]Scope) map[Permission]Scope {
	for _, k := range declared.Kinds {
		scopes[Permission(k.ViewPermission())] = view
		if edit != None {
			scopes[Permission(k.EditPermission())] = edit
		}
	}
	return scopes
}

// Widen gives the built-in roles the permissions that are newer than the organization: those that none of its events has ever
// spoken of. So a permission that people have taken from a role does not come back, and a role that is not there stays away.
func Widen(s State) (events []Event) {
	if s.Name == "" {
		return nil
	}
	for _, role := range BuiltIn() {
		if _, exists := s.Roles[role.Role]; !exists {
			continue
		}
		for _, permission := range Permissions() {
			if scope := role.Permissions[permission]; scope != None && !s.known[permission] {
				events = append(events, PermissionAdded{role.Role, permission, scope})
			}
		}
	}
	return events
}
