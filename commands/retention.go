package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
)

// What a rule of retention takes of a person, besides a permission.
var (
	ErrWholeOrganization = domain.Refuse(domain.CodeForbidden, "a rule is for the whole organization: it takes the permission for all of it")
	ErrAnyAccount        = domain.Refuse(domain.CodeForbidden, "a rule about accounts needs every right that a role gives")
)

// Now returns the time of the write side.
func (c *Commands) Now() time.Time { return c.now() }

// ProposeRetention is the input of [Commands.ProposeRetention]. The reason of the command is required: the law or policy that is followed.
type ProposeRetention struct {
	Command
	Basis  retention.Basis
	Days   int
	PerDay int // zero: [retention.DefaultPerDay]
}

// ProposeRetention makes a rule that erases nobody before somebody else approves it. It needs erasure.request for all. The result has
// the id of the rule.
func (c *Commands) ProposeRetention(ctx context.Context, p *Principal, in ProposeRetention) (Result, error) {
	act, err := c.onRule(p, in.Command, organization.RequestErasure)
	if err == nil && in.Basis.Of() == account.Category {
		err = p.aboveAll()
	}
	if err != nil {
		return Result{}, err
	}
	id := act.object(p.Organization, retention.Category)
	done, err := decide(ctx, c, &c.retentions, c.retentions.stream(p.Organization, id), act, nil, func(s retention.State) ([]retention.Event, error) {
		return retention.Propose(s, retention.Proposed{Basis: in.Basis, Days: in.Days, PerDay: in.PerDay, By: p.Account, Reason: act.meta.Reason})
	})
	return Result{ID: id, Receipt: done.receipt}, err
}

// ApproveRetention is the input of [Commands.ApproveRetention].
type ApproveRetention struct {
	Command
	RuleID uuid.UUID
	Shown  int // how many the dry run has shown to be due
	// Due counts how many are, now: a read model's to say.
	Due func(context.Context, retention.State) (int, error)
}

// ApproveRetention lets a rule erase. It needs erasure.approve for all, of somebody else than who proposed it.
func (c *Commands) ApproveRetention(ctx context.Context, p *Principal, in ApproveRetention) (Result, error) {
	return c.decideRule(ctx, p, in.Command, in.RuleID, func(s retention.State, _ *action) ([]retention.Event, error) {
		if s.Basis.Of() == account.Category {
			if err := p.aboveAll(); err != nil {
				return nil, err
			}
		}
		due := 0
		if s.Status == retention.StatusProposed {
			var err error
			if due, err = in.Due(ctx, s); err != nil {
				return nil, err
			}
		}
		return retention.Approve(s, p.Account, in.Shown, due)
	}, organization.ApproveErasure)
}

// EndRetention is the input of [Commands.EndRetention]. The reason of the command is required.
type EndRetention struct {
	Command
	RuleID uuid.UUID
}

// EndRetention ends a rule, or withdraws one. It needs erasure.request or erasure.approve for all.
func (c *Commands) EndRetention(ctx context.Context, p *Principal, in EndRetention) (Result, error) {
	return c.decideRule(ctx, p, in.Command, in.RuleID, func(s retention.State, act *action) ([]retention.Event, error) {
		return retention.End(s, p.Account, act.meta.Reason)
	}, organization.RequestErasure, organization.ApproveErasure)
}

func (c *Commands) decideRule(ctx context.Context, p *Principal, cmd Command, id uuid.UUID, choose func(retention.State, *action) ([]retention.Event, error), any ...organization.Permission) (Result, error) {
	act, err := c.onRule(p, cmd, any...)
	if err != nil {
		return Result{}, err
	}
	done, err := decide(ctx, c, &c.retentions, c.retentions.stream(p.Organization, id), act, nil, func(s retention.State) ([]retention.Event, error) {
		return choose(s, act)
	})
	return Result{ID: id, Receipt: done.receipt}, err
}

// onRule begins a command of a person on a rule.
func (c *Commands) onRule(p *Principal, cmd Command, any ...organization.Permission) (*action, error) {
	if p.Account == uuid.Nil {
		return nil, ErrForbidden
	}
	if err := p.forAll(any...); err != nil {
		return nil, err
	}
	return c.begin(p, cmd)
}

// forAll reports whether the principal has any of some permissions for the whole organization.
func (p *Principal) forAll(any ...organization.Permission) error {
	widest := organization.None
	for _, permission := range any {
		widest = organization.Wider(widest, p.Scope(permission))
	}
	switch widest {
	case organization.All:
		return nil
	case organization.None:
		return ErrForbidden
	}
	return ErrWholeOrganization
}

// aboveAll reports whether the principal has every right that any role gives: a rule asks nobody again whose account it erases.
func (p *Principal) aboveAll() error {
	for role := range p.organization.Roles {
		if !p.outranks([]string{role}) {
			return ErrAnyAccount
		}
	}
	return nil
}

// MaySeeRetention reports whether the principal may look at rules: [ErrForbidden] or [ErrWholeOrganization] if not. It needs
// erasure.request or erasure.approve for all.
func (c *Commands) MaySeeRetention(p *Principal) error {
	return p.forAll(organization.RequestErasure, organization.ApproveErasure)
}

// TryRetention puts on record that the principal had a rule tried, before the answer is shown. It needs erasure.request or
// erasure.approve for all.
func (c *Commands) TryRetention(ctx context.Context, p *Principal, cmd Command, of string) (Result, error) {
	if err := c.MaySeeRetention(p); err != nil {
		return Result{}, err
	}
	return c.onRecord(ctx, p, cmd, func() ([]audit.Event, error) { return audit.Check(audit.Checked{Kind: audit.DryRun, Of: of}) })
}

// RetentionCandidate is somebody who may be due by a rule. What is told of it is where to look: it is judged from streams.
type RetentionCandidate struct {
	Subject       uuid.UUID
	Opportunities []uuid.UUID // with a customer
	Managers      []uuid.UUID // of an account: others that may be able to manage the organization
}

// ApplyRetention makes requests to erase those of some candidates who are due by a rule, as many as its limit lets, and returns how many.
// Each request is one of its proposer, approved by who has approved the rule. To call it again, by any number of processes at once,
// makes none twice. What cannot be judged is left out, and told by the error. It is the program's own.
func (c *Commands) ApplyRetention(ctx context.Context, p *Principal, rule uuid.UUID, candidates []RetentionCandidate) (made int, err error) {
	if !p.system {
		return 0, ErrForbidden
	}
	stream := c.retentions.stream(p.Organization, rule)
	var errs []error
	var due []uuid.UUID
	for _, one := range candidates {
		yes, err := c.dueBy(ctx, p, stream, one)
		if errs = append(errs, err); yes {
			due = append(due, one.Subject)
		}
	}
	if len(due) == 0 {
		return 0, errors.Join(errs...)
	}
	act, err := c.begin(p, Command{})
	if err != nil {
		return 0, err
	}
	// Whom the rule has set out for counts, before anything is done: so the limit holds whoever else is at it.
	if _, err := decide(ctx, c, &c.retentions, stream, act, nil, func(s retention.State) ([]retention.Event, error) {
		return retention.Apply(s, due, c.now()), nil
	}); err != nil {
		return 0, err
	}
	for _, one := range candidates {
		if !slices.Contains(due, one.Subject) {
			continue
		}
		asked, err := c.requestByRule(ctx, p, stream, one)
		if errs = append(errs, err); asked {
			made++
		}
	}
	return made, errors.Join(errs...)
}

// requestByRule makes the request, if the subject is due in this very moment and there is none.
func (c *Commands) requestByRule(ctx context.Context, p *Principal, rule eventlog.Stream, one RetentionCandidate) (made bool, err error) {
	of, err := c.retentions.load(ctx, c, rule)
	if err != nil || !of.state.May(one.Subject, c.now()) {
		return false, err
	}
	if due, err := c.dueBy(ctx, p, rule, one); err != nil || !due {
		return false, err
	}
	request := uuid.NewSHA1(rule.ID, one.Subject[:])
	act, err := c.begin(p, Command{ID: request, Reason: of.state.Reason})
	if err != nil {
		return false, err
	}
	done, err := decide(ctx, c, &c.erasures, c.erasures.stream(p.Organization, request), act, nil, func(s erasure.State) ([]erasure.Event, error) {
		return erasure.ByRule(s, erasure.Requested{
			Category: of.state.Basis.Of(), Subject: one.Subject, By: of.state.By, Reason: of.state.Reason, Rule: rule.ID,
		}, of.state.ApprovedBy)
	})
	if err != nil {
		return false, fmt.Errorf("retention: a request for %s: %w", one.Subject, err)
	}
	return !done.resent, nil
}

// dueBy judges a candidate from the streams as they are.
func (c *Commands) dueBy(ctx context.Context, p *Principal, rule eventlog.Stream, one RetentionCandidate) (bool, error) {
	of, err := c.retentions.load(ctx, c, rule)
	if err != nil || of.state.Status != retention.StatusApproved {
		return false, err
	}
	var count retention.Count
	if of.state.Basis.Of() == account.Category {
		who, err := c.accounts.load(ctx, c, c.accounts.stream(p.Organization, one.Subject))
		if err != nil {
			return false, err
		}
		managing := p.ManagingRoles()
		managed := false
		if slices.ContainsFunc(who.state.Roles, func(r string) bool { return slices.Contains(managing, r) }) {
			if managed, err = c.managed(ctx, p, managing, one); err != nil {
				return false, err
			}
		}
		if _, kept := of.state.Keeps(one.Subject, who.state.Roles, managing, managed); kept {
			return false, nil
		}
		err = tally(ctx, c, &count, account.EventTypes, c.accounts.stream(p.Organization, one.Subject))
		return err == nil && of.state.Due(count, c.now()), err
	}
	if who, err := c.customers.load(ctx, c, c.customers.stream(p.Organization, one.Subject)); err != nil || who.state.Version == 0 {
		return false, err // opportunities may tell of a customer that is not there
	}
	if err := tally(ctx, c, &count, customer.EventTypes, c.customers.stream(p.Organization, one.Subject)); err != nil {
		return false, err
	}
	for _, id := range one.Opportunities {
		if err := tally(ctx, c, &count, opportunity.EventTypes, c.opportunities.stream(p.Organization, id)); err != nil {
			return false, err
		}
	}
	return of.state.Due(count, c.now()), nil
}

// tally counts the events of one stream.
func tally[E any](ctx context.Context, c *Commands, count *retention.Count, types domain.EventTypes[E], s eventlog.Stream) error {
	for e, err := range c.log.ReadStream(ctx, s, 0) {
		if err != nil {
			return err
		}
		event, err := eventcodec.Decode(ctx, c.codec, types, e)
		if err != nil {
			return unreadable(e, err)
		}
		*count = count.Evolve(retention.Happened{Mark: retention.Mark{At: e.OccurredAt, Position: int64(e.Position)}, Recorded: e.RecordedAt}, event)
	}
	return nil
}

// managed reports whether one of the candidate's managers can sign in and manage the organization.
func (c *Commands) managed(ctx context.Context, p *Principal, managing []string, one RetentionCandidate) (bool, error) {
	for _, id := range one.Managers {
		if id == one.Subject {
			continue
		}
		of, err := c.accounts.load(ctx, c, c.accounts.stream(p.Organization, id))
		if err != nil {
			return false, err
		}
		s := of.state
		if s.Invited && !s.Deactivated && s.Credential != uuid.Nil && slices.ContainsFunc(s.Roles, func(r string) bool { return slices.Contains(managing, r) }) {
			return true, nil
		}
	}
	return false, nil
}

// ManagingRoles lists the roles of the principal's organization that may manage it.
func (p *Principal) ManagingRoles() (roles []string) {
	for role, permissions := range p.organization.Roles {
		if permissions[organization.Manage] != organization.None {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return roles
}
