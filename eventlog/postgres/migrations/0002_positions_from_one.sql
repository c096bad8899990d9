-- A position is from 1 on: reading the log begins there, so an event before it would be in its stream and in nothing that is
-- verified. Not valid: what is there already is for a verification to find, not for a migration to stop at.
alter table eventlog.events add constraint events_from_one check (position > 0) not valid;
