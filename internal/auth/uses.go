package auth

import (
	"context"
	"embed"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/internal/migrations"
)

//go:embed migrations
var files embed.FS

// Migrate makes the table that [Uses] keeps. It may be run again and by several processes at once.
func Migrate(ctx context.Context, owner *pgx.Conn) error {
	return migrations.Set{Schema: "auth", Files: files}.Apply(ctx, owner)
}

const (
	// useGrain is how coarsely last uses are kept: one write a minute for a session in use, whatever its number of requests.
	// An idle time-out of an hour can come a minute early after a crash, and never late.
	useGrain = time.Minute
	useFlush = 5 * time.Second
	useKept  = 48 * time.Hour // then a row is of no session that could still be open: they end after 24 h
)

// Uses keeps when each session was last used. It is no history and no event: losing it ends sessions early. It is safe for
// concurrent use, and by several processes on one database.
type Uses struct {
	pool *pgxpool.Pool
	stop chan struct{}
	done chan error

	mu   sync.Mutex
	seen map[uuid.UUID]use
}

type use struct{ last, written time.Time }

// OpenUses begins to keep uses in the database of pool, after [Migrate]. Close it.
func OpenUses(pool *pgxpool.Pool) *Uses {
	u := &Uses{pool: pool, stop: make(chan struct{}), done: make(chan error, 1), seen: make(map[uuid.UUID]use)}
	go u.run()
	return u
}

// Used notes that a session is in use. It never waits for the database.
func (u *Uses) Used(session uuid.UUID, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s := u.seen[session]; at.After(s.last) {
		u.seen[session] = use{at, s.written}
	}
}

// Last returns when a session was last used, as far as this process or, a minute coarser, any other knows. It is zero for a
// session that was never used.
func (u *Uses) Last(ctx context.Context, session uuid.UUID, now time.Time) (time.Time, error) {
	u.mu.Lock()
	known := u.seen[session]
	u.mu.Unlock()
	if now.Sub(known.last) < useGrain {
		return known.last, nil
	}
	var at time.Time // another process may know better
	err := u.pool.QueryRow(ctx, `select coalesce(max(last_use), '0001-01-01Z') from auth.session_use where session = $1`, session).Scan(&at)
	if err != nil {
		return time.Time{}, fmt.Errorf("auth: last use of a session: %w", err)
	}
	if at.Before(known.last) {
		at = known.last
	}
	return at.UTC(), nil
}

// Forget drops what is known of a session that has ended.
func (u *Uses) Forget(session uuid.UUID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.seen, session)
}

// Drop forgets sessions for good, here and in the database.
func (u *Uses) Drop(ctx context.Context, sessions ...uuid.UUID) error {
	for _, s := range sessions {
		u.Forget(s)
	}
	if len(sessions) == 0 {
		return nil
	}
	if _, err := u.pool.Exec(ctx, `delete from auth.session_use where session = any($1)`, sessions); err != nil {
		return fmt.Errorf("auth: drop uses of sessions: %w", err)
	}
	return nil
}

// Close writes what is not yet written, and stops.
func (u *Uses) Close() error {
	close(u.stop)
	return <-u.done
}

func (u *Uses) run() {
	tick := time.NewTicker(useFlush)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			// What could not be written is still there the next time.
			_ = u.write(now.Add(-useGrain))
		case <-u.stop:
			u.done <- u.write(time.Now())
			return
		}
	}
}

// write stores the uses of sessions that were last written before a time, and drops what is too old to matter.
func (u *Uses) write(before time.Time) error {
	var sessions []uuid.UUID
	var lasts []time.Time
	old := before.Add(-useKept)
	u.mu.Lock()
	for session, s := range u.seen {
		if s.last.Before(old) {
			delete(u.seen, session)
		} else if s.last.After(s.written) && s.written.Before(before) {
			sessions, lasts = append(sessions, session), append(lasts, s.last)
		}
	}
	u.mu.Unlock()
	if len(sessions) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), useFlush)
	defer cancel()
	_, err := u.pool.Exec(ctx, `
		with old as (delete from auth.session_use where last_use < $3 and session <> all ($1))
		insert into auth.session_use (session, last_use) select * from unnest($1::uuid[], $2::timestamptz[])
		on conflict (session) do update set last_use = greatest(session_use.last_use, excluded.last_use)`,
		sessions, lasts, old)
	if err != nil {
		return fmt.Errorf("auth: write uses of sessions: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, session := range sessions {
		if s, ok := u.seen[session]; ok { // else forgotten meanwhile
			u.seen[session] = use{s.last, lasts[i]}
		}
	}
	return nil
}
