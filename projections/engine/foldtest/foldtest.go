// Package foldtest folds facts into rows in memory, so that a read model's fold is tested without a database: facts in,
// rows out. [Fold] runs a history as one page and as a page per event, as the engine does, and wants equal rows.
package foldtest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/kinds"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
)

// Start is when the first fact of a history has occurred; each next one occurs a minute later.
var Start = time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC)

// Event returns an event of the domain as the log would hold it, in clear. [Fold] gives it its position, version and time,
// unless they are set. It panics if e is not an event.
func Event(s eventlog.Stream, e any) eventlog.Event { return EventBy(s, e, domain.Metadata{}) }

// EventBy is [Event] with what is known about the act.
func EventBy(s eventlog.Stream, e any, meta domain.Metadata) eventlog.Event {
	kind, _ := kinds.Of(s.Category)
	name, schema, data, err := kind.Types.Encode(e.(domain.Event))
	if err != nil {
		panic(fmt.Sprintf("foldtest: %T is not an event of a stream of category %q", e, s.Category))
	}
	about, err := json.Marshal(meta)
	if err != nil {
		panic(err)
	}
	return eventlog.Event{NewEvent: eventlog.NewEvent{Type: name, Schema: schema, Data: data, Meta: about}, Stream: s}
}

// Fold folds a history with a read model. Its rows are read by [engine.Table.Rows].
func Fold(model engine.ReadModel, history ...eventlog.Event) (*engine.Rows, error) {
	versions := make(map[eventlog.Stream]eventlog.Version)
	for i := range history {
		e := &history[i]
		if e.ID == uuid.Nil {
			e.ID = uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i))
		}
		if e.Position == 0 {
			e.Position = eventlog.Position(i + 1)
		}
		if e.OccurredAt.IsZero() {
			e.OccurredAt = Start.Add(time.Duration(i) * time.Minute)
		}
		if e.RecordedAt.IsZero() {
			e.RecordedAt = e.OccurredAt
		}
		versions[e.Stream]++
		e.Version = versions[e.Stream]
	}
	page, err := eventcodec.New(nil).Page(context.Background(), history) // facts in clear need no vault
	if err != nil {
		return nil, err
	}
	whole, one := engine.NewRows(model), engine.NewRows(model)
	if err := whole.FoldPage(page); err != nil {
		return nil, err
	}
	for i := range page {
		if err := one.FoldPage(page[i : i+1]); err != nil {
			return nil, err
		}
	}
	if a, b := whole.All(), one.All(); !reflect.DeepEqual(a, b) {
		return nil, fmt.Errorf("foldtest: %s folds differently in one page and event by event: %v and %v", model.Name, a, b)
	}
	return whole, nil
}
