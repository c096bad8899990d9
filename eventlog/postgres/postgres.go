// Package postgres is the default log: one table, eventlog.events, in any Postgres from 12 on.
//
// Positions are gapless and in the order of commits, for any number of processes: whoever appends takes the lock of one
// row, eventlog.head, first, and a transaction that fails gives its positions back. One goroutine per [Log] appends, all
// that is waiting at once, in one statement that is its own transaction (see sequencer.go). [Migrate] makes the tables,
// [Grant] lets a role that does not own them serve.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog"
)

// Config tunes a [Log]. The zero value is a good one.
type Config struct {
	// Connections is the most that the log opens beside the pool it is given: one appends, one listens, the others read.
	// Default 8, at least 3.
	Connections int32
	// Timeout bounds one group of appends; then their fate is unknown. Default 15 s: longer than a slow disk's checkpoint,
	// shorter than the quarter of an hour after which TCP gives up a vanished server.
	Timeout time.Duration
	// Poll is how long [Log.Wait] may miss the growth by another process when its doorbell is not heard. Default 100 ms.
	Poll time.Duration
}

// Log is an [eventlog.Log] and an [eventlog.Counter]. Make it by [Open], end it by [Log.Close].
type Log struct {
	pool      *pgxpool.Pool
	config    Config
	identity  uuid.UUID
	queue     queue
	sequencer atomic.Uint32 // process id of the connection that appends
	growth    growth
	stop      context.CancelFunc // ends the watcher
	running   sync.WaitGroup     // sequencer and watcher
}

var (
	_ eventlog.Log     = (*Log)(nil)
	_ eventlog.Counter = (*Log)(nil)
)

// Open opens the log that [Migrate] has made in the database of the given pool. The pool itself it leaves alone: it opens
// a few connections of its own like the pool's, so that readers of other tables cannot keep an append or a check of
// rights waiting, and so that the planner can be told to take the indexes even while statistics lag behind a burst.
// The error is [eventlog.ErrUnavailable] if Postgres does not answer or has no log.
func Open(ctx context.Context, pool *pgxpool.Pool, config Config) (*Log, error) {
	config.Connections = max(3, cmp.Or(config.Connections, 8))
	config.Timeout = cmp.Or(config.Timeout, 15*time.Second)
	config.Poll = cmp.Or(config.Poll, 100*time.Millisecond)
	own := pool.Config() // a copy
	own.MaxConns, own.MinConns, own.MinIdleConns = config.Connections, 0, 0
	own.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	for name, value := range map[string]string{
		"application_name": "annal log",
		"enable_seqscan":   "off", // a plan made for a small table is kept while the table grows
		"jit":              "off", // else it compiles every statement that scans the head row
		"plan_cache_mode":  "force_generic_plan",
	} {
		own.ConnConfig.RuntimeParams[name] = value
	}
	connections, err := pgxpool.NewWithConfig(ctx, own)
	if err != nil {
		return nil, unavailable(err)
	}
	l := &Log{pool: connections, config: config}
	var head int64
	if err := l.pool.QueryRow(ctx, "select identity, position from eventlog.head").Scan(&l.identity, &head); err != nil {
		l.pool.Close()
		if code(err) == "42P01" { // undefined_table
			return nil, fmt.Errorf("%w: database %q has no log; make it with Migrate", eventlog.ErrUnavailable, own.ConnConfig.Database)
		}
		return nil, unavailable(err)
	}
	l.queue.init()
	l.growth.init(eventlog.Position(head))
	watching, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.running.Go(func() { l.watch(watching) })
	l.running.Go(l.sequence)
	return l, nil
}

// Close takes no more appends, waits until those that were taken have been answered, and ends all connections. Later calls
// of any method fail with [eventlog.ErrUnavailable].
func (l *Log) Close() {
	l.queue.close()
	l.stop()
	l.running.Wait()
	l.growth.close()
	l.pool.Close()
}

// Identity implements [eventlog.Log].
func (l *Log) Identity(context.Context) (uuid.UUID, error) { return l.identity, nil }

// Head implements [eventlog.Log].
func (l *Log) Head(ctx context.Context) (eventlog.Position, error) {
	var head int64
	if err := l.pool.QueryRow(ctx, "select position from eventlog.head").Scan(&head); err != nil {
		return 0, unavailable(err)
	}
	l.growth.reached(eventlog.Position(head))
	return eventlog.Position(head), nil
}

// CountAfter implements [eventlog.Counter]. Positions have no gaps, so it need not count.
func (l *Log) CountAfter(ctx context.Context, after eventlog.Position) (int64, error) {
	head, err := l.Head(ctx)
	return int64(head - min(after, head)), err
}

// unavailable wraps err, which stays visible to errors.Is: a context that has ended, for one.
func unavailable(err error) error {
	if code(err) == "53100" {
		return fmt.Errorf("%w: the disk of the database is full: %w", eventlog.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
}

// code returns the SQLSTATE that Postgres answered with, "" if the error is another.
func code(err error) string {
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return answer.Code
	}
	return ""
}
