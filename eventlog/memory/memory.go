// Package memory is a log that lives and ends with its process.
//
// It is for fast tests and for trying things out: it promises all that
// [eventlog.Log] promises except to outlive the process. Positions are gapless.
package memory

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
)

// Log is an [eventlog.Importer] and an [eventlog.Counter]. The events it returns share their data: do not change it.
type Log struct {
	identity uuid.UUID

	mu      sync.RWMutex
	events  []eventlog.Event // the event at position p is events[p-1]
	streams map[eventlog.Stream][]eventlog.Position
	grown   chan struct{} // closed and replaced by each append
}

var (
	_ eventlog.Importer = (*Log)(nil)
	_ eventlog.Counter  = (*Log)(nil)
)

// New returns an empty log.
func New() *Log {
	return &Log{
		identity: uuid.New(),
		streams:  make(map[eventlog.Stream][]eventlog.Position),
		grown:    make(chan struct{}),
	}
}

// Append implements [eventlog.Log].
func (l *Log) Append(ctx context.Context, s eventlog.Stream, expected eventlog.Version, events ...eventlog.NewEvent) (eventlog.Receipt, error) {
	if err := eventlog.Validate(s, events); err != nil {
		return eventlog.Receipt{}, err
	}
	if err := ctx.Err(); err != nil {
		return eventlog.Receipt{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	stream := l.streams[s]
	if expected != eventlog.Version(len(stream)) {
		return l.first(stream, expected, events)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	if n := len(l.events); n > 0 && now.Before(l.events[n-1].RecordedAt) {
		now = l.events[n-1].RecordedAt // the clock was set back
	}
	for _, e := range events {
		e.Data, e.Meta = bytes.Clone(e.Data), bytes.Clone(e.Meta)
		e.OccurredAt = time.UnixMicro(e.OccurredAt.UnixMicro()).UTC()
		position := eventlog.Position(len(l.events) + 1)
		stream = append(stream, position)
		l.events = append(l.events, eventlog.Event{
			NewEvent: e, Stream: s, Version: eventlog.Version(len(stream)), Position: position, RecordedAt: now,
		})
	}
	l.streams[s] = stream
	close(l.grown)
	l.grown = make(chan struct{})
	return eventlog.Receipt{Position: eventlog.Position(len(l.events)), Version: eventlog.Version(len(stream))}, nil
}

// first returns the receipt that these very events got right after expected, or a conflict.
func (l *Log) first(stream []eventlog.Position, expected eventlog.Version, events []eventlog.NewEvent) (eventlog.Receipt, error) {
	if expected > eventlog.Version(len(stream)) || len(events) > len(stream[expected:]) {
		return eventlog.Receipt{}, eventlog.ErrConflict
	}
	held := stream[expected:][:len(events)]
	for i, position := range held {
		if l.events[position-1].ID != events[i].ID {
			return eventlog.Receipt{}, eventlog.ErrConflict
		}
	}
	return eventlog.Receipt{Position: held[len(held)-1], Version: expected + eventlog.Version(len(held))}, nil
}

// Import implements [eventlog.Importer].
func (l *Log) Import(ctx context.Context, events []eventlog.Event) error {
	if err := errors.Join(eventlog.CheckImport(events), ctx.Err()); err != nil || len(events) == 0 {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if e.Version != eventlog.Version(len(l.streams[e.Stream])+1) {
			return eventlog.ErrConflict
		}
		if n := len(l.events); n > 0 && e.RecordedAt.Before(l.events[n-1].RecordedAt) {
			e.RecordedAt = l.events[n-1].RecordedAt
		}
		e.Data, e.Meta, e.Position = bytes.Clone(e.Data), bytes.Clone(e.Meta), eventlog.Position(len(l.events)+1)
		l.events = append(l.events, e)
		l.streams[e.Stream] = append(l.streams[e.Stream], e.Position)
	}
	close(l.grown)
	l.grown = make(chan struct{})
	return nil
}

// ReadStream implements [eventlog.Log].
func (l *Log) ReadStream(ctx context.Context, s eventlog.Stream, after eventlog.Version) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		tails, err := l.ReadStreams(ctx, eventlog.Tail{Stream: s, After: after})
		if err != nil {
			yield(eventlog.Event{}, err)
			return
		}
		for _, e := range tails[0] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// ReadStreams implements [eventlog.Log].
func (l *Log) ReadStreams(ctx context.Context, tails ...eventlog.Tail) ([][]eventlog.Event, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	read := make([][]eventlog.Event, len(tails))
	for i, tail := range tails {
		stream := l.streams[tail.Stream]
		for _, position := range stream[min(uint64(tail.After), uint64(len(stream))):] {
			read[i] = append(read[i], l.events[position-1])
		}
	}
	return read, ctx.Err()
}

// ReadAll implements [eventlog.Log].
func (l *Log) ReadAll(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Event, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	rest := l.events[min(uint64(after), uint64(len(l.events))):]
	rest = rest[:max(0, min(limit, len(rest)))]
	for i, size := 0, 0; i < len(rest); i++ {
		if size += len(rest[i].Data) + len(rest[i].Meta); size >= eventlog.MaxPageSize {
			rest = rest[:i+1]
		}
	}
	return slices.Clone(rest), ctx.Err()
}

// Wait implements [eventlog.Log].
func (l *Log) Wait(ctx context.Context, after eventlog.Position) error {
	for {
		l.mu.RLock()
		head, grown := eventlog.Position(len(l.events)), l.grown
		l.mu.RUnlock()
		if head > after {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Head implements [eventlog.Log].
func (l *Log) Head(ctx context.Context) (eventlog.Position, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return eventlog.Position(len(l.events)), ctx.Err()
}

// Identity implements [eventlog.Log].
func (l *Log) Identity(ctx context.Context) (uuid.UUID, error) { return l.identity, ctx.Err() }

// CountAfter implements [eventlog.Counter].
func (l *Log) CountAfter(ctx context.Context, after eventlog.Position) (int64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return int64(len(l.events) - int(min(uint64(after), uint64(len(l.events))))), ctx.Err()
}
