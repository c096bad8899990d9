package engine

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
)

// ErrNotParked reports that a read model has no event parked at a position, or that it only waits behind another one.
var ErrNotParked = domain.Refuse(domain.CodeNotFound, "nothing is parked there")

// Parked is an event that a read model could not fold.
type Parked struct {
	Model         string
	Version       int // of the read model
	Position      eventlog.Position
	Stream        eventlog.Stream
	StreamVersion eventlog.Version
	Event         uuid.UUID
	Type          string
	Error         string // why; it may quote the event
	At            time.Time
	Waiting       int // later events of the same stream, parked behind it
}

// ParkedFilter chooses among what is parked. Its zero value takes all.
type ParkedFilter struct {
	Model        string
	Organization uuid.UUID
	Position     eventlog.Position
	After        Cursor // those behind it alone
	Limit        int    // 100
}

// Cursor is a place in the list of what is parked.
type Cursor struct {
	Model    string
	Position eventlog.Position
}

// Parked lists events that could not be folded, of the read models in the versions that this engine has, by model and
// position. Those that wait behind them are counted, not listed.
func (e *Engine) Parked(ctx context.Context, filter ParkedFilter) ([]Parked, error) {
	var names []string
	var versions []int32
	for _, r := range e.runners {
		if filter.Model == "" || filter.Model == r.model.Name {
			names, versions = append(names, r.model.Name), append(versions, int32(r.model.Version))
		}
	}
	rows, err := e.pool.Query(ctx, `select name, version, position, organization, category, stream, stream_version, event, type, error, parked_at,
			(select count(*) from projections.parked w where (w.name, w.version, w.organization, w.category, w.stream) = (p.name, p.version, p.organization, p.category, p.stream)) - 1
		from projections.parked p
		where (name, version) in (select * from unnest($1::text[], $2::int[])) and error is not null
			and ($3 = '00000000-0000-0000-0000-000000000000'::uuid or organization = $3) and ($4 = 0 or position = $4) and (name, position) > ($5, $6::bigint)
		order by name, position limit $7`,
		names, versions, filter.Organization, int64(filter.Position), filter.After.Model, int64(filter.After.Position), cmp.Or(filter.Limit, 100))
	if err != nil {
		return nil, fmt.Errorf("projections: read what is parked: %w", err)
	}
	parked, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Parked, err error) {
		return p, row.Scan(&p.Model, &p.Version, &p.Position, &p.Stream.Organization, &p.Stream.Category, &p.Stream.ID, &p.StreamVersion,
			&p.Event, &p.Type, &p.Error, &p.At, &p.Waiting)
	})
	if err != nil {
		return nil, fmt.Errorf("projections: read what is parked: %w", err)
	}
	return parked, nil
}

// Retried says what a retry has done.
type Retried struct {
	Folded int    // events that are no longer parked
	Left   int    // events of the stream that still are
	Error  string // why it has stopped again; "" if nothing is left
}

// RetryParked folds the events of a stream that are parked in a read model, in their order, up to the first that still
// cannot be: after the fold was mended, say. The position is that of the first of them. Nothing is written between its
// look at the rows and what it makes of them; the read model's runner waits meanwhile. What the fold takes from rows of
// other streams is what stands there now: where that matters, [Engine.Rebuild] gives what the log says. The error is
// [ErrNotParked] if there is nothing to retry.
func (e *Engine) RetryParked(ctx context.Context, model string, position eventlog.Position) (Retried, error) {
	return e.retry(ctx, model, position, false)
}

// SkipParked leaves an event out of a read model for good, of this and all versions and rebuilds, and then does as
// [Engine.RetryParked]. Record in the log first who does so, and why.
func (e *Engine) SkipParked(ctx context.Context, model string, position eventlog.Position) (Retried, error) {
	return e.retry(ctx, model, position, true)
}

func (e *Engine) retry(ctx context.Context, model string, position eventlog.Position, skip bool) (done Retried, err error) {
	r, err := e.runner(model)
	if err != nil {
		return done, err
	}
	found, err := e.Parked(ctx, ParkedFilter{Model: model, Position: position})
	if err != nil {
		return done, err
	}
	if len(found) == 0 {
		return done, fmt.Errorf("%w: position %d of %s", ErrNotParked, position, model)
	}
	first := found[0]
	for more := true; more && err == nil; skip = false {
		more, err = e.retrySome(ctx, r.model, first, skip, &done)
	}
	if err != nil {
		return Retried{}, fmt.Errorf("projections: retry %s at position %d: %w", model, position, err)
	}
	return done, nil
}

// atOnce bounds the events of one transaction, in which the runner waits: a few seconds.
const atOnce = 500

// retrySome does so for some of the events. It reports whether there are more.
func (e *Engine) retrySome(ctx context.Context, m *ReadModel, first Parked, skip bool, done *Retried) (more bool, err error) {
	s := m.Schema
	err = pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		if _, err := readCheckpoint(ctx, tx, s, " for update"); err != nil {
			return err
		}
		// The runner has an old list of what is parked in its hand, and rows that are about to change.
		if _, err := tx.Exec(ctx, "update projections.checkpoints set generation = generation + 1 where name = $1 and version = $2", s.Name, s.Version); err != nil {
			return err
		}
		if skip {
			if _, err := tx.Exec(ctx, "insert into projections.skipped (name, event) values ($1, $2) on conflict do nothing", s.Name, first.Event); err != nil {
				return err
			}
			if err := unpark(ctx, tx, s, first.Position); err != nil {
				return err
			}
			done.Folded++
		}
		more, err = e.foldParked(ctx, tx, m, first.Stream, done)
		return err
	})
	return more, err
}

func unpark(ctx context.Context, tx pgx.Tx, s Schema, position eventlog.Position) error {
	_, err := tx.Exec(ctx, "delete from projections.parked where name = $1 and version = $2 and position = $3", s.Name, s.Version, int64(position))
	return err
}

// foldParked folds what is parked of a stream, one event after the other. It reports whether there are more to be
// tried.
func (e *Engine) foldParked(ctx context.Context, tx pgx.Tx, m *ReadModel, of eventlog.Stream, done *Retried) (more bool, err error) {
	rows, err := tx.Query(ctx, `select stream_version from projections.parked where name = $1 and version = $2 and organization = $3 and category = $4 and stream = $5
		order by position`, m.Name, m.Version, of.Organization, of.Category, of.ID)
	if err != nil {
		return false, err
	}
	versions, err := pgx.CollectRows(rows, pgx.RowTo[eventlog.Version])
	if err != nil || len(versions) == 0 {
		return false, err
	}
	skipped, err := readSkipped(ctx, tx, m.Name) // perhaps in another version of the read model
	if err != nil {
		return false, err
	}
	i := 0
	for event, err := range e.log.ReadStream(ctx, of, versions[0]-1) {
		if err != nil {
			return false, err
		}
		if i == min(len(versions), atOnce) {
			break
		}
		if event.Version != versions[i] {
			continue // it does not matter to this model
		}
		failed, err := e.foldOne(ctx, tx, m, event, skipped)
		if err != nil {
			return false, err
		}
		if failed != nil {
			done.Error = failed.Error()
			_, err := tx.Exec(ctx, "update projections.parked set error = $4 where name = $1 and version = $2 and position = $3", m.Name, m.Version, int64(event.Position), done.Error)
			if err != nil {
				return false, err
			}
			break
		}
		if err := unpark(ctx, tx, m.Schema, event.Position); err != nil {
			return false, err
		}
		done.Folded++
		i++
	}
	done.Left = len(versions) - i
	if more = i == atOnce && done.Left > 0; more { // should nobody get to it, it is found by this
		_, err = tx.Exec(ctx, `update projections.parked set error = 'waits to be tried again' where name = $1 and version = $2
			and organization = $3 and category = $4 and stream = $5 and stream_version = $6`, m.Name, m.Version, of.Organization, of.Category, of.ID, versions[i])
	}
	return more, err
}

// foldOne folds one event; failed says why it cannot be.
func (e *Engine) foldOne(ctx context.Context, tx pgx.Tx, m *ReadModel, event eventlog.Event, skipped map[uuid.UUID]struct{}) (failed, err error) {
	if _, ok := skipped[event.ID]; ok {
		return nil, nil
	}
	page, err := e.codec.Page(ctx, []eventlog.Event{event})
	if err != nil {
		var bad unreadable
		if page, bad, err = e.decodeEach(ctx, m, []eventlog.Event{event}, err); err != nil {
			return nil, err
		}
		for _, failed := range bad {
			return failed, nil
		}
	}
	parking := &parking{}
	rows, err := m.foldPage(ctx, tx, m.Schema.String(), page, parking)
	if err != nil {
		return nil, err
	}
	if len(parking.parked) > 0 {
		return parking.parked[0].err, nil
	}
	batch := &pgx.Batch{}
	rows.write(batch, m.Schema.String())
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return sendBatch(ctx, tx, batch) }) // a savepoint
	if refused(err) {
		return err, nil
	}
	return nil, err
}
