// Package contract declares contracts: what was agreed with a customer, from a draft to its end.
//
//	draft → sent → signed → ended
//	             ↘ declined
package contract

import (
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/record"
)

// Kind declares a contract.
var Kind = record.Kind{
	Category: "contract",
	About:    "What was agreed with a customer, from a draft to its end.",
	Fields: []record.Field{
		{Name: "number", Type: record.Text, Required: true, Max: domain.MaxReference, Sorted: true, Searched: true},
		{Name: "title", Type: record.Text, Required: true, Sorted: true, Searched: true},
		{Name: "customer", Type: record.Ref, Of: "customer", Required: true},
		{Name: "opportunity", Type: record.Ref, Of: "opportunity"},
		{Name: "value", Type: record.Money, Sorted: true},
		{Name: "startsOn", Type: record.Day, Sorted: true},
		{Name: "signedOn", Type: record.Day},
		{Name: "endsOn", Type: record.Day, Sorted: true, About: "The last day on which it holds."},
	},
	Stages: []record.Stage{
		{Name: "draft", Next: []string{"sent"}},
		{Name: "sent", Next: []string{"signed", "declined"}},
		{Name: "signed", Next: []string{"ended"}},
		{Name: "ended"},
		{Name: "declined"},
	},
	Check: check,
}

// check holds a contract to its days, and a signed one to what was signed.
func check(before record.State, after record.Values) error {
	bad := domain.Invalid{}
	if after["startsOn"] != "" && after["endsOn"] != "" && after["endsOn"] < after["startsOn"] {
		bad["endsOn"] = "is before the contract starts"
	}
	if signed := before.Stage() == "signed" || before.Stage() == "ended"; signed && after["value"] != before.Value("value") {
		bad["value"] = "of a signed contract does not change"
	}
	return bad.Err()
}
