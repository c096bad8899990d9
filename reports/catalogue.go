package reports

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports/report"
	"github.com/annal-crm/annal/reports/results"
)

// Catalogue answers a principal's questions to reports: built-in ones and those of its organization, live, as of a past, or of a
// named result. All fields are required. It is safe for concurrent use.
type Catalogue struct {
	Commands *commands.Commands
	Log      eventlog.Log
	Engine   *engine.Engine
	DB       engine.DB // of the live read models
	Codec    *eventcodec.Codec
	Results  *results.Results
	Lists    Lists
	Recent   commands.AccessRecords
}

// Lists folds a read model as of a past.
type Lists interface {
	// Of returns the rows of an organization, of the events that only takes, which part names. They are there until ctx ends.
	Of(ctx context.Context, model string, organization uuid.UUID, at eventlog.AsOf, part string, only func(*eventlog.Event) bool) (engine.DB, error)
}

// Find returns a report by its name; no version: the newest. Errors are those of [Find].
func (c Catalogue) Find(ctx context.Context, p *commands.Principal, name string, version *int) (Asked, error) {
	return Find(func() (reporting.State, error) { return c.Commands.Reports(ctx, p) }, name, version)
}

// Own returns the newest versions of the organization's reports that fit this program.
func (c Catalogue) Own(ctx context.Context, p *commands.Principal) (all []Asked, err error) {
	own, err := c.Commands.Reports(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, name := range own.Names() {
		a, err := Find(func() (reporting.State, error) { return own, nil }, name, nil)
		if _, unfit := errors.AsType[domain.Invalid](err); unfit { // its definitions have it
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// Question is what somebody asks a report.
type Question struct {
	report.Query
	Report     string
	Definition *int              // a version of the report; nil: the newest
	AsOf       *eventlog.AsOf    // nil: now
	Result     *uuid.UUID        // whose tables are asked instead; then there is no AsOf
	After      eventlog.Position // that the live tables must have come to
}

// Answer is a report's answer.
type Answer struct {
	*report.Table
	catalogue Catalogue
	principal *commands.Principal
	access    access
	asked     Asked
	db        engine.DB
	viewer    engine.Viewer
	query     report.Query
}

// Ask answers a question. That personal data are read is on record before they are. Errors: [commands.ErrForbidden],
// a [domain.Invalid] by its field, and those of [Find], [results.Results.Open], [report.Report.Query] and [Lists].
func (c Catalogue) Ask(ctx context.Context, p *commands.Principal, q Question) (*Answer, error) {
	v, err := p.Viewer(organization.ViewReports)
	if err != nil {
		return nil, err
	}
	a := &Answer{catalogue: c, principal: p, viewer: v}
	var of []string
	if q.Result == nil {
		if q.AsOf != nil {
			of = results.Part{}.Words(*q.AsOf)
		}
		a.asked, err = c.Find(ctx, p, q.Report, q.Definition)
	} else {
		of = []string{"result=" + q.Result.String()}
		a.asked, err = c.ofResult(ctx, p, q.Report, q.Definition, *q.Result)
	}
	if err == nil && q.After > 0 {
		err = c.Engine.Wait(ctx, q.After, a.asked.Model)
	}
	if err != nil {
		return nil, err
	}
	if q.Result == nil {
		a.db, q.Now, err = c.tables(ctx, a.asked, v, q.AsOf)
	} else {
		var s results.State
		s, a.db, err = c.open(ctx, v, *q.Result)
		if q.Now = s.Moment; err == nil && s.Model != a.asked.Model {
			err = domain.Invalid{"result": "is of the read model " + s.Model + ", this report of " + a.asked.Model}
		}
	}
	if err != nil {
		return nil, err
	}
	a.query, a.access = q.Query, a.asked.access(q.Query, of)
	if len(a.access.Personal) > 0 && v.Personal {
		if err := c.record(ctx, p, a.access); err != nil {
			return nil, err
		}
	}
	a.Table, err = a.asked.Query(ctx, a.db, c.Codec, v, q.Query)
	return a, err
}

// Behind leads from a row to the events behind it.
func (a *Answer) Behind(row []any) Evidence {
	one := a.Pick(a.query, row)
	return Evidence{a.catalogue, a.principal, a.access, func(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Position, error) {
		return a.asked.Events(ctx, a.db, a.catalogue.Codec, a.viewer, one, after, limit)
	}, func(ctx context.Context) (int, error) {
		return a.asked.CountEvents(ctx, a.db, a.catalogue.Codec, a.viewer, one)
	}}
}

// tables is the database of a report as it is, or as of a past, and the instant that it speaks of. One that takes a part of the log
// is folded for the question. A past, and a part, are for those who may see all records: whose they were, or would be without some
// events, nobody knows here.
func (c Catalogue) tables(ctx context.Context, a Asked, v engine.Viewer, asOf *eventlog.AsOf) (engine.DB, time.Time, error) {
	now := time.Now()
	if asOf == nil && a.Part.IsZero() {
		return c.DB, now, nil
	}
	if v.Scope != organization.All {
		return nil, now, commands.ErrForbidden
	}
	var at eventlog.AsOf
	var err error
	if asOf != nil {
		at = *asOf
		now, err = activity.Moment(ctx, c.DB, v.Organization, at)
	} else {
		at.Position, err = c.Log.Head(ctx)
	}
	if err != nil {
		return nil, now, err
	}
	recorded, happened := results.Bounds(at)
	part := strings.Join(a.Part.Words(eventlog.AsOf{HappenedBy: at.HappenedBy}), "\n")
	db, err := c.Lists.Of(ctx, a.Model, v.Organization, recorded, part, func(e *eventlog.Event) bool { return happened(e) && a.Part.Takes(e) })
	return db, now, err
}

// open opens a result for a viewer who may see all records.
func (c Catalogue) open(ctx context.Context, v engine.Viewer, id uuid.UUID) (results.State, engine.DB, error) {
	if v.Scope != organization.All {
		return results.State{}, nil, commands.ErrForbidden
	}
	return c.Results.Open(ctx, v.Organization, id)
}

// ofResult finds the report that is asked of a result: without a version, that which the result was made under. One that takes a
// part of the log itself is asked of what was folded from that part.
func (c Catalogue) ofResult(ctx context.Context, p *commands.Principal, name string, version *int, id uuid.UUID) (Asked, error) {
	s, err := c.Result(ctx, p, id)
	if err != nil {
		return Asked{}, err
	}
	if name == s.Report && (version == nil || *version == s.Definition && s.Definition > 0) {
		return c.madeUnder(ctx, p, s)
	}
	a, err := c.Find(ctx, p, name, version)
	if err == nil && !a.Part.IsZero() && !slices.Equal(a.Part.Words(eventlog.AsOf{}), s.Under.Words(eventlog.AsOf{})) {
		err = domain.Invalid{"result": "was not folded from the events that this definition takes: rebuild the report under it"}
	}
	return a, err
}

// madeUnder is the report that a result was made as, also if it was retired since.
func (c Catalogue) madeUnder(ctx context.Context, p *commands.Principal, s results.State) (Asked, error) {
	if s.Definition == 0 {
		return c.Find(ctx, p, s.Report, nil)
	}
	own, err := c.Commands.Reports(ctx, p)
	if err != nil {
		return Asked{}, err
	}
	d, err := own.Version(s.Report, s.Definition)
	if err != nil {
		return Asked{}, err
	}
	return Under(s.Report, s.Definition, d)
}

// named finds a report like [Catalogue.Find] where the name is an argument called report.
func (c Catalogue) named(ctx context.Context, p *commands.Principal, name string, version *int) (Asked, error) {
	a, err := c.Find(ctx, p, name, version)
	if bad, ok := errors.AsType[domain.Invalid](err); ok && bad["name"] != "" {
		err = domain.Invalid{"report": bad["name"]}
	}
	return a, err
}
