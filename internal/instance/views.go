package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/internal/bi"
)

// ShowViews makes the views of package bi, or brings them to this program's form where its read models have come so far. It reports
// whether it is done with all; who serves tries again until then.
func (i *Instance) ShowViews(ctx context.Context) (all bool, err error) {
	owner, err := pgx.Connect(ctx, i.Address)
	if err != nil {
		return false, fmt.Errorf("views for SQL: %w", plain(err))
	}
	defer owner.Close(context.WithoutCancel(ctx))
	readable := true
	if err := makeRole(ctx, owner, bi.Reader); err != nil {
		refused, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || refused.Code != "42501" { // insufficient_privilege
			return false, err
		}
		slog.Info("the database role may not make the role "+bi.Reader+"; nobody but the owner reads the views for SQL", "error", refused.Message)
		readable = false
	}
	return bi.Show(ctx, owner, servingIf(i.serves), readable)
}

// viewsAgain is how often who serves looks whether the views can show the read models' newest versions.
const viewsAgain = 10 * time.Second

// keepViews brings the views to this program's form, when its read models have come so far, then it returns.
func (i *Instance) keepViews(ctx context.Context) {
	for {
		all, err := i.ShowViews(ctx)
		if err != nil && ctx.Err() == nil {
			slog.Warn("the views for SQL cannot be made", "error", err.Error())
		}
		if all && err == nil {
			return
		}
		select {
		case <-time.After(viewsAgain):
		case <-ctx.Done():
			return
		}
	}
}
