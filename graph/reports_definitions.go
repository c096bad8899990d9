package graph

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
)

func (q query) ReportDefinitions(ctx context.Context, name *string) ([]*generated.OwnReport, error) {
	p, _, err := q.read(ctx, organization.ViewReports, nil)
	if err != nil {
		return nil, err
	}
	all, err := q.ownReports(ctx, p)
	if name != nil {
		all = slices.DeleteFunc(all, func(r *generated.OwnReport) bool { return r.Name != *name })
	}
	return all, err
}

// ownReports shows the definitions.
func (r *resolver) ownReports(ctx context.Context, p *commands.Principal) ([]*generated.OwnReport, error) {
	known, err := r.catalogue.Definitions(ctx, p)
	if err != nil {
		return nil, err
	}
	people, all := r.people(p), make([]*generated.OwnReport, len(known))
	for i, own := range known {
		all[i] = &generated.OwnReport{Name: own.Name, Version: own.Version, Retired: own.Retired}
		for _, v := range own.Versions {
			people.Want(v.By)
			definition, err := definitionObject(v.Definition)
			if err != nil {
				return nil, err
			}
			all[i].Versions = append(all[i].Versions, &model.OwnReportVersion{
				Version: v.Version, Definition: definition, DefinedAt: v.At, Reason: given(v.Reason), By: v.By, Accounts: people,
			})
		}
	}
	return all, nil
}

// definitionObject is a definition with the names of DefineReportInput.
func definitionObject(d reporting.Definition) (json.RawMessage, error) {
	type part struct {
		Types   []string    `json:"types,omitempty"`
		Without []string    `json:"without,omitempty"`
		Actors  []uuid.UUID `json:"actors,omitempty"`
		Streams []uuid.UUID `json:"records,omitempty"`
		From    time.Time   `json:"from,omitzero"`
		To      time.Time   `json:"to,omitzero"`
	}
	return json.Marshal(struct {
		About    string                `json:"about,omitempty"`
		BasedOn  string                `json:"basedOn"`
		Events   part                  `json:"events,omitzero"`
		Where    []reporting.Condition `json:"where,omitempty"`
		TimeZone string                `json:"timeZone,omitempty"`
		Bands    []int                 `json:"bands,omitempty"`
		Measures []reporting.Measure   `json:"measures,omitempty"`
	}{d.About, d.Base, part(d.Events), d.Where, d.Zone, d.Bands, d.Measures})
}

func conditions(in []*generated.ReportCondition) (all []reporting.Condition) {
	for _, c := range in {
		all = append(all, reporting.Condition{Dimension: c.Dimension, In: c.In})
	}
	return all
}

func (m mutation) DefineReport(ctx context.Context, in generated.DefineReportInput) (*generated.OwnReportPayload, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	if in.ExpectedVersion != nil && *in.ExpectedVersion < 0 {
		return nil, invalid("expectedVersion", "must be at least 0")
	}
	d := reporting.Definition{About: value(in.About), Base: in.BasedOn, Where: conditions(in.Where), Zone: value(in.TimeZone), Bands: in.Bands}
	if f := in.Events; f != nil {
		d.Events = reporting.Events{Types: f.Types, Without: f.Without, Actors: f.Actors, Streams: f.Records, From: value(f.From), To: value(f.To)}
	}
	for _, one := range in.Measures {
		d.Measures = append(d.Measures, reporting.Measure{Name: one.Name, About: value(one.About), Of: one.Of, Where: conditions(one.Where), Per: one.Per})
	}
	done, err := m.catalogue.Define(ctx, p, commands.DefineReport{
		Command: command(in.CommandID, in.Reason), Expected: in.ExpectedVersion, Name: in.Name, Definition: d,
	})
	return m.ownReport(ctx, p, in.Name, done, err)
}

func (m mutation) RetireReport(ctx context.Context, in generated.RetireReportInput) (*generated.OwnReportPayload, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	done, err := m.Commands.RetireReport(ctx, p, commands.RetireReport{Command: command(in.CommandID, in.Reason), Expected: in.ExpectedVersion, Name: in.Name})
	return m.ownReport(ctx, p, in.Name, done, err)
}

// ownReport shows what a command has made of a report. It is read from the log, which is never behind.
func (m mutation) ownReport(ctx context.Context, p *commands.Principal, name string, done commands.Result, err error) (*generated.OwnReportPayload, error) {
	if err != nil {
		return nil, err
	}
	all, err := m.ownReports(ctx, p)
	if err != nil {
		return nil, &notShown{done.Receipt, err}
	}
	i := slices.IndexFunc(all, func(r *generated.OwnReport) bool { return r.Name == name })
	return &generated.OwnReportPayload{Report: all[i], Receipt: receipt(done.Receipt)}, nil
}
