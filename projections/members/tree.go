package members

import (
	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
)

// Team is a node of an organization's tree.
type Team struct {
	ID     uuid.UUID `db:"id,key"`
	Name   string    `db:"name"`
	Parent uuid.UUID `db:"parent,null"` // zero: at the top
}

// Tree is an organization's tree of teams and who is in which, as tables of a read model whose reports are grouped by team
// and region. A region is a team at the top: that under which a person's team stands now.
type Tree struct {
	Teams   *engine.Table[uuid.UUID, Team]
	Members *Table
}

// NewTree returns the tables of a read model.
func NewTree(schema engine.Schema) Tree {
	return Tree{engine.NewTable[uuid.UUID, Team](schema, "teams", engine.TableConfig{}), New(schema)}
}

// TreeEvents are the types of the events that [Tree.Fold] takes.
var TreeEvents = append(eventcodec.Types(organization.TeamCreated{}, organization.TeamMoved{}), Events...)

// Keys asks for the rows of an event, of whatever type.
func (t Tree) Keys(f *eventcodec.Event, rows *engine.Rows) error {
	Keys(t.Members, f, rows)
	if f.Stream.Category != organization.Category {
		return nil
	}
	payload, err := f.Payload()
	switch e := payload.(type) {
	case organization.TeamCreated:
		t.Teams.Touch(rows, e.Team)
	case organization.TeamMoved:
		t.Teams.Touch(rows, e.Team)
	}
	return err
}

// Fold folds an event, of whatever type.
func (t Tree) Fold(f *eventcodec.Event, rows *engine.Rows, payload any) {
	switch e := payload.(type) {
	case account.Event:
		Fold(t.Members, f, rows, payload)
	case organization.TeamCreated:
		t.Teams.Put(rows, Team{e.Team, e.Name, e.Parent})
	case organization.TeamMoved:
		t.Teams.Update(rows, e.Team, func(t *Team) { t.Parent = e.Parent })
	}
}
