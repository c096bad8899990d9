package commands

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/vault"
)

// aggregate is one kind of stream: how it folds, and the states of those used last.
type aggregate[S, E any] struct {
	category string
	types    domain.EventTypes[E]
	evolve   func(S, E) S
	cache    *lru.Cache[eventlog.Stream, loaded[S]]
}

func newAggregate[S, E any](category string, types domain.EventTypes[E], evolve func(S, E) S, cached int) aggregate[S, E] {
	cache, err := lru.New[eventlog.Stream, loaded[S]](cached)
	if err != nil {
		panic(err) // a negative size in the program's own configuration
	}
	return aggregate[S, E]{category: category, types: types, evolve: evolve, cache: cache}
}

func (a *aggregate[S, E]) stream(organization, id uuid.UUID) eventlog.Stream {
	return eventlog.Stream{Organization: organization, Category: a.category, ID: id}
}

// loaded is the fold of a stream up to a version. It is never changed in place.
type loaded[S any] struct {
	state   S
	receipt eventlog.Receipt // of the newest event
	ids     []uuid.UUID      // of the newest events, in order
}

// kept is how many ids of a stream's newest events are remembered, to know a resent command by. An older one is looked for in
// the log.
const kept = 256

// load folds a stream. Only what is new since it was loaded last is read.
func (a *aggregate[S, E]) load(ctx context.Context, c *Commands, s eventlog.Stream) (loaded[S], error) {
	known, _ := a.cache.Get(s)
	return a.advance(ctx, c, s, known, c.log.ReadStream(ctx, s, known.receipt.Version))
}

// advance folds a stream's tail on what is known of it.
func (a *aggregate[S, E]) advance(ctx context.Context, c *Commands, s eventlog.Stream, known loaded[S], tail iter.Seq2[eventlog.Event, error]) (loaded[S], error) {
	next := known
	next.ids = slices.Clip(known.ids)
	for e, err := range tail {
		if err != nil {
			return loaded[S]{}, err
		}
		event, err := eventcodec.Decode(ctx, c.codec, a.types, e)
		if errors.Is(err, domain.ErrUnknownEvent) {
			return loaded[S]{}, fmt.Errorf("%w: %w", ErrTooOld, err)
		}
		if err != nil {
			return loaded[S]{}, unreadable(e, err)
		}
		next.state = a.evolve(next.state, event)
		next.receipt = eventlog.Receipt{Position: e.Position, Version: e.Version}
		next.ids = append(next.ids, e.ID)
	}
	if next.receipt.Version > known.receipt.Version { // so that made-up ids do not fill the cache with streams that are not there
		next.ids = slices.Clone(next.ids[max(0, len(next.ids)-kept):])
		a.cache.Add(s, next)
	}
	return next, nil
}

// unreadable tells an event that is not as this program writes it from what has to do with the vault.
func unreadable(e eventlog.Event, err error) error {
	for _, of := range []error{vault.ErrUnavailable, vault.ErrTampered, vault.ErrNoKey, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, of) {
			return err
		}
	}
	return fmt.Errorf("%w: at position %s: %w", ErrUnreadable, e.Position, err)
}

// outcome is what a command came to.
type outcome[E any] struct {
	events  []E
	receipt eventlog.Receipt
	resent  bool // these are the events of the first time
}

// attempts bounds how often a command starts over. Of n writers that meet on a stream one is through in each round, so this
// many get through at once; people do not edit one object faster.
const attempts = 20

// decide is the way of every write. It folds a stream, lets choose judge the state, and appends what it chose. If another
// writer got in between, it starts over from the new state. A command whose events the stream already holds answers with
// them and their receipt, and choose is not asked. Nothing chosen is nothing written.
//
// allow, if there is one, reports whether the actor may touch an object in this state; it is asked before a conflict tells
// anything about the object. What choose notes in act.meta is stored with the events that it returns.
func decide[S, E any](ctx context.Context, c *Commands, a *aggregate[S, E], s eventlog.Stream, act *action, allow func(S) error, choose func(S) ([]E, error)) (outcome[E], error) {
	var current eventlog.Version
	for attempt := range attempts {
		now, err := a.load(ctx, c, s)
		if err != nil {
			return outcome[E]{}, err
		}
		if act.resent {
			if first, err := a.first(ctx, c, s, now, act); err != nil || first.resent {
				return first, err
			}
		}
		if allow != nil {
			if err := allow(now.state); err != nil {
				return outcome[E]{}, err
			}
		}
		if current = now.receipt.Version; act.expected != 0 && act.expected != current {
			conflict := &Conflict{CurrentVersion: current}
			if s, ok := any(now.state).(interface{ ChangedSince(int) []string }); ok {
				conflict.ChangedFields = s.ChangedSince(int(act.expected))
			}
			return outcome[E]{}, conflict
		}
		act.judged = current
		events, err := choose(now.state)
		if err != nil || len(events) == 0 {
			return outcome[E]{receipt: now.receipt}, err
		}
		stored, err := a.encode(ctx, c, s, act, events)
		if err != nil {
			return outcome[E]{}, err
		}
		receipt, err := c.log.Append(ctx, s, current, stored...)
		if !errors.Is(err, eventlog.ErrConflict) {
			return outcome[E]{events: events, receipt: receipt}, err
		}
		if attempt > 1 { // more than one rival: spread out
			pause(ctx, rand.N(time.Duration(attempt)*time.Millisecond))
		}
	}
	return outcome[E]{}, &Conflict{CurrentVersion: current}
}

func (a *aggregate[S, E]) encode(ctx context.Context, c *Commands, s eventlog.Stream, act *action, events []E) ([]eventlog.NewEvent, error) {
	stored := make([]eventlog.NewEvent, len(events))
	for i, e := range events {
		at := act.now
		if own, ok := any(e).(interface{ OccurredAt() time.Time }); ok && !own.OccurredAt().IsZero() {
			at = own.OccurredAt()
		}
		var err error
		if stored[i], err = eventcodec.Encode(ctx, c.codec, a.types, s, act.event(s, i), e, act.meta, at); err != nil {
			return nil, err
		}
	}
	return stored, nil
}

// first looks for the events of a command in its stream.
func (a *aggregate[S, E]) first(ctx context.Context, c *Commands, s eventlog.Stream, now loaded[S], act *action) (outcome[E], error) {
	before := now.receipt.Version - eventlog.Version(len(now.ids)) // the version before the ids kept
	i := slices.Index(now.ids, act.event(s, 0))
	switch {
	case i >= 0:
		before += eventlog.Version(i)
	case before == 0:
		return outcome[E]{}, nil
	default:
		before = 0
	}
	var found outcome[E]
	for e, err := range c.log.ReadStream(ctx, s, before) {
		switch {
		case err != nil:
			return outcome[E]{}, err
		case e.ID == act.event(s, len(found.events)):
		case found.resent:
			return found, nil
		default:
			continue
		}
		event, err := eventcodec.Decode(ctx, c.codec, a.types, e)
		if err != nil {
			return outcome[E]{}, err
		}
		found.events, found.receipt, found.resent = append(found.events, event), eventlog.Receipt{Position: e.Position, Version: e.Version}, true
	}
	return found, nil
}

// event returns the id of a command's event i in a stream. It differs between the streams that one command writes to, and
// between actors.
func (a *action) event(s eventlog.Stream, i int) uuid.UUID {
	name := slices.Concat(s.Organization[:], []byte(s.Category), s.ID[:], a.actor[:])
	return uuid.NewSHA1(a.id, binary.BigEndian.AppendUint32(name, uint32(i)))
}
