package eventcodec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/kinds"
	"github.com/annal-crm/annal/eventlog"
)

// entry is what there is to know about one type of event.
type entry struct {
	category string
	schema   int // the newest version of its form
	sealed   []string
	form     *form
	twin     *entry // of the same name in streams of another category: the end of a subject, whatever kind that is
}

// catalog holds every type of event that this program knows, by stored name; names the stored name of each Go type, or "" if
// kinds share the type under names of their own.
var catalog, names = func() (map[string]*entry, map[reflect.Type]string) {
	c := make(map[string]*entry)
	names := make(map[reflect.Type]string)
	for _, kind := range kinds.All {
		for name, zero := range kind.Types.All() {
			_, schema, _, err := kind.Types.Encode(zero)
			if err != nil || c[name] != nil && name != domain.ErasedType {
				panic(fmt.Sprintf("eventcodec: %s twice, or %v", name, err))
			}
			sealed := kind.Types.Sealed(name)
			c[name] = &entry{kind.Category, schema, sealed, formOf(reflect.TypeOf(zero), sealed, ""), c[name]}
			t := reflect.TypeOf(zero)
			if other, shared := names[t]; shared && other != name {
				name = ""
			}
			names[t] = name
		}
	}
	return c, names
}()

// Types returns the stored names of types of events, given as a zero event of each. It panics if one has no name, or several:
// that is a mistake in the program text.
func Types(events ...domain.Event) []string {
	types := make([]string, len(events))
	for i, e := range events {
		types[i] = names[reflect.TypeOf(e)]
		if types[i] == "" {
			panic(fmt.Sprintf("eventcodec: %T does not name one type of event", e))
		}
	}
	return types
}

// Type is [Types] of one.
func Type(event domain.Event) string { return Types(event)[0] }

// entryOf returns what there is to know about a stored event, nil if this program does not know its type.
func entryOf(e *eventlog.Event) *entry {
	known := catalog[e.Type]
	for known != nil && known.twin != nil && known.category != e.Stream.Category {
		known = known.twin
	}
	return known
}

// Category returns the category of an event type, "" for one that this program does not know; of one that several have, one of them.
func Category(eventType string) string {
	if e := catalog[eventType]; e != nil {
		return e.category
	}
	return ""
}

// Unknown says in a sentence that a name is no type of event, and which ones are near; "" if it is one. The types of newer
// programs are none here.
func Unknown(eventType string) string {
	if catalog[eventType] != nil {
		return ""
	}
	eventType = eventType[:min(len(eventType), 100)] // no name is longer: a text that was never meant as one is not worth the search
	var nearest []string
	least := max(2, len(eventType)/3) // two slips of the hand, or a third of a long word
	for _, name := range slices.Sorted(maps.Keys(catalog)) {
		switch far := levenshtein.ComputeDistance(strings.ToLower(eventType), name); {
		case far < least:
			nearest, least = []string{name}, far
		case far == least:
			nearest = append(nearest, name)
		}
	}
	if nearest == nil { // perhaps only a part is right
		category, rest, _ := strings.Cut(eventType, ".")
		for _, name := range slices.Sorted(maps.Keys(catalog)) {
			if strings.HasPrefix(name, category+".") || strings.HasSuffix(name, "."+rest) {
				nearest = append(nearest, name)
			}
		}
	}
	if nearest == nil {
		return fmt.Sprintf("%q is no type of event; one is account.locked", eventType)
	}
	return fmt.Sprintf("%q is no type of event; near it: %s", eventType, strings.Join(nearest, ", "))
}
