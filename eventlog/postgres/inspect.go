package postgres

import (
	"context"
	"fmt"

	"github.com/annal-crm/annal/eventlog"
)

// Inspect implements [eventlog.Inspector]: constraints refuse what it looks for, but whoever owns the tables can take them away.
func (l *Log) Inspect(ctx context.Context) (problem string, position eventlog.Position, err error) {
	var head, last, before, first int64
	err = l.reading.QueryRow(ctx, `select h.position, coalesce((select max(position) from eventlog.events), 0), s.n, s.first
		from eventlog.head h, (select count(*) as n, coalesce(min(position), 0) as first from eventlog.events where position <= 0) s`,
	).Scan(&head, &last, &before, &first)
	switch {
	case err != nil:
		return "", 0, unavailable(err)
	case before > 0:
		return fmt.Sprintf("%d events stand before the beginning of the log, the first at position %d: they were written past Annal, and are not obeyed", before, first), 1, nil
	case last > head:
		return fmt.Sprintf("the log ends at position %d, and there are events up to %d: they were written past Annal, or its end was moved", head, last), eventlog.Position(head + 1), nil
	case last < head:
		return fmt.Sprintf("the log ends at position %d, and its newest event is at %d: the newest are missing, or its end was moved", head, last), eventlog.Position(last + 1), nil
	}
	return "", 0, nil
}
