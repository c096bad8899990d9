package postgres

import "github.com/jackc/pgx/v5/pgxpool"

// Pools tells what the log's own connections are doing, by what they are for.
func (l *Log) Pools() map[string]*pgxpool.Stat {
	return map[string]*pgxpool.Stat{"reading": l.reading.Stat(), "writing": l.writing.Stat()}
}
