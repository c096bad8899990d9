package graph

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/results"
)

// asked is a report that somebody asks for.
type asked struct {
	reports.Asked
	part results.Part // of the log that it is folded from
}

// report finds a report by its name; no version: the newest. It is not for those that were retired.
func (r *resolver) report(ctx context.Context, p *commands.Principal, name string, version *int) (asked, error) {
	a, err := reports.Find(func() (reporting.State, error) { return r.Commands.Reports(ctx, p) }, name, version)
	return asked{a, results.Part(a.Folded)}, err
}

// madeUnder is the report that a result was made as, also if it was retired since.
func (r *resolver) madeUnder(ctx context.Context, p *commands.Principal, s results.State) (asked, error) {
	if s.Definition == 0 {
		return r.report(ctx, p, s.Report, nil)
	}
	own, err := r.Commands.Reports(ctx, p)
	if err != nil {
		return asked{}, err
	}
	d, err := own.Version(s.Report, s.Definition)
	if err != nil {
		return asked{}, err
	}
	a, err := reports.Under(s.Report, s.Definition, d)
	return asked{a, results.Part(a.Folded)}, err
}

// live is the database of a report as it is, or as of a past. One that takes a part of the log is folded for the question.
func (r *resolver) live(ctx context.Context, a asked, v engine.Viewer, in *generated.AsOf) (engine.DB, time.Time, error) {
	if a.part.IsZero() && (in == nil || in.HappenedBy == nil) {
		return r.listOf(ctx, a.Model, v, in)
	}
	now := time.Now()
	at, err := r.asOf(ctx, "asOf", in)
	if err == nil && v.Scope != organization.All { // whose the records are without some events is not whose they are
		err = commands.ErrForbidden
	}
	if err != nil {
		return nil, now, err
	}
	if in != nil {
		now, err = r.moment(ctx, v.Organization, at)
	} else {
		at.Position, err = r.Log.Head(ctx)
	}
	if err != nil {
		return nil, now, err
	}
	recorded, happened := results.Past(at)
	part := strings.Join(a.part.Words(eventlog.AsOf{HappenedBy: at.HappenedBy}), "\n")
	db, release, err := r.lists.Of(ctx, a.Model, v.Organization, recorded, part, func(e *eventlog.Event) bool { return happened(e) && a.part.Takes(e) })
	if err == nil {
		context.AfterFunc(ctx, release) // what is counted is counted later
	}
	return db, now, err
}

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

// ownReports reads the definitions from the log: who made each, when, and why.
func (r *resolver) ownReports(ctx context.Context, p *commands.Principal) ([]*generated.OwnReport, error) {
	history, err := r.past.Facts(ctx, r.Commands.ReportStream(p), eventlog.AsOf{})
	if err != nil {
		return nil, err
	}
	people, known := r.people(p), make(map[string]*generated.OwnReport)
	for _, f := range history {
		payload, err := f.Payload()
		if err != nil {
			return nil, err
		}
		meta, err := f.Metadata()
		if err != nil {
			return nil, err
		}
		switch e := payload.(type) {
		case reporting.Defined:
			if known[e.Name] == nil {
				known[e.Name] = &generated.OwnReport{Name: e.Name}
			}
			own := known[e.Name]
			own.Version, own.Retired = e.Version, false
			people.Want(meta.Actor)
			definition, err := definitionObject(e.Definition)
			if err != nil {
				return nil, err
			}
			v := &model.OwnReportVersion{Version: e.Version, Definition: definition, DefinedAt: f.OccurredAt, By: meta.Actor, Accounts: people}
			if meta.Reason != "" {
				v.Reason = &meta.Reason
			}
			own.Versions = slices.Insert(own.Versions, 0, v)
		case reporting.Retired:
			known[e.Name].Retired = true
		}
	}
	all := make([]*generated.OwnReport, 0, len(known))
	for _, name := range slices.Sorted(maps.Keys(known)) {
		all = append(all, known[name])
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
	if p.Scope(organization.DefineReports) == organization.None { // before anything is said about the definition
		return nil, commands.ErrForbidden
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
	if checked, err := reporting.Define(reporting.State{}, in.Name, d); err != nil {
		return nil, err
	} else if err := reports.Check(ctx, m.DB, in.Name, checked[0].(reporting.Defined).Definition); err != nil {
		return nil, err
	}
	done, _, err := m.Commands.DefineReport(ctx, p, commands.DefineReport{
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
