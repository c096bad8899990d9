package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/annal-crm/annal/eventlog"
)

// insertGroup is a group's transaction. The head row's lock puts the commits of all processes in order. Of the appends whose
// stream this process does not know well ($12–$17) those are left out, and returned, that do not follow their stream, either
// because it has moved on or because it is not that long; so one that is stale costs the others nothing. The look at the
// streams is older than the lock: what another process has committed in between the unique key finds. "limit 1" has each
// stream looked up along the key; with "exists" Postgres at times hashed the whole table for it, as large as that may be.
const insertGroup = `with wrong as materialized (
	select a.first, a.events, coalesce(next.there, false) as moved
	from unnest($12::uuid[], $13::text[], $14::uuid[], $15::bigint[], $16::bigint[], $17::bigint[])
		as a (organization, category, stream, version, first, events)
	left join lateral (select true as there from eventlog.events x
		where (x.organization, x.category, x.stream, x.version) = (a.organization, a.category, a.stream, a.version + 1) limit 1) next on true
	left join lateral (select true as there from eventlog.events x
		where (x.organization, x.category, x.stream, x.version) = (a.organization, a.category, a.stream, a.version) limit 1) last on a.version > 0
	where next.there or a.version > 0 and last.there is null
), n as materialized (
	select $1 - coalesce(sum(w.events), 0)::bigint as events from wrong w
), h as (
	update eventlog.head o set position = o.position + n.events, recorded_at = greatest(clock_timestamp(), o.recorded_at)
	from n where n.events > 0 returning o.position, o.position - n.events as base, o.recorded_at
), i as (
	insert into eventlog.events
	select h.base + g.n - (select coalesce(sum(w.events), 0)::bigint from wrong w where w.first < g.n),
		g.id, g.organization, g.category, g.stream, g.version, g.type, g.schema, g.data, g.metadata, g.occurred_at, h.recorded_at
	from h, unnest($2::uuid[], $3::text[], $4::uuid[], $5::bigint[], $6::uuid[], $7::text[], $8::integer[], $9::json[], $10::json[],
		$11::timestamptz[]) with ordinality as g (organization, category, stream, version, id, type, schema, data, metadata, occurred_at, n)
	where not exists (select from wrong w where g.n between w.first and w.first + w.events - 1)
)
select h.position, h.recorded_at, w.first, w.moved from (select) one left join h on true left join wrong w on true`

// judgeGroup is what follows when that did not work: see eventlog.append.
const judgeGroup = `select fresh, resent, last from eventlog.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

// The columns of an event, in the order of the parameters above.
const (
	organization = iota
	category
	stream
	version
	id
	kind
	schema
	data
	metadata
	occurredAt
	numColumns
)

// elements are the object ids of the columns' types; Postgres has not changed one since they exist.
var elements = [numColumns]uint32{
	organization: oidUUID, category: oidText, stream: oidUUID, version: oidBigint, id: oidUUID,
	kind: oidText, schema: oidInteger, data: oidJSON, metadata: oidJSON, occurredAt: oidTimestamptz,
}

const (
	oidBigint      = 20
	oidInteger     = 23
	oidText        = 25
	oidJSON        = 114
	oidTimestamptz = 1184
	oidUUID        = 2950
)

// encoded is the events of one append as elements of arrays in Postgres' binary form, a slice per column. Callers encode, in
// parallel; the sequencer, of which there is one, only puts slices together.
type encoded struct {
	columns [numColumns][]byte
	count   int // events
	size    int // bytes
}

func encode(s eventlog.Stream, expected eventlog.Version, events []eventlog.NewEvent) encoded {
	size := 0
	for _, e := range events {
		size += 4*numColumns + 3*16 + 2*8 + 4 + len(s.Category) + len(e.Type) + len(e.Data) + len(e.Meta)
	}
	rows := encoded{count: len(events), size: size}
	b := make([]byte, 0, size)
	for column := range numColumns {
		start := len(b)
		for i, e := range events {
			switch column {
			case organization:
				b = element(b, s.Organization[:])
			case category:
				b = element(b, s.Category)
			case stream:
				b = element(b, s.ID[:])
			case version:
				b = number(b, int64(expected)+int64(i)+1)
			case id:
				b = element(b, e.ID[:])
			case kind:
				b = element(b, e.Type)
			case schema:
				b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 4), uint32(e.Schema))
			case data:
				b = element(b, e.Data)
			case metadata:
				b = element(b, e.Meta)
			case occurredAt:
				b = number(b, e.OccurredAt.UnixMicro()-postgresEpoch)
			}
		}
		rows.columns[column] = b[start:]
	}
	return rows
}

func element[T ~string | ~[]byte](b []byte, v T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

func number(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), uint64(v))
}

// array puts a column of several appends together.
func array(column int, appends []*pending, count int) []byte {
	size := 20
	for _, p := range appends {
		size += len(p.rows.columns[column])
	}
	b := header(make([]byte, 0, size), elements[column], count)
	for _, p := range appends {
		b = append(b, p.rows.columns[column]...)
	}
	return b
}

// header begins an array of one dimension.
func header(b []byte, element uint32, count int) []byte {
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 0) // no nulls
	b = binary.BigEndian.AppendUint32(b, element)
	b = binary.BigEndian.AppendUint32(b, uint32(count))
	return binary.BigEndian.AppendUint32(b, 1)
}

// insert runs insertGroup and returns the log's new head and when it was recorded, and which appends were left out: by the
// number of their first event in the group, whether their stream has moved on (or else is not that long).
func (l *Log) insert(ctx context.Context, g *group) (newest eventlog.Position, recorded time.Time, wrong map[int]bool, err error) {
	values := make([][]byte, 0, 1+numColumns+numDoubts)
	values = append(values, binary.BigEndian.AppendUint64(nil, uint64(g.events)))
	for column := range numColumns {
		values = append(values, array(column, g.appends, g.events))
	}
	for column := range numDoubts {
		values = append(values, doubts(column, g.doubtful))
	}
	rows, err := l.execute(ctx, "eventlog insert", insertGroup, values)
	for _, row := range rows {
		if row[0] != nil {
			newest, recorded = eventlog.Position(bigint(row[0])), instant(row[1])
		}
		if row[2] != nil {
			if wrong == nil {
				wrong = make(map[int]bool)
			}
			wrong[int(bigint(row[2]))] = row[3][0] == 1
		}
	}
	return newest, recorded, wrong, err
}

// The columns of what is to be looked up about doubtful appends are the first four of an event, and
const (
	firstEvent = version + 1 + iota // its number in the group
	countEvents
	numDoubts
)

// doubts is such a column.
func doubts(column int, appends []*pending) []byte {
	kind := uint32(oidBigint)
	if column <= version {
		kind = elements[column]
	}
	b := header(nil, kind, len(appends))
	for _, p := range appends {
		switch column {
		case organization:
			b = element(b, p.stream.Organization[:])
		case category:
			b = element(b, p.stream.Category)
		case stream:
			b = element(b, p.stream.ID[:])
		case version:
			b = number(b, int64(p.expected))
		case firstEvent:
			b = number(b, int64(p.first))
		case countEvents:
			b = number(b, int64(p.rows.count))
		}
	}
	return b
}

// verdict is eventlog.append's on one append.
type verdict struct {
	fresh, resent bool
	last          eventlog.Position
}

func (l *Log) append(ctx context.Context, appends []*pending) ([]verdict, error) {
	count := 0
	for _, p := range appends {
		count += p.rows.count
	}
	values := make([][]byte, 0, numColumns)
	for column := range numColumns {
		values = append(values, array(column, appends, count))
	}
	rows, err := l.execute(ctx, "eventlog append", judgeGroup, values)
	if err != nil {
		return nil, err
	}
	if len(rows) != len(appends) {
		return nil, fmt.Errorf("%d verdicts on %d appends", len(rows), len(appends))
	}
	verdicts := make([]verdict, len(rows))
	for i, row := range rows {
		verdicts[i] = verdict{fresh: row[0][0] == 1, resent: row[1][0] == 1}
		if row[2] != nil {
			verdicts[i].last = eventlog.Position(bigint(row[2]))
		}
	}
	return verdicts, nil
}

// execute runs a statement, which it prepares once a connection, with parameters and result in binary form.
func (l *Log) execute(ctx context.Context, name, sql string, values [][]byte) ([][][]byte, error) {
	conn, err := l.writing.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	if _, err := conn.Conn().Prepare(ctx, name, sql); err != nil {
		return nil, err
	}
	result := conn.Conn().PgConn().ExecPrepared(ctx, name, values, []int16{1}, []int16{1}).Read()
	return result.Rows, result.Err
}
