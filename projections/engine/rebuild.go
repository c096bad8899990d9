package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/eventlog"
)

// ErrRebuilding reports that another rebuild of the same read model runs.
var ErrRebuilding = errors.New("projections: is being rebuilt already")

// RebuildOptions tunes [Engine.Rebuild].
type RebuildOptions struct {
	Verify   bool           // compare the rebuilt rows with the live ones
	Progress func(Progress) // called now and then, if not nil; it must not block
}

// Progress says how far a rebuild is.
type Progress struct {
	Phase  string  // "folding", "indexing", "comparing", "catching up", "switching"
	Done   float64 // part of the folding, 0 to 1
	Events int64   // read so far
	Took   time.Duration
	Left   time.Duration // of the folding, as things look now
}

// Rebuilt says what a rebuild has done.
type Rebuilt struct {
	Events      int64 // read
	Position    eventlog.Position
	Parked      int // events that could not be folded, and the later ones of their streams
	Took        time.Duration
	Verified    bool         // the rows were compared; those of another log cannot be
	Different   int64        // rows that differed
	Differences []Difference // the first of them, by column
}

// Rebuild folds the whole log again, into tables beside the live ones, and switches: queries meanwhile see the live
// rows, then the rebuilt ones, and never fail. It works beside running engines and without one, and mends a read model that
// has stopped. One that is cut short leaves the live tables as they are and nothing in the way of the next. Errors:
// [ErrRebuilding], or what kept it from folding.
func (e *Engine) Rebuild(ctx context.Context, name string, options RebuildOptions) (Rebuilt, error) {
	r, err := e.runner(name)
	if err == nil {
		err = e.Prepare(ctx)
	}
	if err != nil {
		return Rebuilt{}, err
	}
	return e.rebuild(ctx, r.model, options)
}

func (e *Engine) rebuild(ctx context.Context, m *ReadModel, options RebuildOptions) (done Rebuilt, err error) {
	began := time.Now()
	s, err := e.newShadow(ctx, m, m.Schema.String(), m.shadow(), options.Progress)
	if err != nil {
		return done, err
	}
	defer s.close()
	if err := s.create(ctx); err != nil {
		return done, fmt.Errorf("projections: rebuild %s: %w", m.Name, err)
	}
	head, err := e.log.Head(ctx)
	if err != nil {
		return done, err
	}
	var live *snapshot
	if options.Verify {
		if live, err = e.snapshot(ctx, m, s.identity); err != nil {
			return done, err
		}
	}
	target := head
	if live != nil {
		defer live.close()
		target = live.at.position
	}
	steps := []func(context.Context) error{
		func(ctx context.Context) error { return s.foldTo(ctx, target) },
		s.index,
		func(ctx context.Context) (err error) {
			if live != nil {
				s.report("comparing")
				done.Verified = true
				done.Different, done.Differences, err = s.compare(ctx, live)
				live.close()
			}
			return err
		},
		s.inherit,
		s.catchUp,
		s.swap,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return done, fmt.Errorf("projections: rebuild %s: %w", m.Name, err)
		}
	}
	s.dropFormer(ctx)
	done.Events, done.Position, done.Parked, done.Took = s.events, s.at.position, len(s.side.parked), time.Since(began)
	return done, nil
}

// firstFold begins a read model that has no rows yet by a rebuild, if the log is long. It tells whether it did, or whether
// another process does.
func (e *Engine) firstFold(ctx context.Context, m *ReadModel) (began bool, err error) {
	if long, err := e.long(ctx); err != nil || !long {
		return false, err
	}
	_, err = e.rebuild(ctx, m, RebuildOptions{})
	if errors.Is(err, ErrRebuilding) {
		err = nil
	}
	return true, err
}

// long tells whether the log has [Config.FastStart] events.
func (e *Engine) long(ctx context.Context) (bool, error) {
	if counter, ok := e.log.(eventlog.Counter); ok {
		n, err := counter.CountAfter(ctx, 0)
		return n >= e.config.FastStart, err
	}
	var at eventlog.Position
	for n := int64(0); n < e.config.FastStart; {
		page, err := e.log.ReadAll(ctx, at, e.config.PageSize)
		if err != nil || len(page) == 0 {
			return false, err
		}
		n, at = n+int64(len(page)), page[len(page)-1].Position
	}
	return true, nil
}

// The lock of a rebuild is a session's: it ends with the connection, so a killed rebuild holds nothing.
const (
	rebuildLock = 0x616e6e6c // "annl", the first half of the key; the second is the read model's
	lockRebuild = "select pg_try_advisory_lock($1, hashtext($2))"
	lockHeld    = `select exists (select from pg_locks where locktype = 'advisory' and granted
		and database = (select oid from pg_database where datname = current_database())
		and classid = $1::bigint::oid and objid = (hashtext($2)::bigint & 4294967295)::oid and objsubid = 2)`
)

// rebuilding tells whether a rebuild of a read model runs, in any process.
func (e *Engine) rebuilding(ctx context.Context, s Schema) (bool, error) {
	return e.locked(ctx, s.String())
}

func (e *Engine) locked(ctx context.Context, schema string) (held bool, err error) {
	err = e.pool.QueryRow(ctx, lockHeld, int64(rebuildLock), schema).Scan(&held)
	return held, err
}

// newShadow takes the lock of a rebuild. All that the rebuild writes goes through the connection that holds the lock, so
// one that has lost it can do no harm.
func (e *Engine) newShadow(ctx context.Context, m *ReadModel, lock, schema string, progress func(Progress)) (*shadow, error) {
	identity, err := e.log.Identity(ctx)
	if err != nil {
		return nil, err
	}
	pooled, err := e.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("projections: rebuild %s: %w", m.Name, err)
	}
	s := &shadow{engine: e, model: m, conn: pooled.Hijack(), identity: identity, schema: schema, began: time.Now(), progress: progress, side: &aside{}}
	var locked bool
	if err = s.conn.QueryRow(ctx, lockRebuild, int32(rebuildLock), lock).Scan(&locked); err == nil && !locked {
		err = fmt.Errorf("%w: %s", ErrRebuilding, lock)
	}
	if err != nil {
		s.conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return s, nil
}

// close gives the lock back, with whatever the rebuild has not finished.
func (s *shadow) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if !s.swapped {
		_, _ = s.conn.Exec(ctx, "drop schema if exists "+s.schema+" cascade") // else the next rebuild does it
	}
	_, _ = s.conn.Exec(ctx, "select pg_advisory_unlock_all()") // the server would notice a closed connection only a little later
	s.conn.Close(ctx)
}

// create makes the empty tables, in place of what an earlier rebuild may have left.
func (s *shadow) create(ctx context.Context) error {
	var err error
	if s.side.skipped, err = readSkipped(ctx, s.conn, s.model.Name); err != nil {
		return err
	}
	// A long statement of a client that was killed would hold the lock until it ends. Not every system can tell, then it does.
	_, _ = s.conn.Exec(ctx, "set client_connection_check_interval = '1s'")
	// Nobody counts on the rows before they have their keys: the commits of those, in index, wait for the disk, and so for all before.
	if _, err := s.conn.Exec(ctx, "set synchronous_commit = off"); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		left := []string{s.schema}
		if s.schema == s.model.shadow() {
			left = append(left, s.model.former())
		}
		for _, left := range left {
			if _, err := tx.Exec(ctx, "drop schema if exists "+left+" cascade"); err != nil {
				return err
			}
		}
		return s.model.createTables(ctx, tx, s.schema, false)
	})
}

// swap folds the last events while the live runners wait for the checkpoint, and puts the rebuilt tables in the place of the
// live ones. Only names change: queries that run go on reading the tables they have begun with.
func (s *shadow) swap(ctx context.Context) error {
	s.report("switching")
	m := s.model
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := readCheckpoint(ctx, tx, m.Schema, " for update"); err != nil {
			return err
		}
		if err := s.catchUp(ctx); err != nil {
			return err
		}
		var exists bool
		if err := tx.QueryRow(ctx, "select to_regnamespace($1) is not null", m.Schema.String()).Scan(&exists); err != nil {
			return err
		}
		if exists {
			if _, err := tx.Exec(ctx, fmt.Sprintf("alter schema %s rename to %s", m.Schema, m.former())); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("alter schema %s rename to %s", s.schema, m.Schema)); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`update projections.checkpoints set log = $3, position = $4, mark = $5, generation = generation + 1, failed = null, error = null,
			updated_at = now() where name = $1 and version = $2`, m.Name, m.Version, s.identity, int64(s.at.position), s.at.mark.String())
		batch.Queue("delete from projections.parked where name = $1 and version = $2", m.Name, m.Version)
		s.side.write(batch, m.Schema)
		return sendBatch(ctx, tx, batch)
	})
	s.swapped = err == nil
	return err
}

// dropFormer drops the tables that were live. It waits for those who still read them, but not with a lock in its hand that
// others would queue behind; what it cannot drop in time the next rebuild does.
func (s *shadow) dropFormer(ctx context.Context) {
	for range 20 {
		_, err := s.conn.Exec(ctx, "set lock_timeout = '100ms'; drop schema if exists "+s.model.former()+" cascade")
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "55P03" {
			return
		}
		time.Sleep(400 * time.Millisecond)
	}
}

// snapshot is what the live tables held at one moment.
type snapshot struct {
	conn interface{ Release() }
	tx   pgx.Tx
	at   checkpoint
}

// snapshot takes one; nil if the live tables were folded from another log.
func (e *Engine) snapshot(ctx context.Context, m *ReadModel, identity uuid.UUID) (*snapshot, error) {
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		conn.Release()
		return nil, err
	}
	s := &snapshot{conn: conn, tx: tx}
	s.at, err = readCheckpoint(ctx, tx, m.Schema, "")
	if err == nil && s.at.log == identity {
		if err = e.fits(ctx, m.Schema, s.at); err == nil {
			return s, nil
		}
	}
	s.close()
	if errors.Is(err, ErrForeign) {
		err = nil
	}
	return nil, err
}

func (s *snapshot) close() {
	if s.tx != nil {
		_ = s.tx.Rollback(context.Background())
		s.conn.Release()
		s.tx = nil
	}
}
