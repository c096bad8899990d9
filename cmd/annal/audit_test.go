package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var verifier = regexp.MustCompile("(?s)<!-- verify.py -->\n```python\n(.*?)```")

// An auditor's way through docs/audit.md, with the program in the page, while Annal serves; then somebody changes the database.
func TestAnAuditorIsToldTheTruth(t *testing.T) {
	h := newHome(t)
	s := h.start("up", "--publish-checkpoints", filepath.Join(h.dir, "published"))
	var keys struct{ Name, VerifierKey string }
	if err := json.Unmarshal([]byte(h.must("audit", "keys", "--json")), &keys); err != nil || !strings.HasPrefix(keys.VerifierKey, keys.Name+"+") {
		t.Fatal(keys, err)
	}
	note := filepath.Join(h.dir, "note")
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(note, h.must("audit", "checkpoint"))
	if info, err := os.Stat(filepath.Join(h.dir, "data", "checkpoint.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	published := filepath.Join(h.dir, "published")
	for i := 0; ; i++ {
		if b, err := os.ReadFile(published); err == nil && strings.HasPrefix(string(b), keys.Name+"\n") {
			break
		}
		if i > 300 {
			t.Fatal("no checkpoint was published")
		}
		time.Sleep(50 * time.Millisecond)
	}

	// A stranger's verifier, as the page has it.
	page, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(h.dir, "verify.py")
	write(program, string(verifier.FindSubmatch(page)[1]))
	proof := filepath.Join(h.dir, "proof.json")
	text := h.must("audit", "prove", "3", "--json")
	stranger := func() (string, bool) {
		out, err := exec.Command("python3", program, proof, keys.VerifierKey).CombinedOutput()
		return string(out), err == nil
	}
	write(proof, text)
	if out, ok := stranger(); !ok || !strings.Contains(out, "event 3 (index 2) of ") || !strings.Contains(out, "organization") {
		t.Error(out)
	}
	for what, spoiled := range map[string]string{
		"another index": strings.Replace(text, `"index":2`, `"index":1`, 1),
		"another size":  regexp.MustCompile(`\\n(\d+)\\n`).ReplaceAllString(text, `\n1$1\n`),
		"another leaf":  strings.Replace(text, `"leaf":"YW5u`, `"leaf":"YW5v`, 1),
	} {
		write(proof, spoiled)
		if out, ok := stranger(); ok || spoiled == text {
			t.Errorf("%s: %s", what, out)
		}
	}
	if out := h.must("audit", "prove", "3"); !strings.Contains(out, "position 3: ") || !strings.Contains(out, keys.Name) {
		t.Error(out)
	}

	// A bundle, verified where there is no Annal.
	bundle := filepath.Join(h.dir, "case.bundle")
	h.must("audit", "bundle", bundle, "--to", "5")
	verifyBundle := func(args ...string) (string, bool) {
		out, err := exec.Command(binary, append([]string{"audit", "verify-bundle", bundle, "--key", keys.VerifierKey}, args...)...).CombinedOutput()
		return string(out), err == nil
	}
	if out, ok := verifyBundle("--json"); !ok || !strings.Contains(out, "the bundle holds: 5 events") || strings.Count(out, `"recordedAt"`) != 5 {
		t.Error(out)
	}
	b, _ := os.ReadFile(bundle)
	b[len(b)/2] ^= 4
	write(bundle, string(b))
	if out, ok := verifyBundle(); ok || !strings.Contains(out, "the bundle does not hold: line ") {
		t.Error(out)
	}

	// Bad input: each its own clear answer.
	other := strings.Replace(keys.Name, "annal/", "annal/0", 1)
	write(filepath.Join(h.dir, "other"), strings.ReplaceAll(h.must("audit", "checkpoint"), keys.Name, other))
	write(filepath.Join(h.dir, "none"), "hello")
	for _, c := range []struct {
		args   []string
		status int
		said   string
	}{
		{[]string{"audit", "prove", "0"}, 1, "there is no event at this position: 0"},
		{[]string{"audit", "prove", "9999999"}, 1, "there is no event at this position: 9999999; the log ends at "},
		{[]string{"audit", "prove", "x"}, 1, `"x" is not a position`},
		{[]string{"audit", "verify", "--checkpoint", filepath.Join(h.dir, "other")}, 2, `it is of the log "` + other},
		{[]string{"audit", "verify", "--checkpoint", filepath.Join(h.dir, "none")}, 2, "it has not the form of one"},
		{[]string{"audit", "verify", "--checkpoint", filepath.Join(h.dir, "nowhere")}, 2, "no such file"},
		{[]string{"audit", "verify", "--checkpoint", note, "--key", keys.VerifierKey[:len(keys.VerifierKey)-4] + "AAA="}, 2, "is not a verifier key"},
		{[]string{"audit", "verify", "--checkpoint", note, "--witness-key", keys.VerifierKey}, 2, "is not the key of a witness"},
		{[]string{"audit", "bundle", bundle, "--from", "9999999"}, 1, "there is no event at this position"},
		{[]string{"audit", "bundle", bundle, "--stream", "customer"}, 1, "is not a stream"},
	} {
		if out, status := h.run(c.args...); status != c.status || !strings.Contains(out, c.said) {
			t.Errorf("%v: exit status %d\n%s", c.args, status, out)
		}
	}

	// What an auditor takes is on record before it is shown; what failed is not.
	onRecord := func() (kinds []string) {
		rows, _ := h.database().Query(t.Context(), `select data->>'kind' || ' ' || (metadata->>'reason') from eventlog.events where type = 'audit.checked' order by position`)
		kinds, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return kinds
	}
	by := " " + operator() + " at the command line"
	if got := onRecord(); !slices.Equal(got, []string{"proved" + by, "proved" + by, "bundled" + by}) {
		t.Errorf("on record: %q", got)
	}

	// Somebody changes the database behind Annal's back.
	if out, status := h.run("audit", "verify", "--checkpoint", note, "--key", keys.VerifierKey); status != 0 || !strings.Contains(out, "all as they were recorded") {
		t.Fatal(status, out)
	}
	db := h.database()
	if _, err := db.Exec(t.Context(), `set session_replication_role = replica; update eventlog.events set recorded_at = recorded_at + interval '1 microsecond' where position = 4`); err != nil {
		t.Fatal(err)
	}
	cmd := h.command("audit", "verify", "--json")
	var out bytes.Buffer
	cmd.Stdout = &out
	err = cmd.Run()
	var v verdict
	if json.Unmarshal(out.Bytes(), &v) != nil || v.OK || v.Position != "4" || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v %+v", err, v)
	}
	if out, status := h.run("audit", "prove", "4"); status != 1 || !strings.Contains(out, "not as it was recorded: the event at position 4") {
		t.Error(out)
	}
	if got := onRecord(); len(got) != 4 || got[3] != "verified"+by {
		t.Errorf("on record: %q", got)
	}
	if status := s.stop(t); status != 0 {
		t.Error("exit status", status)
	}
}

// A witness is a program of its own: it cosigns, and refuses another history after it was started again.
func TestAWitnessIsAnotherAnnal(t *testing.T) {
	h := newHome(t)
	h.must("init")
	key := strings.TrimSpace(lastLine(h.must("audit", "keys")))
	dir := filepath.Join(h.dir, "witness")
	witness := func() (url, verifierKey string, stop func()) {
		cmd := exec.Command(binary, "audit", "witness", "--listen", "127.0.0.1:0", "--dir", dir, "--name", "witness.example", "--log", key)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fscanf(out, "witness %s\nready %s\n", &verifierKey, &url); err != nil {
			t.Fatal(err)
		}
		stop = func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() }
		t.Cleanup(stop)
		return url, verifierKey, stop
	}
	url, verifierKey, stop := witness()
	note := filepath.Join(h.dir, "note")
	if err := os.WriteFile(note, []byte(h.must("audit", "checkpoint", "--witness", url)), 0o600); err != nil {
		t.Fatal(err)
	}
	h.must("audit", "verify", "--checkpoint", note, "--witness-key", verifierKey)
	stop()
	if out, status := h.run("audit", "checkpoint", "--witness", url); status != 1 || !strings.Contains(out, "witness "+url) || !strings.Contains(out, "— annal/") {
		t.Error(out)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
