package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
)

// RebuildOptions tunes [Engine.Rebuild].
type RebuildOptions struct {
	Verify   bool           // compare the rebuilt rows with the live ones
	Progress func(Progress) // called now and then, if not nil; it must not block
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
// rows, then the rebuilt ones, and never fail. It works beside running engines and without one, and mends a read
// model that has stopped. One that is cut short leaves the live tables as they are and nothing in the way of the
// next. Errors: [ErrRebuilding], or what kept it from folding.
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
	b, err := e.begin(ctx, m, m.Schema.String(), options.Progress, m.next(), m.replaced())
	if err != nil {
		return done, err
	}
	defer b.close()

	target, err := e.log.Head(ctx)
	if err != nil {
		return done, err
	}
	var live *snapshot
	if options.Verify {
		if live, err = e.snapshot(ctx, m, b.identity); err != nil {
			return done, err
		}
	}
	if live != nil {
		defer live.close()
		target = live.at.position
	}

	steps := []func(context.Context) error{
		func(ctx context.Context) error { return b.foldTo(ctx, target) },
		b.index,
		func(ctx context.Context) (err error) {
			if live != nil {
				b.report("comparing")
				done.Verified = true
				done.Different, done.Differences, err = m.compare(ctx, live.tx, b.conn, m.Schema.String(), b.schema)
				live.close()
			}
			return err
		},
		b.inherit,
		b.catchUp,
		b.serve,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return done, fmt.Errorf("projections: rebuild %s: %w", m.Name, err)
		}
	}

	b.dropReplaced(ctx)
	done.Events, done.Position, done.Parked, done.Took = b.events, b.at.position, len(b.parking.parked), time.Since(began)
	return done, nil
}

// firstFold begins a read model that has no rows yet by a rebuild, if the log is long. It reports whether it did, or
// whether another process does.
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

// long reports whether the log has [Config.FastStart] events.
func (e *Engine) long(ctx context.Context) (bool, error) {
	if counter, ok := e.log.(eventlog.Counter); ok {
		n, err := counter.CountAfter(ctx, 0)
		return n >= e.config.FastStart, err
	}
	n := int64(0)
	for page, err := range eventlog.Pages(ctx, e.log, 0, eventlog.End, e.config.PageSize) {
		if err != nil {
			return false, err
		}
		if n += int64(len(page)); n >= e.config.FastStart {
			return true, nil
		}
	}
	return false, nil
}

// inherit lets the rebuilt tables inherit from what the live ones inherit from, so that queries through that
// find them when they take the place of those: the views for SQL. It is done well before the switch, for a query that
// is planned before it and run after it. It waits for nobody who reads.
func (b *build) inherit(ctx context.Context) error {
	for _, t := range b.model.Tables {
		r := t.relation()
		rows, err := b.conn.Query(ctx, "select inhparent::regclass::text from pg_catalog.pg_inherits where inhrelid = to_regclass($1)", r.in(b.model.Schema.String()))
		if err != nil {
			return err
		}
		parents, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, parent := range parents {
			if _, err := b.conn.Exec(ctx, fmt.Sprintf("alter table %s inherit %s", r.in(b.schema), parent)); err != nil {
				return fmt.Errorf("%s: %w", r.table, err)
			}
		}
	}
	return nil
}

// serve folds the last events while the live runners wait for the checkpoint, and puts the rebuilt tables in the
// place of the live ones. Only names change: queries that run go on reading the tables they have begun with.
func (b *build) serve(ctx context.Context) error {
	b.report("switching")
	m := b.model
	err := pgx.BeginFunc(ctx, b.conn, func(tx pgx.Tx) error {
		if _, err := readCheckpoint(ctx, tx, m.Schema, " for update"); err != nil {
			return err
		}
		if err := b.catchUp(ctx); err != nil {
			return err
		}
		var exists bool
		if err := tx.QueryRow(ctx, "select to_regnamespace($1) is not null", m.Schema.String()).Scan(&exists); err != nil {
			return err
		}
		if exists {
			if _, err := tx.Exec(ctx, fmt.Sprintf("alter schema %s rename to %s", m.Schema, m.replaced())); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("alter schema %s rename to %s", b.schema, m.Schema)); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`update projections.checkpoints set log = $3, position = $4, mark = $5, generation = generation + 1, failed = null, error = null,
			updated_at = now() where name = $1 and version = $2`, m.Name, m.Version, b.identity, int64(b.at.position), b.at.mark.String())
		batch.Queue("delete from projections.parked where name = $1 and version = $2", m.Name, m.Version)
		b.parking.write(batch, m.Schema)
		return sendBatch(ctx, tx, batch)
	})
	b.done = err == nil
	return err
}

// dropReplaced drops the tables that were live. It waits for those who still read them, but not with a lock in its
// hand that others would queue behind; what it cannot drop in time the next rebuild does.
func (b *build) dropReplaced(ctx context.Context) {
	for range 20 {
		if read, _ := dropSchema(ctx, b.conn, b.model.replaced(), 100*time.Millisecond, ""); !read {
			return
		}
		time.Sleep(400 * time.Millisecond)
	}
}

// snapshot is what the live tables held at one moment.
type snapshot struct {
	tx pgx.Tx
	at checkpoint
}

// snapshot takes one; nil if the live tables were folded from another log.
func (e *Engine) snapshot(ctx context.Context, m *ReadModel, identity uuid.UUID) (*snapshot, error) {
	tx, err := e.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	s := &snapshot{tx: tx}
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

// close may be called again.
func (s *snapshot) close() { _ = s.tx.Rollback(context.Background()) }
