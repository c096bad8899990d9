create schema if not exists projections;

-- Where each read model stands. generation counts the times its tables were replaced by a rebuild: rows read from the
-- tables of one generation are never written to those of another. The row is rewritten with each page: room on its block
-- keeps that from touching the index.
create table if not exists projections.checkpoints (
	name       text        not null,
	version    integer     not null,
	log        uuid        not null,
	position   bigint      not null default 0,
	generation bigint      not null default 0,
	failed     bigint,     -- position of the event that cannot be folded
	error      text,
	updated_at timestamptz not null default now(),
	primary key (name, version)
) with (fillfactor = 10);

-- advance moves a checkpoint if it is where the caller has found it; else it ends the transaction with AN001. Whoever waits
-- for its lock decides anew, on the row as it is then. What a crash of Postgres takes away here is folded again, so the
-- commit need not wait for the disk. What follows in the transaction finds its rows by their keys, however small their
-- table was when the plan was made.
create or replace function projections.advance(_name text, _version integer, _generation bigint, _from bigint, _to bigint, _failed bigint, _error text)
returns void language plpgsql as $$
begin
	perform set_config('synchronous_commit', 'off', true), set_config('enable_seqscan', 'off', true);
	update projections.checkpoints set position = _to, failed = _failed, error = _error, updated_at = now()
	where name = _name and version = _version and generation = _generation and position = _from;
	if not found then
		raise exception using errcode = 'AN001', message = format('the checkpoint of %s is not at %s', _name, _from);
	end if;
end $$;
