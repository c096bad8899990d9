-- When sessions were last used, to the minute. Not a history: the log has the logins and logouts.
-- Safe to apply again: the table is older than the count of migrations.
create table if not exists auth.session_use (
    session  uuid primary key,
    last_use timestamptz not null
) with (fillfactor = 70);
create index if not exists session_use_last_use on auth.session_use (last_use);
