// Package sqlviews lets analysts read with SQL and tools of their own: documented views in the schema bi, over the read models, in
// which personal fields are masked and a login sees the rows of its organizations only.
//
// A view reads through tables of its own in the schema bi_read, which have no rows, none but the columns that it may show, and row-level
// security: the tables of read models inherit from them, and so do those that a rebuild puts in their place (docs/decisions/0018-views-by-name.md).
// [Migrate] makes the schemas; [Show] makes the views, again after each start, for a read model's next version has other tables. [Grant],
// [Revoke] and [Grants] say which login belongs to which organization.
package sqlviews

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/internal/migrations"
	"github.com/annal-crm/annal/projections/engine"
)

const (
	Reader = "annal_reader" // the role that may read the views; logins become members of it
	Owner  = "annal_bi"     // the role that owns the views: what they may read is what it may read. Nobody is a member but the owner of the database
)

// View is a view of the schema bi.
type View struct {
	Name    string
	About   string
	Columns []Column
	sources []source // what it may read; the first has its rows and is called t
	from    string   // "t", or a join of sources
	where   string   // "" all rows
}

// Column is a column of a view.
type Column struct {
	Name, Type, About string
	sql               string // "" the column of the same name of t
}

// source is a table of a read model, as far as a view may see it: other columns are not there, whatever its text says.
type source struct {
	name    string
	model   engine.Schema
	table   string
	columns string // "id, organization"
	whose   string // "" organizations; else what reports whether a row may be seen
}

// live is the table that is read, passage the table that it is read through.
func (s source) live() string          { return s.model.String() + "." + s.table }
func (v View) passage(s source) string { return "bi_read." + v.Name + "_" + s.table }
func (v View) models() []engine.Schema {
	var all []engine.Schema
	for _, s := range v.sources {
		if !slices.Contains(all, s.model) {
			all = append(all, s.model)
		}
	}
	return all
}

//go:embed migrations
var files embed.FS

// lock is the advisory lock under which the views are made; any number that others do not use.
const lock = 0x616e6e616c6269 // "annalbi"

// unsound are the views that a restore has left without their owners or grants, and so without the wall, which Postgres does not ask of
// the owner of a table; or with grants to a [Reader] that [Show] would not give. $1 says whether there are the roles, $2 is the serving role.
const unsound = `select c.relname::text from pg_catalog.pg_class c where c.relnamespace = 'bi'::regnamespace and c.relkind = 'v' and case when $1::boolean then
		c.relowner <> '` + Owner + `'::regrole or not has_table_privilege('` + Owner + `', 'bi.members', 'select')
		or not has_schema_privilege('` + Owner + `', 'bi_read', 'usage') or not has_schema_privilege('` + Reader + `', 'bi', 'usage') or not has_table_privilege('` + Reader + `', c.oid, 'select')
		or exists (select from pg_catalog.pg_class p where p.relnamespace = 'bi_read'::regnamespace and p.relkind = 'r'
			and (not has_table_privilege('` + Owner + `', p.oid, 'select') or $2 <> '' and pg_get_userbyid(p.relowner) <> $2))
	else exists (select from aclexplode(c.relacl) a join pg_catalog.pg_roles r on r.oid = a.grantee where r.rolname = '` + Reader + `') end`

// Migrate makes the schemas, as the owner of the database; serving is the role that owns the read models, "" if the owner does, readable says
// whether there are the roles [Reader] and [Owner]. Views that a restore has left unsound nobody may read until [Show] has made them again. It is
// safe to call again and from several processes at once.
func Migrate(ctx context.Context, owner *pgx.Conn, serving string, readable bool) error {
	if err := (migrations.Set{Schema: "bi", Files: files}).Apply(ctx, owner); err != nil {
		return err
	}
	err := locked(ctx, owner, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, unsound, readable, serving)
		if err != nil {
			return err
		}
		views, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, view := range views {
			// The role may be missing: then nobody can read the view.
			if _, err := tx.Exec(ctx, `do $$ begin revoke all on bi.`+pgx.Identifier{view}.Sanitize()+` from `+Reader+`; exception when undefined_object then null; end $$;
				delete from bi.shown where name = `+quote(view)); err != nil {
				return err
			}
		}
		if serving == "" {
			return nil
		}
		// What passages are in is theirs, too: a restore by an owner who is no superuser would fail otherwise. What serves looks at bi.members
		// for the views of an older program.
		_, err = tx.Exec(ctx, `grant usage on schema bi to `+serving+`; grant select on bi.members to `+serving+`; alter schema bi_read owner to `+serving)
		return err
	})
	if err != nil {
		return fmt.Errorf("sqlviews: migrate: %w", err)
	}
	return nil
}

// Show makes the views of this program, as the owner of the database, over tables that belong to the role serving, or to the
// owner if there is not one; and it puts right what an older program's rebuild has left out. A view is left as it is while it shows a read
// model's version that this program's has not caught up with, or a newer one, or somebody reads it: then all is false, and it is worth another
// try. readable says whether there are the roles [Reader] and [Owner], else nobody but the owner can read them.
func Show(ctx context.Context, owner *pgx.Conn, serving string, readable bool) (all bool, err error) {
	all = true
	for _, v := range Views() {
		text := v.text(serving, readable)
		err := locked(ctx, owner, func(tx pgx.Tx) error {
			// Live tables are locked for an instant: whoever wants to read them waits no longer than this.
			if _, err := tx.Exec(ctx, "set local lock_timeout = '200ms'"); err != nil {
				return err
			}
			shows, err := v.shows(ctx, tx, text)
			switch {
			case err != nil:
				return err
			case shows == older:
				return v.make(ctx, tx, text)
			case shows == own:
				return v.attach(ctx, tx)
			}
			all = all && shows == newer
			return nil
		})
		if held, ok := errors.AsType[*pgconn.PgError](err); ok && held.Code == "55P03" { // lock_not_available
			all, err = false, nil
		}
		if err != nil {
			return false, fmt.Errorf("sqlviews: the view %s: %w", v.Name, err)
		}
	}
	return all, nil
}

type shown int

const (
	older shown = iota // nothing, or what this program's view is to take the place of
	ahead              // tables that this program's version is not folded as far as
	own                // this program's
	newer              // a newer program's
)

// shows tells what the view shows.
func (v View) shows(ctx context.Context, tx pgx.Tx, wants string) (shown, error) {
	for _, s := range v.sources {
		var there bool
		if err := tx.QueryRow(ctx, `select to_regclass($1) is not null`, s.live()).Scan(&there); err != nil || !there {
			return ahead, err
		}
	}
	var text string
	var models []string
	var versions []int
	err := tx.QueryRow(ctx, `select s.text, s.models, s.versions from bi.shown s where s.name = $1`, v.Name).Scan(&text, &models, &versions)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return older, nil
	case err != nil:
		return ahead, err
	case text == wants:
		return own, nil
	}
	was := make(map[string]int)
	for i, m := range models {
		was[m] = versions[i]
	}
	for _, m := range v.models() {
		version, before := was[m.Name]
		if !before || version == m.Version {
			continue
		}
		if version > m.Version {
			return newer, nil
		}
		var behind bool
		if err := tx.QueryRow(ctx, `select coalesce((select position from projections.checkpoints where name = $1 and version = $2), 0)
			< coalesce((select position from projections.checkpoints where name = $1 and version = $3), 0)`, m.Name, m.Version, version).Scan(&behind); err != nil || behind {
			return ahead, err
		}
	}
	return older, nil
}

// organizations is the policy of a passage, the wall: it holds for whoever reads it, but its owner, whatever the text of a view says.
const organizations = "organization = any (array(select m.organization from bi.members m where m.login = session_user))"

// text is what makes the view: what it is compared by.
func (v View) text(serving string, readable bool) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+";\n", args...) }
	p("drop view if exists bi.%[1]s; drop function if exists bi_read.%[1]s()", v.Name) // an older program's
	p(`do $$ declare child record; passages text; begin
		for child in select i.inhrelid::regclass as name, p.oid::regclass as of from pg_catalog.pg_inherits i join pg_catalog.pg_class p on p.oid = i.inhparent
			where p.relnamespace = 'bi_read'::regnamespace and starts_with(p.relname, '%[1]s_') loop
			execute format('alter table %%s no inherit %%s', child.name, child.of);
		end loop;
		select string_agg(oid::regclass::text, ', ') into passages from pg_catalog.pg_class where relnamespace = 'bi_read'::regnamespace and relkind = 'r' and starts_with(relname, '%[1]s_');
		if passages is not null then
			execute 'drop table ' || passages;
		end if;
	end $$`, v.Name)
	var with []string
	for _, s := range v.sources {
		passage := v.passage(s)
		p("create table %s as select %s from %s with no data", passage, s.columns, s.live())
		p("alter table %s enable row level security", passage)
		p("create policy organizations on %s using (%s)", passage, cmp.Or(s.whose, organizations))
		if readable {
			p("grant select on %s to %s", passage, Owner)
		}
		if serving != "" {
			p("alter table %s owner to %s", passage, serving)
		}
		// Beside the table that is served there may be one that a rebuild makes, or one that a rebuild has replaced. The second condition is looked
		// at before anything is read, and fails where the table that is served would not be read.
		served := fmt.Sprintf("(select bi_read.served('%s', '%s'))", s.model, s.table)
		with = append(with, fmt.Sprintf("%s as (select r.* from %s r where r.tableoid = %s and %s is not null)", s.name, passage, served, served))
	}
	var columns []string
	for _, c := range v.Columns {
		sql := c.sql
		if sql == "" {
			sql = "t." + c.Name
		}
		columns = append(columns, fmt.Sprintf("(%s)::%s as %q", sql, c.Type, c.Name)) // position is a word of SQL
	}
	where := ""
	if v.where != "" {
		where = " where " + v.where
	}
	p("create view bi.%s as with %s\nselect %s from %s%s", v.Name, strings.Join(with, ",\n"), strings.Join(columns, ", "), v.from, where)
	p("comment on view bi.%s is %s", v.Name, quote(v.About))
	for _, c := range v.Columns {
		p("comment on column bi.%s.%q is %s", v.Name, c.Name, quote(c.About))
	}
	if readable {
		p("alter schema bi owner to %[1]s; grant usage on schema bi_read to %[1]s; grant select on bi.members to %[1]s; alter view bi.%[2]s owner to %[1]s", Owner, v.Name)
		p("revoke all on schema bi_read from %[1]s; grant usage on schema bi to %[1]s; grant select on bi.%[2]s to %[1]s", Reader, v.Name)
	}
	return b.String()
}

// make makes the view in place of the one there is.
func (v View) make(ctx context.Context, tx pgx.Tx, text string) error {
	if _, err := tx.Exec(ctx, text); err != nil {
		return err
	}
	if err := v.attach(ctx, tx); err != nil {
		return err
	}
	var models []string
	var versions []int
	for _, m := range v.models() {
		models, versions = append(models, m.Name), append(versions, m.Version)
	}
	_, err := tx.Exec(ctx, `insert into bi.shown (name, text, models, versions) values ($1, $2, $3, $4)
		on conflict (name) do update set text = excluded.text, models = excluded.models, versions = excluded.versions`, v.Name, text, models, versions)
	return err
}

// attach lets the tables that are served inherit from the passages, where they do not: they are new, or those of a rebuild by a program
// that knows of no passages. Until then the view fails.
func (v View) attach(ctx context.Context, tx pgx.Tx) error {
	for _, s := range v.sources {
		var attached bool
		err := tx.QueryRow(ctx, `select exists (select from pg_catalog.pg_inherits where inhrelid = to_regclass($1) and inhparent = to_regclass($2))`, s.live(), v.passage(s)).Scan(&attached)
		if err == nil && !attached {
			_, err = tx.Exec(ctx, "alter table "+s.live()+" inherit "+v.passage(s))
		}
		if err != nil {
			return err
		}
	}
	return nil
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
