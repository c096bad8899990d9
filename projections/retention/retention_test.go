package retention_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	domainretention "github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/retention"
)

// Random lives: at any time, and for each basis, the list of who is due is what the domain says of each life by itself.
func TestWhoIsDueIsWhatTheDomainSays(t *testing.T) {
	w := querytest.New(t, retention.Model, accounts.Model)
	ctx, org := t.Context(), uuid.New()
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	stream := func(category string) eventlog.Stream {
		return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
	}
	start := time.Now().AddDate(-4, 0, 0).Truncate(time.Microsecond) // as the log keeps it
	lives := make(map[uuid.UUID]*domainretention.Count)
	record := func(s eventlog.Stream, event any, counts ...uuid.UUID) {
		w.Now = start.Add(time.Duration(random.IntN(3*365*24)) * time.Hour) // also what happened earlier is told later
		at := w.Now
		e := w.Record(s, event)
		all, err := w.Log.ReadAll(ctx, e.Position-1, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range counts {
			c := lives[id].Evolve(domainretention.Happened{Mark: domainretention.Mark{At: at, Position: int64(e.Position)}, Recorded: all[0].RecordedAt}, event)
			lives[id] = &c
		}
	}
	source := func() string { return []string{"", "crm"}[random.IntN(2)] }
	var clients []uuid.UUID
	for range 25 {
		s := stream(customer.Category)
		clients, lives[s.ID] = append(clients, s.ID), &domainretention.Count{}
		record(s, customer.Registered{Name: "Erika", Source: source()}, s.ID)
		deal := stream(opportunity.Category)
		with := clients[random.IntN(len(clients))]
		opened := random.IntN(2) == 0
		if opened {
			record(deal, opportunity.Opened{Reference: "R", Customer: with, Source: source()}, with)
		}
		for range random.IntN(6) {
			switch n := random.IntN(8); {
			case n < 5 && lives[s.ID].Erased: // nothing follows in its stream
			case n == 0:
				record(s, customer.Edited{Source: source()}, s.ID)
			case n == 1:
				record(s, customer.Reassigned{Source: source()}, s.ID)
			case n == 2:
				record(s, customer.Archived{}, s.ID)
			case n == 3:
				record(s, customer.Restored{}, s.ID)
			case n == 4 && random.IntN(4) == 0:
				record(s, customer.Erased{Reason: "x"}, s.ID)
			case n == 5 && opened:
				record(deal, opportunity.Reassigned{Source: source()}, with)
			case n == 6 && opened:
				record(deal, opportunity.Engaged{Source: source()}, with)
			case n == 7 && opened:
				other := clients[random.IntN(len(clients))]
				record(deal, opportunity.Edited{Customer: &domain.Change{From: domain.Ref(with), To: domain.Ref(other)}}, other)
				with = other
			}
		}
	}
	for range 10 {
		s := stream(account.Category)
		lives[s.ID] = &domainretention.Count{}
		record(s, account.Invited{LoginName: "ada", Roles: []string{"sales"}}, s.ID)
		for range random.IntN(3) {
			record(s, []any{account.Deactivated{}, account.Reactivated{}, account.Deactivated{}}[random.IntN(3)], s.ID)
		}
	}
	foreign := eventlog.Stream{Organization: uuid.New(), Category: customer.Category, ID: uuid.New()}
	w.Record(foreign, customer.Registered{Name: "Foreign"})
	asked := retention.Source{Log: w.Log, Engine: w.Engine, DB: w.Pool}
	found := 0
	for _, basis := range domainretention.Bases() {
		for _, days := range []int{1, 365, 700, 1200} {
			for _, at := range []time.Time{time.Now(), time.Now().Add(domainretention.Rest + time.Hour), time.Now().AddDate(1, 0, 0)} {
				rule := domainretention.State{Basis: basis, Days: days}
				q, err := asked.Ask(ctx, org, rule, at, []string{"administrator"})
				if err != nil {
					t.Fatal(err)
				}
				got := querytest.Walk(t, 7, func(r engine.PageRequest) (engine.Page[retention.Count], error) { return q.Due(ctx, r) }, func(c retention.Count) string {
					count := lives[c.ID]
					if from, _ := count.From(basis); !from.At.Equal(c.Since) || from.Position != int64(c.Position) {
						t.Errorf("%s counts from %v at %d, not %v at %s", basis, from.At, from.Position, c.Since, c.Position)
					}
					return fmt.Sprint(c.ID)
				})
				var want []string
				for id, count := range lives {
					if (basis.Of() == account.Category) == !slices.Contains(clients, id) && rule.Due(*count, at) {
						want = append(want, fmt.Sprint(id))
					}
				}
				slices.Sort(got)
				slices.Sort(want)
				if n, err := q.Count(ctx); err != nil || !slices.Equal(got, want) || n != len(want) {
					t.Errorf("%s, %d days, at %v: %v (%d, %v)\nwant %v", basis, days, at, got, n, err, want)
				}
				found += len(want)
			}
		}
	}
	if found == 0 {
		t.Error("nobody is ever due: this test tests nothing")
	}
}
