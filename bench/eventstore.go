package main

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
)

// There is no EventStoreDB to be had here, so these figures are about our side and the wire: the log beside the client
// library alone, both against a double of the server in this process.

const (
	storeHistory = 500_000 // events to catch up with, tenth of that if Quick
	storeBatch   = 500     // of them in an append; the server takes 1 MiB
	storeRate    = 2000    // events a second while lag is measured
	storeNote    = "Against a double of the server in this process, which takes its part of the processor: this measures our side and the wire, not a server."
	// storeFilter is the server-side filter that the log reads by, and so does the bare client.
	storeFilter = `^[^$~-][^~-]*-[0-9a-f-]{36}\.[0-9a-f-]{36}$`
)

// store is a double with a log in it, and two clients of either kind: one that writes and one that follows.
type store struct {
	double                *esdbtest.Cluster
	log, following        *eventstoredb.Log
	client, clientReading *esdb.Client
	events                []eventlog.NewEvent // to write
	closes                []func()
}

func (b *bench) store(ctx context.Context) (s *store, err error) {
	s = &store{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if _, _, s.events, err = b.appendWorld(ctx); err != nil {
		return s, err
	}
	if s.double, err = esdbtest.New(esdbtest.Config{}); err != nil {
		return s, err
	}
	s.closes = append(s.closes, s.double.Close)
	for _, log := range []**eventstoredb.Log{&s.log, &s.following} {
		if *log, err = eventstoredb.Open(ctx, s.double.URL(), eventstoredb.Config{}); err != nil {
			return s, err
		}
		s.closes = append(s.closes, (*log).Close)
	}
	for _, client := range []**esdb.Client{&s.client, &s.clientReading} {
		config, err := esdb.ParseConnectionString(s.double.URL())
		if err != nil {
			return s, err
		}
		config.Logger = esdb.NoopLogging()
		if *client, err = esdb.NewClient(config); err != nil {
			return s, err
		}
		s.closes = append(s.closes, func() { _ = (*client).Close() })
	}
	return s, nil
}

func (s *store) close() {
	for i := range s.closes {
		s.closes[len(s.closes)-1-i]()
	}
}

// append is what the bare client does in place of the log's.
func (s *store) append(ctx context.Context, to eventlog.Stream, expected eventlog.Version, events ...eventlog.NewEvent) error {
	options := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
	if expected > 0 {
		options.ExpectedRevision = esdb.Revision(uint64(expected) - 1)
	}
	data := make([]esdb.EventData, len(events))
	for i, e := range events {
		data[i] = esdb.EventData{EventID: e.ID, EventType: e.Type, ContentType: esdb.ContentTypeJson, Data: e.Data, Metadata: e.Meta}
	}
	_, err := s.client.AppendToStream(ctx, to.Category+"-"+to.Organization.String()+"."+to.ID.String(), options, data...)
	return err
}

// follow gives the bare client's events behind a position to take until it does not want more.
func (s *store) follow(ctx context.Context, after esdb.AllPosition, take func(*esdb.RecordedEvent) bool) error {
	sub, err := s.clientReading.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
		From: after, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: storeFilter}, MaxSearchWindow: 1000, CheckpointInterval: 1,
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
		if m.EventAppeared != nil && !take(m.EventAppeared.Event) {
			return nil
		}
	}
}

// eventStore measures the log in EventStoreDB.
func eventStore(ctx context.Context, b *bench) ([]Figure, error) {
	s, err := b.store(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	b.say("eventstore: making a history")
	history := storeHistory
	switch {
	case b.config.instant > 0:
		history = 1000
	case b.config.Quick:
		history /= 10
	}
	if err := s.fill(ctx, history); err != nil {
		return nil, err
	}
	var read, readBare, written, writtenBare, lag, lagBare series
	err = b.rounds("eventstore", false, func() error {
		if err := s.catchUp(ctx, history, &read, &readBare); err != nil {
			return err
		}
		if err := s.write(ctx, b.span(), &written, &writtenBare); err != nil {
			return err
		}
		return s.lag(ctx, b.span(), &lag, &lagBare)
	})
	if err != nil {
		return nil, err
	}
	w, writes := ratio(written, writtenBare)
	r, reads := ratio(read, readBare)
	l, lags := ratio(lag, lagBare)
	return []Figure{{
		What: fmt.Sprintf("EventStoreDB: append, %d clients", clients), Against: "the client library alone",
		Ours: rateText("appends", written), Floor: rateText("appends", writtenBare), Ratio: writes, Wanted: "≥ 0.8", Met: w >= 0.8, Note: storeNote,
	}, {
		What: fmt.Sprintf("EventStoreDB: catch up with %s events", grouped(float64(history))), Against: "the same subscription by the client library alone",
		Ours: rateText("events", read), Floor: rateText("events", readBare), Ratio: reads, Wanted: "≥ 0.8", Met: r >= 0.8, Note: storeNote,
	}, {
		What: fmt.Sprintf("EventStoreDB: lag at %s events/s, p50", grouped(storeRate)), Against: "a subscription by the client library alone",
		Ours: timeText(lag), Floor: timeText(lagBare), Ratio: lags, Wanted: "≤ 1.25", Met: l <= 1.25,
		Note: "From sending an event until another client of the log has it. " + storeNote,
	}}, nil
}

// fill makes a history, as far as the double is concerned by the log.
func (s *store) fill(ctx context.Context, events int) error {
	for n := 0; n < events; n += storeBatch {
		batch := make([]eventlog.NewEvent, min(storeBatch, events-n))
		for i := range batch {
			batch[i] = s.events[(n+i)%len(s.events)]
			batch[i].ID = uuid.New()
		}
		if _, err := s.log.Append(ctx, eventlog.Stream{Category: "customer", ID: uuid.New()}, 0, batch...); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) catchUp(ctx context.Context, events int, ours, bare *series) error {
	took, err := seconds(func() error {
		seen := 0
		for page, err := range eventlog.Pages(ctx, s.following, 0, eventlog.End, eventlog.PageSize) {
			if err != nil {
				return err
			}
			if seen += len(page); seen >= events {
				return nil
			}
		}
		return fmt.Errorf("the log ends after %d events of %d", seen, events)
	})
	if err != nil {
		return err
	}
	ours.add(float64(events) / took)
	took, err = seconds(func() error {
		seen := 0
		return s.follow(ctx, esdb.Start{}, func(*esdb.RecordedEvent) bool { seen++; return seen < events })
	})
	bare.add(float64(events) / took)
	return err
}

func (s *store) write(ctx context.Context, span time.Duration, ours, bare *series) error {
	who := newWriters(clients, s.events)
	rate, _, err := load(ctx, clients, span, func(ctx context.Context, client, i int) (bool, error) {
		to, expected, e := who.next(client, i)
		_, err := s.log.Append(ctx, to, expected, e)
		return true, err
	})
	if err != nil {
		return err
	}
	ours.add(rate)
	who = newWriters(clients, s.events)
	rate, _, err = load(ctx, clients, span, func(ctx context.Context, client, i int) (bool, error) {
		to, expected, e := who.next(client, i)
		return true, s.append(ctx, to, expected, e)
	})
	bare.add(rate)
	return err
}

// lag writes at a steady rate by one client and follows by another.
func (s *store) lag(ctx context.Context, span time.Duration, ours, bare *series) error {
	head, err := s.following.Head(ctx)
	if err != nil {
		return err
	}
	took, err := s.steady(ctx, span, func(ctx context.Context, to eventlog.Stream, e eventlog.NewEvent) error {
		_, err := s.log.Append(ctx, to, 0, e)
		return err
	}, func(ctx context.Context, seen func(uuid.UUID) bool) error {
		for {
			if err := s.following.Wait(ctx, head); err != nil {
				return err
			}
			page, err := s.following.ReadAll(ctx, head, eventlog.PageSize)
			if err != nil {
				return err
			}
			for _, e := range page {
				head = e.Position
				if !seen(e.ID) {
					return nil
				}
			}
		}
	})
	if err != nil {
		return err
	}
	ours.add(percentile(took, 50))
	if head, err = s.following.Head(ctx); err != nil {
		return err
	}
	took, err = s.steady(ctx, span, func(ctx context.Context, to eventlog.Stream, e eventlog.NewEvent) error {
		return s.append(ctx, to, 0, e)
	}, func(ctx context.Context, seen func(uuid.UUID) bool) error {
		return s.follow(ctx, esdb.Position{Commit: uint64(head), Prepare: uint64(head)}, func(e *esdb.RecordedEvent) bool { return seen(e.EventID) })
	})
	bare.add(percentile(took, 50))
	return err
}

// steady sends events at storeRate for some time and returns how long after its sending the follower has told of each.
func (s *store) steady(ctx context.Context, span time.Duration, send func(context.Context, eventlog.Stream, eventlog.NewEvent) error,
	follow func(ctx context.Context, seen func(uuid.UUID) bool) error) (took []time.Duration, err error) {
	total := max(1, int(math.Round(span.Seconds()*storeRate)))
	var mu sync.Mutex
	sent := make(map[uuid.UUID]time.Time, total)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return follow(ctx, func(id uuid.UUID) bool {
			mu.Lock()
			defer mu.Unlock()
			if at, ok := sent[id]; ok {
				took = append(took, time.Since(at))
			}
			return len(took) < total
		})
	})
	time.Sleep(50 * time.Millisecond) // until it follows
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; n < total && ctx.Err() == nil; <-tick.C {
		for due := min(total, int(time.Since(began).Seconds()*storeRate)); n < due; n++ {
			e := s.events[n%len(s.events)]
			e.ID = uuid.New()
			group.Go(func() error {
				mu.Lock()
				sent[e.ID] = time.Now()
				mu.Unlock()
				return send(ctx, eventlog.Stream{Category: "customer", ID: uuid.New()}, e)
			})
		}
	}
	err = group.Wait()
	return took, err
}
