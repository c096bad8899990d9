package eventlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
)

// counted counts the pages read from a log, and fails some reads.
type counted struct {
	eventlog.Log
	reads atomic.Int64
	fail  atomic.Int64
}

func (c *counted) ReadAll(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Event, error) {
	if c.fail.Add(-1) >= 0 {
		return nil, eventlog.ErrUnavailable
	}
	events, err := c.Log.ReadAll(ctx, after, limit)
	if len(events) > 0 {
		c.reads.Add(1)
	}
	return events, err
}

func grow(t *testing.T, log eventlog.Log, n int) {
	t.Helper()
	for range n {
		s := eventlog.Stream{Category: "test", ID: uuid.New()}
		e := eventlog.NewEvent{ID: uuid.New(), Type: "test.happened", Schema: 1, Data: []byte("{}"), Meta: []byte("{}"), OccurredAt: time.Now()}
		if _, err := log.Append(t.Context(), s, 0, e); err != nil {
			t.Fatal(err)
		}
	}
}

func from(at eventlog.Position) func(context.Context) (eventlog.Position, error) {
	return func(context.Context) (eventlog.Position, error) { return at, nil }
}

func subscribe(t *testing.T, s message.Subscriber) <-chan *message.Message {
	t.Helper()
	messages, err := s.Subscribe(t.Context(), "events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return messages
}

func receive(t *testing.T, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg, ok := <-messages:
		if !ok {
			t.Fatal("the feed has ended")
		}
		return msg
	case <-time.After(5 * time.Second):
		t.Fatal("no message")
	}
	return nil
}

func open(t *testing.T, feed *eventlog.Feed, msg *message.Message) *eventlog.Page {
	t.Helper()
	page, err := feed.Open(msg)
	if err != nil {
		t.Fatal(err)
	}
	var says struct{ After, Last eventlog.Position }
	if err := json.Unmarshal(msg.Payload, &says); err != nil || says.After != page.After || says.Last != page.Last {
		t.Errorf("%s is %d to %d, %v", msg.Payload, page.After, page.Last, err)
	}
	return page
}

func TestFeedBringsEveryEventOnceInOrder(t *testing.T) {
	t.Parallel()
	log := memory.New()
	grow(t, log, 25)
	feed := eventlog.NewFeed(log, eventlog.FeedConfig{PageSize: 10})
	messages := subscribe(t, feed.Subscriber(from(3)))
	next := eventlog.Position(4)
	for last := eventlog.Position(25); next <= last; {
		msg := receive(t, messages)
		for _, e := range open(t, feed, msg).Events {
			if e.Position != next {
				t.Fatalf("position %d, want %d", e.Position, next)
			}
			next++
		}
		if next == 26 && last == 25 { // at the head: the next page comes by itself when the log grows
			last = 27
			msg.Ack()
			grow(t, log, 2)
			continue
		}
		msg.Ack()
	}
	select {
	case msg := <-messages:
		t.Errorf("%s, but there are no more events", msg.Payload)
	case <-time.After(20 * time.Millisecond):
	}
}

func TestFeedWaitsForTheAckAndAsksAgainAfterANack(t *testing.T) {
	t.Parallel()
	log := memory.New()
	grow(t, log, 30)
	feed := eventlog.NewFeed(log, eventlog.FeedConfig{PageSize: 10})
	var at atomic.Uint64
	messages := subscribe(t, feed.Subscriber(func(context.Context) (eventlog.Position, error) { return eventlog.Position(at.Load()), nil }))
	first := receive(t, messages)
	select {
	case <-messages:
		t.Error("a second page before the first was taken")
	case <-time.After(20 * time.Millisecond):
	}
	first.Nack()
	if again := open(t, feed, receive(t, messages)); again.After != 0 || again.Last != 10 {
		t.Errorf("after a nack: %d to %d", again.After, again.Last)
	} else {
		at.Store(20) // meanwhile somebody else has folded on
	}
	feed2 := receive(t, subscribe(t, feed.Subscriber(from(0)))) // its neighbour is not concerned
	if page := open(t, feed, feed2); page.After != 0 {
		t.Error(page.After)
	}
}

func TestFeedGoesToWhereItsConsumerIsNow(t *testing.T) {
	t.Parallel()
	log := memory.New()
	grow(t, log, 30)
	feed := eventlog.NewFeed(log, eventlog.FeedConfig{PageSize: 10})
	var at atomic.Uint64
	messages := subscribe(t, feed.Subscriber(func(context.Context) (eventlog.Position, error) { return eventlog.Position(at.Load()), nil }))
	msg := receive(t, messages)
	at.Store(15)
	msg.Nack()
	if page := open(t, feed, receive(t, messages)); page.After != 15 || page.Last != 25 {
		t.Errorf("%d to %d", page.After, page.Last)
	}
}

func TestFeedReadsAPageOnceForAllWhoStandThere(t *testing.T) {
	t.Parallel()
	log := &counted{Log: memory.New()}
	grow(t, log, 50)
	feed := eventlog.NewFeed(log, eventlog.FeedConfig{PageSize: 10})
	var derived atomic.Int64
	var consumers sync.WaitGroup
	for range 5 {
		messages := subscribe(t, feed.Subscriber(from(0)))
		consumers.Go(func() {
			for range 5 {
				msg := receive(t, messages)
				page := open(t, feed, msg)
				got, err := eventlog.Derive(page, func(events []eventlog.Event) (*int, error) {
					derived.Add(1)
					n := len(events)
					return &n, nil
				})
				if err != nil || *got != 10 {
					t.Error(got, err)
				}
				msg.Ack()
			}
		})
	}
	consumers.Wait()
	if n := log.reads.Load(); n != 5 {
		t.Error(n, "pages were read")
	}
	if n := derived.Load(); n != 5 {
		t.Error(n, "pages were derived")
	}
}

func TestFeedReadsAgainWhatIsNotAtHand(t *testing.T) {
	t.Parallel()
	log := memory.New()
	grow(t, log, 5)
	messages := subscribe(t, eventlog.NewFeed(log, eventlog.FeedConfig{}).Subscriber(from(2)))
	msg := receive(t, messages)
	grow(t, log, 5)
	page := open(t, eventlog.NewFeed(log, eventlog.FeedConfig{}), msg) // one that has never read it
	if len(page.Events) != 3 || page.Last != 5 {
		t.Errorf("%d events, up to %d", len(page.Events), page.Last)
	}
	if _, err := eventlog.NewFeed(memory.New(), eventlog.FeedConfig{}).Open(msg); err == nil {
		t.Error("opened a page of a log that has none")
	}
	msg.Payload = []byte(`{"after":5,"last":5}`)
	if _, err := eventlog.NewFeed(log, eventlog.FeedConfig{}).Open(msg); err == nil {
		t.Error("opened an empty page")
	}
}

func TestFeedOutlivesALogThatIsAway(t *testing.T) {
	t.Parallel()
	log := &counted{Log: memory.New()}
	grow(t, log, 5)
	log.fail.Store(4)
	var failures atomic.Int64
	feed := eventlog.NewFeed(log, eventlog.FeedConfig{Failed: func(err error) {
		if errors.Is(err, eventlog.ErrUnavailable) {
			failures.Add(1)
		}
	}})
	starts := 0
	messages := subscribe(t, feed.Subscriber(func(context.Context) (eventlog.Position, error) {
		if starts++; starts < 3 {
			return 0, eventlog.ErrUnavailable
		}
		return 0, nil
	}))
	if page := open(t, feed, receive(t, messages)); len(page.Events) != 5 {
		t.Error(len(page.Events))
	}
	if n := failures.Load(); n != 6 {
		t.Error(n, "failures were told")
	}
}

func TestFeedEndsWithItsContextAndWhenClosed(t *testing.T) {
	t.Parallel()
	log := memory.New()
	feed := eventlog.NewFeed(log, eventlog.FeedConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	one, two := feed.Subscriber(from(0)), feed.Subscriber(from(0))
	var channels []<-chan *message.Message
	for _, s := range []message.Subscriber{one, two} {
		messages, err := s.Subscribe(ctx, "events")
		if err != nil {
			t.Fatal(err)
		}
		channels = append(channels, messages)
	}
	if err := two.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	for _, messages := range slices.Backward(channels) {
		select {
		case _, ok := <-messages:
			if ok {
				t.Error("a message from an empty log")
			}
		case <-time.After(5 * time.Second):
			t.Error("it goes on")
		}
	}
}
