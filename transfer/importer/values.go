package importer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
)

// content makes of a row what the commands take, and notes what the mapping and the rules of the object say is wrong with it.
func (r *reader) content(o *Object, id uuid.UUID, cells map[string]string, bad domain.Invalid) any {
	v := values{r, o, cells, bad}
	switch o.Kind {
	case Team:
		return organization.TeamRow{
			Team: id, Name: bad.Name("name", v.text("name"), domain.MaxName), Parent: v.ref("parent"), Manager: v.ref("manager"), Source: r.source,
		}
	case Account:
		row := account.Invited{
			LoginName: commands.LoginName(v.text("loginName")), DisplayName: v.text("displayName"), Email: v.text("email"),
			Team: v.ref("team"), Roles: v.list("roles"), Source: r.source,
		}
		_, err := account.Import(account.State{}, row)
		v.note(err)
		return row
	case Customer:
		row := customer.Registered{
			Name: v.text("name"), Sector: v.text("sector"), Country: v.text("country"), Website: v.text("website"), Phone: v.text("phone"),
			Email: v.text("email"), Attributes: v.attributes(), Owner: v.ref("owner"), Source: r.source,
		}
		_, err := customer.Import(customer.State{}, row)
		v.note(err)
		return row
	case Opportunity:
		row := opportunity.Row{
			Reference: v.text("reference"), Product: v.text("product"), Customer: v.ref("customer"), Owner: v.ref("owner"),
			Stage: opportunity.Stage(v.text("stage")), EngagedAt: v.date("engagedAt"), ClosedAt: v.date("closedAt"),
			Value: domain.Decimal(v.text("value")), Source: r.source,
		}
		v.note(row.Check())
		return row
	}
	return v.record(declared.Kind(string(o.Kind))) // ParseMapping knows no other
}

// record takes the row of a declared kind. Fields that the mapping does not name stay as they are.
func (v values) record(k *record.Kind) record.Row {
	row := record.Row{Values: make(record.Values), Owner: v.ref("owner"), Stage: v.text("stage"), Source: v.r.source}
	for _, f := range k.Fields {
		if _, named := v.o.Fields[f.Name]; !named {
			continue
		}
		value := ""
		switch f.Type {
		case record.Ref:
			value = domain.Ref(v.ref(f.Name))
		case record.Day, record.Time:
			layout := time.DateOnly
			if f.Type == record.Time {
				layout = time.RFC3339Nano
			}
			if at := v.date(f.Name); !at.IsZero() {
				value = at.Format(layout)
			}
		case record.Money:
			if value = v.text(f.Name); value != "" {
				value = strings.TrimSpace(value + " " + v.text(f.Name+currencySuffix))
			}
		default:
			value = v.text(f.Name)
		}
		row.Values[f.Name] = value
	}

	_, err := k.Import(record.State{}, row)
	if bad, ok := errors.AsType[domain.Invalid](err); ok {
		for _, f := range k.Fields { // a mapping names a reference without the Id of the API
			if reason, wrong := bad[f.Input()]; wrong {
				delete(bad, f.Input())
				bad[f.Name] = reason
			}
		}
	}
	v.note(err)
	return row
}

// values takes the fields of one row.
type values struct {
	r     *reader
	o     *Object
	cells map[string]string
	bad   domain.Invalid
}

// of takes a value from a row.
func (v Value) of(cells map[string]string) string {
	s := cells[v.Column]
	if v.Text != nil {
		s = *v.Text
	}
	if other, ok := v.Map[s]; ok {
		s = other
	}
	return v.Rule.apply(s)
}

func (v values) text(field string) string { return v.o.Fields[field].of(v.cells) }

// list takes several values with commas between them.
func (v values) list(field string) (list []string) {
	for part := range strings.SplitSeq(v.text(field), ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// date takes a day at midnight UTC, or an instant if the layout has one.
func (v values) date(field string) time.Time {
	s, layout := v.text(field), cmp.Or(v.o.Fields[field].Layout, time.DateOnly)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(layout, s)
	if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		v.bad[field] = fmt.Sprintf("%q is not a date like %s", s, layout)
	}
	return t.UTC()
}

// ref takes the id of the object that a value is the key of; none for a blank one.
func (v values) ref(field string) uuid.UUID {
	key := v.text(field)
	if key == "" {
		return uuid.Nil
	}
	to := v.o.Fields[field].Refers
	id, known := v.r.ids[to][key]
	if !known {
		v.bad[field] = fmt.Sprintf("%q is no %s of the files", key, to)
	}
	return id
}

func (v values) attributes() map[string]string {
	attributes := make(map[string]string)
	if v.o.Remaining {
		for _, column := range v.r.tables[v.o.File].columns {
			if !slices.Contains(v.r.used[v.o.File], column) {
				attributes[column] = v.cells[column]
			}
		}
	}
	for name, value := range v.o.Attributes {
		attributes[name] = value.of(v.cells)
	}
	return attributes
}

// note adds what a rule says is wrong with fields of which nothing wrong is known yet.
func (v values) note(err error) {
	if bad, ok := errors.AsType[domain.Invalid](err); ok {
		for field, reason := range bad {
			v.bad[field] = cmp.Or(v.bad[field], reason)
		}
	}
}
