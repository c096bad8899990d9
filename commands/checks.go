package commands

import (
	"context"

	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/organization"
)

// Check puts on record that the principal checks the log: of proofs and what leaves the house before it is shown, of a
// verification when the log was found to be as recorded. It needs audit.verify.
func (c *Commands) Check(ctx context.Context, p *Principal, cmd Command, wish audit.Checked) (Result, error) {
	if !p.system && p.Scope(organization.VerifyLog) == organization.None {
		return Result{}, ErrForbidden
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	checker := p.Account
	if p.system {
		checker = p.Organization
	}
	done, err := decide(ctx, c, &c.audits, c.audits.stream(p.Organization, checker), act, nil, func(audit.State) ([]audit.Event, error) {
		return audit.Check(wish)
	})
	return Result{ID: checker, Receipt: done.receipt}, err
}
