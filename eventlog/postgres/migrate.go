package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema eventlog to this program's form, forward only: all steps that lack, in one transaction. Any
// number of processes may do so at once. It refuses a log of a newer program.
func Migrate(ctx context.Context, owner *pgx.Conn) error {
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted: 0001_, 0002_, …
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, owner, func(tx pgx.Tx) error {
		var applied int
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('eventlog.migrations'))`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `create schema if not exists eventlog;
			create table if not exists eventlog.migrations (number integer primary key, applied_at timestamptz not null default now())`,
		); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `select coalesce(max(number), 0) from eventlog.migrations`).Scan(&applied); err != nil {
			return err
		}
		if applied > len(files) {
			return fmt.Errorf("the log has form %d, this program knows %d: use a newer one", applied, len(files))
		}
		for i, file := range files[applied:] {
			sql, err := migrations.ReadFile(file)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, string(sql)); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if _, err := tx.Exec(ctx, `insert into eventlog.migrations (number) values ($1)`, applied+i+1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("eventlog/postgres: migrate: %w", err)
	}
	return nil
}

// Grant gives a role what serving needs and takes from it what it had beyond that: it may read and append, and neither
// change nor delete an event, nor switch off the triggers that would refuse. Run it as the owner, after [Migrate].
func Grant(ctx context.Context, owner *pgx.Conn, role string) error {
	name := pgx.Identifier{role}.Sanitize()
	err := pgx.BeginFunc(ctx, owner, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			revoke all on all tables in schema eventlog from `+name+`;
			revoke all on all functions in schema eventlog from public;
			grant usage on schema eventlog to `+name+`;
			grant select, insert on eventlog.events to `+name+`;
			grant select, update (position, recorded_at) on eventlog.head to `+name+`;
			grant execute on function eventlog.append to `+name)
		return err
	})
	if err != nil {
		return fmt.Errorf("eventlog/postgres: grant to %s: %w", name, err)
	}
	return nil
}
