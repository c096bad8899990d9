package reports

import (
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
	"github.com/annal-crm/annal/projections/members"
	"github.com/annal-crm/annal/reports/report"
)

// visible shows the rows of those accounts in a column that lie in the viewer's scope.
func visible(t members.Tree, account string) func(engine.DB, *where.Clause, engine.Viewer) {
	return func(db engine.DB, c *where.Clause, v engine.Viewer) { members.Visible(db, t.Members, c, v, account) }
}

// withTeam returns the joins that bring the team and the region of an account in a column.
func withTeam(t members.Tree, account string) []report.Join {
	return []report.Join{
		{Name: "team", SQL: func(db engine.DB) string {
			return "left join " + t.Members.In(db) + " tm on tm.account = " + account + " left join " + t.Teams.In(db) + " team on team.id = tm.team"
		}},
		{
			Name: "region",
			With: func(db engine.DB, _ string) string {
				return `regions (team, name) as (
					select id, name from ` + t.Teams.In(db) + ` where parent is null
					union all select below.id, regions.name from ` + t.Teams.In(db) + ` below join regions on below.parent = regions.team
				)`
			},
			SQL: func(db engine.DB) string {
				return "left join " + t.Members.In(db) + " rm on rm.account = " + account + " left join regions region on region.team = rm.team"
			},
		},
	}
}

// byTeam are the dimensions of [withTeam].
var byTeam = []report.Column{
	{Name: "team", Kind: report.Text, SQL: "team.name", Joins: []string{"team"}, About: "the team that the person is in now"},
	{Name: "region", Kind: report.Text, SQL: "region.name", Joins: []string{"region"}, About: "the top team that this team stands under now"},
}
