package customers

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
	"github.com/annal-crm/annal/projections/members"
)

// Filter narrows the list. Fields that are not given let everything pass.
type Filter struct {
	Name     *where.Text
	Sector   *where.Text
	Country  *where.Text
	Owner    uuid.UUID // zero: any
	Archived *bool     // nil: both
}

var (
	byName = table.Ascending("name", "id")
	byID   = table.Ascending("id") // tells nothing about hidden names
)

// Get returns those of ids that the viewer may see.
func Get(ctx context.Context, db engine.DB, v engine.Viewer, ids []uuid.UUID) (map[uuid.UUID]Customer, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	c := new(where.Clause)
	members.Visible(db, team, c, v, "t.owner")
	c.And("t.id = any(?)", ids)
	rows, err := table.Find(ctx, db, c.SQL(), c.Args()...)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]Customer, len(rows))
	for _, row := range rows {
		found[row.ID] = row.ShownTo(v)
	}
	return found, nil
}

// List returns a page of the customers that the viewer may see, by name; by id if names are hidden from the viewer. Then a
// filter on names is [where.ErrHidden].
func List(ctx context.Context, db engine.DB, v engine.Viewer, f Filter, page engine.PageRequest) (engine.Page[Customer], error) {
	c, err := f.clause(db, v)
	if err != nil {
		return engine.Page[Customer]{}, err
	}
	order := byName
	if !v.Personal {
		order = byID
	}
	found, err := table.Page(ctx, db, order, page, c.SQL(), c.Args()...)
	for i := range found.Rows {
		found.Rows[i] = found.Rows[i].ShownTo(v)
	}
	return found, err
}

// Count returns how many customers List has in all its pages.
func Count(ctx context.Context, db engine.DB, v engine.Viewer, f Filter) (int, error) {
	c, err := f.clause(db, v)
	if err != nil {
		return 0, err
	}
	return table.Count(ctx, db, c.SQL(), c.Args()...)
}

func (f Filter) clause(db engine.DB, v engine.Viewer) (*where.Clause, error) {
	if !v.Personal && f.Name != nil {
		return nil, where.ErrHidden
	}
	c := new(where.Clause)
	members.Visible(db, team, c, v, "t.owner")
	c.Text("t.name", f.Name)
	c.Text("t.sector", f.Sector)
	c.Text("t.country", f.Country)
	if f.Owner != uuid.Nil {
		c.And("t.owner = ?", f.Owner)
	}
	if f.Archived != nil {
		c.And("t.archived = ?", *f.Archived)
	}
	return c, nil
}

// ShownTo hides what is personal from viewers who may not see it.
func (c Customer) ShownTo(v engine.Viewer) Customer {
	switch {
	case c.Name == "":
		c.Name, c.Erased = "erased", true
	case !v.Personal:
		c.Name, c.Phone, c.Email = "hidden", "", ""
	}
	return c
}
