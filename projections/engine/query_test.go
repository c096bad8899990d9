package engine_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
)

// Any list, in pages of any size from either end, is the list: nothing twice, nothing missing, in order.
func TestPagesAreTheList(t *testing.T) {
	h, l := newHouse(t), newLedger(1)
	e := h.engine(engine.Config{}, l.model(1))
	for n := range 40 {
		at := registered(n, []string{"a", "b", "Ä", "zz"}[n%4]) // many equal names
		at.OccurredAt = foldtest.Start.Add(time.Duration(n%5) * time.Microsecond)
		h.append(at)
	}
	if _, err := e.Rebuild(t.Context(), "ledger", engine.RebuildOptions{}); err != nil {
		t.Fatal(err)
	}
	orders := map[string]engine.Order[item]{
		"customer":              l.items.Ascending("customer"),
		"name, customer":        l.items.Ascending("name", "customer"),
		"since desc, name desc": l.items.Descending("since", "name", "customer"),
	}
	sql := map[string]string{"customer": "customer", "name, customer": "name, customer", "since desc, name desc": "since desc, name desc, customer desc"}
	id := func(i item) string { return i.Customer.String() }
	rapid.Check(t, func(t *rapid.T) {
		by := rapid.SampledFrom([]string{"customer", "name, customer", "since desc, name desc"}).Draw(t, "order")
		size := rapid.IntRange(1, 50).Draw(t, "size")
		backward := rapid.Bool().Draw(t, "backward")
		all, err := l.items.Find(h.Context(), h.pool, "name <> $1 order by "+sql[by], "zz")
		if err != nil || len(all) != 30 {
			t.Fatal(len(all), err)
		}
		var got []item
		request, pages := engine.PageRequest{First: size}, 0
		if backward {
			request = engine.PageRequest{Last: size}
		}
		for more := true; more; pages++ {
			page, err := l.items.Page(h.Context(), h.pool, orders[by], request, "name <> $1 or $2", "zz", false)
			if err != nil || len(page.Rows) == 0 || len(page.Rows) > size || len(page.Cursors) != len(page.Rows) {
				t.Fatal(page, err)
			}
			if backward {
				got = append(slices.Clone(page.Rows), got...)
				request.Before, more = page.Cursors[0], page.HasPrevious
				if page.HasNext != (pages > 0) {
					t.Fatal("HasNext", page.HasNext, pages)
				}
			} else {
				got = append(got, page.Rows...)
				request.After, more = page.Cursors[len(page.Cursors)-1], page.HasNext
				if page.HasPrevious != (pages > 0) {
					t.Fatal("HasPrevious", page.HasPrevious, pages)
				}
			}
		}
		if pages != (30+size-1)/size || !slices.EqualFunc(got, all, func(a, b item) bool { return id(a) == id(b) }) {
			t.Fatal(pages, "pages:", len(got), "rows")
		}
	})
	// Between two cursors.
	page, err := l.items.Page(t.Context(), h.pool, orders["customer"], engine.PageRequest{First: 50}, "true")
	if err != nil {
		t.Fatal(err)
	}
	some, err := l.items.Page(t.Context(), h.pool, orders["customer"], engine.PageRequest{After: page.Cursors[3], Before: page.Cursors[7]}, "true")
	if err != nil || len(some.Rows) != 3 || id(some.Rows[0]) != id(page.Rows[4]) {
		t.Error(some, err)
	}
}

func TestCursorsThatNoPageHasReturned(t *testing.T) {
	t.Parallel()
	l, pool := newLedger(1), pgtest.New(t)
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	order, other := l.items.Ascending("name", "customer"), l.sectors.Ascending("customers", "sector")
	list := "items by name, customer"
	for _, cursor := range []string{
		"x", "%%%", encode("null"), encode("{}"), encode(`["x"]`), encode(`["` + list + `"]`), encode(`["` + list + `","a"]`),
		encode(`["` + list + `",1,"` + uuid.NewString() + `"]`), encode(`["` + list + `","a","b"]`), encode(`["` + list + `","a",null]`),
		encode(`["` + list + `","\u0000","` + uuid.NewString() + `"]`), encode(`["items by customer","a","` + uuid.NewString() + `"]`),
		encode(`["` + list + `","a","` + uuid.NewString() + `",1]`), encode(`["`+list+`","a","`+uuid.NewString()+`"] `) + "=",
	} {
		for _, request := range []engine.PageRequest{{After: cursor}, {Last: 3, Before: cursor}} {
			if _, err := l.items.Page(t.Context(), pool, order, request, "true"); !errors.Is(err, engine.ErrCursor) {
				t.Errorf("%q: %v", cursor, err)
			}
		}
	}
	if _, err := l.sectors.Page(t.Context(), pool, other, engine.PageRequest{After: encode(`["sectors by customers, sector",99999999999999999999,"a"]`)}, "true"); !errors.Is(err, engine.ErrCursor) {
		t.Error(err)
	}
}

func TestMistakesInTheProgramText(t *testing.T) {
	t.Parallel()
	s := engine.Schema{Name: "mistaken", Version: 1}
	type row struct {
		ID   uuid.UUID `db:"id,key"`
		Name *string   `db:"name"`
	}
	for name, mistake := range map[string]func(){
		"key of another type": func() { engine.NewTable[string, row](s, "rows", engine.TableConfig{}) },
		"no key": func() {
			engine.NewTable[string, struct {
				A int `db:"a"`
			}](s, "rows", engine.TableConfig{})
		},
		"no name": func() { engine.NewTable[uuid.UUID, row](s, "Rows; drop", engine.TableConfig{}) },
		"an unknown option": func() {
			engine.NewTable[int, struct {
				A int `db:"a,key,primary"`
			}](s, "rows", engine.TableConfig{})
		},
		"a type without SQL": func() {
			engine.NewTable[int, struct {
				A int      `db:"a,key"`
				B chan int `db:"b"`
			}](s, "rows", engine.TableConfig{})
		},
		"order by a null": func() { engine.NewTable[uuid.UUID, row](s, "rows", engine.TableConfig{}).Ascending("name") },
		"order by nothing": func() {
			engine.NewTable[uuid.UUID, row](s, "rows", engine.TableConfig{}).Descending("nothing")
		},
		"a row without asking": func() { rows := engine.NewRows(Portfolios); owners.Get(rows, uuid.UUID{1}) },
		"a table of another":   func() { owners.Get(engine.NewRows(newLedger(1).model(1)), uuid.UUID{1}) },
		"append to a keyed":    func() { owners.Append(engine.NewRows(Portfolios), Owner{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if fmt.Sprint(recover()) == "<nil>" {
					t.Error("passes")
				}
			}()
			mistake()
		})
	}
	h := newHouse(t)
	for name, models := range map[string][]engine.ReadModel{
		"twice":     {Portfolios, Portfolios},
		"no fold":   {{Schema: s, Tables: Portfolios.Tables}},
		"no tables": {{Schema: s, Fold: Portfolios.Fold}},
		"no name":   {{Tables: Portfolios.Tables, Fold: Portfolios.Fold}},
	} {
		if _, err := engine.New(h.log, nil, h.pool, models, engine.Config{}); err == nil {
			t.Error(name)
		}
	}
}
