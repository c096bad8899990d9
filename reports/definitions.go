package reports

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/eventlog"
)

// OwnReport is a report of an organization's own, with its versions, the newest first.
type OwnReport struct {
	Name     string
	Version  int
	Retired  bool
	Versions []OwnVersion
}

// OwnVersion is a version of a report: who defined it, when and why.
type OwnVersion struct {
	reporting.Defined
	At     time.Time
	By     uuid.UUID
	Reason string
}

// Definitions returns the reports of the organization's own by their names. They are read from the log, which is never behind.
func (c Catalogue) Definitions(ctx context.Context, p *commands.Principal) (all []OwnReport, err error) {
	var stored []eventlog.Event
	for e, err := range c.Log.ReadStream(ctx, c.Commands.ReportStream(p), 0) {
		if err != nil {
			return nil, err
		}
		stored = append(stored, e)
	}
	events, err := c.Codec.ReadablePage(ctx, stored)
	if err != nil {
		return nil, err
	}
	known := make(map[string]OwnReport)
	for _, event := range events {
		payload, err := event.Payload()
		if err != nil {
			return nil, err
		}
		meta, err := event.Metadata()
		if err != nil {
			return nil, err
		}
		switch e := payload.(type) {
		case reporting.Defined:
			versions := append([]OwnVersion{{e, event.OccurredAt, meta.Actor, meta.Reason}}, known[e.Name].Versions...)
			known[e.Name] = OwnReport{Name: e.Name, Version: e.Version, Versions: versions}
		case reporting.Retired:
			own := known[e.Name]
			own.Retired = true
			known[e.Name] = own
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		all = append(all, known[name])
	}
	return all, nil
}

// Define defines a report of the organization's own, or a new version of it, if it makes a report: see [Check].
func (c Catalogue) Define(ctx context.Context, p *commands.Principal, in commands.DefineReport) (commands.Result, error) {
	if p.Scope(organization.DefineReports) == organization.None { // before anything is said about the definition
		return commands.Result{}, commands.ErrForbidden
	}
	checked, err := reporting.Define(reporting.State{}, in.Name, in.Definition)
	if err != nil {
		return commands.Result{}, err
	}
	if err := Check(ctx, c.DB, in.Name, checked[0].(reporting.Defined).Definition); err != nil {
		return commands.Result{}, err
	}
	done, _, err := c.Commands.DefineReport(ctx, p, in)
	return done, err
}
