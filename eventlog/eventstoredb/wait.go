package eventstoredb

import (
	"context"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annal-crm/annal/eventlog"
)

// growth is how far this process knows the log to be.
type growth struct {
	mu     sync.Mutex
	head   eventlog.Position
	grown  chan struct{} // closed and replaced when head moves
	closed bool
}

func (g *growth) init(head eventlog.Position) { g.head, g.grown = head, make(chan struct{}) }

func (g *growth) known() eventlog.Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.head
}

// reached wakes all who wait if head is news.
func (g *growth) reached(head eventlog.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if head > g.head && !g.closed {
		g.head = head
		close(g.grown)
		g.grown = make(chan struct{})
	}
}

func (g *growth) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		close(g.grown)
	}
}

// Wait implements [eventlog.Log]. Appends of this process wake it directly, those of others by a subscription. While the
// server is away it goes on waiting.
func (l *Log) Wait(ctx context.Context, after eventlog.Position) error {
	g := &l.growth
	for {
		g.mu.Lock()
		head, grown, closed := g.head, g.grown, g.closed
		g.mu.Unlock()
		switch {
		case head > after:
			return nil
		case closed:
			return errClosed
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow keeps a subscription to what is new, for all who wait here. It begins behind the newest event that is known: a
// growth that was missed while there was no connection is the first thing that the next one brings.
func (l *Log) follow() {
	ctx, delay := l.client.ctx, firstDelay
	for ctx.Err() == nil {
		cursor, err := l.open(ctx, max(l.origin, l.growth.known()))
		if err == nil {
			_ = cursor.each(ctx, 0, func(m *esdb.SubscriptionEvent) bool {
				delay = firstDelay
				if m.EventAppeared == nil {
					return true
				}
				if e, ok := l.names.decode(m.EventAppeared.Event); ok {
					l.growth.reached(e.Position)
				}
				return true
			})
		}
		if sleep(ctx, jitter(delay)) != nil {
			return
		}
		delay = min(2*delay, maxDelay)
	}
}
