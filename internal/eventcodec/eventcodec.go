// Package eventcodec turns the domain's events into the log's and back.
//
// An event's personal fields are sealed on the way in and opened on the way out
// (see package vault), field by field: what is not personal stays readable JSON, and
// the order of the fields is kept. Commands use [Encode] and [Decode]; the read
// side takes whole pages ([Codec.Page]), so that a page's keys are one query.
package eventcodec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/vault"
)

// Codec reads and writes the events of one log. It is safe for concurrent use.
type Codec struct{ vault *vault.Vault }

// New returns the codec of the log whose personal fields are sealed by v.
func New(v *vault.Vault) *Codec { return &Codec{v} }

// Encode returns the stored form of a domain event for a stream. The keys it needs are made, and durable, before it returns.
// The error of an erased subject is [vault.ErrErased].
func Encode[E any](ctx context.Context, c *Codec, codec domain.EventTypes[E], s eventlog.Stream, id uuid.UUID, e E, meta domain.Metadata, occurredAt time.Time) (eventlog.NewEvent, error) {
	name, schema, data, err := codec.Encode(e)
	if err != nil {
		return eventlog.NewEvent{}, err
	}
	about, err := json.Marshal(meta)
	if err != nil {
		return eventlog.NewEvent{}, fmt.Errorf("eventcodec: encode metadata: %w", err)
	}
	place := vault.Place{Stream: s, Type: name}
	if data, err = c.seal(ctx, data, codec.Sealed(name), s.ID, place, ""); err != nil {
		return eventlog.NewEvent{}, err
	}
	if about, err = c.seal(ctx, about, domain.SealedMetadata, meta.Subject(s.ID), place, metaPrefix); err != nil {
		return eventlog.NewEvent{}, err
	}
	return eventlog.NewEvent{ID: id, Type: name, Schema: schema, Data: data, Meta: about, OccurredAt: occurredAt}, nil
}

// Decode returns an event of an aggregate's stream, opened; the personal fields of an erased subject are zero values. A type
// that the aggregate does not have is [domain.ErrUnknownEvent].
func Decode[E any](ctx context.Context, c *Codec, codec domain.EventTypes[E], e eventlog.Event) (E, error) {
	var none E
	f := Event{Event: e, entry: entryOf(&e)}
	if f.hasSealedData() {
		keys, err := c.vault.Keys(ctx, f.dataSubject())
		if err != nil {
			return none, err
		}
		f.dataKey = keys[0]
	}
	payload, err := f.Payload()
	if err != nil {
		return none, err
	}
	event, ok := payload.(E)
	if !ok {
		return none, fmt.Errorf("%w: %q in a stream of %s", domain.ErrUnknownEvent, e.Type, e.Stream.Category)
	}
	return event, nil
}

// Page returns the facts of events, in their order. It asks the vault once, for all keys that it does not hold. The facts
// of a page share memory: one that is kept keeps them all.
func (c *Codec) Page(ctx context.Context, events []eventlog.Event) ([]*Event, error) {
	return c.page(ctx, events, "")
}

// ReadablePage is [Codec.Page] for a fold that people look at: in the payloads the personal fields of an erased subject read "erased"
// where they had a value.
func (c *Codec) ReadablePage(ctx context.Context, events []eventlog.Event) ([]*Event, error) {
	return c.page(ctx, events, erased)
}

func (c *Codec) page(ctx context.Context, events []eventlog.Event, instead string) ([]*Event, error) {
	facts, page := make([]Event, len(events)), make([]*Event, len(events))
	subjects, into := make([]vault.Subject, 0, 2*len(events)), make([]**vault.Key, 0, 2*len(events)) // of the subject at the same place
	for i := range events {
		f := &facts[i]
		f.Event, f.entry, f.instead, page[i] = events[i], entryOf(&events[i]), instead, f
		if f.hasSealedData() {
			subjects, into = append(subjects, f.dataSubject()), append(into, &f.dataKey)
		}
	}
	for _, f := range page { // after the others: the vault is quick with one who comes many times in a row
		if f.hasSealedMeta() {
			s, err := f.metaSubject()
			if err != nil {
				return nil, err
			}
			subjects, into = append(subjects, s), append(into, &f.metaKey)
		}
	}
	if len(subjects) == 0 { // facts in clear need no vault
		return page, nil
	}
	keys, err := c.vault.Keys(ctx, subjects...)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		*into[i] = key
	}
	return page, nil
}

// Event is an event as it stands in the log, with what is needed to read it. It is safe for concurrent use.
type Event struct {
	eventlog.Event
	entry            *entry     // nil: unknown type
	instead          string     // of an erased value, in the payload
	dataKey, metaKey *vault.Key // nil: none, or none needed

	once    sync.Once
	payload domain.Event
	err     error
}

// Payload returns the event's domain type ("account.locked" is an account.Locked), opened and decoded once. The personal
// fields of an erased subject are zero values (but see [Codec.ReadablePage]). Errors: [domain.ErrUnknownEvent] for a type or schema version that this
// program does not know, [vault.ErrTampered], [vault.ErrNoKey].
func (f *Event) Payload() (domain.Event, error) {
	f.once.Do(func() { f.payload, f.err = f.decode(f.instead) })
	return f.payload, f.err
}

// Metadata returns what is known about the act, opened. Errors are those of [Event.Payload].
func (f *Event) Metadata() (domain.Metadata, error) { return f.metadata("") }

// View is a fact as people see it.
type View struct {
	Data    json.RawMessage // a personal field is "hidden", or "erased" if its subject was
	Meta    domain.Metadata // likewise
	Summary string          // one line in English, without the actor
	Named   []uuid.UUID     // accounts whose ids are in the summary; see [View.Naming]
	Erased  bool            // something in it was erased
}

const (
	erased = "erased"
	hidden = "hidden"
)

// Display returns the fact with its personal fields open.
func (f *Event) Display() (View, error) { return f.view(erased) }

// Masked returns the fact with its personal fields hidden.
func (f *Event) Masked() (View, error) { return f.view(hidden) }

func (f *Event) view(instead string) (v View, err error) {
	if v.Meta, err = f.metadata(instead); err != nil {
		return v, err
	}
	v.Erased = f.dataKey != nil && f.dataKey.Erased() || f.metaKey != nil && f.metaKey.Erased()
	if f.entry == nil || f.Schema > f.entry.schema { // its sealed fields stay sealed
		v.Data, v.Summary = f.Data, f.Type
		return v, nil
	}
	payload, err := f.decode(instead)
	if err == nil {
		v.Summary, v.Named = summary(payload), named(payload)
		v.Data, err = f.open(f.Data, instead)
	}
	if err == nil || errors.Is(err, vault.ErrTampered) || errors.Is(err, vault.ErrNoKey) {
		return v, err
	}
	// One event that is not as this program writes it must not keep people from reading those around it.
	v.Data, v.Summary = f.Data, f.Type+" (its data cannot be read)"
	if instead == hidden { // nobody can tell what in it is personal
		v.Data = json.RawMessage(`"hidden"`)
	}
	return v, nil
}

// The subjects whose keys a fact needs.

func (f *Event) hasSealedData() bool {
	return f.entry != nil && len(f.entry.sealed) > 0 && bytes.Contains(f.Data, sealedPrefix)
}

func (f *Event) hasSealedMeta() bool { return bytes.Contains(f.Meta, sealedPrefix) }

func (f *Event) dataSubject() vault.Subject {
	return vault.Subject{Organization: f.Stream.Organization, ID: f.Stream.ID}
}

func (f *Event) metaSubject() (vault.Subject, error) {
	actor, err := f.Actor()
	return vault.Subject{Organization: f.Stream.Organization, ID: domain.Metadata{Actor: actor}.Subject(f.Stream.ID)}, err
}

// Actor returns the account that acted, zero if none did or none is known: what [Event.Metadata] says, without opening or
// decoding the rest.
func (f *Event) Actor() (actor uuid.UUID, err error) {
	// In JSON text these bytes are a name and the start of its value: inside a string their quotes would be escaped.
	const key, size = `"actor":"`, len("00000000-0000-0000-0000-000000000000")
	i := bytes.Index(f.Meta, []byte(key))
	if i < 0 {
		return uuid.Nil, nil
	}
	value := f.Meta[i+len(key):]
	if actor, err = uuid.ParseBytes(value[:min(size, len(value))]); err != nil {
		return uuid.Nil, fmt.Errorf("eventcodec: the actor of %s at position %d: %w", f.Type, f.Position, err)
	}
	return actor, nil
}

// errMalformed is for stored data that is not a JSON object as Encode writes it.
var errMalformed = errors.New("eventcodec: malformed event")
