package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// What a dry run at the command line lists is what the server erases, which looks as soon as it starts.
func TestARuleAtTheCommandLine(t *testing.T) {
	t.Parallel()
	h := newHome(t).onPostgres()
	h.env = append(h.env, "ANNAL_ADMIN_PASSWORD="+password)
	s := h.start("up", "--no-sample")
	admin := (&api{t: t, url: s.url}).as("admin", password)
	ask := `mutation($n: String!) { registerCustomer(input: {name: $n}) { customer { id } } }`
	gone := admin.ask(ask, vars{"n": "Erika"}).at("registerCustomer.customer.id").String()
	stays := admin.ask(ask, vars{"n": "Max"}).at("registerCustomer.customer.id").String()
	second := admin.ask(`mutation { inviteAccount(input: {loginName: "grace", displayName: "Grace", roles: ["administrator"]}) { account { id } } }`, nil).at("inviteAccount.account.id").String()
	token := admin.ask(`mutation { issueActivation(input: {accountId: "`+second+`"}) { token } }`, nil).at("issueActivation.token").String()
	admin.ask(`mutation { activateAccount(input: {token: "`+token+`", password: "another long password"}) { account { id } } }`, nil)
	admin.settle()

	type line struct {
		Kind, ID, Position, Since string
		Due                       *int
	}
	dryRun := func(args ...string) (ids []string, due int) {
		t.Helper()
		for l := range strings.Lines(h.must(append([]string{"erasure", "dry-run", "--json"}, args...)...)) {
			var one line
			if err := json.Unmarshal([]byte(l), &one); err != nil {
				t.Fatal(err, l)
			}
			if one.Due != nil {
				due = *one.Due
			} else {
				ids = append(ids, one.ID)
			}
		}
		if due != len(ids) {
			t.Errorf("%d due, listed are %v", due, ids)
		}
		return ids, due
	}
	if ids, _ := dryRun("--from", "customer_touched", "--days", "365"); len(ids) > 0 {
		t.Errorf("due at once: %v", ids)
	}
	if ids, _ := dryRun("--from", "customer_touched", "--days", "365", "--at", time.Now().AddDate(1, 1, 0).UTC().Format(time.RFC3339)); len(ids) != 2 || ids[0] != gone || ids[1] != stays {
		t.Errorf("due in a year: %v", ids)
	}
	for want, args := range map[string][]string{
		"--days must be 1 to 36500":      {"--from", "customer_touched", "--days", "0"},
		"--from must be one of customer": {"--from", "customer_born", "--days", "9"},
		"missing flags":                  {"--days", "9"},
		"can't be used together":         {"--from", "customer_touched", "--days", "9", "--rule", gone},
		"--rule has its days":            {"--rule", gone, "--days", "9"},
		"there is no rule":               {"--rule", gone},
		"is not an id":                   {"--rule", "first"},
		"--at must be now or later":      {"--from", "customer_touched", "--days", "9", "--at", "2001-01-01T00:00:00Z"},
		"there is no organization":       {"--from", "customer_touched", "--days", "9", "--organization", "Nobody"},
	} {
		if out, status := h.run(append([]string{"erasure", "dry-run"}, args...)...); status == 0 || !strings.Contains(out, want) {
			t.Errorf("%v: exit status %d, %s; want %q", args, status, out, want)
		}
	}
	for _, list := range []string{"list", "rules"} {
		if out, status := h.run("erasure", list, "--organization", "Nobody"); status == 0 || !strings.Contains(out, "there is no organization") {
			t.Errorf("%s: exit status %d, %s", list, status, out)
		}
	}

	// Two years pass: the owner of the database turns the log back.
	s.stop(t)
	for _, statement := range []string{
		"set session_replication_role = replica",
		"update eventlog.events set occurred_at = occurred_at - interval '2 years', recorded_at = recorded_at - interval '2 years' where category = 'customer'",
	} {
		if _, err := h.database().Exec(t.Context(), "set session_replication_role = replica; "+statement); err != nil {
			t.Fatal(err)
		}
	}
	h.must("reproject", "retention")
	if ids, _ := dryRun("--from", "customer_touched", "--days", "365"); len(ids) != 2 || ids[0] != gone {
		t.Errorf("due, without a server: %v", ids)
	}
	s = h.start("up", "--no-sample")
	admin = (&api{t: t, url: s.url}).as("admin", password)
	grace := (&api{t: t, url: s.url}).as("grace", "another long password")
	admin.ask(editCustomer, vars{"i": vars{"id": stays, "phone": "+49 170"}})
	shown, due := dryRun("--from", "customer_touched", "--days", "365")
	if due != 1 || shown[0] != gone {
		t.Errorf("due: %v", shown)
	}
	rule := admin.ask(`mutation { proposeRetentionRule(input: {basis: CUSTOMER_TOUCHED, days: 365, reason: "GDPR article 5"}) { rule { id } } }`, nil).at("proposeRetentionRule.rule.id").String()
	if ids, _ := dryRun("--rule", rule); len(ids) != 1 || ids[0] != gone {
		t.Errorf("due by the rule: %v", ids)
	}
	grace.ask(`mutation { approveRetentionRule(input: {ruleId: "`+rule+`", due: 1}) { rule { status } } }`, nil)
	s.stop(t)
	s = h.start("serve")
	admin = (&api{t: t, url: s.url}).as("admin", password)
	until(t, "the rule has erased", func() bool {
		return admin.ask(`{ retentionRules { nodes { done } } }`, nil).at("retentionRules.nodes.0.done").int() == 1
	})
	if got := admin.ask(`{ customers { nodes { id erased } } }`, nil).at("customers.nodes").String(); got != `[{"erased":true,"id":"`+gone+`"},{"erased":false,"id":"`+stays+`"}]` {
		t.Error(got)
	}
	var listed struct {
		ID, Status, ApprovedBy  string
		Done, UnderWay, Waiting int
	}
	text := h.must("erasure", "rules", "--json")
	if err := json.Unmarshal([]byte(text), &listed); err != nil || listed.ID != rule || listed.Status != "approved" || listed.Done != 1 || listed.Waiting != 0 || listed.ApprovedBy != second {
		t.Errorf("%s, %v", text, err)
	}
	if out := h.must("erasure", "rules"); !strings.Contains(out, rule) || !strings.Contains(out, "GDPR article 5") {
		t.Error(out)
	}
	if out := h.must("erasure", "list", "--organization", "Annal"); !strings.Contains(out, gone) || !strings.Contains(out, "done") {
		t.Error(out)
	}
	if out := h.must("erasure", "export"); !strings.Contains(out, `"rule":"`+rule+`"`) {
		t.Error(out)
	}
	if out := h.must("erasure", "dry-run", "--rule", rule); !strings.Contains(out, "0 due at") || !strings.Contains(out, "nothing was erased") {
		t.Error(out)
	}
}
