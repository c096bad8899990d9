package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/auth"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/transfer/sqlviews"
	"github.com/annal-crm/annal/transparency"
)

// serving is the database role that every connection takes: it owns the read models, and may read and append events but
// never change one.
const serving = "annal_serving"

// migrate brings every schema to this program's form, as the owner of the database, and gives the serving role its rights.
// It reports whether that role could be had: a Postgres of the user's own may not let us make roles.
func migrate(ctx context.Context, address string, existing bool) (roleReady bool, err error) {
	owner, err := pgx.Connect(ctx, address)
	if err != nil {
		return false, fmt.Errorf("no Postgres at %s: %w", Redacted(address), plain(err))
	}
	defer owner.Close(context.WithoutCancel(ctx)) // gives the lock back
	if existing {
		var there bool
		if err := owner.QueryRow(ctx, `select to_regclass('eventlog.head') is not null`).Scan(&there); err != nil {
			return false, err
		}
		if !there {
			return false, fmt.Errorf("%w: the database at %s holds none; annal init begins there", ErrNothing, Redacted(address))
		}
	}
	if err := alone(ctx, owner); err != nil {
		return false, err
	}
	roleReady, err = allowed(takeRole(ctx, owner, serving))
	if err != nil {
		return false, err
	}
	if !roleReady {
		slog.Warn("the database role may not take the role " + serving + "; events are protected by triggers alone")
	}
	analysts, err := readable(ctx, owner)
	if err != nil {
		return false, err
	}
	if !analysts {
		slog.Info("the database role may not take the roles " + sqlviews.Reader + " and " + sqlviews.Owner + "; only the owner of the database reads the views for SQL")
	}
	if err := owned(ctx, owner, ownersSchemas+" or "+viewsSchemas); err != nil {
		return false, err
	}
	steps := []func(context.Context, *pgx.Conn) error{
		postgres.Migrate, vault.Migrate, auth.Migrate, engine.Migrate, transparency.Migrate,
		func(ctx context.Context, owner *pgx.Conn) error { return owned(ctx, owner, modelsSchemas) },
	}
	if roleReady {
		steps = append(steps, grant)
	}
	for _, step := range steps {
		if err := step(ctx, owner); err != nil {
			return false, err
		}
	}
	return roleReady, sqlviews.Migrate(ctx, owner, servingIf(roleReady), analysts)
}

// allowed reports whether the owner of the database was allowed to do something.
func allowed(err error) (bool, error) {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "42501" { // insufficient_privilege
		return false, nil
	}
	return err == nil, err
}

const patience = 5 * time.Second // a migration takes a second; who waits longer is told for whom

// alone lets one process after the other change schemas, until the connection ends: Postgres refuses two who give rights to the
// same thing at once. A process that was stopped in the midst of it keeps others waiting; they say so.
func alone(ctx context.Context, owner *pgx.Conn) error {
	hint := time.AfterFunc(patience, func() {
		slog.Warn("waiting for another process that is bringing the database up to date; select * from pg_locks where locktype = 'advisory' names it", "waited", patience)
	})
	defer hint.Stop()
	_, err := owner.Exec(ctx, `select pg_advisory_lock(hashtext('instance.migrations'))`)
	return err
}

func servingIf(ready bool) string {
	if ready {
		return serving
	}
	return ""
}

// grant gives the serving role its rights, and what a restore has left to another owner. Roles belong to the whole server, so several
// Annals on one server share them; rights are given per database.
func grant(ctx context.Context, owner *pgx.Conn) error {
	err := hand(ctx, owner, ownersSchemas, "current_user", func(o object) bool { return o.Owner == serving }) // it could switch off the log's protection
	if err != nil {
		return err
	}
	if err := postgres.Grant(ctx, owner, serving); err != nil {
		return err
	}
	if err := transparency.Grant(ctx, owner, serving); err != nil {
		return err
	}
	for _, schema := range []string{"vault", "auth", "projections"} {
		if _, err := owner.Exec(ctx, `grant usage on schema `+schema+` to `+serving+`;
			grant select, insert, update, delete on all tables in schema `+schema+` to `+serving+`;
			revoke insert, update, delete on `+schema+`.migrations from `+serving); err != nil {
			return err
		}
	}

	// Read models are made and dropped while serving. A grant of a right that is not one's own to give is only a warning of Postgres.
	var mayCreate bool
	if _, err := owner.Exec(ctx, `do $$ begin execute format('grant create on database %I to `+serving+`', current_database()); end $$`); err != nil {
		return err
	}
	if err := owner.QueryRow(ctx, `select has_database_privilege($1, current_database(), 'create')`, serving).Scan(&mayCreate); err != nil {
		return err
	}
	if !mayCreate {
		return fmt.Errorf("the role %[1]s may not make schemas in this database, and its owner has to allow it: grant create on database %[2]s to %[1]s",
			serving, pgx.Identifier{owner.Config().Database}.Sanitize())
	}
	return hand(ctx, owner, modelsSchemas, serving, func(o object) bool { return o.Owner != serving })
}

// takeRole makes a role, and the owner of the database a member of it: to give things to it.
func takeRole(ctx context.Context, owner *pgx.Conn, name string) error {
	if err := makeRole(ctx, owner, name); err != nil {
		return err
	}
	var member bool
	if err := owner.QueryRow(ctx, `select pg_has_role(current_user, $1, 'member')`, name).Scan(&member); err != nil || member {
		return err
	}
	_, err := owner.Exec(ctx, `grant `+name+` to current_user`)
	return err
}

// makeRole makes a role that nobody signs in as, if it is not there.
func makeRole(ctx context.Context, owner *pgx.Conn, name string) error {
	var there bool
	if err := owner.QueryRow(ctx, `select exists (select from pg_roles where rolname = $1)`, name).Scan(&there); err != nil || there {
		return err
	}
	_, err := owner.Exec(ctx, `create role `+name+` nologin`)
	if raced, ok := errors.AsType[*pgconn.PgError](err); ok && (raced.Code == "42710" || raced.Code == "23505") { // another process was first
		return nil
	}
	return err
}

// connect opens the pool for everything but the log, which has its own.
func connect(ctx context.Context, address string, asServing bool) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("the database address: %w", err)
	}
	if !strings.Contains(address, "pool_max_conns") {
		config.MaxConns = int32(max(12, 4*runtime.GOMAXPROCS(0))) // a runner per read model, and queries beside them
	}
	if asServing {
		config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, `set role `+serving)
			return err
		}
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// Redacted returns a database address without its password, for messages.
func Redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return "the configured address"
	}
	return u.Redacted()
}

// plain takes the address, said already, off a connection error and leaves the reason.
func plain(err error) error {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return errors.New(refused.Message)
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		return failed.Err
	}
	return err
}
