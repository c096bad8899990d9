package engine

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Fit checks, now and against the log itself, whether the read models can be folded on from where they stand. The error
// names each that cannot, as [ErrForeign], or is what kept it from checking. One that is being rebuilt, or that was
// folded from another log and will be folded again, is no misfit.
func (e *Engine) Fit(ctx context.Context) error {
	identity, err := e.log.Identity(ctx)
	if err != nil {
		return err
	}
	var misfits []error
	for _, r := range e.runners {
		c, err := readCheckpoint(ctx, e.pool, r.model.Schema, "")
		if errors.Is(err, pgx.ErrNoRows) || err == nil && c.log != identity {
			continue
		}
		if err != nil {
			return err
		}
		err = e.fits(ctx, r.model.Schema, c)
		if err != nil && !errors.Is(err, ErrForeign) {
			return err
		}
		if err == nil {
			continue
		}
		rebuilding, looked := e.building(ctx, r.model.Schema.String())
		if looked != nil {
			return looked
		}
		if !rebuilding {
			misfits = append(misfits, err)
		}
	}
	return errors.Join(misfits...)
}
