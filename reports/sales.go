package reports

import (
	"fmt"

	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/sales"
	"github.com/annal-crm/annal/reports/report"
)

var withOwner = withTeam(sales.Tree, "t.owner")

// byRecord are the dimensions of a table with an owner, besides those given.
func byRecord(more ...report.Column) []report.Column {
	return append(append(more, report.Column{Name: "owner", Kind: report.Account, SQL: "t.owner", About: "who it belongs to now"}), byTeam...)
}

var (
	byCustomer = report.Column{Name: "customer", Kind: report.Customer, SQL: "t.customer"}
	byProduct  = report.Column{Name: "product", Kind: report.Text, SQL: "t.product"}
	byStage    = report.Column{
		Name: "stage", Kind: report.Text, SQL: "t.stage", About: "where it is now: prospecting, engaging, won, lost",
		Wrong: report.OneOf(string(opportunity.Prospecting), string(opportunity.Engaging), string(opportunity.StageWon), string(opportunity.StageLost)),
	}
)

const days = " / 86400.0"

// closingMonth is folded in UTC; in another time zone it is worked out.
const closingMonth = "case when {zone} = 'UTC' then t.month else to_char(t.closed_at at time zone {zone}, 'YYYY-MM') end"

// ages returns the band that the time since the last touch lies in, of those that begin at some days: named so that they sort.
func ages(days []int) string {
	sql, from := "case when t.touched_at is null then 'never'", 0
	for _, until := range days {
		sql += fmt.Sprintf(" when t.touched_at > {now} - interval '%d days' then '%03d-%03d'", until, from, until-1)
		from = until
	}
	return sql + fmt.Sprintf(" else '%03d+' end", from)
}

var closed = &report.Report{
	Name: "sales", About: "What was won and lost.", Model: sales.Model.Name,
	From: sales.Deals, Where: "t.month is not null", At: "t.closed_at", Visible: visible(sales.Tree, "t.owner"), Joins: withOwner,
	Dimensions: byRecord(report.Column{Name: "month", Kind: report.Month, SQL: closingMonth, About: "of the closing day"}, byCustomer, byProduct, byStage),
	Measures: []report.Column{
		{Name: "won", Kind: report.Count, SQL: "count(*) {counted}", When: "t.stage = 'won'"},
		{Name: "lost", Kind: report.Count, SQL: "count(*) {counted}", When: "t.stage = 'lost'"},
		{Name: "wonValue", Kind: report.Money, SQL: "coalesce(sum(t.value) {counted}, 0)", When: "t.stage = 'won'"},
	},
	Record:   "t.id",
	Evidence: "array[t.closed]",
}

var funnel = &report.Report{
	Name: "funnel", About: "How far opportunities came, and how long they were in each stage.", Model: sales.Model.Name,
	From: sales.Deals, At: "t.opened_at", Visible: visible(sales.Tree, "t.owner"), Joins: withOwner,
	Dimensions: byRecord(report.Column{Name: "month", Kind: report.Month, SQL: "to_char(t.opened_at at time zone {zone}, 'YYYY-MM')", About: "in which it was opened"}, byCustomer, byProduct, byStage),
	Measures: []report.Column{
		{Name: "opened", Kind: report.Count, SQL: "count(*) {counted}"},
		{Name: "engaged", Kind: report.Count, SQL: "count(*) {counted}", When: "t.engaged_at is not null"},
		{Name: "won", Kind: report.Count, SQL: "count(*) {counted}", When: "t.stage = 'won'"},
		{Name: "lost", Kind: report.Count, SQL: "count(*) {counted}", When: "t.stage = 'lost'"},
		{Name: "open", Kind: report.Count, SQL: "count(*) {counted}", When: "t.closed_at is null"},
		{Name: "engagedRate", Kind: report.Number, Places: 4, SQL: "avg((t.engaged_at is not null)::int) {counted}", About: "of those opened"},
		{Name: "wonRate", Kind: report.Number, Places: 4, SQL: "avg((t.stage = 'won')::int) {counted}", When: "t.closed_at is not null", About: "of those closed"},
		{Name: "daysProspecting", Kind: report.Number, Places: 1, SQL: "avg(greatest(extract(epoch from t.engaged_at - t.opened_at), 0)) {counted}" + days, When: "t.engaged_at is not null", About: "on average, of those engaged"},
		{Name: "daysEngaging", Kind: report.Number, Places: 1, SQL: "avg(t.worked) {counted}" + days, When: "t.closed_at is not null", About: "on average, of those closed"},
		{Name: "daysWaiting", Kind: report.Number, Places: 1, SQL: "avg(extract(epoch from {now} - t.since)) {counted}" + days, When: "t.closed_at is null", About: "on average in its stage so far, of those open"},
	},
	Record:   "t.id",
	Evidence: "array_remove(array[t.opened, t.engaged, t.closed], null)",
}

// worked is how long a closed deal took from entering a stage: pauses between a closing and a reopening are no part of it, as in the funnel.
func worked(stage string) string {
	return "case when " + stage + " = 'prospecting' then greatest(extract(epoch from coalesce(t.engaged_at, t.closed_at) - t.opened_at), 0) else 0 end + t.worked"
}

// learned are the closed deals that [forecast] learns from, by what it learns.
var learned = &report.Report{
	Name: "forecast", Model: sales.Model.Name, From: sales.Deals, Where: "t.closed_at is not null", At: "t.closed_at", Visible: visible(sales.Tree, "t.owner"),
	Dimensions: []report.Column{byProduct},
	Measures: []report.Column{
		{Name: "won", Kind: report.Count, SQL: "count(*) {counted}", When: "t.stage = 'won'"},
		{Name: "value", Kind: report.Money, SQL: "sum(t.value) {counted}", When: "t.stage = 'won'"},
		{Name: "fromOpening", Kind: report.Number, SQL: "sum(" + worked("'prospecting'") + ") {counted}"},
		{Name: "fromEngaging", Kind: report.Number, SQL: "sum(t.worked) {counted}", When: "t.engaged_at is not null"},
	},
	Record: "t.id", Evidence: "array_remove(array[t.opened, t.engaged, t.closed], null)",
}

var byHistory = []string{"history"}

const left = "h.days * 86400 - t.worked - extract(epoch from {now} - t.since)" // seconds that an open deal may take yet

// What has become of opportunities that came so far, of the same product if any of it were closed, tells of the open ones.
var forecast = &report.Report{
	Name: "forecast", About: "What open opportunities may bring, judged by what became of closed ones of the same product in the same stage.", Model: sales.Model.Name,
	From: sales.Deals, Where: "t.closed_at is null", At: "t.opened_at", Visible: visible(sales.Tree, "t.owner"),
	Joins: append([]report.Join{{
		Name: "history", Learned: learned,
		With: func(db engine.DB, visible string) string {
			return `history (stage, product, every, chance, value, days) as materialized ( -- once, not for each open one, also before the first statistics
				select s.stage, t.product, grouping(t.product) = 1, avg((t.stage = 'won')::int), avg(t.value) filter (where t.stage = 'won'),
					avg(` + worked("s.stage") + `) / 86400.0
				from ` + sales.Deals.In(db) + ` t join (values ('prospecting'), ('engaging')) s (stage) on s.stage = 'prospecting' or t.engaged_at is not null
				where t.closed_at is not null and ` + visible + `
				group by grouping sets ((s.stage, t.product), (s.stage))
			)`
		},
		SQL: func(engine.DB) string {
			return "left join lateral (select * from history where history.stage = t.stage and (every or history.product = t.product) order by every limit 1) h on true"
		},
	}}, withOwner...),
	Dimensions: byRecord(report.Column{
		Name: "month", Kind: report.Month, About: "in which it may be closed: after as long in its stage, all times in it together, as closed ones were on average, but not before now",
		SQL:   "case when h.days is not null then to_char(({now} + greatest(" + left + ", 0) * interval '1 second') at time zone {zone}, 'YYYY-MM') end",
		Joins: byHistory,
	}, byCustomer, byProduct, byStage),
	Measures: []report.Column{
		{Name: "open", Kind: report.Count, SQL: "count(*) {counted}"},
		{Name: "expectedWon", Kind: report.Number, Places: 2, Joins: byHistory, SQL: "sum(h.chance) {counted}", About: "how many of them may be won"},
		{Name: "expectedValue", Kind: report.Money, Places: 2, Joins: byHistory, SQL: "coalesce(sum(h.chance * h.value) {counted}, 0)", About: "their chances times what won ones brought on average"},
		{Name: "daysLeft", Kind: report.Number, Places: 1, Joins: byHistory, SQL: "avg(greatest(" + left + ", 0)) {counted}" + days, When: "h.days is not null", About: "on average"},
	},
	Record:   "t.id",
	Evidence: "array_remove(array[t.opened, t.engaged], null)",
}

var ageing = &report.Report{
	Name: "ageing", About: "How long ago customers were touched last, by an action on them or on an opportunity with them.", Model: sales.Model.Name,
	From: sales.Clients, Where: "not t.archived", At: "t.touched_at", Visible: visible(sales.Tree, "t.owner"), Joins: withOwner,
	Dimensions: byRecord(report.Column{
		Name: "age", Kind: report.Text, About: "days without a touch: 000-029, 030-089, 090-179, 180-364, 365+, or the word never",
		SQL: ages([]int{30, 90, 180, 365}), Banded: ages,
	}, report.Column{Name: "customer", Kind: report.Customer, SQL: "t.id"}),
	Measures: []report.Column{
		{Name: "customers", Kind: report.Count, SQL: "count(*) {counted}"},
		{Name: "days", Kind: report.Number, Places: 1, SQL: "avg(extract(epoch from {now} - t.touched_at)) {counted}" + days, About: "since the last touch, on average"},
		{Name: "oldest", Kind: report.Instant, SQL: "min(t.touched_at) {counted}", About: "the longest past last touch"},
	},
	Record:   "t.id",
	Evidence: "array[coalesce(t.touched, t.registered)]",
}
