package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

// Moving house with the program as people have it: from Postgres to EventStoreDB, on from there, and to another Postgres.
func TestMovingHouse(t *testing.T) {
	t.Parallel()
	const password = "a long enough password"
	store, err := esdbtest.New(esdbtest.Config{User: "annal", Password: "s3cret", TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	to := store.URL() + "&tlsVerifyCert=false"
	first, second := pgtest.URL(t), pgtest.URL(t)
	h := newHome(t)
	h.env = append(h.env, "ANNAL_MASTER_KEY="+vault.NewMasterKey(), "ANNAL_ADMIN_PASSWORD="+password, "ANNAL_DATABASE_URL="+first)
	customers := func(s *server) string {
		t.Helper()
		data := s.ask(t, "", `mutation { logIn(input: {loginName: "admin", password: "`+password+`"}) { token } }`)
		token := data["logIn"].(map[string]any)["token"].(string)
		return fmt.Sprint(s.ask(t, token, `{ customers(first: 10) { nodes { name email phone } } }`)["customers"])
	}
	sha := regexp.MustCompile(`sha256 ([0-9a-f]{64})\n`)
	copied := func(args ...string) (hash string) {
		t.Helper()
		out := h.must(append([]string{"log", "copy"}, args...)...)
		m := sha.FindStringSubmatch(out)
		if m == nil || strings.Contains(out, "s3cret") || !strings.Contains(out, "rebuild by themselves") {
			t.Fatalf("log copy %v:\n%s", args, out)
		}
		return m[1]
	}

	s := h.start("up")
	names := customers(s)
	if status := s.stop(t); status != 0 || !strings.Contains(names, "Harbor Instruments") {
		t.Fatal(status, names)
	}

	// Stopped on the way, it goes on.
	cmd := h.command("log", "copy", "--to", to)
	var said strings.Builder
	cmd.Stderr = &said
	store.Delay(20 * time.Millisecond)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); store.Len() < 10; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is copied")
		}
	}
	store.Delay(time.Minute) // what is not copied yet is not until it has ended, however busy this machine is
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), "the same command continues") {
		t.Fatalf("%v\n%s", err, said.String())
	}
	store.Delay(0)
	begun := store.Len()
	out := h.must("log", "copy", "--to", to)
	if begun > 60 || !strings.Contains(out, fmt.Sprintf("; %d were there", begun-1)) || !strings.Contains(out, "ANNAL_EVENTSTORE_URL=esdb://annal:xxxxx@") {
		t.Fatalf("after %d events:\n%s", begun, out)
	}
	hash := copied("--to", to)

	// The same Annal on the other log.
	h.env = append(h.env, "ANNAL_EVENTSTORE_URL="+to)
	s = h.start("up")
	if got := customers(s); got != names {
		t.Errorf("on EventStoreDB: %s, before: %s", got, names)
	}
	s.stop(t)

	// Back to the database of before, which knows the beginning; and on to another one, with the vault.
	if out := h.must("log", "copy", "--to", first); !strings.Contains(out, "the vault is in this database already") {
		t.Errorf("back home:\n%s", out)
	}
	grownHash := copied("--to", second)
	if grownHash == hash {
		t.Error("the hash of more events is the same")
	}
	out = h.must("log", "copy", "--to", second)
	dump := regexp.MustCompile(`(?m)^ *(pg_dump .*)$`).FindStringSubmatch(out)
	if dump == nil {
		t.Fatalf("nothing is said about the vault:\n%s", out)
	}
	script := fmt.Sprintf(`PATH="$PATH:$(ls -d /usr/lib/postgresql/*/bin | tail -1)"; OLD=%q; NEW=%q; set -e; %s`, first, second, dump[1])
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h.env = append(h.env, "ANNAL_EVENTSTORE_URL=", "ANNAL_DATABASE_URL="+second)
	s = h.start("up")
	if got := customers(s); got != names {
		t.Errorf("on the other Postgres: %s, before: %s", got, names)
	}
	s.stop(t)

	// A place where another log lives is left alone.
	other := newHome(t)
	other.env = append(other.env, "ANNAL_MASTER_KEY="+vault.NewMasterKey(), "ANNAL_DATABASE_URL="+pgtest.URL(t))
	other.start("up").stop(t)
	held := store.Len()
	for url, want := range map[string]string{
		to:                             "the target holds events that are not the source's",
		second:                         "the target holds events that are not the source's",
		"mysql://localhost":            "--to must be",
		"esdb://127.0.0.1:1?tls=false": "cannot be reached",
		"postgres://somebody:secret@127.0.0.1:1/crm": "no Postgres at postgres://somebody:xxxxx@127.0.0.1:1/crm",
	} {
		out, status := other.run("log", "copy", "--to", url)
		if status != 1 || !strings.Contains(out, want) || strings.Contains(out, "secret@") || strings.Contains(out, "s3cret") || strings.Count(out, "annal: ") != 1 {
			t.Errorf("--to %s: exit status %d\n%s", url, status, out)
		}
	}
	if store.Len() != held {
		t.Error("a refused copy has written")
	}
}
