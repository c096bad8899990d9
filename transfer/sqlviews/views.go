package sqlviews

import (
	"strings"

	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/erasures"
	"github.com/annal-crm/annal/projections/opportunities"
	"github.com/annal-crm/annal/projections/records"
	"github.com/annal-crm/annal/projections/sales"
)

// Views are all views there are. What is personal is masked as the API masks it for an analyst: names are "hidden", or "erased" of
// whom was erased; e-mail, phone, addresses, devices and what events hold are not there. No source may have a
// column that its table declares personal: so nobody reads it, whatever the text of a view says.
func Views() []View {
	from := func(m engine.ReadModel, table, columns string) source {
		return source{name: "t", model: m.Schema, table: table, columns: columns}
	}
	id := func(of string) Column { return Column{Name: "id", Type: "uuid", About: "of the " + of} }
	organization := Column{Name: "organization", Type: "uuid", About: "yours"}
	at := func(name, about string) Column { return Column{Name: name, Type: "timestamptz", About: about} }
	account := func(name, about string) Column {
		return Column{Name: name, Type: "uuid", About: about + "; see bi.accounts"}
	}
	position := Column{Name: "position", Type: "bigint", About: "of the last event in the row"}
	stage := Column{Name: "stage", Type: "text", About: "prospecting, engaging, won or lost"}
	value := Column{Name: "value", Type: "numeric", About: "of a won one, in the organization's currency"}
	product := Column{Name: "product", Type: "text", About: "what it is about"}
	customer := Column{Name: "customer", Type: "uuid", About: "see bi.customers; null: none named"}
	views := []View{
		{
			Name: "customers", About: "Customers, one a row. Phone and e-mail are left out.",
			sources: []source{
				from(customers.Model, "customers", "id, organization, sector, country, website, attributes, owner, archived, created_at, updated_at, position"),
				{name: "erased", model: erasures.Model.Schema, table: "subjects", columns: "id, organization"},
			}, from: "t",
			Columns: []Column{
				id("customer"), organization,
				{"name", "text", "masked: hidden, or erased", "case when exists (select from erased where erased.id = t.id) then 'erased' else 'hidden' end"},
				{"industry", "text", "the field sector of the API, as people wrote it", "t.sector"},
				{Name: "country", Type: "text", About: "as people wrote it"},
				{Name: "website", Type: "text", About: "as people wrote it"},
				{Name: "attributes", Type: "jsonb", About: "further texts by name, such as employees and revenue of an import"},
				account("owner", "who looks after it"),
				{Name: "archived", Type: "boolean", About: "out of use"},
				at("created_at", "when it was registered"), at("updated_at", "when something about it changed last"), position,
			},
		},
		{
			Name: "accounts", About: "Accounts, one a row. Login names, display names and e-mail are masked or left out.",
			sources: []source{
				from(accounts.Model, "accounts", "id, organization, team, roles, erased, deactivated, activated, activation_until, locked_until, created_at, last_login_at, position"),
				// The table does not tell whose a team is: who sees an account sees its team.
				{name: "team", model: sales.Model.Schema, table: "teams", columns: "id, name", whose: "id = any (array(select a.team from bi_read.accounts_accounts a))"},
			}, from: "t left join team on team.id = t.team",
			Columns: []Column{
				id("account"), organization,
				{"login_name", "text", "masked: account- and the beginning of the id", "'account-' || left(t.id::text, 8)"},
				{"display_name", "text", "masked: hidden, or erased", "case when t.erased then 'erased' else 'hidden' end"},
				{Name: "team", Type: "uuid", About: "the team that it is in now; null: none"},
				{"team_name", "text", "the team's name", "team.name"},
				{Name: "roles", Type: "text[]", About: "in the order granted"},
				{"status", "text", "invited, active, locked, expired, deactivated or erased, at this moment", `case when t.erased then 'erased' when t.deactivated then 'deactivated'
					when not t.activated and t.activation_until <= now() then 'expired' when not t.activated then 'invited' when t.locked_until > now() then 'locked' else 'active' end`},
				at("created_at", "when it was invited"), at("last_login_at", "null: never"), position,
			},
		},
		{
			Name: "opportunities", About: "Opportunities, one a row, as they are now.",
			sources: []source{from(opportunities.Model, "opportunities", "id, organization, reference, stage, value, product, customer, owner, opened_at, engaged_at, closed_at, position")}, from: "t",
			Columns: []Column{
				id("opportunity"), organization, {Name: "reference", Type: "text", About: "the number that people know it by"}, stage, value, product, customer, account("owner", "whose it is"),
				at("opened_at", "when it was opened"), at("engaged_at", "null: not yet"), at("closed_at", "when it was won or lost; null: open"), position,
			},
		},
		{
			Name: "deals", About: "What reports on sales count: opportunities with the month of closing and the time spent engaging.",
			sources: []source{from(sales.Model, "deals", "id, organization, stage, month, value, product, customer, owner, opened_at, engaged_at, closed_at, since, worked")}, from: "t",
			Columns: []Column{
				id("opportunity"), organization, stage, {Name: "month", Type: "text", About: "of closing, 2017-03; null: open"}, value, product, customer, account("owner", "whose it is"),
				at("opened_at", "when it was opened"), at("engaged_at", "null: not yet"), at("closed_at", "null: open"), at("since", "when it came into its stage"),
				{"engaging_seconds", "bigint", "in the stage engaging, in the periods of it that are over", "t.worked"},
			},
		},
		{
			Name: "contacts", About: "When a customer was touched last, by an action on it or on an opportunity with it.",
			sources: []source{from(sales.Model, "clients", "id, organization, owner, archived, touched_at")}, from: "t",
			Columns: []Column{
				{"customer", "uuid", "see bi.customers", "t.id"}, organization, account("owner", "who looks after it"), {Name: "archived", Type: "boolean", About: "out of use"},
				at("touched_at", "null: never"),
			},
		},
		{
			Name: "activity", About: "Every event, one a row, without what it holds and where it came from.",
			sources: []source{from(activity.Model, "events", "position, organization, id, type, category, stream, version, actor, occurred_at, recorded_at")}, from: "t",
			Columns: []Column{
				{Name: "position", Type: "bigint", About: "in the log"}, organization, id("event"), {Name: "type", Type: "text", About: "as customer.registered"},
				{Name: "category", Type: "text", About: "of what it happened to: customer, account, opportunity, …"}, {Name: "stream", Type: "uuid", About: "what it happened to"},
				{Name: "version", Type: "bigint", About: "in its stream"}, account("actor", "who did it; null: the system, or nobody known"),
				at("occurred_at", "when it happened"), at("recorded_at", "when Annal knew"),
			},
		},
		{
			Name: "sign_ins", About: "What became of attempts to sign in, without names, addresses and devices.",
			sources: []source{from(acts.Model, "acts", "position, organization, at, account, outcome, cause")}, from: "t", where: "t.outcome is not null",
			Columns: []Column{
				{Name: "position", Type: "bigint", About: "in the log"}, organization, {"occurred_at", "timestamptz", "when it happened", "t.at"},
				account("account", "whose it was; null: nobody's"),
				{Name: "outcome", Type: "text", About: "signed_in, failed, refused, locked, unlocked or muted"}, {Name: "cause", Type: "text", About: "such as wrong_password; null: none"},
			},
		},
	}
	for _, k := range declared.Kinds {
		views = append(views, recordView(records.Of(k.Category)))
	}
	return views
}

// recordView is the view of the records of a declared kind, with all its fields that are not personal.
func recordView(k *records.Kind) View {
	own := []Column{
		{"id", "uuid", "of the " + k.Category, ""}, {"organization", "uuid", "yours", ""}, {"owner", "uuid", "whose it is; see bi.accounts", ""},
		{"archived", "boolean", "out of use", ""}, {"created_at", "timestamptz", "when it was created", ""},
		{"updated_at", "timestamptz", "when something about it changed last", ""}, {"position", "bigint", "of the last event in the row", ""},
	}
	if k.Stages != nil {
		own = append(own, Column{"stage", "text", "where it has come to", ""})
	}
	s := source{name: "t", model: k.Model().Schema, table: k.Model().Name}
	for _, c := range own {
		s.columns += c.Name + ", "
	}
	for _, c := range k.Columns() {
		if c.Field.Personal {
			continue
		}
		s.columns += c.Name + ", "
		about := c.Field.About
		if about == "" {
			about = c.Field.Name + "; null: none"
		}
		own = append(own, Column{strings.TrimPrefix(c.Name, records.Prefix), c.Type, about, "t." + c.Name})
	}
	s.columns = strings.TrimSuffix(s.columns, ", ")
	return View{Name: k.Model().Name, About: k.About, sources: []source{s}, from: "t", Columns: own}
}
