// Package bi lets analysts read with SQL and tools of their own: documented views in the schema bi, over the read models, in
// which personal fields are masked and a login sees the rows of its organizations only.
//
// [Migrate] makes the schema and the role that may read it; [Show] makes the views, again after each start, for a read model's
// next version has other tables. [Grant], [Revoke] and [Grants] say which login belongs to which organization.
// docs/decisions/0018-views-by-name.md says why views read through functions.
package bi

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/projections"
)

// Reader is the role that may read the views; logins become members of it.
const Reader = "annal_reader"

// View is a view of the schema bi.
type View struct {
	Name    string
	About   string
	Columns []Column
	models  []projections.Schema // whose tables it reads
	from    string               // these tables; t has the rows
	where   string               // further than the organization; "" all
}

// Column is a column of a view.
type Column struct {
	Name, Type, About string
	sql               string // "" the column of the same name of t
}

//go:embed schema.sql
var schema string

// lock is the advisory lock under which the schema and its views are made; any number that others do not use.
const lock = 0x616e6e616c6269 // "annalbi"

// Migrate makes the schema, as the owner of the database, and lets a role, if there is one, read who belongs where for the
// views. It is safe to call again and from several processes at once.
func Migrate(ctx context.Context, owner *pgx.Conn, serving string) error {
	err := locked(ctx, owner, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, schema); err != nil || serving == "" {
			return err
		}
		// The schema of the functions is theirs, too: a restore by an owner who is no superuser would fail otherwise.
		_, err := tx.Exec(ctx, `grant usage on schema bi to `+serving+`; grant select on bi.members to `+serving+`; alter schema bi_read owner to `+serving)
		return err
	})
	if err != nil {
		return fmt.Errorf("bi: migrate: %w", err)
	}
	return nil
}

// Show makes the views of this program, as the owner of the database; what they read they read as the role serving, or as the
// owner if there is none. A view is left as it is while it shows a read model's version that this program's has not caught up
// with, or a newer one, or somebody reads it: then all is false, and it is worth another try. readable says whether there is
// the role [Reader] to let read them.
func Show(ctx context.Context, owner *pgx.Conn, serving string, readable bool) (all bool, err error) {
	all = true
	for _, v := range Views() {
		err := locked(ctx, owner, func(tx pgx.Tx) error {
			ready, err := v.replaces(ctx, tx)
			if err != nil || ready != now {
				all = all && ready == never
				return err
			}
			return v.make(ctx, tx, serving, readable)
		})
		if held, ok := errors.AsType[*pgconn.PgError](err); ok && held.Code == "55P03" { // lock_not_available
			all, err = false, nil
		}
		if err != nil {
			return false, fmt.Errorf("bi: the view %s: %w", v.Name, err)
		}
	}
	return all, nil
}

type when int

const (
	now   when = iota
	later      // the tables of this program's version are not folded as far as those that are shown
	never      // it is as this program wants it, or a newer program's
)

// replaces tells whether this program's view is to take the place of the one there is.
func (v View) replaces(ctx context.Context, tx pgx.Tx) (when, error) {
	var text string
	var models []string
	var versions []int
	err := tx.QueryRow(ctx, `select s.text, s.models, s.versions from bi.shown s where s.name = $1`, v.Name).Scan(&text, &models, &versions)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return now, nil
	case err != nil:
		return later, err
	case text == v.text():
		return never, nil
	}
	was := make(map[string]int)
	for i, m := range models {
		was[m] = versions[i]
	}
	for _, m := range v.models {
		shown, before := was[m.Name]
		if !before || shown == m.Version {
			continue
		}
		if shown > m.Version {
			return never, nil
		}
		var behind bool
		if err := tx.QueryRow(ctx, `select coalesce((select position from projections.checkpoints where name = $1 and version = $2), 0)
			< coalesce((select position from projections.checkpoints where name = $1 and version = $3), 0)`, m.Name, m.Version, shown).Scan(&behind); err != nil || behind {
			return later, err
		}
	}
	return now, nil
}

// text is the program text of the view: what it is compared by.
func (v View) text() string {
	var columns, returns, comments strings.Builder
	for i, c := range v.Columns {
		if i > 0 {
			columns.WriteString(", ")
			returns.WriteString(", ")
		}
		sql := c.sql
		if sql == "" {
			sql = "t." + c.Name
		}
		fmt.Fprintf(&columns, "(%s)::%s", sql, c.Type)
		fmt.Fprintf(&returns, "%q %s", c.Name, c.Type) // position is a word of SQL
		fmt.Fprintf(&comments, "comment on column bi.%s.%q is %s;\n", v.Name, c.Name, quote(c.About))
	}
	where := "t.organization in (select m.organization from bi.members m where m.login = session_user)"
	if v.where != "" {
		where += " and " + v.where
	}
	var schemas []string
	for _, m := range v.models {
		schemas = append(schemas, quote(m.String()))
	}
	query := fmt.Sprintf("select %s from %s where %s", columns.String(), v.from, where)
	// The tables are found by name, each time, for a rebuild puts others in their place. A transaction that still sees the
	// database as it was before that would find nothing in them; nor would a statement that began just before it.
	return fmt.Sprintf(`drop view if exists bi.%[1]s; drop function if exists bi_read.%[1]s();
create function bi_read.%[1]s() returns table (%[2]s) language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $function$
declare
	before oid[] := array(select to_regnamespace(s.name)::oid from unnest(array[%[4]s]) s (name));
begin
	return query execute %[3]s;
	if before is distinct from array(select to_regnamespace(s.name)::oid from unnest(array[%[4]s]) s (name)) or exists (select from unnest(array[%[4]s]) s (name) where to_regnamespace(s.name)::oid is distinct from (select n.oid from pg_catalog.pg_namespace n where n.nspname = s.name)) then
		raise exception 'the read model was rebuilt since this transaction began: begin anew' using errcode = 'serialization_failure';
	end if;
end $function$;
revoke execute on function bi_read.%[1]s() from public;
create view bi.%[1]s with (security_barrier) as select * from bi_read.%[1]s();
comment on view bi.%[1]s is %[5]s;
%[6]s`, v.Name, returns.String(), quote(query), strings.Join(schemas, ", "), quote(v.About), comments.String())
}

// make makes the view in place of the one there is.
func (v View) make(ctx context.Context, tx pgx.Tx, serving string, readable bool) error {
	statements := "set local lock_timeout = '1s'; " + v.text()
	if serving != "" {
		statements += fmt.Sprintf("alter function bi_read.%[2]s() owner to %[1]s;", serving, v.Name)
	}
	if readable {
		statements += fmt.Sprintf("grant usage on schema bi, bi_read to %[1]s; grant execute on function bi_read.%[2]s() to %[1]s; grant select on bi.%[2]s to %[1]s;", Reader, v.Name)
	}
	if _, err := tx.Exec(ctx, statements); err != nil {
		return err
	}
	var models []string
	var versions []int
	for _, m := range v.models {
		models, versions = append(models, m.Name), append(versions, m.Version)
	}
	_, err := tx.Exec(ctx, `insert into bi.shown (name, text, models, versions) values ($1, $2, $3, $4)
		on conflict (name) do update set text = excluded.text, models = excluded.models, versions = excluded.versions`, v.Name, v.text(), models, versions)
	return err
}

func locked(ctx context.Context, owner *pgx.Conn, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, owner, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, int64(lock)); err != nil {
			return err
		}
		return do(tx)
	})
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
