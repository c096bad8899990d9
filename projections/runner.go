package projections

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/facts"
	"github.com/annal-crm/annal/internal/vault"
)

// runner keeps one read model up to date. Its feed asks it where to start and brings it page after page; nothing in it runs
// at the same time as anything else in it, except progress.
type runner struct {
	engine   *Engine
	model    *ReadModel
	at       checkpoint
	stopped  *checkpoint // where it gave up; it goes on when the checkpoint is another one
	progress progress
}

// errStopped reports an event that cannot be folded. It is on record, in the checkpoint.
var errStopped = errors.New("projections: stopped at an event that cannot be folded")

// recheck is how often a stopped read model looks whether somebody has mended it.
const recheck = time.Second

// start returns where to go on from. It blocks while the read model is stopped.
func (r *runner) start(ctx context.Context) (eventlog.Position, error) {
	for {
		at, err := readCheckpoint(ctx, r.engine.pool, r.model.Schema, "")
		if err != nil {
			return 0, err
		}
		if r.stopped == nil || at != *r.stopped {
			ready, err := r.enter(ctx, at)
			if ready || err != nil {
				return at.position, err
			}
		}
		select {
		case <-time.After(recheck):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// enter makes at the place to go on from. It is not ready if at cannot be gone on from, or not yet.
func (r *runner) enter(ctx context.Context, at checkpoint) (ready bool, err error) {
	head, err := r.engine.log.Head(ctx)
	if err != nil {
		return false, err
	}
	identity, err := r.engine.log.Identity(ctx)
	if err != nil {
		return false, err
	}
	if err := at.fits(r.model.Schema, identity, head); err != nil {
		r.stop(at, err, slog.String("error", err.Error()))
		return false, nil
	}
	if at.position == 0 && at.failed == 0 {
		began, err := r.engine.firstFold(ctx, r.model)
		if began || err != nil {
			return false, err
		}
	}
	r.at, r.stopped = at, nil
	r.progress.reach(at.position)
	return true, nil
}

func (r *runner) stop(at checkpoint, err error, attributes ...any) {
	r.stopped = &at
	r.progress.fail(err)
	r.engine.metrics.failures.WithLabelValues(r.model.Name).Inc()
	r.engine.config.Logger.Error("read model stopped", append([]any{"model", r.model.Name}, attributes...)...)
}

// handle folds the page that a message stands for. It is a [message.NoPublishHandlerFunc].
func (r *runner) handle(msg *message.Message) error {
	ctx := msg.Context()
	page, err := r.engine.feed.Open(msg)
	if err != nil {
		return err
	}
	began := time.Now()
	if r.at.position != page.After {
		err = errMoved
	} else if mine, decode := r.decode(ctx, page); decode == nil {
		err = r.apply(ctx, mine, page.Last)
	} else if bad, ok := errors.AsType[*foldError](decode); ok {
		err = r.giveUp(ctx, mine, bad)
	} else {
		err = decode
	}
	switch {
	case errors.Is(err, errMoved), errors.Is(err, errStopped):
		msg.Nack() // the feed asks again where to start
	case err == nil:
		r.engine.metrics.folded(r.model.Name, len(page.Events), time.Since(began))
	default:
		return err
	}
	return nil
}

// decode returns the facts of a page that matter to the model. If there is one that cannot be made, it returns those before it
// and a *foldError.
func (r *runner) decode(ctx context.Context, page *eventlog.Page) ([]*facts.Fact, error) {
	all, err := eventlog.Derive(page, func(events []eventlog.Event) ([]*facts.Fact, error) { return r.engine.book.Page(ctx, events) })
	if err == nil || ctx.Err() != nil || errors.Is(err, vault.ErrUnavailable) {
		return r.model.only(all), err
	}
	var mine []*facts.Fact
	for _, e := range page.Events {
		if !r.model.folds(e.Type) {
			continue
		}
		one, err := r.engine.book.Page(ctx, []eventlog.Event{e})
		if ctx.Err() != nil || errors.Is(err, vault.ErrUnavailable) {
			return nil, err
		}
		if err != nil {
			return mine, &foldError{len(mine), &facts.Fact{Event: e}, err}
		}
		mine = append(mine, one...)
	}
	return mine, nil
}

// apply folds facts, which are all that matters to the model behind its checkpoint and up to last, and commits.
func (r *runner) apply(ctx context.Context, page []*facts.Fact, last eventlog.Position) error {
	rows, err := r.fold(ctx, page)
	if bad, ok := errors.AsType[*foldError](err); ok {
		return r.giveUp(ctx, page, bad)
	}
	if err != nil {
		return err
	}
	err = r.commit(ctx, rows, last, nil)
	switch {
	case !refused(err) || len(page) == 0:
		return err
	case len(page) == 1:
		return r.giveUp(ctx, page, &foldError{0, page[0], err})
	}
	for i, f := range page { // which of them is it?
		if err := r.apply(ctx, page[i:i+1], f.Position); err != nil {
			return err
		}
	}
	return r.apply(ctx, nil, last)
}

// giveUp commits what comes before an event that cannot be folded, and puts the event on record.
func (r *runner) giveUp(ctx context.Context, page []*facts.Fact, bad *foldError) error {
	before, last := page[:bad.index], r.at.position
	if bad.index > 0 {
		last = before[bad.index-1].Position
	}
	rows, err := r.fold(ctx, before)
	if err != nil {
		return err
	}
	if err := r.commit(ctx, rows, last, bad); err != nil {
		return err
	}
	at, err := readCheckpoint(ctx, r.engine.pool, r.model.Schema, "")
	if err != nil {
		at = r.at // then it is tried once more
	}
	r.stop(at, bad, "position", bad.fact.Position, "type", bad.fact.Type, "error", bad.err.Error())
	return errStopped
}

// fold loads the rows that a page needs and folds it.
func (r *runner) fold(ctx context.Context, page []*facts.Fact) (*Rows, error) {
	rows := newRows(r.model, false)
	err := rows.prepare(page, func() error { return rows.load(ctx, r.engine.pool, r.model.Schema.String()) })
	if err == nil {
		err = rows.fold(page)
	}
	if err == nil && rows.unknown > 0 {
		r.engine.metrics.unknown.WithLabelValues(r.model.Name).Add(float64(rows.unknown))
	}
	return rows, err
}

// commit writes what changed and moves the checkpoint, in one transaction.
func (r *runner) commit(ctx context.Context, rows *Rows, to eventlog.Position, failed *foldError) error {
	batch := &pgx.Batch{}
	r.at.advance(batch, r.model.Schema, to, failed)
	rows.write(batch, r.model.Schema.String())
	if err := sendBatch(ctx, r.engine.pool, batch); err != nil {
		return err
	}
	r.at.position = to
	r.progress.reach(to)
	return nil
}

// prepare asks for the rows that a page needs until all of them are loaded.
func (r *Rows) prepare(page []*facts.Fact, load func() error) error {
	for {
		if err := r.keys(page); err != nil {
			return err
		}
		if err := load(); err != nil {
			return err
		}
		if !r.peeked {
			return nil
		}
	}
}

// byIndex keeps Postgres, for a batch, from a plan made when the table was small that reads all of one which has grown since.
const byIndex = "select set_config('enable_seqscan', 'off', true)"

// load reads the rows that were asked for, in one query per table and one round trip.
func (r *Rows) load(ctx context.Context, db interface {
	SendBatch(context.Context, *pgx.Batch) pgx.BatchResults
}, schema string) error {
	batch := &pgx.Batch{}
	batch.Queue(byIndex)
	for i, t := range r.model.Tables {
		if asked := r.stores[i].asked(); len(asked) > 0 {
			rel := t.relation()
			batch.Queue(rel.load(schema), arrays(rel.keys, asked)...).Query(r.stores[i].load)
		}
	}
	if batch.Len() == 1 {
		return nil
	}
	return db.SendBatch(ctx, batch).Close()
}

// write queues a statement per table and kind of change.
func (r *Rows) write(batch *pgx.Batch, schema string) {
	for i, t := range r.model.Tables {
		t.relation().write(batch, schema, r.stores[i].changes())
	}
}

func (r *relation) write(batch *pgx.Batch, schema string, c changes) {
	if len(c.deleted) > 0 {
		batch.Queue(r.delete(schema), arrays(r.keys, c.deleted)...)
	}
	if r.appended && len(c.added) > 0 {
		batch.Queue(r.insert(schema), arrays(r.columns, c.added)...)
	} else if puts := append(c.added, c.replaced...); len(puts) > 0 {
		batch.Queue(r.put(schema), arrays(r.columns, puts)...)
	}
}
