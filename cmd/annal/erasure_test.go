package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A person is erased as docs/audit.md says, and looked for in a whole dump, in what was logged, and in every file but Postgres' own.
func TestErasure(t *testing.T) {
	t.Parallel()
	const mark = "zqMustermannzq"
	h := newHome(t)
	h.env = append(h.env, "ANNAL_ADMIN_PASSWORD=a long enough password", "ANNAL_LOG_LEVEL=debug")
	s := h.start("up", "--no-sample")
	admin := (&api{t: t, url: s.url}).as("admin", "a long enough password")
	id := admin.ask(`mutation { registerCustomer(input: {name: "Erika `+mark+`", email: "`+mark+`@example.org"}) { customer { id } } }`, nil).at("registerCustomer.customer.id").String()
	second := admin.ask(`mutation { inviteAccount(input: {loginName: "grace", displayName: "Grace", roles: ["administrator"]}) { account { id } } }`, nil).at("inviteAccount.account.id").String()
	token := admin.ask(`mutation { issueActivation(input: {accountId: "`+second+`"}) { token } }`, nil).at("issueActivation.token").String()
	admin.ask(`mutation { activateAccount(input: {token: "`+token+`", password: "another long password"}) { account { id } } }`, nil)
	grace := (&api{t: t, url: s.url}).as("grace", "another long password")
	admin.settle()
	for _, want := range []string{"email, name", "1 event of 1", "customers"} {
		if out := h.must("erasure", "preview", "--customer", id); !strings.Contains(out, want) {
			t.Errorf("the preview lacks %q:\n%s", want, out)
		}
	}
	if out, status := h.run("erasure", "preview", "--customer", second); status != 1 || !strings.Contains(out, "there is no customer") {
		t.Errorf("exit status %d: %s", status, out)
	}
	address := strings.TrimSpace(h.must("database-url"))
	dump := func() string {
		file := filepath.Join(t.TempDir(), "dump")
		tool(t, "pg_dump", "--file="+file, address)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if !strings.Contains(dump(), mark) {
		t.Fatal("nothing to erase")
	}
	request := admin.ask(`mutation { requestErasure(input: {customer: "`+id+`", reason: "asked by the person"}) { request { id } } }`, nil).at("requestErasure.request.id").String()
	if got := grace.ask(`mutation { approveErasure(input: {requestId: "`+request+`"}) { request { status } } }`, nil).at("approveErasure.request.status").String(); got != "DONE" {
		t.Errorf("the request is %s", got)
	}
	if strings.Contains(dump(), mark) {
		t.Error("a dump still has the person")
	}
	if out := h.must("erasure", "list"); !strings.Contains(out, request) || !strings.Contains(out, "done") {
		t.Error(out)
	}
	list := filepath.Join(t.TempDir(), "list")
	exported := h.must("erasure", "export")
	if err := os.WriteFile(list, []byte(exported), 0o600); err != nil || strings.Count(exported, id) != 1 {
		t.Error(err, exported)
	}
	if out := h.must("erasure", "apply", list); !strings.Contains(out, "erased again: 0 of 1") {
		t.Error(out)
	}
	if out := h.must("reproject", "customers", "--verify"); !strings.Contains(out, "the live rows were equal") {
		t.Error(out)
	}
	if out := h.must("audit", "verify"); strings.Contains(dump(), mark) {
		t.Error("a refold brings the person back", out)
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("stopped with exit status %d", status)
	}
	err := filepath.WalkDir(filepath.Join(h.dir, "data"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && (base == "base" || base == "pg_wal" || base == "global") {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), mark) {
				t.Errorf("%s has the person, or cannot be read: %v", path, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if strings.Contains(s.said, mark) {
		t.Error("what was logged has the person")
	}
}
