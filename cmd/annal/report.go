package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/report"
	"github.com/annal-crm/annal/reports/results"
)

type reportCmd struct {
	place
	Name       string    `arg:"" optional:"" help:"The report. Without a name, the command lists all reports."`
	Definition *int      `help:"The version of one of the organization's own reports. Default: the newest." placeholder:"N"`
	GroupBy    []string  `help:"Dimensions to group by, in this order. Default: one row, the total." placeholder:"NAME"`
	Measures   []string  `help:"Show only these measures." placeholder:"NAME"`
	Where      []string  `help:"Only rows whose dimension has this value; accounts and customers by name or id. An empty value means that there is no value. Give a dimension twice to accept either value." placeholder:"NAME=VALUE" sep:"none"`
	From       time.Time `help:"Only what is at or after this time: 2017-03-01T09:00:00Z, or a day."`
	To         time.Time `help:"Only what is before this time."`
	OrderBy    []string  `help:"Columns to order by; -NAME puts the greatest first." placeholder:"NAME"`
	First      *int      `help:"At most this many rows or, with --events, events. Default: all." placeholder:"N"`

	KnownAt    time.Time `help:"As known at this time: counts what had been recorded by then."`
	HappenedBy time.Time `help:"As happened by this time: counts what had occurred by then, even if it was recorded later."`
	Position   string    `help:"As of this position of the log." placeholder:"N"`

	Organization string `help:"Name of the organization. Default: the one where people work." placeholder:"NAME"`
	Format       string `help:"${enum}." enum:"table,csv,json,parquet" default:"table"`
	Output       string `help:"Into this file. Default: standard output." type:"path" placeholder:"FILE"`
	Events       bool   `help:"Show the events behind the rows instead of the rows: as a list or, with --format json, one object a line."`
}

// Run answers from the live read model if that is at the head of the log, and otherwise from a fold that is made for it.
func (c reportCmd) Run(ctx context.Context) (err error) {
	if c.Name == "" {
		return c.list(ctx)
	}
	q := report.Query{By: c.GroupBy, Measures: c.Measures, Order: c.OrderBy, Filter: report.Filter{From: c.From, To: c.To, In: make(map[string][]string)}}
	if c.First != nil {
		if q.Limit = *c.First; q.Limit < 1 {
			return fmt.Errorf("--first %d: must be at least 1; all come without it", *c.First)
		}
	}
	for _, condition := range c.Where {
		name, value, found := strings.Cut(condition, "=")
		if !found {
			return fmt.Errorf("--where %s: NAME=VALUE is wanted", condition)
		}
		q.Filter.In[name] = append(q.Filter.In[name], value)
	}
	if c.Events && c.Format != "table" && c.Format != "json" {
		return errors.New("--events are given as a table or as json")
	}
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	of, err := named(ctx, i, c.Organization)
	if err != nil {
		return err
	}
	r, err := reports.Find(func() (reporting.State, error) { return ownReports(ctx, i, of) }, c.Name, c.Definition)
	if errors.Is(err, reporting.ErrRetired) {
		err = fmt.Errorf("the report %s was retired", c.Name)
	}
	if err != nil {
		return inFlags(err)
	}
	v, behind := report.Everything(of), 0
	if err := identify(ctx, i, v, r.Report, q.Filter.In); err != nil {
		return err
	}
	db, release, err := c.database(ctx, i, r, of, &q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	var table *report.Table
	if c.Events {
		if behind, err = r.CountEvents(ctx, db, i.Codec, v, q); q.Limit > 0 {
			behind = min(behind, q.Limit)
		}
	} else {
		ask := q
		if c.OrderBy == nil {
			ask.Limit = 0 // they are ordered by names, which the tables do not have
		}
		table, err = r.Query(ctx, db, i.Codec, v, ask)
	}
	if err != nil {
		return inFlags(err)
	}
	if c.Events || len(r.Personal(q)) > 0 {
		if err := c.onRecord(ctx, i, of, r, q, behind); err != nil {
			return err
		}
	}
	out, err := create(c.Output)
	if err != nil {
		return err
	}
	defer func() { err = out.end(err) }()
	if c.Events {
		return inFlags(c.events(ctx, i, r, db, v, q, out))
	}
	names, err := namesOf(ctx, i, v, table.IDs(report.Account), table.IDs(report.Customer))
	if err != nil {
		return err
	}
	if table = table.Named(names); c.OrderBy == nil {
		if table.Sort(); q.Limit > 0 {
			table.Rows = table.Rows[:min(q.Limit, len(table.Rows))]
		}
	}
	switch c.Format {
	case "csv":
		return table.WriteCSV(out)
	case "json":
		return table.WriteJSON(out)
	case "parquet":
		return table.WriteParquet(out)
	}
	return table.WriteText(out)
}

// onRecord puts on record that people's actions are read, before anything of them is shown; numbers alone are not.
func (c reportCmd) onRecord(ctx context.Context, i *app.Instance, of uuid.UUID, r reports.Asked, q report.Query, behind int) error {
	at := eventlog.AsOf{KnownAt: c.KnownAt, HappenedBy: c.HappenedBy}
	if c.Position != "" {
		at.Position, _ = eventlog.ParsePosition(c.Position) // judged before
	}
	access := r.Access(q, results.Part{}.Words(at))
	access.Events = behind
	if c.Output != "" || c.Format != "table" {
		access.Act, access.Format = audit.Exported, c.Format
	}
	return recorded(ctx, i, of, i.Commands.ReadReport, access)
}

// ownReports are the reports of an organization's own.
func ownReports(ctx context.Context, i *app.Instance, of uuid.UUID) (reporting.State, error) {
	program, err := i.Commands.System(ctx, of)
	if err != nil {
		return reporting.State{}, err
	}
	return i.Commands.Reports(ctx, program)
}

// database is where the report is asked, and q's now is set to what it speaks of.
func (c reportCmd) database(ctx context.Context, i *app.Instance, r reports.Asked, of uuid.UUID, q *report.Query) (engine.DB, func() error, error) {
	at := eventlog.AsOf{KnownAt: c.KnownAt, HappenedBy: c.HappenedBy}
	head, err := i.Log.Head(ctx)
	if err != nil {
		return nil, nil, err
	}
	if c.Position != "" {
		if at.Position, err = eventlog.ParsePosition(c.Position); err != nil || at.Position == 0 {
			return nil, nil, fmt.Errorf("--position %s: a position is a whole number, from 1", c.Position)
		}
	}
	q.Now = time.Now()
	for flag, one := range map[string]eventlog.AsOf{"known-at": {KnownAt: at.KnownAt}, "happened-by": {HappenedBy: at.HappenedBy}, "position": {Position: at.Position}} {
		if one.Validate(q.Now, head) != nil {
			return nil, nil, fmt.Errorf("--%s has not come yet: what will be true then nobody knows", flag)
		}
	}
	switch {
	case !at.HappenedBy.IsZero():
		q.Now = at.HappenedBy
	case !at.KnownAt.IsZero():
		q.Now = at.KnownAt
	case at.Position != 0:
		newest, err := i.Log.ReadAll(ctx, at.Position-1, 1)
		if err != nil {
			return nil, nil, err
		}
		if len(newest) > 0 {
			q.Now = newest[0].RecordedAt
		}
	case r.Part.IsZero():
		statuses, err := i.Engine.Statuses(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range statuses {
			if s.Name == r.Model && s.Position >= head && s.Error == "" {
				return i.Pool, func() error { return nil }, nil
			}
		}
	}
	bar := newProgress(r.Name)
	recorded, happened := results.Bounds(at)
	result, err := i.Engine.Results("report", engine.ResultLimits{AtOnce: 1, Kept: 24 * time.Hour}).Make(ctx, r.Model, engine.ResultOptions{
		AsOf: recorded, Organization: of, Only: func(e *eventlog.Event) bool { return happened(e) && r.Part.Takes(e) }, Progress: func(p engine.Progress) { bar.at(p.Phase, p.Done) },
	})
	bar.finish()
	if err != nil {
		return nil, nil, err
	}
	if result.Parked > 0 {
		fmt.Fprintf(os.Stderr, "annal: %d events cannot be folded and are missing in this report: annal parked list\n", result.Parked)
	}
	return result.DB(), func() error { return result.Drop(context.WithoutCancel(ctx)) }, nil
}

// events writes what is behind the rows of a query, from the log.
func (c reportCmd) events(ctx context.Context, i *app.Instance, r reports.Asked, db engine.DB, v engine.Viewer, q report.Query, out io.Writer) error {
	const page = 500 // at once: their names are one query
	left := q.Limit
	for after := eventlog.Position(0); ; {
		size := page
		if q.Limit > 0 {
			size = min(page, left)
		}
		if size == 0 {
			return nil
		}
		positions, err := r.Events(ctx, db, i.Codec, v, q, after, size)
		if err != nil || len(positions) == 0 {
			return err
		}
		left -= len(positions)
		after = positions[len(positions)-1]
		events := make([]eventlog.Event, 0, len(positions))
		for _, at := range positions {
			one, err := i.Log.ReadAll(ctx, at-1, 1)
			if err != nil {
				return err
			}
			events = append(events, one...)
		}
		known, err := i.Codec.Page(ctx, events)
		if err != nil {
			return err
		}
		if err := writeEvents(ctx, i, v, known, c.Format == "json", out); err != nil {
			return err
		}
	}
}

func writeEvents(ctx context.Context, i *app.Instance, v engine.Viewer, known []*eventcodec.Event, asJSON bool, out io.Writer) error {
	var actors []uuid.UUID
	for _, f := range known {
		if actor, err := f.Actor(); err == nil && actor != uuid.Nil {
			actors = append(actors, actor)
		}
	}
	logins, err := namesOf(ctx, i, v, actors, nil)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	for _, f := range known {
		l, err := timelineLine(f, logins)
		switch {
		case err != nil:
			return err
		case asJSON:
			err = json.NewEncoder(w).Encode(l)
		default:
			err = l.print(w)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// identify puts ids in the place of names of accounts and customers that a filter has.
func identify(ctx context.Context, i *app.Instance, v engine.Viewer, r *report.Report, in map[string][]string) error {
	for _, d := range r.Dimensions {
		for at, name := range in[d.Name] {
			if d.Kind != report.Account && d.Kind != report.Customer || name == "" || uuid.Validate(name) == nil {
				continue
			}
			var ids []uuid.UUID
			if d.Kind == report.Account {
				a, there, err := accounts.ByLoginName(ctx, i.Pool, v, name)
				if err != nil {
					return err
				}
				if there {
					ids = append(ids, a.ID)
				}
			} else {
				page, err := customers.List(ctx, i.Pool, v, customers.Filter{Name: &where.Text{Eq: &name}}, engine.PageRequest{First: 10})
				if err != nil {
					return err
				}
				for _, c := range page.Rows {
					ids = append(ids, c.ID)
				}
			}
			switch len(ids) {
			case 0:
				return fmt.Errorf("--where %s=%s: there is no %s with this name, nor is it an id", d.Name, name, d.Kind)
			case 1:
				in[d.Name][at] = ids[0].String()
			default:
				return fmt.Errorf("--where %s=%s: there are %d or more of this name: take one by its id, of %s", d.Name, name, len(ids), ids)
			}
		}
	}
	return nil
}

// namesOf returns login names of accounts and names of customers, as the read models have them now.
func namesOf(ctx context.Context, i *app.Instance, v engine.Viewer, people, clients []uuid.UUID) (map[uuid.UUID]string, error) {
	names := make(map[uuid.UUID]string)
	if len(people) > 0 {
		found, err := accounts.Get(ctx, i.Pool, v, people)
		if err != nil {
			return nil, err
		}
		for id, a := range found {
			names[id] = a.LoginName
		}
	}
	if len(clients) > 0 {
		found, err := customers.Get(ctx, i.Pool, v, clients)
		if err != nil {
			return nil, err
		}
		for id, c := range found {
			names[id] = c.Name
		}
	}
	return names, nil
}

// named returns the organization of a name; of none, that where people work.
func named(ctx context.Context, i *app.Instance, name string) (uuid.UUID, error) {
	if name == "" {
		return commands.Home, nil
	}
	id, _, err := organizationNamed(ctx, i, name)
	return id, err
}

// inFlags names flags where an error names the fields of a query.
func inFlags(err error) error {
	bad, ok := errors.AsType[domain.Invalid](err)
	if !ok {
		return err
	}
	said := domain.Invalid{}
	for field, reason := range bad {
		flag := map[string]string{"groupBy": "--group-by", "measures": "--measures", "filter": "--where", "filter.to": "--to", "orderBy": "--order-by", "name": "NAME", "definition": "--definition"}[field]
		said[cmp.Or(flag, field)] = reason
	}
	return said
}

// list prints the reports. Built-in ones are listed even where there is no Annal.
func (c reportCmd) list(ctx context.Context) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range reports.Reports {
		describe(w, r, "")
	}
	own, err := c.own(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "annal: your organization's own reports are not listed:", plainly(err))
	}
	for _, r := range own {
		describe(w, r.Report, fmt.Sprintf(" Based on %s, version %d.", r.Base, r.Version))
	}
	return w.Flush()
}

func (c reportCmd) own(ctx context.Context) (all []reports.Asked, err error) {
	i, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer i.Close()
	of, err := named(ctx, i, c.Organization)
	if err != nil {
		return nil, err
	}
	own, err := ownReports(ctx, i, of)
	if err != nil {
		return nil, err
	}
	for _, name := range own.Names() {
		r, err := reports.Find(func() (reporting.State, error) { return own, nil }, name, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func describe(w io.Writer, r *report.Report, more string) {
	fmt.Fprintf(w, "%s\t%s%s\n", r.Name, r.About, more)
	for i, c := range slices.Concat(r.Dimensions, r.Measures) {
		title := "by"
		if i >= len(r.Dimensions) {
			title = "counts"
		}
		fmt.Fprintf(w, "  %s %s\t%s\n", title, c.Name, strings.TrimSpace(c.About+" ("+string(c.Kind)+")"))
	}
}
