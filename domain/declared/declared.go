// Package declared lists the kinds of record that are declarations: see package record. A new one is a line here.
package declared

import (
	"github.com/annal-crm/annal/domain/contract"
	"github.com/annal-crm/annal/domain/record"
)

// Kinds in the order in which people read of them.
var Kinds = []*record.Kind{
	&contract.Kind,
}

// Kind returns a declared kind by its category, nil if it does not exist.
func Kind(category string) *record.Kind {
	for _, k := range Kinds {
		if k.Category == category {
			return k
		}
	}
	return nil
}
