package instance

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections"
)

// again is the pause before something is looked at once more that is not there yet.
const again = 50 * time.Millisecond

// CaughtUp returns when every read model has reached the head that the log had when it was called, whoever folds it. It
// outlives a log or a database that goes away meanwhile. A read model that has FAILED is not waited for, so that the others
// serve: it is among stopped.
func (i *Instance) CaughtUp(ctx context.Context) (stopped []string, err error) {
	var head eventlog.Position
	if err := patiently(ctx, func() (err error) { head, err = i.Log.Head(ctx); return err }); err != nil {
		return nil, err
	}
	for _, m := range Models() {
		err := patiently(ctx, func() error {
			err := i.Engine.Wait(ctx, head, m.Name)
			if !errors.Is(err, projections.ErrBehind) {
				return err
			}
			statuses, failed := i.Engine.Statuses(ctx)
			if failed != nil {
				return failed
			}
			for _, s := range statuses {
				if s.Name == m.Name && s.State == projections.Failed {
					stopped = append(stopped, m.Name)
					return nil
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return stopped, nil
}

// patiently calls f until it succeeds, ctx ends, or it fails otherwise than by being early or without its servers.
func patiently(ctx context.Context, f func() error) error {
	for {
		err := f()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, projections.ErrBehind), errors.Is(err, eventlog.ErrUnavailable), err != nil && projections.Unreachable(err):
		default:
			return err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Misfits says, a sentence each, which read models cannot be served because they do not belong to this log, or because the
// vault lacks keys of what the log holds: after a restore that went wrong. It says nothing of read models that stopped at an
// event for another reason.
func (i *Instance) Misfits(ctx context.Context) (misfits []string, err error) {
	statuses, err := i.Engine.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range statuses {
		// What a read model has failed at lies in the database as text: another process may have written it.
		switch {
		case s.State != projections.Failed:
		case strings.Contains(s.Error, vault.ErrNoKey.Error()):
			misfits = append(misfits, s.Name+": the vault lacks keys of events in the log: it is older than the log or another one; restore the newest backup of the vault")
		case strings.Contains(s.Error, projections.ErrForeign.Error()):
			misfits = append(misfits, s.Name+": "+s.Error)
		}
	}
	return misfits, nil
}
