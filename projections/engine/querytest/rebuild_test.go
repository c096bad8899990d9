package querytest_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/contract"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/declared/declaredtest"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/domain/source"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/deadlines"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/opportunities"
	"github.com/annal-crm/annal/projections/records"
	"github.com/annal-crm/annal/projections/sales"
)

var models = append([]engine.ReadModel{
	accounts.Model, customers.Model, opportunities.Model, sales.Model, acts.Model, activity.Model, deadlines.Model,
}, records.Models()...)

// Whatever has happened, folding it as it came and folding it all again gives the same rows, in every read model.
func TestLiveAndRebuiltRowsAreEqual(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w, g := querytest.New(t, models...), newGenerator(seed)
	w.RecordAll(g.beginnings()...)
	for range 4 {
		for range 5 { // in pages of different sizes, as the engine comes by
			w.RecordAll(g.events(1 + g.r.IntN(30))...)
		}
		w.Settle()
		for _, m := range models {
			done, err := w.Engine.Rebuild(t.Context(), m.Name, engine.RebuildOptions{Verify: true})
			if err != nil || !done.Verified || done.Different != 0 {
				t.Fatalf("%s: verified %v, %d rows differ: %+v, %v", m.Name, done.Verified, done.Different, done.Differences, err)
			}
		}
	}
	w.Record(g.streams[1], account.LoggedIn{Session: uuid.New()})
	w.Settle()
	// The comparison sees what it looks at: each model has rows, and a changed one is found.
	tables := []string{"accounts_v2.accounts", "customers_v2.customers", "opportunities_v2.opportunities", "sales_v2.deals", "sales_v2.clients", "sales_v2.teams", "sales_v2.members", "acts_v1.acts", "activity_v1.events", "activity_v1.records", "deadlines_v2.sessions"}
	for _, m := range records.Models() {
		tables = append(tables, m.Schema.String()+"."+m.Name, m.Schema.String()+".members")
	}
	for _, table := range tables {
		var n int
		if err := w.Pool.QueryRow(t.Context(), "select count(*) from "+table).Scan(&n); err != nil || n == 0 {
			t.Errorf("%s has %d rows: %v", table, n, err)
		}
	}
	if _, err := w.Pool.Exec(t.Context(), `update customers_v2.customers set sector = 'sabotaged' where id = (select id from customers_v2.customers limit 1)`); err != nil {
		t.Fatal(err)
	}
	if done, err := w.Engine.Rebuild(t.Context(), "customers", engine.RebuildOptions{Verify: true}); err != nil || done.Different != 1 {
		t.Errorf("a sabotaged row: %d differ, %v", done.Different, err)
	}
}

// generator makes histories of a few aggregates that have much to do with each other.
type generator struct {
	r       *rand.Rand
	org     uuid.UUID
	begun   map[eventlog.Stream]bool
	streams []eventlog.Stream
	ids     map[string][]uuid.UUID // of accounts, customers, teams, sessions
}

func newGenerator(seed uint64) *generator {
	g := &generator{r: rand.New(rand.NewPCG(seed, 1)), begun: make(map[eventlog.Stream]bool), ids: make(map[string][]uuid.UUID)}
	g.org = g.id()
	add := func(category string, n int) {
		for range n {
			s := eventlog.Stream{Organization: g.org, Category: category, ID: g.id()}
			switch category {
			case organization.Category:
				s.ID = g.org
			case reservation.Category:
				s.Organization = uuid.Nil
			}
			g.streams, g.ids[category] = append(g.streams, s), append(g.ids[category], s.ID)
		}
	}
	add(organization.Category, 1)
	add(account.Category, 4)
	add(customer.Category, 4)
	add(opportunity.Category, 5)
	add(reservation.Category, 1)
	add(source.Category, 1)
	for _, k := range declared.Kinds {
		add(k.Category, 3)
	}
	for _, kind := range []string{"team", "session"} {
		for range 4 {
			g.ids[kind] = append(g.ids[kind], g.id())
		}
	}
	return g
}

func (g *generator) id() (id uuid.UUID) {
	for i := range id {
		id[i] = byte(g.r.IntN(256))
	}
	return id
}

// of returns one of the ids of a kind, now and then none.
func (g *generator) of(kind string) uuid.UUID {
	if g.r.IntN(5) == 0 {
		return uuid.Nil
	}
	return one(g.r, g.ids[kind])
}

func one[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func (g *generator) text() string { return one(g.r, []string{"", "a", "Acme 名", `"quoted" <b>`}) }
func (g *generator) change() *domain.Change {
	if g.r.IntN(2) == 0 {
		return nil
	}
	return &domain.Change{From: g.text(), To: g.text()}
}
func (g *generator) time() time.Time {
	return time.Date(2026, 1, 1, 0, 0, g.r.IntN(1e7), g.r.IntN(1e6)*1000, time.UTC)
}
func (g *generator) value() domain.Decimal { return domain.Decimal(fmt.Sprint(g.r.IntN(1e6), ".5")) }

// beginnings are the first events of all streams, and a team.
func (g *generator) beginnings() (events []querytest.Event) {
	for _, s := range g.streams {
		events = append(events, querytest.Event{Stream: s, Payload: g.event(s)})
		g.begun[s] = true
	}
	return append(events, querytest.Event{Stream: g.streams[0], Payload: organization.TeamCreated{Team: g.ids["team"][0], Name: "Home"}})
}

func (g *generator) events(n int) (events []querytest.Event) {
	for range n {
		s := one(g.r, g.streams)
		meta := domain.Metadata{Actor: g.of(account.Category), IP: g.text(), Device: g.text(), Reason: g.text()}
		events = append(events, querytest.Event{Stream: s, Payload: g.event(s), Meta: meta})
	}
	return events
}

func (g *generator) event(s eventlog.Stream) any {
	first := !g.begun[s]
	switch s.Category {
	case account.Category:
		if first {
			return account.Invited{LoginName: "n" + s.ID.String(), DisplayName: g.text(), Email: g.text(), Team: g.of("team"), Roles: []string{"sales"}}
		}
		return one(g.r, []any{
			account.ActivationIssued{ExpiresAt: g.time()}, account.Activated{Credential: g.id()}, account.LoggedIn{Session: one(g.r, g.ids["session"]), At: g.time()},
			account.LoginFailed{At: g.time()}, account.LoginRefused{}, account.Locked{Until: g.time()}, account.Unlocked{},
			account.LoggedOut{Session: one(g.r, g.ids["session"])}, account.PasswordChanged{}, account.RoleGranted{Role: g.text()}, account.RoleRevoked{Role: "sales"},
			account.MovedToTeam{Team: g.of("team")}, account.Deactivated{}, account.Reactivated{},
		})
	case customer.Category:
		if first {
			return customer.Registered{Name: g.text(), Sector: g.text(), Phone: g.text(), Owner: g.of(account.Category), Attributes: map[string]string{"k": g.text()}}
		}
		return one(g.r, []any{
			customer.Edited{Name: g.change(), Sector: g.change(), Email: g.change(), Attributes: map[string]domain.Change{"k": {To: g.text()}, "l": {To: g.text()}}},
			customer.Edited{Phone: g.change(), Website: g.change(), Imported: map[string]string{"name": g.text()}},
			customer.Reassigned{To: g.of(account.Category)}, customer.Archived{}, customer.Restored{},
		})
	case opportunity.Category:
		if first {
			return opportunity.Opened{Reference: g.text(), Product: g.text(), Customer: g.of(customer.Category), Owner: g.of(account.Category), At: g.time()}
		}
		return one(g.r, []any{
			opportunity.Engaged{At: g.time()}, opportunity.Won{Value: g.value(), At: g.time()}, opportunity.Lost{At: g.time()}, opportunity.Reopened{At: g.time()},
			opportunity.Reassigned{To: g.of(account.Category)},
			opportunity.Edited{Reference: g.change(), Product: g.change(), Customer: &domain.Change{To: domain.Ref(g.of(customer.Category))}, Value: &domain.Change{To: string(g.value())}},
		})
	case organization.Category:
		team := one(g.r, g.ids["team"])
		return one(g.r, []any{
			organization.TeamCreated{Team: team, Name: g.text()}, organization.TeamMoved{Team: team}, organization.TeamManagerSet{Team: team, Manager: g.of(account.Category)},
			organization.RoleDefined{Role: "sales", Permissions: map[organization.Permission]organization.Scope{organization.ViewCustomers: organization.All}},
		})
	case contract.Kind.Category, declaredtest.Kind.Category:
		return g.recordEvent(declared.Kind(s.Category), first)
	case reservation.Category:
		return one(g.r, []any{reservation.Claimed{Organization: g.org, Holder: g.of(account.Category), At: g.time()}, reservation.Released{}})
	}
	return source.LoginFailed{NameMasked: g.text(), At: g.time()}
}

// recordEvent is an event of a record of a declared kind.
func (g *generator) recordEvent(k *record.Kind, first bool) any {
	plain, personal := g.values(k)
	if first {
		return record.Created{Fields: plain, Personal: personal, Stage: k.Stages[0].Name, Owner: g.of(account.Category)}
	}
	changes := func(values map[string]string) map[string]domain.Change {
		all := make(map[string]domain.Change)
		for name, value := range values {
			all[name] = domain.Change{To: value}
		}
		return all
	}
	events := []any{
		record.Edited{Fields: changes(plain)}, record.Edited{Personal: changes(personal)}, record.Moved{To: one(g.r, k.Stages).Name},
		record.Reassigned{To: g.of(account.Category)}, record.Archived{}, record.Restored{},
	}
	if k.Personal() && g.r.IntN(10) == 0 {
		events = append(events, record.Erased{})
	}
	return one(g.r, events)
}

// values are those of some of a kind's fields.
func (g *generator) values(k *record.Kind) (plain, personal map[string]string) {
	plain, personal = make(map[string]string), make(map[string]string)
	for _, f := range k.Fields {
		value := g.text()
		switch f.Type {
		case record.Integer:
			value = fmt.Sprint(g.r.IntN(1000) - 500)
		case record.Decimal:
			value = string(g.value())
		case record.Money:
			value = string(g.value()) + one(g.r, []string{" EUR", " CHF"})
		case record.Day:
			value = g.time().Format(time.DateOnly)
		case record.Time:
			value = g.time().Format(time.RFC3339Nano)
		case record.Bool:
			value = fmt.Sprint(g.r.IntN(2) == 0)
		case record.Choice:
			value = one(g.r, f.Options)
		case record.Ref:
			value = domain.Ref(g.of(customer.Category))
		}
		part := plain
		if f.Personal {
			part = personal
		}
		switch g.r.IntN(3) {
		case 0:
			part[f.Name] = value
		case 1:
			part[f.Name] = ""
		}
	}
	return plain, personal
}
