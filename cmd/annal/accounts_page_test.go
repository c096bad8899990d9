package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/accounts.md is to be copied: its lines make an auditor's account, with nothing changed but where the server is.
func TestThePageOfAccountsRunsAsItStands(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.env = append(h.env, "ANNAL_ADMIN_PASSWORD="+password)
	s := h.start("up", "--no-sample")
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "accounts.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		script.WriteString(block[1])
	}
	const served = "http://127.0.0.1:8420/graphql"
	if strings.Count(script.String(), served) != 1 {
		t.Fatal("the page does not say where the server is")
	}
	shell := exec.CommandContext(t.Context(), "bash", "-euc", strings.Replace(script.String(), served, s.url, 1))
	shell.Stdin = strings.NewReader(password + "\na password of her own\n")
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`"loginName":"ada.lovelace","status":"ACTIVE"`, `"displayName":"Ada Lovelace","roles":["auditor"]`, `"audit.verify"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in what the page's lines say:\n%s", want, out)
		}
	}
	s.stop(t)
}
