package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
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
	for _, fields := range []string{`timeZone: "Asia/Shanghai", measures: [{name: "winRate", of: ["won"], per: ["won", "lost"]}]`, `events: {without: ["opportunity.lost"]}`} {
		s.ask(t, token, `mutation { defineReport(input: {name: "ours", about: "Our way", basedOn: "sales", `+fields+`}) { report { version } } }`)
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
	// Reports of one's own, each by its version.
	if got := h.must("report"); !strings.Contains(got, "Our way Based on sales, version 2.") {
		t.Error(got)
	}
	var rated, unlost []struct {
		Won, Lost int
		WinRate   float64
	}
	for version, into := range map[string]any{"1": &rated, "2": &unlost} {
		if err := json.Unmarshal([]byte(h.must("report", "ours", "--definition", version, "--format", "json")), into); err != nil {
			t.Fatal(err)
		}
	}
	if r, u := rated[0], unlost[0]; r.Lost == 0 || math.Abs(r.WinRate-float64(r.Won)/float64(r.Won+r.Lost)) > 0.00005 || u.Lost != 0 || u.Won != r.Won {
		t.Error(rated, unlost)
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
		"--where=month": "NAME=VALUE", "--organization=nobody": "no organization", "--where=owner=nobody.here": "no account with this name",
		"--where=customer=Nowhere": "no customer with this name", "--where=month=March": "--where month is like 2017-03", "--first=0": "must be at least 1",
	} {
		if out, status := h.run("report", "sales", flag); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %s", flag, status, out)
		}
	}

	// Names are taken where ids are.
	var named []struct {
		Owner, OwnerID, Customer string
		Won                      int
	}
	if err := json.Unmarshal([]byte(h.must("report", "sales", "--group-by", "owner,customer", "--format", "json", "--first", "1")), &named); err != nil || len(named) != 1 {
		t.Fatal(named, err)
	}
	for _, owner := range []string{named[0].Owner, named[0].OwnerID} {
		var found []struct{ Won int }
		if err := json.Unmarshal([]byte(h.must("report", "sales", "--where", "owner="+owner, "--where", "customer="+named[0].Customer, "--format", "json")), &found); err != nil || found[0].Won != named[0].Won {
			t.Error(owner, found, named, err)
		}
	}
	if some := h.must("report", "sales", "--where", "stage=won", "--events", "--first", "1"); strings.Count(some, "opportunity.won") != 1 {
		t.Error(some)
	}
	for flags, want := range map[string]string{
		"--to=0": "--to 0: must be greater than --after 0", "--after=5 --to=3": "must be greater", "--after=99999999": "--after 99999999: the log ends at", "--type=opportunity.wonn": "near it: opportunity.won",
	} {
		if out, status := h.run(append([]string{"export", "events"}, strings.Fields(flags)...)...); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %s", flags, status, out)
		}
	}

	for args, want := range map[string]string{"ours --definition 3": "--definition ours has versions 1 to 2", "sales --definition 1": "--definition sales is built in", "weather": "signins, ours"} {
		if out, status := h.run(append([]string{"report"}, strings.Fields(args)...)...); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %s", args, status, out)
		}
	}

	// Numbers are not on record; the events behind them are, addresses are, and so are exports, this one too.
	h.must("report", "signins", "--group-by", "source", "--where", "source=127.0.0.1", "--output", filepath.Join(h.dir, "sources"), "--format", "csv")
	h.must("export", "events", "--personal", "--type", "account.logged_in", "--output", filepath.Join(h.dir, "personal"))
	var looks []string
	for line := range strings.Lines(h.must("export", "events", "--type", "audit.report_read", "--type", "audit.log_exported")) {
		if !strings.HasPrefix(line, "{") {
			continue // what people are told
		}
		var e struct {
			Type string
			Data struct {
				Act, Report, Format string
				Of, Personal        any
				Events              int
			}
			Metadata struct{ Reason string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || !strings.HasSuffix(e.Metadata.Reason, " at the command line") {
			t.Fatal(err, line)
		}
		looks = append(looks, fmt.Sprint(e.Type, " ", e.Data.Act, " ", e.Data.Report, " ", e.Data.Of, " ", e.Data.Personal, " ", e.Data.Events, " ", e.Data.Format))
	}
	looks = slices.DeleteFunc(looks, func(l string) bool { return strings.HasSuffix(l, "<nil> 1 ") }) // the one event above
	if len(looks) != 3 || looks[0] != fmt.Sprintf("audit.report_read exported sales [stage=won] <nil> %d json", total[0].Won) ||
		looks[1] != "audit.report_read exported signins [by source] [source] 0 csv" || !strings.HasPrefix(looks[2], "audit.log_exported   [after=0 to=") || !strings.HasSuffix(looks[2], " type=account.logged_in] true 0 ndjson") {
		t.Error(strings.Join(looks, "\n"))
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
