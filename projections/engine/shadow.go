package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
)

// shadow is a read model's tables while they are folded anew. Its rows stay in memory, those not used for longest are
// written out when there are too many; rows that are only added go straight out, by COPY.
type shadow struct {
	engine   *Engine
	model    *ReadModel
	conn     *pgx.Conn // holds the lock of the rebuild
	identity uuid.UUID // of the log
	schema   string
	began    time.Time
	progress func(Progress)
	reported time.Time

	takes func(*eventlog.Event) bool // nil: every event

	rows    *Rows
	keyed   []bool // tables that have their primary key
	at      place
	side    *aside
	target  eventlog.Position
	events  int64
	swapped bool
}

// chunk is a page on its way from the log to the fold.
type chunk struct {
	events int
	last   place
	facts  []*eventcodec.Event
	bad    unreadable
}

// foldTo folds the log up to target into the empty tables. Reading, decoding, folding and writing overlap.
func (s *shadow) foldTo(ctx context.Context, target eventlog.Position) error {
	s.rows, s.keyed, s.target = newRows(s.model, true), make([]bool, len(s.model.Tables)), target
	group, ctx := errgroup.WithContext(ctx)
	read, decoded := make(chan []eventlog.Event, 1), make(chan chunk, 2)
	w := &writer{ctx: ctx, conn: s.conn, jobs: make(chan func(context.Context, *pgx.Conn) error)}
	group.Go(func() error { return s.read(ctx, target, read) })
	group.Go(func() error { return s.decode(ctx, read, decoded) })
	group.Go(w.run)
	group.Go(func() error {
		defer close(w.jobs)
		for c := range decoded {
			if err := s.fold(c, w); err != nil {
				return err
			}
			s.at, s.events = c.last, s.events+int64(c.events)
			s.report("folding")
		}
		for range 2 { // the recent rows become the older ones, which are written out
			for i := range s.rows.stores {
				if err := s.turn(i, w, false); err != nil {
					return err
				}
			}
		}
		return nil
	})
	err := group.Wait()
	s.rows = nil
	return err
}

func (s *shadow) read(ctx context.Context, target eventlog.Position, pages chan<- []eventlog.Event) error {
	defer close(pages)
	for at := eventlog.Position(0); at < target; {
		page, err := s.engine.log.ReadAll(ctx, at, s.engine.config.PageSize)
		if err != nil || len(page) == 0 {
			return err
		}
		if at = page[len(page)-1].Position; at > target {
			page = page[:slices.IndexFunc(page, func(e eventlog.Event) bool { return e.Position > target })]
		}
		select {
		case pages <- page:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *shadow) decode(ctx context.Context, pages <-chan []eventlog.Event, chunks chan<- chunk) error {
	defer close(chunks)
	for page := range pages {
		if len(page) == 0 {
			continue
		}
		c := chunk{events: len(page), last: placeOf(&page[len(page)-1])}
		mine := slices.DeleteFunc(page, func(e eventlog.Event) bool { return !s.model.folds(e.Type) || s.takes != nil && !s.takes(&e) })
		var err error
		if c.facts, err = s.engine.codec.Page(ctx, mine); err != nil {
			if c.facts, c.bad, err = s.engine.read(ctx, s.model, mine, err); err != nil {
				return err
			}
		}
		if s.model.Events != nil {
			for _, f := range c.facts {
				_, _ = f.Payload() // decoded here rather than between two changes of rows; the fold will meet the error
			}
		}
		select {
		case chunks <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *shadow) fold(c chunk, w *writer) error {
	s.side.bad = c.bad
	err := s.rows.prepare(c.facts, s.side, func() error {
		return w.do(func(ctx context.Context, conn *pgx.Conn) error {
			return s.rows.load(ctx, conn, s.schema)
		})
	})
	if err == nil {
		err = s.rows.fold(c.facts, s.side)
	}
	for i := range s.rows.stores {
		if err == nil {
			err = s.turn(i, w, true)
		}
	}
	return err
}

// copySize is the bytes of rows of an append-only table that go out at once: enough to make a COPY's start cost nothing.
const copySize = 4 << 20

// turn writes out the rows of table i that have not been used lately; if asked, only when there are too many.
func (s *shadow) turn(i int, w *writer, ifFull bool) error {
	r, rows := s.model.Tables[i].relation(), s.rows.stores[i]
	limit := s.engine.config.Memory / 2 / len(s.rows.stores) // there are as many again that were used before the last turn
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
	addKey := ifFull && !r.appended && !s.keyed[i] // the rows will be looked for by their key
	s.keyed[i] = s.keyed[i] || addKey
	return w.post(func(ctx context.Context, conn *pgx.Conn) error {
		if addKey {
			if _, err := conn.Exec(ctx, r.createKey(s.schema)); err != nil {
				return err
			}
		}
		return r.writeOut(ctx, conn, s.schema, c)
	})
}

// writeOut writes changes to the tables of a rebuild: what is new by COPY.
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

// writer runs jobs on the connection of the rebuild, one after the other, while the fold goes on.
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

// post hands over a job; its error ends the rebuild.
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

// index makes the keys and the indexes, and tells the planner what is there.
func (s *shadow) index(ctx context.Context) error {
	s.report("indexing")
	if _, err := s.conn.Exec(ctx, "reset synchronous_commit"); err != nil {
		return err
	}
	for i, t := range s.model.Tables {
		r := t.relation()
		var statements []string
		if !s.keyed[i] {
			statements = append(statements, r.createKey(s.schema))
		}
		statements = append(append(statements, r.createIndexes(s.schema)...), "analyze "+r.in(s.schema))
		for _, statement := range statements {
			if _, err := s.conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", r.table, err)
			}
		}
	}
	return nil
}

// inherit lets the rebuilt tables inherit from what the live ones inherit from, so that who reads through that finds them when they
// take the place of those: the views of package bi. It is done well before the switch, for a query that is planned before it and
// run after it. It waits for nobody who reads.
func (s *shadow) inherit(ctx context.Context) error {
	for _, t := range s.model.Tables {
		r := t.relation()
		rows, err := s.conn.Query(ctx, "select inhparent::regclass::text from pg_catalog.pg_inherits where inhrelid = to_regclass($1)", r.in(s.model.Schema.String()))
		if err != nil {
			return err
		}
		parents, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, parent := range parents {
			if _, err := s.conn.Exec(ctx, fmt.Sprintf("alter table %s inherit %s", r.in(s.schema), parent)); err != nil {
				return fmt.Errorf("%s: %w", r.table, err)
			}
		}
	}
	return nil
}

// catchUp folds what the log has got since, page by page as live folding does.
func (s *shadow) catchUp(ctx context.Context) error {
	for {
		page, err := s.engine.log.ReadAll(ctx, s.at.position, s.engine.config.PageSize)
		if err != nil || len(page) == 0 {
			return err
		}
		all, err := s.engine.codec.Page(ctx, page)
		mine, bad := s.model.only(all), unreadable(nil)
		if err != nil {
			if mine, bad, err = s.engine.read(ctx, s.model, page, err); err != nil {
				return err
			}
		}
		s.side.bad = bad
		rows := newRows(s.model, false)
		if err := rows.prepare(mine, s.side, func() error { return rows.load(ctx, s.conn, s.schema) }); err != nil {
			return err
		}
		if err := rows.fold(mine, s.side); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		rows.write(batch, s.schema)
		if err := sendBatch(ctx, s.conn, batch); err != nil {
			return err
		}
		s.at, s.events = placeOf(&page[len(page)-1]), s.events+int64(len(page))
		s.report("catching up")
		if len(page) < s.engine.config.PageSize { // at the head, or so near that the switch can do the rest
			return nil
		}
	}
}

// reportEvery keeps a callback that draws from being called for every page.
const reportEvery = 100 * time.Millisecond

func (s *shadow) report(phase string) {
	if s.progress == nil || phase == "folding" && time.Since(s.reported) < reportEvery {
		return
	}
	s.reported = time.Now()
	p := Progress{Phase: phase, Done: 1, Events: s.events, Took: time.Since(s.began)}
	if phase == "folding" && s.target > 0 {
		p.Done = float64(s.at.position) / float64(s.target)
		p.Left = time.Duration(float64(p.Took) * (1 - p.Done) / max(p.Done, 0.001))
	}
	s.progress(p)
}
