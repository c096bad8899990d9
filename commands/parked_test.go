package commands_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
)

// poison appends to a stream an event whose data have the wrong shape, and returns it.
func (w *world) poison(s eventlog.Stream, after eventlog.Version, eventType string) eventlog.Event {
	w.Helper()
	e := eventlog.NewEvent{ID: uuid.New(), Type: eventType, Schema: 1, Data: json.RawMessage(`{"name":5,"displayName":5}`), Meta: json.RawMessage(`{}`), OccurredAt: time.Now()}
	at := must(w.log.Append(w.Context(), s, after, e))
	return eventlog.Event{NewEvent: e, Stream: s, Version: at.Version, Position: at.Position}
}

// parkedAt is what a read model says that has parked an event.
func parkedAt(e eventlog.Event) func(context.Context) (eventlog.Stream, eventlog.Version, error) {
	return func(context.Context) (eventlog.Stream, eventlog.Version, error) { return e.Stream, e.Version, nil }
}

func TestWhoMaySkipAParkedEvent(t *testing.T) {
	c := newCompany(t)
	stream := eventlog.Stream{Organization: commands.Home, Category: customer.Category, ID: c.customer(c.system, "Northwind", uuid.Nil)}
	bad := c.poison(stream, 1, "customer.edited")
	abroad := c.poison(eventlog.Stream{Organization: uuid.New(), Category: customer.Category, ID: uuid.New()}, 0, "customer.registered")
	skip := func(p *commands.Principal, id uuid.UUID, reason string, e eventlog.Event) (commands.Result, error) {
		return c.SkipParked(t.Context(), p, commands.SkipParked{
			Command: commands.Command{ID: id, Reason: reason}, ReadModel: "customers", Position: e.Position, Parked: parkedAt(e),
		})
	}
	before := c.head()
	for name, p := range c.who {
		if name == "administrator" {
			continue
		}
		_, err := skip(p, uuid.Nil, "because", bad)
		c.wantErr(name, err, commands.ErrForbidden)
	}
	_, err := skip(c.admin, uuid.Nil, "because", abroad)
	c.wantErr("an event of another organization", err, commands.ErrNotFound)
	moved := bad
	moved.Position++
	_, err = skip(c.admin, uuid.Nil, "because", moved)
	c.wantErr("another position", err, commands.ErrNotFound)
	_, err = skip(c.admin, uuid.Nil, "  ", bad)
	c.wantInvalid("no reason", err, "reason")
	c.since(before)

	id := uuid.New()
	first, err := skip(c.admin, id, "typed by hand", bad)
	c.wantErr("an administrator", err, nil)
	c.since(before, "organization.event_skipped")
	_, about, payloads := c.facts(before)
	want := organization.EventSkipped{
		ReadModel: "customers", Position: int64(bad.Position), Event: bad.ID, Type: "customer.edited",
		Category: "customer", Stream: stream.ID, Reason: "typed by hand",
	}
	if payloads[0] != want || about[0].Actor != c.admin.Account || about[0].Reason != "typed by hand" {
		t.Errorf("%+v by %+v, want %+v", payloads[0], about[0], want)
	}

	again, err := c.SkipParked(t.Context(), c.admin, commands.SkipParked{
		Command: commands.Command{ID: id, Reason: "typed by hand"}, ReadModel: "customers", Position: bad.Position,
		Parked: func(context.Context) (eventlog.Stream, eventlog.Version, error) {
			return eventlog.Stream{}, 0, errors.New("it is parked no more")
		},
	})
	if err != nil || again != first {
		t.Errorf("sent again: %+v, %v; the first receipt was %+v", again, err, first)
	}
	other := c.poison(stream, 2, "customer.edited")
	_, err = skip(c.admin, id, "typed by hand", other)
	c.wantInvalid("the same command id for another event", err, "commandId")
	used := uuid.New()
	before = c.head()
	must(c.DefineRole(t.Context(), c.admin, commands.DefineRole{Command: commands.Command{ID: used}, Role: "clerk"}))
	_, err = skip(c.admin, used, "typed by hand", other)
	c.wantInvalid("the id of another command", err, "commandId")
	c.since(before, "organization.role_defined")

	before = c.head()
	_, err = skip(c.admin, uuid.Nil, "once more", bad)
	c.wantErr("skipped before", err, nil)
	c.since(before)

	_, err = skip(c.system, uuid.Nil, "nobody's", abroad)
	c.wantErr("the program itself, of an unknown organization", err, nil)
	c.since(before, "organization.event_skipped")
}

// A command on an object whose history cannot be read says so, and nothing else is hindered.
func TestCommandOnAnUnreadableHistory(t *testing.T) {
	w := newWorld(t)
	sick, well := w.customer(w.admin, "Sick", uuid.Nil), w.customer(w.admin, "Well", uuid.Nil)
	w.poison(eventlog.Stream{Organization: commands.Home, Category: customer.Category, ID: sick}, 1, "customer.edited")
	before := w.head()
	for _, c := range []*commands.Commands{w.Commands, w.another(commands.Config{})} { // that knows the customer, and that folds it anew
		_, err := c.ArchiveRecord(t.Context(), w.admin, commands.On{ID: sick})
		w.wantErr("archive the sick one", err, commands.ErrUnreadable)
	}
	_, err := w.ArchiveRecord(t.Context(), w.admin, commands.On{ID: well})
	w.wantErr("archive the well one", err, nil)
	w.since(before, "customer.archived")
}
