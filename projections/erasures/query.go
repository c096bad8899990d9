package erasures

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
)

// Filter narrows the list of requests. Fields that are not given let everything pass.
type Filter struct {
	Statuses []erasure.Status // any of them; nil: any at all
	AskedBy  uuid.UUID        // zero: anybody
	Rule     uuid.UUID        // of retention; zero: any, and none
}

var newestFirst = requests.Descending("asked_at", "id")

// List returns a page of an organization's requests, the newest first.
func List(ctx context.Context, db engine.DB, organization uuid.UUID, f Filter, page engine.PageRequest) (engine.Page[Request], error) {
	c := f.clause(organization)
	return requests.Page(ctx, db, newestFirst, page, c.SQL(), c.Args()...)
}

// Count returns how many requests List has in all its pages.
func Count(ctx context.Context, db engine.DB, organization uuid.UUID, f Filter) (int, error) {
	c := f.clause(organization)
	return requests.Count(ctx, db, c.SQL(), c.Args()...)
}

func (f Filter) clause(organization uuid.UUID) *where.Clause {
	c := new(where.Clause)
	c.And("t.organization = ?", organization)
	if f.Statuses != nil {
		statuses := make([]string, len(f.Statuses))
		for i, s := range f.Statuses {
			statuses[i] = string(s)
		}
		c.And("t.status = any(?)", statuses)
	}
	if f.AskedBy != uuid.Nil {
		c.And("t.asked_by = ?", f.AskedBy)
	}
	if f.Rule != uuid.Nil {
		c.And("t.rule = ?", f.Rule)
	}
	return c
}

// Ruled are the requests of a rule of retention.
type Ruled struct{ Done, UnderWay int }

// ByRule counts the requests of rules of an organization.
func ByRule(ctx context.Context, db engine.DB, organization uuid.UUID, rules []uuid.UUID) (map[uuid.UUID]Ruled, error) {
	rows, err := db.Query(ctx, fmt.Sprintf(`select rule, count(*) filter (where status = 'done'), count(*) filter (where status = 'approved')
		from %s where organization = $1 and rule = any($2) group by rule`, requests.In(db)), organization, rules)
	if err != nil {
		return nil, err
	}
	counts := make(map[uuid.UUID]Ruled)
	var id uuid.UUID
	var n Ruled
	_, err = pgx.ForEachRow(rows, []any{&id, &n.Done, &n.UnderWay}, func() error { counts[id] = n; return nil })
	return counts, err
}

// Get returns a request of an organization.
func Get(ctx context.Context, db engine.DB, organization, id uuid.UUID) (Request, bool, error) {
	rows, err := requests.Find(ctx, db, "t.organization = $1 and t.id = $2", organization, id)
	if err != nil || len(rows) == 0 {
		return Request{}, false, err
	}
	return rows[0], true, nil
}

// Pending returns up to limit requests, of all organizations, that were approved and wait to be carried out.
func Pending(ctx context.Context, db engine.DB, limit int) ([]Request, error) {
	return requests.Find(ctx, db, "t.status = 'approved' order by t.decided_at, t.id limit $1", limit)
}

// Subjects returns up to limit of those who were erased, of all organizations, whose certificates stand after a position.
func Subjects(ctx context.Context, db engine.DB, after eventlog.Position, limit int) ([]Subject, error) {
	return subjects.Find(ctx, db, "t.position > $1 order by t.position limit $2", int64(after), limit)
}
