package eventstoredb

import (
	"context"
	"fmt"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annal-crm/annal/eventlog"
)

// Append implements [eventlog.Log]. An answer that does not come is asked for by sending the events again: they have their
// ids, and the revision is always stated, so that the server takes them once.
func (l *Log) Append(ctx context.Context, s eventlog.Stream, expected eventlog.Version, events ...eventlog.NewEvent) (eventlog.Receipt, error) {
	if err := eventlog.Validate(s, events); err != nil {
		return eventlog.Receipt{}, err
	}
	data, size := make([]esdb.EventData, len(events)), 0
	for i, e := range events {
		proposed, bytes, err := proposed(e, time.Time{})
		if err != nil {
			return eventlog.Receipt{}, err
		}
		data[i], size = proposed, size+bytes
	}
	switch {
	case size > l.config.MaxAppendSize:
		return eventlog.Receipt{}, fmt.Errorf("%w: %d bytes, EventStoreDB takes at most %d (its MaxAppendSize)", eventlog.ErrInvalid, size, l.config.MaxAppendSize)
	case ctx.Err() != nil:
		return eventlog.Receipt{}, unavailable(ctx.Err())
	case !known(expected):
		return eventlog.Receipt{}, eventlog.ErrConflict
	}
	return l.write(ctx, s, expected, data)
}

// write appends, and gives a resend its first receipt.
func (l *Log) write(ctx context.Context, s eventlog.Stream, expected eventlog.Version, data []esdb.EventData) (eventlog.Receipt, error) {
	options := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
	if expected > 0 {
		options.ExpectedRevision = esdb.Revision(uint64(expected) - 1)
	}
	name := l.names.stream(s)
	result, err := do(ctx, l.client, func(ctx context.Context, s *session) (*esdb.WriteResult, error) {
		return s.writer.AppendToStream(ctx, name, options, data...)
	})
	version := expected + eventlog.Version(len(data))
	switch {
	case codeOf(err) == esdb.ErrorCodeWrongExpectedVersion:
		return l.first(ctx, s, expected, data)
	case err != nil:
		return eventlog.Receipt{}, err
	case result.CommitPosition == 0 || eventlog.Version(result.NextExpectedVersion)+1 != version:
		// The server had the events already and does not say where.
		return l.first(ctx, s, expected, data)
	}
	receipt := eventlog.Receipt{Position: eventlog.Position(result.CommitPosition), Version: version}
	l.growth.Reached(receipt.Position)
	return receipt, nil
}

// first returns the receipt that these very events got right after expected, or a conflict. The server itself knows a
// resend by its ids, but not one of which it has forgotten or never had a part.
func (l *Log) first(ctx context.Context, s eventlog.Stream, expected eventlog.Version, data []esdb.EventData) (eventlog.Receipt, error) {
	i := 0
	for e, err := range l.ReadStream(ctx, s, expected) {
		if err != nil {
			return eventlog.Receipt{}, err
		}
		if e.Version != expected+eventlog.Version(i)+1 || e.ID != data[i].EventID {
			break
		}
		if i++; i == len(data) {
			return eventlog.Receipt{Position: e.Position, Version: e.Version}, nil
		}
	}
	return eventlog.Receipt{}, eventlog.ErrConflict
}
