// Package sales reports closed business: what was won and lost, by month, owner,
// customer, product and region.
//
// An opportunity counts from its closing until it is reopened, in the month of
// its closing day (UTC), for the owner it has now. A region is a team at the top
// of the organization's tree: that under which the owner's team stands now.
package sales

import (
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/internal/facts"
	"github.com/annal-crm/annal/projections"
	"github.com/annal-crm/annal/projections/members"
)

var (
	schema = projections.Schema{Name: "sales", Version: 1}

	deals = projections.NewTable[uuid.UUID, Deal](schema, "deals", projections.TableConfig{Indexes: []string{
		"(organization)", "(owner)", "(customer)",
	}})
	teams = projections.NewTable[uuid.UUID, Team](schema, "teams", projections.TableConfig{})
	team  = members.New(schema)
)

// Model folds the events of opportunities, and the tree of teams with its members.
var Model = projections.ReadModel{
	Schema: schema,
	Tables: []projections.Relation{deals, teams, team},
	Events: append([]string{
		"opportunity.opened", "opportunity.won", "opportunity.lost", "opportunity.reopened", "opportunity.reassigned", "opportunity.edited",
		"organization.team_created", "organization.team_moved",
	}, members.Events...),
	Keys: keys,
	Fold: fold,
}

// Deal is an opportunity as the report needs it.
type Deal struct {
	ID           uuid.UUID         `db:"id,key"`
	Organization uuid.UUID         `db:"organization"`
	Stage        opportunity.Stage `db:"stage"`
	Month        string            `db:"month,null"`         // of closing, "2017-03"; none while it is open
	Value        domain.Decimal    `db:"value,null,numeric"` // of a won one
	Product      string            `db:"product,null"`
	Customer     uuid.UUID         `db:"customer,null"`
	Owner        uuid.UUID         `db:"owner,null"`
}

// Team is a node of an organization's tree.
type Team struct {
	ID     uuid.UUID `db:"id,key"`
	Name   string    `db:"name"`
	Parent uuid.UUID `db:"parent,null"` // zero: at the top
}

func keys(f *facts.Fact, rows *projections.Rows) error {
	switch f.Stream.Category {
	case account.Category:
		members.Keys(team, f, rows)
	case opportunity.Category:
		deals.Touch(rows, f.Stream.ID)
	case organization.Category:
		payload, err := f.Payload()
		switch e := payload.(type) {
		case organization.TeamCreated:
			teams.Touch(rows, e.Team)
		case organization.TeamMoved:
			teams.Touch(rows, e.Team)
		}
		return err
	}
	return nil
}

func fold(f *facts.Fact, rows *projections.Rows) error {
	payload, err := f.Payload()
	if err != nil {
		return err
	}
	change := func(change func(*Deal)) { deals.Update(rows, f.Stream.ID, change) }
	switch e := payload.(type) {
	case account.Event:
		members.Fold(team, f, rows, payload)
	case organization.TeamCreated:
		teams.Put(rows, Team{e.Team, e.Name, e.Parent})
	case organization.TeamMoved:
		teams.Update(rows, e.Team, func(t *Team) { t.Parent = e.Parent })
	case opportunity.Opened:
		deals.Put(rows, Deal{ID: f.Stream.ID, Organization: f.Stream.Organization, Stage: opportunity.Prospecting, Product: e.Product, Customer: e.Customer, Owner: e.Owner})
	case opportunity.Won:
		change(func(d *Deal) { d.Stage, d.Month, d.Value = opportunity.StageWon, month(e.At), e.Value })
	case opportunity.Lost:
		change(func(d *Deal) { d.Stage, d.Month, d.Value = opportunity.StageLost, month(e.At), "" })
	case opportunity.Reopened:
		change(func(d *Deal) { d.Stage, d.Month, d.Value = opportunity.Engaging, "", "" })
	case opportunity.Reassigned:
		change(func(d *Deal) { d.Owner = e.To })
	case opportunity.Edited:
		change(func(d *Deal) {
			if e.Product != nil {
				d.Product = e.Product.To
			}
			if e.Customer != nil {
				d.Customer = domain.ParseRef(e.Customer.To)
			}
			if e.Value != nil {
				d.Value = domain.Decimal(e.Value.To)
			}
		})
	}
	return nil
}

func month(t time.Time) string { return t.UTC().Format("2006-01") }
