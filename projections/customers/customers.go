// Package customers is the list of customers as they are now, with all their
// fields.
//
// A page costs the same however long the list is: it is read along an index on
// the name, from where the page before it ended.
package customers

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/members"
)

var (
	schema = engine.Schema{Name: "customers", Version: 2}

	table = engine.NewTable[uuid.UUID, Customer](schema, "customers", engine.TableConfig{Indexes: []string{
		"(organization, name, id)",
		"(organization, sector, name, id)",
		"(owner, name, id)",
	}, Personal: []string{"name", "phone", "email"}})
	team = members.New(schema)
)

// Model folds the events of customers, and who is in which team.
var Model = engine.ReadModel{
	Schema: schema,
	Tables: []engine.Relation{table, team},
	Events: append(eventcodec.Types(
		customer.Registered{}, customer.Edited{}, customer.Reassigned{}, customer.Archived{}, customer.Restored{}, customer.Erased{},
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

// Customer is a row of the list. Only an erased one has no name. A text without a value is empty, and NULL in the table.
type Customer struct {
	ID           uuid.UUID         `db:"id,key"`
	Organization uuid.UUID         `db:"organization"`
	Name         string            `db:"name"`
	Sector       string            `db:"sector,null"`
	Country      string            `db:"country,null"`
	Website      string            `db:"website,null"`
	Phone        string            `db:"phone,null"`
	Email        string            `db:"email,null"`
	Attributes   json.RawMessage   `db:"attributes"` // an object of texts, in the order of their names
	Owner        uuid.UUID         `db:"owner,null"` // an account
	Archived     bool              `db:"archived"`
	Erased       bool              `db:"-"` // as it is shown: see [Customer.ShownTo]
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
	if e, ok := payload.(customer.Registered); ok {
		attributes, err := change(json.RawMessage(`{}`), e.Attributes, func(value string) string { return value })
		if err != nil {
			return err
		}
		table.Put(rows, Customer{
			ID: f.Stream.ID, Organization: f.Stream.Organization,
			Name: e.Name, Sector: e.Sector, Country: e.Country, Website: e.Website, Phone: e.Phone, Email: e.Email,
			Attributes: attributes, Owner: e.Owner,
			CreatedAt: f.OccurredAt, UpdatedAt: f.OccurredAt, Version: f.Version, Position: f.Position,
		})
		return nil
	}
	table.Update(rows, f.Stream.ID, func(c *Customer) {
		c.UpdatedAt, c.Version, c.Position = f.OccurredAt, f.Version, f.Position
		switch e := payload.(type) {
		case customer.Edited:
			set(&c.Name, e.Name)
			set(&c.Sector, e.Sector)
			set(&c.Country, e.Country)
			set(&c.Website, e.Website)
			set(&c.Phone, e.Phone)
			set(&c.Email, e.Email)
			c.Attributes, err = change(c.Attributes, e.Attributes, func(change domain.Change) string { return change.To })
		case customer.Reassigned:
			c.Owner = e.To
		case customer.Archived:
			c.Archived = true
		case customer.Restored:
			c.Archived = false
		case customer.Erased:
			c.Name, c.Phone, c.Email = "", "", ""
		}
	})
	return err
}

func set(field *string, change *domain.Change) {
	if change != nil {
		*field = change.To
	}
}

// change returns an object of texts with some of them changed; an empty one goes.
func change[V any](object json.RawMessage, changes map[string]V, to func(V) string) (json.RawMessage, error) {
	if len(changes) == 0 {
		return object, nil
	}
	var texts map[string]string
	if err := json.Unmarshal(object, &texts); err != nil {
		return nil, err
	}
	for name, value := range changes {
		if texts[name] = to(value); texts[name] == "" {
			delete(texts, name)
		}
	}
	return json.Marshal(texts)
}

// Of folds the events of one customer in memory, as the list does, and returns its row; see [engine.Trace].
func Of(id uuid.UUID, history []*eventcodec.Event, each func(*eventcodec.Event, Customer)) (Customer, bool, error) {
	return engine.Trace(Model, table, id, history, each)
}
