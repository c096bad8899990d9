package commands

import (
	"context"

	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/organization"
)

// Rebuilt puts on record that the principal had a report rebuilt, before the result can be read. It needs report.view with the
// scope all: what a record was folded from says nothing about whose it is.
func (c *Commands) Rebuilt(ctx context.Context, p *Principal, cmd Command, wish audit.Rebuilt) (Result, error) {
	if p.Scope(organization.ViewReports) != organization.All {
		return Result{}, ErrForbidden
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	done, err := decide(ctx, c, &c.audits, c.audits.stream(p.Organization, p.Account), act, nil, func(audit.State) ([]audit.Event, error) {
		return audit.Rebuild(wish)
	})
	return Result{ID: p.Account, Receipt: done.receipt}, err
}
