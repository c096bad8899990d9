package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/eventlog"
)

// Each read model has one runner at a time, by a lease in its checkpoint. Its engine renews the lease every quarter
// of [Config.Lease]; a process that finds it run out takes it over and counts the epoch up. A checkpoint moves only with the
// epoch of its lease, so one that was paused, or cut off, and comes back late writes nothing. All times are those of
// Postgres' clock.

const (
	leaseIsFree = `select holder is null or holder = $3 or leased_until < clock_timestamp() from projections.checkpoints where name = $1 and version = $2`

	takeLease = `update projections.checkpoints set holder = $3, runner = $4, epoch = epoch + 1, leased_until = clock_timestamp() + $5
		where name = $1 and version = $2 and (holder is null or holder = $3 or leased_until < clock_timestamp()) returning epoch`

	// A row that is locked is being moved, or its tables are being switched: the next beat is soon enough.
	renewLeases = `with mine as materialized (
			select name, version from projections.checkpoints
			where holder = $1 and (name, version) in (select * from unnest($2::text[], $3::int[])) for update skip locked
		) update projections.checkpoints c set leased_until = clock_timestamp() + $4 from mine where (c.name, c.version) = (mine.name, mine.version)`

	releaseLeases = `update projections.checkpoints set holder = null, runner = null, leased_until = null
		where holder = $1 and ($2::text[] is null or name = any($2))`
)

// beats is how often a lease is renewed before it would run out: three may fail.
const beats = 4

// processName is how people tell processes apart.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// take returns whether this engine holds the lease of r, and takes it if nobody does.
func (r *runner) take(ctx context.Context) (bool, error) {
	if epoch := r.epoch.Load(); epoch != 0 { // as far as this engine knows; it starts over because something was not as it knew
		var held bool
		err := r.engine.pool.QueryRow(ctx, "select coalesce(holder = $3, false) and epoch = $4 from projections.checkpoints where name = $1 and version = $2",
			r.model.Name, r.model.Version, r.engine.id, epoch).Scan(&held)
		if err != nil || held {
			return held, err
		}
		r.drop()
	}
	if time.Now().Before(r.yields) {
		return false, nil
	}
	var free bool
	if err := r.engine.pool.QueryRow(ctx, leaseIsFree, r.model.Name, r.model.Version, r.engine.id).Scan(&free); err != nil || !free {
		return false, err
	}
	var epoch int64
	err := pgx.BeginFunc(ctx, r.engine.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local lock_timeout = '500ms'; set local synchronous_commit = off"); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, takeLease, r.model.Name, r.model.Version, r.engine.id, r.engine.config.Process, r.engine.config.Lease)
		if err != nil {
			return err
		}
		epochs, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err == nil && len(epochs) == 1 {
			epoch = epochs[0]
		}
		return err
	})
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "55P03" { // lock_not_available
		return false, r.endHolder(ctx)
	}
	if err != nil || epoch == 0 {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch.Store(epoch)
	r.progress.run(true)
	return true, nil
}

// patience is for how many leases' time a lock is respected after the lease has run out: who holds it may be slow.
const patience = 1

// endHolder breaks the lock on a checkpoint whose lease has run out. A rebuild that switches tables may take its time.
func (r *runner) endHolder(ctx context.Context) error {
	if rebuilding, err := r.engine.building(ctx, r.model.Schema.String()); err != nil || rebuilding {
		return err
	}
	var ended int
	err := r.engine.pool.QueryRow(ctx, "select projections.end_holder($1, $2, $3)", r.model.Name, r.model.Version, patience*r.engine.config.Lease).Scan(&ended)
	if ended > 0 {
		r.engine.config.Logger.Warn("ended the connection of a runner that is not heard of", "model", r.model.Name)
	}
	return err
}

// drop gives up a lease that another has taken. From now on waiters read the checkpoint.
func (r *runner) drop() {
	r.epoch.Store(0)
	r.progress.run(false)
}

// yield gives a lease back for others to take first.
func (r *runner) yield() {
	r.engine.release(r.model.Name)
	r.yields = time.Now().Add(r.engine.config.Lease)
	r.drop()
}

// keep renews the leases until ctx ends, or one has been taken by another process, or a read model stands before
// where its runner has left it: commits do not wait for the disk, so a crash of Postgres takes the last ones away. A
// runner that has nothing new to fold would not notice either; again makes all of them start over from what is now.
func (e *Engine) keep(ctx context.Context, again func()) {
	for sleep(ctx, e.config.Lease/beats) == nil {
		limited, cancel := context.WithTimeout(ctx, e.config.Lease)
		changed, err := e.beat(limited)
		cancel()
		if err == nil && changed {
			again()
			return
		}
	}
}

// beat renews the leases of runners that are well, and drops those that others have taken. It reports whether runners
// have to start over. Without Postgres nothing can be said, nor need be: nobody can write.
func (e *Engine) beat(ctx context.Context) (changed bool, err error) {
	type standing struct {
		epoch     int64
		committed eventlog.Position
	}
	before := make(map[Schema]standing)
	var names []string
	var versions []int32
	for _, r := range e.runners {
		epoch, committed := r.epoch.Load(), eventlog.Position(r.committed.Load()) // first: what was reached then, stands there now
		if epoch == 0 {
			continue
		}
		before[r.model.Schema] = standing{epoch, committed}
		if !r.stuck() {
			names, versions = append(names, r.model.Name), append(versions, int32(r.model.Version))
		}
	}
	now, err := e.standings(ctx, func(batch *pgx.Batch) { batch.Queue(renewLeases, e.id, names, versions, e.config.Lease) })
	if err != nil {
		return false, err
	}
	for _, r := range e.runners {
		was, ran := before[r.model.Schema]
		is := now[r.model.Schema]
		switch {
		case !ran || r.epoch.Load() != was.epoch:
		case is.epoch != was.epoch || is.holder != e.id: // the epoch alone may come again, after a crash that took a takeover away
			e.config.Logger.Warn("another process has taken over a read model", "model", r.model.Name, "runner", is.runner)
			r.drop()
			changed = true
		case is.position < was.committed:
			e.config.Logger.Warn("read model starts over from its checkpoint: commits were lost", "model", r.model.Name, "position", is.position, "reached", was.committed)
			changed = true
		}
	}
	return changed, nil
}

// standing is a checkpoint with its lease.
type standing struct {
	checkpoint
	epoch  int64
	holder uuid.UUID // zero: nobody
	runner string    // "" if nobody folds it
}

const selectStandings = `select name, version, log, position, mark, generation, coalesce(failed, 0), coalesce(error, ''), epoch,
	coalesce(holder, '00000000-0000-0000-0000-000000000000'), case when leased_until > clock_timestamp() then coalesce(runner, '') else '' end from projections.checkpoints`

// standings reads all checkpoints there are, after what first queues.
func (e *Engine) standings(ctx context.Context, first func(*pgx.Batch)) (map[Schema]standing, error) {
	all := make(map[Schema]standing)
	batch := &pgx.Batch{}
	if first != nil {
		first(batch)
	}
	batch.Queue(selectStandings).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var of Schema
			var s standing
			if err := rows.Scan(&of.Name, &of.Version, &s.log, &s.position, &s.mark, &s.generation, &s.failed, &s.err, &s.epoch, &s.holder, &s.runner); err != nil {
				return err
			}
			all[of] = s
		}
		return rows.Err()
	})
	if err := e.pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("projections: read the checkpoints: %w", err)
	}
	return all, nil
}

// release gives leases back, so that others need not wait for them to run out: those of some read models, or all.
func (e *Engine) release(names ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), e.config.Lease)
	defer cancel()
	_, _ = e.pool.Exec(ctx, releaseLeases, e.id, names) // else they run out
}
