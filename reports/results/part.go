package results

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/members"
)

// Part is a part of the log: the events that meet all that is given. The zero value is all of it. What tells of teams and of who
// is in which ([members.TreeEvents]) is in every part: reports are grouped by them.
type Part struct {
	Types    []string    `json:"types,omitempty"`   // any of them; none: all
	Without  []string    `json:"without,omitempty"` // none of these types
	Actors   []uuid.UUID `json:"actors,omitempty"`  // done by any of them; none: by anybody, or nobody known
	Streams  []uuid.UUID `json:"streams,omitempty"` // of any of these records; none: of all
	From, To time.Time   // by when it happened, From <= t < To; zero: no bound
}

// IsZero reports whether it is all of the log.
func (p Part) IsZero() bool {
	return len(p.Types)+len(p.Without)+len(p.Actors)+len(p.Streams) == 0 && p.From.IsZero() && p.To.IsZero()
}

// Takes reports whether an event is in it.
func (p Part) Takes(e *eventlog.Event) bool {
	switch {
	case slices.Contains(members.TreeEvents, e.Type):
		return true
	case len(p.Types) > 0 && !slices.Contains(p.Types, e.Type), slices.Contains(p.Without, e.Type),
		len(p.Streams) > 0 && !slices.Contains(p.Streams, e.Stream.ID),
		!p.From.IsZero() && e.OccurredAt.Before(p.From), !p.To.IsZero() && !e.OccurredAt.Before(p.To):
		return false
	case len(p.Actors) == 0:
		return true
	}
	actor, err := (&eventcodec.Event{Event: *e}).Actor()
	return err == nil && slices.Contains(p.Actors, actor)
}

// Bounds returns a past as reports take it: what had been recorded by then, and the test whether it had happened. What an import tells
// of teams and of who is in which has no time but that of the import, and is taken as if it had always been so; what people change
// about them happens when they do it.
func Bounds(at eventlog.AsOf) (recorded eventlog.AsOf, happened func(*eventlog.Event) bool) {
	by := eventlog.AsOf{HappenedBy: at.HappenedBy}
	at.HappenedBy = time.Time{}
	return at, func(e *eventlog.Event) bool {
		return by.Takes(e) || slices.Contains(members.TreeEvents, e.Type) && imported(e)
	}
}

// imported reports whether an event names the import that it is of.
func imported(e *eventlog.Event) bool {
	var of struct {
		Source string `json:"source"`
	}
	return json.Unmarshal(e.Data, &of) == nil && of.Source != ""
}

// Words tell of it, and of a past, as an event keeps them.
func (p Part) Words(at eventlog.AsOf) (words []string) {
	add := func(name string, values []string) {
		for _, v := range values {
			words = append(words, name+"="+v)
		}
	}
	instant := func(name string, t time.Time) {
		if !t.IsZero() {
			words = append(words, name+"="+t.UTC().Format(time.RFC3339Nano))
		}
	}
	instant("knownAt", at.KnownAt)
	if at.Position != 0 {
		words = append(words, "position="+at.Position.String())
	}
	instant("happenedBy", at.HappenedBy)
	add("type", p.Types)
	add("without", p.Without)
	for _, id := range p.Actors {
		words = append(words, "actor="+id.String())
	}
	for _, id := range p.Streams {
		words = append(words, "record="+id.String())
	}
	instant("from", p.From)
	instant("to", p.To)
	return words
}
