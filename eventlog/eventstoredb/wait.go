package eventstoredb

import (
	"context"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annal-crm/annal/eventlog"
)

// linger is how long what is new is followed after the last that waited for it: readers come back.
const linger = time.Second

// Wait implements [eventlog.Log]. Appends of this process wake it directly, those of others by a subscription. While the
// server is away it goes on waiting.
func (l *Log) Wait(ctx context.Context, after eventlog.Position) error {
	return l.growth.Wait(ctx, after)
}

// follow subscribes to what is new, for all who wait here, as long as anybody does: what comes by a subscription has been
// read and sent by the server, so that a process that only appends had better have none. It begins behind the newest event
// that is known: a growth that was missed while there was no subscription is the first thing that the next one brings.
func (l *Log) follow() {
	ctx, delay := l.client.ctx, firstDelay
	for {
		select {
		case <-l.growth.Wanted():
		case <-ctx.Done():
			return
		}
		at := max(l.origin, l.growth.Known())
		cursor, err := l.open(ctx, at)
		if err == nil {
			l.recent.begin(at)
			err = cursor.each(ctx, 0, func(m *esdb.SubscriptionEvent) bool {
				delay = firstDelay
				if m.EventAppeared != nil {
					if e, ok := l.names.decode(m.EventAppeared.Event); ok {
						l.recent.add(e)
						l.growth.Reached(e.Position)
					}
				}
				return l.growth.Watched(linger)
			})
			cursor.end()
			l.recent.end()
		}
		if err != nil {
			l.growth.Want() // who waited may be waiting still
			if sleep(ctx, jitter(delay)) != nil {
				return
			}
			delay = min(2*delay, maxDelay)
		}
	}
}
