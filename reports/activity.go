package reports

import (
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/reports/report"
)

// byTime are the dimensions of a table of what people did, besides those given.
func byTime(account string, more ...report.Column) []report.Column {
	return append(append([]report.Column{
		{Name: "day", Kind: report.Day, SQL: "to_char(t.at at time zone {zone}, 'YYYY-MM-DD')"},
		{Name: "month", Kind: report.Month, SQL: "to_char(t.at at time zone {zone}, 'YYYY-MM')"},
		{Name: "account", Kind: report.Account, SQL: account},
	}, more...), byTeam...)
}

var actions = &report.Report{
	Name: "activity", About: "What people did, and how often they signed in.", Model: acts.Model.Name,
	From: acts.Acts, Where: "t.actor is not null", At: "t.at", Visible: visible(acts.Tree, "t.actor"), Joins: withTeam(acts.Tree, "t.actor"),
	Dimensions: byTime("t.actor",
		report.Column{Name: "type", Kind: report.Text, SQL: "t.type", Wrong: eventcodec.Unknown, About: "of the event"},
		report.Column{Name: "area", Kind: report.Text, SQL: "split_part(t.type, '.', 1)", About: "account, customer, opportunity, organization"},
	),
	Measures: []report.Column{
		{Name: "acts", Kind: report.Count, SQL: "count(*) {counted}"},
		{Name: "logins", Kind: report.Count, SQL: "count(*) {counted}", When: "t.outcome = 'signed_in'"},
		{Name: "people", Kind: report.Count, SQL: "count(distinct t.actor) {counted}"},
		{Name: "days", Kind: report.Count, SQL: "count(distinct (t.at at time zone {zone})::date) {counted}", About: "on which there was something"},
		{Name: "first", Kind: report.Instant, SQL: "min(t.at) {counted}"},
		{Name: "last", Kind: report.Instant, SQL: "max(t.at) {counted}"},
	},
	Evidence: "array[t.position]",
}
