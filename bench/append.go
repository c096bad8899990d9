package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/postgres"
)

const (
	clients      = 256
	appendsEach  = 4   // to a stream, one after the other
	staleOneOf   = 100 // appends
	insertSchema = "bench_insert"
	insertOne    = `insert into ` + insertSchema + `.events values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp())`
)

// inserts is the floor of appending: a table like the log's, with its indexes and constraints, into which each append is one
// INSERT and one commit. Positions come from a counter in memory: gaps, order and the stream's version are nobody's care.
type inserts struct {
	pool     *pgxpool.Pool
	position *atomic.Int64
}

func (f inserts) append(ctx context.Context, s eventlog.Stream, expected eventlog.Version, e eventlog.NewEvent) error {
	_, err := f.pool.Exec(ctx, insertOne, f.position.Add(1), e.ID, s.Organization, s.Category, s.ID, int64(expected)+1,
		e.Type, e.Schema, e.Data, e.Meta, e.OccurredAt)
	return err
}

// sized returns a pool like another, of n connections, all of them open.
func sized(ctx context.Context, like *pgxpool.Pool, n int) (*pgxpool.Pool, error) {
	config := like.Config()
	config.MaxConns = int32(n)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	held := pool.AcquireAllIdle(ctx)
	for range n - len(held) {
		c, err := pool.Acquire(ctx)
		if err != nil {
			pool.Close()
			return nil, err
		}
		held = append(held, c)
	}
	for _, c := range held {
		c.Release()
	}
	return pool, nil
}

// appendWorld has the table of the floor beside the log, and events in their stored form to write to both.
func (b *bench) appendWorld(ctx context.Context) (*world, *atomic.Int64, []eventlog.NewEvent, error) {
	fresh := b.worlds["appends"] == nil
	w, err := b.world(ctx, "appends", 0)
	if err != nil {
		return nil, nil, nil, err
	}
	if fresh {
		for _, s := range []string{"create schema " + insertSchema, "create table " + insertSchema + ".events (like eventlog.events including all)"} {
			if _, err := w.Pool.Exec(ctx, s); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	var last int64
	if err := w.Pool.QueryRow(ctx, "select coalesce(max(position), 0) from "+insertSchema+".events").Scan(&last); err != nil {
		return nil, nil, nil, err
	}
	position := new(atomic.Int64)
	position.Store(last)
	var events []eventlog.NewEvent
	for n := range 200 {
		l := w.newLife(n)
		for i := range appendsEach {
			e, err := l.event(ctx, i)
			if err != nil {
				return nil, nil, nil, err
			}
			events = append(events, e)
		}
	}
	return w, position, events, nil
}

// writers are clients that each append event after event to streams of their own.
type writers struct {
	streams []eventlog.Stream // one of each client
	events  []eventlog.NewEvent
}

func newWriters(n int, events []eventlog.NewEvent) writers {
	return writers{make([]eventlog.Stream, n), events}
}

// next returns what a client appends as its number i.
func (w writers) next(client, i int) (eventlog.Stream, eventlog.Version, eventlog.NewEvent) {
	if i%appendsEach == 0 {
		w.streams[client] = eventlog.Stream{Organization: commands.Home, Category: customer.Category, ID: uuid.New()}
	}
	e := w.events[(client*997+i)%len(w.events)]
	e.ID = uuid.New()
	return w.streams[client], eventlog.Version(i % appendsEach), e
}

// appendMany measures many clients at once, without and with appends that are stale.
func appendMany(ctx context.Context, b *bench) ([]Figure, error) {
	w, position, events, err := b.appendWorld(ctx)
	if err != nil {
		return nil, err
	}
	insert := func(pool *pgxpool.Pool, span time.Duration) (float64, []time.Duration, error) {
		who, floor := newWriters(clients, events), inserts{pool, position}
		return load(ctx, clients, span, func(ctx context.Context, client, i int) (bool, error) {
			s, expected, e := who.next(client, i)
			return true, floor.append(ctx, s, expected, e)
		})
	}
	// The best pool is looked for once; the server takes 100 connections in all.
	best, most := 0, 0.0
	for _, n := range []int{8, 16, 32, 56} {
		b.say("append: INSERTs through %d connections", n)
		pool, err := sized(ctx, w.Pool, n)
		if err != nil {
			return nil, err
		}
		rate, _, err := insert(pool, b.span()/2)
		pool.Close()
		if err != nil {
			return nil, err
		}
		if rate > most {
			best, most = n, rate
		}
	}

	pool, err := sized(ctx, w.Pool, best)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	stale, err := staleStreams(ctx, b, w, events)
	if err != nil {
		return nil, err
	}
	var ours, mixed, floor, oursSlow, floorSlow series
	run := func(work func(ctx context.Context, client, i int) (bool, error), rates, slow *series) error {
		rate, took, err := load(ctx, clients, b.span(), work)
		rates.add(rate)
		if slow != nil {
			slow.add(percentile(took, 99))
		}
		return err
	}
	round := func() error {
		rate, took, err := insert(pool, b.span())
		if err != nil {
			return err
		}
		floor.add(rate)
		floorSlow.add(percentile(took, 99))
		who := newWriters(clients, events)
		fresh := func(ctx context.Context, client, i int) (bool, error) {
			s, expected, e := who.next(client, i)
			_, err := w.Log.Append(ctx, s, expected, e)
			return true, err
		}
		if err := run(fresh, &ours, &oursSlow); err != nil {
			return err
		}
		who = newWriters(clients, events)
		turn := make([]int, clients) // a stale append is beside a client's own
		return run(func(ctx context.Context, client, _ int) (bool, error) {
			if rand.IntN(staleOneOf) == 0 {
				_, err := w.Log.Append(ctx, stale(), 0, eventlog.NewEvent{
					ID: uuid.New(), Type: events[0].Type, Schema: 1, Data: events[0].Data, Meta: events[0].Meta, OccurredAt: events[0].OccurredAt})
				if !errors.Is(err, eventlog.ErrConflict) {
					return false, fmt.Errorf("a stale append was answered with %v", err)
				}
				return false, nil
			}
			turn[client]++
			return fresh(ctx, client, turn[client]-1)
		}, &mixed, nil)
	}
	if err := b.rounds("append", false, round); err != nil {
		return nil, err
	}

	size := 0
	for _, e := range events {
		size += len(e.Data) + len(e.Meta)
	}
	rate, rates := ratio(ours, floor)
	slow, slows := ratio(oursSlow, floorSlow)
	share, shares := ratio(mixed, ours)
	return []Figure{{
		What: fmt.Sprintf("durable append, %d clients", clients), Against: fmt.Sprintf("an `INSERT` each, %d connections", best),
		Ours: rateText("appends", ours), Floor: rateText("appends", floor), Ratio: rates, Wanted: "≥ 4", Met: rate >= 4,
		Note: fmt.Sprintf("An append is one event of %d bytes (data and metadata, personal fields sealed). The floor was tried with 8, 16, 32 and 56 connections.", size/len(events)),
	}, {
		What: "its p99", Against: "p99 of the same", Ours: timeText(oursSlow), Floor: timeText(floorSlow),
		Ratio: slows, Wanted: "≤ 0.5", Met: slow <= 0.5,
	}, {
		What: "with 1 % stale appends", Against: "without", Ours: rateText("appends", mixed), Floor: rateText("appends", ours),
		Ratio: shares, Wanted: "≥ 0.6", Met: share >= 0.6,
		Note: "The stale ones are to streams that another process has written, so that only Postgres can tell; only the others are counted.",
	}}, nil
}

// staleStreams returns streams of one event that another process has written: the log in use does not know them.
func staleStreams(ctx context.Context, b *bench, w *world, events []eventlog.NewEvent) (func() eventlog.Stream, error) {
	b.say("append: streams written by another process")
	other, err := postgres.Open(ctx, w.Pool, postgres.Config{})
	if err != nil {
		return nil, err
	}
	defer other.Close()
	who := newWriters(clients, events)
	each := 1 + int(20*b.span().Seconds()) // enough for all rounds, at 1 % of 60 000 appends a second
	streams := make([]eventlog.Stream, clients*each)
	group, ctx := errgroup.WithContext(ctx)
	for client := range clients {
		group.Go(func() error {
			for i := range each {
				s, _, e := who.next(client, i*appendsEach)
				if _, err := other.Append(ctx, s, 0, e); err != nil {
					return err
				}
				streams[client*each+i] = s
			}
			return nil
		})
	}
	next := new(atomic.Int64)
	return func() eventlog.Stream { return streams[int(next.Add(1))%len(streams)] }, group.Wait()
}

// appendOne measures one client, which has nobody to share a commit with.
func appendOne(ctx context.Context, b *bench) ([]Figure, error) {
	w, position, events, err := b.appendWorld(ctx)
	if err != nil {
		return nil, err
	}
	pool, err := sized(ctx, w.Pool, 1)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	bare := inserts{pool, position}
	var ours, floor series
	err = b.rounds("single", true, func() error {
		a, c := newWriters(1, events), newWriters(1, events)
		o, f, err := inTurn(b.span()*2, appendsEach*5, func(i int) error {
			s, expected, e := a.next(0, i)
			_, err := w.Log.Append(ctx, s, expected, e)
			return err
		}, func(i int) error {
			s, expected, e := c.next(0, i)
			return bare.append(ctx, s, expected, e)
		})
		ours.add(percentile(o, 50))
		floor.add(percentile(f, 50))
		return err
	})
	r, text := ratio(ours, floor)
	return []Figure{{What: "append, one client, p50", Against: "a bare `INSERT`", Ours: timeText(ours), Floor: timeText(floor),
		Ratio: text, Wanted: "≤ 1.4", Met: r <= 1.4}}, err
}
