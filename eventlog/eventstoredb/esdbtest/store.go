package esdbtest

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// proposal is an event that somebody wants to append.
type proposal struct {
	id                     uuid.UUID
	eventType, contentType string
	data, metadata         []byte
}

// record is an event as it is kept. Records are never changed.
type record struct {
	proposal
	stream   string
	revision int64  // from 0
	position uint64 // commit and prepare
	created  time.Time
}

// store is the data of a cluster.
type store struct {
	mu      sync.RWMutex
	all     []*record
	streams map[string][]*record
	ids     map[uuid.UUID]*record // the newest with an id
	end     uint64                // where the next event goes
	grown   chan struct{}         // closed and replaced by each append
}

func newStore() *store {
	// A database begins with a few records of its own, so no position of an event is 0.
	return &store{streams: make(map[string][]*record), ids: make(map[uuid.UUID]*record), end: 170, grown: make(chan struct{})}
}

// Expected revisions that are not revisions, numbered as the server does.
const (
	expectNoStream     int64 = -1
	expectAny          int64 = -2
	expectStreamExists int64 = -4
)

// appended is the answer to an append: the stream's last revision (-1 for none) and the position of its last event, or, if
// wrong, the stream's current revision.
type appended struct {
	wrong    bool
	revision int64
	position uint64
}

// append checks the expectation as the server's index writer does, with its idempotency: events that were already appended
// where they are expected are answered like the first time, if all of them are there.
func (s *store) append(stream string, expected int64, events []proposal) appended {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.streams[stream]
	current := int64(len(held)) - 1
	wrong := appended{wrong: true, revision: current}
	switch {
	case expected == expectStreamExists && current < 0:
		return wrong
	case expected == expectAny, expected == expectStreamExists:
		for i, e := range events {
			known := s.ids[e.id]
			if known == nil || known.stream != stream {
				if i > 0 {
					return wrong // some of them are there, some not
				}
				return s.add(stream, events)
			}
			if i == len(events)-1 {
				return appended{revision: known.revision, position: known.position}
			}
		}
	case expected < current:
		for i, e := range events {
			at := expected + 1 + int64(i)
			if at > current || held[at].id != e.id {
				return wrong
			}
		}
		if len(events) == 0 {
			return wrong
		}
		last := held[expected+int64(len(events))]
		return appended{revision: last.revision, position: last.position}
	case expected > current:
		return wrong
	}
	return s.add(stream, events)
}

func (s *store) put(stream string, e proposal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(stream, []proposal{e})
}

func (s *store) add(stream string, events []proposal) appended {
	now := time.Now()
	if n := len(s.all); n > 0 && now.Before(s.all[n-1].created) {
		now = s.all[n-1].created
	}
	for _, e := range events {
		r := &record{proposal: e, stream: stream, revision: int64(len(s.streams[stream])), position: s.end, created: now}
		s.end += uint64(100 + len(stream) + len(e.eventType) + len(e.data) + len(e.metadata)) // a record has a head and a tail
		s.all = append(s.all, r)
		s.streams[stream] = append(s.streams[stream], r)
		s.ids[e.id] = r
	}
	if len(events) > 0 {
		close(s.grown)
		s.grown = make(chan struct{})
	}
	answer := appended{revision: int64(len(s.streams[stream])) - 1}
	if n := len(s.all); n > 0 {
		answer.position = s.all[n-1].position
	}
	return answer
}

func (s *store) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.all)
}

// everything returns all events, and a channel that is closed when there are more. The slice is only ever appended to.
func (s *store) everything() ([]*record, <-chan struct{}) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clip(s.all), s.grown
}

// of returns the events of a stream, likewise.
func (s *store) of(stream string) ([]*record, <-chan struct{}) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clip(s.streams[stream]), s.grown
}
