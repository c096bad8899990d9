// Package postgres is the default log: one table, eventlog.events, in any Postgres from 13 on.
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
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog"
)

// Config tunes a [Log]. The zero value is a good one.
type Config struct {
	// Readers is how many connections read at once. Default 8. Three more append, listen and ring.
	Readers int32
	// Timeout bounds one group of appends, after which their fate is unknown, and each look at the head. Default 15 s: longer than a slow disk's checkpoint,
	// shorter than the quarter of an hour after which TCP gives up a vanished server.
	Timeout time.Duration
	// Poll is how long [Log.Wait] may miss the growth by another process when its doorbell is not heard. Default 100 ms.
	Poll time.Duration
}

// Log is an [eventlog.Importer], an [eventlog.Counter] and an [eventlog.Recaller]. Make it by [Open], end it by [Log.Close]. A restart of Postgres it
// outlives; it must be opened anew after a failover to a server that lacks events which were acknowledged.
type Log struct {
	writing, reading *pgxpool.Pool // apart, so that no reader keeps the sequencer waiting
	config           Config
	identity         uuid.UUID
	id               string // of this client, so that it can tell its own ring
	queue            queue
	recent           recent
	growth           *eventlog.Growth
	doorbell         doorbell
	stop             context.CancelFunc // ends what listens and rings
	sequencer        sync.WaitGroup
	followers        sync.WaitGroup
}

var (
	_ eventlog.Importer = (*Log)(nil)
	_ eventlog.Counter  = (*Log)(nil)
	_ eventlog.Recaller = (*Log)(nil)
)

// Open opens the log that [Migrate] has made in the database of the given pool. The pool itself it leaves alone: it opens
// a few connections of its own like the pool's, so that readers of other tables cannot keep an append or a check of
// rights waiting. They are sessions with settings of their own, which a proxy that pools transactions does not keep.
// The error is [eventlog.ErrUnavailable] if Postgres does not answer or has no log.
func Open(ctx context.Context, pool *pgxpool.Pool, config Config) (*Log, error) {
	config.Readers = cmp.Or(config.Readers, 8)
	config.Timeout = cmp.Or(config.Timeout, 15*time.Second)
	config.Poll = cmp.Or(config.Poll, 100*time.Millisecond)
	l := &Log{config: config, id: uuid.NewString(), doorbell: make(doorbell, 1)}
	var err error
	if l.reading, err = sessions(ctx, pool, config.Readers); err != nil {
		return nil, unavailable(err)
	}
	if l.writing, err = sessions(ctx, pool, 3); err != nil {
		l.reading.Close()
		return nil, unavailable(err)
	}
	var head int64
	if err := l.reading.QueryRow(ctx, "select identity, position from eventlog.head").Scan(&l.identity, &head); err != nil {
		l.reading.Close()
		l.writing.Close()
		if code(err) == "42P01" { // undefined_table
			return nil, fmt.Errorf("%w: the database has no log; make it with Migrate", eventlog.ErrUnavailable)
		}
		return nil, unavailable(err)
	}
	l.queue.init()
	l.growth = eventlog.NewGrowth(eventlog.Position(head))
	following, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.sequencer.Go(l.sequence)
	l.followers.Go(func() { l.listen(following) })
	l.followers.Go(func() { l.ring(following) })
	return l, nil
}

// sessions is a pool of connections like those of another, with what the log relies on.
func sessions(ctx context.Context, pool *pgxpool.Pool, n int32) (*pgxpool.Pool, error) {
	own := pool.Config() // a copy
	own.MaxConns, own.MinConns, own.MinIdleConns = n, 0, 0
	own.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	for name, value := range map[string]string{
		"application_name":              "annal log",
		"client_encoding":               "UTF8",
		"default_transaction_isolation": "read committed", // who has waited for the head row must see what is new
		"enable_seqscan":                "off",            // a plan made for a small table is kept while the table grows
		"jit":                           "off",            // else it compiles every statement that scans the head row
		"plan_cache_mode":               "force_generic_plan",
	} {
		own.ConnConfig.RuntimeParams[name] = value
	}
	return pgxpool.NewWithConfig(ctx, own)
}

// Close takes no more appends, waits until those that were taken have been answered, and ends all connections. What needs
// Postgres fails with [eventlog.ErrUnavailable] from then on.
func (l *Log) Close() {
	l.queue.close()
	l.sequencer.Wait()
	l.stop()
	l.followers.Wait()
	l.growth.Close()
	l.writing.Close()
	l.reading.Close()
}

// Identity implements [eventlog.Log].
func (l *Log) Identity(context.Context) (uuid.UUID, error) { return l.identity, nil }

// Head implements [eventlog.Log].
func (l *Log) Head(ctx context.Context) (eventlog.Position, error) {
	var head eventlog.Position
	err := l.query(ctx, func(v [][]byte) { head = eventlog.Position(bigint(v[0])) }, "select position from eventlog.head")
	if err != nil {
		return 0, err
	}
	l.growth.Reached(head)
	return head, nil
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
