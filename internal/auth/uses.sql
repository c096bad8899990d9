-- When sessions were last used, to the minute. Not a history: the log has the logins and logouts.
select pg_advisory_xact_lock(hashtext('auth.migrations'));
create schema if not exists auth;
create table if not exists auth.session_use (
    session  uuid primary key,
    last_use timestamptz not null
) with (fillfactor = 70);
create index if not exists session_use_last_use on auth.session_use (last_use);
