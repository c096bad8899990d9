package graph

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/erasures"
)

// Requests are for who may ask or decide, and to read for who audits; the work itself is an automation's, in whatever process.

// auditing is the scope in which a principal may read what was asked for and decided, without a part in it: they see the events anyway.
func auditing(p *commands.Principal) organization.Scope {
	if p.Scope(organization.ViewActivity) == organization.All {
		return organization.All
	}
	return organization.None
}

func (q query) ErasureRequests(ctx context.Context, first *int, after *string, last *int, before *string, filter *generated.ErasureFilter, at *eventlog.Position) (*model.ErasureRequestConnection, error) {
	request, err := paging(first, after, last, before)
	if err != nil {
		return nil, err
	}
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	var f erasures.Filter
	switch organization.Wider(organization.Wider(p.Scope(organization.RequestErasure), p.Scope(organization.ApproveErasure)), auditing(p)) {
	case organization.None:
		return nil, commands.ErrForbidden
	case organization.All:
	default:
		f.AskedBy = p.Account
	}
	if filter != nil {
		f.Rule = value(filter.RuleID)
	}
	if filter != nil && filter.Statuses != nil {
		f.Statuses = []erasure.Status{}
		for _, s := range filter.Statuses {
			f.Statuses = append(f.Statuses, erasure.Status(s))
		}
	}
	if at != nil {
		if err := q.Engine.Wait(ctx, *at, erasures.Model.Name); err != nil {
			return nil, err
		}
	}
	page, err := erasures.List(ctx, q.DB, p.Organization, f, request)
	people := q.people(p)
	return listed(page, err, func(r erasures.Request) *model.ErasureRequest { return erasureObject(r, people) },
		func(ctx context.Context) (int, error) { return erasures.Count(ctx, q.DB, p.Organization, f) })
}

func erasureObject(r erasures.Request, people *model.Batch[model.Account]) *model.ErasureRequest {
	people.Want(r.AskedBy)
	people.Want(r.DecidedBy)
	object := &model.ErasureRequest{
		ID: r.ID, Status: model.Enum(r.Status), Kind: r.Category, SubjectID: r.Subject, Reason: r.Reason, RequestedAt: r.AskedAt,
		Refusal: model.Text(r.Refusal), RequestedByID: r.AskedBy, DecidedByID: r.DecidedBy, Accounts: people,
	}
	if r.Rule != uuid.Nil {
		object.RuleID = &r.Rule
	}
	if !r.DecidedAt.IsZero() {
		object.DecidedAt = &r.DecidedAt
	}
	if !r.DoneAt.IsZero() {
		object.DoneAt = &r.DoneAt
	}
	return object
}

// subject reads the arguments that name exactly one subject.
func subject(customerID, accountID *uuid.UUID) (category string, id uuid.UUID, err error) {
	switch {
	case (customerID == nil) == (accountID == nil):
		return "", uuid.Nil, invalid("customer", "or account must be given, and not both")
	case customerID != nil:
		return customer.Category, *customerID, nil
	}
	return account.Category, *accountID, nil
}

func (q query) ErasurePreview(ctx context.Context, customerID, accountID *uuid.UUID) (*generated.ErasurePreview, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	category, id, err := subject(customerID, accountID)
	if err != nil {
		return nil, err
	}
	preview, err := q.Commands.PreviewErasure(ctx, p, category, id)
	if err != nil {
		return nil, err
	}
	object := &generated.ErasurePreview{
		Fields: append([]string{}, preview.Fields...), Events: preview.Events, Names: []string{}, Sessions: preview.Sessions, Password: preview.Password,
	}
	for _, kind := range preview.Names {
		object.Names = append(object.Names, string(kind))
	}
	held, err := q.Engine.Holds(ctx, id)
	if err != nil {
		return nil, err
	}
	object.ReadModels = append([]string{}, held...)
	if category == account.Category {
		v := engine.Viewer{Organization: p.Organization, Account: p.Account, Scope: organization.All}
		all, err := activity.Count(ctx, q.DB, v, activity.Sight{}, activity.Filter{Account: id})
		if err != nil {
			return nil, err
		}
		object.Acts = max(0, all-preview.History)
	}
	return object, nil
}

func (m mutation) RequestErasure(ctx context.Context, in generated.RequestErasureInput) (*generated.ErasurePayload, error) {
	category, id, err := subject(in.Customer, in.Account)
	if err != nil {
		return nil, err
	}
	return m.onErasure(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.RequestErasure(ctx, p, commands.RequestErasure{Command: command(in.CommandID, &in.Reason), Category: category, Subject: id})
	})
}

func (m mutation) ApproveErasure(ctx context.Context, in generated.ApproveErasureInput) (*generated.ErasurePayload, error) {
	return m.onErasure(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.ApproveErasure(ctx, p, commands.OnErasure{Command: command(in.CommandID, nil), RequestID: in.RequestID})
	})
}

func (m mutation) RefuseErasure(ctx context.Context, in generated.RefuseErasureInput) (*generated.ErasurePayload, error) {
	return m.onErasure(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.RefuseErasure(ctx, p, commands.OnErasure{Command: command(in.CommandID, &in.Reason), RequestID: in.RequestID})
	})
}

const (
	// erasurePatience is how long an approval waits to be carried out: that takes a second or two, and longer while a rebuild or
	// somebody's long transaction is in the way.
	erasurePatience = 10 * time.Second
	erasureRecheck  = 50 * time.Millisecond
)

// onErasure is the way of a mutation on a request. It shows what has become of it; of one that is approved, when it is carried out.
func (m mutation) onErasure(ctx context.Context, act func(*commands.Principal) (commands.Result, error)) (*generated.ErasurePayload, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	done, err := act(p)
	if err != nil {
		return nil, err
	}
	var request *model.ErasureRequest
	at, patience := done.Receipt, time.Now().Add(erasurePatience)
	for {
		request, err = shown(ctx, m.resolver, done.Receipt, []string{erasures.Model.Name}, func() (*model.ErasureRequest, error) {
			r, found, err := erasures.Get(ctx, m.DB, p.Organization, done.ID)
			if err != nil || !found {
				return nil, err
			}
			at = eventlog.Receipt{Position: r.Position, Version: r.Version}
			return erasureObject(r, m.people(p)), nil
		})
		if err != nil || request.Status != model.Enum(erasure.StatusApproved) || time.Now().After(patience) {
			break
		}
		select {
		case <-time.After(erasureRecheck):
		case <-ctx.Done():
			return nil, &notShown{done.Receipt, ctx.Err()}
		}
	}
	if err != nil {
		return nil, err
	}
	return &generated.ErasurePayload{Request: request, Receipt: receipt(at)}, nil
}
