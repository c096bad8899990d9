package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
)

// Wait implements [eventlog.Log]. Appends of this process wake it directly, those of others by NOTIFY or, at the latest,
// after [Config.Poll]. While Postgres is away it goes on waiting.
func (l *Log) Wait(ctx context.Context, after eventlog.Position) error {
	return l.growth.Wait(ctx, after)
}

// A doorbell tells other processes, by NOTIFY, that the log has grown. It is rung beside the appends and not by them: in
// the group's own transaction it cost a tenth of the rate, and a process alone on its log needs no bell at all.
type doorbell chan struct{}

// pause is the least time between two rings: the longest that a follower in another process lags behind for it.
const pause = 5 * time.Millisecond

// push has the bell rung soon, once for all pushes until then.
func (d doorbell) push() {
	select {
	case d <- struct{}{}:
	default:
	}
}

// ring rings the bell until ctx ends. A failure is of no account, since who listens also looks without being called.
func (l *Log) ring(ctx context.Context) {
	for {
		select {
		case <-l.doorbell:
		case <-ctx.Done():
			return
		}
		// Nothing is lost with the ring, so it need not wait for the disk.
		limited, cancel := context.WithTimeout(ctx, l.config.Timeout)
		_, _ = l.writing.Exec(limited, `select set_config('synchronous_commit', 'off', true), pg_notify('eventlog', $1)`, l.id)
		cancel()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// listen follows what other processes append, on one connection for all who wait here.
func (l *Log) listen(ctx context.Context) {
	for ctx.Err() == nil {
		_ = l.follow(ctx) // the connection is lost; the next one begins by looking at the head
		select {
		case <-time.After(l.config.Poll):
		case <-ctx.Done():
		}
	}
}

func (l *Log) follow(ctx context.Context) error {
	pooled, err := l.writing.Acquire(ctx)
	if err != nil {
		return err
	}
	conn := pooled.Hijack() // one that listens must not serve others
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "listen eventlog"); err != nil {
		return err
	}
	for {
		if err := l.poll(ctx, conn); err != nil {
			return err
		}
		if err := l.hear(ctx, conn); err != nil {
			return err
		}
	}
}

func (l *Log) poll(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, l.config.Timeout) // a server may vanish without a word
	defer cancel()
	var head int64
	err := conn.QueryRow(ctx, "select position from eventlog.head").Scan(&head)
	if err == nil {
		l.growth.Reached(eventlog.Position(head))
	}
	return err
}

// hear returns when another process has rung, or when it is time to look without that.
func (l *Log) hear(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, l.config.Poll)
	defer cancel()
	for {
		rung, err := conn.WaitForNotification(ctx)
		switch {
		case err != nil && conn.IsClosed():
			return err
		case err != nil, rung.Payload != l.id:
			return nil
		}
	}
}
