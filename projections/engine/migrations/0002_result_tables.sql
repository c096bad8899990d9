-- The schemas of results, each with the time from which it may be dropped, so that what a killed process has left goes.

create table if not exists projections.result_tables (
	schema     text        primary key,
	expires_at timestamptz not null -- infinity: when somebody drops it
);

insert into projections.result_tables (schema, expires_at) select schema, 'infinity' from projections.results on conflict do nothing;
