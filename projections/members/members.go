// Package members keeps who is in which team, as a small table of its own in each
// read model that shows records by their owner's team: a read model reads no other
// one's tables, which may stand elsewhere in the log.
package members

import (
	"slices"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
)

// Member is an account and its team; zero: none.
type Member struct {
	Account uuid.UUID `db:"account,key"`
	Team    uuid.UUID `db:"team,null"`
}

// Table holds the members of all teams.
type Table = engine.Table[uuid.UUID, Member]

// New returns the table of a read model.
func New(schema engine.Schema) *Table {
	return engine.NewTable[uuid.UUID, Member](schema, "members", engine.TableConfig{Indexes: []string{"(team)"}})
}

// Events are the types of the events that [Fold] takes.
var Events = eventcodec.Types(account.Invited{}, account.MovedToTeam{})

// Keys asks for the row of an event among [Events].
func Keys(t *Table, f *eventcodec.Event, rows *engine.Rows) {
	if slices.Contains(Events, f.Type) {
		t.Touch(rows, f.Stream.ID)
	}
}

// Fold folds an event, of whatever type.
func Fold(t *Table, f *eventcodec.Event, rows *engine.Rows, payload any) {
	switch e := payload.(type) {
	case account.Invited:
		t.Put(rows, Member{f.Stream.ID, e.Team})
	case account.MovedToTeam:
		t.Put(rows, Member{f.Stream.ID, e.Team})
	}
}

// Visible narrows a clause to the rows of a viewer's organization whose owner, an account in a column, lies in the viewer's scope.
func Visible(db engine.DB, t *Table, c *where.Clause, v engine.Viewer, owner string) {
	c.And("t.organization = ?", v.Organization)
	switch v.Scope {
	case organization.All:
	case organization.Team:
		c.And(owner+" = ? or "+owner+" in (select account from "+t.In(db)+" where team = any(?))", v.Account, v.Teams)
	case organization.Own:
		c.And(owner+" = ?", v.Account)
	default:
		c.And("false")
	}
}
