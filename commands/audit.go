package commands

import (
	"context"

	"github.com/annal-crm/annal/domain/audit"
)

// Look puts on record that the principal looks at a life, before it is shown. It asks for no right: whose life may be seen is
// judged where it is read, and a look at nothing is on record too.
func (c *Commands) Look(ctx context.Context, p *Principal, wish audit.Read) (Result, error) {
	act, err := c.begin(p, Command{})
	if err != nil {
		return Result{}, err
	}
	reader := p.Account
	if p.system {
		reader = p.Organization
	}
	done, err := decide(ctx, c, &c.audits, c.audits.stream(p.Organization, reader), act, nil, func(audit.State) ([]audit.Event, error) {
		return audit.Look(wish)
	})
	return Result{ID: reader, Receipt: done.receipt}, err
}
