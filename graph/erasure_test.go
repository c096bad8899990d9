package graph_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/annal-crm/annal/graph"
)

const (
	requestErasure = `mutation($i: RequestErasureInput!) { requestErasure(input: $i) { request { id status kind subjectId reason requestedBy { loginName } } receipt { position } } }`
	approveErasure = `mutation($i: ApproveErasureInput!) { approveErasure(input: $i) { request { status decidedBy { loginName } doneAt } receipt { position version } } }`
	refuseErasure  = `mutation($i: RefuseErasureInput!) { refuseErasure(input: $i) { request { status refusal } } }`
)

// carryingOut runs the automation beside a world.
func carryingOut(w *world) {
	running, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Erasures(slog.New(slog.NewTextHandler(w.logs, nil))).Run(running) }()
	w.Cleanup(func() { stop(); <-done })
}

func TestErasureTakesTwoPersons(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graph.Config{})
	carryingOut(w)
	admin := w.signIn("admin")
	second, secondID := w.member(admin, "grace", nil, "administrator")
	sales, salesID := w.member(admin, "sam", nil, "sales")
	acme := get[string](sales.ask(`mutation { registerCustomer(input: {name: "Erika Mustermann", phone: "+49 170 1", email: "erika@example.org"}) { customer { id } } }`, nil), "registerCustomer.customer.id")

	for name, refused := range map[string]struct {
		who   *client
		query string
		input vars
		code  string
	}{
		"who has no such permission asks": {sales, requestErasure, vars{"customer": acme, "reason": "x"}, "FORBIDDEN"},
		"without a reason":                {admin, requestErasure, vars{"customer": acme, "reason": " "}, "INVALID"},
		"about nobody":                    {admin, requestErasure, vars{"reason": "x"}, "INVALID"},
		"about two":                       {admin, requestErasure, vars{"customer": acme, "account": salesID, "reason": "x"}, "INVALID"},
		"about somebody who is not there": {admin, requestErasure, vars{"account": somebody, "reason": "x"}, "NOT_FOUND"},
		"a customer that is not there":    {admin, requestErasure, vars{"customer": somebody, "reason": "x"}, "NOT_FOUND"},
		"approves what is not there":      {admin, approveErasure, vars{"requestId": somebody}, "NOT_FOUND"},
		"refuses what is not there":       {admin, refuseErasure, vars{"requestId": somebody, "reason": "x"}, "NOT_FOUND"},
	} {
		if code, more := refused.who.refused(refused.query, vars{"i": refused.input}); code != refused.code {
			t.Errorf("%s: %s %v, want %s", name, code, more, refused.code)
		}
	}

	preview := get[map[string]any](admin.ask(`query($c: ID, $a: ID) { erasurePreview(customer: $c, account: $a) { fields events acts readModels names sessions password } }`, vars{"c": acme}), "erasurePreview")
	wantJSON(t, "preview of the customer", preview, `{"acts":0,"events":1,"fields":["email","name","phone"],"names":[],"password":false,"readModels":["customers"],"sessions":0}`)
	w.caughtUp()
	preview = get[map[string]any](admin.ask(`query($c: ID, $a: ID) { erasurePreview(customer: $c, account: $a) { fields events acts readModels names sessions password } }`, vars{"a": salesID}), "erasurePreview")
	wantJSON(t, "preview of the account", preview, `{"acts":1,"events":3,"fields":["displayName","email","loginName","metadata.device","metadata.ip"],"names":["login_name","email"],"password":true,"readModels":["accounts"],"sessions":1}`)
	if code, _ := sales.refused(`query($c: ID) { erasurePreview(customer: $c) { events } }`, vars{"c": acme}); code != "FORBIDDEN" {
		t.Error("a preview for anybody", code)
	}

	asked := admin.ask(requestErasure, vars{"i": vars{"customer": acme, "reason": "asked by the person"}})
	id := get[string](asked, "requestErasure.request.id")
	if get[string](asked, "requestErasure.request.status") != "REQUESTED" || get[string](asked, "requestErasure.request.requestedBy.loginName") != "admin" {
		t.Error(asked)
	}
	if code, _ := admin.refused(approveErasure, vars{"i": vars{"requestId": id}}); code != "FORBIDDEN" {
		t.Error("approves what he has asked for himself:", code)
	}
	if code, _ := sales.refused(approveErasure, vars{"i": vars{"requestId": id}}); code != "FORBIDDEN" {
		t.Error("anybody approves:", code)
	}
	// Who audits reads what was asked for, has no part in it, and is not told what it would take away.
	auditor, _ := w.member(admin, "audrey", nil, "auditor")
	all := get[[]any](auditor.ask(`{ erasureRequests { nodes { id reason requestedBy { loginName } } } }`, nil), "erasureRequests.nodes")
	if len(all) != 1 || get[string](all[0], "id") != id || get[string](all[0], "requestedBy.loginName") != "admin" {
		t.Error("an auditor sees", all)
	}
	for name, refused := range map[string]struct {
		query string
		v     vars
	}{
		"approves": {approveErasure, vars{"i": vars{"requestId": id}}},
		"refuses":  {refuseErasure, vars{"i": vars{"requestId": id, "reason": "x"}}},
		"previews": {`query($c: ID) { erasurePreview(customer: $c) { events } }`, vars{"c": acme}},
	} {
		if code, _ := auditor.refused(refused.query, refused.v); code != "FORBIDDEN" {
			t.Errorf("an auditor %s: %s", name, code)
		}
	}
	if code, _ := sales.refused(`{ erasureRequests { totalCount } }`, nil); code != "FORBIDDEN" {
		t.Error("a seller reads requests:", code)
	}
	done := second.ask(approveErasure, vars{"i": vars{"requestId": id}})
	if get[string](done, "approveErasure.request.status") != "DONE" || get[string](done, "approveErasure.request.decidedBy.loginName") != "grace" {
		t.Error(done)
	}
	// Done means done: the next look, with nothing waited for, finds nobody.
	seen := admin.ask(`query($c: ID!) { customer(id: $c) { name phone email } activity(last: 10, filter: {customer: $c}) { nodes { type summary data } } }`, vars{"c": acme})
	text, err := json.Marshal(seen)
	if err != nil || strings.Contains(string(text), "Erika") || strings.Contains(string(text), "+49") || get[string](seen, "customer.name") != "erased" ||
		get[string](seen, "activity.nodes.1.type") != "subject.erased" || get[string](seen, "activity.nodes.1.summary") != "erased: asked by the person" {
		t.Errorf("%s, %v", text, err)
	}
	for name, of := range map[string]struct {
		query string
		input vars
	}{
		"edited":      {`mutation($i: EditCustomerInput!) { editCustomer(input: $i) { customer { id } } }`, vars{"id": acme, "name": "Erika again"}},
		"restored":    {`mutation($i: CustomerInput!) { restoreCustomer(input: $i) { customer { id } } }`, vars{"id": acme}},
		"asked for":   {requestErasure, vars{"customer": acme, "reason": "again"}},
		"approved":    {approveErasure, vars{"requestId": id}},
		"turned down": {refuseErasure, vars{"requestId": id, "reason": "too late"}},
	} {
		if code, _ := second.refused(of.query, vars{"i": of.input}); code != "CONFLICT" {
			t.Errorf("%s after all: %s", name, code)
		}
	}

	// An account: nobody approves his own end, and whoever is erased is out at once.
	asked = admin.ask(requestErasure, vars{"i": vars{"account": secondID, "reason": "has left"}})
	if code, _ := second.refused(approveErasure, vars{"i": vars{"requestId": get[string](asked, "requestErasure.request.id")}}); code != "FORBIDDEN" {
		t.Error("approves his own:", code)
	}
	turned := second.ask(refuseErasure, vars{"i": vars{"requestId": get[string](asked, "requestErasure.request.id"), "reason": "I am here"}})
	if get[string](turned, "refuseErasure.request.status") != "REFUSED" || get[string](turned, "refuseErasure.request.refusal") != "I am here" {
		t.Error(turned)
	}
	asked = second.ask(requestErasure, vars{"i": vars{"account": salesID, "reason": "has left"}})
	admin.ask(approveErasure, vars{"i": vars{"requestId": get[string](asked, "requestErasure.request.id")}})
	if code, _ := sales.refused(`{ viewer { permissions } }`, nil); code != "UNAUTHENTICATED" {
		t.Error("an erased account goes on:", code)
	}
	row := admin.ask(`query($a: ID!) { account(id: $a) { displayName status email } }`, vars{"a": salesID})
	wantJSON(t, "the account", row["account"], `{"displayName":"erased","email":null,"status":"ERASED"}`)
	if code, _ := admin.refused(`mutation($i: RoleInput!) { grantRole(input: $i) { account { id } } }`, vars{"i": vars{"accountId": salesID, "role": "sales"}}); code != "CONFLICT" {
		t.Error("a role for an erased account:", code)
	}
	w.member(admin, "sam", nil, "sales") // the names are free

	list := admin.ask(`{ erasureRequests { totalCount nodes { status kind decidedBy { loginName } } } done: erasureRequests(filter: {statuses: [DONE]}) { totalCount } }`, nil)
	wantJSON(t, "the list", list, `{"done":{"totalCount":2},"erasureRequests":{"nodes":[{"decidedBy":{"loginName":"admin"},"kind":"account","status":"DONE"},`+
		`{"decidedBy":{"loginName":"grace"},"kind":"account","status":"REFUSED"},{"decidedBy":{"loginName":"grace"},"kind":"customer","status":"DONE"}],"totalCount":3}}`)
	if strings.Contains(w.logs.String(), "Erika") || strings.Contains(w.logs.String(), "+49") {
		t.Error("the log quotes a person:", w.logs)
	}
}

// caughtUp waits until the read models have folded what there is.
func (w *world) caughtUp() {
	w.Helper()
	head, err := w.Instance.Log.Head(w.Context())
	if err == nil {
		err = w.Engine.Wait(w.Context(), head)
	}
	if err != nil {
		w.Fatal(err)
	}
}

func wantJSON(t *testing.T, what string, got any, want string) {
	t.Helper()
	text, err := json.Marshal(got)
	if err != nil || string(text) != want {
		t.Errorf("%s: %s, %v\nwant %s", what, text, err, want)
	}
}
