package eventlog

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/singleflight"
)

// Feed brings the log to its consumers as Watermill messages. A message is a page of consecutive events: a transaction per
// event would make a read model tens of times slower. It only says which positions it covers; [Feed.Open] gives the
// events. A page is read once and shared by all consumers that stand at the same place. Safe for concurrent use.
type Feed struct {
	log    Log
	config FeedConfig
	reads  singleflight.Group

	mu     sync.Mutex
	recent []*Page // most recently used last
}

// FeedConfig has good zero values.
type FeedConfig struct {
	PageSize int         // most events in a page; 2000, beyond which a set-based write gains nothing
	Failed   func(error) // told of each failed attempt to reach the log or the consumer's place; the feed tries again for ever
}

const (
	recentPages = 16               // the page in work and the next for each of a handful of consumers at different places
	readLimit   = 30 * time.Second // a read that several consumers wait for does not end with one of them
	firstDelay  = 5 * time.Millisecond
	maxDelay    = 2 * time.Second
)

// NewFeed returns a feed of log.
func NewFeed(log Log, config FeedConfig) *Feed {
	config.PageSize = cmp.Or(config.PageSize, 2000)
	if config.Failed == nil {
		config.Failed = func(error) {}
	}
	return &Feed{log: log, config: config}
}

// Page is a run of consecutive events. It is shared: nobody changes it.
type Page struct {
	After, Last Position // the events behind After, up to Last
	Events      []Event

	mu      sync.Mutex
	derived any
}

// Derive returns what derive makes of a page's events, made once for all who share the page. Each page has one derived form:
// all callers give the same function. An error is not kept.
func Derive[T any](p *Page, derive func([]Event) (T, error)) (T, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if made, ok := p.derived.(T); ok {
		return made, nil
	}
	made, err := derive(p.Events)
	if err == nil {
		p.derived = made
	}
	return made, err
}

// place is a message's payload.
type place struct {
	After Position `json:"after"`
	Last  Position `json:"last"`
}

// Open returns the page that a message of this feed stands for.
func (f *Feed) Open(msg *message.Message) (*Page, error) {
	var at place
	if err := json.Unmarshal(msg.Payload, &at); err != nil || at.Last <= at.After {
		return nil, fmt.Errorf("eventlog: message %s is not a page: %w", msg.UUID, err)
	}
	page, err := f.page(msg.Context(), at.After)
	if err != nil {
		return nil, err
	}
	if page == nil || page.Last < at.Last {
		return nil, fmt.Errorf("eventlog: the log no longer has the events up to %s", at.Last)
	}
	if page.Last > at.Last { // read again, when the log had grown
		end := slices.IndexFunc(page.Events, func(e Event) bool { return e.Position > at.Last })
		page = &Page{After: at.After, Last: at.Last, Events: page.Events[:end]}
	}
	return page, nil
}

// page returns the page after a position: a recent one, or as the log has it now; nil if there is nothing.
func (f *Feed) page(ctx context.Context, after Position) (*Page, error) {
	if page := f.recall(after); page != nil {
		return page, nil
	}
	read, err, _ := f.reads.Do(after.String(), func() (any, error) {
		if page := f.recall(after); page != nil { // somebody has read it since
			return page, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readLimit)
		defer cancel()
		events, err := f.log.ReadAll(ctx, after, f.config.PageSize)
		if err != nil || len(events) == 0 {
			return (*Page)(nil), err
		}
		page := &Page{After: after, Last: events[len(events)-1].Position, Events: events}
		f.keep(page)
		return page, nil
	})
	return read.(*Page), err
}

func (f *Feed) recall(after Position) *Page {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.recent, func(p *Page) bool { return p.After == after })
	if i < 0 {
		return nil
	}
	page := f.recent[i]
	f.recent = append(slices.Delete(f.recent, i, i+1), page)
	return page
}

func (f *Feed) keep(page *Page) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.recent) == recentPages {
		f.recent = slices.Delete(f.recent, 0, 1)
	}
	f.recent = append(f.recent, page)
}

// next waits for the page after a position.
func (f *Feed) next(ctx context.Context, after Position) (*Page, error) {
	for {
		if page, err := f.page(ctx, after); err != nil || page != nil {
			return page, err
		}
		if err := f.log.Wait(ctx, after); err != nil {
			return nil, err
		}
	}
}

// Subscriber returns a [message.Subscriber] for one consumer. start says where it stands; it is asked before the first page
// and after each page that the consumer has refused (nack), and may block. The next page comes after the ack of the one
// before. Order is the log's; the topic means nothing.
func (f *Feed) Subscriber(start func(context.Context) (Position, error)) message.Subscriber {
	ctx, cancel := context.WithCancel(context.Background())
	return &subscriber{feed: f, start: start, closed: ctx, close: cancel}
}

type subscriber struct {
	feed    *Feed
	start   func(context.Context) (Position, error)
	closed  context.Context
	close   context.CancelFunc
	running sync.WaitGroup
}

// Subscribe implements [message.Subscriber]. The channel is closed when ctx ends or the subscriber is closed.
func (s *subscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.closed, cancel)
	messages := make(chan *message.Message)
	s.running.Go(func() {
		defer close(messages)
		defer cancel()
		defer stop()
		s.run(ctx, messages)
	})
	return messages, nil
}

// Close implements [message.Subscriber].
func (s *subscriber) Close() error {
	s.close()
	s.running.Wait()
	return nil
}

func (s *subscriber) run(ctx context.Context, messages chan<- *message.Message) {
	var at Position
	known, delay := false, firstDelay
	for ctx.Err() == nil {
		err := error(nil)
		if !known {
			at, err = s.start(ctx)
		}
		var page *Page
		if err == nil {
			known = true
			page, err = s.feed.next(ctx, at)
		}
		if err == nil {
			acked := s.deliver(ctx, page, messages)
			if acked {
				at, delay = page.Last, firstDelay
				continue
			}
			known = false
		} else if ctx.Err() == nil {
			s.feed.config.Failed(err)
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
		delay = min(2*delay, maxDelay)
	}
}

// deliver sends a page and reports whether the consumer has taken it. While it works a full page's successor is read.
func (s *subscriber) deliver(ctx context.Context, page *Page, messages chan<- *message.Message) bool {
	payload, err := json.Marshal(place{page.After, page.Last})
	if err != nil {
		panic(err) // two numbers
	}
	msg := message.NewMessage(fmt.Sprintf("%d-%d", page.After, page.Last), payload)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	msg.SetContext(ctx)
	select {
	case messages <- msg:
	case <-ctx.Done():
		return false
	}
	if len(page.Events) == s.feed.config.PageSize {
		s.running.Go(func() { s.feed.page(ctx, page.Last) }) // an error will be met again when the page is asked for
	}
	select {
	case <-msg.Acked():
		return true
	case <-msg.Nacked():
	case <-ctx.Done():
	}
	return false
}
