package graph_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/graph"
	"github.com/annal-crm/annal/internal/vault"
)

const (
	wasCustomer = `query($id: ID!, $a: AsOf, $p: Position) { customer(id: $id, asOf: $a, minPosition: $p) { id version name sector country website phone email attributes archived owner { loginName } } }`
	wasDeal     = `query($id: ID!, $a: AsOf, $p: Position) { opportunity(id: $id, asOf: $a, minPosition: $p) { id version reference stage value product openedAt engagedAt closedAt customer { id } owner { loginName } } }`
	wasAccount  = `query($id: ID!, $a: AsOf, $p: Position) { account(id: $id, asOf: $a, minPosition: $p) { id loginName displayName email status roles team { name } } }`
	wereAll     = `query($a: AsOf, $p: Position) {
		customers(first: 200, asOf: $a, minPosition: $p) { totalCount nodes { id version name phone sector archived } } }`
)

func at(field, value string) vars { return vars{field: value} }

func TestAPastIsAskedFor(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	before := time.Now().Add(-time.Millisecond).Format(time.RFC3339Nano)
	made := admin.ask(register, vars{"i": vars{"name": "Acme", "phone": "1"}})
	id, first := get[string](made, "registerCustomer.customer.id"), get[string](made, "registerCustomer.receipt.position")
	time.Sleep(5 * time.Millisecond)
	between := time.Now().Format(time.RFC3339Nano)
	time.Sleep(5 * time.Millisecond)
	second := get[string](admin.ask(edit, vars{"i": vars{"id": id, "phone": "2", "reason": "called back"}}), "editCustomer.receipt.position")

	phone := func(c *client, a vars) any {
		t.Helper()
		found := c.ask(wasCustomer, vars{"id": id, "a": a})["customer"]
		if found == nil {
			return nil
		}
		return found.(map[string]any)["phone"]
	}
	for name, c := range map[string]struct {
		at   vars
		want any
	}{
		"now":                            {nil, "2"},
		"at the first":                   {at("position", first), "1"},
		"at the second":                  {at("position", second), "2"},
		"known between":                  {at("knownAt", between), "1"},
		"happened between":               {at("happenedBy", between), "1"},
		"known later, happened between":  {vars{"knownAt": time.Now().Format(time.RFC3339Nano), "happenedBy": between}, "1"},
		"known between, happened later":  {vars{"knownAt": between, "happenedBy": time.Now().Format(time.RFC3339Nano)}, "1"},
		"before it was known":            {at("knownAt", before), nil},
		"in the first year of the count": {at("knownAt", "0001-01-01T00:00:00Z"), nil},
		"at the beginning of the log":    {at("position", "1"), nil},
	} {
		if got := phone(admin, c.at); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for field, a := range map[string]vars{
		"asOf.knownAt":    at("knownAt", time.Now().Add(time.Minute).Format(time.RFC3339)),
		"asOf.happenedBy": at("happenedBy", "2999-01-01T00:00:00Z"),
		"asOf.position":   at("position", "1000000000"),
		"asOf":            {},
	} {
		code, extensions := admin.refused(wasCustomer, vars{"id": id, "a": a})
		if _, named := extensions["fields"].(map[string]any)[field]; code != "INVALID" || !named {
			t.Errorf("%v: %s %v", a, code, extensions)
		}
	}
	if code, _ := admin.refused(wasCustomer, vars{"id": id, "a": at("position", "0")}); code != "INVALID" {
		t.Error(code)
	}

	// Who may see it now, and with what hidden.
	admin.ask(`mutation { defineRole(input: {role: "blind", permissions: [{permission: "customer.view", scope: ALL}]}) { receipt { position } } }`, nil)
	admin.ask(`mutation { defineRole(input: {role: "narrow", permissions: [{permission: "customer.view", scope: OWN}, {permission: "personal.view", scope: ALL}]}) { receipt { position } } }`, nil)
	blind, _ := w.member(admin, "bea", nil, "blind")
	narrow, _ := w.member(admin, "nora", nil, "narrow")
	seen := blind.ask(wasCustomer, vars{"id": id, "a": at("position", first)})
	if get[string](seen, "customer.name") != "hidden" || strings.Contains(fmt.Sprint(seen), "Acme") || phone(blind, at("position", first)) != nil {
		t.Errorf("shown to who may not see personal data: %v", seen)
	}
	why := `query($c: ID) { provenance(customer: $c) { fields { field value reason event { data } } } }`
	if text := fmt.Sprint(blind.ask(why, vars{"c": id})); strings.Contains(text, "Acme") || !strings.Contains(text, "hidden") {
		t.Error(text)
	}
	if phone(narrow, at("position", first)) != nil || narrow.ask(why, vars{"c": id})["provenance"] != nil {
		t.Error("another's customer is shown as it was")
	}
	for _, query := range []string{wereAll, `query($a: AsOf) { effectiveRights(account: "` + somebody + `", asOf: $a) { roles } }`} {
		if code, _ := narrow.refused(query, vars{"a": at("position", first)}); code != "FORBIDDEN" {
			t.Error(query, code)
		}
	}
	if code, _ := w.stranger().refused(wasCustomer, vars{"id": id, "a": at("position", first)}); code != "UNAUTHENTICATED" {
		t.Error(code)
	}

	// Why each field is so, and what differs.
	fields := func(list []any, what string) map[string]any {
		by := make(map[string]any)
		for _, f := range list {
			by[f.(map[string]any)["field"].(string)] = f.(map[string]any)[what]
		}
		return by
	}
	told := admin.ask(`query($c: ID) { provenance(customer: $c) { version fields { field value since reason request by { loginName } event { position type session } } } }`, vars{"c": id})
	list := get[[]any](told, "provenance.fields")
	if v, r, e := fields(list, "value"), fields(list, "reason"), fields(list, "event"); v["phone"] != "2" || r["phone"] != "called back" || r["name"] != nil ||
		get[string](e["phone"], "position") != second || get[string](e["name"], "position") != first || get[string](e["name"], "type") != "customer.registered" {
		t.Errorf("%v", told)
	}
	for _, f := range list {
		if get[string](f, "by.loginName") != "admin" || get[string](f, "request") == "" || get[string](f, "event.session") == "" {
			t.Errorf("%v", f)
		}
	}
	compare := `query($c: ID, $f: AsOf!, $t: AsOf!) { compare(customer: $c, from: $f, to: $t) { fromVersion toVersion fields { field from to event { position } } } }`
	one := admin.ask(compare, vars{"c": id, "f": at("position", first), "t": at("position", second)})
	if got, want := get[[]any](one, "compare.fields"), []any{map[string]any{"field": "phone", "from": "1", "to": "2", "event": map[string]any{"position": second}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	back := admin.ask(compare, vars{"c": id, "f": at("position", second), "t": at("position", "1")})
	if got := fields(get[[]any](back, "compare.fields"), "to"); get[float64](back, "compare.toVersion") != 0 || got["name"] != nil || len(got) < 3 {
		t.Errorf("%v", back)
	}
	if admin.ask(why, vars{"c": somebody})["provenance"] != nil {
		t.Error("why nobody is as he is")
	}
	if code, _ := admin.refused(`query($c: ID) { provenance(customer: $c, account: $c) { id } }`, vars{"c": id}); code != "INVALID" {
		t.Error(code)
	}

	// Of an erased person nothing can be read, in no past.
	if err := w.Vault.Erase(t.Context(), vault.Subject{Organization: commands.Home, ID: uuid.MustParse(id)}); err != nil {
		t.Fatal(err)
	}
	gone := admin.ask(wasCustomer, vars{"id": id, "a": at("position", first)})
	if get[string](gone, "customer.name") != "erased" || get[string](gone, "customer.phone") != "erased" {
		t.Errorf("%v", gone)
	}
	if text := fmt.Sprint(admin.ask(why, vars{"c": id})); strings.Contains(text, "Acme") || !strings.Contains(text, "erased") {
		t.Error(text)
	}
}

// Whatever happens: what was shown is shown again.
func TestWhatWasShownIsShownAgain(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	_, bob := w.member(admin, "bob", nil, "sales")
	var owners = []string{bob, get[string](admin.ask(`{ viewer { account { id } } }`, nil), "viewer.account.id")}

	type shown struct {
		query, id, position string
		data                []byte
	}
	var all []shown
	show := func(query, id, position string) {
		data, _ := json.Marshal(admin.ask(query, vars{"id": id, "p": position}))
		all = append(all, shown{query, id, position, data})
	}
	lists, head := make(map[string][]byte), 0
	var customers, deals []string
	try := func(mutation, name string, input vars) (map[string]any, string) {
		a := admin.raw(mutation, vars{"i": input})
		if len(a.Errors) > 0 {
			if code := a.Errors[0].Extensions["code"]; code != "CONFLICT" && code != "INVALID" {
				t.Fatalf("%s: %+v", mutation, a.Errors)
			}
			return nil, ""
		}
		return a.Data, get[string](a.Data, name+".receipt.position")
	}
	for step := range 90 {
		var query, id, position string
		var data map[string]any
		switch kind := random.IntN(10); {
		case kind == 0 || len(customers) == 0:
			if data, position = try(register, "registerCustomer", vars{"name": fmt.Sprint("C", step), "phone": pick("1", "2"), "attributes": vars{"size": pick("s", "l")}}); data != nil {
				customers = append(customers, get[string](data, "registerCustomer.customer.id"))
				query, id = wasCustomer, customers[len(customers)-1]
			}
		case kind == 1 || len(deals) == 0:
			if data, position = try(open, "openOpportunity", vars{"reference": fmt.Sprint("O", step), "customerId": pick(customers...)}); data != nil {
				deals = append(deals, get[string](data, "openOpportunity.opportunity.id"))
				query, id = wasDeal, deals[len(deals)-1]
			}
		case kind < 5:
			query, id = wasCustomer, pick(customers...)
			name := pick("editCustomer", "editCustomer", "reassignCustomer", "archiveCustomer", "restoreCustomer")
			input := vars{"id": id}
			switch name {
			case "editCustomer":
				for _, field := range []string{"name", "sector", "country", "phone", "email"} {
					if random.IntN(3) == 0 {
						input[field] = pick("a", "b", "c")
					}
				}
				input["attributes"] = vars{pick("size", "kind"): pick("s", "m", "l")}
			case "reassignCustomer":
				input["ownerId"] = pick(owners...)
			}
			_, position = try(fmt.Sprintf(`mutation($i: %sInput!) { %s(input: $i) { receipt { position } } }`, map[bool]string{true: strings.ToUpper(name[:1]) + name[1:], false: "Customer"}[name[0] != 'a' && name[:3] != "res"], name), name, input)
		case kind < 8:
			query, id = wasDeal, pick(deals...)
			name := pick("engageOpportunity", "winOpportunity", "loseOpportunity", "reopenOpportunity", "reassignOpportunity", "editOpportunity")
			input, kind := vars{"id": id}, "Opportunity"
			switch name {
			case "winOpportunity":
				input["value"], kind = pick("10", "99.50"), "WinOpportunity"
			case "reassignOpportunity":
				input["ownerId"], kind = pick(owners...), "ReassignOpportunity"
			case "editOpportunity":
				input["product"], input["customerId"], kind = pick("x", "y"), pick(customers...), "EditOpportunity"
			}
			_, position = try(fmt.Sprintf(`mutation($i: %sInput!) { %s(input: $i) { receipt { position } } }`, kind, name), name, input)
		default:
			query, id = wasAccount, bob
			name := pick("grantRole", "revokeRole", "deactivateAccount", "reactivateAccount")
			input, kind := vars{"accountId": bob}, "Account"
			if strings.HasSuffix(name, "Role") {
				input["role"], kind = pick("manager", "analyst"), "Role"
			}
			_, position = try(fmt.Sprintf(`mutation($i: %sInput!) { %s(input: $i) { receipt { position } } }`, kind, name), name, input)
		}
		if position == "" {
			continue
		}
		show(query, id, position)
		if n, err := strconv.Atoi(position); err != nil {
			t.Fatal(err)
		} else if head = max(head, n); len(all)%20 == 10 { // an act that changes nothing answers with an older position
			position = strconv.Itoa(head)
			lists[position], _ = json.Marshal(admin.ask(wereAll, vars{"p": position}))
		}
	}
	if len(all) < 40 || len(lists) == 0 {
		t.Fatalf("%d things happened, %d lists", len(all), len(lists))
	}
	for _, s := range all {
		again, _ := json.Marshal(admin.ask(s.query, vars{"id": s.id, "a": at("position", s.position)}))
		if string(again) != string(s.data) {
			t.Errorf("at %s it was\n%s\nis shown as\n%s", s.position, s.data, again)
		}
	}
	for position, data := range lists {
		for range 2 { // the second comes off the shelf
			if again, _ := json.Marshal(admin.ask(wereAll, vars{"a": at("position", position)})); string(again) != string(data) {
				t.Errorf("at %s there were\n%s\nshown as\n%s", position, data, again)
			}
		}
	}
}

func TestWhatAnAccountCouldDo(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	_, id := w.member(admin, "sam", nil, "sales")
	manager := get[string](admin.ask(`mutation($i: RoleInput!) { grantRole(input: $i) { receipt { position } } }`, vars{"i": vars{"accountId": id, "role": "manager"}}), "grantRole.receipt.position")
	more := get[string](admin.ask(`mutation { addPermission(input: {role: "sales", permission: "report.view", scope: ALL}) { receipt { position } } }`, nil), "addPermission.receipt.position")
	admin.ask(`mutation($i: RoleInput!) { revokeRole(input: $i) { receipt { position } } }`, vars{"i": vars{"accountId": id, "role": "manager"}})
	deactivated := get[string](admin.ask(`mutation($i: AccountInput!) { deactivateAccount(input: $i) { receipt { position } } }`, vars{"i": vars{"accountId": id}}), "deactivateAccount.receipt.position")

	rights := func(a vars) (map[string]any, map[string]any) {
		t.Helper()
		r := get[map[string]any](admin.ask(`query($id: ID!, $a: AsOf) { effectiveRights(account: $id, asOf: $a) { status roles teams { name }
			permissions { permission scope by { role scope granted { type position } defined { type position } } } } }`, vars{"id": id, "a": a}), "effectiveRights")
		for _, p := range get[[]any](r, "permissions") {
			if get[string](p, "permission") == "report.view" {
				return r, p.(map[string]any)
			}
		}
		return r, nil
	}
	r, reports := rights(at("position", manager))
	if get[string](r, "status") != "ACTIVE" || fmt.Sprint(r["roles"]) != "[sales manager]" || get[string](reports, "scope") != "TEAM" || len(get[[]any](reports, "by")) != 2 ||
		get[string](reports, "by.0.granted.type") != "account.invited" || get[string](reports, "by.0.defined.type") != "organization.role_defined" ||
		get[string](reports, "by.1.granted.position") != manager {
		t.Errorf("%v", r)
	}
	if _, reports := rights(at("position", more)); get[string](reports, "scope") != "ALL" || get[string](reports, "by.0.defined.position") != more {
		t.Errorf("%v", reports)
	}
	for _, a := range []vars{nil, at("position", deactivated)} {
		if r, reports := rights(a); get[string](r, "status") != "DEACTIVATED" || fmt.Sprint(r["roles"]) != "[sales]" || len(get[[]any](reports, "by")) != 1 {
			t.Errorf("%v", r)
		}
	}
	if admin.ask(`query($id: ID!) { effectiveRights(account: $id, asOf: {position: "1"}) { roles } }`, vars{"id": id})["effectiveRights"] != nil {
		t.Error("rights before there was an account")
	}
}
