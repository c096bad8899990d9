package eventstoredb

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/annal-crm/annal/eventlog"
)

const (
	recentCount = 4000                  // events kept: two pages of those who follow
	recentSize  = 4 << 20               // bytes of them
	recentDelay = 50 * time.Millisecond // how long an event that is known to be there may take to come by the subscription
)

// recent is what the subscription for those who wait has brought last. A reader that keeps up finds its page here: a
// subscription of its own would bring it all a second time, and later. Every event behind start is in it, as long as the
// subscription is live.
type recent struct {
	mu     sync.Mutex
	live   bool
	start  eventlog.Position
	events []eventlog.Event
	size   int
	grown  chan struct{} // closed and replaced when there are more, or no more will come
}

// begin forgets all and begins behind a position.
func (r *recent) begin(at eventlog.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live, r.start, r.events, r.size, r.grown = true, at, nil, 0, make(chan struct{})
}

func (r *recent) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live {
		r.live, r.events = false, nil
		close(r.grown)
	}
}

// add makes room by forgetting the older half.
func (r *recent) add(e eventlog.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	if r.size += len(e.Data) + len(e.Meta); len(r.events) > recentCount || r.size > recentSize {
		half := (len(r.events) + 1) / 2
		r.start = r.events[half-1].Position
		r.events, r.size = slices.Clone(r.events[half:]), 0
		for _, e := range r.events {
			r.size += len(e.Data) + len(e.Meta)
		}
	}
	close(r.grown)
	r.grown = make(chan struct{})
}

// after returns up to limit events behind a position, none if others must be asked. One that is expected it waits for.
func (r *recent) after(ctx context.Context, at eventlog.Position, limit int, expected bool) []eventlog.Event {
	var late <-chan time.Time
	for ctx.Err() == nil {
		r.mu.Lock()
		if !r.live || at < r.start {
			r.mu.Unlock()
			return nil
		}
		i, _ := slices.BinarySearchFunc(r.events, at+1, func(e eventlog.Event, p eventlog.Position) int {
			if e.Position < p {
				return -1
			}
			return 1
		})
		found, grown := slices.Clone(r.events[i:min(len(r.events), i+limit)]), r.grown
		r.mu.Unlock()
		if len(found) > 0 || !expected {
			return found
		}
		if late == nil {
			late = time.After(recentDelay)
		}
		select {
		case <-grown:
		case <-late:
			return nil
		case <-ctx.Done():
		}
	}
	return nil
}
