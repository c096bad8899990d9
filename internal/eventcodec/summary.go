package eventcodec

import (
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// summary returns what an event says of itself, and the import that it came from.
func summary(e domain.Event) string {
	if from := reflect.ValueOf(e).FieldByName("Source"); from.Kind() == reflect.String && from.String() != "" {
		return e.Summary() + " (import " + from.String() + ")"
	}
	return e.Summary()
}

// named lists the accounts that the summary names by their ids.
func named(e domain.Event) []uuid.UUID {
	if e, ok := e.(interface{ Accounts() []uuid.UUID }); ok {
		return e.Accounts()
	}
	return nil
}

// Naming returns the summary with a name behind each account's id; name returns "" for one that has none, or none to be shown.
func (v View) Naming(name func(uuid.UUID) string) string {
	s := v.Summary
	for i, id := range v.Named {
		if id == uuid.Nil || slices.Contains(v.Named[:i], id) {
			continue
		}
		if called := name(id); called != "" {
			s = strings.ReplaceAll(s, id.String(), id.String()+" ("+called+")")
		}
	}
	return s
}
