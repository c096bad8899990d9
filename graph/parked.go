package graph

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
)

// Parked events are for who may manage the organization, and each organization sees its own.

func (q query) ParkedEvents(ctx context.Context, readModel *string, position *eventlog.Position, first *int, after *string) (*model.ParkedEventConnection, error) {
	request, err := paging(first, after, nil, nil)
	if err != nil {
		return nil, err
	}
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	size := cmp.Or(request.First, defaultPage)
	filter := engine.ParkedFilter{Model: value(readModel), Position: value(position), Limit: size + 1}
	if filter.After, err = parkedAfter(request.After); err != nil {
		return nil, invalid("after", "is not a cursor of this list")
	}
	found, err := q.parked(ctx, p, filter)
	if err != nil {
		return nil, err
	}
	page := engine.Page[engine.Parked]{Rows: found[:min(len(found), size)], HasNext: len(found) > size, HasPrevious: after != nil}
	for _, e := range page.Rows {
		page.Cursors = append(page.Cursors, parkedCursor(e))
	}
	return listed(page, nil, func(e engine.Parked) *model.ParkedEvent { return q.parkedObject(p, e) }, nil)
}

func (r *resolver) parkedObject(p *commands.Principal, e engine.Parked) *model.ParkedEvent {
	return &model.ParkedEvent{
		ReadModel: e.Model, Position: e.Position, EventID: e.Event, Type: e.Type,
		Category: e.Stream.Category, StreamID: e.Stream.ID, StreamVersion: int(e.StreamVersion),
		Error: string(quoting(p, e.Error)), Since: e.At, Waiting: e.Waiting,
		Read: func(ctx context.Context) (json.RawMessage, error) { return r.data(ctx, p, e) },
	}
}

// A cursor is the place of an event in the list: its read model and position.

func parkedCursor(e engine.Parked) string {
	return base64.RawURLEncoding.EncodeToString([]byte(e.Model + " " + e.Position.String()))
}

func parkedAfter(cursor string) (engine.Cursor, error) {
	if cursor == "" {
		return engine.Cursor{}, nil
	}
	place, err := base64.RawURLEncoding.DecodeString(cursor)
	readModel, at, found := strings.Cut(string(place), " ")
	position, malformed := eventlog.ParsePosition(at)
	if err != nil || malformed != nil || !found {
		return engine.Cursor{}, engine.ErrCursor
	}
	return engine.Cursor{Model: readModel, Position: position}, nil
}

// parked lists the parked events that the principal may judge.
func (r *resolver) parked(ctx context.Context, p *commands.Principal, f engine.ParkedFilter) ([]engine.Parked, error) {
	if p.Scope(organization.Manage) == organization.None {
		return nil, commands.ErrForbidden
	}
	f.Organization = p.Organization
	return r.Engine.Parked(ctx, f)
}

// parkedAt returns the one at a position.
func (r *resolver) parkedAt(ctx context.Context, p *commands.Principal, readModel string, at eventlog.Position) (engine.Parked, error) {
	if readModel == "" || at == 0 { // which would mean any
		return engine.Parked{}, engine.ErrNotParked
	}
	found, err := r.parked(ctx, p, engine.ParkedFilter{Model: readModel, Position: at, Limit: 1})
	if err == nil && len(found) == 0 {
		err = engine.ErrNotParked
	}
	if err != nil {
		return engine.Parked{}, err
	}
	return found[0], nil
}

// data reads a parked event, from the log, as the principal may see it. What cannot be opened is null: then the error says why.
func (r *resolver) data(ctx context.Context, p *commands.Principal, parked engine.Parked) (json.RawMessage, error) {
	for e, err := range r.Log.ReadStream(ctx, parked.Stream, parked.StreamVersion-1) {
		if err != nil {
			return nil, err
		}
		page, err := r.Codec.Page(ctx, []eventlog.Event{e})
		if errors.Is(err, vault.ErrUnavailable) || ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			return nil, nil
		}
		see := page[0].Masked
		if personal(p) {
			see = page[0].Display
		}
		view, err := see()
		if err != nil {
			return nil, nil
		}
		return view.Data, nil
	}
	return nil, nil
}

// quoting is an error that may quote an event, for a principal.
func quoting(p *commands.Principal, err string) model.Text {
	if err != "" && !personal(p) {
		return "hidden"
	}
	return model.Text(err)
}

func (m mutation) RetryParked(ctx context.Context, in generated.RetryParkedInput) (*model.RetryParkedPayload, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := m.parkedAt(ctx, p, in.ReadModel, in.Position); err != nil {
		return nil, err
	}
	done, err := m.Engine.RetryParked(ctx, in.ReadModel, in.Position)
	if err != nil {
		return nil, err
	}
	m.Logger.InfoContext(ctx, "parked events retried", "model", in.ReadModel, "position", in.Position, "account", p.Account, "folded", done.Folded, "left", done.Left)
	return &model.RetryParkedPayload{Folded: done.Folded, Left: done.Left, Error: quoting(p, done.Error)}, nil
}

func (m mutation) SkipParked(ctx context.Context, in generated.SkipParkedInput) (*model.SkipParkedPayload, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	recorded, err := m.Commands.SkipParked(ctx, p, commands.SkipParked{
		Command: command(in.CommandID, &in.Reason), ReadModel: in.ReadModel, Position: in.Position,
		Parked: func(ctx context.Context) (eventlog.Stream, eventlog.Version, error) {
			e, err := m.parkedAt(ctx, p, in.ReadModel, in.Position)
			return e.Stream, e.StreamVersion, err
		},
	})
	if err != nil {
		return nil, err
	}
	done, err := m.Engine.SkipParked(ctx, in.ReadModel, in.Position)
	if err != nil && !errors.Is(err, engine.ErrNotParked) { // not parked any more: the command was sent again
		return nil, &notShown{recorded.Receipt, err}
	}
	m.Logger.InfoContext(ctx, "parked event skipped", "model", in.ReadModel, "position", in.Position, "account", p.Account, "folded", done.Folded, "left", done.Left)
	return &model.SkipParkedPayload{Folded: done.Folded, Left: done.Left, Error: quoting(p, done.Error), Receipt: receipt(recorded.Receipt)}, nil
}
