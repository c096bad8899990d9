package sales_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine/foldtest"
	"github.com/annal-crm/annal/projections/sales"
)

var org = uuid.New()

func stream(category string) eventlog.Stream {
	return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
}

func day(month time.Month, d int) time.Time { return time.Date(2017, month, d, 0, 0, 0, 0, time.UTC) }

func TestADealCountsWhileItIsClosed(t *testing.T) {
	s, ada, bob := stream(opportunity.Category), uuid.New(), uuid.New()
	opened := opportunity.Opened{Reference: "R", Product: "GTX", Owner: ada, At: day(1, 1)}
	engaged := opportunity.Engaged{At: day(1, 11)}
	won := opportunity.Won{Value: "10", At: time.Date(2017, 3, 1, 0, 30, 0, 0, time.FixedZone("", 3600))} // in UTC it is February
	base := sales.Deal{Stage: opportunity.Prospecting, Product: "GTX", Owner: ada, OpenedAt: day(1, 1), Since: day(1, 1), Opened: 1}
	with := func(changes ...func(*sales.Deal)) sales.Deal {
		d := base
		for _, change := range changes {
			change(&d)
		}
		return d
	}
	talking := func(d *sales.Deal) {
		d.Stage, d.EngagedAt, d.Since, d.Engaged = opportunity.Engaging, day(1, 11), day(1, 11), 2
	}
	const tenDays = 10 * 24 * 60 * 60
	closed := func(stage opportunity.Stage, month string, value domain.Decimal, at time.Time, worked int64) func(*sales.Deal) {
		return func(d *sales.Deal) {
			talking(d)
			d.Stage, d.Month, d.Value, d.ClosedAt, d.Since, d.Closed, d.Worked = stage, month, value, at, at, 3, worked
		}
	}
	sold := closed(opportunity.StageWon, "2017-02", "10", won.At, int64(won.At.Sub(day(1, 11)).Seconds()))
	for name, c := range map[string]struct {
		history []any
		want    sales.Deal
	}{
		"open":    {nil, base},
		"engaged": {[]any{engaged}, with(talking)},
		"won":     {[]any{engaged, won}, with(sold)},
		"lost":    {[]any{engaged, opportunity.Lost{At: day(1, 21)}}, with(closed(opportunity.StageLost, "2017-01", "", day(1, 21), tenDays))},
		"reopened": {[]any{engaged, opportunity.Lost{At: day(1, 21)}, opportunity.Reopened{At: day(2, 1)}},
			with(talking, func(d *sales.Deal) { d.Since, d.Worked = day(2, 1), tenDays })},
		"closed twice": {[]any{engaged, opportunity.Lost{At: day(1, 21)}, opportunity.Reopened{At: day(2, 1)}, opportunity.Lost{At: day(2, 11)}},
			with(closed(opportunity.StageLost, "2017-02", "", day(2, 11), 2*tenDays), func(d *sales.Deal) { d.Closed = 5 })},
		"engaged at another time": {[]any{engaged, opportunity.Lost{At: day(1, 21)}, opportunity.Reopened{At: day(2, 1)}, opportunity.Engaged{At: day(1, 12)}},
			with(talking, func(d *sales.Deal) { d.EngagedAt, d.Since, d.Engaged = day(1, 12), day(1, 12), 5 })},
		"edited": {[]any{engaged, won, opportunity.Reassigned{To: bob}, opportunity.Edited{Value: &domain.Change{To: "12"}, Product: &domain.Change{To: "MG"}, Customer: &domain.Change{To: bob.String()}}},
			with(sold, func(d *sales.Deal) { d.Value, d.Product, d.Customer, d.Owner = "12", "MG", bob, bob })},
	} {
		history := []eventlog.Event{foldtest.Event(s, opened)}
		for _, e := range c.history {
			history = append(history, foldtest.Event(s, e))
		}
		rows, err := foldtest.Fold(sales.Model, history...)
		if err != nil {
			t.Fatal(err)
		}
		c.want.ID, c.want.Organization = s.ID, org
		got := rows.All()["deals"]
		if len(got) != 1 {
			t.Fatalf("%s: %+v", name, got)
		}
		d := got[0].(sales.Deal)
		if !d.ClosedAt.Equal(c.want.ClosedAt) || !d.Since.Equal(c.want.Since) { // the same instant, told in another zone
			t.Errorf("%s: closed %s since %s, want %s and %s", name, d.ClosedAt, d.Since, c.want.ClosedAt, c.want.Since)
		}
		d.ClosedAt, d.Since = c.want.ClosedAt, c.want.Since
		if d != c.want {
			t.Errorf("%s: %+v, want %+v", name, d, c.want)
		}
	}
}

func TestACustomerIsTouched(t *testing.T) {
	s, deal, ada, bob := stream(customer.Category), stream(opportunity.Category), uuid.New(), uuid.New()
	at := func(d time.Time, s eventlog.Stream, e any) eventlog.Event {
		f := foldtest.Event(s, e)
		f.OccurredAt = d
		return f
	}
	registered := at(day(1, 1), s, customer.Registered{Name: "Northwind", Owner: ada})
	imported := at(day(9, 9), s, customer.Registered{Name: "Northwind", Owner: ada, Source: "crm"})
	opened := at(day(2, 2), deal, opportunity.Opened{Customer: s.ID, Owner: bob, At: day(2, 2), Source: "crm"})
	for name, c := range map[string]struct {
		history []eventlog.Event
		want    sales.Client
	}{
		"registered":      {[]eventlog.Event{registered}, sales.Client{Owner: ada, TouchedAt: day(1, 1), Touched: 1, Registered: 1}},
		"imported":        {[]eventlog.Event{imported}, sales.Client{Owner: ada, Registered: 1}},
		"by a deal":       {[]eventlog.Event{imported, opened}, sales.Client{Owner: ada, Registered: 1, TouchedAt: day(2, 2), Touched: 2}},
		"by a deal alone": {[]eventlog.Event{opened}, sales.Client{TouchedAt: day(2, 2), Touched: 1}},
		"an earlier one":  {[]eventlog.Event{at(day(5, 5), s, customer.Registered{Name: "Northwind", Owner: ada}), opened}, sales.Client{Owner: ada, Registered: 1, TouchedAt: day(5, 5), Touched: 1}},
		"edited":          {[]eventlog.Event{registered, at(day(3, 3), s, customer.Edited{})}, sales.Client{Owner: ada, Registered: 1, TouchedAt: day(3, 3), Touched: 2}},
		"by an import":    {[]eventlog.Event{registered, at(day(3, 3), s, customer.Reassigned{To: bob, Source: "crm"})}, sales.Client{Owner: bob, Registered: 1, TouchedAt: day(1, 1), Touched: 1}},
		"archived":        {[]eventlog.Event{registered, at(day(3, 3), s, customer.Archived{})}, sales.Client{Owner: ada, Archived: true, Registered: 1, TouchedAt: day(1, 1), Touched: 1}},
		"restored":        {[]eventlog.Event{registered, at(day(3, 3), s, customer.Archived{}), at(day(4, 4), s, customer.Restored{})}, sales.Client{Owner: ada, Registered: 1, TouchedAt: day(4, 4), Touched: 3}},
		"deal moved here": {[]eventlog.Event{at(day(1, 1), deal, opportunity.Opened{Owner: bob, At: day(1, 1)}), at(day(2, 2), deal, opportunity.Edited{Customer: &domain.Change{To: s.ID.String()}})}, sales.Client{TouchedAt: day(2, 2), Touched: 2}},
	} {
		rows, err := foldtest.Fold(sales.Model, c.history...)
		if err != nil {
			t.Fatal(err)
		}
		c.want.ID, c.want.Organization = s.ID, org
		if got := rows.All()["clients"]; len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
