package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/annal-crm/annal/graph"
)

const ask = `query($name: String!, $by: [String!], $m: [String!], $f: ReportFilter, $o: [String!], $n: Int, $after: String, $asOf: AsOf, $p: Position) {
	report(name: $name, groupBy: $by, measures: $m, filter: $f, orderBy: $o, first: $n, after: $after, asOf: $asOf, minPosition: $p) {
		columns { name kind personal } pageInfo { hasNextPage endCursor }
		nodes { values account { loginName } customer { name } events(first: 1) { totalCount nodes { type position } pageInfo { hasNextPage endCursor } } }
	} }`

func TestReports(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	anna, annaID := w.member(admin, "anna", nil, "sales")
	analyst, _ := w.member(admin, "ann.alyst", nil, "analyst")
	customer := get[string](admin.ask(register, vars{"i": vars{"name": "Northwind"}}), "registerCustomer.customer.id")
	var last string
	deal := func(c *client, product string, closing string) {
		t.Helper()
		id := get[string](c.ask(open, vars{"i": vars{"reference": "R", "product": product, "customerId": customer}}), "openOpportunity.opportunity.id")
		last = get[string](c.ask(`mutation($i: OpportunityInput!) { engageOpportunity(input: $i) { receipt { position } } }`, vars{"i": vars{"id": id}}), "engageOpportunity.receipt.position")
		if closing != "" {
			name, _, _ := strings.Cut(closing, "(")
			last = get[string](c.ask("mutation { "+strings.ReplaceAll(closing, "ID", id)+" { receipt { position } } }", nil), name+".receipt.position")
		}
	}
	won := `winOpportunity(input: {id: "ID", value: "10.5"})`
	deal(anna, "GTX", won)
	deal(anna, "GTX", won)
	deal(anna, "GTX", `loseOpportunity(input: {id: "ID"})`)
	before := last
	deal(admin, "MG", won)
	deal(admin, "MG", "")

	report := func(c *client, name string, more vars) []any {
		t.Helper()
		v := vars{"name": name, "p": last}
		for key, value := range more {
			v[key] = value
		}
		return get[[]any](c.ask(ask, v), "report.nodes")
	}
	// rows shows the values of some columns.
	rows := func(nodes []any, columns ...string) (lines []string) {
		for _, n := range nodes {
			var cells []string
			for _, c := range columns {
				cells = append(cells, fmt.Sprint(get[map[string]any](n, "values")[c]))
			}
			lines = append(lines, strings.Join(cells, " "))
		}
		return lines
	}
	same := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}

	byOwner := report(analyst, "sales", vars{"by": []string{"owner", "customer"}, "o": []string{"-won"}})
	same("by owner", rows(byOwner, "won", "lost", "wonValue"), "2 1 21.0", "1 0 10.5")
	if !strings.HasPrefix(get[string](byOwner, "0.account.loginName"), "account-") || get[string](byOwner, "0.customer.name") != "hidden" || get[map[string]any](byOwner[0], "values")["owner"] != annaID {
		t.Error(byOwner[0]) // who may not see personal data sees no names
	}
	same("own", rows(report(anna, "sales", vars{"by": []string{"owner"}}), "won"), "2")
	same("of a product", rows(report(admin, "funnel", vars{"by": []string{"product"}, "f": vars{"where": []vars{{"dimension": "product", "in": []string{"MG"}}}}}), "product", "opened", "open"), "MG 2 1")
	same("of another time", rows(report(admin, "funnel", vars{"by": []string{"product"}, "f": vars{"to": time.Now().AddDate(0, 0, -1)}}), "product"))
	same("forecast", rows(report(admin, "forecast", vars{"by": []string{"stage"}, "m": []string{"open", "expectedWon"}}), "stage", "open", "expectedWon"), "engaging 1 1")
	same("ageing", rows(report(admin, "ageing", vars{"by": []string{"age"}}), "age", "customers"), "000-029 1")
	same("activity", rows(report(admin, "activity", vars{"by": []string{"area"}, "f": vars{"where": []vars{{"dimension": "account", "in": []string{annaID}}}}}), "area", "acts"), "account 2", "audit 1", "opportunity 9") // she has looked behind her report
	same("sources", rows(report(admin, "signins", vars{"by": []string{"source"}, "m": []string{"signedIn", "failed"}}), "source", "signedIn"), "127.0.0.1 3")

	// Down to the events, and on to the next page.
	behind := report(admin, "sales", vars{"by": []string{"product"}})[0]
	if get[float64](behind, "events.totalCount") != 3 || get[string](behind, "events.nodes.0.type") != "opportunity.won" || !get[bool](behind, "events.pageInfo.hasNextPage") {
		t.Error(behind)
	}
	next := admin.ask(`query($a: String) { report(name: "sales", groupBy: ["product"]) { nodes { events(first: 5, after: $a) { nodes { type } pageInfo { hasNextPage hasPreviousPage } } } } }`,
		vars{"a": get[string](behind, "events.pageInfo.endCursor")})
	if got := fmt.Sprint(get[map[string]any](next, "report.nodes.0.events")); got != "map[nodes:[map[type:opportunity.won] map[type:opportunity.lost]] pageInfo:map[hasNextPage:false hasPreviousPage:true]]" {
		t.Error(got)
	}
	if hidden := report(analyst, "signins", vars{"by": []string{"outcome"}})[0]; len(get[[]any](hidden, "events.nodes")) != 0 {
		t.Error("an analyst looks at the events of accounts:", hidden)
	}

	// Page by page, and as of a past.
	first := admin.ask(ask, vars{"name": "sales", "by": []string{"product"}, "n": 1})
	second := report(admin, "sales", vars{"by": []string{"product"}, "n": 1, "after": get[string](first, "report.pageInfo.endCursor")})
	if same("the second page", rows(second, "product"), "MG"); !get[bool](first, "report.pageInfo.hasNextPage") {
		t.Error(first)
	}
	past := report(admin, "sales", vars{"by": []string{"product"}, "asOf": vars{"position": before}})
	if same("as of a position", rows(past, "product", "won", "lost"), "GTX 2 1"); get[float64](past, "0.events.totalCount") != 3 {
		t.Error(past)
	}
	same("as known before", rows(report(admin, "sales", vars{"by": []string{"product"}, "asOf": vars{"knownAt": "2016-01-01T00:00:00Z"}}), "product"))

	for what, c := range map[string]struct {
		by   *client
		v    vars
		code string
		at   string
	}{
		"no such report":       {admin, vars{"name": "weather"}, "INVALID", "name"},
		"no such dimension":    {admin, vars{"name": "sales", "by": []string{"weather"}}, "INVALID", "groupBy"},
		"no such measure":      {admin, vars{"name": "sales", "m": []string{"joy"}}, "INVALID", "measures"},
		"no such filter":       {admin, vars{"name": "sales", "f": vars{"where": []vars{{"dimension": "joy", "in": []string{"x"}}}}}, "INVALID", "filter"},
		"a filter twice":       {admin, vars{"name": "sales", "f": vars{"where": []vars{{"dimension": "month", "in": []string{}}, {"dimension": "month", "in": []string{}}}}}, "INVALID", "filter.where"},
		"no such order":        {admin, vars{"name": "sales", "o": []string{"joy"}}, "INVALID", "orderBy"},
		"not a cursor":         {admin, vars{"name": "sales", "after": "x"}, "INVALID", "after"},
		"a time to come":       {admin, vars{"name": "sales", "asOf": vars{"happenedBy": "2999-01-01T00:00:00Z"}}, "INVALID", "asOf.happenedBy"},
		"sources are personal": {analyst, vars{"name": "signins", "by": []string{"source"}}, "INVALID", ""},
		"a past of one's own":  {anna, vars{"name": "sales", "asOf": vars{"position": before}}, "FORBIDDEN", ""},
		"a stranger":           {w.stranger(), vars{"name": "sales"}, "UNAUTHENTICATED", ""},
	} {
		code, extensions := c.by.refused(ask, c.v)
		if fields, _ := extensions["fields"].(map[string]any); code != c.code || c.at != "" && fields[c.at] == nil {
			t.Errorf("%s: %v", what, extensions)
		}
	}
	if all := get[[]any](anna.ask(`{ reports { name about readModel dimensions { name kind about personal } measures { name } } }`, nil), "reports"); len(all) != 6 {
		t.Error(all)
	}
	if code, _ := admin.refused(`{ report(name: "sales", groupBy: ["owner"], first: 200) { nodes { values events(first: 1) { nodes { type } } } } }`, nil); code != "TOO_COMPLEX" {
		t.Error("200 pages of events:", code)
	}
}
