package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/transparency"
)

// A backup from before an erasure is restored, as docs/audit.md says it is met: by itself where there is a data directory, by the
// exported list where there is none, each before anything is served. And a restored log is told to be one.
func TestARestoredBackupMeetsItsErasures(t *testing.T) {
	t.Parallel()
	const mark = "zqMustermannzq"
	key, signing := "ANNAL_MASTER_KEY="+vault.NewMasterKey(), "ANNAL_CHECKPOINT_KEY="+transparency.NewKey()
	original := pgtest.URL(t)
	h := newHome(t)
	base := append(h.env, key, signing, "ANNAL_ADMIN_PASSWORD="+password)
	on := func(database string) { h.env = append(base[:len(base):len(base)], "ANNAL_DATABASE_URL="+database) }
	on(original)
	s := h.start("up", "--no-sample")
	admin := (&api{t: t, url: s.url}).as("admin", password)
	id := admin.ask(`mutation { registerCustomer(input: {name: "Erika `+mark+`", email: "`+mark+`@example.org"}) { customer { id } } }`, nil).at("registerCustomer.customer.id").String()
	second := admin.ask(`mutation { inviteAccount(input: {loginName: "grace", displayName: "Grace", roles: ["administrator"]}) { account { id } } }`, nil).at("inviteAccount.account.id").String()
	token := admin.ask(`mutation { issueActivation(input: {accountId: "`+second+`"}) { token } }`, nil).at("issueActivation.token").String()
	admin.ask(`mutation { activateAccount(input: {token: "`+token+`", password: "`+password+`"}) { account { id } } }`, nil)
	admin.settle()
	backup := filepath.Join(t.TempDir(), "backup")
	tool(t, "pg_dump", "--format=custom", "--file="+backup, original)
	request := admin.ask(`mutation { requestErasure(input: {customer: "`+id+`", reason: "asked by the person"}) { request { id } } }`, nil).at("requestErasure.request.id").String()
	grace := (&api{t: t, url: s.url}).as("grace", password)
	if got := grace.ask(`mutation { approveErasure(input: {requestId: "`+request+`"}) { request { status } } }`, nil).at("approveErasure.request.status").String(); got != "DONE" {
		t.Fatalf("the request is %s", got)
	}
	h.must("audit", "checkpoint")
	s.stop(t)
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte(h.must("erasure", "export")), 0o600); err != nil {
		t.Fatal(err)
	}

	restored := func() string {
		database := pgtest.URL(t)
		tool(t, "pg_restore", "--exit-on-error", "--dbname="+database, backup)
		return database
	}
	shown := func(what string) {
		t.Helper()
		s := h.start("serve")
		got := (&api{t: t, url: s.url}).as("admin", password).ask(`query($c: ID!) { customer(id: $c) { name email } }`, vars{"c": id})
		if got.at("customer.name").String() != "erased" || strings.Contains(got.String(), mark) {
			t.Errorf("%s, the first look: %s", what, got)
		}
		s.stop(t)
	}

	on(restored())
	if out, status := h.run("audit", "verify"); status != 1 || !strings.Contains(out, "newest are missing") {
		t.Errorf("a restored log is not told: exit status %d\n%s", status, out)
	}
	shown("with the list in the data directory")

	// Another machine, with a new directory and no list: the person is there until the list is applied.
	h.dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(h.dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	on(restored())
	if out := h.must("replay", "customer", id); !strings.Contains(out, mark) {
		t.Fatalf("the backup does not hold the person, this test tests nothing:\n%s", out)
	}
	if out := h.must("erasure", "apply", list); !strings.Contains(out, "erased again: 1 of 1") {
		t.Error(out)
	}
	shown("with an exported list")

	// Of the certificate the list tells who and when, and nothing personal.
	text, err := os.ReadFile(list)
	var line map[string]any
	if err != nil || json.Unmarshal(text, &line) != nil || strings.Contains(string(text), mark) || !strings.Contains(string(text), id) {
		t.Errorf("%v: %s", err, text)
	}
}
