package main

import (
	"fmt"
	"strings"
	"testing"
)

// Somebody removes an event from the index alone: an account's page does not know of it, the machine and a comparison do.
func TestWhatIsGoneFromTheIndexIsStillInTheLog(t *testing.T) {
	t.Parallel()
	h := newHome(t).onPostgres()
	h.env = append(h.env, "ANNAL_ADMIN_PASSWORD="+password)
	s := h.start("up", "--no-sample")
	admin := (&api{t: t, url: s.url}).as("admin", password)
	made := admin.ask(`mutation { registerCustomer(input: {name: "Acme"}) { customer { id } receipt { position } } }`, nil)
	position := made.at("registerCustomer.receipt.position").String()
	self := admin.ask(`{ viewer { account { id } } }`, nil).at("viewer.account.id").String()
	admin.settle()
	page := func() string {
		t.Helper()
		return fmt.Sprint(admin.ask(`query($a: ID) { life(account: $a, first: 100) { nodes { position } } }`, vars{"a": self}))
	}
	if !strings.Contains(page(), `"`+position+`"`) {
		t.Fatalf("%s is not in %s", position, page())
	}
	if _, err := h.database().Exec(t.Context(), `delete from activity_v1.events where position = $1`, position); err != nil {
		t.Fatal(err)
	}
	if got := page(); strings.Contains(got, `"`+position+`"`) {
		t.Errorf("the page knows of it after all: %s", got)
	}
	s.stop(t)
	if out := h.must("replay", "account", "admin", "--json"); !strings.Contains(out, `"position":"`+position+`"`) {
		t.Errorf("the machine does not show it:\n%s", out)
	}
	if out, status := h.run("reproject", "activity", "--verify"); status == 0 || !strings.Contains(out, "1") || strings.Contains(out, "the live rows were equal") {
		t.Errorf("a comparison does not find it: exit status %d\n%s", status, out)
	}
}
