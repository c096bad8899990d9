package records_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/records"
)

// sorted lists values of each field that lists can be sorted by, in their order.
var sorted = map[string][]string{
	"name":    {"100", "Ácme", "Alpha", "alpha B", "éclair", "zeta", "李雷"},
	"bornOn":  {"", "0999-12-31", "1999-02-28", "1999-12-01"},
	"website": {"", "a.example", "á.example", "b.example"},
	"order":   {"", "-2147483648", "-10", "-9", "0", "9", "10", "2147483647"},
	"weight":  {"", "-100", "-10.5", "-10.25", "-10", "-9", "-0.5", "0", "0.0001", "0.5", "9", "10", "10.25", "100", "999999999999999.9999"},
	"price":   {"", "-5 EUR", "5 CHF", "5 EUR", "12 EUR", "12.5 CHF", "100 CHF"},
	"seenAt":  {"", "1999-12-31T23:59:59.999999Z", "2000-01-01T00:00:00Z", "2000-01-01T00:00:00.05Z", "2000-01-01T00:00:00.5Z"},
	"rare":    {"", "false", "true"},
	"colour":  {"", "red", "green", "blue"},
}

// Every order gives each record once, in both directions, where many are equal and many have no value.
func TestOrders(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	w := querytest.New(t, specimens.Model())
	const n = 60
	var events []querytest.Event
	for range n {
		plain, personal := make(record.Values), make(record.Values)
		for name, values := range sorted {
			part := plain
			if specimens.Field(name).Personal {
				part = personal
			}
			if value := values[r.IntN(len(values))]; value != "" && (name == "name" || r.IntN(2) == 0) {
				part[name] = value
			}
		}
		events = append(events, querytest.Event{Stream: stream("specimen"), Payload: specimen(plain, personal)})
	}
	w.RecordAll(events...)
	w.Settle()

	check := func(t *testing.T, order []records.Order, size int) {
		t.Helper()
		rows := make(map[uuid.UUID]records.Row)
		ids := querytest.Walk(t, size, func(r engine.PageRequest) (engine.Page[records.Row], error) {
			page, err := specimens.List(t.Context(), w.Pool, everybody, records.Query{Order: order}, r)
			for _, row := range page.Rows {
				rows[row.ID] = row
			}
			return page, err
		}, func(r records.Row) uuid.UUID { return r.ID })
		if len(ids) != n || len(rows) != n {
			t.Errorf("%v: %d rows, of which %d differ", order, len(ids), len(rows))
		}
		for i := 1; i < len(ids); i++ {
			if place(order, rows[ids[i-1]], rows[ids[i]]) > 0 {
				t.Errorf("%v: %v before %v", order, rows[ids[i-1]].Values, rows[ids[i]].Values)
			}
		}
	}
	for name := range sorted {
		for _, descending := range []bool{false, true} {
			check(t, []records.Order{{Field: name, Descending: descending}}, 7)
		}
	}
	var fields []string
	for name := range sorted {
		fields = append(fields, name)
	}
	slices.Sort(fields)
	for range 20 {
		var order []records.Order
		for _, i := range r.Perm(len(fields))[:1+r.IntN(3)] {
			order = append(order, records.Order{Field: fields[i], Descending: r.IntN(2) == 0})
		}
		check(t, order, 1+r.IntN(n))
	}
	check(t, nil, 7)
	check(t, []records.Order{{Field: records.UpdatedAt}, {Field: records.CreatedAt, Descending: true}}, 7)
}

// place compares two rows by the places of their values in sorted.
func place(order []records.Order, a, b records.Row) int {
	for _, o := range order {
		values := sorted[o.Field]
		x, y := slices.Index(values, specimens.Value(a, o.Field)), slices.Index(values, specimens.Value(b, o.Field))
		if o.Descending {
			x, y = y, x
		}
		if x != y {
			return x - y
		}
	}
	return 0
}

// A page is read along an index: what it costs does not depend on how many records there are.
func TestAPageIsReadAlongAnIndex(t *testing.T) {
	w := querytest.New(t, specimens.Model())
	acme, owner := uuid.New(), uuid.New()
	for i, weight := range []string{"", "1", "2", "3"} {
		e := specimen(record.Values{"weight": weight, "customer": uuid.NewString()}, record.Values{"name": "Specimen", "phone": "12345"})
		if i == 3 {
			e.Fields["customer"], e.Owner, e.Personal["name"] = acme.String(), owner, "Rarity"
		}
		w.Record(stream("specimen"), e)
	}
	w.Settle()
	table := specimens.Model().Schema.String() + ".specimens"
	conn, err := w.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, statement := range []string{
		// Many of all but the last, which the lists of its customer, its owner and the search are to find.
		`create temp table copies as select s.* from ` + table + ` s, generate_series(1, 3000) where f_weight is distinct from 3`,
		`update copies set id = gen_random_uuid()`,
		`insert into ` + table + ` select * from copies`,
		`analyze ` + table,
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}

	queries := map[string]records.Query{
		"the newest":    {},
		"of a customer": {Filter: records.Filter{Tests: []records.Test{{Field: "customer", In: []string{acme.String()}}}}},
		"of an owner":   {Filter: records.Filter{Tests: []records.Test{{Field: records.Owner, Eq: to(owner.String())}}}},
		"at a stage":    {Filter: records.Filter{Tests: []records.Test{{Field: records.Stage, Eq: to("found")}}}},
		"by update":     {Order: []records.Order{{Field: records.UpdatedAt}}},
	}
	for name := range sorted {
		queries["by "+name] = records.Query{Order: []records.Order{{Field: name}}}
		queries["by "+name+", the last first"] = records.Query{Order: []records.Order{{Field: name, Descending: true}}}
	}
	for name, q := range queries {
		var cursor string
		if first, err := specimens.List(t.Context(), w.Pool, everybody, q, engine.PageRequest{First: 5}); err != nil {
			t.Fatal(name, err)
		} else {
			cursor = first.Cursors[len(first.Cursors)-1]
		}
		plans := w.Plans(func(db engine.DB) {
			for _, request := range []engine.PageRequest{{First: 10}, {Last: 10}, {First: 10, After: cursor}, {Last: 10, Before: cursor}} {
				if _, err := specimens.List(t.Context(), db, everybody, q, request); err != nil {
					t.Fatal(name, err)
				}
			}
		})
		for _, plan := range plans {
			few := strings.Contains(name, "of a")
			if !strings.Contains(plan, "Index Scan") || strings.Contains(plan, "Seq Scan") || !few && (strings.Contains(plan, "Sort") || strings.Contains(plan, "Removed by Filter")) {
				t.Errorf("%s:\n%s", name, plan)
			}
		}
	}
	for _, plan := range w.Plans(func(db engine.DB) {
		page, err := specimens.List(t.Context(), db, everybody, records.Query{Search: "rarity"}, engine.PageRequest{})
		if err != nil || len(page.Rows) != 1 {
			t.Error(fmt.Sprint(len(page.Rows)), err)
		}
	}) {
		if !strings.Contains(plan, "Bitmap Index Scan") || strings.Contains(plan, "Seq Scan") {
			t.Errorf("search:\n%s", plan)
		}
	}
}
