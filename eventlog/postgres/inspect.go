package postgres

import (
	"context"
	"fmt"

	"github.com/annal-crm/annal/eventlog"
)

// misshapen finds what makes the log, or the tree over it, answer one asker otherwise than another: a view in the place of a
// table, rows that a policy hides, a rule, a table that is part of it, a trigger that is none of ours. And it finds a log
// that no longer orders events, each at one position and one version.
const misshapen = `
	select format('%I.%I is no plain table: what is in it depends on who asks', n.nspname, c.relname)
	from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
	where n.nspname in ('eventlog', 'transparency') and (c.relkind in ('v', 'm', 'f', 'p') or c.relkind = 'r' and (
		c.relrowsecurity or exists (select from pg_catalog.pg_rewrite r where r.ev_class = c.oid)
		or exists (select from pg_catalog.pg_inherits i where c.oid in (i.inhparent, i.inhrelid))
		or exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal and t.tgname not in ('immutable', 'only_forward', 'kept', 'kept_row', 'grows'))))
	union all
	select 'eventlog.events takes events without a position of their own, or two at a place in a stream: a constraint of the log was taken away'
	where not exists (select from pg_catalog.pg_attribute a where a.attrelid = 'eventlog.events'::regclass and a.attname = 'position' and a.attnotnull)
		or 2 <> (select count(*) from pg_catalog.pg_constraint k where k.conrelid = 'eventlog.events'::regclass and k.conname in ('events_position', 'events_stream') and k.contype in ('p', 'u') and k.convalidated)
	limit 1`

// Inspect implements [eventlog.Inspector]: constraints refuse what it looks for, but whoever owns the tables can take them away.
func (l *Log) Inspect(ctx context.Context) (problem string, position eventlog.Position, err error) {
	var head, last, before, first int64
	err = l.reading.QueryRow(ctx, `select coalesce((`+misshapen+`), ''), h.position, coalesce((select max(position) from eventlog.events), 0), s.n, s.first
		from eventlog.head h, (select count(*) as n, coalesce(min(position), 0) as first from eventlog.events where position <= 0) s`,
	).Scan(&problem, &head, &last, &before, &first)
	switch {
	case err != nil:
		return "", 0, unavailable(err)
	case problem != "":
		return problem, 0, nil
	case before > 0:
		return fmt.Sprintf("%d events stand before the beginning of the log, the first at position %d: they were written past Annal, and are not obeyed", before, first), 1, nil
	case last > head:
		return fmt.Sprintf("the log ends at position %d, and there are events up to %d: they were written past Annal, or its end was moved", head, last), eventlog.Position(head + 1), nil
	case last < head:
		return fmt.Sprintf("the log ends at position %d, and its newest event is at %d: the newest are missing, or its end was moved", head, last), eventlog.Position(last + 1), nil
	}
	return "", 0, nil
}
