package main

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Who audits a database, or a dump of one, needs no master key and no right to write: what they get are verdicts and proofs.
func TestAnAuditorNeedsNoMasterKey(t *testing.T) {
	t.Parallel()
	h := newHome(t).onPostgres()
	h.must("init")
	key := lastLine(h.must("audit", "keys"))
	note := filepath.Join(h.dir, "note")
	if err := os.WriteFile(note, []byte(h.must("audit", "checkpoint")), 0o600); err != nil {
		t.Fatal(err)
	}
	db := h.database()
	do := func(statement string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	address, err := url.Parse(strings.TrimSpace(h.must("database-url")))
	if err != nil {
		t.Fatal(err)
	}
	role := "auditor_" + strings.TrimPrefix(address.Path, "/")
	do(`create role ` + pgx.Identifier{role}.Sanitize() + ` login password 'reads';
		grant usage on schema eventlog, transparency to ` + pgx.Identifier{role}.Sanitize() + `;
		grant select on all tables in schema eventlog, transparency to ` + pgx.Identifier{role}.Sanitize())
	owners := address.String()
	t.Cleanup(func() {
		ctx := context.Background()
		owner, err := pgx.Connect(ctx, owners)
		if err != nil {
			t.Fatal(err)
		}
		defer owner.Close(ctx)
		for _, s := range []string{`drop owned by `, `drop role `} {
			if _, err := owner.Exec(ctx, s+pgx.Identifier{role}.Sanitize()); err != nil {
				t.Error(err)
			}
		}
	})
	address.User = url.UserPassword(role, "reads")
	elsewhere := filepath.Join(h.dir, "elsewhere")
	if err := os.Mkdir(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	audit := func(args ...string) (string, int) {
		cmd := exec.Command(binary, append([]string{"audit"}, args...)...)
		for _, v := range h.env {
			if !strings.HasPrefix(v, "ANNAL_") {
				cmd.Env = append(cmd.Env, v)
			}
		}
		cmd.Dir, cmd.Env = elsewhere, append(cmd.Env, "ANNAL_DATABASE_URL="+address.String())
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	const unrecorded = "not put on record"
	bundle := filepath.Join(elsewhere, "case.bundle")
	count := func() (n int) {
		t.Helper()
		if err := db.QueryRow(t.Context(), `select count(*) from eventlog.events`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	for _, c := range []struct {
		args []string
		said string
	}{
		{[]string{"keys"}, key},
		{[]string{"verify", "--key", key, "--checkpoint", note}, "all as they were recorded"},
		{[]string{"prove", "3"}, "is event 3 (index 2) of"},
		{[]string{"bundle", bundle, "--to", "3"}, "3 events"},
		{[]string{"verify-bundle", bundle, "--key", key}, "the bundle holds: 3 events"},
	} {
		out, status := audit(c.args...)
		if status != 0 || !strings.Contains(out, c.said) || strings.Contains(out, unrecorded) != (c.args[0] != "keys" && c.args[0] != "verify-bundle") {
			t.Errorf("%v: exit status %d\n%s", c.args, status, out)
		}
	}
	if out, status := audit("bundle", bundle, "--stream", "customer/01890a5d-ac96-774b-bcce-b302099a8057", "--organization", "acme"); status != 1 || !strings.Contains(out, "with the master key only") {
		t.Error(status, out)
	}
	if out, status := audit("verify-bundle", bundle+"x", "--key", key); status != 2 || !strings.Contains(out, "no such file") {
		t.Error(status, out)
	}
	if left, _ := os.ReadDir(elsewhere); len(left) != 1 || count() != before {
		t.Errorf("beside the bundle there is %v, in the log %d events more", left, count()-before)
	}
	do(`set session_replication_role = replica; update eventlog.events set metadata = '{}' where position = 4; set session_replication_role = origin`)
	if out, status := audit("verify", "--key", key, "--checkpoint", note); status != 1 || !strings.Contains(out, "from position 4 on") {
		t.Error(status, out)
	}
}

// What is asked wrongly is told in a sentence, and what is put on record is what was given.
func TestWhatIsAskedWronglyOfTheAudit(t *testing.T) {
	t.Parallel()
	h := newHome(t).onPostgres()
	h.must("init")
	key := lastLine(h.must("audit", "keys"))
	if out, status := h.run("audit", "verify"); status != 0 || !strings.Contains(out, "none of them under a signed checkpoint") || strings.Contains(out, "all as they were recorded") {
		t.Error("nothing is signed yet:", status, out)
	}
	h.must("audit", "checkpoint")
	bundle := filepath.Join(h.dir, "case.bundle")
	stream := "customer/01890a5d-ac96-774b-bcce-b302099a8057"
	unsigned := filepath.Join(h.dir, "unsigned")
	text, _, _ := strings.Cut(h.must("audit", "checkpoint"), "\n\n")
	if err := os.WriteFile(unsigned, []byte(text+"\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		said   string
	}{
		{[]string{"prove", "-5"}, 80, "-5 is neither a flag nor a position"},
		{[]string{"bundle", bundle, "--from", "2", "--to", "99999"}, 1, "there is no event at this position: 99999; the log ends at "},
		{[]string{"bundle", bundle, "--stream", "foo/01890a5d-ac96-774b-bcce-b302099a8057"}, 1, `there is no category "foo": a stream is one of account, `},
		{[]string{"bundle", bundle, "--stream", stream, "--organization", "nobody"}, 1, `there is no organization "nobody"`},
		{[]string{"bundle", bundle, "--stream", stream, "--organization", "01890a5d-ac96-774b-bcce-b302099a8057"}, 1, "there is no event"},
		{[]string{"verify", "--checkpoint", unsigned}, 2, "its signature is cut off or changed"},
		{[]string{"verify", "--key", "annal/01890a5d-ac96-774b-bcce-b302099a8057" + key[strings.Index(key, "+"):]}, 2, "is not a verifier key"},
	} {
		if out, status := h.run(append([]string{"audit"}, c.args...)...); status != c.status || !strings.Contains(out, c.said) || strings.Contains(out, "transparency: ") {
			t.Errorf("%v: exit status %d\n%s", c.args, status, out)
		}
	}
	h.must("audit", "bundle", bundle, "--from", "2")
	db := h.database()
	var of, end string
	if err := db.QueryRow(t.Context(), `select data->>'of', 'positions 2 to ' || position - 1 from eventlog.events where type = 'audit.checked' order by position desc limit 1`).Scan(&of, &end); err != nil || of != end {
		t.Errorf("on record is %q, it was %q, %v", of, end, err)
	}
	// Its end was moved: nothing can be put on record, and that is no riddle.
	if _, err := db.Exec(t.Context(), `set session_replication_role = replica; update eventlog.head set position = position - 2; set session_replication_role = origin`); err != nil {
		t.Fatal(err)
	}
	if out, status := h.run("audit", "prove", "2"); status != 1 || strings.Contains(out, "SQLSTATE") || !strings.Contains(out, "put on record") {
		t.Error(status, out)
	}
	if out, status := h.run("audit", "verify"); status != 1 || strings.Contains(out, "SQLSTATE") || !strings.Contains(out, "its end was moved") {
		t.Error(status, out)
	}
}
