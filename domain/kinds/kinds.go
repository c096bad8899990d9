// Package kinds lists every kind of stream there is. Whatever has to know all of them ranges over this list.
package kinds

import (
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/domain/source"
)

// All lists the kinds: first those that have rules of their own, then the declared ones.
var All = all()

func all() []domain.Kind {
	kinds := []domain.Kind{
		{Category: account.Category, Types: account.EventTypes.Any(), View: string(organization.ViewAccounts), Subject: true},
		{Category: customer.Category, Types: customer.EventTypes.Any(), View: string(organization.ViewCustomers), Owned: true, Subject: true},
		{Category: opportunity.Category, Types: opportunity.EventTypes.Any(), View: string(organization.ViewOpportunity), Owned: true},
		{Category: organization.Category, Types: organization.EventTypes.Any()},
		{Category: reservation.Category, Types: reservation.EventTypes.Any()},
		{Category: source.Category, Types: source.EventTypes.Any()},
		{Category: audit.Category, Types: audit.EventTypes.Any()},
		{Category: erasure.Category, Types: erasure.EventTypes.Any()},
		{Category: retention.Category, Types: retention.EventTypes.Any()},
		{Category: reporting.Category, Types: reporting.EventTypes.Any()},
	}
	for _, k := range declared.Kinds {
		kinds = append(kinds, k.Describe())
	}
	return kinds
}

// Of returns the kind of a category, and whether there is one.
func Of(category string) (domain.Kind, bool) {
	for _, k := range All {
		if k.Category == category {
			return k, true
		}
	}
	return domain.Kind{}, false
}
