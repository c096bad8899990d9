package timeline

import (
	"cmp"
	"context"
	"slices"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
)

// Newest returns a page of the events of one record, the newest first, read from its stream in the log; types narrows them, nil
// takes all. Of the request, First and After count; a cursor of another list is [engine.ErrCursor]. Whether the viewer may see the
// record is for the caller to know.
func (p Pages) Newest(ctx context.Context, v engine.Viewer, of eventlog.Stream, types []string, request engine.PageRequest) (page engine.Page[activity.Activity], err error) {
	before := eventlog.Position(0)
	if request.After != "" {
		if before, err = activity.ParseCursor(request.After); err != nil {
			return page, err
		}
	}
	first := cmp.Or(request.First, engine.DefaultPage)
	var stored []eventlog.Event
	for e, err := range p.Log.ReadStream(ctx, of, 0) {
		if err != nil {
			return page, err
		}
		if before > 0 && e.Position >= before {
			break
		}
		if types != nil && !slices.Contains(types, e.Type) {
			continue
		}
		if stored = append(stored, e); len(stored) > 2*first {
			stored = slices.Delete(stored, 0, first-1) // older than the page and the event behind it
		}
	}

	slices.Reverse(stored)
	page.HasPrevious = request.After != ""
	if page.HasNext = len(stored) > first; page.HasNext {
		stored = stored[:first]
	}
	page.Rows, err = activity.Open(ctx, p.Codec, v, stored)
	for _, e := range stored {
		page.Cursors = append(page.Cursors, activity.Cursor(e.Position))
	}
	return page, err
}

// Count returns how many events [Pages.Newest] has in all its pages.
func (p Pages) Count(ctx context.Context, of eventlog.Stream, types []string) (n int, err error) {
	for e, err := range p.Log.ReadStream(ctx, of, 0) {
		if err != nil {
			return 0, err
		}
		if types == nil || slices.Contains(types, e.Type) {
			n++
		}
	}
	return n, nil
}
