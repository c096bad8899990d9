package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
)

// Record is what one row t brings to a query's measures.
type Record struct {
	Key     string              // of the row, the same in all tables of the read model
	ID      uuid.UUID           // of its record; zero: the row is an event
	By      string              // the values of the query's dimensions
	Numbers string              // of its measures, exact
	Events  []eventlog.Position // behind it
}

// Records returns what each of the rows that a query's filter takes brings to its measures, by their keys: up to limit of them. The
// filter speaks of the query's now, ages that are measured of another instant, so that those of different days can be compared.
func (r *Report) Records(ctx context.Context, db engine.DB, codec *eventcodec.Codec, v engine.Viewer, q Query, measured time.Time, limit int) ([]Record, error) {
	s, err := r.begin(ctx, db, codec, v, q)
	if err != nil {
		return nil, err
	}
	s.exact, s.now, s.nowArg = true, measured, ""
	texts := func(columns []Column) string {
		all := []string{"''"}
		for _, c := range columns {
			all = append(all, "coalesce(("+s.sql(c)+")::text, '-')")
		}
		return "concat_ws('|', " + strings.Join(all, ", ") + ")"
	}
	by, groups := texts(s.dimensions), []string{"1"}
	for _, c := range s.dimensions {
		groups = append(groups, s.sql(c))
	}
	rows, err := db.Query(ctx, fmt.Sprintf("%sselect (%s)::text, %s, %s, min(%s)%s where %s group by %s order by 1 limit %d",
		s.with, cmp.Or(r.Record, r.Evidence), by, texts(s.measures), r.Evidence, s.from, s.clause.SQL(), strings.Join(groups, ", "), limit), s.clause.Args()...)
	if err != nil {
		return nil, fmt.Errorf("report: %s: %w", r.Name, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (one Record, err error) {
		if err = row.Scan(&one.Key, &one.By, &one.Numbers, &one.Events); err == nil && r.Record != "" {
			one.ID, err = uuid.Parse(one.Key)
		}
		return one, err
	})
}

// Learned returns what rows of a query depend on besides themselves, if the columns that it asks for and is narrowed by do; nil: nothing.
func (r *Report) Learned(q Query) *Report {
	asked := slices.Concat(q.By, q.Measures, slices.Collect(maps.Keys(q.Filter.In)))
	for _, c := range slices.Concat(r.Dimensions, r.Measures) {
		for _, j := range r.Joins {
			if j.Learned != nil && slices.Contains(asked, c.Name) && slices.Contains(c.Joins, j.Name) {
				return j.Learned
			}
		}
	}
	return nil
}
