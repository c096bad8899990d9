// Package opportunities is the list of opportunities as they are now.
package opportunities

import (
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/members"
)

var (
	schema = engine.Schema{Name: "opportunities", Version: 2}

	table = engine.NewTable[uuid.UUID, Opportunity](schema, "opportunities", engine.TableConfig{Indexes: []string{
		"(organization, opened_at, id)",
		"(owner, opened_at, id)",
		"(customer, opened_at, id)",
		"(organization, reference)",
	}})
	team = members.New(schema)
)

// Model folds the events of opportunities, and who is in which team.
var Model = engine.ReadModel{
	Schema: schema,
	Tables: []engine.Relation{table, team},
	Events: append(eventcodec.Types(
		opportunity.Opened{}, opportunity.Engaged{}, opportunity.Won{}, opportunity.Lost{}, opportunity.Reopened{},
		opportunity.Reassigned{}, opportunity.Edited{},
	), members.Events...),
	Keys: func(f *eventcodec.Event, rows *engine.Rows) error {
		if f.Stream.Category == account.Category {
			members.Keys(team, f, rows)
		} else {
			table.Touch(rows, f.Stream.ID)
		}
		return nil
	},
	Fold: fold,
}

// Opportunity is a row of the list.
type Opportunity struct {
	ID           uuid.UUID         `db:"id,key"`
	Organization uuid.UUID         `db:"organization"`
	Reference    string            `db:"reference"`
	Stage        opportunity.Stage `db:"stage"`
	Value        domain.Decimal    `db:"value,null,numeric"` // of a won one
	Product      string            `db:"product,null"`
	Customer     uuid.UUID         `db:"customer,null"`
	Owner        uuid.UUID         `db:"owner,null"` // an account
	OpenedAt     time.Time         `db:"opened_at"`
	EngagedAt    time.Time         `db:"engaged_at,null"`
	ClosedAt     time.Time         `db:"closed_at,null"` // won or lost
	CreatedAt    time.Time         `db:"created_at"`
	UpdatedAt    time.Time         `db:"updated_at"`
	Version      eventlog.Version  `db:"version"`
	Position     eventlog.Position `db:"position"`
}

func fold(f *eventcodec.Event, rows *engine.Rows) error {
	payload, err := f.Payload()
	if err != nil {
		return err
	}
	if f.Stream.Category == account.Category {
		members.Fold(team, f, rows, payload)
		return nil
	}
	if e, ok := payload.(opportunity.Opened); ok {
		table.Put(rows, Opportunity{
			ID: f.Stream.ID, Organization: f.Stream.Organization, Stage: opportunity.Prospecting,
			Reference: e.Reference, Product: e.Product, Customer: e.Customer, Owner: e.Owner, OpenedAt: e.At,
			CreatedAt: f.OccurredAt, UpdatedAt: f.OccurredAt, Version: f.Version, Position: f.Position,
		})
		return nil
	}
	table.Update(rows, f.Stream.ID, func(o *Opportunity) {
		o.UpdatedAt, o.Version, o.Position = f.OccurredAt, f.Version, f.Position
		switch e := payload.(type) {
		case opportunity.Engaged:
			o.Stage, o.EngagedAt = opportunity.Engaging, e.At
		case opportunity.Won:
			o.Stage, o.ClosedAt, o.Value = opportunity.StageWon, e.At, e.Value
		case opportunity.Lost:
			o.Stage, o.ClosedAt = opportunity.StageLost, e.At
		case opportunity.Reopened:
			o.Stage, o.ClosedAt, o.Value = opportunity.Engaging, time.Time{}, ""
		case opportunity.Reassigned:
			o.Owner = e.To
		case opportunity.Edited:
			if e.Reference != nil {
				o.Reference = e.Reference.To
			}
			if e.Product != nil {
				o.Product = e.Product.To
			}
			if e.Customer != nil {
				o.Customer = domain.ParseRef(e.Customer.To)
			}
			if e.Value != nil {
				o.Value = domain.Decimal(e.Value.To)
			}
		}
	})
	return nil
}

// Of folds the events of one opportunity in memory, as the list does, and returns its row; see [engine.Trace].
func Of(id uuid.UUID, history []*eventcodec.Event, each func(*eventcodec.Event, Opportunity)) (Opportunity, bool, error) {
	return engine.Trace(Model, table, id, history, each)
}
