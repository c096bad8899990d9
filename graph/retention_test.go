package graph_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/graph"
)

const (
	proposeRule = `mutation($i: ProposeRetentionRuleInput!) { proposeRetentionRule(input: $i) { rule { id status basis days perDay reason proposedBy { loginName } approvedBy { loginName } due waiting } receipt { position } } }`
	approveRule = `mutation($i: ApproveRetentionRuleInput!) { approveRetentionRule(input: $i) { rule { status approvedBy { loginName } due done underWay waiting } } }`
	endRule     = `mutation($i: EndRetentionRuleInput!) { endRetentionRule(input: $i) { rule { status endedBy { loginName } ending waiting } } }`
	dryRun      = `query($id: ID, $rule: RetentionTrialInput, $at: Time, $first: Int, $after: String) { retentionDryRun(ruleId: $id, rule: $rule, at: $at) { at due kept { accountId why }
		subjects(first: $first, after: $after) { totalCount nodes { kind id since position dueAt } pageInfo { hasNextPage endCursor } } } }`
)

func TestARuleTakesTwoPersonsAndADryRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graph.Config{})
	w.ahead.Store(int64(72 * time.Hour)) // what is recorded now has rested
	carryingOut(w)
	admin := w.signIn("admin")
	second, _ := w.member(admin, "grace", nil, "administrator")
	sales, _ := w.member(admin, "sam", nil, "sales")
	privacy := vars{"role": "privacy", "permissions": []vars{{"permission": "erasure.request", "scope": "ALL"}}}
	team := vars{"role": "team privacy", "permissions": []vars{{"permission": "erasure.request", "scope": "TEAM"}, {"permission": "erasure.approve", "scope": "TEAM"}}}
	for _, role := range []vars{privacy, team} {
		admin.ask(`mutation($i: DefineRoleInput!) { defineRole(input: $i) { receipt { position } } }`, vars{"i": role})
	}
	officer, _ := w.member(admin, "otto", nil, "privacy")
	part, _ := w.member(admin, "paula", nil, "team privacy")

	old, program := time.Now().AddDate(-3, 0, 0).UTC().Truncate(time.Second), must(w.Commands.System(t.Context(), commands.Home))
	var ids []string
	for i := range 5 {
		id := uuid.New()
		must(w.Commands.ImportCustomer(t.Context(), program, commands.Command{ID: uuid.New(), OccurredAt: old.AddDate(0, 0, i)}, id, customer.Registered{Name: fmt.Sprint("Erika ", i), Source: "crm"}))
		ids = append(ids, id.String())
	}
	admin.ask(`mutation { registerCustomer(input: {name: "Acme"}) { customer { id } } }`, nil)

	rule := func(change vars) vars {
		input := vars{"basis": "CUSTOMER_TOUCHED", "days": 365, "reason": "GDPR article 5"}
		for k, v := range change {
			input[k] = v
		}
		return input
	}
	for name, refused := range map[string]struct {
		who   *client
		query string
		input vars
		code  string
	}{
		"who has no such permission proposes":  {sales, proposeRule, rule(nil), "FORBIDDEN"},
		"who may only for a team proposes":     {part, proposeRule, rule(nil), "FORBIDDEN"},
		"about accounts that have more rights": {officer, proposeRule, rule(vars{"basis": "ACCOUNT_DEACTIVATED"}), "FORBIDDEN"},
		"without a reason":                     {admin, proposeRule, rule(vars{"reason": " "}), "INVALID"},
		"after no days":                        {admin, proposeRule, rule(vars{"days": 0}), "INVALID"},
		"after a thousand years":               {admin, proposeRule, rule(vars{"days": 365_000}), "INVALID"},
		"from what there is not":               {admin, proposeRule, rule(vars{"basis": "CUSTOMER_BORN"}), "INVALID"},
		"without a brake":                      {admin, proposeRule, rule(vars{"perDay": 1001}), "INVALID"},
		"with the brake full on":               {admin, proposeRule, rule(vars{"perDay": 0}), "INVALID"},
		"approves what is not there":           {admin, approveRule, vars{"ruleId": somebody, "due": 0}, "NOT_FOUND"},
		"ends what is not there":               {admin, endRule, vars{"ruleId": somebody, "reason": "x"}, "NOT_FOUND"},
		"who may not approve approves":         {officer, approveRule, vars{"ruleId": somebody, "due": 0}, "FORBIDDEN"},
	} {
		if code, more := refused.who.refused(refused.query, vars{"i": refused.input}); code != refused.code {
			t.Errorf("%s: %s %v, want %s", name, code, more, refused.code)
		}
	}
	trial := vars{"basis": "CUSTOMER_TOUCHED", "days": 365}
	for name, refused := range map[string]struct {
		who  *client
		with vars
		code string
	}{
		"anybody":                  {sales, vars{"rule": trial}, "FORBIDDEN"},
		"who may only for a team":  {part, vars{"rule": trial}, "FORBIDDEN"},
		"of nothing":               {admin, vars{}, "INVALID"},
		"of two":                   {admin, vars{"rule": trial, "id": somebody}, "INVALID"},
		"of what is not there":     {admin, vars{"id": somebody}, "NOT_FOUND"},
		"of a rule that cannot be": {admin, vars{"rule": vars{"basis": "CUSTOMER_TOUCHED", "days": -1}}, "INVALID"},
		"of the past":              {admin, vars{"rule": trial, "at": "2001-01-01T00:00:00Z"}, "INVALID"},
	} {
		if code, more := refused.who.refused(dryRun, refused.with); code != refused.code {
			t.Errorf("a dry run, %s: %s %v, want %s", name, code, more, refused.code)
		}
	}

	// Who would be erased: exactly, and counted from what.
	before := must(w.Instance.Log.Head(t.Context()))
	run := officer.ask(dryRun, vars{"rule": trial, "first": 3})
	if get[float64](run, "retentionDryRun.due") != 5 || get[float64](run, "retentionDryRun.subjects.totalCount") != 5 {
		t.Error(run)
	}
	rested := func(due any) time.Duration { // after it was recorded, which is later than when the days were over
		at, err := time.Parse(time.RFC3339, due.(string))
		if err != nil {
			t.Error(err)
		}
		return time.Until(at).Round(time.Hour)
	}
	var shown []string
	for i := range 3 {
		one := get[map[string]any](run, fmt.Sprintf("retentionDryRun.subjects.nodes.%d", i))
		shown = append(shown, one["id"].(string))
		since := old.AddDate(0, 0, i)
		if one["kind"] != "customer" || one["since"] != since.Format(time.RFC3339) || rested(one["dueAt"]) != (24*time.Hour) {
			t.Error(one)
		}
	}
	run = officer.ask(dryRun, vars{"rule": trial, "first": 3, "after": get[string](run, "retentionDryRun.subjects.pageInfo.endCursor")})
	shown = append(shown, get[string](run, "retentionDryRun.subjects.nodes.0.id"), get[string](run, "retentionDryRun.subjects.nodes.1.id"))
	if !slices.Equal(shown, ids) || get[bool](run, "retentionDryRun.subjects.pageInfo.hasNextPage") {
		t.Errorf("shown %v, want %v", shown, ids)
	}
	later := officer.ask(dryRun, vars{"rule": trial, "at": time.Now().AddDate(1, 1, 0).Format(time.RFC3339)})
	if get[float64](later, "retentionDryRun.due") != 6 {
		t.Errorf("in a year: %v", later)
	}
	events := must(w.Instance.Log.ReadAll(t.Context(), before, 10))
	if len(events) != 3 || events[0].Type != "audit.checked" || !strings.Contains(string(events[0].Data), `"dry_run"`) || !strings.Contains(string(events[0].Data), "due=5") {
		t.Errorf("dry runs have written %v", events)
	}

	proposed := officer.ask(proposeRule, vars{"i": rule(vars{"perDay": 4})})
	id := get[string](proposed, "proposeRetentionRule.rule.id")
	wantJSON(t, "the proposal", get[map[string]any](proposed, "proposeRetentionRule.rule"), `{"approvedBy":null,"basis":"CUSTOMER_TOUCHED","days":365,"due":null,"id":"`+id+
		`","perDay":4,"proposedBy":{"loginName":"otto"},"reason":"GDPR article 5","status":"PROPOSED","waiting":0}`)
	own := get[string](admin.ask(proposeRule, vars{"i": rule(nil)}), "proposeRetentionRule.rule.id")
	if code, _ := admin.refused(approveRule, vars{"i": vars{"ruleId": own, "due": 5}}); code != "FORBIDDEN" {
		t.Error("approves what he has proposed himself:", code)
	}
	if code, _ := second.refused(approveRule, vars{"i": vars{"ruleId": id, "due": 4}}); code != "CONFLICT" {
		t.Error("approved with another number than was shown:", code)
	}
	// Somebody has to do with one of them after the dry run.
	admin.ask(`mutation($i: EditCustomerInput!) { editCustomer(input: $i) { customer { id } } }`, vars{"i": vars{"id": ids[1], "phone": "+49 170 2"}})
	if code, _ := second.refused(approveRule, vars{"i": vars{"ruleId": id, "due": 5}}); code != "CONFLICT" {
		t.Error("approved though it has changed:", code)
	}
	if due := get[float64](second.ask(dryRun, vars{"id": id}), "retentionDryRun.due"); due != 4 {
		t.Error("the dry run of the proposal:", due)
	}
	approved := second.ask(approveRule, vars{"i": vars{"ruleId": id, "due": 4}})
	wantJSON(t, "the rule", get[map[string]any](approved, "approveRetentionRule.rule"), `{"approvedBy":{"loginName":"grace"},"done":0,"due":4,"status":"APPROVED","underWay":0,"waiting":4}`)
	if code, _ := admin.refused(approveRule, vars{"i": vars{"ruleId": id, "due": 4}}); code != "CONFLICT" {
		t.Error("approved twice:", code)
	}

	apply := w.Retention(slog.New(slog.NewTextHandler(w.logs, nil)))
	if err := apply.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	listRules := `{ retentionRules { totalCount nodes { status done underWay waiting } } }`
	for range 100 {
		if get[float64](admin.ask(listRules, nil), "retentionRules.nodes.1.done") == 4 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	wantJSON(t, "the rules", admin.ask(listRules, nil)["retentionRules"], `{"nodes":[{"done":0,"status":"PROPOSED","underWay":0,"waiting":0},{"done":4,"status":"APPROVED","underWay":0,"waiting":0}],"totalCount":2}`)
	for i, subject := range ids {
		seen := admin.ask(`query($c: ID!) { customer(id: $c) { name erased } activity(last: 1, filter: {customer: $c}) { nodes { type data } } }`, vars{"c": subject})
		gone := i != 1
		if get[bool](seen, "customer.erased") != gone || (get[string](seen, "customer.name") == "erased") != gone ||
			gone && (get[string](seen, "activity.nodes.0.type") != "subject.erased" || get[string](seen, "activity.nodes.0.data.rule") != id) {
			t.Errorf("%d: %v", i, seen)
		}
	}
	requests := admin.ask(`query($r: ID) { erasureRequests(filter: {ruleId: $r, statuses: [DONE]}) { totalCount nodes { ruleId requestedBy { loginName } decidedBy { loginName } } } }`, vars{"r": id})
	wantJSON(t, "the first request", get[map[string]any](requests, "erasureRequests.nodes.0"), `{"decidedBy":{"loginName":"grace"},"requestedBy":{"loginName":"otto"},"ruleId":"`+id+`"}`)
	if get[float64](requests, "erasureRequests.totalCount") != 4 {
		t.Error(requests)
	}

	ended := officer.ask(endRule, vars{"i": vars{"ruleId": id, "reason": "another one follows"}})
	wantJSON(t, "the end", get[map[string]any](ended, "endRetentionRule.rule"), `{"endedBy":{"loginName":"otto"},"ending":"another one follows","status":"ENDED","waiting":0}`)
	for name, of := range map[string]struct {
		query string
		input vars
	}{
		"ended twice":                 {endRule, vars{"ruleId": id, "reason": "x"}},
		"approved after it was ended": {approveRule, vars{"ruleId": id, "due": 0}},
	} {
		if code, _ := admin.refused(of.query, vars{"i": of.input}); code != "CONFLICT" {
			t.Errorf("%s: %s", name, code)
		}
	}
	if code, _ := admin.refused(endRule, vars{"i": vars{"ruleId": own, "reason": ""}}); code != "INVALID" {
		t.Error("ended without a reason:", code)
	}
	account := admin.ask(`{ accounts { nodes { erased } } }`, nil)
	if get[bool](account, "accounts.nodes.0.erased") {
		t.Error(account)
	}

	// Another organization's rule is not there.
	elsewhere := w.elsewhere("boss")
	for query, input := range map[string]vars{approveRule: {"ruleId": own, "due": 0}, endRule: {"ruleId": own, "reason": "x"}} {
		if code, _ := elsewhere.refused(query, vars{"i": input}); code != "NOT_FOUND" {
			t.Error("another organization's rule:", code)
		}
	}
	if code, _ := elsewhere.refused(dryRun, vars{"id": own}); code != "NOT_FOUND" {
		t.Error("a dry run of another organization's rule:", code)
	}
	if due := get[float64](elsewhere.ask(dryRun, vars{"rule": vars{"basis": "CUSTOMER_TOUCHED", "days": 1}}), "retentionDryRun.due"); due != 0 {
		t.Error("another organization's customers:", due)
	}
}

// elsewhere is the administrator of another organization.
func (w *world) elsewhere(login string) *client {
	w.Helper()
	ctx, organization := w.Context(), uuid.New()
	must(w.Commands.RegisterOrganization(ctx, must(w.Commands.System(ctx, organization)), commands.RegisterOrganization{Name: "Elsewhere"}))
	program := must(w.Commands.System(ctx, organization))
	invited := must(w.Commands.Invite(ctx, program, commands.Invite{LoginName: login, DisplayName: login, Roles: []string{"administrator"}}))
	issued := must(w.Commands.IssueActivation(ctx, program, commands.OnAccount{AccountID: invited.ID}))
	must(w.Commands.ActivateAccount(ctx, commands.Origin{}, commands.ActivateAccount{Token: issued.Token, Password: password}))
	return w.signIn(login)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
