package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// What docs/audit.md says of an imported attack: what it makes and what it does not, sealed how, and which file is another one.
func TestAnImportedAttackTouchesNobody(t *testing.T) {
	t.Parallel()
	h := newHome(t).onPostgres()
	h.env = append(h.env, "ANNAL_ADMIN_PASSWORD="+password)
	h.must("init")
	db := h.database()
	list := func(query string) []string {
		t.Helper()
		rows, err := db.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	file := filepath.Join(h.dir, "auth.log")
	line := func(day int, name string) string {
		return fmt.Sprintf("Mar %2d 01:02:03 gate sshd[79]: Failed password for invalid user %s from 203.0.113.99 port 4711 ssh2\n", day, name)
	}
	load := func(text, organization string) (string, int) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return h.run("import", "auth-log", file, "--year", "2016", "--organization", organization)
	}
	// Where people work, and what belongs to no organization: reservations of names.
	const home = `organization in ('a77a1000-0000-4000-8000-000000000001', '00000000-0000-0000-0000-000000000000')`
	count := func() string { return list(`select count(*)::text from eventlog.events`)[0] }
	hashOfHome := func() string {
		return list(`select md5(string_agg(e::text, '' order by position)) from eventlog.events e where ` + home)[0]
	}

	// A file with a line that cannot be imports nothing, wherever the line is.
	before, people := count(), hashOfHome()
	if out, status := load(line(1, "mallory")+line(2, "admin")+line(30, "x")+strings.Replace(line(1, "y"), "Mar  1", "Feb 30", 1), "attacked"); status == 0 || !strings.Contains(out, "line 4: Feb 30") || count() != before {
		t.Errorf("exit status %d, %s events, before %s: %s", status, count(), before, out)
	}

	first := line(1, "mallory") + line(2, "Mallory ") + line(3, "") + line(4, "admin")
	if out, status := load(first, "attacked"); status != 0 || !strings.Contains(out, "4 added       0 there already") {
		t.Fatalf("exit status %d: %s", status, out)
	}
	if hashOfHome() != people {
		t.Error("something was written where people work, or a name was reserved")
	}
	if got, want := list(`select distinct type from eventlog.events where not `+home+` order by 1`), []string{"account.invited", "account.login_failed", "organization.registered", "organization.role_defined"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, not just %q", got, want)
	}
	if got := list(`select count(distinct stream)::text from eventlog.events where not ` + home + ` and type = 'account.invited'`)[0]; got != "3" {
		t.Errorf("%s accounts of mallory, nobody and admin", got)
	}
	for _, clear := range []string{"mallory", "Mallory", "203.0.113.99", "4711"} {
		if got := list(`select type from eventlog.events e where e::text like '%` + clear + `%'`); len(got) > 0 {
			t.Errorf("%s stands in clear in %q", clear, got)
		}
	}
	if got := list(`select count(*)::text from vault.keys where not ` + home); got[0] < "3" {
		t.Errorf("%s keys for three names", got[0])
	}
	if got := list(`select distinct occurred_at at time zone 'UTC' || '' from eventlog.events where type = 'account.login_failed' order by 1 limit 1`); got[0] != "2016-03-01 01:02:03" {
		t.Errorf("it occurred at %s", got)
	}

	// The same again, grown, and rotated.
	for _, c := range []struct{ what, text, want string }{
		{"the same", first, "0 added       4 there already"},
		{"grown", first + line(5, "eve"), "1 added       4 there already"},
		{"after rotation", line(2, "Mallory ") + line(3, "") + line(4, "admin"), "3 added       0 there already"},
	} {
		if out, status := load(c.text, "attacked"); status != 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit status %d: %s, not %s", c.what, status, out, c.want)
		}
	}

	// Nobody can sign in to these accounts; the names are free where people work.
	s := h.start("serve")
	if code := (&api{t: t, url: s.url}).refused(logIn, vars{"i": vars{"loginName": "mallory", "password": password}}).code(); code != "INVALID_CREDENTIALS" && code != "UNAUTHENTICATED" {
		t.Error(code)
	}
	admin := (&api{t: t, url: s.url}).as("admin", password) // not locked, though attacked there
	admin.ask(`mutation { inviteAccount(input: {loginName: "mallory", displayName: "Mallory"}) { account { id } } }`, nil)
	s.stop(t)
}
