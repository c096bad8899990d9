package graph

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/results"
)

func (r *resolver) resultObject(p *commands.Principal, s results.State) *model.ReportResult {
	o := &model.ReportResult{
		ID: s.ID, Name: s.Name, Report: s.Report, ReadModel: s.Model, Definition: given(s.Definition), Of: append([]string{}, s.Part.Words(s.AsOf)...),
		Status: model.Enum(s.Status), Progress: s.Progress, Events: int(s.Events), Position: given(s.Position), Parked: s.Parked,
		Problem: given(s.Problem), MadeAt: s.MadeAt, EndedAt: given(s.EndedAt), By: s.By, Accounts: r.people(p),
	}
	o.Accounts.Want(s.By)
	return o
}

func (q query) ReportResults(ctx context.Context) ([]*model.ReportResult, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	all, err := q.catalogue.Named(ctx, p)
	return objects(all, func(s results.State) *model.ReportResult { return q.resultObject(p, s) }), err
}

func (q query) ReportResult(ctx context.Context, id uuid.UUID) (*model.ReportResult, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	s, err := q.catalogue.Result(ctx, p, id)
	if errors.Is(err, results.ErrNotFound) {
		return nil, nil
	}
	return q.resultObject(p, s), err
}

func (m mutation) RebuildReport(ctx context.Context, in generated.RebuildReportInput) (*model.ReportResult, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	wish := reports.Rebuild{Name: in.Name, Report: in.Report, Definition: in.Definition}
	if wish.AsOf, err = m.asOf(ctx, "asOf", in.AsOf); err != nil {
		return nil, err
	}
	if f := in.Filter; f != nil {
		wish.Part = results.Part{Types: f.Types, Without: f.Without, Actors: f.Actors, Streams: f.Records, From: value(f.From), To: value(f.To)}
	}
	s, fold, err := m.catalogue.Rebuild(ctx, p, wish, func(err error) string { return m.errors.present(m.background, err).Message })
	if err != nil {
		return nil, err
	}
	m.Logger.InfoContext(ctx, "a report is being rebuilt", "result", s.ID, "report", s.Report, "account", p.Account)
	go func() {
		if err := fold(m.background); err != nil && !errors.Is(err, results.ErrDropped) {
			m.Logger.WarnContext(m.background, "a report was not rebuilt", "result", s.ID, "error", err)
		}
	}()
	return m.resultObject(p, s), nil
}

func (m mutation) DropResult(ctx context.Context, id uuid.UUID) (bool, error) {
	p, err := callerOf(ctx).now(ctx)
	if err == nil {
		err = m.catalogue.Drop(ctx, p, id)
	}
	if err != nil {
		return false, err
	}
	m.Logger.InfoContext(ctx, "a result was dropped", "result", id, "account", p.Account)
	return true, nil
}

// ReportResult shows a result whenever it has moved, until it has ended or the session has.
func (s subscription) ReportResult(ctx context.Context, id uuid.UUID) (<-chan *model.ReportResult, error) {
	return watch(ctx, s, func(p *commands.Principal) (results.State, float64, bool, error) {
		state, err := s.catalogue.Result(ctx, p, id)
		return state, state.Progress, state.Status != results.Running, err
	}, s.resultObject)
}
