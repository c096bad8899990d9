package commands

import (
	"context"

	"github.com/annal-crm/annal/domain/audit"
)

// RecordRead puts on record that the principal looks at a life, before it is shown. It asks for no right: whose life may be seen is
// judged where it is read.
func (c *Commands) RecordRead(ctx context.Context, p *Principal, cmd Command, wish audit.Read) (Result, error) {
	return c.onRecord(ctx, p, cmd, func() ([]audit.Event, error) { return audit.RecordRead(wish) })
}

// ReadReport puts on record that the principal looks at people's acts by way of a report, before they are shown. It asks for no
// right: what may be seen is judged where it is read.
func (c *Commands) ReadReport(ctx context.Context, p *Principal, cmd Command, wish audit.ReportRead) (Result, error) {
	return c.onRecord(ctx, p, cmd, func() ([]audit.Event, error) { return audit.ReadReport(wish) })
}

// ExportLog puts on record that events are written to a file, before they are. It is the program's own.
func (c *Commands) ExportLog(ctx context.Context, p *Principal, cmd Command, wish audit.LogExported) (Result, error) {
	if !p.system {
		return Result{}, ErrForbidden
	}
	return c.onRecord(ctx, p, cmd, func() ([]audit.Event, error) { return audit.ExportLog(wish) })
}

// ReplaceKey puts on record that another key signs checkpoints from now on, before it does. It is the program's own.
func (c *Commands) ReplaceKey(ctx context.Context, p *Principal, cmd Command, wish audit.KeyReplaced) (Result, error) {
	if !p.system {
		return Result{}, ErrForbidden
	}
	return c.onRecord(ctx, p, cmd, func() ([]audit.Event, error) { return audit.ReplaceKey(wish) })
}

// onRecord appends to the reader's stream: of the program itself, the organization's.
func (c *Commands) onRecord(ctx context.Context, p *Principal, cmd Command, choose func() ([]audit.Event, error)) (Result, error) {
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	reader := p.Account
	if p.system {
		reader = p.Organization
	}
	done, err := decide(ctx, c, &c.audits, c.audits.stream(p.Organization, reader), act, nil, func(audit.State) ([]audit.Event, error) { return choose() })
	return Result{ID: reader, Receipt: done.receipt}, err
}
