package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

// A dump that is restored without its owners belongs to the role that restores it: read models, views and log. Annal gives each
// role what it needs when it starts, or says what it may not give and serves nothing.
func TestADumpRestoredWithoutItsOwners(t *testing.T) {
	t.Parallel()
	original := pgtest.URL(t)
	super := newHome(t).connect(original)
	exec := func(on *pgx.Conn, sql string) {
		t.Helper()
		if _, err := on.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	as := func(database, role string) string {
		address, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		address.User = url.UserPassword(role, "for a test")
		return address.String()
	}
	// login makes a role that ends after the databases that are made later.
	login := func(name, rights string) string {
		role := fmt.Sprintf("%s_%d", name, os.Getpid())
		exec(super, "create role "+role+" login password 'for a test' "+rights)
		t.Cleanup(func() {
			admin, err := pgx.Connect(context.Background(), original)
			if err == nil {
				_, err = admin.Exec(context.Background(), "drop role "+role)
				admin.Close(context.Background())
			}
			if err != nil {
				t.Error(err)
			}
		})
		return role
	}

	env := []string{"ANNAL_MASTER_KEY=" + vault.NewMasterKey(), "ANNAL_ADMIN_PASSWORD=" + password}
	at := func(database string) *home {
		h := newHome(t)
		h.env = slices.Concat(h.env, env, []string{"ANNAL_DATABASE_URL=" + database})
		return h
	}
	s := at(original).start("up")
	customers := func(t *testing.T, s *server) int {
		t.Helper()
		who := (&api{t: t, url: s.url}).as("admin", password)
		who.settle()
		return len(who.pages(`query($after: String) { customers(first: 50, after: $after) { nodes { name } pageInfo { hasNextPage endCursor } } }`, nil))
	}
	const sample = 3
	if got := customers(t, s); got != sample {
		t.Fatal(got)
	}
	s.stop(t)
	dump := filepath.Join(t.TempDir(), "dump")
	tool(t, "pg_dump", "--format=custom", "--file="+dump, original)

	// Roles are the whole server's: on a new one an administrator makes them as docs/operations.md says.
	member := login("restoring", "createrole in role annal_serving, annal_bi")
	alone := login("alone", "")
	granted, stranger := login("granted", ""), login("stranger", "in role annal_reader")

	// restored restores into a database that belongs to owner, as somebody.
	restored := func(owner, by string, flags ...string) string {
		database := pgtest.URL(t)
		name := database[strings.LastIndex(database, "/")+1:]
		name, _, _ = strings.Cut(name, "?")
		exec(super, "alter database "+name+" owner to "+owner)
		exec(super, "grant create on database "+name+" to annal_serving") // for the one that restores as this role
		if by != "" {
			by = as(database, by)
		} else {
			by = database
		}
		tool(t, "pg_restore", append(flags, "--exit-on-error", "--no-owner", "--dbname="+by, dump)...)
		return as(database, owner)
	}
	code := func(err error) string {
		refused, _ := errors.AsType[*pgconn.PgError](err)
		if refused == nil {
			return fmt.Sprint(err)
		}
		return refused.Code
	}
	changes := []string{
		"update eventlog.events set type = 'x'", "delete from eventlog.events", "truncate eventlog.events", "delete from eventlog.head", "update eventlog.head set identity = gen_random_uuid()",
		"delete from transparency.tiles", "delete from transparency.trees",
	}
	unlocks := []string{
		"alter table eventlog.events disable trigger all", "drop trigger immutable on eventlog.events", "drop table eventlog.events cascade", "drop schema eventlog cascade",
		"alter table transparency.tiles disable trigger all", "drop schema vault cascade",
	}

	for name, c := range map[string]struct {
		by    string // "" a superuser
		flags []string
	}{
		"with grants":                    {member, nil},
		"without grants":                 {member, []string{"--no-privileges"}},
		"as the role that serves":        {member, []string{"--role=annal_serving"}},
		"by a superuser, as its owner":   {"", []string{"--role=" + member}},
		"by a superuser, without grants": {"", []string{"--role=" + member, "--no-privileges"}},
	} {
		t.Run(name, func(t *testing.T) {
			database := restored(member, c.by, c.flags...)
			h := at(database)
			s := h.start("serve")
			if got := customers(t, s); got != sample {
				t.Errorf("%d customers", got)
			}
			(&api{t: t, url: s.url}).as("admin", password).ask(`mutation { registerCustomer(input: {name: "Lantern Works"}) { customer { name } } }`, nil)
			if got := customers(t, s); got != sample+1 {
				t.Errorf("%d customers after one more", got)
			}

			// The log is as well protected as before.
			serving := h.connect(database)
			exec(serving, "set role annal_serving")
			exec(serving, "grant all on eventlog.events to current_user") // of the owner of the table this would be a way around it
			for _, sql := range slices.Concat(changes, unlocks) {
				if _, err := serving.Exec(t.Context(), sql); code(err) != "42501" { // insufficient_privilege
					t.Errorf("%s: %v", sql, err)
				}
			}
			owner := h.connect(database)
			for _, sql := range changes {
				if _, err := owner.Exec(t.Context(), sql); code(err) != "23001" { // restrict_violation
					t.Errorf("%s, as the owner: %v", sql, err)
				}
			}

			// So is the wall between organizations, and those who are let through it see what they did.
			h.must("sql", "grant", granted)
			until(t, "the views are there", func() bool {
				_, err := h.connect(as(database, granted)).Exec(t.Context(), "select from bi.customers, bi.deals, bi.sign_ins")
				return err == nil
			})
			for role, want := range map[string]int{granted: sample + 1, stranger: 0} {
				var got int
				if err := h.connect(as(database, role)).QueryRow(t.Context(), "select count(*) from bi.customers").Scan(&got); err != nil || got != want {
					t.Errorf("%s sees %d customers, not %d: %v", role, got, want, err)
				}
			}
			h.must("sql", "revoke", granted)
			s.stop(t)
			if out := h.must("reproject", "--all", "--verify"); strings.Count(out, "the live rows were equal") != len(app.Models()) {
				t.Errorf("not all were equal:\n%s", out)
			}
		})
	}

	t.Run("by an owner who may take no role", func(t *testing.T) {
		database := restored(alone, alone)
		h := at(database)
		s := h.start("serve")
		if got := customers(t, s); got != sample {
			t.Errorf("%d customers", got)
		}
		owner := h.connect(database)
		for _, sql := range changes {
			if _, err := owner.Exec(t.Context(), sql); code(err) != "23001" {
				t.Errorf("%s: %v", sql, err)
			}
		}
		var seen int // nobody has built the wall, so nobody may look
		if err := h.connect(as(database, stranger)).QueryRow(t.Context(), "select count(*) from bi.customers").Scan(&seen); code(err) != "42501" {
			t.Errorf("a reader of no organization sees %d customers: %v", seen, err)
		}
		s.stop(t)
	})

	// What the owner of the database may not give is said, and nothing is served.
	for name, c := range map[string]struct {
		owner string
		flags []string
		after string
		says  []string
	}{
		"by a superuser, as itself":  {member, nil, "", []string{"belong", "schema auth", member, "pg_restore --no-owner --role=" + member}},
		"read models of a superuser": {member, []string{"--role=" + member}, "alter schema customers_v2 owner to current_user", []string{"schema customers_v2", member}},
		"read models of a role that the owner is no member of": {alone, []string{"--role=" + alone}, "alter table customers_v2.customers owner to annal_serving",
			[]string{"table customers_v2.customers belongs to annal_serving", alone}},
	} {
		t.Run(name, func(t *testing.T) {
			database := restored(c.owner, "", c.flags...)
			h := at(database)
			if c.after != "" {
				on := *super.Config()
				on.Database = h.connect(database).Config().Database
				there, err := pgx.ConnectConfig(t.Context(), &on)
				if err != nil {
					t.Fatal(err)
				}
				defer there.Close(context.Background())
				exec(there, c.after)
			}
			var said bytes.Buffer
			cmd := h.command("serve", "--listen", "127.0.0.1:0")
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }).Stop() // if it serves after all
			cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != 1 || strings.Contains(said.String(), "ready http") {
				t.Errorf("exit status %d", status)
			}
			for _, want := range c.says {
				if !strings.Contains(said.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, said.String())
				}
			}
		})
	}
}
