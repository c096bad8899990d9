package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/vault"
)

// runner keeps one read model up to date while it holds its lease. Its feed asks it where to start and brings it page
// after page; nothing in it runs at the same time as anything else in it, except what its fields say.
type runner struct {
	engine   *Engine
	model    *ReadModel
	progress progress
	yields   time.Time    // until then others may take the lease first; of start and handle, which follow each other
	epoch    atomic.Int64 // of the lease; 0: not held
	since    atomic.Int64 // when work on the page at hand began, Unix nanoseconds; 0: there is none

	mu        sync.Mutex // of what follows: the checkpoint is also written by flush
	at        checkpoint // as it is in the database
	seen      point      // the page last looked at: ahead of the checkpoint while nothing in it mattered to the model
	moved     bool       // the checkpoint is not where at says
	parking   *parking
	committed atomic.Uint64 // at.position, for those that do not wait for mu
}

const (
	recheck = time.Second // how often a read model that cannot go on looks whether it can now

	// flushEvery is how long a checkpoint may lag behind while nothing in the log matters to its model: the longest
	// that somebody in another process waits in vain.
	flushEvery = 100 * time.Millisecond
)

// start returns where to go on from. It blocks while another process folds the read model, and while it cannot be
// gone on with.
func (r *runner) start(ctx context.Context) (eventlog.Position, error) {
	for {
		pause := r.engine.config.Lease / 6 // looked for often enough to be taken over soon after it has run out
		held, err := r.take(ctx)
		if err != nil {
			return 0, err
		}
		if held {
			at, err := r.enter(ctx)
			if err == nil && at != nil {
				return at.position, nil
			}
			if err != nil {
				if !misfit(err) {
					return 0, err
				}
				if err := r.stop(ctx, err); err != nil {
					return 0, err
				}
				pause = recheck
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return 0, err
		}
	}
}

// misfit reports whether a read model cannot go on because log, vault and checkpoint do not belong together.
func misfit(err error) bool { return errors.Is(err, ErrForeign) || errors.Is(err, vault.ErrNoKey) }

// enter makes at the place to go on from. It returns nil if it does not exist yet.
func (r *runner) enter(ctx context.Context) (*checkpoint, error) {
	e := r.engine
	at, err := readCheckpoint(ctx, e.pool, r.model.Schema, "")
	if err != nil {
		return nil, err
	}
	identity, err := e.log.Identity(ctx)
	if err != nil {
		return nil, err
	}
	if at.log != identity { // the log has moved house; what was folded from the old one serves until this one's is there
		e.config.Logger.Warn("read model is rebuilt: it was folded from another log", "model", r.model.Name, "was", at.log, "is", identity)
		_, err := e.rebuild(ctx, r.model, RebuildOptions{})
		if errors.Is(err, ErrRebuilding) {
			err = nil
		}
		return nil, err
	}
	if err := e.fits(ctx, r.model.Schema, at); err != nil {
		return nil, err
	}
	if at.position == 0 && at.failed == 0 {
		if began, err := e.firstFold(ctx, r.model); began || err != nil {
			return nil, err
		}
	}
	if at.err != "" { // nobody knows whether it can go on, unless there is nothing to go on to
		if err := r.settle(ctx, at); err != nil {
			return nil, err
		}
	}
	parking, err := readParkedStreams(ctx, e.pool, r.model.Schema)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.seen, r.moved, r.parking = at, point{position: at.position}, false, parking
	r.committed.Store(uint64(at.position))
	r.progress.stand(at.position)
	return &at, nil
}

// settle takes an error off the record that no event stands behind any more.
func (r *runner) settle(ctx context.Context, at checkpoint) error {
	head, err := r.engine.log.Head(ctx)
	if err != nil || head > at.position {
		return err
	}
	_, err = r.engine.pool.Exec(ctx, "update projections.checkpoints set failed = null, error = null where name = $1 and version = $2 and epoch = $3",
		r.model.Name, r.model.Version, r.epoch.Load())
	if err == nil {
		r.progress.fail(nil)
	}
	return err
}

// stop puts on record why the read model cannot go on.
func (r *runner) stop(ctx context.Context, reason error) error {
	if was := r.progress.fail(reason); was == nil || was.Error() != reason.Error() {
		r.engine.metrics.failures.WithLabelValues(r.model.Name).Inc()
		r.engine.config.Logger.Error("read model has stopped", "model", r.model.Name, "error", reason.Error())
	}
	_, err := r.engine.pool.Exec(ctx, "update projections.checkpoints set failed = position, error = $4 where name = $1 and version = $2 and epoch = $3",
		r.model.Name, r.model.Version, r.epoch.Load(), reason.Error())
	return err
}

// handle folds the page that a message stands for. It is a [message.NoPublishHandlerFunc].
func (r *runner) handle(msg *message.Message) error {
	ctx, cancel := context.WithTimeout(msg.Context(), r.engine.config.Attempt)
	defer cancel()
	page, err := r.engine.feed.Open(msg)
	if err != nil {
		return err
	}
	began := time.Now()
	r.since.Store(began.UnixNano())
	defer r.since.Store(0)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch.Load() == 0 || r.moved || r.seen.position != page.After {
		err = errMoved
	} else {
		err = r.takePage(ctx, page)
	}
	switch {
	case err == nil:
		r.engine.metrics.folded(r.model.Name, len(page.Events), time.Since(began))
	case errors.Is(err, errMoved):
		msg.Nack() // the feed asks again where to start
	case misfit(err):
		if err := r.stop(ctx, err); err != nil {
			return err
		}
		_ = sleep(ctx, recheck)
		msg.Nack()
	case ctx.Err() != nil && msg.Context().Err() == nil:
		r.engine.warn(err)
		r.yield() // somebody else may do better
		msg.Nack()
	default:
		return err
	}
	return nil
}

// sleep waits for a time, or until ctx ends: then the error is why.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stuck reports whether the page at hand takes longer than any attempt may.
func (r *runner) stuck() bool {
	since := r.since.Load()
	return since != 0 && time.Since(time.Unix(0, since)) > r.engine.config.Attempt+recheck
}

// takePage folds a page, or only remembers it, if nothing in it matters to the model.
func (r *runner) takePage(ctx context.Context, page *eventlog.Page) error {
	last := pointOf(&page.Events[len(page.Events)-1])
	mine, unreadable, err := r.decode(ctx, page)
	if err != nil {
		return err
	}
	if len(mine) == 0 {
		r.seen = last
		r.progress.reach(last.position)
		return nil
	}
	return r.apply(ctx, mine, unreadable, last)
}

// decode returns the events of a page that matter to the model, and what keeps some of them from being read.
func (r *runner) decode(ctx context.Context, page *eventlog.Page) ([]*eventcodec.Event, unreadable, error) {
	all, err := eventlog.Derive(page, func(events []eventlog.Event) ([]*eventcodec.Event, error) { return r.engine.codec.Page(ctx, events) })
	if err == nil {
		return r.model.only(all), nil, nil
	}
	return r.engine.decodeEach(ctx, r.model, page.Events, err)
}

// decodeEach decodes those events that matter to a model, one by one, after decoding them all at once has failed with
// err. Those that cannot be decoded are returned all the same, and are unreadable.
func (e *Engine) decodeEach(ctx context.Context, m *ReadModel, events []eventlog.Event, err error) (mine []*eventcodec.Event, bad unreadable, _ error) {
	hopeless := func(err error) bool { return ctx.Err() != nil || errors.Is(err, vault.ErrUnavailable) || misfit(err) }
	if hopeless(err) {
		return nil, nil, err
	}
	bad = make(unreadable)
	for _, event := range events {
		if !m.folds(event.Type) {
			continue
		}
		one, err := e.codec.Page(ctx, []eventlog.Event{event})
		switch {
		case err == nil:
			mine = append(mine, one...)
		case hopeless(err):
			return nil, nil, err
		default:
			f := &eventcodec.Event{Event: event}
			mine, bad[f] = append(mine, f), err
		}
	}
	return mine, bad, nil
}

// apply folds events, which are all that matters to the model behind its checkpoint and up to a place, and commits.
func (r *runner) apply(ctx context.Context, page []*eventcodec.Event, bad unreadable, last point) error {
	parking := r.parking.begin(bad)
	rows, err := r.fold(ctx, page, parking)
	if err != nil {
		return err
	}
	err = r.commit(ctx, rows, parking, last)
	switch {
	case !refused(err):
		return err
	case len(page) == 1:
		parking := r.parking.begin(unreadable{page[0]: err})
		if rows, err = r.fold(ctx, page, parking); err != nil {
			return err
		}
		return r.commit(ctx, rows, parking, last)
	}
	for i, f := range page { // which of them is it?
		if err := r.apply(ctx, page[i:i+1], bad, pointOf(&f.Event)); err != nil {
			return err
		}
	}
	return r.commit(ctx, newRows(r.model, false), r.parking.begin(nil), last)
}

// fold loads the rows that a page needs and folds it.
func (r *runner) fold(ctx context.Context, page []*eventcodec.Event, parking *parking) (*Rows, error) {
	rows, err := r.model.foldPage(ctx, r.engine.pool, r.model.Schema.String(), page, parking)
	if err == nil && rows.unknown > 0 {
		r.engine.metrics.unknown.WithLabelValues(r.model.Name).Add(float64(rows.unknown))
	}
	return rows, err
}

// commit writes what changed and what was parked, and moves the checkpoint, in one transaction.
func (r *runner) commit(ctx context.Context, rows *Rows, parking *parking, to point) error {
	batch := &pgx.Batch{}
	r.at.move(batch, r.model.Schema, r.epoch.Load(), to)
	rows.write(batch, r.model.Schema.String())
	parking.write(batch, r.model.Schema)
	if err := sendBatch(ctx, r.engine.pool, batch); err != nil {
		return err
	}
	r.at.position, r.at.mark, r.seen = to.position, to.mark.String(), to
	r.committed.Store(uint64(to.position))
	for _, p := range parking.parked {
		if p.err != nil {
			r.engine.metrics.failures.WithLabelValues(r.model.Name).Inc()
			// Why is in the database, where an erasure finds it: it may quote the event, and what is logged is out of
			// reach.
			r.engine.config.Logger.Error("parked an event that cannot be folded, and what follows in its stream: annal parked show says why",
				"model", r.model.Name, "position", p.event.Position, "type", p.event.Type)
		}
	}
	r.parking = parking
	r.progress.reach(to.position)
	return nil
}

// flush writes the checkpoint of a runner that has looked at pages in which nothing mattered to its model. It reports
// whether the checkpoint turns out to have been moved.
func (r *runner) flush(ctx context.Context) (moved bool) {
	if !r.mu.TryLock() {
		return false // it is at work, and may commit itself
	}
	defer r.mu.Unlock()
	if r.epoch.Load() == 0 || r.moved || r.seen.position <= r.at.position {
		return false
	}
	err := r.commit(ctx, newRows(r.model, false), r.parking.begin(nil), r.seen)
	r.moved = errors.Is(err, errMoved) // other errors: the next flush tries again
	return r.moved
}
