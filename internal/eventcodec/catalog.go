package eventcodec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

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

// catalog holds every type of event that this program knows, by stored name.
var catalog = func() map[string]*entry {
	c := make(map[string]*entry)
	for _, kind := range kinds.All {
		for name, zero := range kind.Types.All() {
			_, schema, _, err := kind.Types.Encode(zero)
			if err != nil || c[name] != nil && name != domain.ErasedType {
				panic(fmt.Sprintf("eventcodec: %s twice, or %v", name, err))
			}
			sealed := kind.Types.Sealed(name)
			c[name] = &entry{kind.Category, schema, sealed, formOf(reflect.TypeOf(zero), sealed, ""), c[name]}
		}
	}
	return c
}()

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
	eventType = eventType[:min(len(eventType), 100)]          // more than any has: what was not meant as one is not worth the search
	nearest, least := []string(nil), max(2, len(eventType)/3) // two slips of the hand, or a third of a long word
	for _, name := range slices.Sorted(maps.Keys(catalog)) {
		switch far := distance(strings.ToLower(eventType), name); {
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

// distance counts the bytes to insert, remove or replace that make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}
