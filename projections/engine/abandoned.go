package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// DropResults removes the results whose schemas begin with a prefix, itself beginning with [ResultPrefix], and are abandoned: those
// of a process that was killed before it could drop them.
func (e *Engine) DropResults(ctx context.Context, prefix string, abandoned func(schema string) bool) error {
	if !strings.HasPrefix(prefix, ResultPrefix) {
		return fmt.Errorf("projections: %q names no results", prefix)
	}
	rows, err := e.pool.Query(ctx, "select nspname::text from pg_namespace where starts_with(nspname, $1)", prefix)
	if err != nil {
		return err
	}
	schemas, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, schema := range schemas {
		if resultName.MatchString(schema) && abandoned(schema) {
			if err := (&Result{Schema: schema, engine: e}).Drop(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
