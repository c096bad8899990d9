package commands

import (
	"context"

	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
)

// SkipParked is the input of [Commands.SkipParked]. The reason of the command is required.
type SkipParked struct {
	Command
	ReadModel string
	Position  eventlog.Position
	// Parked tells which event is parked there, by its stream and version; its error is answered as it is. A command that
	// was done before does not ask: by then the event may be parked no more.
	Parked func(context.Context) (eventlog.Stream, eventlog.Version, error)
}

// SkipParked puts on record that an event is left out of a read model which cannot fold it: who, and why. It is to be called
// before the read model is told. It needs organization.manage in the organization of the event; what belongs to none that
// Annal knows, the program itself skips in the name of [Home]. An event that is out of reach, or not at that position, is
// [ErrNotFound]; one that was skipped before needs no second record.
func (c *Commands) SkipParked(ctx context.Context, p *Principal, in SkipParked) (Result, error) {
	return c.govern(ctx, p, in.Command, func(s organization.State, act *act) ([]organization.Event, error) {
		stream, version, err := in.Parked(ctx)
		if err != nil {
			return nil, err
		}
		if stream.Organization != p.Organization && !(p.system && p.Organization == Home) {
			return nil, ErrNotFound
		}
		for e, err := range c.log.ReadStream(ctx, stream, version-1) {
			if err != nil {
				return nil, err
			}
			if e.Position != in.Position {
				break
			}
			return organization.SkipEvent(s, organization.EventSkipped{
				ReadModel: in.ReadModel, Position: int64(e.Position), Event: e.ID, Type: e.Type,
				Category: stream.Category, Stream: stream.ID, Reason: act.meta.Reason,
			})
		}
		return nil, ErrNotFound
	})
}
