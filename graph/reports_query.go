package graph

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
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
	own, err := q.catalogue.Own(ctx, p)
	for _, a := range own {
		o := reportObject(a.Report)
		o.BasedOn, o.Definition = &a.Base, &a.Version
		all = append(all, o)
	}
	return all, err
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
	ask := reports.Question{
		Query:  report.Query{By: groupBy, Measures: measures, Order: orderBy, Limit: cmp.Or(request.First, defaultPage)},
		Report: name, Definition: definition, Result: result, After: value(at),
	}
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
	if result != nil && in != nil {
		return nil, invalid("result", "is of the past that it was made of; asOf cannot be given together with it")
	}
	if ask.AsOf, err = q.asOf(ctx, "asOf", in); err != nil {
		return nil, err
	}
	table, err := q.catalogue.Ask(ctx, p, ask)
	if err != nil {
		return nil, err
	}
	page := &model.ReportConnection{Columns: columns(table.Columns), PageInfo: rowsInfo(ask.Offset, len(table.Rows), table.More)}
	group := q.groupOf(p)
	for _, row := range table.Rows {
		values, err := table.Object(row)
		if err != nil {
			return nil, err
		}
		page.Nodes = append(page.Nodes, &model.ReportRow{Values: values, Group: group(table.Columns, row, table.Behind(row))})
	}
	return page, nil
}

func (q query) CompareResults(ctx context.Context, a uuid.UUID, b *uuid.UUID, name *string, definition *int, groupBy, measures []string, filter *generated.ReportFilter, first *int, after *string, at *eventlog.Position) (*model.ResultDifferenceConnection, error) {
	request, err := paging(first, after, nil, nil)
	if err != nil {
		return nil, err
	}
	ask := reports.Comparison{Query: report.Query{By: groupBy, Measures: measures}, A: a, B: b, Report: value(name), Definition: definition, After: value(at)}
	if ask.Filter, err = reportFilter(filter); err != nil {
		return nil, err
	}
	offset, err := rowAfter(request.After)
	if err != nil {
		return nil, err
	}
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	differences, err := q.catalogue.Compare(ctx, p, ask)
	if err != nil {
		return nil, err
	}
	all := differences.All
	from := min(offset, len(all))
	shown := all[from:min(from+cmp.Or(request.First, defaultPage), len(all))]
	page := &model.ResultDifferenceConnection{
		Columns: columns(differences.Columns), Different: len(all), PageInfo: rowsInfo(from, len(shown), from+len(shown) < len(all)),
	}
	dimensions, measured := differences.Columns[:differences.By], differences.Columns[differences.By:]
	group := q.groupOf(p)
	for _, d := range shown {
		row := d.Row()
		var failed error
		part := func(columns []report.Column, values []any) json.RawMessage {
			b, err := (&report.Table{Columns: columns}).Object(values)
			failed = errors.Join(failed, err)
			return b
		}
		object := &model.ResultDifference{Differs: d.Columns, Named: part(dimensions, row[:len(dimensions)]), Group: group(dimensions, row, differences.Behind(d))}
		if d.A != nil {
			object.A = part(measured, d.A[len(dimensions):])
		}
		if d.B != nil {
			object.B = part(measured, d.B[len(dimensions):])
		}
		if failed != nil {
			return nil, failed
		}
		page.Nodes = append(page.Nodes, object)
	}
	return page, nil
}

// groupOf returns what makes the edges of the groups of one page.
func (q query) groupOf(p *commands.Principal) func([]report.Column, []any, reports.Evidence) model.Group {
	people, clients := q.people(p), q.clients(p)
	return func(columns []report.Column, row []any, evidence reports.Evidence) model.Group {
		g := model.Group{AccountID: firstOf(columns, row, report.Account), CustomerID: firstOf(columns, row, report.Customer), Accounts: people, Customers: clients}
		people.Want(g.AccountID)
		clients.Want(g.CustomerID)
		g.Behind = func(ctx context.Context, first *int, after *string) (*model.ActivityConnection, error) {
			request, err := paging(first, after, nil, nil)
			if err != nil {
				return nil, err
			}
			page, end, err := evidence.Page(ctx, request.First, request.After)
			c, err := listed(page, err, q.activityOf(p), evidence.Count)
			if err == nil && page.HasNext { // also past those that the viewer may not see
				c.PageInfo.EndCursor = model.Text(end)
			}
			return c, err
		}
		return g
	}
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
func firstOf(columns []report.Column, row []any, kind report.Kind) uuid.UUID {
	for i, c := range columns {
		if c.Kind == kind {
			id, _ := row[i].(uuid.UUID)
			return id
		}
	}
	return uuid.Nil
}

// rowsInfo says where n rows behind others stand.
func rowsInfo(before, n int, more bool) *model.PageInfo {
	info := &model.PageInfo{HasNextPage: more, HasPreviousPage: before > 0}
	if n > 0 {
		info.StartCursor, info.EndCursor = rowCursor(before+1), rowCursor(before+n)
	}
	return info
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
