package graph_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph"
)

const (
	parked = `query($m: String, $p: Position, $n: Int, $a: String) { parkedEvents(readModel: $m, position: $p, first: $n, after: $a) {
		nodes { readModel position eventId type category streamId streamVersion error since waiting data } pageInfo { hasNextPage endCursor } } }`
	retry = `mutation($i: RetryParkedInput!) { retryParked(input: $i) { folded left error } }`
	skip  = `mutation($i: SkipParkedInput!) { skipParked(input: $i) { folded left error receipt { position version } } }`
)

// put appends an event straight to a customer's stream, as no command would.
func (w *world) put(organization, id uuid.UUID, after eventlog.Version, eventType, data string) string {
	w.Helper()
	at, err := w.Instance.Log.Append(w.Context(), eventlog.Stream{Organization: organization, Category: customer.Category, ID: id}, after,
		eventlog.NewEvent{ID: uuid.New(), Type: eventType, Schema: 1, Data: json.RawMessage(data), Meta: json.RawMessage(`{}`), OccurredAt: time.Now()})
	if err != nil {
		w.Fatal(err)
	}
	return at.Position.String()
}

// folded waits until the customers have come to a position.
func (w *world) folded(position string) {
	w.Helper()
	at, err := eventlog.ParsePosition(position)
	if err == nil {
		err = w.Engine.Wait(w.Context(), at)
	}
	if err != nil {
		w.Fatal(err)
	}
}

func TestAPoisonedEventParksItsCustomerAndNothingElse(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	made := func(name string) string {
		return get[string](admin.ask(register, vars{"i": vars{"name": name}}), "registerCustomer.customer.id")
	}
	sick, well, other := made("Sick"), made("Well"), made("Other")
	bad := w.put(commands.Home, uuid.MustParse(sick), 1, "customer.edited", `{"name":5,"phone":"+1 555 0100"}`)
	late := w.put(commands.Home, uuid.MustParse(sick), 2, "customer.archived", `{}`)
	second := w.put(commands.Home, uuid.MustParse(other), 1, "customer.edited", `{"name":5}`)
	foreign := w.put(uuid.New(), uuid.New(), 0, "customer.registered", `{"name":5}`)
	w.folded(foreign)

	edited := admin.ask(edit, vars{"i": vars{"id": well, "name": "Very well"}})
	if name := get[string](edited, "editCustomer.customer.name"); name != "Very well" {
		t.Errorf("others go on: %q", name)
	}
	if code, more := admin.refused(edit, vars{"i": vars{"id": sick, "name": "Better"}}); code != "UNAVAILABLE" || more["reference"] != nil {
		t.Errorf("a command on the sick one: %s %v", code, more)
	}
	if n := strings.Count(w.logs.String(), "an event cannot be read"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, w.logs)
	}

	list := admin.ask(parked, vars{"m": "customers"}) // the sales park them as well
	nodes := get[[]any](list, "parkedEvents.nodes")
	if len(nodes) != 2 {
		t.Fatalf("%d are parked: %v", len(nodes), nodes)
	}
	one := nodes[0].(map[string]any)
	if one["readModel"] != "customers" || one["position"] != bad || one["type"] != "customer.edited" || one["category"] != "customer" || one["streamId"] != sick ||
		one["streamVersion"] != 2.0 || one["waiting"] != 1.0 || one["error"] == "" || get[float64](one, "data.name") != 5 {
		t.Errorf("%v", one)
	}
	if since, err := time.Parse(time.RFC3339, one["since"].(string)); err != nil || time.Since(since) > time.Minute {
		t.Errorf("since %v", one["since"])
	}
	page := admin.ask(parked, vars{"m": "customers", "n": 1})
	next := admin.ask(parked, vars{"m": "customers", "n": 1, "a": get[string](page, "parkedEvents.pageInfo.endCursor")})
	if !get[bool](page, "parkedEvents.pageInfo.hasNextPage") || get[string](next, "parkedEvents.nodes.0.position") != second || get[bool](next, "parkedEvents.pageInfo.hasNextPage") {
		t.Errorf("a page at a time: %v, then %v", page, next)
	}
	if code, more := admin.refused(parked, vars{"a": "x"}); code != "INVALID" || more["fields"] == nil {
		t.Errorf("a made-up cursor: %s %v", code, more)
	}
	for _, m := range get[[]any](admin.ask(`{ readModels { name parked status } }`, nil), "readModels") {
		m := m.(map[string]any)
		want := map[any]float64{"customers": 4, "sales": 4, "retention": 4, "activity": 1}[m["name"]] // with what is of the other organization
		if m["parked"] != want || m["status"] != "LIVE" {
			t.Errorf("%v, wanted %v parked", m, want)
		}
	}

	here := func(position string) vars { return vars{"i": vars{"readModel": "customers", "position": position}} }
	again := get[map[string]any](admin.ask(retry, here(bad)), "retryParked")
	if again["folded"] != 0.0 || again["left"] != 2.0 || again["error"] != one["error"] {
		t.Errorf("retried without a mend: %v, the error was %v", again, one["error"])
	}
	for what, position := range map[string]string{"one that waits": late, "another organization's": foreign, "one that is folded": "1", "none": "0"} {
		if code, _ := admin.refused(retry, here(position)); code != "NOT_FOUND" {
			t.Errorf("retry %s: %s", what, code)
		}
		in := here(position)
		in["i"].(vars)["reason"] = "because"
		if code, _ := admin.refused(skip, in); code != "NOT_FOUND" {
			t.Errorf("skip %s: %s", what, code)
		}
	}

	leave := vars{"i": vars{"readModel": "customers", "position": bad, "reason": " ", "commandId": uuid.NewString()}}
	if code, more := admin.refused(skip, leave); code != "INVALID" || get[map[string]any](more, "fields")["input.reason"] == nil {
		t.Errorf("skip without a reason: %s %v", code, more)
	}
	leave["i"].(vars)["reason"] = "typed by hand"
	done := get[map[string]any](admin.ask(skip, leave), "skipParked")
	if done["folded"] != 2.0 || done["left"] != 0.0 || done["error"] != nil {
		t.Errorf("skipped: %v", done)
	}
	if archived := admin.ask(`query($id: ID!) { customer(id: $id) { archived name } }`, vars{"id": sick}); !get[bool](archived, "customer.archived") || get[string](archived, "customer.name") != "Sick" {
		t.Errorf("what waited was not folded: %v", archived)
	}
	told := admin.ask(`query($p: Position) { activity(last: 1, minPosition: $p) { nodes { type reason summary actor { loginName } data } } }`, vars{"p": get[string](done, "receipt.position")})
	last := get[map[string]any](told, "activity.nodes.0")
	if last["type"] != "organization.event_skipped" || last["reason"] != "typed by hand" || get[string](last, "actor.loginName") != "admin" ||
		get[string](last, "data.stream") != sick || !strings.Contains(last["summary"].(string), "left out of the read model customers: typed by hand") {
		t.Errorf("who and why: %v", last)
	}
	if resent := get[map[string]any](admin.ask(skip, leave), "skipParked"); resent["folded"] != 0.0 || fmt.Sprint(resent["receipt"]) != fmt.Sprint(done["receipt"]) {
		t.Errorf("sent again: %v, first %v", resent, done)
	}
	if code, _ := admin.refused(skip, vars{"i": vars{"readModel": "customers", "position": bad, "reason": "once more"}}); code != "NOT_FOUND" {
		t.Errorf("skipped already: %s", code)
	}
	if left := get[[]any](admin.ask(parked, vars{"m": "customers", "p": bad}), "parkedEvents.nodes"); len(left) != 0 {
		t.Errorf("still parked: %v", left)
	}
}

func TestParkedEventsAreForWhoManages(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	id := get[string](admin.ask(register, vars{"i": vars{"name": "Sick"}}), "registerCustomer.customer.id")
	bad := w.put(commands.Home, uuid.MustParse(id), 1, "customer.edited", `{"name":5}`)
	w.folded(bad)
	admin.ask(`mutation($i: DefineRoleInput!) { defineRole(input: $i) { receipt { position } } }`,
		vars{"i": vars{"role": "keeper", "permissions": []vars{{"permission": "organization.manage", "scope": "ALL"}}}})
	here := vars{"readModel": "customers", "position": bad}

	auditor, _ := w.member(admin, "auditor", nil, "auditor")
	for query, v := range map[string]vars{parked: nil, retry: {"i": here}, skip: {"i": vars{"readModel": "customers", "position": bad, "reason": "because"}}} {
		if code, _ := auditor.refused(query, v); code != "FORBIDDEN" {
			t.Errorf("an auditor, %s: %s", query, code)
		}
		if code, _ := w.stranger().refused(query, v); code != "UNAUTHENTICATED" {
			t.Errorf("a stranger, %s: %s", query, code)
		}
	}
	keeper, _ := w.member(admin, "keeper", nil, "keeper") // who may not see personal data
	one := get[map[string]any](keeper.ask(parked, nil), "parkedEvents.nodes.0")
	if get[string](one, "data.name") != "hidden" || one["error"] != "hidden" || one["position"] != bad {
		t.Errorf("%v", one)
	}
	if again := get[map[string]any](keeper.ask(retry, vars{"i": here}), "retryParked"); again["error"] != "hidden" || again["left"] != 1.0 {
		t.Errorf("%v", again)
	}
}
