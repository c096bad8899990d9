package logtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
)

// patience bounds a part: the load takes a second or two, on a busy machine with the race detector ten times that.
const patience = 2 * time.Minute

func (s *suite) contend() {
	const writers, versions = 16, 25
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	stream := newStream()
	won := make([][]uuid.UUID, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for version := eventlog.Version(0); version < versions; version++ {
				events := newEvents(1)
				receipt, err := s.log.Append(ctx, stream, version, events...)
				switch {
				case err == nil && receipt.Version == version+1:
					won[w] = append(won[w], events[0].ID)
				case errors.Is(err, eventlog.ErrConflict):
				default:
					s.Errorf("append at %d: %+v, %v", version, receipt, err)
					return
				}
			}
		})
	}
	wg.Wait()
	winners := make(map[uuid.UUID]bool)
	for _, ids := range won {
		for _, id := range ids {
			winners[id] = true
		}
	}
	events := s.stream(stream, 0)
	s.same("versions and winners", []int{len(events), len(winners)}, []int{versions, versions})
	for _, e := range events {
		if !winners[e.ID] {
			s.Fatalf("version %d is held by an event whose writer lost", e.Version)
		}
	}
	s.inOrder(s.all(10))
}

func (s *suite) crowd() { s.load(s.log) }

func (s *suite) twoProcesses() {
	if s.options.Second == nil {
		s.Log("declared: the log runs in one process")
		return
	}
	s.load(s.log, s.options.Second(s.T, s.log))
}

// load has many writers append to shared streams by way of the given clients of one log, right and wrong, while readers
// follow each client, and then compares what was answered with what is there.
func (s *suite) load(clients ...eventlog.Log) {
	const writers, readers, rounds = 12, 2, 20 // of each client
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	streams := make([]eventlog.Stream, 20)
	for i := range streams {
		streams[i] = newStream()
	}
	var writing, reading sync.WaitGroup
	var mu sync.Mutex
	receipts := make(map[uuid.UUID]eventlog.Receipt) // by last event
	count := 0
	for c, log := range clients {
		for w := range writers {
			writing.Go(func() {
				random := rand.New(rand.NewPCG(uint64(c), uint64(w)))
				for range rounds {
					events, receipt, err := attempt(ctx, log, streams[random.IntN(len(streams))], random)
					if err != nil {
						s.Error(err)
						return
					}
					mu.Lock()
					receipts[events[len(events)-1].ID] = receipt
					count += len(events)
					mu.Unlock()
				}
			})
		}
	}
	// Readers end at the last event, which is appended when all else is there.
	end := newEvents(1)[0]
	follow := func(log eventlog.Log, page int) ([]eventlog.Event, error) {
		var events []eventlog.Event
		var after eventlog.Position
		for {
			if err := log.Wait(ctx, after); err != nil {
				return events, fmt.Errorf("wait after %d: %w", after, err)
			}
			read, err := log.ReadAll(ctx, after, page)
			if err != nil {
				return events, err
			}
			if len(read) == 0 {
				return events, fmt.Errorf("growth after %d was seen by Wait, not by ReadAll", after)
			}
			events = append(events, read...)
			last := read[len(read)-1]
			if last.ID == end.ID {
				return events, nil
			}
			after = last.Position
		}
	}
	followed := make([][]eventlog.Event, len(clients)*readers)
	for i := range followed {
		reading.Go(func() {
			events, err := follow(clients[i%len(clients)], 1+i*50)
			if err != nil {
				s.Error(err)
			}
			followed[i] = events
		})
	}
	writing.Wait()
	s.append(newStream(), 0, end)
	reading.Wait()
	if s.Failed() {
		return
	}

	all := s.all(1000)
	s.inOrder(all)
	s.same("number of events", len(all), count+1)
	for i, events := range followed {
		s.same(fmt.Sprintf("what reader %d saw", i), events, all)
	}
	found := 0
	for _, e := range all {
		if receipt, ok := receipts[e.ID]; ok {
			s.same("receipt", receipt, eventlog.Receipt{Position: e.Position, Version: e.Version})
			found++
		}
	}
	s.same("receipts found", found, len(receipts))
}

// attempt appends one to three events at the end of a stream, however often others are faster; now and then it first
// expects a version that is gone or not there yet, and now and then it sends the events again.
func attempt(ctx context.Context, log eventlog.Log, stream eventlog.Stream, random *rand.Rand) ([]eventlog.NewEvent, eventlog.Receipt, error) {
	events := newEvents(1 + random.IntN(3))
	for {
		var version eventlog.Version
		for e, err := range log.ReadStream(ctx, stream, 0) {
			if err != nil {
				return nil, eventlog.Receipt{}, err
			}
			version = e.Version
		}
		wrong := version + 1000
		if version > 0 && random.IntN(2) == 0 {
			wrong = eventlog.Version(random.Uint64N(uint64(version)))
		}
		if random.IntN(4) == 0 {
			if r, err := log.Append(ctx, stream, wrong, newEvents(1)...); !errors.Is(err, eventlog.ErrConflict) {
				return nil, r, fmt.Errorf("append at %d to a stream at %d: %+v, %w", wrong, version, r, err)
			}
		}
		receipt, err := log.Append(ctx, stream, version, events...)
		if errors.Is(err, eventlog.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, receipt, err
		}
		if random.IntN(4) == 0 {
			again, err := log.Append(ctx, stream, version, events...)
			if err != nil || again != receipt {
				return nil, again, fmt.Errorf("sent again: %+v after %+v, %w", again, receipt, err)
			}
		}
		return events, receipt, nil
	}
}
