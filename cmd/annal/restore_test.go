package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

// tool runs one of Postgres' programs, which need not be in PATH.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
		if len(installed) == 0 {
			t.Fatal(err)
		}
		path = slices.Max(installed)
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// The drill of docs/operations.md: what a backup brings back, and what is said and done where its parts do not fit together.
func TestRestoreDrill(t *testing.T) {
	t.Parallel()
	const password = "a long enough password"
	key := vault.NewMasterKey()
	at := func(database string) *home {
		h := newHome(t)
		h.env = append(h.env, "ANNAL_DATABASE_URL="+database, "ANNAL_MASTER_KEY="+key, "ANNAL_ADMIN_PASSWORD="+password)
		return h
	}
	register := func(s *server, name string) {
		t.Helper()
		(&api{t: t, url: s.url}).as("admin", password).ask(`mutation($i: RegisterCustomerInput!) { registerCustomer(input: $i) { customer { name } } }`,
			vars{"i": vars{"name": name, "email": "office@example.com"}})
	}
	customers := func(s *server) string {
		t.Helper()
		var names []string
		for _, c := range (&api{t: t, url: s.url}).as("admin", password).ask(`{ customers(first: 50) { nodes { name email } } }`, nil).at("customers.nodes").list() {
			names = append(names, c.at("name").String())
		}
		slices.Sort(names)
		return strings.Join(names, ", ")
	}

	// Two backups, with more written between them; of each the whole, and its parts as if they were made apart.
	dir := t.TempDir()
	backup := func(database, name string, of ...string) string {
		file := filepath.Join(dir, name)
		tool(t, "pg_dump", append(of, "--format=custom", "--file="+file, database)...)
		return file
	}
	restored := func(files ...string) string {
		database := pgtest.URL(t)
		for _, f := range files {
			tool(t, "pg_restore", "--exit-on-error", "--dbname="+database, f)
		}
		return database
	}
	const sample = "Harbor Instruments, Linden Bakery Group, Sable Logistics"
	original := pgtest.URL(t)
	s := at(original).start("up")
	if got := customers(s); got != sample {
		t.Fatal(got)
	}
	old := backup(original, "old")
	oldLog, oldRest := backup(original, "old-log", "--schema=eventlog"), backup(original, "old-rest", "--exclude-schema=eventlog")
	register(s, "Quay & Sons")
	newLog, newRest := backup(original, "new-log", "--schema=eventlog"), backup(original, "new-rest", "--exclude-schema=eventlog")
	newVault := backup(original, "new-vault", "--schema=vault")
	s.stop(t)

	verified := func(h *home) {
		t.Helper()
		if out := h.must("reproject", "--all", "--verify"); strings.Count(out, "the live rows were equal") != len(app.Models()) {
			t.Errorf("not all were equal:\n%s", out)
		}
	}
	// refuses wants serve to end with an explanation, in this process or in any other one.
	refuses := func(h *home, command string, wants ...string) {
		t.Helper()
		var said bytes.Buffer
		cmd := h.command(command, "--listen", "127.0.0.1:0")
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }).Stop() // if it serves after all
		cmd.Wait()
		out, status := said.String(), cmd.ProcessState.ExitCode()
		if status != unfit || strings.Contains(out, "ready http") {
			t.Errorf("%s: exit status %d:\n%s", command, status, out)
		}
		for _, want := range append(wants, "do not belong together, so nothing is served", "docs/operations.md") {
			if !strings.Contains(out, want) {
				t.Errorf("%s does not say %q:\n%s", command, want, out)
			}
		}
	}

	var otherLog string // of the same length, with another end
	t.Run("one dump fits", func(t *testing.T) {
		database := restored(old)
		h := at(database)
		s := h.start("serve")
		if got := customers(s); got != sample {
			t.Error(got)
		}
		register(s, "Lantern Works")
		s.stop(t)
		verified(h)
		otherLog = backup(database, "other-log", "--schema=eventlog")
	})
	t.Run("read models of a past that was taken back", func(t *testing.T) {
		refuses(at(restored(otherLog, newRest)), "serve", "customers", "which the log does not have there", "annal reproject customers")
	})
	t.Run("read models ahead of the log", func(t *testing.T) {
		h := at(restored(oldLog, newRest))
		refuses(h, "up", "customers", "annal reproject customers")
		refuses(h, "serve", "customers", "annal reproject customers")
		h.must("reproject", "--all")
		s := h.start("serve")
		if got := customers(s); got != sample {
			t.Errorf("the read models are not what the log says: %s", got)
		}
		register(s, "Lantern Works") // its key may be in the vault or not; it is written and read
		s.stop(t)
		verified(h)
	})
	t.Run("a vault older than the log", func(t *testing.T) {
		database := restored(newLog, oldRest)
		h := at(database)
		refuses(h, "serve", "there is no key for this subject", "restore its newest backup")
		tool(t, "psql", "--quiet", "--command=drop schema vault cascade", database)
		tool(t, "pg_restore", "--exit-on-error", "--dbname="+database, newVault)
		s := h.start("serve")
		if got, want := customers(s), "Harbor Instruments, Linden Bakery Group, Quay & Sons, Sable Logistics"; got != want {
			t.Errorf("%s, not %s", got, want)
		}
		s.stop(t)
		verified(h)
	})
}
