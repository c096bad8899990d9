package opportunity

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

type (
	story  = domaintest.Story[State, Event]
	events = []Event
)

var (
	now    = time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC)
	ada    = uuid.MustParse("0195d3c4-0000-7000-8000-000000000001") // accounts
	grace  = uuid.MustParse("0195d3c4-0000-7000-8000-000000000002")
	isdom  = uuid.MustParse("0195d3c4-0000-7000-8000-000000000003") // a customer
	opened = Opened{Reference: "Z063", Product: "GTX Pro", Customer: isdom, Owner: ada, At: day(1)}
)

func day(n int) time.Time { return time.Date(2017, 3, n, 0, 0, 0, 0, time.UTC) }

func change(from, to string) *domain.Change { return &domain.Change{From: from, To: to} }

func TestStages(t *testing.T) {
	at := func(decide func(State, time.Time) ([]Event, error), n int) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return decide(s, day(n)) }
	}
	win := func(value domain.Decimal, n int) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Win(s, value, day(n)) }
	}
	open := func(wish Opened) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Open(s, wish) }
	}
	engaged := events{opened, Engaged{At: day(2)}}
	won := append(engaged[:2:2], Won{Value: "4514", At: day(5)})
	lost := append(engaged[:2:2], Lost{At: day(5)})
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "opened", When: open(opened), Then: events{opened}},
		story{Name: "opened twice", Given: engaged, When: open(opened), Err: ErrExists},
		story{Name: "opened by nobody, unnamed", When: open(Opened{Reference: strings.Repeat("x", 65)}), Err: domain.Invalid{"reference": "is longer than 64 characters", "owner": "must not be blank"}},
		story{Name: "engaged", Given: events{opened}, When: at(Engage, 2), Then: events{Engaged{At: day(2)}}},
		story{Name: "engaged already", Given: engaged, When: at(Engage, 3)},
		story{Name: "engaged when closed", Given: won, When: at(Engage, 6), Err: ErrClosed},
		story{Name: "won, in its shortest form", Given: engaged, When: win("04514.00", 5), Then: events{Won{Value: "4514", At: day(5)}}},
		story{Name: "won alike", Given: won, When: win("4514", 5)},
		story{Name: "won otherwise", Given: won, When: win("4515", 5), Err: ErrClosed},
		story{Name: "won before engagement", Given: engaged, When: win("1", 1), Err: domain.Invalid{"at": "is before the opportunity was engaged"}},
		story{Name: "won for less than nothing", Given: engaged, When: win("-1", 5), Err: domain.Invalid{"value": "must not be negative"}},
		story{Name: "won for no number", Given: engaged, When: win("1e3", 5), Err: domain.Invalid{"value": `"1e3" is not a decimal number of at most 15 digits and 4 decimal places`}},
		story{Name: "won without talks", Given: events{opened}, When: win("1", 5), Err: ErrNotEngaged},
		story{Name: "won when lost", Given: lost, When: win("1", 5), Err: ErrClosed},
		story{Name: "lost", Given: engaged, When: at(Lose, 5), Then: events{Lost{At: day(5)}}},
		story{Name: "lost alike", Given: lost, When: at(Lose, 5)},
		story{Name: "lost otherwise", Given: lost, When: at(Lose, 6), Err: ErrClosed},
		story{Name: "lost without talks", Given: events{opened}, When: at(Lose, 5), Err: ErrNotEngaged},
		story{Name: "reopened", Given: won, When: at(Reopen, 6), Then: events{Reopened{At: day(6)}}},
		story{Name: "reopened when open", Given: engaged, When: at(Reopen, 6)},
		story{Name: "won after it was lost and reopened", Given: append(lost[:3:3], Reopened{At: day(6)}), When: win("1", 7), Then: events{Won{Value: "1", At: day(7)}}},
		story{Name: "unknown is engaged", When: at(Engage, 1), Err: ErrNotFound},
		story{Name: "unknown is won", When: win("1", 1), Err: ErrNotFound},
		story{Name: "unknown is lost", When: at(Lose, 1), Err: ErrNotFound},
		story{Name: "unknown is reopened", When: at(Reopen, 1), Err: ErrNotFound},
	)
}

func TestEdit(t *testing.T) {
	edit := func(wish Fields) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Edit(s, wish) }
	}
	reassign := func(to uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Reassign(s, to) }
	}
	reference, product, blank, value, nobody := "Z064", " GTX ", " ", domain.Decimal("10.50"), uuid.Nil
	won := events{opened, Engaged{At: day(2)}, Won{Value: "4514", At: day(5)}}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "fields", Given: events{opened}, When: edit(Fields{Reference: &reference, Product: &product}), Then: events{Edited{Reference: change("Z063", "Z064"), Product: change("GTX Pro", "GTX")}}},
		story{Name: "the customer taken out", Given: events{opened}, When: edit(Fields{Customer: &nobody}), Then: events{Edited{Customer: change(isdom.String(), "")}}},
		story{Name: "the value of a won one", Given: won, When: edit(Fields{Value: &value}), Then: events{Edited{Value: change("4514", "10.5")}}},
		story{Name: "the value of one not won", Given: won[:2], When: edit(Fields{Value: &value}), Err: domain.Invalid{"value": "belongs to won opportunities only"}},
		story{Name: "nothing new", Given: events{opened}, When: edit(Fields{Reference: &opened.Reference})},
		story{Name: "a blank reference", Given: events{opened}, When: edit(Fields{Reference: &blank}), Err: domain.Invalid{"reference": "must not be blank"}},
		story{Name: "unknown", When: edit(Fields{Reference: &reference}), Err: ErrNotFound},
		story{Name: "reassigned", Given: won, When: reassign(grace), Then: events{Reassigned{From: ada, To: grace}}},
		story{Name: "hers already", Given: events{opened, Reassigned{From: ada, To: grace}}, When: reassign(grace)},
		story{Name: "reassigned to nobody", Given: won, When: reassign(uuid.Nil), Err: domain.Invalid{"owner": "must not be blank"}},
		story{Name: "unknown is reassigned", When: reassign(grace), Err: ErrNotFound},
	)
	s := domaintest.Fold(t, EventTypes, Evolve, append(won[:3:3], Reassigned{From: ada, To: grace}, Reopened{At: day(6)})...)
	if got := strings.Join(s.ChangedSince(3), " "); got != "closedAt owner stage value" {
		t.Errorf("changed since 3: %s", got)
	}
}
