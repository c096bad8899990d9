package postgres

import (
	"context"
	"embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/internal/migrations"
)

//go:embed migrations
var files embed.FS

// Migrate brings the schema eventlog to this program's form, forward only. Any number of processes may do so at once. It
// refuses a log of a newer program.
func Migrate(ctx context.Context, owner *pgx.Conn) error {
	return migrations.Set{Schema: "eventlog", Files: files, Strict: true}.Apply(ctx, owner)
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
