package eventcodec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/domain/source"
)

// summary says in one line what happened. Who did it is told beside it. Other accounts are named by their ids, see [named].
func summary(payload any) string {
	if from := origin(payload); from != "" {
		return act(payload) + " (import " + from + ")"
	}
	return act(payload)
}

// origin is the import that an event came from, empty if it came from none.
func origin(payload any) string {
	if f := reflect.ValueOf(payload).FieldByName("Source"); f.Kind() == reflect.String {
		return f.String()
	}
	return ""
}

// named lists the accounts that the summary names by their ids.
func named(payload any) []uuid.UUID {
	of := func(category string, id uuid.UUID) []uuid.UUID {
		if category == account.Category {
			return []uuid.UUID{id}
		}
		return nil
	}
	switch e := payload.(type) {
	case customer.Reassigned:
		return []uuid.UUID{e.From, e.To}
	case opportunity.Reassigned:
		return []uuid.UUID{e.From, e.To}
	case organization.TeamManagerSet:
		return []uuid.UUID{e.Manager}
	case audit.Read:
		return of(e.Kind, e.Subject)
	case erasure.Requested:
		return of(e.Category, e.Subject)
	case erasure.Approved:
		return of(e.Category, e.Subject)
	case erasure.Refused:
		return of(e.Category, e.Subject)
	case erasure.Done:
		return of(e.Category, e.Subject)
	}
	return nil
}

// Naming returns the summary with a name behind each account's id; name returns "" for one that has none, or none to be shown.
func (v View) Naming(name func(uuid.UUID) string) string {
	s := v.Summary
	for i, id := range v.Named {
		if id == uuid.Nil || slices.Contains(v.Named[:i], id) {
			continue
		}
		if called := name(id); called != "" {
			s = strings.ReplaceAll(s, id.String(), id.String()+" ("+called+")")
		}
	}
	return s
}

func act(payload any) string {
	switch e := payload.(type) {
	case account.Event:
		return accountSummary(e)
	case customer.Event:
		return customerSummary(e)
	case opportunity.Event:
		return opportunitySummary(e)
	case organization.Event:
		return organizationSummary(e)
	case erasure.Event:
		return erasureSummary(e)
	case retention.Event:
		return retentionSummary(e)
	case reservation.Claimed:
		return plainWords(string(e.Kind)) + " reserved"
	case reservation.Released:
		return "reserved name released"
	case audit.Read:
		s := fmt.Sprintf("life of %s %s %s", e.Kind, e.Subject, plainWords(string(e.Act)))
		if len(e.Filters) > 0 {
			s += ", filtered by " + strings.Join(e.Filters, ", ")
		}
		return s
	case audit.Checked:
		if e.Kind == audit.DryRun {
			return "dry run: " + e.Of
		}
		return fmt.Sprintf("log %s: %s", plainWords(string(e.Kind)), e.Of)
	case audit.Rebuilt:
		s := fmt.Sprintf("report %s rebuilt as %q", e.Report, e.Name)
		if len(e.Of) > 0 {
			s += ", of " + strings.Join(e.Of, ", ")
		}
		return s
	case audit.ReportRead:
		s := "report " + version(e.Report, e.Definition) + ": "
		if len(e.Personal) > 0 {
			s += strings.Join(e.Personal, ", ") + " opened"
		} else {
			s += "events behind it"
		}
		s += map[audit.Act]string{audit.Replayed: " shown", audit.Exported: " exported"}[e.Act]
		if len(e.Of) > 0 {
			s += ", of " + strings.Join(e.Of, ", ")
		}
		return s
	case audit.KeyReplaced:
		return fmt.Sprintf("checkpoint key %s replaced by %s%s", e.Old, e.New, map[bool]string{true: "; it was lost"}[e.Lost])
	case audit.LogExported:
		return fmt.Sprintf("events exported, %s, personal fields %s", strings.Join(e.Of, ", "), map[bool]string{true: "open", false: "sealed"}[e.Personal])
	case reporting.Defined:
		return fmt.Sprintf("report %s defined, based on %s", version(e.Name, e.Version), e.Definition.Base)
	case reporting.Retired:
		return fmt.Sprintf("report %s retired", e.Name)
	case source.LoginFailed:
		return fmt.Sprintf("sign-in failed: unknown name %q", e.NameMasked)
	case source.Muted:
		return "too many failed sign-ins from one source: not recorded one by one until " + at(e.Until)
	}
	panic(fmt.Sprintf("eventcodec: no summary for %T", payload)) // a test walks every type through
}

// version names a report, one of the organization's own with its version.
func version(report string, n int) string {
	if n == 0 {
		return report
	}
	return fmt.Sprintf("%s (version %d)", report, n)
}

func accountSummary(e account.Event) string {
	switch e := e.(type) {
	case account.Invited:
		s := fmt.Sprintf("%s (%s) invited", e.LoginName, e.DisplayName)
		if len(e.Roles) > 0 {
			s += " as " + strings.Join(e.Roles, ", ")
		}
		return s
	case account.ActivationIssued:
		return "activation token issued, good until " + at(e.ExpiresAt)
	case account.Activated:
		return "account activated, password set"
	case account.LoggedIn:
		return "signed in"
	case account.LoginFailed:
		return "sign-in failed: " + plainWords(string(e.Reason))
	case account.LoginRefused:
		return "sign-in refused: account " + plainWords(string(e.Reason))
	case account.Locked:
		return fmt.Sprintf("locked until %s: %s", at(e.Until), plainWords(string(e.Reason)))
	case account.Unlocked:
		return "unlocked by " + map[account.UnlockCause]string{account.UnlockedByTimer: "time", account.UnlockedByAdministrator: "an administrator"}[e.Cause]
	case account.LoggedOut:
		switch e.Reason {
		case account.LoggedOutByUser:
			return "signed out"
		case account.LoggedOutEverywhere:
			return "signed out everywhere"
		}
		return "session ended: " + plainWords(string(e.Reason))
	case account.PasswordChanged:
		return "password changed"
	case account.RoleGranted:
		return "role granted: " + e.Role
	case account.RoleRevoked:
		return "role revoked: " + e.Role
	case account.MovedToTeam:
		if e.Team == uuid.Nil {
			return "left the team"
		}
		return "moved to another team"
	case account.Deactivated:
		return "account deactivated"
	case account.Reactivated:
		return "account reactivated"
	case account.Erased:
		return erasedSummary(e.Reason)
	}
	panic(fmt.Sprintf("eventcodec: no summary for %T", e))
}

func customerSummary(e customer.Event) string {
	switch e := e.(type) {
	case customer.Registered:
		return "registered " + e.Name
	case customer.Edited:
		var c changes
		c.add("name", e.Name)
		c.add("sector", e.Sector)
		c.add("country", e.Country)
		c.add("website", e.Website)
		c.add("phone", e.Phone)
		c.add("e-mail", e.Email)
		for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
			change := e.Attributes[name]
			c.add(name, &change)
		}
		return c.String()
	case customer.Reassigned:
		return reassigned(e.From, e.To)
	case customer.Archived:
		return "archived"
	case customer.Restored:
		return "restored"
	case customer.Erased:
		return erasedSummary(e.Reason)
	}
	panic(fmt.Sprintf("eventcodec: no summary for %T", e))
}

func erasedSummary(reason string) string { return "erased: " + reason }

func erasureSummary(e erasure.Event) string {
	switch e := e.(type) {
	case erasure.Requested:
		if e.Rule != uuid.Nil {
			return fmt.Sprintf("erasure%s asked for by a retention rule: %s", ofSubject(e.Category, e.Subject), e.Reason)
		}
		return fmt.Sprintf("erasure%s asked for: %s", ofSubject(e.Category, e.Subject), e.Reason)
	case erasure.Approved:
		return "erasure" + ofSubject(e.Category, e.Subject) + " approved"
	case erasure.Refused:
		return "erasure" + ofSubject(e.Category, e.Subject) + " refused: " + e.Reason
	case erasure.Done:
		return "erasure" + ofSubject(e.Category, e.Subject) + " carried out"
	}
	panic(fmt.Sprintf("eventcodec: no summary for %T", e))
}

// ofSubject names who is to be erased, nobody in an event of when only the request did.
func ofSubject(category string, id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return fmt.Sprintf(" of %s %s", category, id)
}

func retentionSummary(e retention.Event) string {
	switch e := e.(type) {
	case retention.Proposed:
		return fmt.Sprintf("retention rule proposed, to erase after %d days (%s), at most %d a day: %s", e.Days, plainWords(string(e.Basis)), e.PerDay, e.Reason)
	case retention.Approved:
		return fmt.Sprintf("retention rule approved, with %d due", e.Due)
	case retention.Applied:
		return fmt.Sprintf("retention rule sets out to erase %d", len(e.Subjects))
	case retention.Ended:
		return "retention rule ended: " + e.Reason
	}
	panic(fmt.Sprintf("eventcodec: no summary for %T", e))
}

func opportunitySummary(e opportunity.Event) string {
	switch e := e.(type) {
	case opportunity.Opened:
		if e.Product == "" {
			return fmt.Sprintf("opportunity %s opened", e.Reference)
		}
		return fmt.Sprintf("opportunity %s opened for %s", e.Reference, e.Product)
	case opportunity.Engaged:
		return "engaged"
	case opportunity.Won:
		return fmt.Sprintf("won, worth %s", e.Value)
	case opportunity.Lost:
		return "lost"
	case opportunity.Reopened:
		return "reopened"
	case opportunity.Reassigned:
		return reassigned(e.From, e.To)
	case opportunity.Edited:
		var c changes
		c.add("reference", e.Reference)
		c.add("product", e.Product)
		c.add("customer", e.Customer)
		c.add("value", e.Value)
		return c.String()
	}
	panic(fmt.Sprintf("eventcodec: no summary for %T", e))
}

func organizationSummary(e organization.Event) string {
	switch e := e.(type) {
	case organization.Registered:
		return fmt.Sprintf("organization %s registered", e.Name)
	case organization.RoleDefined:
		return fmt.Sprintf("role %s defined with %d permissions", e.Role, len(e.Permissions))
	case organization.PermissionAdded:
		return fmt.Sprintf("role %s may %s (%s)", e.Role, e.Permission, e.Scope)
	case organization.PermissionRemoved:
		return fmt.Sprintf("role %s may no longer %s", e.Role, e.Permission)
	case organization.TeamCreated:
		return fmt.Sprintf("team %s created", e.Name)
	case organization.TeamMoved:
		if e.Parent == uuid.Nil {
			return "team moved to the top"
		}
		return "team moved below another"
	case organization.TeamManagerSet:
		if e.Manager == uuid.Nil {
			return "team left without a manager"
		}
		return "team given the manager " + e.Manager.String()
	case organization.LockoutPolicyChanged:
		return fmt.Sprintf("lockout: after %d wrong passwords within %s, for %s", e.Attempts, time.Duration(e.Window), time.Duration(e.LockFor))
	case organization.SQLGranted:
		return fmt.Sprintf("login %q of the database may read with SQL", e.Login)
	case organization.SQLRevoked:
		return fmt.Sprintf("login %q of the database may no longer read with SQL", e.Login)
	case organization.EventSkipped:
		return fmt.Sprintf("%s at position %d left out of the read model %s: %s", e.Type, e.Position, e.ReadModel, e.Reason)
	}
	panic(fmt.Sprintf("eventcodec: no summary for %T", e))
}

func reassigned(from, to uuid.UUID) string {
	switch {
	case to == uuid.Nil:
		return "left without an owner; it was " + from.String()
	case from == uuid.Nil:
		return "given to " + to.String()
	}
	return fmt.Sprintf("given to %s, was %s's", to, from)
}

// changes collects sentences about edited fields.
type changes []string

func (c *changes) add(field string, change *domain.Change) {
	switch {
	case change == nil:
	case change.From == change.To: // hidden or erased
		*c = append(*c, fmt.Sprintf("%s changed (%s)", field, change.To))
	case change.From == "":
		*c = append(*c, fmt.Sprintf("%s set to %q", field, change.To))
	case change.To == "":
		*c = append(*c, fmt.Sprintf("%s %q cleared", field, change.From))
	default:
		*c = append(*c, fmt.Sprintf("%s changed from %q to %q", field, change.From, change.To))
	}
}

func (c changes) String() string {
	if len(c) == 0 {
		return "imported again, nothing changed" // see Imported in the Edited events
	}
	return strings.Join(c, ", ")
}

func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// plainWords makes "not_activated" readable.
func plainWords(stored string) string { return strings.ReplaceAll(stored, "_", " ") }
