package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/graph"
)

const (
	ownReport    = `report { name version retired versions { version definition definedBy { loginName } reason } } receipt { position version }`
	defineReport = `mutation($i: DefineReportInput!) { defineReport(input: $i) { ` + ownReport + ` } }`
	retireReport = `mutation($i: RetireReportInput!) { retireReport(input: $i) { ` + ownReport + ` } }`
	ownRows      = `query($name: String!, $v: Int, $r: ID, $by: [String!], $m: [String!], $f: ReportFilter, $asOf: AsOf, $p: Position) {
		report(name: $name, definition: $v, result: $r, groupBy: $by, measures: $m, filter: $f, asOf: $asOf, minPosition: $p) { columns { name } nodes { values } } }`
	compareOwn = `query($a: ID!, $b: ID, $name: String, $v: Int, $by: [String!], $m: [String!], $p: Position) {
		compareResults(a: $a, b: $b, report: $name, definition: $v, groupBy: $by, measures: $m, minPosition: $p) {
			columns { name } nodes { group a b differs events { nodes { type } } } } }`
)

// An analyst defines a report, changes it, and has it rebuilt under both versions: the numbers are those that the deals say.
func TestReportsThatAnalystsDefine(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	anna, annaID := w.member(admin, "anna", nil, "sales")
	analyst, _ := w.member(admin, "ann.alyst", nil, "analyst")
	auditor, _ := w.member(admin, "audi.tor", nil, "auditor")
	adminID := get[string](admin.ask(`{ viewer { account { id } } }`, nil), "viewer.account.id")
	customer := get[string](admin.ask(register, vars{"i": vars{"name": "Isdom"}}), "registerCustomer.customer.id")
	type dealt struct {
		owner, product string
		value          float64 // 0: lost
		reopened       bool
	}
	var last string
	deals := []dealt{{"anna", "GTX", 10.5, false}, {"anna", "GTX", 0, false}, {"anna", "MG", 100, false}, {"admin", "GTX", 20, false}, {"admin", "MG", 0, false}, {"admin", "MG", 0, false}, {"anna", "GTX", 7, true}}
	for _, d := range deals {
		c := map[string]*client{"anna": anna, "admin": admin}[d.owner]
		id := get[string](c.ask(open, vars{"i": vars{"reference": "R", "product": d.product, "customerId": customer}}), "openOpportunity.opportunity.id")
		c.ask(`mutation($i: OpportunityInput!) { engageOpportunity(input: $i) { receipt { position } } }`, vars{"i": vars{"id": id}})
		closing := `loseOpportunity(input: {id: "` + id + `"})`
		if d.value > 0 {
			closing = fmt.Sprintf(`winOpportunity(input: {id: "%s", value: "%v"})`, id, d.value)
		}
		last = get[string](c.ask(`mutation { done: `+closing+` { receipt { position } } }`, nil), "done.receipt.position")
		if d.reopened {
			last = get[string](c.ask(`mutation { done: reopenOpportunity(input: {id: "`+id+`"}) { receipt { position } } }`, nil), "done.receipt.position")
		}
	}

	first := vars{"name": "ours", "basedOn": "sales", "about": "How well we sell", "expectedVersion": 0, "measures": []vars{
		{"name": "gtx", "of": []string{"won"}, "where": []vars{{"dimension": "product", "in": []string{"GTX"}}}},
		{"name": "winRate", "of": []string{"won"}, "per": []string{"won", "lost"}},
		{"name": "each", "of": []string{"wonValue"}, "per": []string{"won"}},
	}}
	second := vars{"name": "ours", "basedOn": "sales", "reason": "a reopened deal was closed once", "expectedVersion": 1, "timeZone": "Asia/Shanghai",
		"events": vars{"without": []string{"opportunity.reopened"}}, "measures": []vars{
			{"name": "gtx", "of": []string{"won"}, "where": []vars{{"dimension": "product", "in": []string{"GTX", "MG"}}}},
			{"name": "winRate", "of": []string{"won"}, "per": []string{"won", "lost"}},
			{"name": "closed", "of": []string{"won", "lost"}},
		}}
	made := get[map[string]any](analyst.ask(defineReport, vars{"i": first}), "defineReport")
	if get[float64](made, "report.version") != 1 || get[string](made, "report.versions.0.definedBy.loginName") == "" || get[float64](made, "receipt.version") != 1 {
		t.Fatal(made)
	}
	again := get[map[string]any](admin.ask(defineReport, vars{"i": vars{"name": "ours", "basedOn": "sales", "about": "How well we sell", "measures": first["measures"]}}), "defineReport")
	if get[float64](again, "report.version") != 1 {
		t.Error("the same again is another version:", again)
	}
	if code, e := analyst.refused(defineReport, vars{"i": first}); code != "CONFLICT" || e["currentVersion"] != 1.0 {
		t.Error("a name taken:", e)
	}
	if v := get[float64](analyst.ask(defineReport, vars{"i": second}), "defineReport.report.version"); v != 2 {
		t.Error(v)
	}
	history := get[[]any](auditor.ask(`{ reportDefinitions { name version retired versions { version definition reason definedBy { loginName } } } }`, nil), "reportDefinitions")
	if len(history) != 1 || get[float64](history, "0.versions.0.version") != 2 || get[string](history, "0.versions.0.definition.timeZone") != "Asia/Shanghai" || get[string](history, "0.versions.0.reason") != second["reason"] ||
		get[string](history, "0.versions.0.definition.events.without.0") != "opportunity.reopened" || get[string](history, "0.versions.1.definition.about") != "How well we sell" ||
		get[string](history, "0.versions.1.definedBy.loginName") != "ann.alyst" || get[string](history, "0.versions.1.definition.measures.1.per.1") != "lost" {
		t.Error(history)
	}
	handed := get[map[string]any](history, "0.versions.0.definition") // what was read may be handed back
	handed["name"] = "ours"
	if v := get[float64](analyst.ask(defineReport, vars{"i": handed}), "defineReport.report.version"); v != 2 {
		t.Error("handed back it is version", v)
	}
	listed := get[[]any](anna.ask(`{ reports { name basedOn definition measures { name kind about } } }`, nil), "reports")
	if len(listed) != 7 || get[string](listed, "6.name") != "ours" || get[string](listed, "6.basedOn") != "sales" || get[float64](listed, "6.definition") != 2 || len(get[[]any](listed, "6.measures")) != 6 || listed[0].(map[string]any)["basedOn"] != nil {
		t.Error(listed)
	}

	// What the deals say, counted here.
	columns := []string{"owner", "won", "lost", "wonValue", "gtx", "winRate"}
	counted := func(version int, owners ...string) (lines []string) {
		for _, owner := range owners {
			var won, lost, gtx int
			var value float64
			for _, d := range deals {
				switch {
				case d.owner != owner || d.reopened && version == 1: // it is open
				case d.value == 0:
					lost++
				default:
					won, value = won+1, value+d.value
					if d.product == "GTX" || version == 2 {
						gtx++
					}
				}
			}
			rate := fmt.Sprintf("%.4f", float64(won)/float64(won+lost))
			lines = append(lines, fmt.Sprint(owner, " ", won, " ", lost, " ", value, " ", gtx, " ", strings.TrimRight(rate, "0")))
		}
		return lines
	}
	rows := func(c *client, v vars) (lines []string) {
		t.Helper()
		v["name"], v["by"], v["p"] = "ours", []string{"owner"}, last
		for _, n := range get[[]any](c.ask(ownRows, v), "report.nodes") {
			var cells []string
			for _, name := range columns {
				cells = append(cells, strings.NewReplacer(adminID, "admin", annaID, "anna").Replace(fmt.Sprint(get[map[string]any](n, "values")[name])))
			}
			lines = append(lines, strings.TrimSuffix(strings.Join(cells, " "), ".0"))
		}
		slices.Sort(lines)
		return lines
	}
	same := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	one, two := analyst.rebuilt(vars{"name": "one", "report": "ours", "definition": 1}), analyst.rebuilt(vars{"name": "two", "report": "ours"})
	if one["status"] != "DONE" || get[float64](analyst.ask(`query($i: ID!) { reportResult(id: $i) { definition } }`, vars{"i": two["id"]}), "reportResult.definition") != 2 || two["report"] != "ours" {
		t.Fatal(one, two)
	}
	same("version 1, live", rows(analyst, vars{"v": 1}), counted(1, "admin", "anna")...)
	same("version 1, one's own", rows(anna, vars{"v": 1}), counted(1, "anna")...)
	same("the newest, folded for the question", rows(analyst, vars{}), counted(2, "admin", "anna")...)
	same("the newest of a past", rows(analyst, vars{"asOf": vars{"position": last}}), counted(2, "admin", "anna")...)
	same("a result of version 1", rows(analyst, vars{"r": one["id"]}), counted(1, "admin", "anna")...)
	same("a result of version 2", rows(analyst, vars{"r": two["id"]}), counted(2, "admin", "anna")...)
	same("a result of version 2 by version 1", rows(analyst, vars{"r": two["id"], "v": 1}), "admin 1 2 20 1 0.3333", "anna 3 1 117.5 2 0.75")
	none := get[[]any](analyst.ask(ownRows, vars{"name": "ours", "v": 1, "f": vars{"where": []vars{{"dimension": "product", "in": []string{"none"}}}}}), "report.nodes")
	if each, there := get[map[string]any](none, "0.values")["each"]; each != nil || !there {
		t.Error("divided by nothing:", none)
	}

	// What differs between the versions, and why.
	differ := func(v vars) (lines []string) {
		t.Helper()
		v["by"], v["p"] = []string{"owner"}, last
		for _, n := range get[[]any](analyst.ask(compareOwn, v), "compareResults.nodes") {
			owner := strings.NewReplacer(adminID, "admin", annaID, "anna").Replace(get[string](n, "group.owner"))
			var why []string
			for _, e := range get[[]any](n, "events.nodes") {
				why = append(why, strings.TrimPrefix(get[string](e, "type"), "opportunity."))
			}
			lines = append(lines, fmt.Sprint(owner, " ", get[any](n, "a.gtx"), "→", get[any](n, "b.gtx"), " ", get[[]any](n, "differs"), " ", why))
		}
		slices.Sort(lines)
		return lines
	}
	same("two versions", differ(vars{"a": one["id"], "b": two["id"]}), "anna 1→3 [won wonValue gtx winRate] [won reopened]") // hers of MG counts there, and what was reopened
	three := vars{"name": "ours", "basedOn": "sales", "expectedVersion": 2, "measures": []vars{{"name": "gtx", "of": []string{"won"}, "where": []vars{{"dimension": "product", "in": []string{"GTX", "MG"}}}}}}
	analyst.ask(defineReport, vars{"i": three})
	third := analyst.rebuilt(vars{"name": "three", "report": "ours"})
	same("a measure of the same deals", differ(vars{"a": one["id"], "b": third["id"]}), "anna 1→2 [gtx] [won]") // hers of MG
	same("with the live report under its version", differ(vars{"a": one["id"]}))
	same("both by one version", differ(vars{"a": one["id"], "b": third["id"], "name": "ours", "v": 3}))
	if common := get[[]any](analyst.ask(compareOwn, vars{"a": one["id"], "b": third["id"]}), "compareResults.columns"); len(common) != 4 {
		t.Error("what both have:", common)
	}

	// It is on record: each version, the rebuilds, and that somebody looked behind the rows.
	summaries := func(types ...string) (all []string) {
		t.Helper()
		admin.folded(admin.put(commands.Home, uuid.New(), 0, "customer.registered", `{"name":"barrier"}`))
		for _, n := range get[[]any](auditor.ask(`query($t: [String!]) { activity(first: 100, filter: {types: $t}) { nodes { actor { loginName } summary } } }`, vars{"t": types}), "activity.nodes") {
			all = append(all, get[string](n, "actor.loginName")+": "+get[string](n, "summary"))
		}
		return all
	}
	same("definitions on record", summaries("report.defined"), "ann.alyst: report ours (version 1) defined, based on sales", "ann.alyst: report ours (version 2) defined, based on sales", "ann.alyst: report ours (version 3) defined, based on sales")
	same("rebuilds on record", summaries("audit.report_rebuilt"), `ann.alyst: report ours rebuilt as "one", with definition=1`, `ann.alyst: report ours rebuilt as "two", with definition=2`, `ann.alyst: report ours rebuilt as "three", with definition=3`)
	looks := summaries("audit.report_read")
	if len(looks) != 2 || !strings.HasPrefix(looks[0], "ann.alyst: report ours (version 1): events behind it shown, with result="+one["id"].(string)) {
		t.Error(looks)
	}
	before := len(looks)
	for range 2 { // once for a question, however often
		admin.ask(`{ report(name: "signins", groupBy: ["source"], filter: {where: [{dimension: "source", in: ["127.0.0.1"]}, {dimension: "outcome", in: ["failed"]}]}) { nodes { values } } }`, nil)
	}
	analyst.ask(`{ report(name: "sales") { nodes { values } } }`, nil) // only numbers
	if looks := summaries("audit.report_read"); len(looks) != before+1 || looks[before] != "admin: report signins: personal fields (source) shown, with outcome=failed, by source" {
		t.Error(looks[before:])
	}

	// The end.
	if end := get[map[string]any](analyst.ask(retireReport, vars{"i": vars{"name": "ours", "expectedVersion": 3}}), "retireReport.report"); end["retired"] != true || len(get[[]any](end, "versions")) != 3 {
		t.Error(end)
	}
	same("a result of a retired report", rows(analyst, vars{"r": one["id"]}), counted(1, "admin", "anna")...)
	admin.ask(defineReport, vars{"i": vars{"name": "personal", "basedOn": "signins", "measures": []vars{{"name": "places", "of": []string{"sources"}}}}})
	admin.ask(defineReport, vars{"i": vars{"name": "filtered", "basedOn": "sales", "events": vars{"without": []string{"opportunity.won"}}}})
	of := func(name string, more vars) vars {
		i := vars{"name": name, "basedOn": "sales"}
		for k, v := range more {
			i[k] = v
		}
		return vars{"i": i}
	}
	for what, c := range map[string]struct {
		by       *client
		query    string
		v        vars
		code, at string
	}{
		"a retired report":               {analyst, ownRows, vars{"name": "ours"}, "CONFLICT", ""},
		"a version of a retired report":  {analyst, ownRows, vars{"name": "ours", "v": 1}, "CONFLICT", ""},
		"a rebuild of a retired report":  {analyst, rebuildReport, vars{"i": vars{"name": "w", "report": "ours"}}, "CONFLICT", ""},
		"a version that is not there":    {analyst, rebuildReport, vars{"i": vars{"name": "w", "report": "filtered", "definition": 2}}, "INVALID", "input.definition"},
		"a version below 1":              {analyst, ownRows, vars{"name": "filtered", "v": 0}, "INVALID", "definition"},
		"a version of a built-in report": {analyst, ownRows, vars{"name": "sales", "v": 1}, "INVALID", "definition"},
		"a report that is not there":     {analyst, ownRows, vars{"name": "weather"}, "INVALID", "name"},
		"a rebuild of nothing":           {analyst, rebuildReport, vars{"i": vars{"name": "w", "report": "weather"}}, "INVALID", "input.report"},
		"one's own without some events":  {anna, ownRows, vars{"name": "filtered"}, "FORBIDDEN", ""},
		"other events than the result's": {analyst, ownRows, vars{"name": "filtered", "r": one["id"]}, "INVALID", "result"},
		"a measure only one side has":    {analyst, compareOwn, vars{"a": one["id"], "b": two["id"], "m": []string{"closed"}}, "INVALID", "measures"},
		"a personal measure":             {analyst, ownRows, vars{"name": "personal", "m": []string{"places"}}, "INVALID", ""},
		"a name taken by a built-in one": {analyst, defineReport, of("sales", nil), "CONFLICT", ""},
		"a seller defines":               {anna, defineReport, of("hers", nil), "FORBIDDEN", ""},
		"an auditor defines":             {auditor, defineReport, of("theirs", nil), "FORBIDDEN", ""},
		"an auditor retires":             {auditor, retireReport, vars{"i": vars{"name": "filtered"}}, "FORBIDDEN", ""},
		"a stranger defines":             {w.stranger(), defineReport, of("theirs", nil), "UNAUTHENTICATED", ""},
		"another version than expected":  {analyst, retireReport, vars{"i": vars{"name": "filtered", "expectedVersion": 7}}, "CONFLICT", ""},
		"retiring nothing":               {analyst, retireReport, vars{"i": vars{"name": "weather"}}, "NOT_FOUND", ""},
		"a name that cannot be":          {analyst, defineReport, of("../x", nil), "INVALID", "input.name"},
		"a base that is not there":       {analyst, defineReport, vars{"i": vars{"name": "w", "basedOn": "weather"}}, "INVALID", "input.basedOn"},
		"a base of one's own":            {analyst, defineReport, vars{"i": vars{"name": "w", "basedOn": "filtered"}}, "INVALID", "input.basedOn"},
		"a measure of nothing there":     {analyst, defineReport, of("w", vars{"measures": []vars{{"name": "a", "of": []string{"joy"}}}}), "INVALID", "input.measures.0.of"},
		"a measure's name twice":         {analyst, defineReport, of("w", vars{"measures": []vars{{"name": "won", "of": []string{"lost"}}}}), "INVALID", "input.measures.0.name"},
		"a zone that is not there":       {analyst, defineReport, of("w", vars{"timeZone": "Asia/Atlantis"}), "INVALID", "input.timeZone"},
		"bands of what has no age":       {analyst, defineReport, of("w", vars{"bands": []int{30}}), "INVALID", "input.bands"},
		"bands that go back":             {analyst, defineReport, vars{"i": vars{"name": "w", "basedOn": "ageing", "bands": []int{60, 30}}}, "INVALID", "input.bands"},
		"an address in a definition":     {admin, defineReport, vars{"i": vars{"name": "w", "basedOn": "signins", "where": []vars{{"dimension": "source", "in": []string{"::1"}}}}}, "INVALID", "input.where"},
		"a condition on nothing there":   {analyst, defineReport, of("w", vars{"where": []vars{{"dimension": "weather", "in": []string{"rain"}}}}), "INVALID", "input.where"},
		"a negative version":             {analyst, defineReport, of("w", vars{"expectedVersion": -1}), "INVALID", "input.expectedVersion"},
	} {
		code, extensions := c.by.refused(c.query, c.v)
		if fields, _ := extensions["fields"].(map[string]any); code != c.code || c.at != "" && fields[c.at] == nil {
			t.Errorf("%s: %v", what, extensions)
		}
	}
	if back := get[float64](analyst.ask(defineReport, vars{"i": vars{"name": "ours", "basedOn": "funnel"}}), "defineReport.report.version"); back != 4 {
		t.Error("defined again it is version", back)
	}
}
