package commands

import (
	"context"

	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/eventlog"
)

// Rebuilt puts on record that the principal had a report rebuilt, before the result can be read. It needs report.view with the
// scope all: what a record was folded from says nothing about whose it is.
func (c *Commands) Rebuilt(ctx context.Context, p *Principal, cmd Command, wish audit.Rebuilt) (Result, error) {
	if p.Scope(organization.ViewReports) != organization.All {
		return Result{}, ErrForbidden
	}
	return c.onRecord(ctx, p, cmd, func() ([]audit.Event, error) { return audit.Rebuild(wish) })
}

// Reports returns the organization's own reports. It needs report.view. Do not change what it returns.
func (c *Commands) Reports(ctx context.Context, p *Principal) (reporting.State, error) {
	if err := p.may(organization.ViewReports); err != nil {
		return reporting.State{}, err
	}
	now, err := c.reports.load(ctx, c, c.ReportStream(p))
	return now.state, err
}

// ReportStream is where the principal's organization keeps its own reports.
func (c *Commands) ReportStream(p *Principal) eventlog.Stream {
	return c.reports.stream(p.Organization, p.Organization)
}

// DefineReport is the input of [Commands.DefineReport].
type DefineReport struct {
	Command         // its ExpectedVersion is not looked at
	Expected   *int // version of the report; 0: there is none of this name; nil: whatever there is
	Name       string
	Definition reporting.Definition // whose base, dimensions, measures and time zone are known to be there
}

// DefineReport makes a report of the organization's own, or the next version of one, and returns the version that it has now. It
// needs report.define. Another version than the one expected is a [Conflict].
func (c *Commands) DefineReport(ctx context.Context, p *Principal, in DefineReport) (Result, int, error) {
	version := 0
	result, err := c.reporting(ctx, p, in.Command, in.Name, in.Expected, func(s reporting.State) ([]reporting.Event, error) {
		version = len(s.Reports[in.Name].Versions)
		return reporting.Define(s, in.Name, in.Definition)
	}, func(e reporting.Event) {
		if defined, ok := e.(reporting.Defined); ok {
			version = defined.Version
		}
	})
	return result, version, err
}

// RetireReport is the input of [Commands.RetireReport].
type RetireReport struct {
	Command
	Expected *int // as of [DefineReport]
	Name     string
}

// RetireReport ends a report of the organization's own; its versions stay, and its name. It needs report.define.
func (c *Commands) RetireReport(ctx context.Context, p *Principal, in RetireReport) (Result, error) {
	return c.reporting(ctx, p, in.Command, in.Name, in.Expected, func(s reporting.State) ([]reporting.Event, error) {
		return reporting.Retire(s, in.Name)
	}, func(reporting.Event) {})
}

// reporting is the way of a command on a report. All are in one stream, which is expected at no version: that of the report is.
func (c *Commands) reporting(ctx context.Context, p *Principal, cmd Command, name string, expected *int,
	choose func(reporting.State) ([]reporting.Event, error), happened func(reporting.Event)) (Result, error) {
	if err := p.may(organization.DefineReports); err != nil {
		return Result{}, err
	}
	cmd.ExpectedVersion = 0
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	done, err := decide(ctx, c, &c.reports, c.ReportStream(p), act, nil, func(s reporting.State) ([]reporting.Event, error) {
		if now := len(s.Reports[name].Versions); expected != nil && *expected != now {
			return nil, &Conflict{CurrentVersion: eventlog.Version(now)}
		}
		return choose(s)
	})
	for _, e := range done.events {
		happened(e)
	}
	return Result{ID: p.Organization, Receipt: done.receipt}, err
}
