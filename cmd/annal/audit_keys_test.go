package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A key is replaced, then lost and replaced again, with the program in the page.
func TestAKeyIsReplaced(t *testing.T) {
	h := newHome(t)
	s := h.start("up", "--no-sample")
	type keys struct {
		VerifierKey string
		Keys        []keyPeriod
	}
	listed := func() (k keys) {
		if err := json.Unmarshal([]byte(lastLine(h.must("audit", "keys", "--json"))), &k); err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := listed().VerifierKey
	friday := filepath.Join(h.dir, "friday.note")
	note := h.must("audit", "checkpoint")
	if err := os.WriteFile(friday, []byte(note[strings.Index(note, "annal/"):]), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		said string
	}{
		{[]string{"--reason", "x"}, "go with --replace"},
		{[]string{"--replace"}, "a reason must be given"},
		{[]string{"--replace", "--reason", "x", "--lost"}, "the old key is here and was not lost"},
	} {
		if out, status := h.run(append([]string{"audit", "keys"}, c.args...)...); status == 0 || !strings.Contains(out, c.said) {
			t.Errorf("%v: %d %s", c.args, status, out)
		}
	}
	if out := h.must("audit", "keys", "--replace", "--reason", "yearly"); !strings.Contains(out, "annal/key-handover/v1\n") || !strings.Contains(out, "\nreason yearly\n") {
		t.Error(out)
	}
	second := listed().VerifierKey
	verify := func(said string, args ...string) {
		t.Helper()
		if out, status := h.run(append([]string{"audit", "verify"}, args...)...); status != 0 || !strings.Contains(out, said) {
			t.Errorf("%v: %d %s", args, status, out)
		}
	}
	verify("it vouches for its successor "+second, "--key", first, "--checkpoint", friday)
	verify("all as they were recorded", "--checkpoint", friday)
	var on int
	err := h.database().QueryRow(t.Context(), `select count(*) from eventlog.events where type = 'audit.key_replaced' and data->>'old' = $1 and data->>'new' = $2
		and metadata->>'reason' = $3 and position <= (select max(size) from transparency.checkpoints)`, first, second, operator()+" at the command line: yearly").Scan(&on)
	if err != nil || on != 1 {
		t.Error("on record:", on, err)
	}

	if err := os.Remove(filepath.Join(h.dir, "data", "checkpoint.key")); err != nil {
		t.Fatal(err)
	}
	if out, status := h.run("audit", "keys", "--replace", "--reason", "fire"); status == 0 || !strings.Contains(out, "the old key is not here") {
		t.Error(status, out)
	}
	h.must("audit", "keys", "--replace", "--lost", "--reason", "fire")
	k := listed()
	if len(k.Keys) != 3 || !k.Keys[0].Lost || k.Keys[1].Lost || k.Keys[2].VerifierKey != first || k.Keys[1].To == 0 || k.Keys[0].From != k.Keys[1].To || k.Keys[0].Reason != "fire" {
		t.Errorf("%+v", k)
	}
	verify("it does not vouch, because it was lost: fire", "--key", first, "--checkpoint", friday)
	verify("all as they were recorded", "--key", k.VerifierKey, "--checkpoint", friday)
	newest := filepath.Join(h.dir, "newest.note")
	note = h.must("audit", "checkpoint")
	if err := os.WriteFile(newest, []byte(note[strings.Index(note, "annal/"):]), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, status := h.run("audit", "verify", "--key", second, "--checkpoint", newest); status != 2 || !strings.Contains(out, "does not vouch") {
		t.Error(status, out)
	}
	if status := s.stop(t); status != 0 {
		t.Error("exit status", status)
	}
}
