package report

import (
	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/members"
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
	Members *members.Table
}

// NewTree returns the tables of a read model.
func NewTree(schema engine.Schema) Tree {
	return Tree{engine.NewTable[uuid.UUID, Team](schema, "teams", engine.TableConfig{}), members.New(schema)}
}

// TreeEvents are the types of the events that [Tree.Fold] takes.
var TreeEvents = append(eventcodec.Types(organization.TeamCreated{}, organization.TeamMoved{}), members.Events...)

// Keys asks for the rows of an event, of whatever type.
func (t Tree) Keys(f *eventcodec.Event, rows *engine.Rows) error {
	members.Keys(t.Members, f, rows)
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
		members.Fold(t.Members, f, rows, payload)
	case organization.TeamCreated:
		t.Teams.Put(rows, Team{e.Team, e.Name, e.Parent})
	case organization.TeamMoved:
		t.Teams.Update(rows, e.Team, func(t *Team) { t.Parent = e.Parent })
	}
}

// Joins bring the team and the region of an account.
func (t Tree) Joins(account string) []Join {
	return []Join{
		{Name: "team", SQL: "left join " + t.Members.String() + " tm on tm.account = " + account + " left join " + t.Teams.String() + " team on team.id = tm.team"},
		{
			Name: "region",
			With: func(string) string {
				return `regions (team, name) as (
					select id, name from ` + t.Teams.String() + ` where parent is null
					union all select below.id, regions.name from ` + t.Teams.String() + ` below join regions on below.parent = regions.team
				)`
			},
			SQL: "left join " + t.Members.String() + " rm on rm.account = " + account + " left join regions region on region.team = rm.team",
		},
	}
}

// Dimensions are by the team and the region of an account.
func (t Tree) Dimensions() []Column {
	return []Column{
		{Name: "team", Kind: Text, SQL: "team.name", Joins: []string{"team"}, About: "the team that the person is in now"},
		{Name: "region", Kind: Text, SQL: "region.name", Joins: []string{"region"}, About: "the top team that this team stands under now"},
	}
}
