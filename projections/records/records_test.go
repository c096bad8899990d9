package records_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/declared/declaredtest"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/engine/where"
	"github.com/annal-crm/annal/projections/records"
)

var (
	org       = uuid.New()
	specimens = records.Of(declaredtest.Kind.Category)
	everybody = engine.Viewer{Organization: org, Scope: organization.All, Personal: true}
)

func stream(category string) eventlog.Stream {
	return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
}

func specimen(fields, personal record.Values) record.Created {
	return record.Created{Fields: fields, Personal: personal, Stage: "found"}
}

func TestFold(t *testing.T) {
	s, ada, bob, acme := stream("specimen"), uuid.New(), uuid.New(), uuid.NewString()
	created := specimen(record.Values{"price": "12.5 EUR", "rare": "true", "order": "-7", "gone": "x"}, record.Values{"name": "Ácme", "bornOn": "1999-12-31"})
	created.Owner = ada
	history := []eventlog.Event{
		foldtest.Event(s, created),
		foldtest.Event(s, record.Edited{Fields: map[string]domain.Change{"customer": {To: acme}, "order": {From: "-7"}}, Personal: map[string]domain.Change{"phone": {To: "+1"}}}),
		foldtest.Event(s, record.Moved{From: "found", To: "kept"}),
		foldtest.Event(s, record.Reassigned{From: ada, To: bob}),
		foldtest.Event(s, record.Archived{}),
		foldtest.Event(s, record.Restored{}),
		foldtest.Event(s, record.Archived{}),
		foldtest.Event(s, record.Erased{}),
	}
	look := func(n int) records.Row {
		t.Helper()
		rows, err := foldtest.Fold(specimens.Model(), history[:n]...)
		if err != nil {
			t.Fatal(err)
		}
		return specimens.ShownTo(rows.All()["specimens"][0].(records.Row), everybody)
	}

	row := look(7)
	values := []string{"Ácme", "", "", "+1", "1999-12-31", "", "", "", "12.5 EUR", "", "true", "", acme}
	want := records.Row{
		ID: s.ID, Organization: org, Owner: bob, Stage: "kept", Archived: true, Values: values, Cells: row.Cells,
		CreatedAt: foldtest.Start, UpdatedAt: foldtest.Start.Add(6 * 60e9), Version: 7, Position: 7,
	}
	if !reflect.DeepEqual(row, want) {
		t.Errorf("%+v, want %+v", row, want)
	}
	row = look(8)
	if want := []string{"erased", "", "", "", "", "", "", "", "12.5 EUR", "", "true", "", acme}; !row.Erased || !slices.Equal(row.Values, want) {
		t.Errorf("erased: %+v", row)
	}
	masked := specimens.ShownTo(look(7), engine.Viewer{})
	if want := []string{"hidden", "", "", "", "", "", "", "", "12.5 EUR", "", "true", "", acme}; !slices.Equal(masked.Values, want) {
		t.Errorf("hidden: %+v", masked)
	}
}

// What the table cannot take is an event that waits, not a fold that stops.
func TestAValueThatIsNone(t *testing.T) {
	for name, value := range map[string]string{
		"order": "many", "weight": "1,5", "price": "x EUR", "seenAt": "yesterday", "rare": "perhaps", "customer": "acme", "website": "a\x00b",
	} {
		if _, err := foldtest.Fold(specimens.Model(), foldtest.Event(stream("specimen"), specimen(record.Values{name: value}, nil))); err == nil {
			t.Errorf("%s takes %q", name, value)
		}
	}
}

func list(t *testing.T, w *querytest.World, v engine.Viewer, q records.Query) []string {
	t.Helper()
	names := querytest.Walk(t, 3, func(r engine.PageRequest) (engine.Page[records.Row], error) {
		return specimens.List(t.Context(), w.Pool, v, q, r)
	}, func(r records.Row) string { return r.Values[0] })
	if n, err := specimens.Count(t.Context(), w.Pool, v, q); err != nil || n != len(names) {
		t.Errorf("counted %d of %v: %v", n, names, err)
	}
	return names
}

func to[T any](v T) *T { return &v }

func TestFilters(t *testing.T) {
	w := querytest.New(t, specimens.Model())
	acme := uuid.New()
	for i, values := range []record.Values{
		{"website": "a.example", "order": "-5", "weight": "-1.5", "price": "5 EUR", "seenAt": "2026-01-01T00:00:00Z", "rare": "true", "colour": "red", "customer": acme.String()},
		{"website": "b.example", "order": "10", "weight": "1.25", "price": "50 EUR", "seenAt": "2026-01-01T00:00:00.5Z", "rare": "false", "colour": "blue"},
		{},
	} {
		s := stream("specimen")
		e := specimen(values, record.Values{"name": string(rune('a' + i)), "bornOn": fmt.Sprintf("200%d-02-28", i)})
		w.Record(s, e)
	}
	w.Settle()
	test := func(field string, t records.Test) records.Filter {
		t.Field = field
		return records.Filter{Tests: []records.Test{t}}
	}
	yes, no := true, false
	eq := func(field, value string) records.Filter { return test(field, records.Test{Eq: &value}) }
	for name, c := range map[string]struct {
		filter records.Filter
		want   string
	}{
		"nothing given":     {records.Filter{}, "abc"},
		"text":              {eq("website", "a.example"), "a"},
		"another text":      {test("website", records.Test{Neq: to("a.example")}), "bc"},
		"one of":            {test("website", records.Test{In: []string{"b.example", "x", "\x00"}}), "b"},
		"one of none":       {test("website", records.Test{In: []string{}}), ""},
		"contains":          {test("website", records.Test{Contains: to(".ex")}), "ab"},
		"no wildcard":       {test("website", records.Test{Contains: to("_")}), ""},
		"starts":            {test("website", records.Test{StartsWith: to("b")}), "b"},
		"no text":           {eq("website", "\x00"), ""},
		"empty":             {test("website", records.Test{IsNull: &yes}), "c"},
		"not empty":         {test("website", records.Test{IsNull: &no}), "ab"},
		"integer":           {test("order", records.Test{Gte: to("-5"), Lt: to("10")}), "a"},
		"decimal":           {test("weight", records.Test{Gte: to("-1.4")}), "b"},
		"amount":            {test("price", records.Test{Lt: to("50.0")}), "a"},
		"amounts":           {test("price", records.Test{In: []string{"50", "5"}}), "ab"},
		"day":               {test("bornOn", records.Test{Gte: to("2001-02-28"), Lt: to("2002-02-28")}), "b"},
		"time":              {test("seenAt", records.Test{Gte: to("2026-01-01T00:00:00.4Z")}), "b"},
		"bool":              {eq("rare", "false"), "b"},
		"choice":            {test("colour", records.Test{In: []string{"red", "green"}}), "a"},
		"reference":         {eq("customer", acme.String()), "a"},
		"references":        {test("customer", records.Test{In: []string{acme.String(), uuid.NewString()}}), "a"},
		"no reference":      {test("customer", records.Test{IsNull: &yes}), "bc"},
		"stage":             {test(records.Stage, records.Test{In: []string{"found"}}), "abc"},
		"archived":          {eq(records.ArchivedField, "true"), ""},
		"created":           {test(records.CreatedAt, records.Test{Lt: to("2026-01-02T15:05:00Z")}), "a"},
		"personal":          {eq("name", "b"), "b"},
		"and":               {records.Filter{And: []records.Filter{eq("rare", "true"), eq("colour", "red")}}, "a"},
		"and of what not":   {records.Filter{And: []records.Filter{eq("rare", "true"), eq("colour", "blue")}}, ""},
		"or":                {records.Filter{Or: []records.Filter{eq("rare", "false"), eq("colour", "red")}}, "ab"},
		"or of nothing":     {records.Filter{Or: []records.Filter{}}, ""},
		"or of all":         {records.Filter{Or: []records.Filter{{}, eq("rare", "false")}}, "abc"},
		"not":               {records.Filter{Not: to(eq("rare", "true"))}, "bc"},
		"not not":           {records.Filter{Not: &records.Filter{Not: to(eq("rare", "true"))}}, "a"},
		"not anything":      {records.Filter{Not: &records.Filter{}}, ""},
		"not one of either": {records.Filter{Not: &records.Filter{Or: []records.Filter{eq("name", "a"), eq("order", "10")}}}, "c"},
		"with its tests":    {records.Filter{Tests: eq("rare", "false").Tests, Or: []records.Filter{eq("name", "a"), eq("name", "b")}}, "b"},
	} {
		names := list(t, w, everybody, records.Query{Filter: c.filter, Order: []records.Order{{Field: "name"}}})
		if got := strings.Join(names, ""); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	masked := everybody
	masked.Personal = false
	for name, q := range map[string]records.Query{
		"test":    {Filter: records.Filter{Not: &records.Filter{Or: []records.Filter{eq("name", "a")}}}},
		"order":   {Order: []records.Order{{Field: "bornOn"}}},
		"search":  {Search: "a"},
		"is null": {Filter: test("email", records.Test{IsNull: &yes})},
	} {
		if _, err := specimens.List(t.Context(), w.Pool, masked, q, engine.PageRequest{}); !errors.Is(err, where.ErrHidden) {
			t.Errorf("%s of what is hidden: %v", name, err)
		}
	}
	for name, q := range map[string]records.Query{
		"no field":       {Filter: eq("nothing", "a")},
		"no number":      {Filter: eq("weight", "a")},
		"no id":          {Filter: eq(records.Owner, "a")},
		"a part of it":   {Filter: test("order", records.Test{Contains: to("1")})},
		"not sorted":     {Order: []records.Order{{Field: "remark"}}},
		"not sorted, id": {Order: []records.Order{{Field: records.Owner}}},
	} {
		var invalid domain.Invalid
		if _, err := specimens.List(t.Context(), w.Pool, everybody, q, engine.PageRequest{}); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSearch(t *testing.T) {
	w := querytest.New(t, specimens.Model())
	s := stream("specimen")
	w.Record(s, specimen(nil, record.Values{"name": "Ácme Zürich AG", "phone": "+41 44 668 18 00", "email": "info@acme.example"}))
	w.Record(stream("specimen"), specimen(nil, record.Values{"name": "北京东方贸易有限公司"}))
	w.Record(stream("specimen"), specimen(nil, record.Values{"name": "李雷", "remark": "acme"}))
	w.Record(stream("specimen"), specimen(record.Values{"website": "straße.example"}, record.Values{"name": "Straße"}))
	w.Settle()
	find := func(text string) []string { return list(t, w, everybody, records.Query{Search: text}) }
	for text, want := range map[string]string{
		"acme": "Ácme Zürich AG", "ZURICH": "Ácme Zürich AG", "cme zü": "Ácme Zürich AG", "东方": "北京东方贸易有限公司", "贸易有限": "北京东方贸易有限公司",
		"李雷": "李雷", "雷": "李雷", "668 18": "Ácme Zürich AG", "6681800": "Ácme Zürich AG", "+41 446681800": "Ácme Zürich AG", "info@acme": "Ácme Zürich AG",
		"STRASSE": "Straße", "zürich acme": "Ácme Zürich AG",
	} {
		if got := find(text); !slices.Equal(got, []string{want}) {
			t.Errorf("%q finds %v", text, got)
		}
	}
	for _, text := range []string{"acmez", "%", "_", "东京", "acme 李雷", "6681801"} {
		if got := find(text); len(got) != 0 {
			t.Errorf("%q finds %v", text, got)
		}
	}
	w.Record(s, record.Edited{Personal: map[string]domain.Change{"name": {To: "Umbrella"}, "email": {}}})
	w.Settle()
	if got := find("acme"); len(got) != 0 {
		t.Errorf("the former name finds %v", got)
	}
	w.Record(s, record.Erased{})
	w.Settle()
	if got := append(find("umbrella"), find("668")...); len(got) != 0 {
		t.Errorf("what was erased finds %v", got)
	}
	if names, err := w.Engine.Holds(t.Context(), s.ID); err != nil || len(names) != 0 {
		t.Errorf("%v still hold something personal: %v", names, err)
	}
}

func TestScopes(t *testing.T) {
	w := querytest.New(t, specimens.Model())
	north, south := uuid.New(), uuid.New()
	ada, bob := stream(account.Category), stream(account.Category)
	w.Record(ada, account.Invited{LoginName: "ada", Team: north})
	w.Record(bob, account.Invited{LoginName: "bob", Team: south})
	ids := make(map[string]uuid.UUID)
	add := func(o uuid.UUID, name string, owner uuid.UUID) {
		e := specimen(nil, record.Values{"name": name})
		e.Owner = owner
		s := eventlog.Stream{Organization: o, Category: "specimen", ID: uuid.New()}
		ids[name] = s.ID
		w.Record(s, e)
	}
	add(org, "ada's", ada.ID)
	add(org, "bob's", bob.ID)
	add(org, "nobody's", uuid.Nil)
	add(uuid.New(), "of others", ada.ID)
	w.Settle()
	for _, c := range []struct {
		scope organization.Scope
		teams []uuid.UUID
		want  []string
	}{
		{organization.All, nil, []string{"ada's", "bob's", "nobody's"}},
		{organization.Own, nil, []string{"ada's"}},
		{organization.Team, []uuid.UUID{south}, []string{"ada's", "bob's"}},
		{organization.Team, []uuid.UUID{north}, []string{"ada's"}},
		{organization.None, []uuid.UUID{north}, nil},
	} {
		v := engine.Viewer{Organization: org, Account: ada.ID, Scope: c.scope, Teams: c.teams, Personal: true}
		if got := list(t, w, v, records.Query{Order: []records.Order{{Field: "name"}}}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", c.scope, got)
		}
		found, err := specimens.Get(t.Context(), w.Pool, v, []uuid.UUID{ids["bob's"], ids["of others"]})
		if see := slices.Contains(c.want, "bob's"); err != nil || len(found) == 1 != see || see && found[ids["bob's"]].Values[0] != "bob's" {
			t.Errorf("%s: %v, %v", c.scope, found, err)
		}
	}
}

// What a record was as of an event is what the list showed then.
func TestTheHistoryIsWhatTheListShowed(t *testing.T) {
	w := querytest.New(t, specimens.Model())
	s := stream("specimen")
	var history []eventlog.Event
	for _, e := range []any{
		specimen(record.Values{"weight": "-12.25", "seenAt": "2026-01-02T03:04:05.678901Z", "rare": "false", "colour": "blue"}, record.Values{"name": "Ácme", "bornOn": "1999-12-31"}),
		record.Edited{Fields: map[string]domain.Change{"price": {To: "1000000 EUR"}, "order": {To: "12"}, "customer": {To: uuid.NewString()}}},
		record.Edited{Fields: map[string]domain.Change{"price": {}}, Personal: map[string]domain.Change{"name": {To: "Umbrella"}}},
		record.Moved{To: "kept"}, record.Reassigned{To: uuid.New()}, record.Archived{}, record.Restored{}, record.Erased{},
	} {
		history = append(history, w.Record(s, e))
		w.Settle()
		shown, err := specimens.Get(t.Context(), w.Pool, everybody, []uuid.UUID{s.ID})
		if err != nil {
			t.Fatal(err)
		}
		page, err := w.Codec.Page(t.Context(), history)
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		row, exists, err := specimens.History(s.ID, page, func(*eventcodec.Event, records.Row) { steps++ })
		if err != nil || !exists || steps != len(history) || !reflect.DeepEqual(row, shown[s.ID]) {
			t.Errorf("after %T: %+v in %d steps, the list shows %+v: %v", e, row, steps, shown[s.ID], err)
		}
	}
}
