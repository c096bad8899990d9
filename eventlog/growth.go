package eventlog

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// ErrClosed is the answer of a log that its process has closed. It is an [ErrUnavailable].
var ErrClosed = fmt.Errorf("%w: the log is closed", ErrUnavailable)

// Growth is how far a process knows a log to be: the part of [Log.Wait] that is the same for every log with a server. Make
// it by [NewGrowth]. Safe for concurrent use.
type Growth struct {
	mu      sync.Mutex
	head    Position
	grown   chan struct{} // closed and replaced when head moves
	closed  bool
	waiting int       // callers of Wait now
	left    time.Time // the last of them
	wanted  chan struct{}
}

// NewGrowth begins with what is known.
func NewGrowth(head Position) *Growth {
	return &Growth{head: head, grown: make(chan struct{}), wanted: make(chan struct{}, 1)}
}

// Wait blocks until the log has grown past a position, ctx ends (then its error) or Close is called ([ErrClosed]).
func (g *Growth) Wait(ctx context.Context, after Position) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.head <= after && !g.closed && ctx.Err() == nil {
		grown := g.grown
		g.waiting++
		g.Want()
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
		return ErrClosed
	}
	return ctx.Err()
}

// Reached wakes all who wait if head is news.
func (g *Growth) Reached(head Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if head > g.head && !g.closed {
		g.head = head
		close(g.grown)
		g.grown = make(chan struct{})
	}
}

// Known returns the furthest position that was reached.
func (g *Growth) Known() Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.head
}

// Wanted has an element after somebody has begun to wait, for a log that looks for growth only as long as anybody does.
func (g *Growth) Wanted() <-chan struct{} { return g.wanted }

// Want puts it there.
func (g *Growth) Want() {
	select {
	case g.wanted <- struct{}{}:
	default:
	}
}

// Watched reports whether somebody waits, or did within the time given.
func (g *Growth) Watched(linger time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting > 0 || time.Since(g.left) < linger
}

// Close ends all waiting.
func (g *Growth) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		close(g.grown)
	}
}
