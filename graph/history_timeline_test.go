package graph_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/graph"
)

const aLife = `query($a: ID, $c: ID, $n: Int, $after: String, $f: LifeFilter) { life(account: $a, customer: $c, first: $n, after: $after, filter: $f) {
	nodes { position type session request ip device } pageInfo { hasNextPage hasPreviousPage endCursor } } }`

// walk reads a list of events to its end, as "position type".
func (c *client) walk(query, name string, variables vars) (all []string) {
	c.Helper()
	for variables["after"] = nil; ; {
		data := c.ask(query, variables)
		for _, n := range get[[]any](data, name+".nodes") {
			all = append(all, get[string](n, "position")+" "+get[string](n, "type"))
		}
		if !get[bool](data, name+".pageInfo.hasNextPage") {
			return all
		}
		variables["after"] = get[string](data, name+".pageInfo.endCursor")
	}
}

func types(life []string) (types []string) {
	for _, l := range life {
		_, name, _ := strings.Cut(l, " ")
		types = append(types, name)
	}
	return types
}

func TestALifeIsReadFromTheLog(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	sam, samID := w.member(admin, "sam", nil, "sales")
	ada, _ := w.member(admin, "ada", nil, "auditor")
	var customers []string
	for i := range 7 {
		customers = append(customers, get[string](sam.ask(register, vars{"i": vars{"name": fmt.Sprint("Customer ", i)}}), "registerCustomer.customer.id"))
	}
	for i := range 6 {
		sam.ask(edit, vars{"i": vars{"id": customers[0], "phone": fmt.Sprint(i)}})
		admin.ask(edit, vars{"i": vars{"id": customers[0], "sector": fmt.Sprint(i)}})
	}
	sam.ask(open, vars{"i": vars{"reference": "O", "customerId": customers[0]}})

	// It tells what activity tells, in pages of any size.
	activity := `query($a: ID, $c: ID, $n: Int, $after: String) { activity(first: $n, after: $after, filter: {account: $a, customer: $c}) { nodes { position type } pageInfo { hasNextPage endCursor } } }`
	of := map[string]vars{"an account's": {"a": samID}, "a customer's": {"c": customers[0]}}
	for name, who := range of {
		want := ada.walk(activity, "activity", vars{"a": who["a"], "c": who["c"], "n": 200})
		if len(want) < 13 {
			t.Fatal(want)
		}
		for _, n := range []int{1, 4, 13, 200} {
			if got := ada.walk(aLife, "life", vars{"a": who["a"], "c": who["c"], "n": n}); !slices.Equal(got, want) {
				t.Errorf("%s, %d at once: %v\nwant %v", name, n, got, want)
			}
		}
	}
	whole := ada.walk(aLife, "life", vars{"a": samID, "n": 200})

	// Filters.
	first := get[map[string]any](ada.ask(aLife, vars{"a": samID, "n": 200}), "life")
	session := ""
	for _, n := range get[[]any](first, "nodes") {
		if get[string](n, "type") == "customer.registered" {
			session = get[string](n, "session")
		}
	}
	for name, c := range map[string]struct {
		filter vars
		n      int
		want   func(string) bool
	}{
		"types":           {vars{"types": []string{"customer.registered"}}, 3, func(s string) bool { return s == "customer.registered" }},
		"device":          {vars{"device": "GRAPH-test"}, 5, func(s string) bool { return s != "" }},
		"address":         {vars{"ip": "127.0.0.1"}, 5, func(s string) bool { return s != "" }},
		"network":         {vars{"ip": "127.0.0.0/8"}, 200, func(s string) bool { return s != "" }},
		"another network": {vars{"ip": "10.0.0.0/8"}, 5, func(string) bool { return false }},
		"another device":  {vars{"device": "Firefox"}, 5, func(string) bool { return false }},
		"session": {vars{"session": session}, 2, func(s string) bool {
			return strings.HasPrefix(s, "customer.") || strings.HasPrefix(s, "opportunity.") || s == "account.logged_in"
		}},
		"a request of none": {vars{"request": somebody}, 2, func(string) bool { return false }},
		"long ago":          {vars{"to": "2020-01-01T00:00:00Z"}, 2, func(string) bool { return false }},
		"both":              {vars{"session": session, "types": []string{"customer.edited"}}, 2, func(s string) bool { return s == "customer.edited" }},
	} {
		var want []string
		for _, l := range whole {
			if _, kind, _ := strings.Cut(l, " "); c.want(kind) {
				want = append(want, l)
			}
		}
		got := ada.walk(aLife, "life", vars{"a": samID, "n": c.n, "f": c.filter})
		if name == "both" || name == "session" { // what the administrator did to a customer is not in it
			want = slices.DeleteFunc(want, func(l string) bool { return !slices.Contains(got, l) })
			if len(got) == 0 {
				t.Errorf("%s: nothing", name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v\nwant %v", name, got, want)
		}
	}
	for name, v := range map[string]vars{"nobody": {}, "two": {"a": samID, "c": customers[0]}, "no address": {"a": samID, "f": vars{"ip": "here"}}, "no cursor": {"a": samID, "after": "x"}} {
		if code, _ := ada.refused(aLife, v); code != "INVALID" {
			t.Errorf("%s: %s", name, code)
		}
	}

	// Everybody sees of it what they see of activity; who may not see addresses cannot ask for them.
	if got, want := sam.walk(aLife, "life", vars{"a": get[string](admin.ask(`{ viewer { account { id } } }`, nil), "viewer.account.id"), "n": 5}),
		sam.walk(activity, "activity", vars{"a": get[string](admin.ask(`{ viewer { account { id } } }`, nil), "viewer.account.id"), "n": 200}); !slices.Equal(got, want) || len(got) == 0 {
		t.Errorf("%v, want %v", got, want)
	}
	admin.ask(`mutation { defineRole(input: {role: "blind", permissions: [{permission: "activity.view", scope: ALL}]}) { receipt { position } } }`, nil)
	blind, _ := w.member(admin, "bea", nil, "blind")
	if code, _ := blind.refused(aLife, vars{"a": samID, "f": vars{"ip": "127.0.0.1"}}); code != "INVALID" {
		t.Error(code)
	}
	if text := fmt.Sprint(blind.ask(aLife, vars{"a": samID, "n": 50})); strings.Contains(text, "127.0.0.1") {
		t.Error("an address is shown to who may not see it")
	}
	// Auditors look, and change nothing.
	for _, mutation := range []string{`mutation { registerCustomer(input: {name: "x"}) { receipt { version } } }`, `mutation { editCustomer(input: {id: "` + customers[0] + `", name: "x"}) { receipt { version } } }`,
		`mutation { grantRole(input: {accountId: "` + samID + `", role: "auditor"}) { receipt { version } } }`, `mutation { openOpportunity(input: {reference: "x"}) { receipt { version } } }`} {
		if code, _ := ada.refused(mutation, nil); code != "FORBIDDEN" {
			t.Error(mutation, code)
		}
	}
}

// That a life was read is on record: once for each replay, and before anything is shown.
func TestReadingALifeIsAnEvent(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	ada, adaID := w.member(admin, "ada", nil, "auditor")
	id := get[string](admin.ask(`{ viewer { account { id } } }`, nil), "viewer.account.id")
	looks := func() []any {
		head, err := w.Instance.Log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return get[[]any](admin.ask(`query($p: Position) { activity(last: 100, minPosition: $p, filter: {types: ["audit.read"]}) { nodes { actor { id } data summary } } }`, vars{"p": head.String()}), "activity.nodes")
	}
	ada.walk(aLife, "life", vars{"a": id, "n": 2})
	found := looks()
	if len(found) != 1 || get[string](found[0], "actor.id") != adaID || get[string](found[0], "data.subject") != id || get[string](found[0], "data.act") != "replayed" {
		t.Errorf("%v", found)
	}
	ada.walk(aLife, "life", vars{"a": id, "n": 2, "f": vars{"ip": "127.0.0.1", "types": []string{"account.logged_in"}}})
	if found = looks(); len(found) != 2 || fmt.Sprint(get[any](found[1], "data.filters")) != "[types=account.logged_in ip]" {
		t.Errorf("%v", found)
	}
	// A page that follows none is a replay of its own.
	again := w.signIn("ada")
	again.ask(aLife, vars{"a": id, "n": 2, "after": get[string](ada.ask(aLife, vars{"a": id, "n": 1}), "life.pageInfo.endCursor")})
	if found = looks(); len(found) != 4 {
		t.Errorf("%d looks on record", len(found))
	}
}

// A list of one account's acts, or of what happened to one customer, is a read of a life too; what was not shown was not read.
func TestListingTheActsOfSomebodyIsAnEvent(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	ada, adaID := w.member(admin, "ada", nil, "auditor")
	sam, samID := w.member(admin, "sam", nil, "sales")
	acme := get[string](admin.ask(register, vars{"i": vars{"name": "Acme"}}), "registerCustomer.customer.id")
	head, err := w.Instance.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const acts = `query($f: ActivityFilter, $after: String, $p: Position) { activity(first: 2, filter: $f, after: $after, minPosition: $p) { nodes { type summary } pageInfo { hasNextPage endCursor } } }`
	admin.ask(acts, vars{"p": head.String()})
	known := 0
	looks := func() (fresh []string) {
		t.Helper()
		head, err := w.Instance.Log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := get[[]any](admin.ask(`query($p: Position) { activity(last: 100, minPosition: $p, filter: {types: ["audit.read"]}) { nodes { actor { loginName } summary } } }`, vars{"p": head.String()}), "activity.nodes")
		for _, n := range all[known:] {
			fresh = append(fresh, get[string](n, "actor.loginName")+": "+get[string](n, "summary"))
		}
		known = len(all)
		return fresh
	}
	for _, c := range []struct {
		name string
		who  *client
		f    vars
		want string // on record, "" nothing
	}{
		{"an account's", ada, vars{"account": samID}, "ada: timeline of account " + samID + " (sam) shown"},
		{"the same again", ada, vars{"account": samID}, ""},
		{"others of it", ada, vars{"account": samID, "types": []string{"account.logged_in"}}, "ada: timeline of account " + samID + " (sam) shown, with types=account.logged_in"},
		{"a customer's", sam, vars{"customer": acme}, "sam: timeline of customer " + acme + " shown"},
		{"both", ada, vars{"customer": acme, "account": samID}, "ada: timeline of account " + samID + " (sam) shown, with customer=" + acme},
		{"one's own", ada, vars{"account": adaID}, ""},
		{"everybody's", ada, vars{"types": []string{"account.logged_in"}}, ""},
		{"all", ada, nil, ""},
	} {
		shown := c.who.walk(strings.ReplaceAll(acts, "nodes { type", "nodes { position type"), "activity", vars{"f": c.f})
		if got := strings.Join(looks(), "; "); got != c.want || len(shown) == 0 && c.name != "both" {
			t.Errorf("%s: %d shown, on record %q, want %q", c.name, len(shown), got, c.want)
		}
	}
	// What shows a record is no read of a life.
	ada.ask(`query($a: ID!, $c: ID!) { account(id: $a) { status } customer(id: $c) { name } provenance(account: $a) { fields { field event { type } } } effectiveRights(account: $a) { roles } }`, vars{"a": samID, "c": acme})
	if got := looks(); len(got) > 0 {
		t.Errorf("a record: on record %v", got)
	}
	s := ada.connect()
	s.start("1", `subscription { activity(filter: {account: "`+samID+`", types: ["account.locked"]}) { type } }`)
	var followed []string
	for until := time.Now().Add(5 * time.Second); len(followed) == 0 && time.Now().Before(until); {
		followed = looks()
	}
	if len(followed) != 1 || !strings.HasSuffix(followed[0], "types=account.locked") {
		t.Error(followed)
	}

	// Who may see nothing of somebody is told what is told of nobody, and has read nothing.
	for _, query := range []string{`query($id: ID) { life(account: $id) { totalCount } }`, `query($id: ID) { activity(filter: {account: $id}) { totalCount } }`} {
		for name, c := range map[string]struct {
			who *client
			id  string
		}{"not for them": {sam, adaID}, "nobody": {sam, somebody}, "nobody, for who sees all": {ada, somebody}} {
			if code, e := c.who.refused(query, vars{"id": c.id}); code != "NOT_FOUND" {
				t.Errorf("%s: %s %v", name, code, e)
			}
		}
		if code, _ := ada.refused(strings.ReplaceAll(query, "account:", "customer:"), vars{"id": samID}); code != "NOT_FOUND" {
			t.Error("an account is no customer:", code)
		}
	}
	for _, query := range []string{`query($id: ID, $t: [String!]) { life(account: $id, filter: {types: $t}) { totalCount } }`, `query($id: ID, $t: [String!]) { activity(filter: {account: $id, types: $t}) { totalCount } }`} {
		if code, e := ada.refused(query, vars{"id": samID, "t": []string{"account.locked", "account.lockd"}}); code != "INVALID" || !strings.Contains(fmt.Sprint(e), "near it: account.locked") {
			t.Errorf("%s %v", code, e)
		}
	}
	if got := looks(); len(got) > 0 {
		t.Errorf("on record as read: %v", got)
	}
}

// The read model is an index and no more: what it says is held against the log, and what it has not come to is read there.
func TestTheIndexIsNotBelieved(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	made := admin.ask(register, vars{"i": vars{"name": "Acme"}})
	id := get[string](made, "registerCustomer.customer.id")
	admin.ask(edit, vars{"i": vars{"id": id, "phone": "1"}})
	last := get[string](admin.ask(edit, vars{"i": vars{"id": id, "phone": "2"}}), "editCustomer.receipt.position")
	admin.ask(`query($p: Position) { activity(first: 1, minPosition: $p) { nodes { type } } }`, vars{"p": last})
	self := get[string](admin.ask(`{ viewer { account { id } } }`, nil), "viewer.account.id")
	whole := admin.walk(aLife, "life", vars{"c": id, "n": 1})
	if !slices.Equal(types(whole), []string{"customer.registered", "customer.edited", "customer.edited"}) {
		t.Fatal(whole)
	}
	database, err := pgx.Connect(t.Context(), w.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close(t.Context())
	do := func(sql string, args ...any) {
		t.Helper()
		if _, err := database.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range []struct{ forth, back string }{
		{"update activity_v1.events set type = 'customer.archived' where position = $1", "update activity_v1.events set type = 'customer.edited' where position = $1"},
		{"update activity_v1.events set occurred_at = occurred_at + interval '1 s' where position = $1", "update activity_v1.events set occurred_at = occurred_at - interval '1 s' where position = $1"},
		{"update activity_v1.events set data = '{}', id = id where position = $1", ""},
	} {
		do(change.forth, last)
		if code, _ := admin.refused(aLife, vars{"a": self, "n": 50}); code != "UNAVAILABLE" {
			t.Errorf("%s: %s", change.forth, code)
		}
		if change.back != "" {
			do(change.back, last)
			admin.ask(aLife, vars{"a": self, "n": 50})
		}
	}
	// A customer's life is one stream, and needs no index.
	for range 3 {
		for _, n := range []int{1, 2, 50} {
			if got := admin.walk(aLife, "life", vars{"c": id, "n": n}); !slices.Equal(got, whole) {
				t.Errorf("%d at once, rows of the index being gone: %v", n, got)
			}
		}
		do("delete from activity_v1.events where position = (select max(position) from activity_v1.events where category = 'customer')")
	}

	// Behind.
	w.stopEngine()
	p := get[map[string]any](admin.raw(edit, vars{"i": vars{"id": id, "phone": "3"}}).Errors[0].Extensions, "receipt")
	for _, n := range []int{1, 2, 50} {
		if got := admin.walk(aLife, "life", vars{"c": id, "n": n}); len(got) != 4 || got[3] != p["position"].(string)+" customer.edited" {
			t.Errorf("%d at once, the read model being behind: %v", n, got)
		}
		if got := admin.walk(aLife, "life", vars{"a": self, "n": n * 4}); !slices.Contains(got, p["position"].(string)+" customer.edited") {
			t.Errorf("%d at once, the read model being behind: %v", n, got)
		}
	}
}

func TestALifeIsReplayedThenGoesOn(t *testing.T) {
	w := newWorld(t, graph.Config{Recheck: 100 * time.Millisecond})
	admin := w.signIn("admin")
	id := get[string](admin.ask(register, vars{"i": vars{"name": "Acme"}}), "registerCustomer.customer.id")
	for i := range 2 {
		w.ahead.Add(int64(time.Minute))
		admin.ask(edit, vars{"i": vars{"id": id, "phone": fmt.Sprint(i + 1)}})
	}

	replay := func(arguments string) (types []string, took time.Duration, s *socket) {
		s = admin.connect()
		began := time.Now()
		s.start("1", `subscription { life(customer: "`+id+`"`+arguments+`) { type data } }`)
		for range 3 {
			var a answer
			if m := s.next(); m.Type != "next" || json.Unmarshal(m.Payload, &a) != nil || len(a.Errors) > 0 {
				t.Fatalf("%s %s", m.Type, m.Payload)
			}
			types = append(types, get[string](a.Data, "life.type"))
		}
		return types, time.Since(began), s
	}
	for arguments, c := range map[string]struct{ least, most time.Duration }{
		// With two pauses of 5 s, the longest if nothing is asked for, each would take 10 s: a busy machine stays below that.
		"":                                     {0, 9 * time.Second},
		", speed: 100":                         {1200 * time.Millisecond, 9 * time.Second},
		", speed: 1e6":                         {0, 9 * time.Second},
		`, speed: 0.01, longestPause: "150ms"`: {300 * time.Millisecond, 9 * time.Second},
	} {
		types, took, s := replay(arguments)
		if !slices.Equal(types, []string{"customer.registered", "customer.edited", "customer.edited"}) || took < c.least || took > c.most {
			t.Errorf("%s: %v in %s", arguments, types, took)
		}
		if arguments != "" {
			continue
		}
		admin.ask(edit, vars{"i": vars{"id": id, "phone": "3"}}) // live
		var a answer
		if m := s.next(); m.Type != "next" || json.Unmarshal(m.Payload, &a) != nil || get[string](a.Data, "life.data.phone.to") != "3" {
			t.Errorf("%s %s", m.Type, m.Payload)
		}
		admin.ask(`mutation($i: EditCustomerInput!) { editCustomer(input: $i) { receipt { position } } }`, vars{"i": vars{"id": id, "phone": "2"}}) // as it was, for the next
		if m := s.next(); m.Type != "next" {
			t.Errorf("%+v", m)
		}
	}
	s := admin.connect()
	s.start("1", `subscription { life(customer: "`+id+`", speed: 0) { type } }`)
	if m := s.next(); m.Type != "error" && !strings.Contains(string(m.Payload), "INVALID") {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
	// It ends with the session, also in the middle of a pause.
	s = admin.connect()
	s.start("1", `subscription { life(customer: "`+id+`", speed: 0.0001, longestPause: "1h") { type } }`)
	if m := s.next(); m.Type != "next" {
		t.Errorf("%+v", m)
	}
	admin.ask(`mutation { logOut { ended } }`, nil)
	if m := s.next(); !strings.Contains(string(m.Payload), "UNAUTHENTICATED") {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
}
