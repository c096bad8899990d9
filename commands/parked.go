package commands

import (
	"context"

	"github.com/annal-crm/annal/domain"
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
	if p.Scope(organization.Manage) != organization.All {
		return Result{}, ErrForbidden
	}
	act, err := c.begin(p, in.Command)
	if err != nil {
		return Result{}, err
	}
	stream := c.organizations.stream(p.Organization, p.Organization)
	done, err := decide(ctx, c, &c.organizations, stream, act, nil, func(s organization.State) ([]organization.Event, error) {
		e, err := c.parked(ctx, p, in)
		if err != nil {
			return nil, err
		}
		return organization.SkipEvent(s, organization.EventSkipped{
			ReadModel: in.ReadModel, Position: int64(e.Position), Event: e.ID, Type: e.Type,
			Category: e.Stream.Category, Stream: e.Stream.ID, Reason: act.meta.Reason,
		})
	})
	if err != nil {
		return Result{}, err
	}
	if done.resent { // the read model is told next: it must not be told of an event that is not on record
		first, ok := done.events[0].(organization.EventSkipped)
		if !ok || first.ReadModel != in.ReadModel || first.Position != int64(in.Position) {
			return Result{}, domain.Invalid{"commandId": "was used for another command"}
		}
	}
	return Result{ID: p.Organization, Receipt: done.receipt}, nil
}

// parked reads the event that is parked at a position, if it is the principal's to judge.
func (c *Commands) parked(ctx context.Context, p *Principal, in SkipParked) (eventlog.Event, error) {
	stream, version, err := in.Parked(ctx)
	if err != nil {
		return eventlog.Event{}, err
	}
	if stream.Organization != p.Organization && !(p.system && p.Organization == Home) {
		return eventlog.Event{}, ErrNotFound
	}
	for e, err := range c.log.ReadStream(ctx, stream, version-1) {
		if err != nil || e.Position == in.Position {
			return e, err
		}
		break
	}
	return eventlog.Event{}, ErrNotFound
}
