package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
)

// There is no EventStoreDB to be had here, so these figures are about our side and the wire: the log beside the client
// library alone, both against a double of the server in this process.

const (
	storeBatch = 500 // events of the history in an append; the server takes 1 MiB
	storeNote  = "Against a double of the server in this process, which takes its part of the processor: this measures our side and the wire, not a server."
	// storeFilter is the server-side filter that the log reads by, and so does the bare client.
	storeFilter = `^[^$~-][^~-]*-[0-9a-f-]{36}\.[0-9a-f-]{36}$`
)

// store is one way to use an EventStoreDB, by a client that writes and another that follows.
type store struct {
	append appender
	// follow shows the events after the first ones until enough were seen.
	follow func(ctx context.Context, after eventlog.Position, seen func(uuid.UUID) (more bool)) error
}

// useLog is how Annal uses it.
func useLog(ctx context.Context, writing, following eventlog.Log) store {
	return store{into(ctx, writing), func(ctx context.Context, after eventlog.Position, seen func(uuid.UUID) bool) error {
		for {
			if err := following.Wait(ctx, after); err != nil {
				return err
			}
			page, err := following.ReadAll(ctx, after, logPage)
			if err != nil {
				return err
			}
			for _, e := range page {
				after = e.Position
				if !seen(e.ID) {
					return nil
				}
			}
		}
	}}
}

// useClient is the client library alone.
func useClient(ctx context.Context, writing, following *esdb.Client) store {
	return store{func(s eventlog.Stream, expected eventlog.Version, e eventlog.NewEvent) error {
		options := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
		if expected > 0 {
			options.ExpectedRevision = esdb.Revision(uint64(expected) - 1)
		}
		_, err := writing.AppendToStream(ctx, s.Category+"-"+s.Organization.String()+"."+s.ID.String(), options,
			esdb.EventData{EventID: e.ID, EventType: e.Type, ContentType: esdb.ContentTypeJson, Data: e.Data, Metadata: e.Meta})
		return err
	}, func(ctx context.Context, after eventlog.Position, seen func(uuid.UUID) bool) error {
		sub, err := following.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
			From:   esdb.Position{Commit: uint64(after), Prepare: uint64(after)},
			Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: storeFilter}, MaxSearchWindow: 1000, CheckpointInterval: 1,
		})
		if err != nil {
			return err
		}
		defer sub.Close()
		for {
			m := sub.Recv()
			if m.SubscriptionDropped != nil {
				return m.SubscriptionDropped.Error
			}
			if m.EventAppeared != nil && !seen(m.EventAppeared.Event.EventID) {
				return nil
			}
		}
	}}
}

// eventStore measures the log in EventStoreDB.
func eventStore(ctx context.Context, b *bench) {
	a := b.appendWorld(ctx)
	double := must(esdbtest.New(esdbtest.Config{}))
	defer double.Close()
	var logs [2]*eventstoredb.Log
	var bare [2]*esdb.Client
	for i := range logs {
		logs[i] = must(eventstoredb.Open(ctx, double.URL(), eventstoredb.Config{}))
		defer logs[i].Close()
		config := must(esdb.ParseConnectionString(double.URL()))
		config.Logger = esdb.NoopLogging()
		bare[i] = must(esdb.NewClient(config))
		defer bare[i].Close()
	}
	ours, floor := useLog(ctx, logs[0], logs[1]), useClient(ctx, bare[0], bare[1])

	b.say("making a history")
	for n := 0; n < b.stored; n += storeBatch {
		batch := make([]eventlog.NewEvent, min(storeBatch, b.stored-n))
		for i := range batch {
			batch[i] = a.events[(n+i)%len(a.events)]
			batch[i].ID = uuid.New()
		}
		must(logs[0].Append(ctx, newStream(customer.Category), 0, batch...))
	}

	write := func(s store) func() float64 {
		return func() float64 {
			rate, _ := a.events.write(clients, b.span, s.append)
			return rate
		}
	}
	catchUp := func(s store) func() float64 {
		return func() float64 {
			return rate(func() (seen int) {
				check(s.follow(ctx, 0, func(uuid.UUID) bool { seen++; return seen < b.stored }))
				return seen
			})
		}
	}
	lag := func(s store) func() float64 {
		return func() float64 { return percentile(a.events.lag(ctx, b.span, s, must(logs[1].Head(ctx))), 50) }
	}
	b.measure(false, &Figure{
		What: fmt.Sprintf("EventStoreDB: append, %d clients", clients), Against: "the client library alone", Unit: "appends/s", Wanted: "≥ 0.8",
		Note: storeNote, ours: write(ours), floor: write(floor),
	}, &Figure{
		What: fmt.Sprintf("EventStoreDB: catch up with %s events", grouped(b.stored)), Against: "the same subscription by the client library alone", Unit: "events/s", Wanted: "≥ 0.8",
		Note: storeNote, ours: catchUp(ours), floor: catchUp(floor),
	}, &Figure{
		What: fmt.Sprintf("EventStoreDB: lag at %s events/s, p50", grouped(arrivals)), Against: "a subscription by the client library alone", Unit: "s", Wanted: "≤ 1.25",
		Note: "From sending an event until another client of the log has it. " + storeNote, ours: lag(ours), floor: lag(floor),
	})
}

// lag writes at a steady rate and returns how long after its sending the follower has shown each event.
func (events stored) lag(ctx context.Context, span time.Duration, s store, head eventlog.Position) (took []time.Duration) {
	var mu sync.Mutex
	sent := make(map[uuid.UUID]time.Time)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return s.follow(ctx, head, func(id uuid.UUID) bool {
			mu.Lock()
			defer mu.Unlock()
			if at, ok := sent[id]; ok {
				took = append(took, time.Since(at))
			}
			return len(took) < planned(span)
		})
	})
	time.Sleep(50 * time.Millisecond) // until it follows
	arrive(ctx, span, func(_ context.Context, n int) error {
		e := events[n%len(events)]
		e.ID = uuid.New()
		mu.Lock()
		sent[e.ID] = time.Now()
		mu.Unlock()
		return s.append(newStream(customer.Category), 0, e)
	})
	check(group.Wait())
	return took
}
