package pgtest

import (
	"context"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/internal/embedded"
)

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	table := func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "create table things (n int)")
		return err
	}
	first, second := New(t, table), New(t, table)
	if _, err := first.Exec(t.Context(), "insert into things values (1)"); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := second.QueryRow(t.Context(), "select count(*) from things").Scan(&n); err != nil || n != 0 {
		t.Fatalf("the second database has %d rows (%v), want none", n, err)
	}
}

func TestTheNextTestBinaryFindsTheServer(t *testing.T) {
	address, err := sharedServer()
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	// What a killed test leaves, and what a running one has.
	orphan, ours := "test_999999999_1", "test_"+strconv.Itoa(os.Getpid())+"_0"
	for _, name := range []string{orphan, ours} {
		if err := execOn(ctx, address, "create database "+name); err != nil {
			t.Fatal(err)
		}
	}
	defer execOn(ctx, address, "drop database "+ours)
	if err := dropOrphans(ctx, address); err != nil {
		t.Fatal(err)
	}
	if err := execOn(ctx, address, "drop database "+orphan); err == nil {
		t.Error("the orphan was not dropped")
	}
	if err := execOn(ctx, address, "alter database "+ours+" connection limit 1"); err != nil {
		t.Error("the database of a running test was dropped:", err)
	}
}

func TestDurable(t *testing.T) {
	server, dir := Durable(t)
	if err := execOn(t.Context(), server.URL(), "create table acknowledged (n int)"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(server.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again, err := embedded.Start(t.Context(), dir, embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := execOn(t.Context(), server.ServingURL(), "insert into acknowledged values (1)"); err != nil {
		t.Error(err)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		URL(b)
	}
}
