package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/annal-crm/annal/projections"
)

// CaughtUp returns when every read model has reached the head that the log had when it was called. A read model that has
// FAILED is not waited for, so that the others serve: it is among stopped.
func (i *Instance) CaughtUp(ctx context.Context) (stopped []string, err error) {
	head, err := i.Log.Head(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range Models() {
		for {
			err := i.Engine.Wait(ctx, head, m.Name)
			if err == nil {
				break
			}
			if !errors.Is(err, projections.ErrBehind) {
				return nil, err
			}
			failed, err := i.failed(ctx, m.Name)
			if err != nil {
				return nil, err
			}
			if failed {
				stopped = append(stopped, m.Name)
				break
			}
			select {
			case <-time.After(50 * time.Millisecond): // Wait itself waits seconds; this only calms a model that is not run at all
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	return stopped, nil
}

func (i *Instance) failed(ctx context.Context, name string) (bool, error) {
	statuses, err := i.Engine.Statuses(ctx)
	if err != nil {
		return false, err
	}
	for _, s := range statuses {
		if s.Name == name {
			return s.State == projections.Failed, nil
		}
	}
	return false, fmt.Errorf("there is no read model %q", name)
}
