package eventstoredb

import (
	"context"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annal-crm/annal/eventlog"
)

// growth is how far this process knows the log to be.
type growth struct {
	mu     sync.Mutex
	head   eventlog.Position
	grown  chan struct{} // closed and replaced when head moves
	closed bool

	waiting int           // callers of Wait now
	left    time.Time     // the last of them
	wanted  chan struct{} // holds one if somebody has begun to wait
}

func (g *growth) init(head eventlog.Position) {
	g.head, g.grown, g.wanted = head, make(chan struct{}), make(chan struct{}, 1)
}

// wait blocks until the log has grown past a position, or ctx ends, or the log.
func (g *growth) wait(ctx context.Context, after eventlog.Position) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.head <= after && !g.closed && ctx.Err() == nil {
		grown := g.grown
		g.waiting++
		g.want()
		g.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
		}
		g.mu.Lock()
		g.waiting--
		g.left = time.Now()
	}
	switch {
	case g.head > after:
		return nil
	case g.closed:
		return errClosed
	}
	return ctx.Err()
}

func (g *growth) want() {
	select {
	case g.wanted <- struct{}{}:
	default:
	}
}

// linger is how long what is new is followed after the last that waited for it: readers come back.
const linger = time.Second

// watched tells whether somebody waits, or did just now.
func (g *growth) watched() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting > 0 || time.Since(g.left) < linger
}

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
	return l.growth.wait(ctx, after)
}

// follow subscribes to what is new, for all who wait here, as long as anybody does: what comes by a subscription has been
// read and sent by the server, so that a process that only appends had better have none. It begins behind the newest event
// that is known: a growth that was missed while there was no subscription is the first thing that the next one brings.
func (l *Log) follow() {
	ctx, delay := l.client.ctx, firstDelay
	for {
		select {
		case <-l.growth.wanted:
		case <-ctx.Done():
			return
		}
		cursor, err := l.open(ctx, max(l.origin, l.growth.known()))
		if err == nil {
			err = cursor.each(ctx, 0, func(m *esdb.SubscriptionEvent) bool {
				delay = firstDelay
				if m.EventAppeared != nil {
					if e, ok := l.names.decode(m.EventAppeared.Event); ok {
						l.growth.reached(e.Position)
					}
				}
				return l.growth.watched()
			})
			cursor.end()
		}
		if err != nil {
			l.growth.want() // who waited may be waiting still
			if sleep(ctx, jitter(delay)) != nil {
				return
			}
			delay = min(2*delay, maxDelay)
		}
	}
}
