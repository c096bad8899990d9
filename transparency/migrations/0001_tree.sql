-- makes: transparency.trees

-- The Merkle tree over the log. What has been written is only ever added to: see the triggers.

-- One tree a log; the row of a log that was left behind stays for its proofs.
create table transparency.trees (
    log        uuid primary key,
    key        text   not null,             -- verifier key of the checkpoints, in the form of sumdb/note
    size       bigint not null default 0,   -- events in the tree
    position   bigint not null default 0,   -- of the newest of them
    before     bigint not null default 0,   -- of the one before that
    runner     uuid,                        -- the process that grows it,
    runs_until timestamptz                  -- unless it is not heard of until then
);

-- Level 0 holds the hashes of the leaves, 256 a tile, level n+1 the hashes of the full tiles of level n. The last tile of
-- each level is partial, and grows.
create table transparency.tiles (
    log       uuid     not null references transparency.trees (log),
    level     smallint not null,
    number    bigint   not null,
    hashes    bytea    not null,
    first     bigint,          -- level 0: position of the first event,
    positions bytea,           -- and of each, 8 bytes big-endian
    primary key (log, level, number)
);
alter table transparency.tiles alter hashes set storage external, alter positions set storage external; -- hashes do not compress
create index tiles_first on transparency.tiles (log, first) where level = 0;

create table transparency.checkpoints (
    log     uuid        not null references transparency.trees (log),
    size    bigint      not null,
    made_at timestamptz not null default now(),
    note    bytea       not null,
    primary key (log, size)
);

create function transparency.refuse() returns trigger language plpgsql as $$
begin
    raise exception '%.% takes no such %: it only grows', tg_table_schema, tg_table_name, lower(tg_op) using errcode = 'restrict_violation';
end $$;

create trigger kept before delete or truncate on transparency.trees for each statement execute function transparency.refuse();
create trigger kept before delete or truncate on transparency.tiles for each statement execute function transparency.refuse();
create trigger kept before delete or truncate on transparency.checkpoints for each statement execute function transparency.refuse();
create trigger grows before update on transparency.trees for each row
    when (new.log <> old.log or new.key <> old.key or new.size < old.size) execute function transparency.refuse();
create trigger grows before update on transparency.tiles for each row
    when ((new.log, new.level, new.number) <> (old.log, old.level, old.number) or new.first is distinct from old.first
        or substring(new.hashes for length(old.hashes)) is distinct from old.hashes
        or substring(new.positions for length(old.positions)) is distinct from old.positions) execute function transparency.refuse();
-- A note grows by signatures of witnesses.
create trigger grows before update on transparency.checkpoints for each row
    when ((new.log, new.size, new.made_at) <> (old.log, old.size, old.made_at)
        or substring(new.note for length(old.note)) is distinct from old.note) execute function transparency.refuse();
