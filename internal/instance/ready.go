package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/annal-crm/annal/projections"
)

// CaughtUp returns when every read model has reached the head that the log had when it was called. A read model that has
// FAILED is not waited for: it says so itself, and the others serve.
func (i *Instance) CaughtUp(ctx context.Context) error {
	head, err := i.Log.Head(ctx)
	if err != nil {
		return err
	}
	for _, m := range Models() {
		for {
			err := i.Engine.Wait(ctx, head, m.Name)
			if err == nil {
				break
			}
			if !errors.Is(err, projections.ErrBehind) {
				return err
			}
			failed, err := i.failed(ctx, m.Name)
			if err != nil {
				return err
			}
			if failed {
				break
			}
			select {
			case <-time.After(50 * time.Millisecond): // Wait itself waits seconds; this only calms a model that is not run at all
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (i *Instance) failed(ctx context.Context, name string) (bool, error) {
	statuses, err := i.Engine.Statuses(ctx)
	if err != nil {
		return false, err
	}
	for _, s := range statuses {
		if strings.EqualFold(s.Name, name) {
			return s.State == projections.Failed, nil
		}
	}
	return false, fmt.Errorf("there is no read model %q", name)
}
