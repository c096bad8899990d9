package activity_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/contract"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/domain/source"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/querytest"
)

var org = uuid.New()

func stream(category string) eventlog.Stream {
	return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
}

// history is a small world: ada in the north, bob in the south, eve without a team; each owns a customer and an opportunity.
type history struct {
	*querytest.World
	ada, bob, eve         eventlog.Stream
	north, south          uuid.UUID
	acme, betas, umbrella eventlog.Stream // customers of ada, bob and nobody
	deal, chance          eventlog.Stream // opportunities of ada and bob
	name                  eventlog.Stream
}

func newHistory(t *testing.T) *history {
	h := &history{
		World: querytest.New(t, activity.Model),
		ada:   stream(account.Category), bob: stream(account.Category), eve: stream(account.Category), north: uuid.New(), south: uuid.New(),
		acme: stream(customer.Category), betas: stream(customer.Category), umbrella: stream(customer.Category),
		deal: stream(opportunity.Category), chance: stream(opportunity.Category),
		name: eventlog.Stream{Category: reservation.Category, ID: uuid.New()},
	}
	by := func(actor eventlog.Stream) domain.Metadata {
		return domain.Metadata{Actor: actor.ID, IP: "192.0.2.7", Device: "Firefox 1.0", Reason: "asked to"}
	}
	h.RecordAll(
		querytest.Event{Stream: eventlog.Stream{Organization: org, Category: organization.Category, ID: org}, Payload: organization.Registered{Name: "Home"}},            // 1
		querytest.Event{Stream: h.name, Payload: reservation.Claimed{Organization: org, Holder: h.ada.ID}},                                                               // 2
		querytest.Event{Stream: h.ada, Payload: account.Invited{LoginName: "ada", DisplayName: "Ada Lovelace", Team: h.north}},                                           // 3
		querytest.Event{Stream: h.bob, Payload: account.Invited{LoginName: "bob", DisplayName: "Bob", Team: h.south}, Meta: by(h.ada)},                                   // 4
		querytest.Event{Stream: h.eve, Payload: account.Invited{LoginName: "eve", DisplayName: "Eve"}, Meta: by(h.ada)},                                                  // 5
		querytest.Event{Stream: h.acme, Payload: customer.Registered{Name: "Acme Corporation", Phone: "+1 555 0100", Owner: h.ada.ID}, Meta: by(h.ada)},                  // 6
		querytest.Event{Stream: h.betas, Payload: customer.Registered{Name: "Contoso", Owner: h.bob.ID}},                                                                 // 7
		querytest.Event{Stream: h.umbrella, Payload: customer.Registered{Name: "Umbrella"}},                                                                              // 8
		querytest.Event{Stream: h.deal, Payload: opportunity.Opened{Reference: "D", Customer: h.acme.ID, Owner: h.bob.ID}},                                               // 9
		querytest.Event{Stream: h.deal, Payload: opportunity.Reassigned{To: h.ada.ID}},                                                                                   // 10
		querytest.Event{Stream: h.chance, Payload: opportunity.Opened{Reference: "C", Owner: h.bob.ID}},                                                                  // 11
		querytest.Event{Stream: h.ada, Payload: account.LoggedIn{}, Meta: by(h.ada)},                                                                                     // 12: both actor and subject
		querytest.Event{Stream: eventlog.Stream{Organization: org, Category: source.Category, ID: uuid.New()}, Payload: source.LoginFailed{NameMasked: "m****y"}},        // 13
		querytest.Event{Stream: h.name, Payload: reservation.Released{}, Meta: by(h.bob)},                                                                                // 14
		querytest.Event{Stream: h.acme, Payload: customer.Edited{Phone: &domain.Change{From: "+1 555 0100", To: "+1 555 0199"}}, Meta: by(h.bob)},                        // 15
		querytest.Event{Stream: eventlog.Stream{Organization: uuid.New(), Category: customer.Category, ID: uuid.New()}, Payload: customer.Registered{Name: "Elsewhere"}}, // 16
	)
	h.Settle()
	return h
}

var auditor = engine.Viewer{Organization: org, Account: uuid.New(), Scope: organization.All, Personal: true}

// list returns the positions of a list, having read it in both directions and counted it.
func (h *history) list(t *testing.T, v engine.Viewer, s activity.Sight, f activity.Filter) string {
	t.Helper()
	positions := querytest.Walk(t, 3, func(r engine.PageRequest) (engine.Page[activity.Activity], error) {
		return activity.List(t.Context(), h.Pool, h.Codec, v, s, f, r)
	}, func(a activity.Activity) eventlog.Position { return a.Position })
	if n, err := activity.Count(t.Context(), h.Pool, v, s, f); err != nil || n != len(positions) {
		t.Errorf("counted %d of %v: %v", n, positions, err)
	}
	if !slices.IsSorted(positions) {
		t.Errorf("not in log order: %v", positions)
	}
	return strings.Trim(fmt.Sprint(positions), "[]")
}

func TestFilters(t *testing.T) {
	h := newHistory(t)
	began := time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC) // each event occurs a minute after the one before
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprint("account.type", i))
	}
	for name, c := range map[string]struct {
		filter activity.Filter
		want   string
	}{
		"all of an organization":       {activity.Filter{}, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"},
		"an account's":                 {activity.Filter{Account: h.ada.ID}, "3 4 5 6 12"},
		"an account's, as actor":       {activity.Filter{Account: h.bob.ID}, "4 14 15"},
		"of some types":                {activity.Filter{Account: h.ada.ID, Types: []string{"account.logged_in", "customer.registered"}}, "6 12"},
		"a customer's":                 {activity.Filter{Customer: h.acme.ID}, "6 15"},
		"no customer's":                {activity.Filter{Customer: h.deal.ID}, ""},
		"both":                         {activity.Filter{Customer: h.acme.ID, Account: h.bob.ID}, "15"},
		"of a type":                    {activity.Filter{Types: []string{"customer.registered"}}, "6 7 8"},
		"of types, one twice":          {activity.Filter{Types: []string{"customer.registered", "account.invited", "customer.registered"}}, "3 4 5 6 7 8"},
		"of no type":                   {activity.Filter{Types: []string{}}, ""},
		"of a type that cannot be":     {activity.Filter{Types: []string{"\x00", "account.logged_in"}}, "12"},
		"of many types":                {activity.Filter{Types: append(many, "account.invited")}, "3 4 5"},
		"from":                         {activity.Filter{From: began.Add(12 * time.Minute)}, "13 14 15"},
		"until, not at":                {activity.Filter{To: began.Add(3 * time.Minute)}, "1 2 3"},
		"from and until, of an actor":  {activity.Filter{From: began.Add(3 * time.Minute), To: began.Add(5 * time.Minute), Account: h.ada.ID}, "4 5"},
		"what nobody did":              {activity.Filter{Account: uuid.New()}, ""},
		"of a reserved name, released": {activity.Filter{Types: []string{"reservation.released"}}, "14"},
	} {
		if got := h.list(t, auditor, activity.Sight{}, c.filter); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := h.list(t, engine.Viewer{Organization: uuid.New(), Scope: organization.All}, activity.Sight{}, activity.Filter{Account: h.ada.ID}); got != "" {
		t.Errorf("seen from another organization: %s", got)
	}
}

func TestEverybodySeesWhatLiesInTheirScope(t *testing.T) {
	h := newHistory(t)
	viewer := func(s eventlog.Stream, scope organization.Scope, teams ...uuid.UUID) engine.Viewer {
		return engine.Viewer{Organization: org, Account: s.ID, Scope: scope, Teams: teams, Personal: true}
	}
	own, team, all := organization.Own, organization.Team, organization.All
	for name, c := range map[string]struct {
		viewer engine.Viewer
		sight  activity.Sight
		filter activity.Filter
		want   string
	}{
		"nothing granted: oneself":            {viewer(h.bob, organization.None), activity.Sight{}, activity.Filter{}, "4 14 15"},
		"own records":                         {viewer(h.bob, own), activity.Sight{account.Category: own, customer.Category: own, opportunity.Category: own}, activity.Filter{}, "4 7 11 14 15"},
		"who owned it before sees it no more": {viewer(h.bob, own), activity.Sight{opportunity.Category: own}, activity.Filter{Types: []string{"opportunity.opened"}}, "11"},
		"who owns it now sees all of it":      {viewer(h.ada, own), activity.Sight{opportunity.Category: own}, activity.Filter{}, "3 4 5 6 9 10 12"},
		"every customer":                      {viewer(h.eve, own), activity.Sight{account.Category: own, customer.Category: all, opportunity.Category: own}, activity.Filter{}, "5 6 7 8 15"},
		"every opportunity":                   {viewer(h.eve, own), activity.Sight{opportunity.Category: all}, activity.Filter{}, "5 9 10 11"},
		"a team's records and accounts":       {viewer(h.eve, own, h.south), activity.Sight{account.Category: team, customer.Category: team, opportunity.Category: team}, activity.Filter{}, "4 5 7 11"},
		"a team's accounts alone":             {viewer(h.eve, own, h.north), activity.Sight{account.Category: team}, activity.Filter{}, "3 5 12"},
		"own records, though with a team":     {viewer(h.eve, own, h.south), activity.Sight{account.Category: own, customer.Category: own, opportunity.Category: own}, activity.Filter{}, "5"},
		"every account":                       {viewer(h.eve, own), activity.Sight{account.Category: all}, activity.Filter{}, "3 4 5 12"},
		"of another's life, what one may see": {viewer(h.bob, own), activity.Sight{customer.Category: all}, activity.Filter{Account: h.ada.ID}, "4 6"},
		"a filter widens nothing":             {viewer(h.eve, own), activity.Sight{customer.Category: own}, activity.Filter{Customer: h.acme.ID}, ""},
	} {
		if got := h.list(t, c.viewer, c.sight, c.filter); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	h.Record(h.betas, customer.Reassigned{From: h.bob.ID, To: h.eve.ID})
	h.Record(h.bob, account.MovedToTeam{Team: h.north})
	h.Settle()
	if got := h.list(t, viewer(h.eve, own, h.south), activity.Sight{account.Category: team, customer.Category: team, opportunity.Category: team}, activity.Filter{}); got != "5 7 17" {
		t.Errorf("scopes follow owners and teams: %s", got)
	}

	// Records of declared kinds have owners too.
	signed := stream(contract.Kind.Category)
	h.Record(signed, record.Created{Owner: h.bob.ID})
	h.Record(signed, record.Reassigned{From: h.bob.ID, To: h.eve.ID})
	h.Settle()
	sees := activity.SightOf(func(p organization.Permission) organization.Scope {
		if string(p) == contract.Kind.ViewPermission() {
			return own
		}
		return organization.None
	})
	for _, c := range []struct {
		of   eventlog.Stream
		want int
	}{{h.eve, 2}, {h.bob, 0}} {
		found, err := activity.Index(t.Context(), h.Pool, viewer(c.of, own), sees, activity.Filter{Types: []string{"contract.created", "contract.reassigned"}}, engine.PageRequest{})
		if err != nil || len(found.Rows) != c.want {
			t.Errorf("%d events of contracts, want %d: %v", len(found.Rows), c.want, err)
		}
	}
}

func TestPersonalFieldsStaySealedAndAreOpenedWhenRead(t *testing.T) {
	h := newHistory(t)
	rows, err := h.Pool.Query(t.Context(), `select data::text || metadata::text from activity_v1.events`)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	for rows.Next() {
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"Ada Lovelace", "Acme Corporation", "192.0.2.7", "Firefox 1.0", "+1 555", "m****y"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is readable in %s", secret, text)
			}
		}
	}
	one := func(v engine.Viewer, p eventlog.Position) activity.Activity {
		t.Helper()
		page, err := activity.List(t.Context(), h.Pool, h.Codec, v, activity.Sight{}, activity.Filter{}, engine.PageRequest{First: 1, After: activity.Cursor(p - 1)})
		if err != nil || len(page.Rows) != 1 {
			t.Fatalf("%+v, %v", page, err)
		}
		return page.Rows[0]
	}
	got := one(auditor, 15)
	if got.Summary != `phone changed from "+1 555 0100" to "+1 555 0199"` || !bytes.Contains(got.Data, []byte(`"to":"+1 555 0199"`)) || got.Meta.IP != "192.0.2.7" || got.Meta.Device != "Firefox 1.0" ||
		got.Meta.Reason != "asked to" || got.Actor != h.bob.ID || got.Stream != h.acme.ID || got.Type != "customer.edited" || got.Version != 2 || got.Category != customer.Category {
		t.Errorf("%+v %s", got, got.Data)
	}
	if want := time.Date(2026, 1, 2, 15, 18, 0, 0, time.UTC); !got.OccurredAt.Equal(want) || got.RecordedAt.IsZero() {
		t.Errorf("occurred %s, recorded %s", got.OccurredAt, got.RecordedAt)
	}
	if got := one(auditor, 14); got.Meta.IP != "192.0.2.7" || got.Actor != h.bob.ID {
		t.Errorf("of a stream outside of any organization: %+v", got)
	}
	if got := one(auditor, 13); got.Summary != `sign-in failed: unknown name "m****y"` {
		t.Error(got.Summary)
	}
	masked := auditor
	masked.Personal = false
	if got := one(masked, 15); string(got.Data) != `{"phone":"hidden"}` || got.Meta.IP != "hidden" || got.Meta.Reason != "asked to" || got.Actor != h.bob.ID {
		t.Errorf("%+v %s", got, got.Data)
	}
	if err := h.Vault.Erase(t.Context(), vault.Subject{Organization: org, ID: h.acme.ID}); err != nil {
		t.Fatal(err)
	}
	if got := one(auditor, 15); string(got.Data) != `{"phone":"erased"}` || got.Meta.IP != "192.0.2.7" || !got.Erased {
		t.Errorf("%+v %s", got, got.Data)
	}
	if _, err := h.Pool.Exec(t.Context(), `update activity_v1.events set data = (select data from activity_v1.events where position = 4) where position = 3`); err != nil {
		t.Fatal(err)
	}
	if _, err := activity.List(t.Context(), h.Pool, h.Codec, auditor, activity.Sight{}, activity.Filter{Account: h.ada.ID}, engine.PageRequest{}); !errors.Is(err, vault.ErrTampered) {
		t.Errorf("another event's fields were put into a row: %v", err)
	}
}

func TestAnEventOfANewerProgramIsListed(t *testing.T) {
	h := newHistory(t)
	if _, err := h.Log.Append(t.Context(), h.acme, 2, eventlog.NewEvent{ID: uuid.New(), Type: "customer.merged", Schema: 1, Data: []byte(`{"into":"x"}`), Meta: []byte(`{"actor":"` + h.ada.ID.String() + `"}`), OccurredAt: h.Now}); err != nil {
		t.Fatal(err)
	}
	h.Settle()
	if got := h.list(t, auditor, activity.Sight{}, activity.Filter{Customer: h.acme.ID}); got != "6 15 17" {
		t.Error(got)
	}
	if got := h.list(t, auditor, activity.Sight{}, activity.Filter{Account: h.ada.ID}); got != "3 4 5 6 12 17" {
		t.Error(got)
	}
}

func TestCursors(t *testing.T) {
	h := newHistory(t)
	list := func(r engine.PageRequest) (engine.Page[activity.Activity], error) {
		return activity.List(t.Context(), h.Pool, h.Codec, auditor, activity.Sight{}, activity.Filter{}, r)
	}
	for _, bad := range []string{"x", "MQ", "7", activity.Cursor(7) + "A", activity.Cursor(7)[1:], "YWN0aXZpdHk6LTE", "YWN0aXZpdHk6OTk5OTk5OTk5OTk5OTk5OTk5OTk"} {
		if _, err := list(engine.PageRequest{First: 1, After: bad}); !errors.Is(err, engine.ErrCursor) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := list(engine.PageRequest{Last: 1, Before: bad}); !errors.Is(err, engine.ErrCursor) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	page, err := list(engine.PageRequest{First: 10, After: activity.Cursor(3), Before: activity.Cursor(6)})
	if err != nil || len(page.Rows) != 2 || page.Rows[0].Position != 4 || page.HasNext || !page.HasPrevious {
		t.Errorf("%+v, %v", page, err)
	}
	if page, err := list(engine.PageRequest{First: 1, After: activity.Cursor(100)}); err != nil || len(page.Rows) != 0 || page.HasNext {
		t.Errorf("%+v, %v", page, err)
	}
}

// However long the log is, a page reads the rows it shows, along an index.
func TestAPageIsReadAlongAnIndex(t *testing.T) {
	w := querytest.New(t, activity.Model)
	me := uuid.New()
	if _, err := w.Pool.Exec(t.Context(), `insert into activity_v1.events
		select $1, i, gen_random_uuid(), case when i % 2000 = 0 then 'account.locked' else 'customer.archived' end, 1, 'customer',
			case when i % 1000 = 1 then $2 else gen_random_uuid() end, false, 1, case when i % 1000 = 2 then $2 else gen_random_uuid() end, now(), now(), '{}', '{}'
		from generate_series(1, 20000) i`, org, me); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Pool.Exec(t.Context(), `analyze activity_v1.events`); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]activity.Filter{
		"all": {}, "of an account": {Account: me}, "of a customer": {Customer: me}, "of types": {Types: []string{"account.locked", "account.unlocked"}},
	} {
		plans := w.Plans(func(db engine.DB) {
			for _, request := range []engine.PageRequest{{First: 5}, {Last: 5}, {First: 5, After: activity.Cursor(9000)}} {
				if _, err := activity.List(t.Context(), db, w.Codec, auditor, activity.Sight{}, f, request); err != nil {
					t.Fatal(err)
				}
			}
		})
		for _, plan := range plans {
			if !strings.Contains(plan, "Index") || strings.Contains(plan, "Seq Scan") || removed(plan) {
				t.Errorf("%s:\n%s", name, plan)
			}
		}
	}
}

// removed reports whether a plan threw more than a few rows away.
func removed(plan string) bool {
	for line := range strings.Lines(plan) {
		var n int
		if _, err := fmt.Sscanf(strings.TrimSpace(line), "Rows Removed by Filter: %d", &n); err == nil && n > 10 {
			return true
		}
	}
	return false
}
