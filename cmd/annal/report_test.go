package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An analyst's questions on the command line, while Annal serves its lively sample and when it does not.
func TestAnAnalystAsks(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.env = append(h.env, "ANNAL_ADMIN_PASSWORD=a long enough password")
	s := h.start("up")
	token := s.ask(t, "", `mutation { logIn(input: {loginName: "admin", password: "a long enough password"}) { token } }`)["logIn"].(map[string]any)["token"].(string)
	served := fmt.Sprint(s.ask(t, token, `{ salesReport(groupBy: [MONTH]) { month won lost wonValue } }`)["salesReport"])
	asked := func() string {
		t.Helper()
		var rows []any
		if err := json.Unmarshal([]byte(h.must("report", "sales", "--group-by", "month", "--format", "json")), &rows); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(rows)
	}
	if got := asked(); got != served || !strings.Contains(got, "won:") {
		t.Errorf("%s, but served was %s", got, served)
	}
	if status := s.stop(t); status != 0 {
		t.Fatal(status)
	}
	if got := asked(); got != served {
		t.Error(got)
	}
	if got := h.must("report", "sales", "--group-by", "month", "--known-at", "2016-01-01T00:00:00Z", "--format", "json"); got != "[]\n" {
		t.Error(got)
	}
	if got := h.must("report", "funnel", "--group-by", "owner", "--format", "csv"); !strings.HasPrefix(got, "owner,ownerId,opened,") || strings.Count(got, "\n") < 2 {
		t.Error(got)
	}
	if got := h.must("report"); !strings.Contains(got, "signins") {
		t.Error(got)
	}
	// The events behind a number are as many as it says.
	var total []struct{ Won int }
	if err := json.Unmarshal([]byte(h.must("report", "sales", "--where", "stage=won", "--format", "json")), &total); err != nil || len(total) != 1 {
		t.Fatal(total, err)
	}
	behind := h.must("report", "sales", "--where", "stage=won", "--events", "--format", "json")
	if strings.Count(behind, "\n") != total[0].Won || strings.Count(behind, `"type":"opportunity.won"`) != total[0].Won || total[0].Won == 0 {
		t.Error(total, behind)
	}
	for flag, want := range map[string]string{
		"--known-at=2999-01-01T00:00:00Z": "--known-at has not come yet", "--position=99999999": "--position has not come yet", "--group-by=weather": "--group-by there is no",
		"--where=month": "NAME=VALUE", "--organization=nobody": "no organization",
	} {
		if out, status := h.run("report", "sales", flag); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %s", flag, status, out)
		}
	}

	file := filepath.Join(h.dir, "report.parquet")
	h.must("report", "sales", "--group-by", "month,owner", "--format", "parquet", "--output", file)
	if b, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(b), "PAR1") || !strings.HasSuffix(string(b), "PAR1") {
		t.Error(err, len(b))
	}
	whole := h.must("export", "events", "--output", filepath.Join(h.dir, "events"))
	b, err := os.ReadFile(filepath.Join(h.dir, "events"))
	if n := strings.Count(string(b), "\n"); err != nil || n == 0 || !strings.Contains(whole, fmt.Sprintf("%d events, up to position %d", n, n)) {
		t.Error(whole, err)
	}
}
