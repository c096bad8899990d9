package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

// An attack on names that people here have, too.
const attackLog = `Feb 29 23:58:00 gate sshd[7]: Failed password for admin from 198.51.100.7 port 4000 ssh2
Feb 29 23:58:30 gate sshd[7]: message repeated 2 times: [ Failed password for admin from 198.51.100.7 port 4000 ssh2]
Feb 29 23:58:31 gate sshd[7]: Connection closed by 198.51.100.7 [preauth]
Feb 29 23:59:00 gate sshd[8]: Failed password for invalid user Admin from 198.51.100.8 port 4001 ssh2
Mar  1 00:08:30 gate sshd[9]: Accepted password for admin from 192.0.2.1 port 4002 ssh2
`

func TestTryingARuleOnAnAttack(t *testing.T) {
	t.Parallel()
	const password = "a long enough password"
	h := newHome(t)
	h.env = append(h.env, "ANNAL_MASTER_KEY="+vault.NewMasterKey(), "ANNAL_DATABASE_URL="+pgtest.URL(t), "ANNAL_ADMIN_PASSWORD="+password)
	file := filepath.Join(h.dir, "auth.log")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	refuse := func(want string, args ...string) {
		t.Helper()
		if out, status := h.run(args...); status == 0 || !strings.HasSuffix(strings.TrimSpace(out), "annal: "+want) || strings.Count(out, "\n") != 1 {
			t.Errorf("%v: exit status %d, wanted %q:\n%s", args, status, want, out)
		}
	}
	load := func(organization, year string) []string {
		return []string{"import", "auth-log", file, "--year", year, "--organization", organization}
	}
	try := func(more ...string) []string {
		return append([]string{"audit", "what-if", "--attempts", "3", "--window", "1m", "--lock-for", "10m"}, more...)
	}

	h.must("database-url") // the first command makes the keys, and says so
	write("nothing\n")
	refuse(file+": no line of sshd about a password in it", load("attacked", "2024")...)
	write(attackLog)
	refuse(file+": line 1: Feb 29 23:58:00 is not a time of the year 2023", load("attacked", "2023")...)
	refuse("--year must be 1970 to 9999", load("attacked", "24")...)
	refuse("there is no organization in this log yet", try()...)
	if out := h.must(load("attacked", "2024")...); out != "attempts          5 added       0 there already\n" {
		t.Errorf("%q", out)
	}
	write(attackLog + strings.ReplaceAll(attackLog[:strings.Index(attackLog, "\n")+1], "Feb 29", "Mar  2"))
	if out := h.must(load("attacked", "2024")...); out != "attempts          1 added       5 there already\n" {
		t.Errorf("%q", out)
	}

	var got whatIf
	if err := json.Unmarshal([]byte(h.must(try("--organization", "attacked", "--json")...)), &got); err != nil {
		t.Fatal(err)
	}
	fell := time.Date(2024, 2, 29, 23, 58, 30, 0, time.UTC)
	if len(got.Locks) != 1 || got.Attempts != 6 || got.Accounts != 1 || got.RefusedWhileLocked != 1 || got.Happened.Locks == nil || len(got.Happened.Locks) != 0 {
		t.Fatalf("%+v", got)
	}
	// The attempt at the end of the lock is not refused.
	if l := got.Locks[0]; l.LoginName != "admin" || !l.From.Equal(fell) || !l.Until.Equal(fell.Add(10*time.Minute)) || l.Refused != 1 {
		t.Errorf("%+v", l)
	}
	out := h.must(try("--organization", "attacked")...)
	for _, want := range []string{
		"attacked: 6 attempts to sign in to 1 accounts, 2024-02-29 23:58:00 to 2024-03-02 23:58:00 (UTC)\n",
		"with this rule:     1 locks, 1 attempts refused meanwhile\n",
		"\"admin\"  2024-02-29 23:58:30  2024-03-01 00:08:30  10m0s  1\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("wanted %q in\n%s", want, out)
		}
	}

	// Beside people: the same name is theirs, and who asks for it means the person.
	s := h.start("up", "--no-sample")
	defer s.stop(t)
	if data := s.ask(t, "", `mutation { logIn(input: {loginName: "admin", password: "`+password+`"}) { token } }`); data["logIn"] == nil {
		t.Errorf("%v", data)
	}
	if out := h.must("replay", "account", "admin"); !strings.Contains(out, "signed in") || strings.Contains(out, "2024-02-29") {
		t.Errorf("the wrong life:\n%s", out)
	}
	refuse(`invalid: organization must be one of its own: "Annal" is where people work`, load("Annal", "2024")...)
	refuse(`there is no organization "nobody's"; there are: "attacked", "Annal"`, try("--organization", "nobody's")...)
	for flag, why := range map[string]string{"--attempts=0": "must be 1 to 100", "--attempts=101": "must be 1 to 100", "--window=0s": "must be 1s to 24h", "--lock-for=-1m": "must be 1s to 24h"} {
		name, _, _ := strings.Cut(flag, "=")
		refuse(name+" "+why, try(flag)...)
	}
}
