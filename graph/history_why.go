package graph

import (
	"bytes"
	"context"
	"encoding/json"

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
	"github.com/annal-crm/annal/projections/activity"
)

// oneOf returns the only id that is given among arguments which name records of different categories.
func oneOf(wrong error, ids map[string]*uuid.UUID) (category string, id uuid.UUID, err error) {
	for name, one := range ids {
		if one != nil && category != "" {
			return "", uuid.Nil, wrong
		}
		if one != nil {
			category, id = name, *one
		}
	}
	if category == "" {
		err = wrong
	}
	return category, id, err
}

// oneRecord finds the record that exactly one of three arguments names.
func (r *resolver) oneRecord(ctx context.Context, customerID, accountID, opportunityID *uuid.UUID) (*commands.Principal, asof.Record, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, asof.Record{}, err
	}
	category, id, err := oneOf(invalid("customer", "or account or opportunity must be given, one of them"),
		map[string]*uuid.UUID{customer.Category: customerID, account.Category: accountID, opportunity.Category: opportunityID})
	if err != nil {
		return nil, asof.Record{}, err
	}
	record, err := asof.RecordOf(p, category, id)
	return p, record, err
}

func (q query) Provenance(ctx context.Context, customer, account, opportunity *uuid.UUID, asOf *generated.AsOf, minPosition *eventlog.Position) (*model.Provenance, error) {
	p, record, err := q.oneRecord(ctx, customer, account, opportunity)
	if err != nil {
		return nil, err
	}
	at, err := q.asOf(ctx, "asOf", asOf)
	if err == nil && minPosition != nil {
		err = q.Engine.Wait(ctx, *minPosition)
	}
	if err != nil {
		return nil, err
	}
	version, fields, err := q.history.Provenance(ctx, record, value(at))
	if err != nil || version == 0 {
		return nil, err
	}
	events := make([]*eventcodec.Event, len(fields))
	for i, f := range fields {
		events[i] = f.Event
	}
	shown, err := q.activities(ctx, p, events)
	if err != nil {
		return nil, err
	}
	answer := &model.Provenance{ID: record.ID, Version: version, Fields: make([]*model.FieldOrigin, len(fields))}
	for i, f := range fields {
		answer.Fields[i] = &model.FieldOrigin{Field: f.Name, Value: fieldValue(f.Name, f.Value), Event: shown[f.Event]}
	}
	return answer, nil
}

func (q query) Compare(ctx context.Context, customer, account, opportunity *uuid.UUID, from, to generated.AsOf) (*model.Comparison, error) {
	p, record, err := q.oneRecord(ctx, customer, account, opportunity)
	if err != nil {
		return nil, err
	}
	was, err := q.asOf(ctx, "from", &from)
	if err != nil {
		return nil, err
	}
	is, err := q.asOf(ctx, "to", &to)
	if err != nil {
		return nil, err
	}
	versions, changes, err := q.history.Compare(ctx, record, *was, *is)
	if err != nil || versions == [2]int{} {
		return nil, err
	}
	events := make([]*eventcodec.Event, len(changes))
	for i, c := range changes {
		events[i] = c.Event
	}
	shown, err := q.activities(ctx, p, events)
	if err != nil {
		return nil, err
	}
	answer := &model.Comparison{ID: record.ID, FromVersion: versions[0], ToVersion: versions[1], Fields: make([]*model.FieldChange, len(changes))}
	for i, c := range changes {
		answer.Fields[i] = &model.FieldChange{Field: c.Name, From: fieldValue(c.Name, c.From), To: fieldValue(c.Name, c.To), Event: shown[c.Event]}
	}
	return answer, nil
}

// fieldValue is the value of a field as the API writes it: an enumeration in capitals.
func fieldValue(name string, value json.RawMessage) json.RawMessage {
	if name == "stage" && string(value) != "null" {
		return bytes.ToUpper(value)
	}
	return value
}

// activities returns events as the principal may see them.
func (r *resolver) activities(ctx context.Context, p *commands.Principal, events []*eventcodec.Event) (map[*eventcodec.Event]*model.Activity, error) {
	stored := make([]eventlog.Event, len(events))
	for i, e := range events {
		stored[i] = e.Event
	}
	opened, err := activity.Open(ctx, r.Codec, p.Everything(), stored)
	if err != nil {
		return nil, err
	}
	shown, object := make(map[*eventcodec.Event]*model.Activity), r.activityOf(p)
	for i, a := range opened {
		shown[events[i]] = object(a)
	}
	return shown, nil
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
	rights, err := q.history.Rights(ctx, p.Organization, id, value(at))
	if err != nil || !rights.Account.Invited {
		return nil, err
	}
	moment, err := activity.Moment(ctx, q.DB, p.Organization, value(at))
	if err != nil {
		return nil, err
	}
	var events []*eventcodec.Event
	for _, one := range rights.Permissions {
		for _, g := range one.By {
			events = append(events, g.Granted, g.Defined)
		}
	}
	shown, err := q.activities(ctx, p, events)
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
			permission.By = append(permission.By, &model.RightGrant{Role: g.Role, Scope: model.Enum(g.Scope), Granted: shown[g.Granted], Defined: shown[g.Defined]})
		}
		answer.Permissions = append(answer.Permissions, permission)
	}
	return answer, nil
}
