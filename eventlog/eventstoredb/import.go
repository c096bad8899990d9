package eventstoredb

import (
	"context"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annal-crm/annal/eventlog"
)

// Import implements [eventlog.Importer]. One append follows the other, each of the next events that are of one stream,
// because the order of the appends is all that makes the order of the log. Events that the log already has at their
// versions are passed over, so that an import whose answer was lost may be sent again.
func (l *Log) Import(ctx context.Context, events []eventlog.Event) error {
	if err := eventlog.CheckImport(events); err != nil {
		return err
	}
	var run []esdb.EventData
	var first eventlog.Event
	size := 0
	flush := func() error {
		if len(run) == 0 {
			return nil
		}
		_, err := l.write(ctx, first.Stream, first.Version-1, run)
		run, size = nil, 0
		return err
	}
	for _, e := range events {
		data, bytes, err := proposed(e.NewEvent, e.RecordedAt)
		switch {
		case err == nil && bytes > l.config.MaxAppendSize:
			err = fmt.Errorf("%w: event %s at position %s has %d bytes, EventStoreDB takes at most %d (its MaxAppendSize)",
				eventlog.ErrInvalid, e.ID, e.Position, bytes, l.config.MaxAppendSize)
		case err == nil && (e.Stream != first.Stream || size+bytes > l.config.MaxAppendSize || len(run) == eventlog.MaxEvents):
			err = flush()
		}
		if err != nil {
			return err
		}
		if len(run) == 0 {
			first = e
		}
		run, size = append(run, data), size+bytes
	}
	return flush()
}
