package eventstoredb

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/eventlog"
)

const (
	parallel  = 16               // streams that one ReadStreams reads at once; a command asks for two or three
	ahead     = 64               // events of a stream that wait for its reader; the rest waits on the wire
	window    = 1000             // events that the server looks through before it says that it is still there
	idle      = 30 * time.Second // how long a cursor is kept for the reader of the next page
	idleCount = 4                // how many of them: one for each place where a handful of read models stand
)

// ReadStream implements [eventlog.Log]. The events flow: the server sends as fast as they are taken. A connection that is
// lost on the way is followed by another, which goes on behind the last event.
func (l *Log) ReadStream(ctx context.Context, s eventlog.Stream, after eventlog.Version) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		patience := l.client.patience()
		for known(after) {
			left := false
			err := l.flow(ctx, l.names.stream(s), after, func(e eventlog.Event) bool {
				after = e.Version
				left = !yield(e, nil)
				patience.renew()
				return !left
			})
			if left || err == nil {
				return
			}
			if err := patience.again(ctx, err); err != nil {
				yield(eventlog.Event{}, err)
				return
			}
		}
	}
}

// flow gives the events of a stream to take until it does not want more. It reads in a goroutine of its own, which may
// outlive it: one that meets a lost connection can be held up inside the library.
func (l *Log) flow(ctx context.Context, name string, after eventlog.Version, take func(eventlog.Event) bool) error {
	acquiring, cancel := context.WithTimeoutCause(ctx, l.client.timeout, errSilent)
	s, err := l.client.acquire(acquiring)
	cancel()
	if err != nil {
		return err
	}
	reading, cancel := context.WithCancel(leading(ctx))
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	events, ended := make(chan eventlog.Event, ahead), make(chan error, 1)
	go func() {
		defer l.client.release(s)
		err := func() error {
			stream, err := s.reader.ReadStream(reading, name, esdb.ReadStreamOptions{From: esdb.Revision(uint64(after))}, math.MaxInt64)
			for err == nil {
				var r *esdb.ResolvedEvent
				if r, err = stream.Recv(); err == nil {
					if e, ok := l.names.decode(r.Event); ok {
						select {
						case events <- e:
						case <-reading.Done():
							err = reading.Err()
						}
					}
				}
			}
			if errors.Is(err, io.EOF) || codeOf(err) == esdb.ErrorCodeResourceNotFound {
				return nil // the end, or there is no such stream
			}
			return err
		}()
		if err == nil {
			close(events)
		}
		ended <- err
	}()
	silence := time.NewTimer(l.client.silence())
	defer silence.Stop()
	for {
		select {
		case e, more := <-events:
			if !more || !take(e) {
				return nil
			}
			silence.Reset(l.client.silence())
		case err := <-ended:
			if err == nil { // events is closed: what waits there comes first
				ended = nil
				continue
			}
			l.client.judge(s, err)
			return err
		case <-silence.C:
			l.client.judge(s, errSilent)
			return errSilent
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ReadStreams implements [eventlog.Log], by calls at the same time: their round trips take as long as one.
func (l *Log) ReadStreams(ctx context.Context, tails ...eventlog.Tail) ([][]eventlog.Event, error) {
	read := make([][]eventlog.Event, len(tails))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, t := range tails {
		group.Go(func() error {
			for e, err := range l.ReadStream(ctx, t.Stream, t.After) {
				if err != nil {
					return err
				}
				read[i] = append(read[i], e)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return read, nil
}

// ReadAll implements [eventlog.Log]. after is 0, or the position of an event of this log; from any other within the log the
// server does not read.
func (l *Log) ReadAll(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Event, error) {
	if limit <= 0 {
		return nil, nil
	}
	if after > l.growth.Known() {
		if head, err := l.Head(ctx); err != nil || after >= head {
			return nil, err
		}
	}
	if events := l.recent.after(ctx, after, limit, after < l.growth.Known()); len(events) > 0 {
		return events, nil
	}
	return l.read(ctx, max(l.origin, after), limit)
}

// read returns the events after a position, by a subscription: the only way to have the server filter. That there is
// nothing is believed only where a subscription says that it has caught up which was begun in this call: what an older one
// says was true then. An older one does for all that is known to be there.
func (l *Log) read(ctx context.Context, at eventlog.Position, limit int) ([]eventlog.Event, error) {
	events, size := make([]eventlog.Event, 0, min(limit, 4096)), 0
	patience := l.client.patience()
	goal := l.growth.Known()
	c, fresh := l.cursors.take(at), false
	if c != nil && c.live && at >= goal {
		c.end() // it would wait for what comes
		c = nil
	}
	for {
		var err error
		if c == nil {
			c, err = l.open(ctx, at)
			fresh = true
		}
		caughtUp := false
		if err == nil {
			err = c.each(ctx, l.client.silence(), func(m *esdb.SubscriptionEvent) bool {
				patience.renew()
				switch {
				case m.CaughtUp != nil:
					c.live = true
				case m.EventAppeared != nil:
					at = eventlog.Position(m.EventAppeared.Event.Position.Commit)
					if e, ok := l.names.decode(m.EventAppeared.Event); ok {
						events = append(events, e)
						size += len(e.Data) + len(e.Meta)
					}
				}
				caughtUp = c.live && (fresh || at >= goal)
				return !caughtUp && len(events) < limit && size < eventlog.MaxPageSize
			})
		}
		switch {
		case err == nil && (len(events) > 0 || fresh):
			l.cursors.put(c, at)
			if len(events) > 0 {
				l.growth.Reached(events[len(events)-1].Position)
			}
			return events, nil
		case err == nil: // an old one has caught up, and gave nothing
			c.end()
		default:
			if err := patience.again(ctx, err); err != nil {
				return nil, err
			}
		}
		c = nil
	}
}

// cursor is a subscription to the events of the log, read from time to time.
type cursor struct {
	client  *client
	session *session
	flowing context.Context // of the subscription
	sub     *esdb.Subscription
	end     context.CancelFunc
	live    bool // it has caught up, and gives what comes
	at      eventlog.Position
	idle    *time.Timer
}

// Close ends a cursor that nobody wants any more.
func (c *cursor) Close() error {
	c.end()
	return nil
}

// open subscribes behind a position.
func (l *Log) open(ctx context.Context, at eventlog.Position) (*cursor, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.client.silence(), errSilent)
	defer cancel()
	return once(ctx, l.client, func(ctx context.Context, s *session) (*cursor, error) {
		flowing, end := context.WithCancel(leading(s.ctx)) // longer than the call, no longer than the session
		stop := context.AfterFunc(ctx, end)
		sub, err := s.reader.SubscribeToAll(flowing, esdb.SubscribeToAllOptions{
			From:               esdb.Position{Commit: uint64(at), Prepare: uint64(at)},
			Filter:             &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: l.names.filter()},
			MaxSearchWindow:    window,
			CheckpointInterval: 1,
		})
		if !stop() || err != nil {
			end()
			return nil, errors.Join(err, ctx.Err())
		}
		return &cursor{client: l.client, session: s, flowing: flowing, sub: sub, end: end}, nil
	})
}

// each gives what comes to take until it does not want more; the cursor may be used again then. An error ends the cursor.
// silence is how long nothing may come, 0 for ever.
func (c *cursor) each(ctx context.Context, silence time.Duration, take func(*esdb.SubscriptionEvent) bool) error {
	stop := context.AfterFunc(ctx, c.end)
	silent := make(chan struct{})
	var timer *time.Timer
	if silence > 0 {
		timer = time.AfterFunc(silence, func() { close(silent); c.end() })
		defer timer.Stop()
	}
	for {
		m := c.sub.Recv()
		if m.SubscriptionDropped != nil {
			err := m.SubscriptionDropped.Error
			select {
			case <-silent:
				err = errSilent
			default:
				if ctx.Err() != nil {
					err = ctx.Err()
				}
			}
			stop()
			c.end()
			c.client.judge(c.session, err)
			return err
		}
		if !take(m) {
			stop()
			return nil
		}
		if timer != nil && timer.Stop() {
			timer.Reset(silence)
		}
	}
}

// cursors keeps some for the readers of the next pages: a new subscription is a round trip or two, and has the server look
// up where it begins.
type cursors struct {
	mu   sync.Mutex
	kept []*cursor // the newest last
}

// take returns one that stands at a position, or nil.
func (k *cursors) take(at eventlog.Position) *cursor {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, c := range k.kept {
		if c.at == at {
			k.kept = append(k.kept[:i:i], k.kept[i+1:]...)
			if c.idle.Stop() && c.flowing.Err() == nil {
				return c
			}
			return nil
		}
	}
	return nil
}

func (k *cursors) put(c *cursor, at eventlog.Position) {
	c.at, c.idle = at, time.AfterFunc(idle, c.end)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kept) == idleCount {
		k.kept[0].end()
		k.kept = append(k.kept[:0:0], k.kept[1:]...)
	}
	k.kept = append(k.kept, c)
}
