package automations

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	domainretention "github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/projections/retention"
)

// ErrDryRunTime reports a dry run of a time that is over, or further away than any rule reaches.
var ErrDryRunTime = errors.New("retention: a dry run is of now or later, and within 100 years")

// DryRun asks whom a rule of the principal's organization would erase at a time (zero: now), and how many they are. A rule that there
// is, is named by its id and found however new it is: [commands.ErrNotFound]; else trial is tried. Nothing is erased. A caller that shows
// the answer puts that on record first, with [commands.Commands.TryRetention].
func DryRun(ctx context.Context, c *commands.Commands, source retention.Source, p *commands.Principal, id uuid.UUID, trial domainretention.State, at time.Time) (q retention.Question, due int, err error) {
	now := c.Now()
	if at.IsZero() {
		at = now
	}
	if at.Before(now.Add(-time.Minute)) || at.After(now.AddDate(0, 0, domainretention.MaxDays)) {
		return q, 0, ErrDryRunTime
	}
	if id != uuid.Nil {
		head, err := source.Log.Head(ctx)
		if err == nil {
			err = source.Engine.Wait(ctx, head, retention.Model.Name)
		}
		if err != nil {
			return q, 0, err
		}
		rule, found, err := retention.Get(ctx, source.DB, p.Organization, id)
		if err == nil && !found {
			err = commands.ErrNotFound
		}
		if err != nil {
			return q, 0, err
		}
		trial = rule.State()
	}
	if q, err = source.Ask(ctx, p.Organization, trial, at, p.ManagingRoles()); err == nil {
		due, err = q.Count(ctx)
	}
	return q, due, err
}

// Waiting counts who is due by a rule now and waits: nobody, unless it is approved.
func Waiting(ctx context.Context, c *commands.Commands, source retention.Source, p *commands.Principal, rule retention.Rule) (int, error) {
	if rule.Status != domainretention.StatusApproved {
		return 0, nil
	}
	_, due, err := DryRun(ctx, c, source, p, uuid.Nil, rule.State(), time.Time{})
	return due, err
}
