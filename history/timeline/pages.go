package timeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
)

// ErrIndex reports that the log does not hold an event as the read model of activity says it does.
var ErrIndex = domain.Refuse(domain.CodeUnavailable, "the log does not hold an event as the read model of activity says: an administrator has to verify the log (annal audit verify) and rebuild activity (annal reproject activity)")

// Pages reads lives page by page: a customer's from its stream, an account's by the read model of activity. That serves as an
// index only: it says at which positions something happened, the events themselves are read from the log, and one that is not
// as the index has it is [ErrIndex]. What the index has not come to yet is looked for in the log.
type Pages struct {
	Log    eventlog.Log
	Codec  *eventcodec.Codec
	DB     engine.DB
	Engine *engine.Engine
}

// Page is a part of a life.
type Page struct {
	engine.Page[activity.Activity]
	End string // cursor of the last event looked at; the next page goes on behind it, even if this one is empty
}

// Bounds of a page.
const (
	ahead    = 500                    // events opened at once where only that reports whether they pass
	budget   = 20_000                 // events looked at for one page; it may be short then
	patience = 200 * time.Millisecond // for the index to come to the head of the log, which it is behind by some 20 ms
	near     = 16                     // positions between two events that are read in one go
	readers  = 4                      // of the log, for one page
)

// Of returns up to first events of the life of an account or a customer after a cursor of [activity.Cursor], oldest first, as
// far as the viewer may see them as activity. Viewers who may not see personal data filter by none: [where.ErrHidden].
func (p Pages) Of(ctx context.Context, v engine.Viewer, s activity.Sight, who activity.Filter, f Filter, first int, after string) (page Page, err error) {
	if f.Personal() && !v.Personal {
		return page, where.ErrHidden
	}
	head, err := p.Log.Head(ctx)
	if err != nil {
		return page, err
	}
	who.Types, who.From, who.To = f.Types, f.From, f.To
	w := walk{p, v, s, who, f, first, Page{End: after}, 0, false}
	w.page.HasPrevious = after != ""
	if who.Customer != uuid.Nil && v.Scope == organization.All {
		return w.page, w.stream(ctx, head)
	}
	full, err := w.index(ctx, "")
	if err != nil || full {
		return w.page, err
	}
	// The index says there is no more. It has the last word only if it has come to the head of the log.
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = p.Engine.Wait(limited, head, activity.Model.Name)
	if err == nil {
		_, err = w.index(ctx, "")
		return w.page, err
	}
	if ctx.Err() != nil || !errors.Is(err, engine.ErrBehind) && !errors.Is(err, context.DeadlineExceeded) {
		return w.page, err
	}
	if v.Scope != organization.All { // what of the tail it may see, only the read model can tell
		return w.page, nil
	}
	folded, err := p.folded(ctx)
	if err != nil {
		return w.page, err
	}
	if full, err = w.index(ctx, activity.Cursor(folded+1)); err != nil || full {
		return w.page, err
	}
	return w.page, w.tail(ctx, folded, head)
}

// folded is how far the index is.
func (p Pages) folded(ctx context.Context) (eventlog.Position, error) {
	statuses, err := p.Engine.Statuses(ctx)
	for _, s := range statuses {
		if s.Name == activity.Model.Name {
			return s.Position, err
		}
	}
	return 0, err
}

// walk is a page in the making.
type walk struct {
	Pages
	viewer engine.Viewer
	sight  activity.Sight
	who    activity.Filter
	filter Filter
	first  int
	page   Page
	looked int
	member bool // the account is one of the viewer's organization; asked for the tail only
}

// stream reads the life of a customer, which is one stream, for a viewer who may see all of it. Nothing that is missing in the
// index is missing here: that tells only where in the stream to begin, and what it tells is looked at.
func (w *walk) stream(ctx context.Context, head eventlog.Position) error {
	of := eventlog.Stream{Organization: w.viewer.Organization, Category: customer.Category, ID: w.who.Customer}
	var at eventlog.Position
	var from eventlog.Version
	if w.page.End != "" {
		var err error
		if at, err = activity.ParseCursor(w.page.End); err != nil {
			return err
		}
		near, err := activity.Index(ctx, w.DB, w.viewer, w.sight, activity.Filter{Customer: of.ID}, engine.PageRequest{Last: 1, Before: activity.Cursor(at + 1)})
		if err != nil {
			return err
		}
		for _, row := range near.Rows {
			for e, err := range w.Log.ReadStream(ctx, of, row.Version-1) {
				if err != nil {
					return err
				}
				if e.Position <= at {
					from = e.Version
				}
				break
			}
		}
	}
	var some []eventlog.Event
	for e, err := range w.Log.ReadStream(ctx, of, from) {
		if err != nil {
			return err
		}
		if e.Position <= at {
			continue
		}
		if e.Position > head {
			break
		}
		if some = append(some, e); len(some) > w.first && (!w.filter.Opened() || len(some) > ahead) {
			if full, err := w.add(ctx, some, true); err != nil || full {
				return err
			}
			some = some[:0]
		}
	}
	_, err := w.add(ctx, some, false)
	return err
}

// index goes on along the index, up to a cursor. full: there is no need to look further.
func (w *walk) index(ctx context.Context, before string) (full bool, err error) {
	for {
		size := w.first - len(w.page.Rows)
		if w.filter.Opened() {
			size = ahead
		}
		if size == 0 {
			size = 1 // is there another?
		}
		found, err := activity.Index(ctx, w.DB, w.viewer, w.sight, w.who, engine.PageRequest{First: size, After: w.page.End, Before: before})
		if err != nil {
			return false, err
		}
		events, err := w.events(ctx, found.Rows)
		if err != nil {
			return false, err
		}
		if full, err = w.add(ctx, events, found.HasNext); err != nil || full || !found.HasNext {
			return full, err
		}
	}
}

// add takes those of events that pass, until the page is full. more: there are others behind them.
func (w *walk) add(ctx context.Context, events []eventlog.Event, more bool) (full bool, err error) {
	opened, err := activity.Open(ctx, w.Codec, w.viewer, events)
	if err != nil {
		return false, err
	}
	for i, a := range opened {
		passes := w.filter.Takes(a.Type, a.OccurredAt, a.Meta)
		if passes && len(w.page.Rows) == w.first {
			w.page.HasNext = true
			return true, nil
		}
		if w.page.End = activity.Cursor(a.Position); passes {
			w.page.Rows, w.page.Cursors = append(w.page.Rows, a), append(w.page.Cursors, w.page.End)
		}
		if w.looked++; w.looked >= budget && (more || i < len(opened)-1) {
			w.page.HasNext = true
			return true, nil
		}
	}
	if more && len(w.page.Rows) == w.first && !w.filter.Opened() {
		w.page.HasNext = true
		return true, nil
	}
	return false, nil
}

// tail goes on in the log itself, from where the index ends to the head.
func (w *walk) tail(ctx context.Context, from, head eventlog.Position) error {
	if w.page.End != "" {
		at, err := activity.ParseCursor(w.page.End)
		if err != nil {
			return err
		}
		from = max(from, at)
	}
	for _, err := range w.Log.ReadStream(ctx, eventlog.Stream{Organization: w.viewer.Organization, Category: account.Category, ID: w.who.Account}, 0) {
		if err != nil {
			return err
		}
		w.member = true
		break
	}
	for events, err := range eventlog.Pages(ctx, w.Log, from, head, eventlog.PageSize) {
		if err != nil {
			return err
		}
		from = events[len(events)-1].Position
		mine := events[:0]
		for _, e := range events {
			if is, err := w.about(&e); err != nil {
				return err
			} else if is {
				mine = append(mine, e)
			}
		}
		if full, err := w.add(ctx, mine, from < head); err != nil || full {
			return err
		}
		if w.looked += len(events) - len(mine); w.looked >= budget && from < head {
			w.page.HasNext, w.page.End = true, activity.Cursor(from)
			return nil
		}
	}
	return nil
}

// about reports whether an event belongs to the life, as [activity.Filter] does of a row.
func (w *walk) about(e *eventlog.Event) (bool, error) {
	actor, err := (&eventcodec.Event{Event: *e}).Actor()
	if err != nil {
		return false, err
	}
	if e.Stream.Organization != w.viewer.Organization && !(w.member && e.Stream.Category == reservation.Category) { // names are reserved outside of organizations
		return false, nil
	}
	if w.who.Customer != uuid.Nil {
		return w.who.Customer == e.Stream.ID && e.Stream.Category == customer.Category, nil
	}
	return w.who.Account == e.Stream.ID || w.who.Account == actor, nil
}

// events reads from the log what the index has at these places, and holds the one against the other.
func (p Pages) events(ctx context.Context, rows []activity.Event) ([]eventlog.Event, error) {
	events := make([]eventlog.Event, len(rows))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	_, gapless := p.Log.(eventlog.Counter)
	for from := 0; from < len(rows); {
		to := from + 1
		for gapless && to < len(rows) && rows[to].Position-rows[to-1].Position <= near {
			to++
		}
		some, into := rows[from:to], events[from:to]
		group.Go(func() error { return p.run(ctx, gapless, some, into) })
		from = to
	}
	return events, group.Wait()
}

// run reads the events of rows that stand near each other: at their positions, or, where positions cannot be counted, one in its stream.
func (p Pages) run(ctx context.Context, gapless bool, rows []activity.Event, into []eventlog.Event) error {
	var read []eventlog.Event
	if first, last := rows[0].Position, rows[len(rows)-1].Position; gapless {
		for events, err := range eventlog.Pages(ctx, p.Log, first-1, last, int(last-first)+1) {
			if err != nil {
				return err
			}
			read = append(read, events...)
		}
	} else {
		for e, err := range p.Log.ReadStream(ctx, rows[0].Stored().Stream, rows[0].Version-1) {
			if err != nil {
				return err
			}
			read = append(read, e)
			break
		}
	}
	for i, row := range rows {
		for len(read) > 0 && read[0].Position < row.Position {
			read = read[1:]
		}
		if len(read) == 0 || !row.Is(&read[0]) {
			return fmt.Errorf("%w: at position %s", ErrIndex, row.Position)
		}
		into[i] = read[0]
	}
	return nil
}
