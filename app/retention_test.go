package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/automations"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/opportunity"
	domainretention "github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/erasures"
	"github.com/annal-crm/annal/projections/retention"
)

// archive imports customers that nobody has touched since a time.
func (o *office) archive(n int, since time.Time) (ids []uuid.UUID) {
	o.Helper()
	program := must(o.Commands.System(o.Context(), commands.Home))
	for i := range n {
		id := uuid.New()
		must(o.Commands.ImportCustomer(o.Context(), program, commands.Command{ID: uuid.New(), OccurredAt: since.Add(time.Duration(i) * time.Second)}, id,
			customer.Registered{Name: fmt.Sprintf("Old customer %d", i), Phone: "+49 170", Source: "crm"}))
		ids = append(ids, id)
	}
	return ids
}

// rule makes a rule by two persons, the second of whom has seen how many are due.
func (o *office) rule(basis domainretention.Basis, days, perDay int) uuid.UUID {
	o.Helper()
	o.second()
	ctx := o.Context()
	made := must(o.Commands.ProposeRetention(ctx, o.ada, commands.ProposeRetention{Command: commands.Command{Reason: "GDPR article 5"}, Basis: basis, Days: days, PerDay: perDay}))
	due := len(o.due(domainretention.State{Basis: basis, Days: days}, o.Commands.Now()))
	must(o.Commands.ApproveRetention(ctx, o.grace, commands.ApproveRetention{RuleID: made.ID, Shown: due, Due: func(context.Context, domainretention.State) (int, error) { return due, nil }}))
	o.settle()
	return made.ID
}

// due is the dry run.
func (o *office) due(rule domainretention.State, at time.Time) (ids []uuid.UUID) {
	o.Helper()
	q := must(o.RetentionSource().Ask(o.Context(), commands.Home, rule, at, o.ada.ManagingRoles()))
	for request := (engine.PageRequest{First: 200}); ; {
		page := must(q.Due(o.Context(), request))
		for _, row := range page.Rows {
			ids = append(ids, row.ID)
		}
		if !page.HasNext {
			return ids
		}
		request.After = page.Cursors[len(page.Cursors)-1]
	}
}

func (o *office) ruling() *automations.Retention {
	return o.Retention(slog.New(slog.NewTextHandler(o.logs, nil)))
}

// look lets the rules be applied once.
func (o *office) look() {
	o.Helper()
	if err := o.ruling().RunOnce(o.Context()); err != nil {
		o.Fatal(err)
	}
	o.settle()
}

func (o *office) asked(rule uuid.UUID) []erasures.Request {
	o.Helper()
	o.settle()
	return must(erasures.List(o.Context(), o.Pool, commands.Home, erasures.Filter{Rule: rule}, engine.PageRequest{First: 200})).Rows
}

// certificate is what a customer's stream says of its erasure.
func (o *office) certificate(id uuid.UUID) (found domain.Erased) {
	o.Helper()
	for e, err := range o.Log.ReadStream(o.Context(), eventlog.Stream{Organization: commands.Home, Category: customer.Category, ID: id}, 0) {
		if erased, ok := must(eventcodec.Decode(o.Context(), o.Codec, customer.EventTypes, e)).(customer.Erased); ok && err == nil {
			found = domain.Erased(erased)
		}
	}
	return found
}

func (o *office) edit(id uuid.UUID) {
	o.Helper()
	phone := "+1 " + uuid.NewString()[:8]
	must(o.Commands.EditCustomer(o.Context(), o.ada, commands.EditCustomer{On: commands.On{ID: id}, Fields: customer.Fields{Phone: &phone}}))
}

func TestARuleErasesWhomItsDryRunHasShown(t *testing.T) {
	t.Parallel()
	o := open(t, pgtest.URL(t), vault.NewMasterKey(), t.TempDir())
	ctx, policy := t.Context(), domainretention.State{Basis: domainretention.CustomerTouched, Days: 365}
	ids := o.archive(6, time.Now().AddDate(-3, 0, 0))
	touched, sold, bought := ids[3], ids[4], ids[5]
	o.edit(touched)
	must(o.Commands.OpenOpportunity(ctx, o.ada, commands.OpenOpportunity{Reference: "R1", CustomerID: sold}))
	program := must(o.Commands.System(ctx, commands.Home))
	must(o.Commands.ImportOpportunity(ctx, program, commands.Command{ID: uuid.New()}, uuid.New(), opportunity.Row{ // history, and older than the rule
		Reference: "R2", Owner: o.ada.Account, Customer: bought, Stage: opportunity.StageLost, EngagedAt: time.Now().AddDate(-2, 0, 0), ClosedAt: time.Now().AddDate(-2, 0, 1), Source: "crm"}))
	o.settle()

	if due := o.due(policy, o.Commands.Now()); len(due) > 0 {
		t.Errorf("what was imported a moment ago is due: %v", due)
	}
	want := append(slices.Clone(ids[:3]), bought)
	if due := o.due(policy, o.Commands.Now().Add(domainretention.Rest+time.Minute)); !slices.Equal(due, want) {
		t.Errorf("the dry run for tomorrow: %v, want %v", due, want)
	}
	o.ahead.Store(int64(domainretention.Rest + time.Minute))
	shown := o.due(policy, o.Commands.Now())
	if !slices.Equal(shown, want) {
		t.Fatalf("the dry run: %v, want %v", shown, want)
	}
	id := o.rule(policy.Basis, policy.Days, 0)
	if len(o.asked(id)) > 0 {
		t.Error("asked for before a look")
	}
	o.look()
	o.carryOut(o.automation())

	requests := o.asked(id)
	var gone []uuid.UUID
	for _, r := range requests {
		if gone = append(gone, r.Subject); r.Status != erasure.StatusDone || r.AskedBy != o.ada.Account || r.DecidedBy != o.grace.Account || r.Reason != "GDPR article 5" {
			t.Errorf("%+v", r)
		}
		c := o.certificate(r.Subject)
		if c.Rule != id || c.Request != r.ID || c.RequestedBy != o.ada.Account || c.ApprovedBy != o.grace.Account || c.Key == (domain.Hash{}) {
			t.Errorf("the certificate: %+v", c)
		}
	}
	byID := func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }
	slices.SortFunc(gone, byID)
	slices.SortFunc(shown, byID)
	if !slices.Equal(gone, shown) {
		t.Errorf("erased %v, shown were %v", gone, shown)
	}
	everybody := engine.Viewer{Organization: commands.Home, Scope: "all", Personal: true}
	for id, row := range must(customers.Get(ctx, o.Pool, everybody, ids)) {
		if (row.Name == "erased") != slices.Contains(shown, id) {
			t.Errorf("%s is %q", id, row.Name)
		}
	}
	if list := must(automations.ReadErasures(o.ErasureList)); len(list) != len(shown) || list[0].Rule != id {
		t.Errorf("the list: %+v", list)
	}
	head := must(o.Log.Head(ctx))
	o.look()
	if due := o.due(policy, o.Commands.Now()); len(due) > 0 || must(o.Log.Head(ctx)) != head {
		t.Errorf("once more: %v", due)
	}
	for _, name := range []string{"retention", "erasures"} {
		if done, err := o.Engine.Rebuild(ctx, name, engine.RebuildOptions{Verify: true}); err != nil || done.Different > 0 {
			t.Errorf("%s folded anew: %+v, %v", name, done, err)
		}
	}
}

// What a read model has said may be over by the time of the request.
func TestWhoWasTouchedMeanwhileIsNotErased(t *testing.T) {
	t.Parallel()
	o := open(t, pgtest.URL(t), vault.NewMasterKey(), t.TempDir())
	ctx := t.Context()
	ids := o.archive(4, time.Now().AddDate(-3, 0, 0))
	o.ahead.Store(int64(2 * domainretention.Rest))
	program := must(o.Commands.System(ctx, commands.Home))
	deal := uuid.New()
	must(o.Commands.ImportOpportunity(ctx, program, commands.Command{ID: uuid.New()}, deal, opportunity.Row{
		Reference: "R2", Owner: o.ada.Account, Customer: ids[1], Stage: opportunity.Engaging, EngagedAt: time.Now().AddDate(-2, 0, 0), Source: "crm"}))
	id := o.rule(domainretention.CustomerTouched, 365, 0)
	late := []commands.RetentionCandidate{{Subject: ids[0]}, {Subject: ids[1], Opportunities: []uuid.UUID{deal}}, {Subject: ids[2]}, {Subject: ids[3]}, {Subject: uuid.New()}}
	o.edit(ids[0])
	must(o.Commands.WinOpportunity(ctx, o.ada, commands.WinOpportunity{On: commands.On{ID: deal}, Value: "10"}))
	must(o.Commands.ArchiveRecord(ctx, o.ada, commands.On{ID: ids[2]})) // no touch
	if made, err := o.Commands.ApplyRetention(ctx, program, id, late); err != nil || made != 2 {
		t.Errorf("%d, %v", made, err)
	}
	if asked := o.asked(id); len(asked) != 2 || asked[0].Subject != ids[3] || asked[1].Subject != ids[2] {
		t.Errorf("%+v", asked)
	}
	if _, err := o.Commands.ApplyRetention(ctx, o.ada, id, late); !errors.Is(err, commands.ErrForbidden) {
		t.Error("a person applies a rule:", err)
	}
}

// What nobody can read may be a touch.
func TestWhoCannotBeJudgedStays(t *testing.T) {
	t.Parallel()
	o := open(t, pgtest.URL(t), vault.NewMasterKey(), t.TempDir())
	ctx := t.Context()
	ids := o.archive(3, time.Now().AddDate(-3, 0, 0))
	o.ahead.Store(int64(2 * domainretention.Rest))
	id := o.rule(domainretention.CustomerTouched, 365, 0)
	put := func(category string, stream uuid.UUID, version eventlog.Version, eventType string) {
		must(o.Log.Append(ctx, eventlog.Stream{Organization: commands.Home, Category: category, ID: stream}, version, eventlog.NewEvent{
			ID: uuid.New(), Type: eventType, Schema: 1, Data: json.RawMessage(`{"reference":5,"sector":5}`), Meta: json.RawMessage(`{}`), OccurredAt: time.Now()}))
		o.settle()
	}
	put(customer.Category, ids[0], 1, "customer.edited")
	if err := o.ruling().RunOnce(ctx); err == nil || len(o.asked(id)) != 2 {
		t.Errorf("%d, %v", len(o.asked(id)), err)
	}
	o.archive(1, time.Now().AddDate(-3, 0, 0))
	put(opportunity.Category, uuid.New(), 0, "opportunity.opened")
	if err := o.ruling().RunOnce(ctx); !errors.Is(err, retention.ErrParked) || len(o.asked(id)) != 2 {
		t.Errorf("%d, %v", len(o.asked(id)), err)
	}
}

func TestARuleErasesNoMoreThanItsLimitADay(t *testing.T) {
	t.Parallel()
	o := open(t, pgtest.URL(t), vault.NewMasterKey(), t.TempDir())
	o.archive(7, time.Now().AddDate(-3, 0, 0))
	o.ahead.Store(int64(2 * domainretention.Rest))
	id := o.rule(domainretention.CustomerTouched, 365, 2)
	for range 3 {
		o.look()
	}
	if asked := o.asked(id); len(asked) != 2 {
		t.Errorf("%d on the first day", len(asked))
	}
	o.ahead.Add(int64(domainretention.Window - time.Minute))
	if o.look(); len(o.asked(id)) != 2 {
		t.Errorf("%d before a day is over", len(o.asked(id)))
	}
	o.ahead.Add(int64(2 * time.Minute))
	if o.look(); len(o.asked(id)) != 4 {
		t.Errorf("%d on the second day", len(o.asked(id)))
	}
	must(o.Commands.EndRetention(t.Context(), o.ada, commands.EndRetention{Command: commands.Command{Reason: "enough"}, RuleID: id}))
	o.settle()
	o.ahead.Add(int64(domainretention.Window + time.Minute))
	if o.look(); len(o.asked(id)) != 4 {
		t.Errorf("%d after its end", len(o.asked(id)))
	}
}

// Two processes apply rules and carry out erasures at the same time, on each of the logs. A hundred are a matter of seconds.
func TestTwoProcessesApplyARuleAtOnce(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct {
		store func(*testing.T) string
		n     int
	}{
		"postgres": {func(*testing.T) string { return "" }, 120},
		"eventstoredb": {func(t *testing.T) string {
			store := must(esdbtest.New(esdbtest.Config{}))
			t.Cleanup(store.Close)
			return store.URL()
		}, 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, store, key, dir := pgtest.URL(t), of.store(t), vault.NewMasterKey(), t.TempDir()
			one := openOn(t, address, store, key, dir)
			two := openOn(t, address, store, key, t.TempDir())
			one.archive(of.n, time.Now().AddDate(-3, 0, 0))
			ahead := int64(2 * domainretention.Rest)
			one.ahead.Store(ahead)
			two.ahead.Store(ahead)
			limit := of.n * 5 / 6
			id := one.rule(domainretention.CustomerTouched, 365, limit)
			two.settle()
			began := time.Now()
			var both sync.WaitGroup
			for _, o := range []*office{one, two} {
				both.Go(func() {
					rules, erases := o.ruling(), o.automation()
					for range 3 {
						if err := rules.RunOnce(o.Context()); err != nil {
							o.Error(err)
						}
						o.settle()
						if err := erases.RunOnce(o.Context()); err != nil {
							o.Error(err)
						}
					}
				})
			}
			both.Wait()
			two.carryOut(two.automation())
			took := time.Since(began)
			t.Logf("%d erasures by two processes: %v", limit, took)
			if took > time.Minute {
				t.Errorf("%d erasures took %v", limit, took)
			}
			asked := one.asked(id)
			subjects := make(map[uuid.UUID]bool)
			for _, r := range asked {
				if subjects[r.Subject] = true; r.Status != erasure.StatusDone {
					t.Errorf("%+v", r)
				}
			}
			if len(asked) != limit || len(subjects) != limit {
				t.Errorf("%d requests about %d, of %d", len(asked), len(subjects), limit)
			}
			// Each fact is in the log once.
			types := make(map[string]int)
			for after := eventlog.Position(0); ; {
				page := must(one.Log.ReadAll(t.Context(), after, 1000))
				if len(page) == 0 {
					break
				}
				for _, e := range page {
					types[e.Type]++
					after = e.Position
				}
			}
			for _, name := range []string{"erasure.requested", "erasure.approved", "erasure.done", domain.ErasedType} {
				if types[name] != limit {
					t.Errorf("%d %s", types[name], name)
				}
			}
			due := one.due(domainretention.State{Basis: domainretention.CustomerTouched, Days: 365}, one.Commands.Now())
			if len(due) != of.n-limit {
				t.Errorf("%d wait", len(due))
			}
		})
	}
}

func TestNoRuleErasesTheLastAdministrator(t *testing.T) {
	t.Parallel()
	o := open(t, pgtest.URL(t), vault.NewMasterKey(), t.TempDir())
	ctx := t.Context()
	gone := o.member("gone", "Gone", "", "sales")
	o.second()
	boss := o.member("boss", "Boss", "", "administrator")
	program := must(o.Commands.System(ctx, commands.Home))
	for _, id := range []uuid.UUID{gone, boss} {
		must(o.Commands.Deactivate(ctx, program, commands.OnAccount{AccountID: id}))
	}
	o.ahead.Store(int64(40 * 24 * time.Hour))
	id := o.rule(domainretention.AccountDeactivated, 30, 0)
	// From here on nobody can sign in and manage the organization.
	for _, p := range []*commands.Principal{o.ada, o.grace} {
		must(o.Commands.Deactivate(ctx, program, commands.OnAccount{AccountID: p.Account}))
	}
	o.settle()
	rule, _, err := retention.Get(ctx, o.Pool, commands.Home, id)
	if err != nil {
		t.Fatal(err)
	}
	why := func(at time.Time) map[uuid.UUID]domainretention.Kept {
		kept := make(map[uuid.UUID]domainretention.Kept)
		for _, k := range must(o.RetentionSource().Ask(ctx, commands.Home, rule.State(), at, o.ada.ManagingRoles())).Kept {
			kept[k.ID] = k.Why
		}
		return kept
	}
	now := o.Commands.Now()
	if due, kept := o.due(rule.State(), now), why(now); !slices.Equal(due, []uuid.UUID{gone}) || len(kept) != 1 || kept[boss] != domainretention.KeptLastAdministrator {
		t.Errorf("due %v, kept %v", due, kept)
	}
	later := now.AddDate(0, 0, 60)
	if kept := why(later); len(kept) != 3 || kept[o.ada.Account] != domainretention.KeptLastAdministrator || kept[o.grace.Account] != domainretention.KeptApprover {
		t.Errorf("kept later: %v", kept)
	}
	// The streams say so, too, whatever a read model has told.
	o.ahead.Add(int64(60 * 24 * time.Hour))
	var all []commands.RetentionCandidate
	for _, id := range []uuid.UUID{gone, boss, o.ada.Account, o.grace.Account} {
		all = append(all, commands.RetentionCandidate{Subject: id, Managers: []uuid.UUID{o.ada.Account, o.grace.Account, boss}})
	}
	if made, err := o.Commands.ApplyRetention(ctx, program, id, all); err != nil || made != 1 {
		t.Errorf("%d, %v", made, err)
	}
	o.carryOut(o.automation())
	if asked := o.asked(id); len(asked) != 1 || asked[0].Subject != gone || asked[0].Category != account.Category {
		t.Errorf("%+v", asked)
	}
	// When another one can, the ones before may go: but for who has approved the rule.
	must(o.Commands.Reactivate(ctx, program, commands.OnAccount{AccountID: o.ada.Account}))
	o.look()
	o.carryOut(o.automation())
	if asked := o.asked(id); len(asked) != 2 || asked[0].Subject != boss {
		t.Errorf("%+v", asked)
	}
}
