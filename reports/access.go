package reports

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports/report"
)

// access is what is put on record of a question, and the values that it names, also those that are not put on record.
type access struct {
	audit.ReportRead
	values []string
}

// Access is what is put on record when a report is asked about people; of names what it was folded from.
func (a Asked) Access(q report.Query, of []string) audit.ReportRead {
	return audit.ReportRead{Act: audit.Replayed, Report: a.Name, Definition: a.Version, Personal: a.Personal(q), Of: append(of, a.Words(q.Filter)...)}
}

func (a Asked) access(q report.Query, of []string) access {
	var values []string
	for _, dimension := range slices.Sorted(maps.Keys(q.Filter.In)) {
		values = append(values, dimension, strings.Join(q.Filter.In[dimension], "\x00"))
	}
	return access{a.Access(q, of), values}
}

// record puts an access on record: once an hour for the same question in the same session, so that the pages and rows of one
// report are one access.
func (c Catalogue) record(ctx context.Context, p *commands.Principal, a access) error {
	key := strings.Join(append([]string{fmt.Sprint(p.Account, p.Session, a.ReportRead)}, a.values...), "\x00\x00")
	return c.Recent.Once(key, true, func() error {
		_, err := c.Commands.ReadReport(ctx, p, commands.Command{}, a.ReportRead)
		return err
	})
}

// Evidence leads from a row of a report, or a difference between two, to the events behind it.
type Evidence struct {
	catalogue Catalogue
	principal *commands.Principal
	access    access
	positions func(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Position, error) // in log order

	// Count counts the events, also those that the principal may not see.
	Count func(context.Context) (int, error)
}

// Page returns those of the first events after a cursor of [activity.Cursor] that the principal may see, and the cursor of the last
// one looked at. That they are read is on record before they are.
func (e Evidence) Page(ctx context.Context, first int, after string) (page engine.Page[activity.Activity], end string, err error) {
	var from eventlog.Position
	if after != "" {
		if from, err = activity.ParseCursor(after); err != nil {
			return page, "", err
		}
	}
	if err := e.catalogue.record(ctx, e.principal, e.access); err != nil {
		return page, "", err
	}
	first = cmp.Or(first, engine.DefaultPage)
	positions, err := e.positions(ctx, from, first+1)
	if err != nil || len(positions) == 0 {
		page.HasPrevious = from > 0
		return page, "", err
	}
	more := len(positions) > first
	positions = positions[:min(len(positions), first)]
	last := positions[len(positions)-1]
	if err := e.catalogue.Engine.Wait(ctx, last, activity.Model.Name); err != nil {
		return page, "", err
	}
	p := e.principal
	page, err = activity.List(ctx, e.catalogue.DB, e.catalogue.Codec, p.Sees(organization.ViewActivity), activity.SightOf(p.Scope), activity.Filter{Positions: positions}, engine.PageRequest{First: first})
	page.HasNext, page.HasPrevious = more, from > 0
	return page, activity.Cursor(last), err
}
