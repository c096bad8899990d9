package eventcodec_test

import (
	"fmt"
	"strings"
	"testing"
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
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
)

func TestSummaries(t *testing.T) {
	b, _ := newBook(t)
	until := when.Add(30 * time.Minute)
	const one, other = "2a9de1a9-0000-7000-8000-000000000001", "2a9de1a9-0000-7000-8000-000000000002"
	check := func(category string, e eventlog.Event, want string) {
		t.Helper()
		view, err := page(t, b, e)[0].Display()
		if err != nil || view.Summary != want {
			t.Errorf("%s: %q, want %q: %v", e.Type, view.Summary, want, err)
		}
	}
	s := eventlog.Stream{Organization: org, Category: account.Category, ID: uuid.New()}
	for want, e := range map[string]account.Event{
		"ada (Ada Lovelace) invited as sales, manager": account.Invited{LoginName: "ada", DisplayName: "Ada Lovelace", Roles: []string{"sales", "manager"}},
		"signed in":                                             account.LoggedIn{},
		"sign-in failed: wrong password":                        account.LoginFailed{Reason: account.WrongPassword},
		"sign-in refused: account not activated":                account.LoginRefused{Reason: account.RefusedNotActivated},
		"locked until 2026-03-01 10:00:00 UTC: wrong passwords": account.Locked{Reason: account.LockedByFailures, Until: until},
		"unlocked by an administrator":                          account.Unlocked{Cause: account.UnlockedByAdministrator},
		"unlocked by timer":                                     account.Unlocked{Cause: account.UnlockedByTimer},
		"session ended: expired":                                account.LoggedOut{Reason: account.LoggedOutExpired},
		"role granted: auditor":                                 account.RoleGranted{Role: "auditor"},
	} {
		check("account", encode(t, b, account.EventTypes, s, e, domain.Metadata{}), want)
	}
	s.Category = customer.Category
	for want, e := range map[string]customer.Event{
		`phone changed from "+1" to "+2", city set to "Oslo"`: customer.Edited{Phone: &domain.Change{From: "+1", To: "+2"}, Attributes: map[string]domain.Change{"city": {To: "Oslo"}}},
		`website "x.example" cleared`:                         customer.Edited{Website: &domain.Change{From: "x.example"}},
		"reassigned from " + other + " to " + one:             customer.Reassigned{From: uuid.MustParse(other), To: uuid.MustParse(one)},
		"assigned to " + one:                                  customer.Reassigned{To: uuid.MustParse(one)},
		"no longer assigned to " + one:                        customer.Reassigned{From: uuid.MustParse(one)},
		"registered Acme (import crm-sales)":                  customer.Registered{Name: "Acme", Source: "crm-sales"},
	} {
		check("customer", encode(t, b, customer.EventTypes, s, e, domain.Metadata{}), want)
	}
	s.Category = opportunity.Category
	for want, e := range map[string]opportunity.Event{
		"opportunity AB12CD34 opened for GTX Plus Basic": opportunity.Opened{Reference: "AB12CD34", Product: "GTX Plus Basic"},
		"won, worth 1054": opportunity.Won{Value: "1054"},
	} {
		check("opportunity", encode(t, b, opportunity.EventTypes, s, e, domain.Metadata{}), want)
	}
	s.Category = organization.Category
	check("organization", encode[organization.Event](t, b, organization.EventTypes, s, organization.LockoutPolicyChanged{Attempts: 5, Window: domain.Duration(15 * time.Minute), LockFor: domain.Duration(time.Hour)}, domain.Metadata{}),
		"lockout: after 5 wrong passwords within 15m0s, for 1h0m0s")
	s.Category = reporting.Category
	check("report", encode[reporting.Event](t, b, reporting.EventTypes, s, reporting.Defined{Name: "ours", Version: 2, Definition: reporting.Definition{Base: "sales"}}, domain.Metadata{}),
		"report ours (version 2) defined, based on sales")
	s.Category = erasure.Category
	for want, e := range map[string]erasure.Event{
		"erasure of customer " + one + " requested: moved away": erasure.Requested{Category: "customer", Subject: uuid.MustParse(one), Reason: "moved away"},
		"erasure of account " + one + " approved":               erasure.Approved{Category: "account", Subject: uuid.MustParse(one)},
		"erasure approved":                           erasure.Approved{},
		"erasure of account " + one + " refused: no": erasure.Refused{Category: "account", Subject: uuid.MustParse(one), Reason: "no"},
		"erasure of account " + one + " carried out": erasure.Done{Category: "account", Subject: uuid.MustParse(one)},
	} {
		check("erasure", encode(t, b, erasure.EventTypes, s, e, domain.Metadata{}), want)
	}
	s.Category = audit.Category
	for want, e := range map[string]audit.Event{
		"report signins: personal fields (source) exported, with day=2026-03-01": audit.ReportRead{Act: audit.Exported, Report: "signins", Personal: []string{"source"}, Of: []string{"day=2026-03-01"}},
		"report ours (version 2): events behind it shown":                        audit.ReportRead{Act: audit.Replayed, Report: "ours", Definition: 2},
		"events exported, personal fields open, with after=0, to=7":              audit.LogExported{Of: []string{"after=0", "to=7"}, Personal: true},
	} {
		check("audit", encode(t, b, audit.EventTypes, s, e, domain.Metadata{}), want)
	}
}

// An account in a summary is called by its name where that may be shown; a customer's id, or one in what people have typed, stays.
func TestAnAccountInASummaryIsNamed(t *testing.T) {
	b, _ := newBook(t)
	ada, bob, acme := uuid.New(), uuid.New(), uuid.New()
	names := map[uuid.UUID]string{ada: "ada", acme: "acme"}
	check := func(e eventlog.Event, want string) {
		t.Helper()
		view, err := page(t, b, e)[0].Display()
		if got := view.Naming(func(id uuid.UUID) string { return names[id] }); err != nil || got != want {
			t.Errorf("%q, want %q: %v", got, want, err)
		}
	}
	s := eventlog.Stream{Organization: org, Category: customer.Category, ID: acme}
	check(encode[customer.Event](t, b, customer.EventTypes, s, customer.Reassigned{From: bob, To: ada}, domain.Metadata{}), fmt.Sprintf("reassigned from %s to %s (ada)", bob, ada))
	check(encode[customer.Event](t, b, customer.EventTypes, s, customer.Registered{Name: ada.String()}, domain.Metadata{}), "registered "+ada.String())
	s.Category = audit.Category
	check(encode[audit.Event](t, b, audit.EventTypes, s, audit.Read{Act: audit.Replayed, Kind: "account", Subject: ada}, domain.Metadata{}), fmt.Sprintf("timeline of account %s (ada) shown", ada))
	check(encode[audit.Event](t, b, audit.EventTypes, s, audit.Read{Act: audit.Replayed, Kind: "customer", Subject: acme}, domain.Metadata{}), fmt.Sprintf("timeline of customer %s shown", acme))
}

func TestWhatIsNoTypeOfEvent(t *testing.T) {
	for name, want := range map[string]string{
		"account.locked":           "",
		"subject.erased":           "",
		"account.lockd":            `"account.lockd" is no type of event; near it: account.locked`,
		"Account.Locked":           `"Account.Locked" is no type of event; near it: account.locked`,
		"acount.log_in":            `"acount.log_in" is no type of event; near it: account.logged_in`,
		"account.weather":          "account.locked",
		"weather":                  `"weather" is no type of event; one is account.locked`,
		"":                         `"" is no type of event; one is account.locked`,
		strings.Repeat("x", 1<<20): `"xxxx`,
	} {
		if got := eventcodec.Unknown(name); want == "" && got != "" || !strings.Contains(got, want) || len(got) > 1500 {
			t.Errorf("%.50s: %s, want %s", name, got, want)
		}
	}
}
