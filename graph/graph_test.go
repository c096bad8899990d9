package graph_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/graph"
)

const (
	register = `mutation($i: RegisterCustomerInput!) { registerCustomer(input: $i) { customer { id version name phone owner { loginName } } receipt { position version } } }`
	edit     = `mutation($i: EditCustomerInput!) { editCustomer(input: $i) { customer { id version name phone sector attributes } receipt { position version } } }`
	open     = `mutation($i: OpenOpportunityInput!) { openOpportunity(input: $i) { opportunity { id version stage owner { loginName } customer { name } } receipt { position } } }`
)

func TestAWriteIsReadBack(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")

	made := admin.ask(register, vars{"i": vars{"name": "Northwind", "phone": "+1 555 0100", "attributes": vars{"b": "2", "a": "1"}}})
	id := get[string](made, "registerCustomer.customer.id")
	if owner := get[string](made, "registerCustomer.customer.owner.loginName"); owner != "admin" {
		t.Errorf("it belongs to %q", owner)
	}

	done := admin.ask(edit, vars{"i": vars{"id": id, "expectedVersion": 1, "phone": nil, "sector": "retail", "reason": "called back", "attributes": vars{"a": nil}}})
	if v := get[float64](done, "editCustomer.customer.version"); v != 2 {
		t.Errorf("version %v", v)
	}
	customer := get[map[string]any](done, "editCustomer.customer")
	if customer["phone"] != nil || customer["name"] != "Northwind" || customer["sector"] != "retail" || fmt.Sprint(customer["attributes"]) != "map[b:2]" {
		t.Errorf("null clears, absent stays: %v", customer)
	}
	read := admin.ask(`query($id: ID!, $p: Position) { customer(id: $id, minPosition: $p) { sector } }`, vars{"id": id, "p": get[string](done, "editCustomer.receipt.position")})
	if get[string](read, "customer.sector") != "retail" {
		t.Error(read)
	}

	history := admin.ask(`query($id: ID, $p: Position) { activity(filter: {customer: $id}, minPosition: $p) {
		nodes { type actor { loginName } ip device reason summary data position } totalCount } }`, vars{"id": id, "p": get[string](done, "editCustomer.receipt.position")})
	if n := get[float64](history, "activity.totalCount"); n != 2 {
		t.Fatalf("%v events", n)
	}
	edited := get[map[string]any](history, "activity.nodes.1")
	if edited["type"] != "customer.edited" || edited["reason"] != "called back" || edited["ip"] != "127.0.0.1" || edited["device"] != "graph-test" ||
		get[string](edited, "actor.loginName") != "admin" || get[string](edited, "data.phone.from") != "+1 555 0100" || edited["summary"] == "" {
		t.Errorf("who, why, from where, from what to what: %v", edited)
	}

	if found := admin.ask(`query($id: ID!) { customer(id: $id) { id } opportunity(id: $id) { id } account(id: $id) { id } }`, vars{"id": somebody}); found["customer"] != nil || found["opportunity"] != nil || found["account"] != nil {
		t.Errorf("what is not there is null: %v", found)
	}
}

func TestAResendIsOneAct(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	input := vars{"i": vars{"commandId": uuid.NewString(), "name": "Once"}}
	one, two := admin.ask(register, input), admin.ask(register, input)
	if a, b := fmt.Sprint(one), fmt.Sprint(two); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestErrorsHaveCodes(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	id := get[string](admin.ask(register, vars{"i": vars{"name": "Northwind"}}), "registerCustomer.customer.id")
	admin.ask(edit, vars{"i": vars{"id": id, "phone": "1"}})

	archived := get[string](admin.ask(register, vars{"i": vars{"name": "Put away"}}), "registerCustomer.customer.id")
	admin.ask(`mutation($i: CustomerInput!) { archiveCustomer(input: $i) { receipt { version } } }`, vars{"i": vars{"id": archived}})

	for name, c := range map[string]struct {
		by        *client
		query     string
		variables vars
		code      string
		more      string // in the extensions
	}{
		"a stale version":            {admin, edit, vars{"i": vars{"id": id, "expectedVersion": 1, "phone": "2"}}, "CONFLICT", `"changedFields":["phone"],"code":"CONFLICT","currentVersion":2`},
		"a version not there yet":    {admin, edit, vars{"i": vars{"id": id, "expectedVersion": 99, "phone": "2"}}, "CONFLICT", `"changedFields":[],"code":"CONFLICT","currentVersion":2`},
		"a version below one":        {admin, edit, vars{"i": vars{"id": id, "expectedVersion": 0, "phone": "2"}}, "INVALID", `"input.expectedVersion"`},
		"a blank name":               {admin, edit, vars{"i": vars{"id": id, "name": " "}}, "INVALID", `"input.name":"must not be blank"`},
		"a name of 10 000 letters":   {admin, register, vars{"i": vars{"name": strings.Repeat("x", 10_000)}}, "INVALID", `"input.name"`},
		"several fields at once":     {admin, register, vars{"i": vars{"name": "", "email": "x"}}, "INVALID", `"input.email":"is not an e-mail address","input.name"`},
		"a field under another name": {admin, `mutation { inviteAccount(input: {loginName: "x", displayName: "X", teamId: "` + somebody + `"}) { account { id } } }`, nil, "INVALID", `"input.teamId"`},
		"attributes that are a list": {admin, register, vars{"i": vars{"name": "x", "attributes": []int{1}}}, "INVALID", `"input.attributes"`},
		"a mutation of nothing":      {admin, edit, vars{"i": vars{"id": somebody, "phone": "2"}}, "NOT_FOUND", ""},
		"an id that is none":         {admin, `{ customer(id: "1") { id } }`, nil, "INVALID", `"fields":{"id":"is not an id"}`},
		"an id that is none, deep":   {admin, edit, vars{"i": vars{"id": "x"}}, "INVALID", `"fields":{"input.id":"is not an id"}`},
		"an archived customer":       {admin, edit, vars{"i": vars{"id": archived, "name": "x"}}, "CONFLICT", ""},
		"nobody signed in":           {w.stranger(), `{ customers { totalCount } }`, nil, "UNAUTHENTICATED", ""},
		"a forged token":             {&client{w, admin.token[:len(admin.token)-2] + "AA"}, `{ viewer { permissions } }`, nil, "UNAUTHENTICATED", ""},
		"a token of nonsense":        {&client{w, "\"; drop table events"}, `{ viewer { permissions } }`, nil, "UNAUTHENTICATED", ""},
		"a wrong password":           {w.stranger(), `mutation { logIn(input: {loginName: "admin", password: "x"}) { token } }`, nil, "INVALID_CREDENTIALS", ""},
		"an unknown name":            {w.stranger(), `mutation { logIn(input: {loginName: "nobody", password: "x"}) { token } }`, nil, "INVALID_CREDENTIALS", ""},
		"an activation token":        {w.stranger(), `mutation { activateAccount(input: {token: "x", password: "` + password + `"}) { account { id } } }`, nil, "INVALID", ""},
		"a position far ahead":       {admin, `{ customer(id: "` + id + `", minPosition: "999999999") { id } }`, nil, "UNAVAILABLE", ""},
		"a page too large":           {admin, `{ customers(first: 201) { totalCount } }`, nil, "INVALID", `"fields":{"first":`},
		"a page of nothing":          {admin, `{ customers(last: 0) { totalCount } }`, nil, "INVALID", `"fields":{"last":`},
		"a page from both ends":      {admin, `{ customers(first: 1, last: 1) { totalCount } }`, nil, "INVALID", `"fields":{"last":`},
		"a cursor made up":           {admin, `{ customers(after: "WyJ4Il0") { totalCount } }`, nil, "INVALID", `"fields":{"after":`},
		"a cursor that is none":      {admin, `{ activity(before: "\u0000") { totalCount } }`, nil, "INVALID", `"fields":`},
		"a cursor of another list":   {admin, `{ customers(after: "` + cursor(admin) + `") { totalCount } }`, nil, "INVALID", `"fields":{"after":`},
		"too deep":                   {admin, "{ organization { teams { " + strings.Repeat("parent { ", 10) + "id" + strings.Repeat(" }", 13), nil, "TOO_COMPLEX", `"limit":12`},
		"too costly":                 {admin, "{ " + strings.Repeat("a: viewer { permissions } ", 1) + manyPages(8) + "}", nil, "TOO_COMPLEX", `"limit":10000`},
		"a report on references":     {admin, `{ salesReport(groupBy: [MONTH], filter: {reference: {eq: "x"}}) { won } }`, nil, "INVALID", `"filter.reference"`},
		"a role that is not there":   {admin, `mutation { grantRole(input: {accountId: "` + somebody + `", role: "x"}) { account { id } } }`, nil, "NOT_FOUND", ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, extensions := c.by.refused(c.query, c.variables)
			more, _ := json.Marshal(extensions)
			if code != c.code || !strings.Contains(string(more), c.more) {
				t.Errorf("got %s", more)
			}
		})
	}
	if log := w.logs.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("something was INTERNAL: %s", log)
	}
}

func cursor(c *client) string {
	return get[string](c.ask(`{ accounts(first: 1) { edges { cursor } } }`, nil), "accounts.edges.0.cursor")
}

func manyPages(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "p%d: customers(first: 200) { nodes { id name sector country website phone } } ", i)
	}
	return b.String()
}

// Whatever a stranger or a member sends, the answer is one of ours, in JSON, and nothing of the inside.
func TestAttacks(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	query := func(q string) string { b, _ := json.Marshal(vars{"query": q}); return string(b) }
	with := func(q, variables string) string {
		b, _ := json.Marshal(q)
		return `{"query":` + string(b) + `,"variables":` + variables + `}`
	}
	one := `query($id: ID!) { customer(id: $id) { id } }`
	list := `query($f: CustomerFilter, $n: Int) { customers(first: $n, filter: $f) { totalCount nodes { id } } }`
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"nothing":                        {"", 400, "INVALID"},
		"no JSON":                        {"{", 400, "INVALID"},
		"a string":                       {`"x"`, 400, "INVALID"},
		"a batch":                        {"[" + query("{ viewer { permissions } }") + "]", 400, "INVALID"},
		"two objects":                    {query("{ viewer { permissions } }") + "{}", 400, "INVALID"},
		"no query":                       {"{}", 200, "INVALID"},
		"a query that is a number":       {`{"query": 1}`, 400, "INVALID"},
		"invalid UTF-8":                  {"{\"query\": \"{ \xff }\"}", 400, "INVALID"},
		"a body of 1 MiB and more":       {query(strings.Repeat(" ", 1<<20) + "{ viewer { permissions } }"), 413, "INVALID"},
		"malformed GraphQL":              {query("{ viewer { "), 200, "INVALID"},
		"an unknown field":               {query("{ password }"), 200, "INVALID"},
		"an unknown argument":            {query("{ viewer(x: 1) { permissions } }"), 200, "INVALID"},
		"two operations, no name":        {query("query a { viewer { permissions } } query b { viewer { permissions } }"), 200, "INVALID"},
		"6000 tokens":                    {query("{ " + strings.Repeat("viewer { permissions } ", 1500) + "}"), 200, "INVALID"},
		"10 000 brackets":                {query(strings.Repeat("{", 10_000)), 200, "INVALID"},
		"fragments that go round":        {query("{ viewer { ...a } } fragment a on Viewer { ...b } fragment b on Viewer { ...a }"), 200, "INVALID"},
		"a variable of wrong type":       {with(one, `{"id": {"a": 1}}`), 200, "INVALID"},
		"a variable too few":             {with(one, `{}`), 200, "INVALID"},
		"an id of 1 MB":                  {with(one, `{"id": "`+strings.Repeat("a", 1_000_000)+`"}`), 200, "INVALID"},
		"variables in a list":            {with(one, `[1]`), 400, "INVALID"},
		"a number too large":             {with(list, `{"n": 1e400}`), 200, "INVALID"},
		"a number of 30 digits":          {with(list, `{"n": 100000000000000000000000000000}`), 200, "INVALID"},
		"a fraction":                     {with(list, `{"n": 1.5}`), 200, "INVALID"},
		"digits in a string":             {with(list, `{"n": "999999"}`), 200, "INVALID"},
		"a NUL":                          {with(list, `{"f": {"name": {"eq": "\u0000"}}}`), 200, "INVALID"},
		"half a surrogate":               {with(list, `{"f": {"name": {"eq": "\ud800"}}}`), 200, ""},
		"SQL":                            {with(list, `{"f": {"name": {"contains": "'; drop table customers; --%_\\"}}}`), 200, ""},
		"an unknown filter":              {with(list, `{"f": {"owner_id": 1}}`), 200, "INVALID"},
		"an enum of another case":        {with(`query($s: OpportunityStage) { opportunities(filter: {stage: {eq: $s}}) { totalCount } }`, `{"s": "won"}`), 200, ""},
		"an enum that is none":           {with(`query($s: OpportunityStage) { opportunities(filter: {stage: {eq: $s}}) { totalCount } }`, `{"s": "lost in space"}`), 200, "INVALID"},
		"a negative position":            {query(`{ customers(minPosition: "-1") { totalCount } }`), 200, "INVALID"},
		"a position of 30 digits":        {query(`{ customers(minPosition: "100000000000000000000000000000") { totalCount } }`), 200, "INVALID"},
		"a time that is none":            {query(`{ activity(filter: {from: "yesterday"}) { totalCount } }`), 200, "INVALID"},
		"a time in the year 0":           {query(`{ activity(filter: {from: "0000-01-01T00:00:00Z"}) { totalCount } }`), 200, "INVALID"},
		"a decimal of 30 digits":         {query(`mutation { winOpportunity(input: {id: "` + somebody + `", value: "100000000000000000000000000000"}) { receipt { version } } }`), 200, "INVALID"},
		"a duration of a thousand years": {query(`mutation { changeLockoutPolicy(input: {attempts: 3, window: "8766000h", lockFor: "1s"}) { receipt { version } } }`), 200, "INVALID"},
		"a subscription by POST":         {query("subscription { activity { type } }"), 200, "INVALID"},
		"introspection":                  {query("{ __schema { types { name fields { name type { name ofType { name } } } } } }"), 200, ""},
		"26 times introspection":         {query("{ " + strings.Repeat(" ", 1) + aliases(26, "__schema { types { name } }") + "}"), 200, "TOO_COMPLEX"},
		"a fragment bomb":                {query(bomb(30)), 200, "TOO_COMPLEX"},
		"the same field 1000 times":      {query("{ viewer { " + strings.Repeat("permissions ", 1000) + "} }"), 200, ""},
		"an array for a list":            {with(`query($t: [String!]) { activity(filter: {types: $t}) { totalCount } }`, `{"t": [null]}`), 200, "INVALID"},
		"10 000 types":                   {with(`query($t: [String!]) { activity(filter: {types: $t}) { totalCount } }`, `{"t": ["account.locked"`+strings.Repeat(`,"account.locked"`, 9_999)+`]}`), 200, ""},
		"a type that is none":            {query(`{ activity(filter: {types: ["account.lockd"]}) { totalCount } }`), 200, "INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := admin.do([]byte(c.body), nil)
			var a answer
			if err := json.Unmarshal(text, &a); err != nil {
				t.Fatalf("%v: %.300s", err, text)
			}
			code := ""
			if len(a.Errors) > 0 {
				code, _ = a.Errors[0].Extensions["code"].(string)
			}
			if status != c.status || code != c.code {
				t.Errorf("%d %q, want %d %q: %.300s", status, code, c.status, c.code, text)
			}
			if len(text) > 100_000 && name != "introspection" {
				t.Errorf("an answer of %d bytes", len(text))
			}
		})
	}
	if log := w.logs.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("something was INTERNAL: %s", log)
	}
	for _, header := range []string{"text/plain", "", "multipart/form-data", "application/x-www-form-urlencoded"} { // what a browser sends without asking first
		if status, text := admin.do([]byte(query("{ viewer { permissions } }")), map[string][]string{"Content-Type": {header}}); status != 415 {
			t.Errorf("%q: %d %s", header, status, text)
		}
	}
}

func aliases(n int, field string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d: %s ", i, field)
	}
	return b.String()
}

func bomb(n int) string {
	var b strings.Builder
	b.WriteString("{ customers { nodes { ...f0 } } } ")
	for i := range n {
		fmt.Fprintf(&b, "fragment f%d on Customer { ...f%d ...f%d } ", i, i+1, i+1)
	}
	fmt.Fprintf(&b, "fragment f%d on Customer { id }", n)
	return b.String()
}

// However large the page, its edges cost one statement each.
func TestStatementsOfAPage(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	var last string
	for i := range 20 {
		customer := get[string](admin.ask(register, vars{"i": vars{"name": fmt.Sprint("Customer ", i)}}), "registerCustomer.customer.id")
		last = get[string](admin.ask(open, vars{"i": vars{"reference": fmt.Sprint("O", i), "customerId": customer}}), "openOpportunity.receipt.position")
	}
	admin.ask(`query($p: Position) { activity(first: 1, minPosition: $p) { nodes { type } } salesReport(groupBy: [], minPosition: $p) { won } }`, vars{"p": last})
	for name, c := range map[string]struct {
		query string
		want  int64
		nodes string
	}{
		"opportunities":          {`{ opportunities(first: 20) { nodes { reference owner { loginName } customer { name } } } }`, 3, "opportunities.nodes"},
		"by edges":               {`{ opportunities(first: 20) { edges { node { reference owner { loginName } customer { name } } } } }`, 3, "opportunities.edges"},
		"edges of edges":         {`{ opportunities(first: 20) { nodes { customer { name owner { loginName } } } } }`, 3, "opportunities.nodes"},
		"customers":              {`{ customers(first: 20) { nodes { name owner { loginName } } } }`, 2, "customers.nodes"},
		"what is not asked for":  {`{ customers(first: 20) { nodes { name } } }`, 1, "customers.nodes"},
		"a count":                {`{ customers(first: 20) { nodes { name } totalCount } }`, 2, "customers.nodes"},
		"activity":               {`{ activity(last: 20) { nodes { type actor { loginName } } } }`, 2, "activity.nodes"},
		"the same edge by alias": {`{ customers(first: 20) { nodes { a: owner { loginName } b: owner { loginName } } } }`, 2, "customers.nodes"},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.statements.n.Load()
			data := admin.ask(c.query, nil)
			if n := w.statements.n.Load() - before; n != c.want {
				t.Errorf("%d statements, want %d", n, c.want)
			}
			if n := len(get[[]any](data, c.nodes)); n != 20 {
				t.Errorf("%d nodes", n)
			}
			if text := fmt.Sprint(data); strings.Contains(text, "<nil>") {
				t.Errorf("an edge is missing: %s", text)
			}
		})
	}
}

func TestRightsNarrowWhatIsSeen(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	team := get[string](admin.ask(`mutation { createTeam(input: {name: "West"}) { team { id } } }`, nil), "createTeam.team.id")
	anna, annaID := w.member(admin, "anna", team, "sales")
	ben, _ := w.member(admin, "ben", nil, "sales")
	boss, bossID := w.member(admin, "boss", nil, "manager")
	analyst, _ := w.member(admin, "ann.alyst", nil, "analyst")
	nobody, _ := w.member(admin, "nobody", nil)
	managed := admin.ask(`mutation($i: SetTeamManagerInput!) { setTeamManager(input: $i) { team { manager { loginName } } } }`, vars{"i": vars{"teamId": team, "managerId": bossID}})
	if get[string](managed, "setTeamManager.team.manager.loginName") != "boss" {
		t.Error(managed)
	}
	customer := get[string](admin.ask(register, vars{"i": vars{"name": "Secret Person", "email": "p@example.org"}}), "registerCustomer.customer.id")
	opportunity := anna.ask(open, vars{"i": vars{"reference": "A1", "customerId": customer}})
	id := get[string](opportunity, "openOpportunity.opportunity.id")
	at := get[string](opportunity, "openOpportunity.receipt.position")

	total := func(c *client) float64 {
		return get[float64](c.ask(`query($p: Position) { opportunities(minPosition: $p) { totalCount } }`, vars{"p": at}), "opportunities.totalCount")
	}
	if anna, ben, boss := total(anna), total(ben), total(boss); anna != 1 || ben != 0 || boss != 1 {
		t.Errorf("an owner sees %v, a colleague %v, the manager %v", anna, ben, boss)
	}
	if found := ben.ask(`query($id: ID!) { opportunity(id: $id) { id } }`, vars{"id": id}); found["opportunity"] != nil {
		t.Error("out of scope is null")
	}
	if code, _ := ben.refused(`mutation($i: OpportunityInput!) { loseOpportunity(input: $i) { receipt { version } } }`, vars{"i": vars{"id": id}}); code != "NOT_FOUND" {
		t.Error(code)
	}
	if code, _ := ben.refused(`mutation($i: RoleInput!) { grantRole(input: $i) { receipt { version } } }`, vars{"i": vars{"accountId": annaID, "role": "administrator"}}); code != "FORBIDDEN" {
		t.Error(code)
	}
	if code, _ := nobody.refused(`{ customers { totalCount } }`, nil); code != "FORBIDDEN" {
		t.Error(code)
	}
	if own := nobody.ask(`{ viewer { account { loginName email } permissions sessions { current } } readModels { name status } organization { name } }`, nil); get[string](own, "viewer.account.email") != "nobody@example.org" || !get[bool](own, "viewer.sessions.0.current") {
		t.Errorf("everybody sees themselves: %v", own)
	}

	// Who may see a record may see whose it is, and no more of that account.
	owner := get[map[string]any](ben.ask(`query($id: ID!) { customer(id: $id) { owner { loginName displayName email roles status team { name } } } }`, vars{"id": customer}), "customer.owner")
	if owner["loginName"] != "admin" || owner["email"] != nil || len(owner["roles"].([]any)) != 0 || owner["status"] != "ACTIVE" {
		t.Errorf("%v", owner)
	}

	// Personal data are masked on every way to them.
	masked := analyst.ask(`query($id: ID!, $p: Position) {
		customer(id: $id) { name email owner { loginName displayName email } }
		opportunities { nodes { customer { name } owner { displayName } } }
		activity(last: 100, minPosition: $p) { nodes { summary data ip device actor { displayName } } } }`, vars{"id": customer, "p": at})
	if text := fmt.Sprint(masked); strings.Contains(text, "Secret") || strings.Contains(text, "p@example") || strings.Contains(text, "D. anna") || strings.Contains(text, "127.0.0.1") {
		t.Errorf("%s", text)
	}
	if n := len(get[[]any](masked, "activity.nodes")); n == 0 {
		t.Error("the analyst sees no activity at all")
	}
	for _, query := range []string{`{ customers(filter: {name: {startsWith: "S"}}) { totalCount } }`} {
		if code, extensions := analyst.refused(query, nil); code != "INVALID" {
			t.Errorf("%s: %v", query, extensions)
		}
	}
	if seen := fmt.Sprint(ben.ask(`{ activity(last: 100) { nodes { data summary } } }`, nil)); strings.Contains(seen, id) || strings.Contains(seen, "A1") {
		t.Error("a foreign record is in somebody's activity")
	}

	// Given away is out of scope, and still shown by the act that gave it away.
	given := anna.raw(`mutation($i: ReassignOpportunityInput!) { reassignOpportunity(input: $i) { opportunity { owner { loginName } } } }`, vars{"i": vars{"id": id, "ownerId": annaID}})
	if len(given.Errors) > 0 || get[string](given.Data, "reassignOpportunity.opportunity.owner.loginName") != "anna" {
		t.Error(given)
	}
}

func TestARightIsGoneWithinTheSameOperation(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	a := admin.raw(`mutation { logOut { ended } registerCustomer(input: {name: "Too late"}) { customer { id } } }`, nil)
	if len(a.Errors) != 1 || a.Errors[0].Extensions["code"] != "UNAUTHENTICATED" {
		t.Errorf("%+v", a)
	}
	if code, _ := admin.refused(`{ viewer { permissions } }`, nil); code != "UNAUTHENTICATED" {
		t.Error(code)
	}
}

// A read model that lags does not make an act undone.
func TestAnActThatCannotBeShownYetSaysThatItIsDone(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	w.stopEngine()
	code, extensions := admin.refused(register, vars{"i": vars{"name": "Done"}})
	if code != "UNAVAILABLE" || get[string](extensions, "receipt.position") == "" || get[float64](extensions, "receipt.version") != 1 {
		t.Errorf("%v", extensions)
	}
}

// What goes wrong inside is found by its reference in the log, and nowhere in the answer.
func TestAnInternalErrorShowsNothing(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	if _, err := w.Pool.Exec(t.Context(), "alter schema customers_v2 rename to elsewhere"); err != nil {
		t.Fatal(err)
	}
	a := admin.raw(`{ customers { nodes { id } } }`, nil)
	text, _ := json.Marshal(a)
	reference, _ := a.Errors[0].Extensions["reference"].(string)
	if a.Errors[0].Extensions["code"] != "INTERNAL" || reference == "" || strings.Contains(string(text), "customers_v2") || strings.Contains(string(text), "SQLSTATE") {
		t.Errorf("%s", text)
	}
	log := w.logs.String()
	if strings.Count(log, reference) != 1 || !strings.Contains(log, "42P01") {
		t.Errorf("in the log: %s", log)
	}
}

func TestEverythingAPersonCauses(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	_, id := w.member(admin, "carl", nil, "sales")
	customer := get[string](admin.ask(register, vars{"i": vars{"name": "C"}}), "registerCustomer.customer.id")
	opportunity := get[string](admin.ask(open, vars{"i": vars{"reference": "R"}}), "openOpportunity.opportunity.id")
	parent := get[string](admin.ask(`mutation { createTeam(input: {name: "Parent"}) { team { id } } }`, nil), "createTeam.team.id")
	child := get[string](admin.ask(`mutation { createTeam(input: {name: "Child"}) { team { id } } }`, nil), "createTeam.team.id")
	r := strings.NewReplacer("CARL", `"`+id+`"`, "CUSTOMER", `"`+customer+`"`, "OPPORTUNITY", `"`+opportunity+`"`, "PARENT", `"`+parent+`"`, "CHILD", `"`+child+`"`, "PASSWORD", `"`+password+`"`)
	var at string
	for _, c := range []struct{ mutation, want string }{
		{`defineRole(input: {role: "clerk", permissions: [{permission: "customer.view", scope: ALL}]}) { organization { roles { name } } `, "clerk"},
		{`addPermission(input: {role: "clerk", permission: "customer.edit", scope: OWN}) { organization { roles { permissions { permission scope } } } `, "OWN"},
		{`removePermission(input: {role: "clerk", permission: "customer.edit"}) { organization { name } `, "Analytical Engines"},
		{`changeLockoutPolicy(input: {attempts: 5, window: "5m", lockFor: "1h30m"}) { organization { lockoutPolicy { attempts window lockFor } } `, "1h30m"},
		{`moveTeam(input: {teamId: CHILD, parentId: PARENT}) { team { name parent { name } } `, "Parent"},
		{`setTeamManager(input: {teamId: CHILD, managerId: CARL}) { team { manager { loginName } } `, "carl"},
		{`moveToTeam(input: {accountId: CARL, teamId: CHILD}) { account { team { name parent { name } } } `, "Child"},
		{`grantRole(input: {accountId: CARL, role: "clerk", reason: "new job"}) { account { roles } `, "clerk"},
		{`revokeRole(input: {accountId: CARL, role: "sales"}) { account { roles } `, "[clerk]"},
		{`deactivateAccount(input: {accountId: CARL}) { account { status } `, "DEACTIVATED"},
		{`reactivateAccount(input: {accountId: CARL}) { account { status } `, "ACTIVE"},
		{`unlockAccount(input: {accountId: CARL, reason: "asked"}) { account { status } `, "ACTIVE"},
		{`changePassword(input: {currentPassword: PASSWORD, newPassword: "another long enough one 7"}) { account { loginName } `, "admin"},
		{`editCustomer(input: {id: CUSTOMER, website: "https://example.org"}) { customer { website } `, "https://example.org"},
		{`reassignCustomer(input: {id: CUSTOMER, ownerId: CARL}) { customer { owner { loginName } } `, "carl"},
		{`archiveCustomer(input: {id: CUSTOMER}) { customer { archived } `, "true"},
		{`restoreCustomer(input: {id: CUSTOMER}) { customer { archived } `, "false"},
		{`editOpportunity(input: {id: OPPORTUNITY, customerId: CUSTOMER, product: "GTX Pro"}) { opportunity { product customer { name } } `, "GTX Pro"},
		{`engageOpportunity(input: {id: OPPORTUNITY}) { opportunity { stage engagedAt } `, "ENGAGING"},
		{`winOpportunity(input: {id: OPPORTUNITY, value: "1234.5"}) { opportunity { stage value closedAt } `, "1234.5"},
		{`reopenOpportunity(input: {id: OPPORTUNITY}) { opportunity { stage } `, "ENGAGING"},
		{`loseOpportunity(input: {id: OPPORTUNITY}) { opportunity { stage } `, "LOST"},
		{`reassignOpportunity(input: {id: OPPORTUNITY, ownerId: CARL}) { opportunity { owner { loginName } } `, "carl"},
	} {
		data := admin.ask(r.Replace("mutation { "+c.mutation+" receipt { position version } } }"), nil)
		if text := fmt.Sprint(data); !strings.Contains(text, c.want) {
			t.Errorf("%s: %s", c.mutation, text)
		}
		for _, payload := range data {
			at = get[string](payload, "receipt.position")
		}
	}
	report := admin.ask(`query($p: Position) { salesReport(groupBy: [OWNER, CUSTOMER], minPosition: $p) { won lost wonValue owner { loginName } customer { name } month region } }`, vars{"p": at})
	if row := get[map[string]any](report, "salesReport.0"); get[string](row, "owner.loginName") != "carl" || get[string](row, "customer.name") != "C" || row["lost"] != 1.0 || row["month"] != nil {
		t.Errorf("%v", row)
	}
	var types []string
	for _, node := range get[[]any](admin.ask(`query($p: Position) { activity(first: 200, minPosition: $p) { nodes { type } } }`, vars{"p": at}), "activity.nodes") {
		types = append(types, get[string](node, "type"))
	}
	for _, want := range []string{"organization.role_defined", "organization.team_moved", "account.moved_to_team", "account.password_changed", "account.deactivated", "opportunity.reopened", "opportunity.reassigned", "customer.restored"} {
		if !slices.Contains(types, want) {
			t.Errorf("no %s in %v", want, types)
		}
	}
	if n := get[float64](admin.ask(`mutation { logOutEverywhere { ended } }`, nil), "logOutEverywhere.ended"); n != 1 {
		t.Errorf("%v sessions ended", n)
	}
}
