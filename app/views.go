package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/transfer/sqlviews"
)

// ShowViews makes the views of package bi, or brings them to this program's form where its read models have come so far. It reports
// whether it is done with all; who serves tries again until then.
func (i *Instance) ShowViews(ctx context.Context) (all bool, err error) {
	owner, err := pgx.Connect(ctx, i.Address)
	if err != nil {
		return false, fmt.Errorf("views for SQL: %w", plain(err))
	}
	defer owner.Close(context.WithoutCancel(ctx))
	readable, err := readable(ctx, owner)
	if err != nil {
		return false, err
	}
	return sqlviews.Show(ctx, owner, servingIf(i.serves), readable)
}

// readable makes the roles that the views are read as and with, and reports whether the owner of the database may.
func readable(ctx context.Context, owner *pgx.Conn) (bool, error) {
	err := makeRole(ctx, owner, sqlviews.Reader)
	if err == nil {
		err = takeRole(ctx, owner, sqlviews.Owner)
	}
	return allowed(err)
}

// viewsAgain is how often who serves looks whether the views can show the read models' newest versions, and do show their tables: an older
// program's rebuild puts others in their place.
const viewsAgain = 10 * time.Second

// keepViews brings the views to this program's form, when its read models have come so far, and keeps them so until ctx ends.
func (i *Instance) keepViews(ctx context.Context) {
	for {
		_, err := i.ShowViews(ctx)
		if err != nil && ctx.Err() == nil {
			slog.Warn("the views for SQL cannot be made", "error", err.Error())
		}
		select {
		case <-time.After(viewsAgain):
		case <-ctx.Done():
			return
		}
	}
}
