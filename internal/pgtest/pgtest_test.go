package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
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

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		URL(b)
	}
}
