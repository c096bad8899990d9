// Package declaredtest declares a kind that has every type of field there is, for tests of what ranges over kinds. A program
// that imports it has the kind.
package declaredtest

import (
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/record"
)

// Kind declares a specimen.
var Kind = record.Kind{
	Category: "specimen",
	About:    "What tests look at.",
	Fields: []record.Field{
		{Name: "name", Type: record.Text, Required: true, Personal: true, Sorted: true, Searched: true},
		{Name: "remark", Type: record.Note, Personal: true},
		{Name: "email", Type: record.Email, Personal: true, Searched: true},
		{Name: "phone", Type: record.Phone, Personal: true, Searched: true},
		{Name: "bornOn", Type: record.Day, Personal: true, Sorted: true},
		{Name: "website", Type: record.Website, Sorted: true},
		{Name: "order", Type: record.Integer, Sorted: true},
		{Name: "weight", Type: record.Decimal, Sorted: true},
		{Name: "price", Type: record.Money, Sorted: true},
		{Name: "seenAt", Type: record.Time, Sorted: true},
		{Name: "rare", Type: record.Bool, Sorted: true},
		{Name: "colour", Type: record.Choice, Options: []string{"red", "green", "blue"}, Sorted: true},
		{Name: "customer", Type: record.Ref, Of: "customer"},
	},
	Stages: []record.Stage{
		{Name: "found", Next: []string{"kept"}},
		{Name: "kept"},
	},
}

// Before package kinds makes its list: packages are initialized in the order of their paths as far as their imports let them.
func init() { declared.Kinds = append(declared.Kinds, &Kind) }
