package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/graph"
	"github.com/annal-crm/annal/reports/results"
)

const (
	resultFields  = `id name report readModel of status progress events position parked problem madeBy { loginName } madeAt endedAt`
	rebuildReport = `mutation($i: RebuildReportInput!) { rebuildReport(input: $i) { ` + resultFields + ` } }`
	reportResult  = `query($i: ID!) { reportResult(id: $i) { ` + resultFields + ` } }`
	dropResult    = `mutation($i: ID!) { dropResult(id: $i) }`
	resultRows    = `query($name: String!, $r: ID!, $by: [String!], $asOf: AsOf) { report(name: $name, result: $r, groupBy: $by, asOf: $asOf) { nodes { values events(first: 5) { nodes { type } } } } }`
	compare       = `query($a: ID!, $b: ID, $name: String, $by: [String!], $m: [String!], $f: ReportFilter, $n: Int, $after: String, $p: Position) {
		compareResults(a: $a, b: $b, report: $name, groupBy: $by, measures: $m, filter: $f, first: $n, after: $after, minPosition: $p) {
			columns { name } different pageInfo { hasNextPage endCursor }
			nodes { group a b differs account { loginName } events { totalCount nodes { type position } } } } }`
)

// rebuilt has a report rebuilt, and waits for its end.
func (c *client) rebuilt(input vars) map[string]any {
	c.Helper()
	return c.ended(get[string](c.ask(rebuildReport, vars{"i": input}), "rebuildReport.id"))
}

func (c *client) ended(id string) map[string]any {
	c.Helper()
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if r := get[map[string]any](c.ask(reportResult, vars{"i": id}), "reportResult"); r["status"] != "RUNNING" {
			return r
		}
	}
	c.Fatal("the rebuild does not end")
	return nil
}

// sold makes a customer and deals with it: two won GTX, of which anna's is reassigned to admin after before, and later a lost MG.
func sold(t *testing.T, admin, anna *client, adminID string) (before, last, moved string) {
	t.Helper()
	customer := get[string](admin.ask(register, vars{"i": vars{"name": "Isdom"}}), "registerCustomer.customer.id")
	deal := func(c *client, product, closing string) string {
		id := get[string](c.ask(open, vars{"i": vars{"reference": "R", "product": product, "customerId": customer}}), "openOpportunity.opportunity.id")
		c.ask(`mutation($i: OpportunityInput!) { engageOpportunity(input: $i) { receipt { position } } }`, vars{"i": vars{"id": id}})
		name, _, _ := strings.Cut(closing, "(")
		last = get[string](c.ask("mutation { "+strings.ReplaceAll(closing, "ID", id)+" { receipt { position } } }", nil), name+".receipt.position")
		return id
	}
	moved = deal(anna, "GTX", `winOpportunity(input: {id: "ID", value: "10.5"})`)
	deal(admin, "GTX", `winOpportunity(input: {id: "ID", value: "10.5"})`)
	before = last
	last = get[string](admin.ask(`mutation($i: ReassignOpportunityInput!) { reassignOpportunity(input: $i) { receipt { position } } }`,
		vars{"i": vars{"id": moved, "ownerId": adminID}}), "reassignOpportunity.receipt.position")
	deal(admin, "MG", `loseOpportunity(input: {id: "ID"})`)
	return before, last, moved
}

func TestAnalystsRebuildReports(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	anna, annaID := w.member(admin, "anna", nil, "sales")
	analyst, _ := w.member(admin, "ann.alyst", nil, "analyst")
	adminID := get[string](admin.ask(`{ viewer { account { id } } }`, nil), "viewer.account.id")
	before, last, _ := sold(t, admin, anna, adminID)

	then := analyst.rebuilt(vars{"name": "before", "report": "sales", "asOf": vars{"position": before}})
	if then["status"] != "DONE" || then["progress"] != 1.0 || then["position"] != before || then["parked"] != 0.0 || then["problem"] != nil || then["endedAt"] == nil ||
		fmt.Sprint(then["of"]) != "[position="+before+"]" || then["events"].(float64) == 0 || then["readModel"] != "sales" {
		t.Fatal(then)
	}
	all := analyst.rebuilt(vars{"name": "all", "report": "sales", "asOf": vars{"position": last}})
	mine := analyst.rebuilt(vars{"name": "by anna", "report": "sales", "filter": vars{"actors": []string{annaID}}})
	lost := analyst.rebuilt(vars{"name": "no wins", "report": "sales", "filter": vars{"without": []string{"opportunity.won"}}})

	rows := func(r map[string]any) (lines []string) {
		for _, n := range get[[]any](analyst.ask(resultRows, vars{"name": "sales", "r": r["id"], "by": []string{"owner", "product"}}), "report.nodes") {
			values, line := get[map[string]any](n, "values"), []string(nil)
			for _, c := range []string{"owner", "product", "won", "lost"} {
				line = append(line, strings.NewReplacer(adminID, "admin", annaID, "anna").Replace(fmt.Sprint(values[c])))
			}
			lines = append(lines, strings.Join(line, " "))
		}
		slices.Sort(lines)
		return lines
	}
	for _, c := range []struct {
		result map[string]any
		want   []string
	}{
		{then, []string{"admin GTX 1 0", "anna GTX 1 0"}}, {all, []string{"admin GTX 2 0", "admin MG 0 1"}},
		{mine, []string{"anna GTX 1 0"}}, {lost, []string{"admin MG 0 1"}},
	} {
		if got := rows(c.result); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.result["name"], got, c.want)
		}
	}

	// What differs, and why.
	differ := func(v vars) (lines []string) {
		t.Helper()
		v["p"] = last
		for _, n := range get[[]any](analyst.ask(compare, v), "compareResults.nodes") {
			var events []string
			for _, e := range get[[]any](n, "events.nodes") {
				events = append(events, get[string](e, "type"))
			}
			group, _ := json.Marshal(get[any](n, "group"))
			won := func(side string) any {
				if m, ok := n.(map[string]any)[side].(map[string]any); ok {
					return fmt.Sprintf("%v/%v", m["won"], m["lost"])
				}
				return nil
			}
			lines = append(lines, fmt.Sprint(strings.NewReplacer(adminID, "admin", annaID, "anna").Replace(string(group)), " ", won("a"), " ", won("b"), " ",
				len(get[[]any](n, "differs")), " ", strings.Join(events, " ")))
		}
		slices.Sort(lines)
		return lines
	}
	sameLines := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	byOwner := []string{`{"owner":"admin"} 1/0 2/1 3 opportunity.reassigned opportunity.opened opportunity.engaged opportunity.lost`, `{"owner":"anna"} 1/0 <nil> 3 opportunity.reassigned`}
	sameLines("with another", differ(vars{"a": then["id"], "b": all["id"], "by": []string{"owner"}}), byOwner...)
	sameLines("with the live", differ(vars{"a": then["id"], "by": []string{"owner"}}), byOwner...)
	sameLines("with the same", differ(vars{"a": all["id"], "by": []string{"owner"}}))
	sameLines("without wins", differ(vars{"a": lost["id"], "b": all["id"], "by": []string{"product"}}), `{"product":"GTX"} <nil> 2/0 3 opportunity.won opportunity.won`)
	sameLines("another report of it", differ(vars{"a": then["id"], "name": "funnel", "by": []string{"product"}, "m": []string{"won", "lost"}}),
		`{"product":"MG"} <nil> 0/1 2 opportunity.opened opportunity.engaged opportunity.lost`)
	page := get[map[string]any](analyst.ask(compare, vars{"a": then["id"], "b": all["id"], "by": []string{"owner"}, "n": 1}), "compareResults")
	next := get[map[string]any](analyst.ask(compare, vars{"a": then["id"], "b": all["id"], "by": []string{"owner"}, "n": 1, "after": get[string](page, "pageInfo.endCursor")}), "compareResults")
	if page["different"] != 2.0 || !get[bool](page, "pageInfo.hasNextPage") || get[bool](next, "pageInfo.hasNextPage") || len(get[[]any](next, "nodes")) != 1 {
		t.Error(page, next)
	}

	// It is on record, and others of the organization have it too.
	admin.folded(admin.put(commands.Home, uuid.New(), 0, "customer.registered", `{"name":"barrier"}`))
	record := get[[]any](admin.ask(`{ activity(first: 100, filter: {types: ["audit.report_rebuilt"]}) { nodes { actor { loginName } summary } } }`, nil), "activity.nodes")
	if len(record) != 4 || get[string](record[0], "actor.loginName") != "ann.alyst" || get[string](record[0], "summary") != `report sales rebuilt as "before", with position=`+before {
		t.Error(record)
	}
	if listed := get[[]any](admin.ask(`{ reportResults { name madeBy { loginName } } }`, nil), "reportResults"); len(listed) != 4 || get[string](listed[0], "name") != "no wins" || get[string](listed[0], "madeBy.loginName") != "ann.alyst" {
		t.Error(listed)
	}

	auditor, _ := w.member(admin, "audrey", nil, "auditor")
	if rows := auditor.ask(resultRows, vars{"name": "sales", "r": all["id"]}); rows["report"] == nil { // they look
		t.Error("an auditor reads no result")
	}
	signins := analyst.rebuilt(vars{"name": "signins", "report": "signins"})
	for what, c := range map[string]struct {
		by       *client
		query    string
		v        vars
		code, at string
	}{
		"a name that is there":       {admin, rebuildReport, vars{"i": vars{"name": "all", "report": "sales"}}, "CONFLICT", ""},
		"no name":                    {admin, rebuildReport, vars{"i": vars{"name": "../x", "report": "sales"}}, "INVALID", "input.name"},
		"no such report":             {admin, rebuildReport, vars{"i": vars{"name": "w", "report": "weather"}}, "INVALID", "input.report"},
		"a time to come":             {admin, rebuildReport, vars{"i": vars{"name": "w", "report": "sales", "asOf": vars{"knownAt": "2999-01-01T00:00:00Z"}}}, "INVALID", "input.asOf.knownAt"},
		"a type that is none":        {admin, rebuildReport, vars{"i": vars{"name": "w", "report": "sales", "filter": vars{"types": []string{"opportunity.wonn"}}}}, "INVALID", "input.filter.types"},
		"without what is no type":    {admin, rebuildReport, vars{"i": vars{"name": "w", "report": "sales", "filter": vars{"without": []string{"opportunity.reopen"}}}}, "INVALID", "input.filter.without"},
		"no type at all":             {admin, rebuildReport, vars{"i": vars{"name": "w", "report": "sales", "filter": vars{"types": []string{}}}}, "INVALID", "input.filter.types"},
		"to before from":             {admin, rebuildReport, vars{"i": vars{"name": "w", "report": "sales", "filter": vars{"from": "2017-02-01T00:00:00Z", "to": "2017-01-01T00:00:00Z"}}}, "INVALID", "input.filter.to"},
		"a long filter":              {admin, rebuildReport, vars{"i": vars{"name": "w", "report": "sales", "filter": vars{"records": slices.Repeat([]string{somebody}, 600)}}}, "INVALID", "input.filter"},
		"nothing measured":           {admin, compare, vars{"a": all["id"], "m": []string{}}, "INVALID", "measures"},
		"one's own reports":          {anna, rebuildReport, vars{"i": vars{"name": "w", "report": "sales"}}, "FORBIDDEN", ""},
		"an auditor rebuilds":        {auditor, rebuildReport, vars{"i": vars{"name": "w", "report": "sales"}}, "FORBIDDEN", ""},
		"an auditor drops":           {auditor, dropResult, vars{"i": all["id"]}, "FORBIDDEN", ""},
		"a stranger":                 {w.stranger(), rebuildReport, vars{"i": vars{"name": "w", "report": "sales"}}, "UNAUTHENTICATED", ""},
		"a seller lists":             {anna, `{ reportResults { id } }`, nil, "FORBIDDEN", ""},
		"a seller reads":             {anna, resultRows, vars{"name": "sales", "r": all["id"]}, "FORBIDDEN", ""},
		"a seller compares":          {anna, compare, vars{"a": all["id"]}, "FORBIDDEN", ""},
		"no such result":             {admin, resultRows, vars{"name": "sales", "r": somebody}, "NOT_FOUND", ""},
		"a result of a past":         {admin, resultRows, vars{"name": "sales", "r": all["id"], "asOf": vars{"position": before}}, "INVALID", "result"},
		"of another read model":      {admin, resultRows, vars{"name": "signins", "r": all["id"]}, "INVALID", "result"},
		"two read models":            {admin, compare, vars{"a": all["id"], "b": signins["id"]}, "INVALID", "b"},
		"another read model's":       {admin, compare, vars{"a": all["id"], "name": "signins"}, "INVALID", "report"},
		"no such dimension":          {admin, compare, vars{"a": all["id"], "by": []string{"weather"}}, "INVALID", "groupBy"},
		"nothing to drop":            {admin, dropResult, vars{"i": somebody}, "NOT_FOUND", ""},
		"nothing to compare":         {admin, compare, vars{"a": somebody}, "NOT_FOUND", ""},
		"somebody else's to compare": {admin, compare, vars{"a": all["id"], "b": somebody}, "NOT_FOUND", ""},
	} {
		code, extensions := c.by.refused(c.query, c.v)
		if fields, _ := extensions["fields"].(map[string]any); code != c.code || c.at != "" && fields[c.at] == nil {
			t.Errorf("%s: %v", what, extensions)
		}
	}
	if admin.ask(reportResult, vars{"i": somebody})["reportResult"] != nil {
		t.Error("a result that is not there")
	}

	// At most ten; one that is dropped leaves room, and no tables.
	for i := range 5 {
		admin.rebuilt(vars{"name": fmt.Sprint("filler ", i), "report": "signins"})
	}
	if code, e := admin.refused(rebuildReport, vars{"i": vars{"name": "eleventh", "report": "sales"}}); code != "CONFLICT" {
		t.Error("an eleventh:", e)
	}
	other, _ := w.member(admin, "another", nil, "analyst")
	if code, _ := other.refused(dropResult, vars{"i": all["id"]}); code != "FORBIDDEN" {
		t.Error("an analyst drops another's result:", code)
	}
	analyst.ask(dropResult, vars{"i": all["id"]})
	admin.ask(dropResult, vars{"i": then["id"]})
	if code, _ := analyst.refused(resultRows, vars{"name": "sales", "r": all["id"]}); code != "NOT_FOUND" {
		t.Error("what was dropped is read:", code)
	}
	if n := w.schemas(t); n != 8 {
		t.Errorf("%d schemas of results", n)
	}
	if again := analyst.rebuilt(vars{"name": "all", "report": "sales"}); again["status"] != "DONE" {
		t.Error(again)
	}
}

// Everything that makes a difference is told, whatever else does, and nothing else is.
func TestWhyResultsDiffer(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	customer := get[string](admin.ask(register, vars{"i": vars{"name": "Isdom"}}), "registerCustomer.customer.id")
	var last string
	act := func(name, input string) string {
		receipt := get[map[string]any](admin.ask("mutation { "+name+"(input: {"+input+"}) { receipt { position } opportunity { id } } }", nil), name)
		last = get[string](receipt, "receipt.position")
		return get[string](receipt, "opportunity.id")
	}
	deal := func(reference, product, then string) string {
		id := act("openOpportunity", fmt.Sprintf("reference: %q, product: %q, customerId: %q", reference, product, customer))
		act("engageOpportunity", fmt.Sprintf("id: %q", id))
		if then != "" {
			act(then+"Opportunity", map[string]string{"win": fmt.Sprintf("id: %q, value: %q", id, "10.5"), "lose": fmt.Sprintf("id: %q", id)}[then])
		}
		return id
	}
	edited, reopened, other := deal("A", "GTX", "win"), deal("B", "GTX", "win"), deal("C", "MG", "lose")
	deal("D", "GTX", "")
	deal("E", "MG", "")
	before := admin.rebuilt(vars{"name": "before", "report": "sales", "asOf": vars{"position": last}})["id"]
	explained := func(report string, by, measures []string) (lines []string) {
		t.Helper()
		for _, n := range get[[]any](admin.ask(compare, vars{"a": before, "name": report, "by": by, "m": measures, "p": last}), "compareResults.nodes") {
			var events []string
			for _, e := range get[[]any](n, "events.nodes") {
				events = append(events, get[string](e, "type"))
			}
			group, _ := json.Marshal(get[any](n, "group"))
			lines = append(lines, fmt.Sprint(string(group), " ", strings.Join(events, " ")))
		}
		return lines
	}
	same := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	won := []string{"won", "lost", "wonValue"}

	act("editOpportunity", fmt.Sprintf(`id: %q, value: "1000.25"`, edited))
	// Of no influence on numbers of business.
	act("editOpportunity", fmt.Sprintf(`id: %q, reference: "C2"`, other))
	same("an edit", explained("sales", nil, won), "{} opportunity.edited")
	same("a chance", explained("forecast", []string{"product"}, nil), `{"product":"GTX"} opportunity.edited`)
	same("the number of the open", explained("forecast", []string{"product"}, []string{"open"}))
	act("reopenOpportunity", fmt.Sprintf("id: %q", reopened))
	same("an edit and a reopening", explained("sales", nil, won), "{} opportunity.edited opportunity.reopened")
	same("only the reopening", explained("sales", nil, []string{"won"}), "{} opportunity.reopened")
	same("an open one more, and chances", explained("forecast", []string{"product"}, nil), `{"product":"GTX"} opportunity.edited opportunity.reopened`)
	act("reopenOpportunity", fmt.Sprintf("id: %q", other)) // of MG none is closed now: all that are tell of it; GTX still wins each
	same("by what is left", explained("forecast", []string{"product"}, []string{"expectedWon"}), `{"product":"GTX"} opportunity.reopened`, `{"product":"MG"} opportunity.edited opportunity.reopened`)
}

func (w *world) schemas(t *testing.T) (n int) {
	t.Helper()
	if err := w.Pool.QueryRow(t.Context(), "select count(*) from pg_namespace where starts_with(nspname, 'result_named_')").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// While a result is folded: it is told, asked for once, stopped by dropping it, and a process that dies leaves one that has failed.
func TestAResultWhileItIsMade(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	sold(t, admin, admin, get[string](admin.ask(`{ viewer { account { id } } }`, nil), "viewer.account.id"))
	owner, err := pgx.Connect(t.Context(), w.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(t.Context())
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := owner.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	// A fold reads what was skipped first: there it is held up.
	hold := func() { exec("begin"); exec("lock table projections.skipped") }
	status := func(id string) any {
		return get[map[string]any](admin.ask(reportResult, vars{"i": id}), "reportResult")["status"]
	}

	hold()
	id := get[string](admin.ask(rebuildReport, vars{"i": vars{"name": "slow", "report": "sales"}}), "rebuildReport.id")
	for name, want := range map[string]string{"slow": "CONFLICT", "other": "RATE_LIMITED"} {
		if code, e := admin.refused(rebuildReport, vars{"i": vars{"name": name, "report": "sales"}}); code != want {
			t.Errorf("%s meanwhile: %v", name, e)
		}
	}
	if code, _ := admin.refused(resultRows, vars{"name": "sales", "r": id}); code != "CONFLICT" || status(id) != "RUNNING" {
		t.Errorf("read while it is made: %s", code)
	}
	if live := get[[]any](admin.ask(`{ report(name: "sales") { nodes { values } } }`, nil), "report.nodes"); len(live) != 1 {
		t.Error("the live report does not go on")
	}
	s := admin.connect()
	s.start("1", `subscription { reportResult(id: "`+id+`") { status progress } }`)
	var told []string
	for {
		m := s.next()
		if m.Type != "next" {
			break
		}
		var a answer
		if err := json.Unmarshal(m.Payload, &a); err != nil || len(a.Errors) > 0 {
			t.Fatal(err, a)
		}
		if told = append(told, get[string](a.Data, "reportResult.status")); len(told) == 1 {
			exec("rollback")
		}
	}
	if told[0] != "RUNNING" || told[len(told)-1] != "DONE" {
		t.Errorf("told: %s", told)
	}

	hold()
	id = get[string](admin.ask(rebuildReport, vars{"i": vars{"name": "dropped", "report": "sales"}}), "rebuildReport.id")
	admin.ask(dropResult, vars{"i": id})
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) { // it stops by itself, while it is held up
		a := admin.raw(rebuildReport, vars{"i": vars{"name": "next", "report": "sales"}})
		if len(a.Errors) == 0 {
			id = get[string](a.Data, "rebuildReport.id")
			break
		}
		if time.Now().After(until) {
			t.Fatal("a dropped result is folded on:", a.Errors)
		}
	}
	// Its process is not heard of any more, as far as others can see.
	exec("rollback")
	admin.ended(id)
	exec("update projections.results set status = 'RUNNING', beat_at = now() - interval '1 minute' where id = $1", id)
	r := admin.ended(id)
	if r["status"] != "FAILED" || !strings.Contains(r["problem"].(string), "the process that made it ended") || r["endedAt"] == nil {
		t.Error(r)
	}
	if again := admin.rebuilt(vars{"name": "next", "report": "sales"}); again["status"] != "DONE" || again["id"] == id || w.schemas(t) != 2 {
		t.Error(again, w.schemas(t))
	}

	// One that cannot be folded tells so, and leaves nothing.
	exec("alter table projections.skipped rename to gone")
	if failed := admin.rebuilt(vars{"name": "broken", "report": "sales"}); failed["status"] != "FAILED" || failed["problem"] == nil || w.schemas(t) != 2 {
		t.Error(failed)
	}
	exec("alter table projections.gone rename to skipped")
	if again := admin.rebuilt(vars{"name": "broken", "report": "sales"}); again["status"] != "DONE" {
		t.Error(again)
	}

	// As the role that a server takes.
	serving := results.New(w.Engine, w.Pool, results.Config{})
	made, err := serving.Begin(t.Context(), results.Wish{Organization: commands.Home, Name: "served", Report: "sales", Model: "sales", Moment: time.Now()})
	if err == nil {
		err = serving.Fold(t.Context(), made, func(context.Context) error { return nil }, error.Error)
	}
	if err == nil {
		err = serving.Drop(t.Context(), commands.Home, made.ID)
	}
	if err != nil {
		t.Error(err)
	}

	// It is its organization's alone, and one of another version cannot be read.
	exec("update projections.results set version = version + 1 where id = $1", id)
	exec("update projections.results set organization = $2 where name = 'slow' and organization <> $1", uuid.New(), uuid.New())
	for _, r := range get[[]any](admin.ask(`{ reportResults { id name } }`, nil), "reportResults") {
		if get[string](r, "name") == "slow" {
			t.Error("another organization's result is listed")
		}
		exec("update projections.results set version = version + 1 where id = $1", get[string](r, "id"))
		if code, e := admin.refused(resultRows, vars{"name": "sales", "r": get[string](r, "id")}); code != "CONFLICT" {
			t.Error("of another version:", e)
		}
	}
}
