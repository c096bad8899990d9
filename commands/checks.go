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
	return c.onRecord(ctx, p, cmd, func() ([]audit.Event, error) { return audit.Check(wish) })
}
