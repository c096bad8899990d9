package app

import (
	"context"
	"slices"
	"time"

	"github.com/annal-crm/annal/automations"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/projections/deadlines"
	"github.com/annal-crm/annal/projections/engine"
)

// due reads the automations' to-do list from its read model.
type due struct{ db engine.DB }

// Deadlines returns the automations' to-do list.
func (i *Instance) Deadlines() automations.Deadlines { return due{i.Pool} }

const dueAtOnce = 500 // of a kind; what is left is there at the next look

// Due implements [automations.Deadlines].
func (d due) Due(ctx context.Context, until time.Time) ([]automations.Deadline, error) {
	locks, err := deadlines.DueLocks(ctx, d.db, until, dueAtOnce)
	if err != nil {
		return nil, err
	}
	sessions, err := deadlines.DueSessions(ctx, d.db, until, dueAtOnce)
	if err != nil {
		return nil, err
	}
	var all []automations.Deadline
	for _, l := range locks {
		all = append(all, automations.Deadline{Organization: l.Organization, Account: l.Account, At: l.Until, Cause: l.Event})
	}
	for _, s := range sessions {
		all = append(all, automations.Deadline{
			Organization: s.Organization, Account: s.Account, Session: s.ID, At: s.Opened.Add(account.SessionIdle), Cause: s.Event,
		})
	}
	slices.SortStableFunc(all, func(a, b automations.Deadline) int { return a.At.Compare(b.At) })
	return all, nil
}
