package main

import (
	"encoding/csv"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A life reads the same at the machine and from afar, in every form, and each reading of it is on record.
func TestALifeIsReplayedHereAndFromAfar(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.env = append(h.env, "ANNAL_ADMIN_PASSWORD="+password)
	s := h.start("up", "--no-sample")
	admin := (&api{t: t, url: s.url}).as("admin", password)
	const change = `mutation($i: EditCustomerInput!) { editCustomer(input: $i) { receipt { position } } }`
	id := admin.ask(`mutation { registerCustomer(input: {name: "=Acme", reason: "=1+1"}) { customer { id } } }`, nil).at("registerCustomer.customer.id").String()
	for _, phone := range []string{"1", "2", "3"} {
		admin.ask(change, vars{"i": vars{"id": id, "phone": phone}})
	}
	self := admin.ask(`{ viewer { account { id } } }`, nil).at("viewer.account.id").String()
	admin.ask(`mutation($i: ReassignCustomerInput!) { reassignCustomer(input: $i) { receipt { position } } }`, vars{"i": vars{"id": id, "ownerId": nil}})
	admin.settle()
	afar := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(h.binary, append(append([]string{"replay"}, args...), "--url", s.url)...) // knows no data directory
		cmd.Dir, cmd.Env, cmd.SysProcAttr = h.dir, append(h.env, "ANNAL_TOKEN="+admin.token), h.user
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, args := range [][]string{
		{"customer", "=Acme"}, {"customer", id, "--json"}, {"customer", "=Acme", "--csv"}, {"customer", id, "--json", "--type", "customer.edited"},
		{"customer", id, "--json", "--device", "ANNAL-test", "--ip", "127.0.0.0/8"}, {"customer", id, "--json", "--ip", "10.0.0.1"},
	} {
		here, there := h.must(append([]string{"replay"}, args...)...), afar(args...)
		if here != there {
			t.Errorf("%v: here\n%s\nfrom afar\n%s", args, here, there)
		}
		want := map[string]int{"--type": 3, "--device": 5, "--ip": 1}
		if n, ok := want[args[min(3, len(args)-1)]]; ok && strings.Count(here, "\n") != n {
			t.Errorf("%v: %s", args, here)
		}
	}
	// What finds nothing says so, beside the output; what cannot be a type is refused and not read.
	for _, run := range []func(...string) string{func(args ...string) string { return h.must(append([]string{"replay"}, args...)...) }, afar} {
		if out := run("customer", id, "--json", "--type", "customer.archived"); out != "no events\n" {
			t.Errorf("%q", out)
		}
		if out := run("customer", id); strings.Contains(out, "no events") || !strings.Contains(out, "no longer assigned to "+self+" (admin)") || !strings.Contains(out, " UTC  customer.registered ") {
			t.Errorf("%q", out)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(afar("customer", id, "--csv"))).ReadAll()
	if err != nil || len(rows) != 6 || rows[0][0] != "position" || !slices.Contains(rows[1], "'=1+1") {
		t.Errorf("%v %v", rows, err)
	}
	looks := admin.pages(`query($after: String) { activity(first: 100, after: $after, filter: {types: ["audit.read"]}) { nodes { actor { loginName } reason data } pageInfo { hasNextPage endCursor } } }`, nil)
	exported := 0
	for _, l := range looks {
		if l.at("data.subject").String() != id {
			t.Errorf("%v", l)
		}
		if byProgram := l.at("actor").v == nil; byProgram != strings.HasSuffix(l.at("reason").String(), " at the command line") {
			t.Errorf("who read it: %v", l)
		}
		if l.at("data.act").String() == "exported" {
			exported++
		}
	}
	if len(looks) != 17 || exported != 6 { // from afar the server does not know what becomes of it
		t.Errorf("%d looks on record, %d exports", len(looks), exported)
	}
	for wanted, args := range map[string][]string{
		"Nobody":                     {"replay", "customer", "Nobody", "--url", s.url, "--token", admin.token},
		"UNAUTHENTICATED":            {"replay", "customer", id, "--url", s.url, "--token", "x"},
		"near it: customer.archived": {"replay", "customer", id, "--type", "customer.archive"},
		"NOT_FOUND":                  {"replay", "account", "00000000-0000-0000-0000-000000000001", "--url", s.url, "--token", admin.token},
		"neither":                    {"replay", "customer", id, "--ip", "here"},
		"no GraphQL":                 {"replay", "customer", id, "--url", strings.TrimSuffix(s.url, "graphql") + "healthz"},
	} {
		if out, status := h.run(args...); status == 0 || !strings.Contains(out, wanted) {
			t.Errorf("%v: exit status %d\n%s", args, status, out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, ".annal")); len(left) > 0 {
		t.Error("a replay from afar made a data directory")
	}
	s.stop(t)
}
