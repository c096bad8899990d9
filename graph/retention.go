package graph

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/automations"
	"github.com/annal-crm/annal/commands"
	domainretention "github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/erasures"
	"github.com/annal-crm/annal/projections/retention"
)

func (r *resolver) retention() retention.Source {
	return retention.Source{Log: r.Log, Engine: r.Engine, DB: r.DB}
}

func (q query) RetentionRules(ctx context.Context, first *int, after *string, last *int, before *string, at *eventlog.Position) (*model.RetentionRuleConnection, error) {
	request, err := paging(first, after, last, before)
	if err != nil {
		return nil, err
	}
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	if err := q.Commands.MaySeeRetention(p); err != nil {
		return nil, err
	}
	if at != nil {
		if err := q.Engine.Wait(ctx, *at, retention.Model.Name, erasures.Model.Name); err != nil {
			return nil, err
		}
	}
	page, err := retention.List(ctx, q.DB, p.Organization, request)
	object := q.rules(p)
	return listed(page, err, object, func(ctx context.Context) (int, error) { return retention.CountRules(ctx, q.DB, p.Organization) })
}

// rules returns what makes objects of the rules of one page.
func (r *resolver) rules(p *commands.Principal) func(retention.Rule) *model.RetentionRule {
	people := r.people(p)
	asked := model.NewBatch(func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*model.RetentionErasures, error) {
		found, err := erasures.ByRule(ctx, r.DB, p.Organization, ids)
		objects := make(map[uuid.UUID]*model.RetentionErasures, len(found))
		for id, n := range found {
			objects[id] = &model.RetentionErasures{Done: n.Done, UnderWay: n.UnderWay}
		}
		return objects, err
	})
	return func(rule retention.Rule) *model.RetentionRule {
		people.Want(rule.ProposedBy)
		people.Want(rule.ApprovedBy)
		people.Want(rule.EndedBy)
		asked.Want(rule.ID)
		object := &model.RetentionRule{
			ID: rule.ID, Status: model.Enum(rule.Status), Basis: model.Enum(rule.Basis), Days: rule.Days, PerDay: rule.PerDay, Reason: rule.Reason,
			ProposedAt: rule.ProposedAt, Ending: model.Text(rule.End),
			ProposedByID: rule.ProposedBy, ApprovedByID: rule.ApprovedBy, EndedByID: rule.EndedBy, Accounts: people, Erasures: asked,
			CountWaiting: func(ctx context.Context) (int, error) {
				return automations.Waiting(ctx, r.Commands, r.retention(), p, rule)
			},
			EndedAt: given(rule.EndedAt),
		}
		if !rule.ApprovedAt.IsZero() {
			object.ApprovedAt, object.Due = &rule.ApprovedAt, &rule.Due
		}
		return object
	}
}

func (q query) RetentionDryRun(ctx context.Context, ruleID *uuid.UUID, trial *generated.RetentionTrialInput, at *time.Time) (*model.RetentionDryRun, error) {
	if (ruleID == nil) == (trial == nil) {
		return nil, invalid("ruleId", "or rule must be given, and not both")
	}
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	if err := q.Commands.MaySeeRetention(p); err != nil {
		return nil, err
	}
	var rule domainretention.State
	if trial != nil {
		checked, err := domainretention.Check(domainretention.Proposed{Basis: domainretention.Basis(trial.Basis), Days: trial.Days})
		if err != nil {
			return nil, err
		}
		rule.Basis, rule.Days = checked.Basis, checked.Days
	}
	question, due, err := automations.DryRun(ctx, q.Commands, q.retention(), p, value(ruleID), rule, value(at))
	if errors.Is(err, automations.ErrDryRunTime) {
		err = invalid("at", "must be now or later, and within 100 years")
	}
	if err != nil {
		return nil, err
	}
	if _, err := q.Commands.TryRetention(ctx, p, commands.Command{}, question.String(due)); err != nil {
		return nil, err
	}
	run := &model.RetentionDryRun{At: question.At, Position: question.Head, Due: due, Kept: []*model.RetentionKept{}}
	for _, k := range question.Kept {
		run.Kept = append(run.Kept, &model.RetentionKept{AccountID: k.ID, Why: model.Enum(k.Why)})
	}
	run.Page = func(ctx context.Context, first *int, after *string, last *int, before *string) (*model.RetentionSubjectConnection, error) {
		request, err := paging(first, after, last, before)
		if err != nil {
			return nil, err
		}
		page, err := question.Due(ctx, request)
		return listed(page, err, func(c retention.Count) *model.RetentionSubject {
			return &model.RetentionSubject{Kind: c.Basis.Of(), ID: c.ID, Since: c.Since, Position: c.Position, DueAt: question.Rule.DueAt(c.Since, c.Recorded)}
		}, func(context.Context) (int, error) { return due, nil })
	}
	return run, nil
}

func (m mutation) ProposeRetentionRule(ctx context.Context, in generated.ProposeRetentionRuleInput) (*generated.RetentionRulePayload, error) {
	if in.PerDay != nil && *in.PerDay == 0 {
		return nil, invalid("perDay", fmt.Sprintf("must be 1 to %d", domainretention.MaxPerDay))
	}
	return m.onRule(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.ProposeRetention(ctx, p, commands.ProposeRetention{
			Command: command(in.CommandID, &in.Reason), Basis: domainretention.Basis(in.Basis), Days: in.Days, PerDay: value(in.PerDay),
		})
	})
}

func (m mutation) ApproveRetentionRule(ctx context.Context, in generated.ApproveRetentionRuleInput) (*generated.RetentionRulePayload, error) {
	return m.onRule(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.ApproveRetention(ctx, p, commands.ApproveRetention{
			Command: command(in.CommandID, nil), RuleID: in.RuleID, Shown: in.Due, Due: func(ctx context.Context, rule domainretention.State) (int, error) {
				_, due, err := automations.DryRun(ctx, m.Commands, m.retention(), p, uuid.Nil, rule, time.Time{})
				return due, err
			},
		})
	})
}

func (m mutation) EndRetentionRule(ctx context.Context, in generated.EndRetentionRuleInput) (*generated.RetentionRulePayload, error) {
	return m.onRule(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.EndRetention(ctx, p, commands.EndRetention{Command: command(in.CommandID, &in.Reason), RuleID: in.RuleID})
	})
}

// onRule is the way of a mutation on a rule.
func (m mutation) onRule(ctx context.Context, act func(*commands.Principal) (commands.Result, error)) (*generated.RetentionRulePayload, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	done, err := act(p)
	if err != nil {
		return nil, err
	}
	rule, err := shown(ctx, m.resolver, done.Receipt, []string{retention.Model.Name}, func() (*model.RetentionRule, error) {
		row, found, err := retention.Get(ctx, m.DB, p.Organization, done.ID)
		if err != nil || !found {
			return nil, err
		}
		return m.rules(p)(row), nil
	})
	if err != nil {
		return nil, err
	}
	return &generated.RetentionRulePayload{Rule: rule, Receipt: receipt(done.Receipt)}, nil
}
