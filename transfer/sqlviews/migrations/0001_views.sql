-- What analysts' own tools read; package sqlviews makes the views. Safe to apply again: the schema is older than the count of
-- its migrations.

comment on schema bi is 'Annal for SQL and BI tools: views over the read models, personal fields masked, of your organization only. docs/analysts.md has examples.';

create schema if not exists bi_read;
comment on schema bi_read is 'What the views in bi read through: tables without rows, from which those of the read models inherit.';

-- Which login sees the rows of which organization: annal sql grant.
create table if not exists bi.members (
    login        name        not null,
    organization uuid        not null,
    since        timestamptz not null default now(),
    by           text        not null,
    primary key (login, organization)
);

-- The views as they were made last.
create table if not exists bi.shown (
    name     text primary key,
    text     text   not null,
    models   text[] not null,
    versions int[]  not null
);


-- served is the table of a read model that is served, as the transaction sees it. Names of tables change in one transaction with what is in
-- them, so an old transaction goes on with the old rows. It fails where these are dropped, or the table is not among those that the query was
-- planned to read: of each of those the planner has taken a lock.
create or replace function bi_read.served(_schema name, _table name) returns oid language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
	served oid := (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = _schema and c.relname = _table);
begin
	if not exists (select from pg_locks where pid = pg_backend_pid() and locktype = 'relation' and relation = served) then
		raise exception 'the read model was just rebuilt: begin anew' using errcode = 'serialization_failure';
	end if;
	return served;
end $$;
