package postgres

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/annal-crm/annal/eventlog"
)

// What this process appends it has encoded already, in memory of its own. The groups that were committed last stay for one who
// follows the log here: reading an event back costs more than appending it has.

// A second of appends at the rate that one process reaches, and no more memory than a page of the log.
const (
	recentEvents = 32 << 10
	recentSize   = eventlog.MaxPageSize
	recentWanted = 5 * time.Second // after the last call groups are not kept any more: nobody follows the log here
)

// recent is the last groups, next to each other in the log.
type recent struct {
	mu     sync.Mutex
	asked  time.Time
	groups []committed
	events int
	size   int // bytes
}

// committed is a group whose first event is at a position.
type committed struct {
	first    eventlog.Position
	recorded time.Time
	appends  []*pending
	events   int
	size     int
}

// keep keeps a group that ends at newest, without the appends that were left out.
func (r *recent) keep(g *group, newest eventlog.Position, recorded time.Time, wrong map[int]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) > recentWanted {
		r.forget(len(r.groups))
		return
	}
	c := committed{recorded: recorded, appends: g.appends}
	if len(wrong) > 0 {
		c.appends = nil
	}
	for _, p := range g.appends {
		if _, left := wrong[p.first]; left {
			continue
		}
		if len(wrong) > 0 {
			c.appends = append(c.appends, p)
		}
		c.events += p.rows.count
		c.size += p.rows.size
	}
	c.first = newest - eventlog.Position(c.events) + 1
	if n := len(r.groups); n > 0 && c.first != r.groups[n-1].first+eventlog.Position(r.groups[n-1].events) {
		r.forget(n) // others have appended in between
	}
	r.groups = append(r.groups, c)
	r.events += c.events
	r.size += c.size
	old := 0
	for events, size := r.events, r.size; events > recentEvents || size > recentSize; old++ {
		events, size = events-r.groups[old].events, size-r.groups[old].size
	}
	r.forget(old)
}

// forget drops the oldest groups.
func (r *recent) forget(groups int) {
	for i, c := range r.groups[:groups] {
		r.events, r.size = r.events-c.events, r.size-c.size
		r.groups[i] = committed{}
	}
	if r.groups = r.groups[groups:]; len(r.groups) == 0 {
		r.groups = nil
	}
}

// after returns the groups from the one on that has the event after a position, if there is one, and forgets those before.
func (r *recent) after(position eventlog.Position) []committed {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Now()
	old := 0
	for old < len(r.groups) && r.groups[old].first+eventlog.Position(r.groups[old].events) <= position+1 {
		old++
	}
	r.forget(old)
	if len(r.groups) == 0 || r.groups[0].first > position+1 {
		return nil
	}
	return append([]committed(nil), r.groups...)
}

// Recall implements [eventlog.Recaller]. Positions have no gaps.
func (l *Log) Recall(after eventlog.Position, events []eventlog.Event) (n int) {
	d := recalling{decoder: decoder{lasting: true}}
	for _, c := range l.recent.after(after) {
		position := c.first
		for _, p := range c.appends {
			end := position + eventlog.Position(p.rows.count)
			if end <= after+1 {
				position = end
				continue
			}
			for rest := p.rows.columns; position < end; position++ {
				if n == len(events) {
					return n
				}
				if events[n] = d.next(&rest, position, c.recorded); position > after {
					n++
				}
			}
		}
	}
	return n
}

// recalling decodes what Postgres would return, from the columns that it was sent.
type recalling struct {
	decoder
	values  [numColumns + 2][]byte
	numbers [16]byte // position and time, which the log has given
}

// next takes an event from the columns.
func (d *recalling) next(columns *[numColumns][]byte, position eventlog.Position, recorded time.Time) eventlog.Event {
	var v [numColumns][]byte
	for i, rest := range columns {
		n := 4 + binary.BigEndian.Uint32(rest)
		v[i], columns[i] = rest[4:n:n], rest[n:]
	}
	place, instant := d.numbers[:8], d.numbers[8:]
	binary.BigEndian.PutUint64(place, uint64(position))
	binary.BigEndian.PutUint64(instant, uint64(recorded.UnixMicro()-postgresEpoch))
	d.values = [...][]byte{place, v[id], v[organization], v[category], v[stream], v[version], v[kind], v[schema], v[data], v[metadata], v[occurredAt], instant}
	return d.event(d.values[:])
}
