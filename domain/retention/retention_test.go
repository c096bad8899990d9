package retention

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/domaintest"
	"github.com/annal-crm/annal/domain/opportunity"
)

type (
	story  = domaintest.Story[State, Event]
	events = []Event
)

var (
	ada, grace     = uuid.New(), uuid.New() // accounts
	a, b, c, d     = uuid.New(), uuid.New(), uuid.New(), uuid.New()
	now            = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	proposed       = Proposed{CustomerTouched, 365, 2, ada, "our policy, §3"}
	approved       = Approved{grace, 3}
	ended          = Ended{ada, "the law has changed"}
	running        = events{proposed, approved}
	applied        = Applied{now, []uuid.UUID{a}}
	appliedEarlier = Applied{now.Add(-Window), []uuid.UUID{d}}
)

func TestARuleTakesTwoPersons(t *testing.T) {
	propose := func(change func(*Proposed)) func(State) ([]Event, error) {
		wish := proposed
		change(&wish)
		return func(s State) ([]Event, error) { return Propose(s, wish) }
	}
	approve := func(by uuid.UUID, shown, due int) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Approve(s, by, shown, due) }
	}
	end := func(by uuid.UUID, reason string) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return End(s, by, reason) }
	}
	apply := func(at time.Time, due ...uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Apply(s, due, at), nil }
	}
	asked := func() Proposed { p := proposed; p.PerDay = DefaultPerDay; return p }()
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "proposed", When: propose(func(p *Proposed) { p.Reason = " our policy, §3 " }), Then: events{proposed}},
		story{Name: "proposed without a limit", When: propose(func(p *Proposed) { p.PerDay = 0 }), Then: events{asked}},
		story{Name: "proposed twice", Given: events{proposed}, When: propose(func(*Proposed) {}), Err: ErrExists},
		story{Name: "of an unknown kind, no time, no limit, no reason", When: propose(func(p *Proposed) { *p = Proposed{Basis: "customer_born", PerDay: -1, By: ada} }), Err: domain.Invalid{
			"basis": "must be one of customer_touched, customer_archived, account_deactivated", "days": "must be 1 to 36500",
			"perDay": "must be 1 to 1000", "reason": "must not be blank",
		}},
		story{Name: "in a thousand years, without a brake", When: propose(func(p *Proposed) { p.Days, p.PerDay = MaxDays+1, MaxPerDay+1 }), Err: domain.Invalid{
			"days": "must be 1 to 36500", "perDay": "must be 1 to 1000",
		}},
		story{Name: "approved by another", Given: events{proposed}, When: approve(grace, 3, 3), Then: events{approved}},
		story{Name: "approved by who proposed it", Given: events{proposed}, When: approve(ada, 3, 3), Err: ErrSamePerson},
		story{Name: "approved by nobody", Given: events{proposed}, When: approve(uuid.Nil, 3, 3), Err: ErrSamePerson},
		story{Name: "approved when others are due than were shown", Given: events{proposed}, When: approve(grace, 3, 4), Err: ErrChanged},
		story{Name: "approved twice", Given: running, When: approve(grace, 3, 3), Err: ErrApproved},
		story{Name: "approved after it has ended", Given: events{proposed, ended}, When: approve(grace, 3, 3), Err: ErrEnded},
		story{Name: "approved without a proposal", When: approve(grace, 0, 0), Err: ErrNotFound},
		story{Name: "withdrawn", Given: events{proposed}, When: end(ada, " the law has changed"), Then: events{ended}},
		story{Name: "ended", Given: running, When: end(ada, ended.Reason), Then: events{ended}},
		story{Name: "ended twice", Given: events{proposed, ended}, When: end(grace, "x"), Err: ErrEnded},
		story{Name: "ended without a reason", Given: running, When: end(ada, " "), Err: domain.Invalid{"reason": "must not be blank"}},
		story{Name: "ended without a proposal", When: end(ada, "x"), Err: ErrNotFound},

		story{Name: "applied up to its limit", Given: running, When: apply(now, a, b, c), Then: events{Applied{now, []uuid.UUID{a, b}}}},
		story{Name: "applied to what is left of the limit, and to nobody twice", Given: append(running[:2:2], applied), When: apply(now.Add(Window-1), a, b, c), Then: events{Applied{now.Add(Window - 1), []uuid.UUID{b}}}},
		story{Name: "the limit is used up", Given: append(running[:2:2], applied, Applied{now, []uuid.UUID{b}}), When: apply(now.Add(Window-1), c)},
		story{Name: "and there again a day later", Given: append(running[:2:2], applied, Applied{now, []uuid.UUID{b}}), When: apply(now.Add(Window), c), Then: events{Applied{now.Add(Window), []uuid.UUID{c}}}},
		story{Name: "applied to nobody", Given: running, When: apply(now)},
		story{Name: "applied before it is approved", Given: events{proposed}, When: apply(now, a)},
		story{Name: "applied after it has ended", Given: append(running[:2:2], ended), When: apply(now, a)},
	)
	s := domaintest.Fold(t, EventTypes, Evolve, append(running[:2:2], appliedEarlier, applied)...)
	if s.Left(now) != 1 || !s.May(a, now) || s.May(d, now) || s.May(b, now) || s.May(a, now.Add(Window)) || len(s.Applied) != 1 {
		t.Errorf("%+v", s)
	}
	if over := domaintest.Fold(t, EventTypes, Evolve, append(running[:2:2], applied, ended)...); over.May(a, now) {
		t.Error("a rule that has ended goes on")
	}
	if _, err := Check(Proposed{Basis: AccountDeactivated, Days: MaxDays}); err != nil {
		t.Error(err)
	}
}

// Each history is told a day apart, beginning a year ago, and recorded as it happened. What is due 365 days after an event, to the second, says
// which event counts.
func TestWhatDaysAreCountedFrom(t *testing.T) {
	type history []any
	start := now.AddDate(0, 0, -400)
	imported := customer.Registered{Name: "Acme", Source: "crm"}
	for name, test := range map[string]struct {
		basis   Basis
		history history
		from    int // the event that counts, from 1; 0: none
	}{
		"registered":                      {CustomerTouched, history{customer.Registered{Name: "Acme"}}, 1},
		"edited":                          {CustomerTouched, history{customer.Registered{}, customer.Edited{}}, 2},
		"given to another":                {CustomerTouched, history{customer.Registered{}, customer.Reassigned{}}, 2},
		"archived, which is no business":  {CustomerTouched, history{customer.Registered{}, customer.Archived{}}, 1},
		"restored":                        {CustomerTouched, history{customer.Registered{}, customer.Archived{}, customer.Restored{}}, 3},
		"imported, and never touched":     {CustomerTouched, history{imported, customer.Edited{Source: "crm"}, customer.Reassigned{Source: "crm"}}, 1},
		"imported, and touched":           {CustomerTouched, history{imported, customer.Edited{}}, 2},
		"an opportunity with it":          {CustomerTouched, history{customer.Registered{}, opportunity.Opened{}, opportunity.Engaged{}}, 3},
		"an opportunity that is imported": {CustomerTouched, history{imported, opportunity.Opened{Source: "crm"}, opportunity.Won{Source: "crm"}}, 3},
		"imported again":                  {CustomerTouched, history{imported, opportunity.Won{Source: "crm"}, opportunity.Edited{Source: "crm"}, opportunity.Reassigned{Source: "crm"}}, 2},
		"an opportunity before it":        {CustomerTouched, history{opportunity.Opened{Source: "crm"}, imported}, 1},
		"only an opportunity":             {CustomerTouched, history{opportunity.Opened{}}, 1},
		"erased":                          {CustomerTouched, history{customer.Registered{}, customer.Erased{}}, 0},
		"not archived":                    {CustomerArchived, history{customer.Registered{}}, 0},
		"put away":                        {CustomerArchived, history{customer.Registered{}, customer.Archived{}, opportunity.Won{}}, 2},
		"back again":                      {CustomerArchived, history{customer.Registered{}, customer.Archived{}, customer.Restored{}}, 0},
		"put away again":                  {CustomerArchived, history{customer.Registered{}, customer.Archived{}, customer.Restored{}, customer.Archived{}}, 4},
		"an active account":               {AccountDeactivated, history{account.Invited{}, account.LoggedIn{}}, 0},
		"a deactivated one":               {AccountDeactivated, history{account.Invited{}, account.Deactivated{}, account.LoginRefused{}}, 2},
		"reactivated":                     {AccountDeactivated, history{account.Invited{}, account.Deactivated{}, account.Reactivated{}}, 0},
		"erased before":                   {AccountDeactivated, history{account.Invited{}, account.Deactivated{}, account.Erased{}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var count Count
			for i, e := range test.history {
				at := start.AddDate(0, 0, i)
				count = count.Evolve(Happened{Mark{At: at, Position: int64(i + 1)}, at}, e)
			}
			from, counts := count.From(test.basis)
			if int(from.Position) != test.from || counts != (test.from > 0) {
				t.Fatalf("counted from %+v, %v; want event %d", from, counts, test.from)
			}
			rule := State{Basis: test.basis, Days: 365}
			end := start.AddDate(0, 0, test.from-1+365)
			if rule.Due(count, end.Add(-time.Second)) || rule.Due(count, end) != counts {
				t.Errorf("not due at %v", end)
			}
		})
	}
}

func TestWhatWasJustRecordedRests(t *testing.T) {
	old := now.AddDate(-3, 0, 0)
	count := Count{}.Evolve(Happened{Mark{At: old, Position: 1}, now}, customer.Registered{Name: "Acme", Source: "crm"})
	rule := State{Basis: CustomerTouched, Days: 365}
	if rule.Due(count, now.Add(Rest-1)) || !rule.Due(count, now.Add(Rest)) {
		t.Error("an old customer is erased as soon as it is imported, or never")
	}
	// Also an act that happened long ago, told a moment ago, is no older touch than the last.
	count = Count{}.Evolve(Happened{Mark{At: now, Position: 1}, now}, customer.Registered{}).Evolve(Happened{Mark{At: old, Position: 2}, now.Add(time.Hour)}, opportunity.Won{Source: "crm"})
	if from, _ := count.From(CustomerTouched); from.At != now || count.Recorded != now.Add(time.Hour) {
		t.Errorf("%+v", count)
	}
}

func TestWhomNoRuleErases(t *testing.T) {
	rule := State{Basis: AccountDeactivated, ApprovedBy: grace}
	managing := []string{"administrator"}
	for _, of := range []struct {
		id      uuid.UUID
		roles   []string
		managed bool
		want    Kept
	}{
		{ada, []string{"sales"}, false, ""},
		{ada, []string{"sales", "administrator"}, true, ""},
		{ada, []string{"sales", "administrator"}, false, KeptLastAdministrator},
		{grace, []string{"sales"}, true, KeptApprover},
	} {
		if why, kept := rule.Keeps(of.id, of.roles, managing, of.managed); why != of.want || kept != (of.want != "") {
			t.Errorf("%+v: %q", of, why)
		}
	}
	for _, basis := range Bases() {
		if of := basis.Of(); (of == account.Category) != (basis == AccountDeactivated) || !slices.Contains([]string{account.Category, customer.Category}, of) {
			t.Errorf("%s is of %s", basis, of)
		}
	}
}
