-- The log: one table of events, in one order that is made by the lock on one row.

create table eventlog.events (
    position     bigint      not null,
    id           uuid        not null,
    organization uuid        not null,
    category     text        not null collate "C",
    stream       uuid        not null,
    version      bigint      not null,
    type         text        not null collate "C",
    schema       integer     not null,
    data         json        not null, -- json, not jsonb: returned byte for byte, so that a hash of it holds
    metadata     json        not null,
    occurred_at  timestamptz not null,
    recorded_at  timestamptz not null,
    -- No third index: one more unique index costs a third of the append rate.
    constraint events_position primary key (position),
    constraint events_stream unique (organization, category, stream, version)
) with (
    -- Before the first statistics the planner takes the indexes. Statistics of a nearly empty table talk it out of them,
    -- and a burst then outruns the next visit: so none before 10 000 events, then often enough for a table that only grows.
    autovacuum_analyze_threshold = 10000,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.05
);

-- One row. Whoever holds its lock appends next: commits follow each other in the order of positions, without gaps, because
-- a transaction that fails gives its positions back. (A sequence does neither: it counts before the commit.) While somebody
-- keeps a snapshot open, a backup for one, the row's old versions stay: a group took 0.6 ms longer after 50 000 groups.
create table eventlog.head (
    one         boolean     primary key default true check (one),
    position    bigint      not null,
    recorded_at timestamptz not null, -- of the newest event, so that the log's clock never runs back
    identity    uuid        not null
) with (fillfactor = 10); -- room for the row's next versions in its page: it changes with every group

insert into eventlog.head (position, recorded_at, identity) values (0, '-infinity', gen_random_uuid());

create function eventlog.refuse() returns trigger language plpgsql as $$
begin
    raise exception '%.% takes no %: what happened stays as it was recorded', tg_table_schema, tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation';
end $$;

-- Ordinary triggers, not "enable always": pg_restore and replication must be able to write.
create trigger immutable before update or delete or truncate on eventlog.events
    for each statement execute function eventlog.refuse();
create trigger immutable before delete or truncate on eventlog.head
    for each statement execute function eventlog.refuse();
create trigger only_forward before update on eventlog.head for each row
    when (new.position < old.position or new.identity <> old.identity) execute function eventlog.refuse();

-- append judges each append of a group by itself; the group's plain insert has failed on one of them, or its fate is not
-- known. It takes the head row before it looks, so nobody else can move a stream under it. A stream occurs once in a
-- group. For each append, in the group's order: fresh (its events are now in the log), resent (the log held these very
-- events at these versions), or neither (the stream is at another version), and the position of its last event.
create function eventlog.append(
    organizations uuid[], categories text[], streams uuid[], versions bigint[], ids uuid[],
    types text[], schemas integer[], datas json[], metadatas json[], times timestamptz[]
) returns table (fresh boolean, resent boolean, last bigint) language plpgsql as $$
declare
    base bigint;
    clock timestamptz;
begin
    select h.position, greatest(clock_timestamp(), h.recorded_at) into base, clock from eventlog.head h for update;
    return query
    with given as materialized (
        select g.*, x.id as held, x.position as held_at
        from unnest(organizations, categories, streams, versions, ids, types, schemas, datas, metadatas, times) with ordinality
            as g (organization, category, stream, version, id, type, schema, data, metadata, occurred_at, n)
        left join eventlog.events x
            on (x.organization, x.category, x.stream, x.version) = (g.organization, g.category, g.stream, g.version)
    ), judged as materialized (
        select g.organization, g.category, g.stream, min(g.n) as n,
            coalesce(bool_and(g.held = g.id) and count(g.held) = count(*), false) as resent,
            count(g.held) = 0 and (min(g.version) = 1 or exists (
                select from eventlog.events x
                where (x.organization, x.category, x.stream, x.version) = (g.organization, g.category, g.stream, min(g.version) - 1)
            )) as fresh,
            max(g.held_at) as last
        from given g group by g.organization, g.category, g.stream
    ), numbered as materialized (
        select g.*, base + row_number() over (order by g.n) as position
        from given g join judged j using (organization, category, stream) where j.fresh
    ), inserted as (
        insert into eventlog.events
        select e.position, e.id, e.organization, e.category, e.stream, e.version, e.type, e.schema, e.data, e.metadata, e.occurred_at, clock
        from numbered e
    ), moved as (
        update eventlog.head h set position = e.newest, recorded_at = clock
        from (select max(position) as newest from numbered) e where e.newest is not null
    )
    select j.fresh, j.resent, coalesce(max(e.position), j.last)
    from judged j left join numbered e using (organization, category, stream)
    group by j.n, j.fresh, j.resent, j.last order by j.n;
end $$;

revoke all on all tables in schema eventlog from public;
revoke all on all functions in schema eventlog from public;
