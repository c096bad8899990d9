package sales

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/projections"
	"github.com/annal-crm/annal/projections/members"
	"github.com/annal-crm/annal/projections/where"
)

// Dimension is what a report is grouped by.
type Dimension string

const (
	Month    Dimension = "month"
	Owner    Dimension = "owner"
	Customer Dimension = "customer"
	Product  Dimension = "product"
	Region   Dimension = "region"
)

var expressions = map[Dimension]string{Month: "t.month", Owner: "t.owner", Customer: "t.customer", Product: "t.product", Region: "r.name"}

// Filter narrows what is counted. Fields that are not given let everything pass.
type Filter struct {
	Stages   []opportunity.Stage // any of them; nil: won and lost
	Owner    uuid.UUID           // zero: any
	Customer uuid.UUID           // zero: any
}

// Row is a group of a report. Dimensions that were not asked for are zero, as are those that the group's deals do not have.
type Row struct {
	Month    string // "2017-03"
	Owner    uuid.UUID
	Customer uuid.UUID
	Product  string
	Region   string
	Won      int
	Lost     int
	WonValue domain.Decimal // exact; it may have more digits than a single deal's
}

// Report groups the closed deals that the viewer may see, in the order of the dimensions. Without any dimension it is one
// row, the total.
func Report(ctx context.Context, db projections.DB, v projections.Viewer, by []Dimension, f Filter) ([]Row, error) {
	c := new(where.Clause)
	members.Visible(team, c, v, "t.owner")
	c.And("t.month is not null")
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

	var groups []string
	for _, d := range by {
		expression, ok := expressions[d]
		if !ok {
			return nil, fmt.Errorf("sales: there is no dimension %q", d)
		}
		if !slices.Contains(groups, expression) {
			groups = append(groups, expression)
		}
	}
	column := func(d Dimension, otherwise string) string {
		if slices.Contains(by, d) {
			return expressions[d]
		}
		return otherwise
	}
	sql := "select " + strings.Join([]string{
		"coalesce(" + column(Month, "''") + ", '')", column(Owner, "null::uuid"), column(Customer, "null::uuid"),
		"coalesce(" + column(Product, "''") + ", '')", "coalesce(" + column(Region, "''") + ", '')",
		"count(*) filter (where t.stage = 'won')", "count(*) filter (where t.stage = 'lost')",
		"coalesce(sum(t.value) filter (where t.stage = 'won'), 0)::text",
	}, ", ") + " from " + deals.String() + " t"
	if slices.Contains(by, Region) {
		sql = `with recursive regions (team, name) as (
			select id, name from ` + teams.String() + ` where parent is null
			union all select below.id, regions.name from ` + teams.String() + ` below join regions on below.parent = regions.team
		) ` + sql + ` left join ` + team.String() + ` m on m.account = t.owner left join regions r on r.team = m.team`
	}
	sql += " where " + c.SQL()
	if len(groups) > 0 {
		sql += " group by " + strings.Join(groups, ", ") + " order by " + strings.Join(groups, " nulls last, ") + " nulls last"
	}
	rows, err := db.Query(ctx, sql, c.Args()...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Row, err error) {
		var owner, customer *uuid.UUID
		err = row.Scan(&r.Month, &owner, &customer, &r.Product, &r.Region, &r.Won, &r.Lost, &r.WonValue)
		r.Owner, r.Customer = orZero(owner), orZero(customer)
		return r, err
	})
}

func orZero(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}
