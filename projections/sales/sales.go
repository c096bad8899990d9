// Package sales keeps what the reports of business are asked of: opportunities with their times, and when somebody last had to
// do with a customer.
//
// An opportunity counts as closed from its closing until it is reopened, in the month of its closing day (UTC), for the owner
// it has now. A region is a team at the top of the organization's tree: that under which the owner's team stands now.
package sales

import (
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/touch"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/members"
)

var (
	schema = engine.Schema{Name: "sales", Version: 2}

	// Deals, Clients and Tree are the tables of [Model], for those who ask them.
	Deals = engine.NewTable[uuid.UUID, Deal](schema, "deals", engine.TableConfig{Indexes: []string{
		"(organization)", "(owner)", "(customer)",
	}})
	Clients = engine.NewTable[uuid.UUID, Client](schema, "clients", engine.TableConfig{Indexes: []string{"(organization)", "(owner)"}})
	Tree    = members.NewTree(schema)
)

// Model folds the events of opportunities and customers, and the tree of teams with its members.
var Model = engine.ReadModel{
	Schema: schema,
	Tables: []engine.Relation{Deals, Clients, Tree.Teams, Tree.Members},
	Events: append(eventcodec.Types(
		opportunity.Opened{}, opportunity.Engaged{}, opportunity.Won{}, opportunity.Lost{}, opportunity.Reopened{},
		opportunity.Reassigned{}, opportunity.Edited{},
		customer.Registered{}, customer.Edited{}, customer.Reassigned{}, customer.Archived{}, customer.Restored{},
	), members.TreeEvents...),
	Keys: keys,
	Fold: fold,
}

// Deal is an opportunity as the reports need it, with the positions of the events that took it where it is.
type Deal struct {
	ID           uuid.UUID         `db:"id,key"`
	Organization uuid.UUID         `db:"organization"`
	Stage        opportunity.Stage `db:"stage"`
	Month        string            `db:"month,null"`         // of closing, "2017-03"; none while it is open
	Value        domain.Decimal    `db:"value,null,numeric"` // of a won one
	Product      string            `db:"product,null"`
	Customer     uuid.UUID         `db:"customer,null"`
	Owner        uuid.UUID         `db:"owner,null"`

	OpenedAt  time.Time         `db:"opened_at"`
	EngagedAt time.Time         `db:"engaged_at,null"` // zero: not yet
	ClosedAt  time.Time         `db:"closed_at,null"`  // zero: open
	Since     time.Time         `db:"since"`           // it is in its stage
	Worked    int64             `db:"worked"`          // seconds in the stage engaging, in the periods of it that are over
	Opened    eventlog.Position `db:"opened"`
	Engaged   eventlog.Position `db:"engaged,null"`
	Closed    eventlog.Position `db:"closed,null"`
}

// Client is a customer and when somebody last had to do with it: see package touch.
type Client struct {
	ID           uuid.UUID         `db:"id,key"`
	Organization uuid.UUID         `db:"organization"`
	Owner        uuid.UUID         `db:"owner,null"`
	Archived     bool              `db:"archived"`
	TouchedAt    time.Time         `db:"touched_at,null"` // zero: never
	Touched      eventlog.Position `db:"touched,null"`
	Registered   eventlog.Position `db:"registered,null"` // zero: only opportunities tell of it
}

func keys(f *eventcodec.Event, rows *engine.Rows) error {
	switch f.Stream.Category {
	case account.Category, organization.Category:
		return Tree.Keys(f, rows)
	case customer.Category:
		Clients.Touch(rows, f.Stream.ID)
	case opportunity.Category:
		with := func(id uuid.UUID) {
			if id != uuid.Nil {
				Clients.Touch(rows, id)
			}
		}
		deal, _ := Deals.Peek(rows, f.Stream.ID)
		with(deal.Customer)
		payload, err := f.Payload()
		switch e := payload.(type) {
		case opportunity.Opened:
			with(e.Customer)
		case opportunity.Edited:
			if e.Customer != nil {
				with(domain.ParseRef(e.Customer.To))
			}
		}
		return err
	}
	return nil
}

func fold(f *eventcodec.Event, rows *engine.Rows) error {
	payload, err := f.Payload()
	if err != nil {
		return err
	}
	switch e := payload.(type) {
	case opportunity.Event:
		foldDeal(f, rows, e)
	case customer.Event:
		foldClient(f, rows, e)
	default:
		Tree.Fold(f, rows, payload)
	}
	return nil
}

func foldDeal(f *eventcodec.Event, rows *engine.Rows, event opportunity.Event) {
	deal, exists := Deals.Get(rows, f.Stream.ID)
	if opened, ok := event.(opportunity.Opened); ok {
		deal, exists = Deal{
			ID: f.Stream.ID, Organization: f.Stream.Organization, Stage: opportunity.Prospecting, Product: opened.Product, Customer: opened.Customer,
			Owner: opened.Owner, OpenedAt: opened.At, Since: opened.At, Opened: f.Position,
		}, true
	}
	if !exists {
		return
	}
	switch e := event.(type) {
	case opportunity.Engaged: // again: at another time
		deal.Stage, deal.EngagedAt, deal.Since, deal.Worked, deal.Engaged = opportunity.Engaging, e.At, e.At, 0, f.Position
	case opportunity.Won:
		deal.close(opportunity.StageWon, e.Value, e.At, f.Position)
	case opportunity.Lost:
		deal.close(opportunity.StageLost, "", e.At, f.Position)
	case opportunity.Reopened:
		deal.Stage, deal.Month, deal.Value = opportunity.Engaging, "", ""
		deal.ClosedAt, deal.Since, deal.Closed = time.Time{}, e.At, 0
	case opportunity.Reassigned:
		deal.Owner = e.To
	case opportunity.Edited:
		if e.Product != nil {
			deal.Product = e.Product.To
		}
		if e.Customer != nil {
			deal.Customer = domain.ParseRef(e.Customer.To)
		}
		if e.Value != nil {
			deal.Value = domain.Decimal(e.Value.To)
		}
	}
	Deals.Put(rows, deal)
	if touch.By(event) && deal.Customer != uuid.Nil {
		touched(f, rows, deal.Customer)
	}
}

func (d *Deal) close(stage opportunity.Stage, value domain.Decimal, at time.Time, position eventlog.Position) {
	if d.Stage == opportunity.Engaging && at.After(d.Since) {
		d.Worked += int64(at.Sub(d.Since) / time.Second)
	}
	d.Stage, d.Month, d.Value = stage, at.UTC().Format("2006-01"), value
	d.ClosedAt, d.Since, d.Closed = at, at, position
}

func foldClient(f *eventcodec.Event, rows *engine.Rows, event customer.Event) {
	if e, ok := event.(customer.Registered); ok {
		client, _ := Clients.Get(rows, f.Stream.ID)
		client.ID, client.Organization, client.Owner, client.Registered = f.Stream.ID, f.Stream.Organization, e.Owner, f.Position
		Clients.Put(rows, client)
	}
	if touch.By(event) {
		touched(f, rows, f.Stream.ID)
	}
	Clients.Update(rows, f.Stream.ID, func(c *Client) {
		switch e := event.(type) {
		case customer.Reassigned:
			c.Owner = e.To
		case customer.Archived:
			c.Archived = true
		case customer.Restored:
			c.Archived = false
		}
	})
}

// touched notes that an event touches a client. Opportunities may tell of one before its own events are known: a report of what
// had happened by a day takes no later registration.
func touched(f *eventcodec.Event, rows *engine.Rows, id uuid.UUID) {
	client, exists := Clients.Get(rows, id)
	if !exists {
		client = Client{ID: id, Organization: f.Stream.Organization}
	}
	before := touch.Mark{At: client.TouchedAt, Position: int64(client.Touched)}
	last := touch.Last(before, touch.Mark{At: f.OccurredAt, Position: int64(f.Position)})
	client.TouchedAt, client.Touched = last.At, eventlog.Position(last.Position)
	Clients.Put(rows, client)
}
