package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports/report"
	"github.com/annal-crm/annal/reports/results"
)

const comparedGroups = 10_000 // of each side: all of them are held at once

var errManyGroups = domain.Refuse(domain.CodeTooComplex, "more than 10 000 groups are not compared: group by less, or narrow it by filter")

// side is a result, or the live rows, in a comparison.
type side struct {
	report asked
	db     engine.DB
	now    time.Time                  // that it speaks of
	takes  func(*eventlog.Event) bool // what it was folded from
	table  *report.Table
}

// comparison is of two sides, each by its own version of a report.
type comparison struct {
	query
	viewer engine.Viewer
	ask    report.Query
	sides  [2]side
}

func (q query) CompareResults(ctx context.Context, a uuid.UUID, b *uuid.UUID, name *string, definition *int, groupBy, measures []string, filter *generated.ReportFilter, first *int, after *string, at *eventlog.Position) (*model.ResultDifferenceConnection, error) {
	request, err := paging(first, after, nil, nil)
	if err != nil {
		return nil, err
	}
	c := &comparison{query: q, ask: report.Query{By: groupBy, Measures: measures, Limit: comparedGroups}}
	if c.ask.Filter, err = reportFilter(filter); err != nil {
		return nil, err
	}
	offset, err := rowAfter(request.After)
	if err != nil {
		return nil, err
	}
	p, v, err := q.read(ctx, organization.ViewReports, nil)
	if err == nil {
		_, err = mayReadResults(p, nil)
	}
	if err != nil {
		return nil, err
	}
	c.viewer = v
	of, db, err := q.kept.Open(ctx, v.Organization, a)
	if err != nil {
		return nil, err
	}
	c.sides[0] = side{db: db, now: of.Moment, takes: of.Takes}
	if c.sides[0].report, err = q.compared(ctx, p, of, name, definition); err != nil {
		return nil, err
	}
	chosen := c.sides[0].report
	if b == nil {
		live := side{report: chosen, takes: chosen.part.Takes}
		if at != nil {
			err = q.Engine.Wait(ctx, *at, chosen.Model)
		}
		if err == nil {
			live.db, live.now, err = q.live(ctx, chosen, v, nil)
		}
		c.sides[1] = live
	} else {
		other, db, failed := q.kept.Open(ctx, v.Organization, *b)
		if err = failed; err == nil && other.Model != of.Model {
			err = invalid("b", "is of the read model "+other.Model+", `a` of "+of.Model)
		}
		c.sides[1] = side{report: chosen, db: db, now: other.Moment, takes: other.Takes}
		if err == nil && name == nil && (of.Definition > 0 || other.Definition > 0) {
			c.sides[1].report, err = q.madeUnder(ctx, p, other)
		}
		if second := c.sides[1].report; err == nil && second.Base != chosen.Base {
			err = invalid("report", "must be named: `a` is based on "+chosen.Base+", `b` on "+second.Base)
		}
	}
	if err != nil {
		return nil, err
	}
	if c.ask.Measures, err = c.common(measures); err != nil {
		return nil, err
	}
	with := "live"
	if b != nil {
		with = b.String()
	}
	look := lookedInto(chosen, c.ask, []string{"result=" + a.String(), "with=" + with})
	if len(look.Personal) > 0 && v.Personal {
		if err := q.lookInto(ctx, p, look, c.ask); err != nil {
			return nil, err
		}
	}
	for i := range c.sides {
		s := &c.sides[i]
		if s.table, err = s.report.Query(ctx, s.db, q.Codec, v, c.asked(s)); err != nil {
			return nil, err
		}
		if s.table.More {
			return nil, errManyGroups
		}
	}

	table := c.sides[0].table
	all := table.Compare(c.sides[1].table)
	size, from := cmp.Or(request.First, defaultPage), min(offset, len(all))
	shown := all[from:min(from+size, len(all))]
	people, clients := q.people(p), q.clients(p)
	page := &model.ResultDifferenceConnection{
		Columns: columns(table.Columns), Different: len(all), Nodes: make([]*model.ResultDifference, len(shown)),
		PageInfo: &model.PageInfo{HasNextPage: from+len(shown) < len(all), HasPreviousPage: from > 0},
	}
	if n := len(shown); n > 0 {
		page.PageInfo.StartCursor, page.PageInfo.EndCursor = rowCursor(from+1), rowCursor(from+n)
	}
	for i, d := range shown {
		row := d.Row()
		object := &model.ResultDifference{Differs: d.Columns, Accounts: people, Customers: clients}
		by, measured := report.Table{Columns: table.Columns[:table.By]}, report.Table{Columns: table.Columns[table.By:]}
		var failed error
		part := func(t report.Table, row []any) json.RawMessage {
			b, err := t.Object(row)
			failed = errors.Join(failed, err)
			return b
		}
		object.Group = part(by, row[:table.By])
		if d.A != nil {
			object.A = part(measured, d.A[table.By:])
		}
		if d.B != nil {
			object.B = part(measured, d.B[table.By:])
		}
		if failed != nil {
			return nil, failed
		}
		dimensions := &report.Table{Columns: table.Columns[:table.By]}
		object.AccountID, object.CustomerID = firstOf(dimensions, row, report.Account), firstOf(dimensions, row, report.Customer)
		people.Want(object.AccountID)
		clients.Want(object.CustomerID)
		explained := sync.OnceValues(func() ([]eventlog.Position, error) { return c.explain(ctx, d) }) // counted and shown
		behind := &behind{q, p, func(ctx context.Context) error { return q.lookInto(ctx, p, look, c.ask) }, func(_ context.Context, after eventlog.Position, limit int) ([]eventlog.Position, error) {
			all, err := explained()
			i, found := slices.BinarySearch(all, after)
			if found {
				i++
			}
			return slices.Clone(all[i:min(i+limit, len(all))]), err
		}, func(context.Context) (int, error) {
			all, err := explained()
			return len(all), err
		}}
		object.Behind, page.Nodes[i] = behind.page, object
	}
	return page, nil
}

// compared is the report that a result is compared by: the one named, or the one that it was made under.
func (q query) compared(ctx context.Context, p *commands.Principal, of results.State, name *string, definition *int) (asked, error) {
	if name == nil && definition == nil {
		return q.madeUnder(ctx, p, of)
	}
	a, err := q.report(ctx, p, cmp.Or(value(name), of.Report), definition)
	if bad, ok := errors.AsType[domain.Invalid](err); ok && bad["name"] != "" {
		return a, invalid("report", bad["name"])
	}
	if err == nil && a.Model != of.Model {
		err = invalid("report", "is of the read model "+a.Model+", this result of "+of.Model)
	}
	return a, err
}

// common are the measures that both sides have: all that are not personal, if none are named.
func (c *comparison) common(named []string) ([]string, error) {
	a, b := c.sides[0].report, c.sides[1].report
	if a.Version == b.Version && a.Name == b.Name {
		return named, nil
	}
	kind := func(of asked, name string) report.Kind {
		for _, m := range of.Measures {
			if m.Name == name {
				return m.Kind
			}
		}
		return ""
	}
	if named == nil {
		for _, m := range a.Measures {
			if !m.Personal && kind(b, m.Name) == m.Kind {
				named = append(named, m.Name)
			}
		}
		return named, nil
	}
	for _, name := range named {
		if k := kind(a, name); k != kind(b, name) {
			return nil, invalid("measures", fmt.Sprintf("%q is not the same kind of measure on both sides", name))
		}
	}
	return named, nil
}

// asked is what is asked of a side.
func (c *comparison) asked(s *side) report.Query {
	ask := c.ask
	ask.Now = s.now
	return ask
}
