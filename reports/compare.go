package reports

import (
	"cmp"
	"context"
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
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports/report"
	"github.com/annal-crm/annal/reports/results"
)

const comparedGroups = 10_000 // of each side: all of them are held at once

// ErrManyGroups reports a comparison of more groups than are compared.
var ErrManyGroups = errors.New("reports: too many groups to compare")

// Comparison says which two results are compared: each by its own version of a report, if none is named.
type Comparison struct {
	report.Query
	A          uuid.UUID
	B          *uuid.UUID // nil: with the live tables
	Report     string     // "": that which A was made under
	Definition *int
	After      eventlog.Position // that the live tables must have come to
}

// side is a result, or the live rows, in a comparison.
type side struct {
	report Asked
	db     engine.DB
	now    time.Time                  // that it speaks of
	takes  func(*eventlog.Event) bool // what it was folded from
	table  *report.Table
}

// Differences are the groups in which two results differ.
type Differences struct {
	*report.Table // of the first side
	All           []report.Difference

	catalogue Catalogue
	principal *commands.Principal
	access    access
	viewer    engine.Viewer
	ask       report.Query
	sides     [2]side
}

// Compare compares a result with another one or with the live tables, for principals who may see all records. That personal data
// are read is on record before they are. Errors are those of [Catalogue.Ask] and [ErrManyGroups].
func (c Catalogue) Compare(ctx context.Context, p *commands.Principal, q Comparison) (*Differences, error) {
	v, err := p.Viewer(organization.ViewReports)
	if err != nil {
		return nil, err
	}
	d := &Differences{catalogue: c, principal: p, viewer: v, ask: q.Query}
	d.ask.Limit = comparedGroups
	of, db, err := c.open(ctx, v, q.A)
	if err != nil {
		return nil, err
	}
	chosen, err := c.compared(ctx, p, of, q)
	if err != nil {
		return nil, err
	}
	d.sides[0] = side{report: chosen, db: db, now: of.Moment, takes: of.Takes}
	if d.sides[1], err = c.other(ctx, p, v, of, chosen, q); err != nil {
		return nil, err
	}
	if d.ask.Measures, err = d.common(q.Measures); err != nil {
		return nil, err
	}
	with := "live"
	if q.B != nil {
		with = q.B.String()
	}
	d.access = chosen.access(d.ask, []string{"result=" + q.A.String(), "with=" + with})
	if len(d.access.Personal) > 0 && v.Personal {
		if err := c.record(ctx, p, d.access); err != nil {
			return nil, err
		}
	}
	for i := range d.sides {
		s := &d.sides[i]
		if s.table, err = s.report.Query(ctx, s.db, c.Codec, v, d.asked(s)); err != nil {
			return nil, err
		}
		if s.table.More {
			return nil, ErrManyGroups
		}
	}
	d.Table = d.sides[0].table
	d.All = d.Table.Compare(d.sides[1].table)
	return d, nil
}

// compared is the report that a result is compared by: the one named, or the one that it was made under.
func (c Catalogue) compared(ctx context.Context, p *commands.Principal, of results.State, q Comparison) (Asked, error) {
	if q.Report == "" && q.Definition == nil {
		return c.madeUnder(ctx, p, of)
	}
	a, err := c.named(ctx, p, cmp.Or(q.Report, of.Report), q.Definition)
	if err == nil && a.Model != of.Model {
		err = domain.Invalid{"report": "is of the read model " + a.Model + ", this result of " + of.Model}
	}
	return a, err
}

// other is the side that a result is compared with.
func (c Catalogue) other(ctx context.Context, p *commands.Principal, v engine.Viewer, of results.State, chosen Asked, q Comparison) (s side, err error) {
	s.report = chosen
	if q.B == nil {
		if q.After > 0 {
			err = c.Engine.Wait(ctx, q.After, chosen.Model)
		}
		if err == nil {
			s.db, s.now, err = c.tables(ctx, chosen, v, nil)
		}
		s.takes = chosen.Part.Takes
		return s, err
	}
	other, db, err := c.open(ctx, v, *q.B)
	if err != nil {
		return s, err
	}
	if other.Model != of.Model {
		return s, domain.Invalid{"b": "is of the read model " + other.Model + ", `a` of " + of.Model}
	}
	if s.db, s.now, s.takes = db, other.Moment, other.Takes; q.Report == "" && (of.Definition > 0 || other.Definition > 0) {
		s.report, err = c.madeUnder(ctx, p, other)
	}
	if err == nil && s.report.Base != chosen.Base {
		err = domain.Invalid{"report": "must be named: `a` is based on " + chosen.Base + ", `b` on " + s.report.Base}
	}
	return s, err
}

// common are the measures that both sides have: all that are not personal, if none are named.
func (d *Differences) common(named []string) ([]string, error) {
	a, b := d.sides[0].report, d.sides[1].report
	if a.Version == b.Version && a.Name == b.Name {
		return named, nil
	}
	kind := func(of Asked, name string) report.Kind {
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
			return nil, domain.Invalid{"measures": fmt.Sprintf("%q is not the same kind of measure on both sides", name)}
		}
	}
	return named, nil
}

// asked is what is asked of a side.
func (d *Differences) asked(s *side) report.Query {
	ask := d.ask
	ask.Now = s.now
	return ask
}

// Behind leads from a difference to the events that explain it.
func (d *Differences) Behind(one report.Difference) Evidence {
	var once sync.Once // counted and shown
	var all []eventlog.Position
	var failed error
	explained := func(ctx context.Context) ([]eventlog.Position, error) {
		once.Do(func() { all, failed = d.explain(ctx, one) })
		return all, failed
	}
	return Evidence{d.catalogue, d.principal, d.access, func(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Position, error) {
		all, err := explained(ctx)
		i, found := slices.BinarySearch(all, after)
		if found {
			i++
		}
		return slices.Clone(all[i:min(i+limit, len(all))]), err
	}, func(ctx context.Context) (int, error) {
		all, err := explained(ctx)
		return len(all), err
	}}
}
