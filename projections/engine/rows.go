package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/internal/eventcodec"
)

// Rows are the rows of a read model's tables that a page of events needs, as they are when a fold looks at them. They
// are reached through [Table]'s methods. Not safe for concurrent use.
type Rows struct {
	model   *ReadModel
	stores  []store // in the order of model.Tables
	peeked  bool    // Keys has looked at a row that is not loaded yet
	unknown int     // events skipped because this program does not know them
}

// newRows returns rows that are all still in the database, or, if empty, of tables that have no rows yet.
func newRows(m *ReadModel, empty bool) *Rows {
	r := &Rows{model: m, stores: make([]store, len(m.Tables))}
	for i, t := range m.Tables {
		r.stores[i] = t.newStore(empty)
	}
	return r
}

func (r *Rows) store(t Relation) store {
	for i, other := range r.model.Tables {
		if other == t {
			return r.stores[i]
		}
	}
	panic(fmt.Sprintf("projections: table %q is not among those of %s", t.relation().table, r.model.Name))
}

// foldError reports the event that a fold cannot take.
type foldError struct {
	event *eventcodec.Event
	err   error
}

func (e *foldError) Error() string {
	return fmt.Sprintf("projections: fold %s at position %d: %v", e.event.Type, e.event.Position, e.err)
}
func (e *foldError) Unwrap() error { return e.err }

// keys collects what page needs. An event whose keys cannot be found is remembered in parking; if that is strict it is a
// *foldError.
func (r *Rows) keys(page []*eventcodec.Event, parking *parking) error {
	if r.model.Keys == nil {
		return nil
	}
	r.peeked = false
	for _, f := range page {
		if skipped, waits := parking.holds(f); skipped || waits || parking.bad[f] != nil {
			continue
		}
		switch err := r.guard(f, r.model.Keys); {
		case err == nil, errors.Is(err, domain.ErrUnknownEvent):
		case parking.strict, misfit(err):
			return &foldError{f, err}
		default:
			parking.refuse(f, err)
		}
	}
	return nil
}

// fold folds page into the rows. An event that cannot be folded changes nothing and is parked in parking; if that is
// strict it is a *foldError, and the rows are of no use then.
func (r *Rows) fold(page []*eventcodec.Event, parking *parking) error {
	for _, f := range page {
		skipped, waits := parking.holds(f)
		switch err := parking.bad[f]; {
		case skipped:
			continue
		case waits:
			parking.park(f, nil)
			continue
		case err != nil:
			parking.park(f, err)
			continue
		}
		for _, s := range r.stores {
			s.begin()
		}
		err := r.guard(f, r.model.Fold)
		if errors.Is(err, domain.ErrUnknownEvent) {
			r.unknown++
			continue
		}
		for _, s := range r.stores {
			if err == nil {
				err = s.check()
			}
		}
		if err == nil {
			continue
		}
		for _, s := range r.stores {
			s.undo()
		}
		if parking.strict || misfit(err) {
			return &foldError{f, err}
		}
		parking.park(f, err)
	}
	return nil
}

// prepare asks for the rows that a page needs until all of them are loaded.
func (r *Rows) prepare(page []*eventcodec.Event, parking *parking, load func() error) error {
	for {
		if err := r.keys(page, parking); err != nil {
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

// foldPage folds a page onto the rows of a schema, which it loads.
func (m *ReadModel) foldPage(ctx context.Context, db batcher, schema string, page []*eventcodec.Event, parking *parking) (*Rows, error) {
	rows := newRows(m, false)
	err := rows.prepare(page, parking, func() error { return rows.load(ctx, db, schema) })
	if err == nil {
		err = rows.fold(page, parking)
	}
	return rows, err
}

// guard turns a panic of a fold into an error: one read model's mistake must not take the others down.
func (r *Rows) guard(f *eventcodec.Event, step func(*eventcodec.Event, *Rows) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if !r.model.folds(f.Type) {
		return nil
	}
	if r.model.Events != nil {
		if _, err := f.Payload(); err != nil {
			return err
		}
	}
	return step(f, r)
}

// NewRows returns rows of a read model in memory, with no database behind them: for tests of its fold.
func NewRows(m ReadModel) *Rows { return newRows(&m, true) }

// FoldPage folds a page into rows in memory. The error names the event that cannot be folded; the rows are of no use then.
func (r *Rows) FoldPage(page []*eventcodec.Event) error {
	if err := r.model.validate(); err != nil {
		return err
	}
	none := &parking{strict: true}
	if err := r.keys(page, none); err != nil {
		return err
	}
	return r.fold(page, none)
}

// All returns the rows in memory by table, each table's in the order of its key.
func (r *Rows) All() map[string][]any {
	all := make(map[string][]any)
	for i, t := range r.model.Tables {
		rel := t.relation()
		rows := r.stores[i].rows()
		slices.SortFunc(rows, rel.compareKeys)
		for _, row := range rows {
			all[rel.table] = append(all[rel.table], row.Interface())
		}
	}
	return all
}
