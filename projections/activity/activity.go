// Package activity is the list of everything that happened: a row per event, as
// the log has it.
//
// Personal fields stay sealed in it, byte for byte; they are opened when a page
// is read (see package facts). So erasing a person needs no rewriting here. What
// a list is filtered by stands beside it in clear.
package activity

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/members"
)

var (
	schema = engine.Schema{Name: "activity", Version: 1}

	// The indexes are those that a page is read along: all, one stream, one actor, one type.
	events = engine.NewTable[Key, Event](schema, "events", engine.TableConfig{AppendOnly: true, Indexes: []string{
		"(stream, position)",
		"(actor, position) where actor is not null",
		"(organization, type, position)",
	}})
	records = engine.NewTable[uuid.UUID, Record](schema, "records", engine.TableConfig{Indexes: []string{"(owner)"}})
	team    = members.New(schema)
)

// Model keeps every event, also of types that this program does not know.
var Model = engine.ReadModel{
	Schema: schema,
	Tables: []engine.Relation{events, records, team},
	Keys:   keys,
	Fold:   fold,
}

// Key is the key of the list.
type Key struct {
	Organization uuid.UUID
	Position     eventlog.Position
}

// Event is a row of the list.
type Event struct {
	Organization uuid.UUID         `db:"organization,key"` // whose activity it is
	Position     eventlog.Position `db:"position,key"`
	ID           uuid.UUID         `db:"id"`
	Type         string            `db:"type"`
	Schema       int               `db:"schema"`
	Category     string            `db:"category"`
	Stream       uuid.UUID         `db:"stream"` // what it happened to
	Global       bool              `db:"global"` // the stream itself belongs to no organization
	Version      eventlog.Version  `db:"version"`
	Actor        uuid.UUID         `db:"actor,null"` // zero: the system, or nobody known
	OccurredAt   time.Time         `db:"occurred_at"`
	RecordedAt   time.Time         `db:"recorded_at"`
	Data         json.RawMessage   `db:"data"`
	Meta         json.RawMessage   `db:"metadata"`
}

// Record is what decides who may see the events of a stream: of a record of a kind that is owned its owner, of a reserved name
// the organization that uses it.
type Record struct {
	ID           uuid.UUID `db:"id,key"`
	Owner        uuid.UUID `db:"owner,null"`
	Organization uuid.UUID `db:"organization,null"`
}

// folded are the types of the events that say who may see others.
var folded = func() []string {
	types := append(eventcodec.Types(
		customer.Registered{}, customer.Reassigned{}, opportunity.Opened{}, opportunity.Reassigned{}, reservation.Claimed{},
	), members.Events...)
	for _, k := range declared.Kinds {
		for name, e := range k.Events().All() {
			switch e.(type) {
			case record.Created, record.Reassigned:
				types = append(types, name)
			}
		}
	}
	return types
}()

func keys(f *eventcodec.Event, rows *engine.Rows) error {
	members.Keys(team, f, rows)
	if slices.Contains(folded, f.Type) || f.Stream.Category == reservation.Category {
		records.Touch(rows, f.Stream.ID)
	}
	return nil
}

func fold(f *eventcodec.Event, rows *engine.Rows) error {
	organization := f.Stream.Organization
	if slices.Contains(folded, f.Type) {
		payload, err := f.Payload()
		if err != nil && !errors.Is(err, domain.ErrUnknownEvent) { // of a form that a newer program wrote it is listed all the same
			return err
		}
		members.Fold(team, f, rows, payload)
		switch e := payload.(type) {
		case customer.Registered:
			records.Put(rows, Record{ID: f.Stream.ID, Owner: e.Owner})
		case customer.Reassigned:
			records.Put(rows, Record{ID: f.Stream.ID, Owner: e.To})
		case opportunity.Opened:
			records.Put(rows, Record{ID: f.Stream.ID, Owner: e.Owner})
		case opportunity.Reassigned:
			records.Put(rows, Record{ID: f.Stream.ID, Owner: e.To})
		case record.Created:
			records.Put(rows, Record{ID: f.Stream.ID, Owner: e.Owner})
		case record.Reassigned:
			records.Put(rows, Record{ID: f.Stream.ID, Owner: e.To})
		case reservation.Claimed:
			records.Put(rows, Record{ID: f.Stream.ID, Organization: e.Organization})
		}
	}
	if f.Stream.Category == reservation.Category {
		record, _ := records.Get(rows, f.Stream.ID)
		organization = record.Organization
	}
	actor, err := f.Actor()
	if err != nil {
		return err
	}
	events.Append(rows, Event{
		Organization: organization, Position: f.Position, ID: f.ID, Type: f.Type, Schema: f.Schema,
		Category: f.Stream.Category, Stream: f.Stream.ID, Global: f.Stream.Organization == uuid.Nil, Version: f.Version,
		Actor: actor, OccurredAt: f.OccurredAt, RecordedAt: f.RecordedAt, Data: f.Data, Meta: f.Meta,
	})
	return nil
}
