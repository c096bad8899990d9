// Package migrations brings a Postgres schema to the form that a program needs, forward only.
//
// A schema's migrations are files named 0001_subject.sql, 0002_subject.sql and so on. A released file never changes; what
// comes later is a further file. The schema counts its migrations in a table of its own, so a dump of the schema says
// which form it has.
//
// Some schemas are older than this count. A file that may have been applied before then is either safe to apply again, or
// its first line is "-- makes: schema.relation": where that relation exists, the file is counted and not applied.
package migrations

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Set is the migrations of one schema.
type Set struct {
	Schema string
	Files  fs.FS // with the files in the folder "migrations"

	// Strict refuses a schema that a newer program has migrated. Otherwise an older program takes it as it is: so long as
	// migrations only add, people can go back to yesterday's program.
	Strict bool
}

const made = "-- makes: "

// Apply applies the migrations that are missing, in their order and in one transaction, on the connection of the database's
// owner. Processes that do so at the same time wait for each other.
func (s Set) Apply(ctx context.Context, owner *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, owner, func(tx pgx.Tx) error { return s.apply(ctx, tx) })
	if err != nil {
		return fmt.Errorf("migrate the schema %s: %w", s.Schema, err)
	}
	return nil
}

func (s Set) apply(ctx context.Context, tx pgx.Tx) error {
	files, err := fs.Glob(s.Files, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}

	if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtext($1))", s.Schema+".migrations"); err != nil {
		return err
	}
	table := pgx.Identifier{s.Schema, "migrations"}.Sanitize()
	if _, err := tx.Exec(ctx, "create schema if not exists "+pgx.Identifier{s.Schema}.Sanitize()+`;
		create table if not exists `+table+" (number integer primary key, applied_at timestamptz not null default now())"); err != nil {
		return err
	}
	var applied int
	if err := tx.QueryRow(ctx, "select coalesce(max(number), 0) from "+table).Scan(&applied); err != nil {
		return err
	}
	if s.Strict && applied > len(files) {
		return fmt.Errorf("it has form %d, this program knows %d: use a newer one", applied, len(files))
	}

	for i, file := range files[min(applied, len(files)):] {
		if err := s.one(ctx, tx, file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if _, err := tx.Exec(ctx, "insert into "+table+" (number) values ($1)", applied+i+1); err != nil {
			return err
		}
	}
	return nil
}

func (s Set) one(ctx context.Context, tx pgx.Tx, file string) error {
	sql, err := fs.ReadFile(s.Files, file)
	if err != nil {
		return err
	}

	there := false
	first, _, _ := strings.Cut(string(sql), "\n")
	if relation, ok := strings.CutPrefix(first, made); ok {
		err = tx.QueryRow(ctx, "select to_regclass($1) is not null", relation).Scan(&there)
	}
	if err == nil && !there {
		_, err = tx.Exec(ctx, string(sql))
	}
	return err
}
