package app

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A dump that is restored with pg_restore --no-owner belongs to the role that restores it. Annal then may no longer use its read
// models, analysts would read past the wall between organizations, because Postgres asks no policy of the owner of a table, and a
// log that belongs to the serving role would be unprotected. So each start looks who owns what.

// The schemas of one database, by who is to own what is in them.
const (
	ownersSchemas = `nspname in ('eventlog', 'vault', 'auth', 'projections', 'transparency')`
	viewsSchemas  = `nspname in ('bi', 'bi_read')`
	modelsSchemas = `(nspname ~ '^result_' or exists (select from projections.checkpoints c where nspname ~ ('^' || c.name || '_v[0-9]+(_old|_next)?$')))`
)

// object is a schema, table or function of Annal in the database.
type object struct {
	Kind, Name, Owner string
	Ours              bool // we are a member of its owner
}

func objects(ctx context.Context, owner *pgx.Conn, schemas string) ([]object, error) {
	rows, err := owner.Query(ctx, `with schemas as (select oid, nspname, nspowner from pg_namespace where `+schemas+`)
		select kind, name, pg_get_userbyid(owner)::text as owner, pg_has_role(owner, 'member') as ours from (
			select 1 as n, 'schema' as kind, quote_ident(nspname) as name, nspowner as owner from schemas
			union all select 2, 'table', format('%I.%I', nspname, relname), relowner from pg_class c join schemas s on s.oid = relnamespace where relkind in ('r', 'v')
			union all select 3, 'function', p.oid::regprocedure::text, proowner from pg_proc p join schemas s on s.oid = pronamespace
		) o order by n, name`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[object])
}

// owned returns an error that says what is to be done if something in the schemas belongs to a role that the owner of the database
// is not: it could neither change it nor let others use it.
func owned(ctx context.Context, owner *pgx.Conn, schemas string) error {
	all, err := objects(ctx, owner, schemas)
	if err != nil {
		return err
	}
	var first object
	others := 0
	for _, o := range all {
		if o.Ours {
			continue
		}
		if others++; others == 1 {
			first = o
		}
	}
	if others == 0 {
		return nil
	}
	us := owner.Config().User
	return fmt.Errorf("the %s %s belongs to %s, and %s is not a member of that role: it can neither change it nor let others use it "+
		"(%d such objects in this database). Restore the dump with pg_restore --no-owner --role=%s, or let a superuser give %s what it lacks: "+
		"alter %s %s owner to %s, and so on; see Restore in docs/operations.md",
		first.Kind, first.Name, first.Owner, us, others, us, us, first.Kind, first.Name, us)
}

// hand makes a role the owner of what is in the schemas and wrong says belongs to another one.
func hand(ctx context.Context, owner *pgx.Conn, schemas, role string, wrong func(object) bool) error {
	all, err := objects(ctx, owner, schemas)
	if err != nil {
		return err
	}
	for _, o := range all {
		if !wrong(o) {
			continue
		}
		if _, err := owner.Exec(ctx, fmt.Sprintf("alter %s %s owner to %s", o.Kind, o.Name, role)); err != nil {
			return fmt.Errorf("give the %s %s to %s: %w", o.Kind, o.Name, role, err)
		}
	}
	return nil
}
