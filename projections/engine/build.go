package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
)

// ErrRebuilding reports that somebody else fills the same tables: another rebuild of the read model runs.
var ErrRebuilding = errors.New("projections: is being rebuilt already")

// build fills tables of a read model in a schema of their own from the log: for a rebuild, which puts them in the
// place of those that are served, and for a result. Rows stay in memory; those not used for longest are written out
// when there are too many. Rows that are only added go straight out, by COPY.
type build struct {
	engine   *Engine
	model    *ReadModel
	conn     *pgx.Conn // holds the lock
	identity uuid.UUID // of the log
	schema   string
	began    time.Time
	progress func(Progress)
	reported time.Time

	takes func(*eventlog.Event) bool // nil: every event

	rows    *Rows
	keyed   []bool // tables that have their primary key
	at      point
	parking *parking
	target  eventlog.Position
	events  int64
	done    bool // the tables stay
}

// Progress says how far a rebuild is.
type Progress struct {
	Phase  string  // "folding", "indexing", "comparing", "catching up", "switching"
	Done   float64 // part of the folding, 0 to 1
	Events int64   // read so far
	Took   time.Duration
	Left   time.Duration // of the folding, as things look now
}

// The lock of a build is a session's: it ends with the connection, so a killed build holds nothing.
const (
	buildLock = 0x616e6e6c // "annl", the first half of the key; the second is a name's
	lockBuild = "select pg_try_advisory_lock($1, hashtext($2))"
	lockHeld  = `select exists (select from pg_locks where locktype = 'advisory' and granted
		and database = (select oid from pg_database where datname = current_database())
		and classid = $1::bigint::oid and objid = (hashtext($2)::bigint & 4294967295)::oid and objsubid = 2)`
)

// building reports whether a build with a lock's name runs, in any process. Of a rebuild the name is that of the
// schema that is served, of a result its schema.
func (e *Engine) building(ctx context.Context, lock string) (held bool, err error) {
	err = e.pool.QueryRow(ctx, lockHeld, int64(buildLock), lock).Scan(&held)
	return held, err
}

// begin takes the lock of a build and makes its empty tables, in place of what an earlier one may have left in these
// schemas, the first of which is filled. All that the build writes goes through the connection that holds the lock: a
// build that has lost the lock can do no harm.
func (e *Engine) begin(ctx context.Context, m *ReadModel, lock string, progress func(Progress), schemas ...string) (*build, error) {
	identity, err := e.log.Identity(ctx)
	if err != nil {
		return nil, err
	}
	pooled, err := e.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("projections: build %s: %w", schemas[0], err)
	}
	b := &build{engine: e, model: m, conn: pooled.Hijack(), identity: identity, schema: schemas[0], began: time.Now(), progress: progress, parking: &parking{}}
	var locked bool
	if err = b.conn.QueryRow(ctx, lockBuild, int32(buildLock), lock).Scan(&locked); err == nil && !locked {
		err = fmt.Errorf("%w: %s", ErrRebuilding, lock)
	}
	if err != nil {
		b.conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}

	if err := b.create(ctx, schemas); err != nil {
		b.close()
		return nil, fmt.Errorf("projections: build %s: %w", b.schema, err)
	}
	return b, nil
}

func (b *build) create(ctx context.Context, schemas []string) (err error) {
	if b.parking.skipped, err = readSkipped(ctx, b.conn, b.model.Name); err != nil {
		return err
	}
	// A long statement of a client that was killed would hold the lock until it ends. Not every system can tell, then
	// it does.
	_, _ = b.conn.Exec(ctx, "set client_connection_check_interval = '1s'")
	// Nobody counts on the rows before they have their keys: the commits of those, in index, wait for the disk, and
	// so for all before.
	if _, err := b.conn.Exec(ctx, "set synchronous_commit = off"); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, b.conn, func(tx pgx.Tx) error {
		for _, left := range schemas {
			if _, err := tx.Exec(ctx, "drop schema if exists "+left+" cascade"); err != nil {
				return err
			}
		}
		return b.model.createTables(ctx, tx, b.schema, false)
	})
}

// close gives the lock back, and drops the tables unless they are done.
func (b *build) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if !b.done {
		_, _ = b.conn.Exec(ctx, "drop schema if exists "+b.schema+" cascade") // else the next build does it
	}
	_, _ = b.conn.Exec(ctx, "select pg_advisory_unlock_all()") // the server would notice a closed connection only a little later
	b.conn.Close(ctx)
}

// chunk is a page on its way from the log to the fold.
type chunk struct {
	read   int // events of the log
	last   point
	events []*eventcodec.Event // that matter
	bad    unreadable
}

// decode opens the events of a page that matter.
func (b *build) decode(ctx context.Context, page []eventlog.Event) (c chunk, err error) {
	c = chunk{read: len(page), last: pointOf(&page[len(page)-1])}
	mine := slices.DeleteFunc(page, func(e eventlog.Event) bool { return !b.model.folds(e.Type) || b.takes != nil && !b.takes(&e) })
	if c.events, err = b.engine.codec.Page(ctx, mine); err != nil {
		if c.events, c.bad, err = b.engine.decodeEach(ctx, b.model, mine, err); err != nil {
			return c, err
		}
	}
	if b.model.Events != nil {
		for _, e := range c.events {
			_, _ = e.Payload() // decoded here rather than between two changes of rows; the fold will meet the error
		}
	}
	return c, nil
}

// chunks yields the log up to a position, decoded. Reading and decoding are a little ahead of the loop.
func (b *build) chunks(ctx context.Context, target eventlog.Position) iter.Seq2[chunk, error] {
	read := func(ctx context.Context) iter.Seq2[[]eventlog.Event, error] {
		return eventlog.Pages(ctx, b.engine.log, 0, target, b.engine.config.PageSize)
	}
	return eventlog.Ahead(ctx, 2, func(ctx context.Context) iter.Seq2[chunk, error] {
		return func(yield func(chunk, error) bool) {
			for page, err := range eventlog.Ahead(ctx, 1, read) {
				var c chunk
				if err == nil {
					c, err = b.decode(ctx, page)
				}
				if !yield(c, err) {
					return
				}
			}
		}
	})
}

// foldTo folds the log up to target into the empty tables. Reading, decoding, folding and writing overlap.
func (b *build) foldTo(ctx context.Context, target eventlog.Position) error {
	b.rows, b.keyed, b.target = newRows(b.model, true), make([]bool, len(b.model.Tables)), target
	group, ctx := errgroup.WithContext(ctx)
	w := &writer{ctx: ctx, conn: b.conn, jobs: make(chan func(context.Context, *pgx.Conn) error)}
	group.Go(w.run)
	group.Go(func() error {
		defer close(w.jobs)
		for c, err := range b.chunks(ctx, target) {
			if err == nil {
				err = b.fold(c, w)
			}
			if err != nil {
				return err
			}
			b.at, b.events = c.last, b.events+int64(c.read)
			b.report("folding")
		}
		for range 2 { // the recent rows become the older ones, which are written out
			for i := range b.rows.stores {
				if err := b.turn(i, w, false); err != nil {
					return err
				}
			}
		}
		return nil
	})
	err := group.Wait()
	b.rows = nil
	return err
}

func (b *build) fold(c chunk, w *writer) error {
	b.parking.bad = c.bad
	err := b.rows.prepare(c.events, b.parking, func() error {
		return w.do(func(ctx context.Context, conn *pgx.Conn) error {
			return b.rows.load(ctx, conn, b.schema)
		})
	})
	if err == nil {
		err = b.rows.fold(c.events, b.parking)
	}
	for i := range b.rows.stores {
		if err == nil {
			err = b.turn(i, w, true)
		}
	}
	return err
}

// copySize is the bytes of rows of an append-only table that go out at once: enough to make a COPY's start cost
// nothing.
const copySize = 4 << 20

// turn writes out the rows of table i that have not been used lately; if asked, only when there are too many.
func (b *build) turn(i int, w *writer, ifFull bool) error {
	r, rows := b.model.Tables[i].relation(), b.rows.stores[i]
	limit := b.engine.config.Memory / 2 / len(b.rows.stores) // there are as many again that were used before the last turn
	if r.appended {
		limit = min(limit, copySize)
	}
	if ifFull && rows.size() < limit {
		return nil
	}
	c := rows.turn()
	if c.empty() {
		return nil
	}

	addKey := ifFull && !r.appended && !b.keyed[i] // the rows will be looked for by their key
	b.keyed[i] = b.keyed[i] || addKey
	return w.post(func(ctx context.Context, conn *pgx.Conn) error {
		if addKey {
			if _, err := conn.Exec(ctx, r.createKey(b.schema)); err != nil {
				return err
			}
		}
		return r.writeOut(ctx, conn, b.schema, c)
	})
}

// writeOut writes changes to the tables of a build: what is new by COPY.
func (r *relation) writeOut(ctx context.Context, conn *pgx.Conn, schema string, c changes) error {
	if len(c.added) > 0 {
		if err := r.copy(ctx, conn, schema, c.added); err != nil {
			return err
		}
	}
	const atOnce = 2000 // as in live folding
	batch := &pgx.Batch{}
	for rows := range slices.Chunk(c.deleted, atOnce) {
		r.write(batch, schema, changes{deleted: rows})
	}
	for rows := range slices.Chunk(c.replaced, atOnce) {
		r.write(batch, schema, changes{replaced: rows})
	}
	return sendBatch(ctx, conn, batch)
}

// writer runs jobs on the connection of a build, one after the other, while the fold goes on.
type writer struct {
	ctx  context.Context
	conn *pgx.Conn
	jobs chan func(context.Context, *pgx.Conn) error
}

func (w *writer) run() error {
	for job := range w.jobs {
		if err := job(w.ctx, w.conn); err != nil {
			return err
		}
	}
	return nil
}

// post hands over a job; its error ends the build.
func (w *writer) post(job func(context.Context, *pgx.Conn) error) error {
	select {
	case w.jobs <- job:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// do waits until a job is done, and all that were posted before it.
func (w *writer) do(job func(context.Context, *pgx.Conn) error) error {
	done := make(chan error, 1)
	err := w.post(func(ctx context.Context, conn *pgx.Conn) error {
		err := job(ctx, conn)
		done <- err
		return err
	})
	if err != nil {
		return err
	}
	return <-done
}

// index makes the keys and the indexes, and the planner's statistics of what is there.
func (b *build) index(ctx context.Context) error {
	b.report("indexing")
	if _, err := b.conn.Exec(ctx, "reset synchronous_commit"); err != nil {
		return err
	}
	for i, t := range b.model.Tables {
		r := t.relation()
		var statements []string
		if !b.keyed[i] {
			statements = append(statements, r.createKey(b.schema))
		}
		statements = append(append(statements, r.createIndexes(b.schema)...), "analyze "+r.in(b.schema))
		for _, statement := range statements {
			if _, err := b.conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", r.table, err)
			}
		}
	}
	return nil
}

// catchUp folds what the log has got since, page by page as live folding does.
func (b *build) catchUp(ctx context.Context) error {
	for page, err := range eventlog.Pages(ctx, b.engine.log, b.at.position, eventlog.End, b.engine.config.PageSize) {
		if err != nil {
			return err
		}
		c, err := b.decode(ctx, page)
		if err != nil {
			return err
		}
		b.parking.bad = c.bad
		rows, err := b.model.foldPage(ctx, b.conn, b.schema, c.events, b.parking)
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		rows.write(batch, b.schema)
		if err := sendBatch(ctx, b.conn, batch); err != nil {
			return err
		}
		b.at, b.events = c.last, b.events+int64(c.read)
		b.report("catching up")
		if c.read < b.engine.config.PageSize { // at the head, or so near that the switch can do the rest
			return nil
		}
	}
	return nil
}

// reportEvery keeps a callback that draws from being called for every page.
const reportEvery = 100 * time.Millisecond

func (b *build) report(phase string) {
	if b.progress == nil || phase == "folding" && time.Since(b.reported) < reportEvery {
		return
	}
	b.reported = time.Now()
	p := Progress{Phase: phase, Done: 1, Events: b.events, Took: time.Since(b.began)}
	if phase == "folding" && b.target > 0 {
		p.Done = float64(b.at.position) / float64(b.target)
		p.Left = time.Duration(float64(p.Took) * (1 - p.Done) / max(p.Done, 0.001))
	}
	b.progress(p)
}

// dropSchema drops a schema with its tables, and does more in the same transaction. It waits for those who read the
// tables, for no longer than wait unless that is 0: others who want to read queue behind it. It reports whether
// somebody still reads.
func dropSchema(ctx context.Context, db interface {
	Begin(context.Context) (pgx.Tx, error)
}, schema string, wait time.Duration, more string, args ...any) (read bool, err error) {
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf("set local lock_timeout = %d; drop schema if exists %s cascade", wait.Milliseconds(), schema))
		if err == nil && more != "" {
			_, err = tx.Exec(ctx, more, args...)
		}
		return err
	})
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "55P03" { // lock_not_available
		return true, nil
	}
	return false, err
}
