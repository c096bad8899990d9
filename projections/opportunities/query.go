package opportunities

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
	"github.com/annal-crm/annal/projections/members"
)

// Filter narrows the list. Fields that are not given let everything pass.
type Filter struct {
	Stages    []opportunity.Stage // any of them; nil: any at all
	Owner     uuid.UUID           // zero: any
	Customer  uuid.UUID           // zero: any
	Reference *where.Text
	Product   *where.Text
}

var newestFirst = table.Descending("opened_at", "id")

// Get returns those of ids that the viewer may see.
func Get(ctx context.Context, db engine.DB, v engine.Viewer, ids []uuid.UUID) (map[uuid.UUID]Opportunity, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	c := Filter{}.clause(db, v)
	c.And("t.id = any(?)", ids)
	rows, err := table.Find(ctx, db, c.SQL(), c.Args()...)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]Opportunity, len(rows))
	for _, row := range rows {
		found[row.ID] = row
	}
	return found, nil
}

// List returns a page of the opportunities that the viewer may see, those opened last first.
func List(ctx context.Context, db engine.DB, v engine.Viewer, f Filter, page engine.PageRequest) (engine.Page[Opportunity], error) {
	c := f.clause(db, v)
	return table.Page(ctx, db, newestFirst, page, c.SQL(), c.Args()...)
}

// Count returns how many opportunities List has in all its pages.
func Count(ctx context.Context, db engine.DB, v engine.Viewer, f Filter) (int, error) {
	c := f.clause(db, v)
	return table.Count(ctx, db, c.SQL(), c.Args()...)
}

func (f Filter) clause(db engine.DB, v engine.Viewer) *where.Clause {
	c := new(where.Clause)
	members.Visible(db, team, c, v, "t.owner")
	if f.Stages != nil {
		stages := make([]string, len(f.Stages))
		for i, s := range f.Stages {
			stages[i] = string(s)
		}
		c.And("t.stage = any(?)", stages)
	}
	if f.Owner != uuid.Nil {
		c.And("t.owner = ?", f.Owner)
	}
	if f.Customer != uuid.Nil {
		c.And("t.customer = ?", f.Customer)
	}
	c.Text("t.reference", f.Reference)
	c.Text("t.product", f.Product)
	return c
}
