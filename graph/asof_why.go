package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/opportunities"
)

// record is one that an operation is about, of whatever kind, with what is known of it as of a past.
type record struct {
	id      uuid.UUID
	visible func(context.Context) (bool, error)
	explain func(context.Context, eventlog.AsOf) (explained, error)
}

type explained struct {
	version int // 0: it was not there
	values  []asof.Value
	origins map[string]*eventcodec.Event
}

// oneRecord finds the record that exactly one of three arguments names.
func (r *resolver) oneRecord(ctx context.Context, customerID, accountID, opportunityID *uuid.UUID) (*commands.Principal, record, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, record{}, err
	}
	given := 0
	for _, id := range []*uuid.UUID{customerID, accountID, opportunityID} {
		if id != nil {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, record{}, invalid("customer", "or account or opportunity must be given, one of them")
	case customerID != nil:
		found, err := recordOf(r, p, organization.ViewCustomers, customer.Category, *customerID, customers.Get, customers.Of, customers.Customer.ShownTo)
		return p, found, err
	case accountID != nil:
		found, err := recordOf(r, p, organization.ViewAccounts, account.Category, *accountID, accounts.Get, accounts.Of, accounts.Account.ShownTo)
		return p, found, err
	}
	found, err := recordOf(r, p, organization.ViewOpportunity, opportunity.Category, *opportunityID, opportunities.Get, opportunities.Of,
		func(o opportunities.Opportunity, _ engine.Viewer) opportunities.Opportunity { return o })
	return p, found, err
}

func recordOf[R any](r *resolver, p *commands.Principal, permission organization.Permission, category string, id uuid.UUID,
	get func(context.Context, engine.DB, engine.Viewer, []uuid.UUID) (map[uuid.UUID]R, error), fold fold[R], shown func(R, engine.Viewer) R) (record, error) {
	v, err := viewer(p, permission)
	if p.Scope(organization.ViewActivity) == organization.All { // they see all that ever happened to it anyway
		v, err = everything(p), nil
	}
	if err != nil {
		return record{}, err
	}
	return record{id, func(ctx context.Context) (bool, error) {
		found, err := get(ctx, r.DB, v, []uuid.UUID{id})
		_, ok := found[id]
		return ok, err
	}, func(ctx context.Context, at eventlog.AsOf) (explained, error) {
		history, err := r.history(ctx, v, category, id, at)
		if err != nil {
			return explained{}, err
		}
		known, err := asof.Explain(id, history, fold)
		if err != nil || !known.Exists {
			return explained{}, unfoldable(err)
		}
		e := explained{version: int(history[len(history)-1].Version), values: asof.Values(shown(known.Row, v)), origins: known.Origins}
		for i := range e.values {
			if e.values[i].Name == "stage" { // an enumeration: as the API writes it
				e.values[i].JSON = bytes.ToUpper(e.values[i].JSON)
			}
		}
		return e, nil
	}}, nil
}

// unfoldable is an error about a history that this program cannot fold.
func unfoldable(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", commands.ErrUnreadable, err)
	}
	return nil
}

func (q query) Provenance(ctx context.Context, customer, account, opportunity *uuid.UUID, asOf *generated.AsOf, minPosition *eventlog.Position) (*model.Provenance, error) {
	p, about, err := q.oneRecord(ctx, customer, account, opportunity)
	if err != nil {
		return nil, err
	}
	at, err := q.asOf(ctx, "asOf", asOf)
	if err != nil {
		return nil, err
	}
	if minPosition != nil {
		if err := q.Engine.Wait(ctx, *minPosition); err != nil {
			return nil, err
		}
	}
	if ok, err := about.visible(ctx); err != nil || !ok {
		return nil, err
	}
	known, err := about.explain(ctx, at)
	if err != nil || known.version == 0 {
		return nil, err
	}
	told, err := q.told(ctx, p, known.origins)
	if err != nil {
		return nil, err
	}
	answer := &model.Provenance{ID: about.id, Version: known.version, Fields: []*model.FieldOrigin{}}
	for _, name := range known.fields() {
		answer.Fields = append(answer.Fields, &model.FieldOrigin{Field: name, Value: known.value(name), Event: told[known.origins[name]]})
	}
	return answer, nil
}

func (q query) Compare(ctx context.Context, customer, account, opportunity *uuid.UUID, fromArg, toArg generated.AsOf) (*model.Comparison, error) {
	p, about, err := q.oneRecord(ctx, customer, account, opportunity)
	if err != nil {
		return nil, err
	}
	from, err := q.asOf(ctx, "from", &fromArg)
	if err != nil {
		return nil, err
	}
	to, err := q.asOf(ctx, "to", &toArg)
	if err != nil {
		return nil, err
	}
	if ok, err := about.visible(ctx); err != nil || !ok {
		return nil, err
	}
	was, err := about.explain(ctx, from)
	if err != nil {
		return nil, err
	}
	is, err := about.explain(ctx, to)
	if err != nil || was.version+is.version == 0 {
		return nil, err
	}
	changed := make(map[string]*eventcodec.Event)
	var names []string
	for _, name := range append(is.fields(), was.fields()...) {
		if changed[name] != nil || bytes.Equal(was.value(name), is.value(name)) {
			continue
		}
		names = append(names, name)
		changed[name] = is.origins[name]
		if other := was.origins[name]; changed[name] == nil || other != nil && other.Position > changed[name].Position {
			changed[name] = other
		}
	}
	told, err := q.told(ctx, p, changed)
	if err != nil {
		return nil, err
	}
	answer := &model.Comparison{ID: about.id, FromVersion: was.version, ToVersion: is.version, Fields: []*model.FieldChange{}}
	for _, name := range names {
		answer.Fields = append(answer.Fields, &model.FieldChange{Field: name, From: was.value(name), To: is.value(name), Event: told[changed[name]]})
	}
	return answer, nil
}

// fields names those that have or had a value: as the record has them, then those that are gone.
func (e explained) fields() (names []string) {
	for _, v := range e.values {
		if e.origins[v.Name] != nil {
			names = append(names, v.Name)
		}
	}
	var gone []string
	for name := range e.origins {
		if !slices.Contains(names, name) {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	return append(names, gone...)
}

// value is a field's, null if it has none.
func (e explained) value(name string) json.RawMessage {
	for _, v := range e.values {
		if v.Name == name {
			return v.JSON
		}
	}
	return json.RawMessage("null")
}

// told returns the events of facts as the principal may see them.
func (r *resolver) told(ctx context.Context, p *commands.Principal, of map[string]*eventcodec.Event) (map[*eventcodec.Event]*model.Activity, error) {
	told := make(map[*eventcodec.Event]*model.Activity)
	var all []*eventcodec.Event
	var stored []eventlog.Event
	for _, f := range of {
		if _, there := told[f]; !there {
			told[f] = nil
			all, stored = append(all, f), append(stored, f.Event)
		}
	}
	opened, err := activity.Open(ctx, r.Codec, everything(p), stored)
	if err != nil {
		return nil, err
	}
	people := r.people(p)
	for i, a := range opened {
		told[all[i]] = activityObject(a, people)
	}
	return told, nil
}

func (q query) EffectiveRights(ctx context.Context, id uuid.UUID, asOf *generated.AsOf) (*model.EffectiveRights, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	if p.Scope(organization.ViewActivity) != organization.All {
		return nil, commands.ErrForbidden
	}
	at, err := q.asOf(ctx, "asOf", asOf)
	if err != nil {
		return nil, err
	}
	rights, err := q.past.Rights(ctx, p.Organization, id, at)
	if err != nil || !rights.Account.Invited {
		return nil, err
	}
	moment, err := q.moment(ctx, p.Organization, at)
	if err != nil {
		return nil, err
	}
	events := make(map[string]*eventcodec.Event)
	for _, one := range rights.Permissions {
		for _, g := range one.By {
			events["granted "+g.Role], events[string(one.Permission)+" "+g.Role] = g.Granted, g.Defined
		}
	}
	told, err := q.told(ctx, p, events)
	if err != nil {
		return nil, err
	}
	answer := &model.EffectiveRights{
		Account: id, Status: model.Enum(rights.Account.Status(moment)), Roles: append([]string{}, rights.Account.Roles...),
		Teams: []*model.Team{}, Permissions: []*model.EffectivePermission{},
	}
	then := &teams{rights.Organization.Teams, make(map[uuid.UUID]*model.Team), q.people(p)}
	for _, team := range rights.Organization.TeamsOf(id, rights.Account.Team) {
		answer.Teams = append(answer.Teams, then.get(team))
	}
	for _, one := range rights.Permissions {
		permission := &model.EffectivePermission{Permission: string(one.Permission), Scope: model.Enum(one.Scope)}
		for _, g := range one.By {
			permission.By = append(permission.By, &model.RightGrant{Role: g.Role, Scope: model.Enum(g.Scope), Granted: told[g.Granted], Defined: told[g.Defined]})
		}
		answer.Permissions = append(answer.Permissions, permission)
	}
	return answer, nil
}
