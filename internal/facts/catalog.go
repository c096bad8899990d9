package facts

import (
	"fmt"
	"reflect"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/domain/source"
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
	enter(c, account.Category, account.Codec)
	enter(c, customer.Category, customer.Codec)
	enter(c, erasure.Category, erasure.Codec)
	enter(c, opportunity.Category, opportunity.Codec)
	enter(c, organization.Category, organization.Codec)
	enter(c, reporting.Category, reporting.Codec)
	enter(c, reservation.Category, reservation.Codec)
	enter(c, retention.Category, retention.Codec)
	enter(c, source.Category, source.Codec)
	enter(c, audit.Category, audit.Codec)
	return c
}()

func enter[E any](c map[string]*entry, category string, codec domain.Codec[E]) {
	for name, zero := range codec.All() {
		_, schema, _, err := codec.Encode(zero)
		if err != nil || c[name] != nil && name != domain.ErasedType {
			panic(fmt.Sprintf("facts: %s twice, or %v", name, err))
		}
		c[name] = &entry{category, schema, codec.Sealed(name), formOf(reflect.TypeOf(zero), codec.Sealed(name), ""), c[name]}
	}
}

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
