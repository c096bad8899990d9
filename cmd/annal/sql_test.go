package main

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The way of an administrator and an analyst through docs/analysts.md, while Annal serves.
func TestAnAnalystReadsWithSQL(t *testing.T) {
	h := newHome(t)
	s := h.start("up")
	db := h.database()
	if out := h.must("sql", "list"); !strings.Contains(out, "no login") {
		t.Error(out)
	}
	for _, c := range []struct{ args, said string }{
		{"sql grant analyst", "there is no such login in Postgres: analyst"},
		{"sql grant analyst --organization Nowhere", `there is no organization "Nowhere"`},
		{"sql grant " + db.Config().User, "sees more than the views show"},
		{"sql revoke analyst", "has no such grant"},
	} {
		if out, status := h.run(strings.Fields(c.args)...); status != 1 || !strings.Contains(out, c.said) {
			t.Errorf("%s: exit status %d\n%s", c.args, status, out)
		}
	}
	if _, err := db.Exec(t.Context(), "create role analyst login password 'for a test'"); err != nil {
		t.Fatal(err)
	}
	if out := h.must("sql", "grant", "analyst"); !strings.Contains(out, "analyst reads ") {
		t.Error(out)
	}
	h.must("sql", "grant", "analyst") // again
	onRecord := func(want string) {
		t.Helper()
		var got string
		if err := db.QueryRow(t.Context(), `select coalesce(string_agg(concat_ws(' ', type, data->>'login', metadata->>'reason'), ', ' order by position), '') from eventlog.events where type like 'organization.sql%'`).Scan(&got); err != nil || got != want {
			t.Errorf("on record is %q, want %q: %v", got, want, err)
		}
	}
	granted := "organization.sql_granted analyst " + operator() + " at the command line"
	onRecord(granted)
	if out := h.must("sql", "list"); !strings.Contains(out, "analyst ") || !strings.Contains(out, operator()) {
		t.Error(out)
	}
	address, err := url.Parse(db.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword("analyst", "for a test")
	conn, err := pgx.Connect(t.Context(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var customers, won int
	if err := conn.QueryRow(t.Context(), "select (select count(*) from bi.customers where name = 'hidden'), (select count(*) from bi.deals where stage = 'won')").Scan(&customers, &won); err != nil || customers == 0 || won == 0 {
		t.Errorf("%d customers, %d won: %v", customers, won, err)
	}
	h.must("reproject", "customers")
	var again int
	if err := conn.QueryRow(t.Context(), "select count(*) from bi.customers").Scan(&again); err != nil || again != customers {
		t.Errorf("after a reprojection %d customers, before %d: %v", again, customers, err)
	}
	h.must("sql", "revoke", "analyst")
	onRecord(granted + ", " + strings.Replace(granted, "granted", "revoked", 1))
	if refused, ok := errors.AsType[*pgconn.PgError](conn.QueryRow(t.Context(), "select count(*) from bi.customers").Scan(&again)); !ok || refused.Code != "42501" {
		t.Errorf("after it was revoked: %v", refused)
	}
	if status := s.stop(t); status != 0 {
		t.Error("exit status", status)
	}
}
