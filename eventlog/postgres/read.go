package postgres

import (
	"context"
	"encoding/binary"
	"iter"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
)

const columns = `e.position, e.id, e.organization, e.category, e.stream, e.version, e.type, e.schema, e.data, e.metadata, e.occurred_at, e.recorded_at`

// What was put in before the first position, past the log's own constraint, is in no stream: it would be obeyed there and be in
// nothing that is verified.
const (
	selectAll = `select ` + columns + ` from eventlog.events e where e.position > $1 order by e.position limit $2`

	selectStream = `select ` + columns + ` from eventlog.events e
		where (e.organization, e.category, e.stream) = ($1, $2, $3) and e.version > $4 and e.position > 0 order by e.version limit $5`

	selectStreams = `select t.n, e.* from unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[]) with ordinality
		as t (organization, category, stream, after, n) cross join lateral (
			select ` + columns + ` from eventlog.events e
			where (e.organization, e.category, e.stream) = (t.organization, t.category, t.stream) and e.version > t.after and e.position > 0
			order by e.version) e`
)

// A stream is read in pages, so that a slow consumer of a long one holds no connection: a small one at first, for whoever looks
// for its beginning, as it was in the past, and twice as much each time. Few streams are longer than the longest.
const (
	firstPage   = 250
	longestPage = 1000
)

// ReadAll implements [eventlog.Log]. Commits follow each other in the order of positions, so a snapshot has no gaps. A page
// that is full before its limit costs a connection: all other ways to stop a server have it send the rest first.
func (l *Log) ReadAll(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Event, error) {
	if limit <= 0 || after >= math.MaxInt64 {
		return nil, nil
	}
	var d decoder
	events, size := make([]eventlog.Event, 0, min(limit, 4096)), 0
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	full := false
	err := l.query(ctx, func(v [][]byte) {
		if full {
			return
		}
		e := d.event(v)
		events = append(events, e)
		if size += len(e.Data) + len(e.Meta); size >= eventlog.MaxPageSize {
			full = true
			cancel()
		}
	}, selectAll, int64(after), limit)
	if err != nil && !full {
		return nil, err
	}
	return events, nil
}

// ReadStream implements [eventlog.Log]. It reads a long stream in pages, and holds no connection between them.
func (l *Log) ReadStream(ctx context.Context, s eventlog.Stream, after eventlog.Version) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		for size := firstPage; after < math.MaxInt64; size = min(2*size, longestPage) {
			page, err := l.events(ctx, nil, selectStream, [16]byte(s.Organization), s.Category, [16]byte(s.ID), int64(after), size)
			if err != nil {
				yield(eventlog.Event{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
				after = e.Version
			}
			if len(page) < size {
				return
			}
		}
	}
}

// ReadStreams implements [eventlog.Log], by one statement in one round trip.
func (l *Log) ReadStreams(ctx context.Context, tails ...eventlog.Tail) ([][]eventlog.Event, error) {
	read := make([][]eventlog.Event, len(tails))
	if len(tails) == 0 {
		return read, nil
	}
	organizations, streams := make([][16]byte, len(tails)), make([][16]byte, len(tails))
	categories, after := make([]string, len(tails)), make([]int64, len(tails))
	for i, t := range tails {
		organizations[i], categories[i], streams[i] = t.Stream.Organization, t.Stream.Category, t.Stream.ID
		after[i] = int64(min(t.After, math.MaxInt64))
	}
	var d decoder
	err := l.query(ctx, func(v [][]byte) {
		i := bigint(v[0]) - 1
		read[i] = append(read[i], d.event(v[1:]))
	}, selectStreams, organizations, categories, streams, after)
	if err != nil {
		return nil, err
	}
	return read, nil
}

// events appends the events that sql selects.
func (l *Log) events(ctx context.Context, events []eventlog.Event, sql string, args ...any) ([]eventlog.Event, error) {
	var d decoder
	err := l.query(ctx, func(v [][]byte) { events = append(events, d.event(v)) }, sql, args...)
	if err != nil {
		return nil, err
	}
	return events, nil
}

// query hands each row, in Postgres' binary form, to a function that must not keep it. If the connection turns out to be
// gone, as all are after a restart of Postgres, it tries once on a new one.
func (l *Log) query(ctx context.Context, row func([][]byte), sql string, args ...any) error {
	for attempt := 0; ; attempt++ {
		begun, err := l.try(ctx, row, sql, args)
		if err == nil {
			return nil
		}
		if begun || attempt > 0 || !lost(err) || ctx.Err() != nil {
			return unavailable(err)
		}
		l.reading.Reset()
	}
}

func (l *Log) try(ctx context.Context, row func([][]byte), sql string, args []any) (begun bool, err error) {
	rows, err := l.reading.Query(ctx, sql, append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args...)...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		begun = true
		row(rows.RawValues())
	}
	return begun, rows.Err()
}

// decoder makes events of rows in Postgres' binary form. Reading the log is the floor of every reprojection: a reader per
// value that pgx picks by reflection would take half of the time.
type decoder struct {
	lasting bool              // data and metadata are nobody's memory but ours: they need not be copied
	names   map[string]string // categories and types: a page has few
	block   []byte            // what is left of the memory that data and metadata are copied into
	size    int
}

func (d *decoder) event(v [][]byte) eventlog.Event {
	return eventlog.Event{
		NewEvent: eventlog.NewEvent{
			ID: uuid.UUID(v[1]), Type: d.name(v[6]), Schema: int(int32(binary.BigEndian.Uint32(v[7]))),
			Data: d.bytes(v[8]), Meta: d.bytes(v[9]), OccurredAt: instant(v[10]),
		},
		Stream:     eventlog.Stream{Organization: uuid.UUID(v[2]), Category: d.name(v[3]), ID: uuid.UUID(v[4])},
		Version:    eventlog.Version(bigint(v[5])),
		Position:   eventlog.Position(bigint(v[0])),
		RecordedAt: instant(v[11]),
	}
}

func (d *decoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok { // does not allocate
		return s
	}
	if d.names == nil {
		d.names = make(map[string]string)
	}
	s := string(b)
	d.names[s] = s
	return s
}

// bytes copies b, which is the connection's, into a block that grows with the page.
func (d *decoder) bytes(b []byte) []byte {
	if d.lasting {
		return b
	}
	if len(d.block) < len(b) {
		d.size = min(max(2*d.size, 4<<10), 256<<10)
		d.block = make([]byte, max(d.size, len(b)))
	}
	c := d.block[:copy(d.block, b):len(b)]
	d.block = d.block[len(b):]
	return c
}

func bigint(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

// postgresEpoch is 2000-01-01 in microseconds of Unix: Postgres counts from there.
const postgresEpoch = 946_684_800_000_000

func instant(b []byte) time.Time { return time.UnixMicro(bigint(b) + postgresEpoch).UTC() }
