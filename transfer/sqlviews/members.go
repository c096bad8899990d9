package sqlviews

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrNoLogin reports a role that is not there, or cannot sign in.
	ErrNoLogin = errors.New("sqlviews: there is no such login in Postgres")
	// ErrTooMighty reports a login that sees more than the views, whatever is granted here.
	ErrTooMighty = errors.New("sqlviews: this login sees more than the views show")
	// ErrNoReader reports that the role [Reader] is not there, and could not be made.
	ErrNoReader = errors.New("sqlviews: the role " + Reader + " is not there, and the owner of the database may not make it")
	// ErrNotGranted reports a login that has nothing to take away.
	ErrNotGranted = errors.New("sqlviews: this login has no such grant")
)

// Membership says that a login sees the rows of an organization.
type Membership struct {
	Login        string
	Organization uuid.UUID
	Since        string // by the database's clock, to the minute
	By           string
}

// guards keep a tool that was left open from standing in the way of rebuilds and erasures. They are a login's defaults, which it
// can change.
var guards = []string{
	"default_transaction_read_only = on",
	"statement_timeout = '15min'",
	"idle_in_transaction_session_timeout = '5min'",
}

// Grant lets a login, made by who administers the database, see the rows of an organization, as the owner of the database. It is
// safe to call again. It calls record before the grant takes effect, which it does not if that fails. guarded is false if the owner may not set the
// login's defaults. Errors: [ErrNoLogin], [ErrTooMighty], [ErrNoReader], that of record.
func Grant(ctx context.Context, owner *pgx.Conn, login string, organization uuid.UUID, by string, record func() error) (guarded bool, err error) {
	name := pgx.Identifier{login}.Sanitize()
	err = locked(ctx, owner, func(tx pgx.Tx) error {
		var signsIn, mighty, reader bool
		err := tx.QueryRow(ctx, `select r.rolcanlogin, r.rolsuper or exists (select from pg_roles o where o.rolname <> r.rolname and (o.rolname in ('annal_serving', '`+Owner+`', 'pg_read_all_data')
				or o.oid in (select nspowner from pg_namespace where nspname in ('eventlog', 'vault', 'auth', 'bi'))) and pg_has_role(r.oid, o.oid, 'member'))
				or exists (select from pg_namespace where nspname in ('eventlog', 'vault', 'auth', 'bi') and nspowner = r.oid),
			exists (select from pg_roles where rolname = $2) from pg_roles r where r.rolname = $1`, login, Reader).Scan(&signsIn, &mighty, &reader)
		switch {
		case errors.Is(err, pgx.ErrNoRows), err == nil && !signsIn:
			return fmt.Errorf("%w: %s", ErrNoLogin, login)
		case err != nil:
			return err
		case mighty:
			return fmt.Errorf("%w: %s", ErrTooMighty, login)
		case !reader:
			return ErrNoReader
		}
		if _, err := tx.Exec(ctx, "grant "+Reader+" to "+name); err != nil {
			return fmt.Errorf("sqlviews: the owner of the database may not give the role %s: %w", Reader, err)
		}
		if _, err = tx.Exec(ctx, `insert into bi.members (login, organization, by) values ($1, $2, $3) on conflict do nothing`, login, organization, by); err != nil {
			return err
		}
		return record()
	})
	if err != nil {
		return false, err
	}
	for _, guard := range guards {
		_, err = owner.Exec(ctx, "alter role "+name+" set "+guard)
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "42501" { // insufficient_privilege
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// Revoke takes an organization away from a login, all of them if it is zero, and calls record for each before that takes effect. Errors:
// [ErrNotGranted] if there is nothing to take away, that of record.
func Revoke(ctx context.Context, owner *pgx.Conn, login string, organization uuid.UUID, record func(organization uuid.UUID) error) error {
	return locked(ctx, owner, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `delete from bi.members where login = $1 and (organization = $2 or $2 = $3) returning organization`, login, organization, uuid.Nil)
		if err != nil {
			return err
		}
		gone, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		if len(gone) == 0 {
			return fmt.Errorf("%w: %s", ErrNotGranted, login)
		}
		for _, organization := range gone {
			if err := record(organization); err != nil {
				return err
			}
		}
		var last bool // and still in Postgres
		if err := tx.QueryRow(ctx, `select not exists (select from bi.members where login = $1) and exists (select from pg_roles where rolname = $1)`, login).Scan(&last); err != nil || !last {
			return err
		}
		_, err = tx.Exec(ctx, "revoke "+Reader+" from "+pgx.Identifier{login}.Sanitize())
		return err
	})
}

// Grants lists who sees what, by login.
func Grants(ctx context.Context, owner *pgx.Conn) ([]Membership, error) {
	rows, err := owner.Query(ctx, `select login::text, organization, to_char(since at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), by from bi.members order by login, organization`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Membership])
}
