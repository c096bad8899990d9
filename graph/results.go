package graph

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports/results"
)

const resultPace = 250 * time.Millisecond // between two looks of a subscription; who folds says how far it is every 500 ms

// mayReadResults tells an error if a principal may not read results of rebuilt reports: whose a record was is not whose it is.
func mayReadResults(p *commands.Principal, err error) (*commands.Principal, error) {
	if err == nil && p.Scope(organization.ViewReports) != organization.All {
		err = commands.ErrForbidden
	}
	return p, err
}

// mayRebuild tells an error if a principal may not have reports rebuilt, or drop them: there is room for few.
func mayRebuild(p *commands.Principal, err error) (*commands.Principal, error) {
	if p, err = mayReadResults(p, err); err == nil && p.Scope(organization.DefineReports) == organization.None {
		err = commands.ErrForbidden
	}
	return p, err
}

func (r *resolver) resultObject(p *commands.Principal, s results.State) *model.ReportResult {
	o := &model.ReportResult{
		ID: s.ID, Name: s.Name, Report: s.Report, ReadModel: s.Model, Of: s.Part.Words(s.AsOf), Status: model.Enum(s.Status), Progress: s.Progress,
		Events: int(s.Events), Parked: s.Parked, MadeAt: s.MadeAt, By: s.By, Accounts: r.people(p),
	}
	if o.Of == nil {
		o.Of = []string{}
	}
	if s.Definition != 0 {
		o.Definition = &s.Definition
	}
	o.Accounts.Want(s.By)
	if s.Position != 0 {
		o.Position = &s.Position
	}
	if s.Problem != "" {
		o.Problem = &s.Problem
	}
	if !s.EndedAt.IsZero() {
		o.EndedAt = &s.EndedAt
	}
	return o
}

func (q query) ReportResults(ctx context.Context) ([]*model.ReportResult, error) {
	p, err := mayReadResults(callerOf(ctx).who(ctx))
	if err != nil {
		return nil, err
	}
	all, err := q.kept.List(ctx, p.Organization)
	if err != nil {
		return nil, err
	}
	objects := make([]*model.ReportResult, len(all))
	for i, s := range all {
		objects[i] = q.resultObject(p, s)
	}
	return objects, nil
}

func (q query) ReportResult(ctx context.Context, id uuid.UUID) (*model.ReportResult, error) {
	p, err := mayReadResults(callerOf(ctx).who(ctx))
	if err != nil {
		return nil, err
	}
	s, err := q.kept.Get(ctx, p.Organization, id)
	if errors.Is(err, results.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return q.resultObject(p, s), nil
}

// resultOf is the database of a result of a read model, and the instant that it is about; argument names it.
func (r *resolver) resultOf(ctx context.Context, readModel, argument string, v engine.Viewer, id uuid.UUID) (engine.DB, time.Time, error) {
	if v.Scope != organization.All {
		return nil, time.Time{}, commands.ErrForbidden
	}
	s, db, err := r.kept.Open(ctx, v.Organization, id)
	if err == nil && s.Model != readModel {
		err = invalid(argument, "is of the read model "+s.Model+", this report of "+readModel)
	}
	return db, s.Moment, err
}

// reportOfResult finds the report that is asked of a result: without a version, that which the result was made under. One that takes a
// part of the log itself is asked of what was folded from that part.
func (r *resolver) reportOfResult(ctx context.Context, p *commands.Principal, name string, version *int, id uuid.UUID) (asked, error) {
	if _, err := mayReadResults(p, nil); err != nil {
		return asked{}, err
	}
	s, err := r.kept.Get(ctx, p.Organization, id)
	if err != nil {
		return asked{}, err
	}
	if name == s.Report && (version == nil || *version == s.Definition && s.Definition > 0) {
		return r.madeUnder(ctx, p, s)
	}
	a, err := r.report(ctx, p, name, version)
	if err == nil && !a.part.IsZero() && !slices.Equal(a.part.Words(eventlog.AsOf{}), s.Under.Words(eventlog.AsOf{})) {
		err = invalid("result", "was not folded from the events that this definition takes: rebuild the report under it")
	}
	return a, err
}

func (m mutation) RebuildReport(ctx context.Context, in generated.RebuildReportInput) (*model.ReportResult, error) {
	p, err := mayRebuild(callerOf(ctx).now(ctx))
	if err != nil {
		return nil, err
	}
	r, err := m.report(ctx, p, in.Report, in.Definition)
	if bad, ok := errors.AsType[domain.Invalid](err); ok && bad["name"] != "" {
		return nil, invalid("report", bad["name"])
	}
	if err != nil {
		return nil, err
	}
	wish := results.Wish{Organization: p.Organization, By: p.Account, Name: in.Name, Report: r.Name, Definition: r.Version, Under: r.part, Model: r.Model}
	if in.AsOf != nil {
		if wish.AsOf, err = m.asOf(ctx, "asOf", in.AsOf); err != nil {
			return nil, err
		}
	}
	if f := in.Filter; f != nil {
		if err := takesSome(f); err != nil {
			return nil, err
		}
		wish.Part = results.Part{Types: f.Types, Without: f.Without, Actors: f.Actors, Streams: f.Records, From: value(f.From), To: value(f.To)}
	}
	fact := audit.Rebuilt{Result: uuid.New(), Name: in.Name, Report: r.Name, Of: wish.Part.Words(wish.AsOf)}
	if r.Version != 0 {
		fact.Of = append([]string{"definition=" + strconv.Itoa(r.Version)}, fact.Of...)
	}
	if _, err := audit.Rebuild(fact); err != nil { // what could not be put on record is not begun
		return nil, err
	}
	if wish.Moment, err = m.moment(ctx, p.Organization, wish.AsOf); err != nil {
		return nil, err
	}
	s, err := m.kept.Begin(ctx, wish)
	if err != nil {
		return nil, err
	}
	fact.Result = s.ID
	m.Logger.InfoContext(ctx, "a report is being rebuilt", "result", s.ID, "report", r.Name, "account", p.Account)
	go m.rebuild(m.background, p, s, fact)
	return m.resultObject(p, s), nil
}

// takesSome tells what is wrong with a filter of events that could take none, and so would look like an answer.
func takesSome(f *generated.LogFilter) error {
	bad := domain.Invalid{}
	for field, names := range map[string][]string{"filter.types": f.Types, "filter.without": f.Without} {
		for _, name := range names {
			if unknown := eventcodec.Unknown(name); unknown != "" {
				bad[field] = unknown
			}
		}
	}
	for field, empty := range map[string]bool{"filter.types": f.Types != nil && len(f.Types) == 0, "filter.actors": f.Actors != nil && len(f.Actors) == 0, "filter.records": f.Records != nil && len(f.Records) == 0} {
		if empty {
			bad[field] = "must name one; all are taken if it is not given"
		}
	}
	if f.From != nil && f.To != nil && !f.From.Before(*f.To) {
		bad["filter.to"] = "must be after from: nothing is between them"
	}
	return bad.Err()
}

// rebuild folds a result.
func (r *resolver) rebuild(ctx context.Context, p *commands.Principal, s results.State, fact audit.Rebuilt) {
	err := r.kept.Fold(ctx, s, func(ctx context.Context) error {
		_, err := r.Commands.Rebuilt(ctx, p, commands.Command{}, fact)
		return err
	}, func(err error) string { return r.errors.present(ctx, err).Message })
	if err != nil && !errors.Is(err, results.ErrDropped) {
		r.Logger.WarnContext(ctx, "a report was not rebuilt", "result", s.ID, "error", err)
	}
}

func (m mutation) DropResult(ctx context.Context, id uuid.UUID) (bool, error) {
	p, err := mayRebuild(callerOf(ctx).now(ctx))
	if err != nil {
		return false, err
	}
	s, err := m.kept.Get(ctx, p.Organization, id)
	if err != nil {
		return false, err
	}
	if s.By != p.Account && p.Scope(organization.Manage) == organization.None {
		return false, commands.ErrForbidden
	}
	if err := m.kept.Drop(ctx, p.Organization, id); err != nil {
		return false, err
	}
	m.Logger.InfoContext(ctx, "a result was dropped", "result", id, "account", p.Account)
	return true, nil
}

// ReportResult tells of a result whenever it has moved, until it has ended or the session has.
func (s subscription) ReportResult(ctx context.Context, id uuid.UUID) (<-chan *model.ReportResult, error) {
	p, err := mayReadResults(callerOf(ctx).now(ctx))
	if err != nil {
		return nil, err
	}
	if _, err := s.kept.Get(ctx, p.Organization, id); err != nil {
		return nil, err
	}
	states := make(chan *model.ReportResult)
	go func() {
		defer close(states)
		if err := s.tellOfResult(ctx, id, states); err != nil && ctx.Err() == nil {
			transport.AddSubscriptionError(ctx, s.errors.present(ctx, err))
		}
	}()
	return states, nil
}

func (s subscription) tellOfResult(ctx context.Context, id uuid.UUID, states chan<- *model.ReportResult) error {
	told := -1.0
	var p *commands.Principal
	for checked := (time.Time{}); ; {
		if time.Since(checked) >= s.config.Recheck {
			var err error
			if p, err = mayReadResults(callerOf(ctx).now(ctx)); err != nil {
				return err
			}
			checked = time.Now()
		}
		state, err := s.kept.Get(ctx, p.Organization, id)
		if err != nil {
			return err
		}
		if ended := state.Status != results.Running; ended || state.Progress > told {
			told = state.Progress
			select {
			case states <- s.resultObject(p, state):
			case <-ctx.Done():
				return nil
			}
			if ended {
				return nil
			}
		}
		select {
		case <-time.After(resultPace):
		case <-ctx.Done():
			return nil
		}
	}
}
