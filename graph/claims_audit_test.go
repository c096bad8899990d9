package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/graph"
)

// Claims of docs/audit.md about the API: what cannot be put on record is not shown, and of an erased person nothing is, in no past.

func TestNothingIsShownThatIsNotOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	made := admin.ask(register, vars{"i": vars{"name": "Marked Person"}})
	id, position := get[string](made, "registerCustomer.customer.id"), get[string](made, "registerCustomer.receipt.position")
	questions := map[string]vars{
		auditProof: {"p": position},
		`query($c: ID) { auditBundle(customer: $c) { events text } }`: {"c": id},
		aLife: {"c": id, "n": 10},
	}
	admin.ask(`mutation { makeCheckpoint { size } }`, nil)
	owner, err := pgx.Connect(t.Context(), w.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(context.Background())
	if _, err := owner.Exec(t.Context(), `create function full_disk() returns trigger language plpgsql as $$ begin raise exception 'no room' using errcode = 'disk_full'; end $$;
		create trigger full_disk before insert on eventlog.events for each statement execute function full_disk()`); err != nil {
		t.Fatal(err)
	}
	for query, v := range questions {
		a := admin.raw(query, v)
		for _, shown := range a.Data {
			if shown != nil {
				t.Errorf("%s: shown, though it cannot be put on record: %v", query, shown)
			}
		}
		if len(a.Errors) == 0 || a.Errors[0].Extensions["code"] == "INTERNAL" {
			t.Errorf("%s: %+v", query, a.Errors)
		}
	}
	if _, err := owner.Exec(t.Context(), `drop trigger full_disk on eventlog.events`); err != nil {
		t.Fatal(err)
	}
	for query, v := range questions {
		admin.ask(query, v)
	}
}

// A list of a past is kept for a minute, for its next pages; an erasure does not wait for that.
func TestAListOfAPastForgetsWhoIsErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graph.Config{})
	carryingOut(w)
	admin := w.signIn("admin")
	second, _ := w.member(admin, "grace", nil, "administrator")
	made := admin.ask(register, vars{"i": vars{"name": "Marked Person", "phone": "+1 555 0100"}})
	id, position := get[string](made, "registerCustomer.customer.id"), get[string](made, "registerCustomer.receipt.position")
	past := func() string {
		t.Helper()
		text, err := json.Marshal(admin.ask(wereAll, vars{"a": at("position", position)}))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if was := past(); !strings.Contains(was, "Marked Person") || past() != was {
		t.Fatal(was)
	}
	request := get[string](admin.ask(requestErasure, vars{"i": vars{"customer": id, "reason": "asked"}}), "requestErasure.request.id")
	if status := get[string](second.ask(approveErasure, vars{"i": vars{"requestId": request}}), "approveErasure.request.status"); status != "DONE" {
		t.Fatal(status)
	}
	if is := past(); strings.Contains(is, "Marked") || strings.Contains(is, "0100") || !strings.Contains(is, "erased") {
		t.Errorf("done, and yet %s", is)
	}
	if text := fmt.Sprint(admin.ask(aLife, vars{"c": id, "n": 50})); strings.Contains(text, "Marked") {
		t.Errorf("their life still has the name: %s", text)
	}
}
