package automations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/retention"
)

// RetentionConfig tunes [Retention]; the zero value is good.
type RetentionConfig struct {
	Tick   time.Duration // between two looks; default 1 minute: rules count in days
	Logger *slog.Logger  // of what could not be judged and will be tried again; default: none
}

// Retention asks for the erasures that approved rules lead to; [Erasures] carries them out. Any number of processes may run it.
type Retention struct {
	commands *commands.Commands
	source   retention.Source
	config   RetentionConfig
}

// NewRetention returns the automation. Start it with [Retention.Run].
func NewRetention(c *commands.Commands, source retention.Source, config RetentionConfig) *Retention {
	config.Tick = cmp.Or(config.Tick, time.Minute)
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	return &Retention{c, source, config}
}

// Run works until ctx ends. What fails is logged, and tried again at the next look.
func (r *Retention) Run(ctx context.Context) {
	tick := time.NewTicker(r.config.Tick)
	defer tick.Stop()
	for {
		if err := r.RunOnce(ctx); err != nil && ctx.Err() == nil {
			r.config.Logger.Warn("automations: a rule of retention could not be applied to all and will be tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// RunOnce applies each rule to those who are due now, as far as its limit lets.
func (r *Retention) RunOnce(ctx context.Context) error {
	rules, err := retention.Running(ctx, r.source.DB)
	if err != nil || len(rules) == 0 {
		return err
	}
	var errs []error
	for _, rule := range rules {
		made, err := r.apply(ctx, rule)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %s: %w", rule.ID, err))
		}
		if made > 0 {
			r.config.Logger.Info("automations: a rule of retention erases", "rule", rule.ID, "persons", made)
		}
	}
	return errors.Join(errs...)
}

func (r *Retention) apply(ctx context.Context, rule retention.Rule) (int, error) {
	p, err := r.commands.System(ctx, rule.Organization)
	if err != nil {
		return 0, err
	}
	question, err := r.source.Ask(ctx, rule.Organization, rule.State(), r.commands.Now(), p.ManagingRoles())
	if err != nil {
		return 0, err
	}
	page, err := question.Due(ctx, engine.PageRequest{First: rule.PerDay})
	if err != nil || len(page.Rows) == 0 {
		return 0, err
	}
	ids := make([]uuid.UUID, len(page.Rows))
	for i, row := range page.Rows {
		ids[i] = row.ID
	}
	with, err := retention.Opportunities(ctx, r.source.DB, ids)
	if err != nil {
		return 0, err
	}
	candidates := make([]commands.RetentionCandidate, len(ids))
	for i, id := range ids {
		candidates[i] = commands.RetentionCandidate{Subject: id, Opportunities: with[id], Managers: question.Managers}
	}
	return r.commands.ApplyRetention(ctx, p, rule.ID, candidates)
}
