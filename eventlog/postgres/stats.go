package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Stats is what the log holds.
type Stats struct {
	Events, Streams int64
	Bytes           int64 // of the table, with its indexes
	First, Last     time.Time
	Types           []TypeCount // the most frequent first
}

// TypeCount is how many events of a type there are.
type TypeCount struct {
	Type   string
	Events int64
}

// Stats counts the log's events. It reads the whole table: seconds for millions of events.
func (l *Log) Stats(ctx context.Context) (s Stats, err error) {
	err = l.reading.QueryRow(ctx, `select count(*), count(*) filter (where version = 1), pg_total_relation_size('eventlog.events'),
		coalesce(min(recorded_at), 'epoch'), coalesce(max(recorded_at), 'epoch') from eventlog.events`,
	).Scan(&s.Events, &s.Streams, &s.Bytes, &s.First, &s.Last)
	if err != nil {
		return s, unavailable(err)
	}
	s.First, s.Last = s.First.UTC(), s.Last.UTC()
	rows, err := l.reading.Query(ctx, `select type, count(*) from eventlog.events group by type order by 2 desc, 1`)
	if err == nil {
		s.Types, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TypeCount])
	}
	if err != nil {
		return s, unavailable(err)
	}
	return s, nil
}
