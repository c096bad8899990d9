-- Safe to apply again: the schema is older than the count of its migrations.

-- Where each read model stands, and which process folds it. generation counts the times its tables were replaced by a
-- rebuild, or changed otherwise than by its runner: rows read before are never written after. epoch counts the times that
-- another process took it over: a runner that wakes up late has an old one and writes nothing. The row is rewritten with
-- each page: room on its block keeps that from touching the index.
create table if not exists projections.checkpoints (
	name         text        not null,
	version      integer     not null,
	log          uuid        not null,
	position     bigint      not null default 0,
	mark         text        not null default '', -- the event at position, where its log is to have it
	generation   bigint      not null default 0,
	failed       bigint,     -- position at which it cannot go on
	error        text,
	updated_at   timestamptz not null default now(),
	holder       uuid,       -- the engine that folds it, until
	leased_until timestamptz,
	runner       text,       -- its process, for people
	epoch        bigint      not null default 0,
	served_at    timestamptz not null default now(), -- when a process that reads this version last said so
	primary key (name, version)
) with (fillfactor = 10);

-- Altering takes a lock that even readers wait for, so only where there is something to alter.
do $$ begin
	if not exists (select from pg_attribute where attrelid = 'projections.checkpoints'::regclass and attname = 'epoch') then
		alter table projections.checkpoints add mark text not null default '', add holder uuid, add leased_until timestamptz, add runner text,
			add epoch bigint not null default 0, add served_at timestamptz not null default now();
	end if;
end $$;

-- Events that a read model could not fold, and the later ones of the same streams, which wait behind them.
create table if not exists projections.parked (
	name           text        not null,
	version        integer     not null,
	position       bigint      not null,
	organization   uuid        not null,
	category       text        not null,
	stream         uuid        not null,
	stream_version bigint      not null,
	event          uuid        not null,
	type           text        not null,
	error          text,       -- null: waits
	parked_at      timestamptz not null default now(),
	primary key (name, version, position)
);

-- Events that people have decided to leave out of a read model, whatever its version.
create table if not exists projections.skipped (
	name       text        not null,
	event      uuid        not null,
	skipped_at timestamptz not null default now(),
	primary key (name, event)
);

-- Named results: reports that people have had rebuilt beside the live ones; see package results. Slots bound their number. Who
-- folds one says so by beat_at again and again.
create table if not exists projections.results (
	id           uuid        primary key,
	organization uuid        not null,
	slot         integer     not null,
	name         text        not null,
	report       text        not null,
	model        text        not null,
	version      integer     not null,
	schema       text        not null,
	as_of        json        not null,
	part         json        not null,
	moment       timestamptz not null, -- that it tells of
	status       text        not null default 'RUNNING', -- or DONE, FAILED
	progress     float8      not null default 0,
	events       bigint      not null default 0,
	position     bigint      not null default 0, -- of the log, up to which it was folded
	parked       integer     not null default 0,
	problem      text        not null default '',
	made_by      uuid        not null,
	made_at      timestamptz not null default now(),
	beat_at      timestamptz not null default now(),
	ended_at     timestamptz,
	unique (organization, slot),
	unique (organization, name)
);

do $$ begin
	if not exists (select from pg_attribute where attrelid = 'projections.results'::regclass and attname = 'definition') then
		alter table projections.results add definition integer not null default 0, -- version of the organization's own report; 0: built in
			add under json not null default '{}'; -- the part of the log that this definition takes
	end if;
end $$;

-- move moves a checkpoint if it is where the caller has left it; else it ends the transaction with AN001. Whoever waits
-- for its lock decides anew, on the row as it is then. What a crash of Postgres takes away here is folded again, so the
-- commit need not wait for the disk. What follows in the transaction finds its rows by their keys, however small their
-- table was when the plan was made.
create or replace function projections.move(_name text, _version integer, _epoch bigint, _generation bigint, _from bigint, _to bigint, _mark text)
returns void language plpgsql as $$
begin
	perform set_config('synchronous_commit', 'off', true), set_config('enable_seqscan', 'off', true);
	update projections.checkpoints set position = _to, mark = _mark, failed = null, error = null, updated_at = now()
	where name = _name and version = _version and epoch = _epoch and generation = _generation and position = _from;
	if not found then
		raise exception using errcode = 'AN001', message = format('the checkpoint of %s is not at %s', _name, _from);
	end if;
end $$;

-- end_holder ends the connection of a runner that is not heard of while it holds the lock of a checkpoint: it was paused, or
-- has lost its network, in the midst of a transaction. The row says who: its last writer. The right to do so is that of the
-- owner, whose sessions these are.
create or replace function projections.end_holder(_name text, _version integer, _grace interval)
returns bigint language sql security definer set search_path = pg_catalog as $$
	select count(*) filter (where pg_terminate_backend(l.pid)) from projections.checkpoints c
	join pg_locks l on l.locktype = 'transactionid' and l.granted and l.transactionid = c.xmax
	where c.name = _name and c.version = _version and c.leased_until < clock_timestamp() - _grace and l.pid <> pg_backend_pid()
$$;

drop function if exists projections.advance(text, integer, bigint, bigint, bigint, bigint, text);
