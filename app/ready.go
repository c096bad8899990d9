package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
)

const (
	again = 50 * time.Millisecond // before something is looked at once more that is not there yet

	// given is how long a read model may be FAILED before that is believed: the word may be of a process that is gone, and
	// who takes its lease over (3 s) and looks anew (1 s) takes it back.
	given = 5 * time.Second
)

// Fit returns nil if the read models belong to the log, else [engine.ErrForeign]. It does not see what the vault lacks:
// [Instance.CaughtUp] does.
func (i *Instance) Fit(ctx context.Context) error { return i.Engine.Fit(ctx) }

// CaughtUp returns nil when every read model has reached the head that the log had when it was called, whoever folds it. It
// outlives a log or a database that goes away meanwhile. Its error is [engine.ErrForeign] or [vault.ErrNoKey] if read
// models cannot go on because log, vault and read models do not belong together.
func (i *Instance) CaughtUp(ctx context.Context) error {
	var head eventlog.Position
	if err := patiently(ctx, func() (err error) { head, err = i.Log.Head(ctx); return err }); err != nil {
		return err
	}
	var misfits []error
	for _, m := range Models() {
		var failed time.Time // since
		err := patiently(ctx, func() error {
			err := i.Engine.Wait(ctx, head, m.Name)
			if !errors.Is(err, engine.ErrBehind) {
				return err
			}
			reason, unknown := i.failed(ctx, m.Name)
			switch {
			case unknown != nil:
				return unknown
			case reason == nil:
				failed = time.Time{}
			case failed.IsZero():
				failed = time.Now()
			case time.Since(failed) > given:
				return reason
			}
			return err
		})
		switch {
		case errors.Is(err, vault.ErrNoKey), errors.Is(err, engine.ErrForeign):
			misfits = append(misfits, err)
		case err != nil:
			return err
		}
	}
	return errors.Join(misfits...)
}

// failed returns why a read model is FAILED, nil if it is not. What it has failed at lies in the database as text, because
// another process may have found it out.
func (i *Instance) failed(ctx context.Context, name string) (reason, err error) {
	statuses, err := i.Engine.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range statuses {
		switch {
		case s.Name != name || s.State != engine.Failed:
		case strings.Contains(s.Error, vault.ErrNoKey.Error()):
			return fmt.Errorf("%s cannot be folded at position %s: %w; the vault is older than the log, or another one: restore its newest backup", name, s.ErrorPosition, vault.ErrNoKey), nil
		default:
			return fmt.Errorf("%w: %s", engine.ErrForeign, strings.TrimPrefix(s.Error, engine.ErrForeign.Error()+": ")), nil
		}
	}
	return nil, nil
}

// patiently calls f until it succeeds, ctx ends, or it fails otherwise than by being early or without its servers.
func patiently(ctx context.Context, f func() error) error {
	for {
		err := f()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, engine.ErrBehind), errors.Is(err, eventlog.ErrUnavailable), err != nil && engine.Unreachable(err):
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
