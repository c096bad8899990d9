package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/postgres"
)

const (
	clients     = 256
	appendsEach = 4   // to a stream, one after the other
	staleOneOf  = 100 // appends
)

// appender is a way to append one event.
type appender func(s eventlog.Stream, expected eventlog.Version, e eventlog.NewEvent) error

// into appends to a log.
func into(ctx context.Context, log eventlog.Log) appender {
	return func(s eventlog.Stream, expected eventlog.Version, e eventlog.NewEvent) error {
		_, err := log.Append(ctx, s, expected, e)
		return err
	}
}

// stored are events in the form in which a log stores them.
type stored []eventlog.NewEvent

// client returns the calls of a client that appends event after event to streams of its own.
func (events stored) client(n int, append appender) (call func() error) {
	var s eventlog.Stream
	i := 0
	return func() error {
		version := eventlog.Version(i % appendsEach)
		if version == 0 {
			s = newStream(customer.Category)
		}
		e := events[(n*997+i)%len(events)]
		e.ID = uuid.New()
		i++
		return append(s, version, e)
	}
}

// write lets many clients append.
func (events stored) write(clients int, span time.Duration, append appender) (rate float64, took []time.Duration) {
	return load(clients, span, func(n int) func() error { return events.client(n, append) })
}

// appends is the world in which appends are measured, with the floor beside the log: a table like the log's, with its indexes
// and constraints, into which each append is one INSERT and one commit. Positions come from a counter in memory: nobody
// cares for gaps, order and the stream's version.
type appends struct {
	*world
	events   stored
	position atomic.Int64
}

func (b *bench) appendWorld(ctx context.Context) *appends {
	if b.appends != nil {
		return b.appends
	}
	a := &appends{world: b.world(ctx, "appends", 0)}
	for n := range 200 {
		h := a.newHistory(n)
		for i := range appendsEach {
			a.events = append(a.events, must(h.event(ctx, i)))
		}
	}
	must(a.Pool.Exec(ctx, "create schema bench_insert; create table bench_insert.events (like eventlog.events including all)"))
	b.appends = a
	return a
}

// insert is the floor, through n connections.
func (a *appends) insert(ctx context.Context, n int) (appender, *pgxpool.Pool) {
	config := a.Pool.Config()
	config.MaxConns = int32(n)
	pool := must(pgxpool.NewWithConfig(ctx, config))
	for range n { // all are open before anything is measured
		defer must(pool.Acquire(ctx)).Release()
	}
	return func(s eventlog.Stream, expected eventlog.Version, e eventlog.NewEvent) error {
		_, err := pool.Exec(ctx, "insert into bench_insert.events values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp())",
			a.position.Add(1), e.ID, s.Organization, s.Category, s.ID, int64(expected)+1, e.Type, e.Schema, e.Data, e.Meta, e.OccurredAt)
		return err
	}, pool
}

// appendMany measures many clients at once, without and with appends that are stale.
func appendMany(ctx context.Context, b *bench) {
	a := b.appendWorld(ctx)
	best := a.bestPool(ctx, b)
	insert, pool := a.insert(ctx, best)
	defer pool.Close()
	ours := into(ctx, a.Log)

	size := 0
	for _, e := range a.events {
		size += len(e.Data) + len(e.Meta)
	}
	p99 := &Figure{What: "its p99", Against: "p99 of the same", Unit: "s", Wanted: "≤ 0.5"}
	side := func(append appender, slowest *series) func() float64 {
		return func() float64 {
			rate, took := a.events.write(clients, b.span, append)
			slowest.add(percentile(took, 99))
			return rate
		}
	}
	many := &Figure{
		What: fmt.Sprintf("durable append, %d clients", clients), Against: fmt.Sprintf("an `INSERT` each, %d connections", best), Unit: "appends/s", Wanted: "≥ 4",
		Note: fmt.Sprintf("An append is one event of %d bytes (data and metadata, personal fields sealed). The floor was tried with 8, 16, 32 and 56 connections.", size/len(a.events)),
		ours: side(ours, &p99.Ours), floor: side(insert, &p99.Floor),
	}
	mixed := &Figure{
		What: "with 1 % stale appends", Against: "without", Unit: "appends/s", Wanted: "≥ 0.6",
		Note: "The stale ones are to streams that another process has written, so that only Postgres can tell; only the others are counted.",
		ours: side(a.stale(ctx, b, ours), new(series)),
	}
	b.measure(false, many, p99, mixed)
	mixed.Floor = many.Ours
}

// bestPool looks for the best number of connections; the server takes 100 in all.
func (a *appends) bestPool(ctx context.Context, b *bench) (best int) {
	most := 0.0
	for _, n := range []int{8, 16, 32, 56} {
		b.say("INSERTs through %d connections", n)
		insert, pool := a.insert(ctx, n)
		rate, _ := a.events.write(clients, b.span/2, insert)
		pool.Close()
		if rate > most {
			best, most = n, rate
		}
	}
	return best
}

// stale returns an appender that now and then appends first to a stream that another process has written: the log in use does
// not know it.
func (a *appends) stale(ctx context.Context, b *bench, ours appender) appender {
	b.say("streams written by another process")
	other := must(postgres.Open(ctx, a.Pool, postgres.Config{}))
	defer other.Close()
	var mu sync.Mutex
	var streams []eventlog.Stream
	write := into(ctx, other)
	a.events.write(clients, b.span, func(s eventlog.Stream, expected eventlog.Version, e eventlog.NewEvent) error {
		if expected == 0 {
			mu.Lock()
			streams = append(streams, s)
			mu.Unlock()
		}
		return write(s, expected, e)
	})
	var next atomic.Int64
	return func(s eventlog.Stream, expected eventlog.Version, e eventlog.NewEvent) error {
		if rand.IntN(staleOneOf) == 0 {
			late := e
			late.ID = uuid.New()
			if err := ours(streams[int(next.Add(1))%len(streams)], 0, late); !errors.Is(err, eventlog.ErrConflict) {
				return fmt.Errorf("a stale append was answered with %v", err)
			}
		}
		return ours(s, expected, e)
	}
}

// appendOne measures one client, which has nobody to share a commit with.
func appendOne(ctx context.Context, b *bench) {
	a := b.appendWorld(ctx)
	insert, pool := a.insert(ctx, 1)
	defer pool.Close()
	b.measure(true, &Figure{
		What: "append, one client, p50", Against: "a bare `INSERT`", Unit: "s", Wanted: "≤ 1.4",
		calls: [2]func() error{a.events.client(0, into(ctx, a.Log)), a.events.client(0, insert)},
	})
}
