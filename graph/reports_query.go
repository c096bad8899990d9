package graph

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/report"
)

func (q query) Reports(ctx context.Context) (all []*model.ReportDefinition, err error) {
	p, _, err := q.read(ctx, organization.ViewReports, nil)
	if err != nil {
		return nil, err
	}
	for _, r := range reports.Reports {
		all = append(all, reportObject(r))
	}
	own, err := q.Commands.Reports(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, name := range own.Names() {
		a, err := q.report(ctx, p, name, nil)
		if _, unfit := errors.AsType[domain.Invalid](err); unfit { // reportDefinitions has it
			continue
		}
		if err != nil {
			return nil, err
		}
		o := reportObject(a.Report)
		o.BasedOn, o.Definition = &a.Base, &a.Version
		all = append(all, o)
	}
	return all, nil
}

func reportObject(r *report.Report) *model.ReportDefinition {
	return &model.ReportDefinition{Name: r.Name, About: r.About, ReadModel: r.Model, Dimensions: columns(r.Dimensions), Measures: columns(r.Measures)}
}

func columns(all []report.Column) []*model.ReportColumn {
	objects := make([]*model.ReportColumn, len(all))
	for i, c := range all {
		objects[i] = &model.ReportColumn{Name: c.Name, Kind: string(c.Kind), About: c.About, Personal: c.Personal}
	}
	return objects
}

func (q query) Report(ctx context.Context, name string, definition *int, groupBy, measures []string, filter *generated.ReportFilter, orderBy []string, first *int, after *string, in *generated.AsOf, result *uuid.UUID, at *eventlog.Position) (*model.ReportConnection, error) {
	request, err := paging(first, after, nil, nil)
	if err != nil {
		return nil, err
	}
	ask := report.Query{By: groupBy, Measures: measures, Order: orderBy, Limit: cmp.Or(request.First, defaultPage)}
	if ask.Filter, err = reportFilter(filter); err != nil {
		return nil, err
	}
	if ask.Offset, err = rowAfter(request.After); err != nil {
		return nil, err
	}
	p, _, err := q.read(ctx, organization.ViewReports, nil)
	if err != nil {
		return nil, err
	}
	var r asked
	var db engine.DB
	of := pastWords(in)
	if result == nil {
		if r, err = q.report(ctx, p, name, definition); err != nil {
			return nil, err
		}
	} else if in != nil {
		return nil, invalid("result", "is of the past that it was made of; asOf cannot be given together with it")
	} else {
		of = []string{"result=" + result.String()}
		if r, err = q.reportOfResult(ctx, p, name, definition, *result); err != nil {
			return nil, err
		}
	}
	p, v, err := q.read(ctx, organization.ViewReports, at, r.Model)
	if err != nil {
		return nil, err
	}
	if result == nil {
		db, ask.Now, err = q.live(ctx, r, v, in)
	} else {
		db, ask.Now, err = q.resultOf(ctx, r.Model, "result", v, *result)
	}
	if err != nil {
		return nil, err
	}
	look := lookedInto(r, ask, of)
	if len(look.Personal) > 0 && v.Personal {
		if err := q.lookInto(ctx, p, look, ask); err != nil {
			return nil, err
		}
	}
	table, err := r.Query(ctx, db, q.Codec, v, ask)
	if err != nil {
		return nil, err
	}

	people, clients := q.people(p), q.clients(p)
	page := &model.ReportConnection{Columns: columns(table.Columns), Nodes: make([]*model.ReportRow, len(table.Rows)), PageInfo: &model.PageInfo{
		HasNextPage: table.More, HasPreviousPage: ask.Offset > 0,
	}}
	if n := len(table.Rows); n > 0 {
		page.PageInfo.StartCursor, page.PageInfo.EndCursor = rowCursor(ask.Offset+1), rowCursor(ask.Offset+n)
	}
	for i, row := range table.Rows {
		values, err := table.Object(row)
		if err != nil {
			return nil, err
		}
		object := &model.ReportRow{Values: values, Accounts: people, Customers: clients}
		object.AccountID, object.CustomerID = firstOf(table, row, report.Account), firstOf(table, row, report.Customer)
		people.Want(object.AccountID)
		clients.Want(object.CustomerID)
		one := table.Pick(ask, row)
		behind := &behind{q, p, func(ctx context.Context) error { return q.lookInto(ctx, p, look, ask) }, func(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Position, error) {
			return r.Events(ctx, db, q.Codec, v, one, after, limit)
		}, func(ctx context.Context) (int, error) { return r.CountEvents(ctx, db, q.Codec, v, one) }}
		object.Behind, page.Nodes[i] = behind.page, object
	}
	return page, nil
}

func reportFilter(in *generated.ReportFilter) (f report.Filter, err error) {
	if in == nil {
		return f, nil
	}
	f = report.Filter{From: value(in.From), To: value(in.To), In: make(map[string][]string)}
	for _, c := range in.Where {
		if _, twice := f.In[c.Dimension]; twice {
			return f, invalid("filter.where", fmt.Sprintf("has %q twice", c.Dimension))
		}
		f.In[c.Dimension] = c.In
	}
	return f, nil
}

// firstOf returns the id in the first column of a kind.
func firstOf(t *report.Table, row []any, kind report.Kind) uuid.UUID {
	for i, c := range t.Columns {
		if c.Kind == kind {
			id, _ := row[i].(uuid.UUID)
			return id
		}
	}
	return uuid.Nil
}

// A cursor is the number of a row: groups have no other place of their own.
const rowPrefix = "report:"

func rowCursor(number int) model.Text {
	return model.Text(base64.RawURLEncoding.EncodeToString([]byte(rowPrefix + strconv.Itoa(number))))
}

func rowAfter(cursor string) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	number, ours := strings.CutPrefix(string(b), rowPrefix)
	n, malformed := strconv.ParseUint(number, 10, 31)
	if err != nil || malformed != nil || !ours {
		return 0, invalid("after", "is not a cursor of this list")
	}
	return int(n), nil
}

// behind leads from a row of a report to the events.
type behind struct {
	query
	principal *commands.Principal
	record    func(context.Context) error                                                                // before anything is shown
	positions func(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Position, error) // in log order
	count     func(context.Context) (int, error)
}

func (b *behind) page(ctx context.Context, first *int, after *string) (*model.ActivityConnection, error) {
	request, err := paging(first, after, nil, nil)
	if err != nil {
		return nil, err
	}
	var from eventlog.Position
	if request.After != "" {
		if from, err = activity.ParseCursor(request.After); err != nil {
			return nil, invalid("after", "is not a cursor of this list")
		}
	}
	if err := b.record(ctx); err != nil {
		return nil, err
	}
	size := cmp.Or(request.First, defaultPage)
	positions, err := b.positions(ctx, from, size+1)
	if err != nil {
		return nil, err
	}
	more := len(positions) > size
	positions = positions[:min(len(positions), size)]
	v, sight := onlooker(b.principal)
	f, people := activity.Filter{Positions: positions}, b.people(b.principal)
	var page engine.Page[activity.Activity]
	if len(positions) > 0 {
		last := positions[len(positions)-1]
		if err := b.Engine.Wait(ctx, last, activity.Model.Name); err != nil {
			return nil, err
		}
		if page, err = activity.List(ctx, b.DB, b.Codec, v, sight, f, engine.PageRequest{First: size}); err != nil {
			return nil, err
		}
	}
	page.HasNext, page.HasPrevious = more, from > 0
	c, err := listed(page, nil, func(a activity.Activity) *model.Activity { return activityObject(a, people) }, b.count)
	if more { // also past those that the viewer may not see
		c.PageInfo.EndCursor = model.Text(activity.Cursor(positions[len(positions)-1]))
	}
	return c, err
}
