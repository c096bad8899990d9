package postgres

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/annal-crm/annal/eventlog"
)

// Group commit. Callers encode their events and queue. One goroutine of each [Log], the sequencer, takes all appends that wait,
// commits them in one statement, which is its own transaction, and answers. While one group is on its way to the disk the next
// one gathers, so the rate grows with the number of callers. Two sequencers were slower than one: they only wait for each
// other's lock.
//
// An append is in one of these states:
//
//	queued    It waits. If its context ends now it is not made: its caller has left.
//	taken     It is part of a group. If its context ends now its fate is unknown to its caller, who may send it again.
//	answered  Its caller has a receipt, a conflict or an error.
//
// A group takes at most one append to each stream; a second one waits for the next group. The statement takes the lock of the
// row eventlog.head first, which orders the groups of all processes, and leaves out appends that do not follow their stream
// (insert.go). The group then goes one of these ways:
//
//	committed  Each append has its receipt. Those that were left out look for their own events in the log: if they are there it
//	           was a resend, which gets the first receipt, else a conflict.
//	refused    Another process was faster at a stream, or an event cannot be stored. eventlog.append judges each append by itself.
//	lost       The connection ended, and nobody knows whether before or after the commit. The sequencer judges the group on a
//	           new connection: what it finds of itself it answers with the first receipt.
//	failed     Postgres does not answer. Each caller is told that the log is unavailable.

// A group is bounded so that nobody waits long behind somebody's bulk: at 40 000 events/s this is a tenth of a second.
const (
	maxGroup     = 4096    // events
	maxGroupSize = 8 << 20 // bytes
)

// pending is an append on its way.
type pending struct {
	stream   eventlog.Stream
	expected eventlog.Version
	rows     encoded
	first    int // the number of its first event in the group, from 1
	state    atomic.Int32
	done     chan struct{} // closed when the answer is there:
	receipt  eventlog.Receipt
	err      error
	stale    bool // it does not follow the stream, which is a conflict unless the stream has moved on by these very events
}

const (
	queued int32 = iota
	taken
	left // its caller has gone
)

func (p *pending) answer(r eventlog.Receipt, err error) {
	p.receipt, p.err = r, err
	close(p.done)
}

// Append implements [eventlog.Log]. An append whose context ends while it waits for its group is not made.
func (l *Log) Append(ctx context.Context, s eventlog.Stream, expected eventlog.Version, events ...eventlog.NewEvent) (eventlog.Receipt, error) {
	if err := eventlog.Validate(s, events); err != nil {
		return eventlog.Receipt{}, err
	}
	if expected > math.MaxInt64-eventlog.MaxEvents { // no stream is that long
		return eventlog.Receipt{}, eventlog.ErrConflict
	}
	if err := ctx.Err(); err != nil {
		return eventlog.Receipt{}, unavailable(err)
	}
	p := &pending{stream: s, expected: expected, rows: encode(s, expected, events), done: make(chan struct{})}
	if !l.queue.put(p) {
		return eventlog.Receipt{}, eventlog.ErrClosed
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if !p.state.CompareAndSwap(queued, left) {
			return eventlog.Receipt{}, fmt.Errorf("%w: the append was under way: %w", eventlog.ErrUnavailable, ctx.Err())
		}
		return eventlog.Receipt{}, unavailable(ctx.Err())
	}
	if p.stale {
		return l.resent(ctx, s, expected, events)
	}
	return p.receipt, p.err
}

// resent answers an append to a stream that has moved on: with the first receipt if by these events, else with a conflict.
// The caller looks this up by itself, so that no group waits for it.
func (l *Log) resent(ctx context.Context, s eventlog.Stream, expected eventlog.Version, events []eventlog.NewEvent) (eventlog.Receipt, error) {
	held, err := l.events(ctx, nil, selectStream, [16]byte(s.Organization), s.Category, [16]byte(s.ID), int64(expected), len(events))
	switch {
	case err != nil:
		return eventlog.Receipt{}, err
	case len(held) < len(events):
		return eventlog.Receipt{}, eventlog.ErrConflict
	}
	for i, e := range held {
		if e.ID != events[i].ID {
			return eventlog.Receipt{}, eventlog.ErrConflict
		}
	}
	last := held[len(held)-1]
	return eventlog.Receipt{Position: last.Position, Version: last.Version}, nil
}

// queue holds the appends that wait for their group.
type queue struct {
	mu      sync.Mutex
	filled  sync.Cond
	waiting []*pending
	closed  bool
}

func (q *queue) init() { q.filled.L = &q.mu }

// put reports false if the log is closed.
func (q *queue) put(p *pending) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.waiting = append(q.waiting, p)
	if len(q.waiting) == 1 {
		q.filled.Signal()
	}
	return true
}

// take appends all that waits to rest, and waits for it if rest is empty. It returns none when the queue is closed and empty.
func (q *queue) take(rest []*pending) []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(rest)+len(q.waiting) == 0 && !q.closed {
		q.filled.Wait()
	}
	rest = append(rest, q.waiting...)
	clear(q.waiting)
	q.waiting = q.waiting[:0]
	return rest
}

// gather waits until n appends are waiting, but not for long.
func (q *queue) gather(n int, limit time.Duration) {
	const look = 100 * time.Microsecond // about what a caller takes to come back
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(look) {
		q.mu.Lock()
		enough := len(q.waiting) >= n || q.closed
		q.mu.Unlock()
		if enough {
			return
		}
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Signal()
}

// sequence commits one group after the other until the queue is closed and empty.
func (l *Log) sequence() {
	var known versions
	var waiting []*pending
	var last eventlog.Position
	var before int // appends of the group before
	for {
		if waiting = l.queue.take(waiting); len(waiting) == 0 {
			return
		}
		var g group
		waiting = g.choose(waiting, &known)
		if len(g.appends) == 0 {
			continue
		}
		began := time.Now()
		newest := l.commit(&g, &known)
		if last > 0 && newest > last+eventlog.Position(g.events) {
			// Another process appends as well. A group that is sent at once would be that of the first caller who comes back, and
			// wait for the other's lock with an empty place beside it for everybody else.
			l.queue.gather(max(len(g.appends), before), min(lingerLimit, time.Since(began)/4))
		}
		last, before = newest, len(g.appends)
	}
}

// lingerLimit is the longest that a group waits to fill up: a fraction of what a commit takes on a disk.
const lingerLimit = 2 * time.Millisecond

// group is what one statement appends: at most one append to each stream.
type group struct {
	appends  []*pending
	doubtful []*pending // those of which this process does not know whether they follow their stream
	events   int
}

// choose moves appends from waiting to the group and returns the rest, for the next one. Stale ones it sends back.
func (g *group) choose(waiting []*pending, known *versions) (rest []*pending) {
	streams := make(map[eventlog.Stream]struct{}, len(waiting))
	rest = waiting[:0]
	size := 0
	for i, p := range waiting {
		if len(g.appends) > 0 && (g.events+p.rows.count > maxGroup || size+p.rows.size > maxGroupSize) {
			return append(rest, waiting[i:]...)
		}
		version, remembered := known.get(p.stream)
		_, twice := streams[p.stream]
		switch {
		case twice:
			rest = append(rest, p)
			continue
		case !p.state.CompareAndSwap(queued, taken):
			continue
		case p.expected < version:
			p.stale = true
			close(p.done)
			continue
		case p.expected > version || !remembered:
			g.doubtful = append(g.doubtful, p)
		}
		streams[p.stream] = struct{}{}
		p.first = g.events + 1
		g.appends = append(g.appends, p)
		g.events += p.rows.count
		size += p.rows.size
	}
	return rest
}

// commit appends the group and answers everybody in it. It returns the log's new head, 0 if that is not known.
func (l *Log) commit(g *group, known *versions) eventlog.Position {
	ctx, cancel := context.WithTimeout(context.Background(), l.config.Timeout)
	defer cancel()
	newest, recorded, wrong, err := l.insert(ctx, g)
	switch {
	case err == nil:
		if newest > 0 {
			l.recent.keep(g, newest, recorded, wrong)
			l.grown(newest)
		}
		g.answer(newest, wrong, known)
	case lost(err) && ctx.Err() == nil:
		// Nobody knows whether before or after the commit. The group may be sent again, because what it finds of itself it
		// answers with the first receipt; on a new connection, since all are gone after a restart of Postgres.
		l.writing.Reset()
		l.judge(ctx, g.appends, known)
	case code(err) == "23505", invalid(err): // another process was faster at a stream, or somebody brings the wrong thing
		l.judge(ctx, g.appends, known)
	default:
		for _, p := range g.appends {
			p.answer(eventlog.Receipt{}, unavailable(err))
		}
	}
	return newest
}

// answer gives everybody in a group that was inserted, those who were left out apart, the receipt. The group ends at newest.
func (g *group) answer(newest eventlog.Position, wrong map[int]bool, known *versions) {
	position := newest - eventlog.Position(g.events)
	for _, p := range g.appends {
		if _, left := wrong[p.first]; left {
			position += eventlog.Position(p.rows.count)
		}
	}
	for _, p := range g.appends {
		if moved, left := wrong[p.first]; left {
			if moved {
				known.put(p.stream, p.expected+1)
			}
			p.stale = true
			close(p.done)
			continue
		}
		position += eventlog.Position(p.rows.count)
		version := p.expected + eventlog.Version(p.rows.count)
		known.put(p.stream, version)
		p.answer(eventlog.Receipt{Position: position, Version: version}, nil)
	}
}

// judge appends each of the group that may be, and tells the others why not.
func (l *Log) judge(ctx context.Context, appends []*pending, known *versions) {
	verdicts, err := l.append(ctx, appends)
	switch {
	case err == nil:
	case invalid(err) && len(appends) > 1: // rare: Validate lets little through. It costs only the append that has it.
		for i := range appends {
			l.judge(ctx, appends[i:i+1], known)
		}
		return
	default:
		if invalid(err) {
			err = fmt.Errorf("%w: %w", eventlog.ErrInvalid, err)
		} else {
			err = unavailable(err)
		}
		for _, p := range appends {
			p.answer(eventlog.Receipt{}, err)
		}
		return
	}
	for i, p := range appends {
		v, version := verdicts[i], p.expected+eventlog.Version(p.rows.count)
		if v.fresh {
			l.grown(v.last)
		}
		switch {
		case v.fresh || v.resent:
			known.put(p.stream, version)
			p.answer(eventlog.Receipt{Position: v.last, Version: version}, nil)
		default:
			if v.last > 0 { // the stream has the next version
				known.put(p.stream, p.expected+1)
			}
			p.answer(eventlog.Receipt{}, eventlog.ErrConflict)
		}
	}
}

// grown tells those who wait, here and elsewhere.
func (l *Log) grown(head eventlog.Position) {
	l.growth.Reached(head)
	l.doorbell.push()
}

// lost reports whether err is the connection's end and not Postgres' answer to the statement.
func lost(err error) bool {
	c := code(err)
	return c == "" || strings.HasPrefix(c, "57P") || strings.HasPrefix(c, "08")
}

// invalid reports whether err is about what was to be written: data exceptions and program limits.
func invalid(err error) bool {
	c := code(err)
	return strings.HasPrefix(c, "22") || strings.HasPrefix(c, "54")
}

// versions remembers the latest versions of streams, of at least so many and at most twice as many streams, about 100 bytes
// each. Other processes append too, so a stream may be longer than remembered, never shorter.
const rememberedStreams = 50_000

type versions struct {
	recent, older map[eventlog.Stream]eventlog.Version
}

func (v *versions) get(s eventlog.Stream) (version eventlog.Version, ok bool) {
	if version, ok = v.recent[s]; !ok {
		version, ok = v.older[s]
	}
	return version, ok
}

func (v *versions) put(s eventlog.Stream, version eventlog.Version) {
	if latest, _ := v.get(s); version < latest {
		version = latest
	}
	if v.recent == nil || len(v.recent) >= rememberedStreams {
		v.recent, v.older = make(map[eventlog.Stream]eventlog.Version), v.recent
	}
	v.recent[s] = version
}
