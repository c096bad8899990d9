package eventstoredb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
)

// Foreign is the type that an event gets which lies in one of the log's streams and was not written by Annal. It keeps its
// place, so that the stream's versions stay whole, and its data if they are JSON; nobody can take it for one of ours.
const Foreign = "foreign"

// The server's category projection cuts a stream's name at the first "-", "$" makes it a system stream, and "~" ends the
// name of a log: a category has none of them.
var (
	escape   = strings.NewReplacer("%", "%25", "-", "%2D", "$", "%24", "~", "%7E")
	unescape = strings.NewReplacer("%25", "%", "%2D", "-", "%24", "$", "%7E", "~")
)

// tail is what follows the category in a stream's name: "-", organization, ".", id.
const tail = 1 + 36 + 1 + 36

// names maps streams to the server's names for them, "customer-<organization>.<id>", with a log's own name before it.
type names struct{ prefix string } // "", or the log's name and "~"

func (n names) stream(s eventlog.Stream) string {
	return n.prefix + escape.Replace(s.Category) + "-" + s.Organization.String() + "." + s.ID.String()
}

// identity is the stream that holds the event that made the log. It is none of the log's own.
func (n names) identity() string { return n.prefix + "annal_log" }

// filter is the regular expression, for the server, of the names of the log's streams. It leaves out system streams.
func (n names) filter() string {
	return "^" + regexp.QuoteMeta(n.prefix) + `[^$~-][^~-]*-[0-9a-f-]{36}\.[0-9a-f-]{36}$`
}

// parse is the inverse of stream. It reports false for a name that stream does not make.
func (n names) parse(name string) (s eventlog.Stream, ok bool) {
	rest, ok := strings.CutPrefix(name, n.prefix)
	if !ok || len(rest) <= tail {
		return s, false
	}
	category, ids := rest[:len(rest)-tail], rest[len(rest)-tail:]
	if ids[0] != '-' || ids[37] != '.' || strings.ContainsAny(category, "$~-") {
		return s, false
	}
	var err1, err2 error
	s.Organization, err1 = uuid.Parse(ids[1:37])
	s.ID, err2 = uuid.Parse(ids[38:])
	s.Category = unescape.Replace(category)
	return s, err1 == nil && err2 == nil && eventlog.ValidName(s.Category) && n.stream(s) == name
}

// The server keeps an event's metadata and has no place for its schema version and time, nor for when another log recorded
// it. They go in front of the members of the metadata object, where the server's tools find $correlationId and $causationId
// as they look for them, and are cut out again:
//
//	{"annal":{"schema":1,"occurredAt":"2026-01-02T15:04:05.000000Z"},"$correlationId":…}
//	{"annal":{"schema":1,"occurredAt":"2026-01-02T15:04:05.000000Z","recordedAt":"2026-01-02T15:04:06.000000Z"},…}
//
// Metadata that does not begin with a brace goes behind them whole: {"annal":{…,"whole":true},"meta":…}.
const (
	metaFront    = `{"annal":{"schema":`
	metaTime     = `,"occurredAt":"`
	metaRecorded = `","recordedAt":"`
	timeFormat   = "2006-01-02T15:04:05.000000Z"
	metaEnd      = `"}`
	metaWhole    = `","whole":true},"meta":`
)

// encodeMeta returns the metadata as the server keeps them. recorded is zero unless another log has recorded the event.
func encodeMeta(e eventlog.NewEvent, recorded time.Time) ([]byte, error) {
	at := e.OccurredAt.UTC()
	if at.Year() < 1 || at.Year() > 9999 {
		return nil, fmt.Errorf("%w: %s occurred in the year %d", eventlog.ErrInvalid, e.Type, at.Year())
	}
	b := make([]byte, 0, len(metaFront)+len(metaTime)+len(metaRecorded)+2*len(timeFormat)+len(metaWhole)+len(e.Meta)+12)
	b = strconv.AppendInt(append(b, metaFront...), int64(e.Schema), 10)
	b = at.AppendFormat(append(b, metaTime...), timeFormat)
	if !recorded.IsZero() {
		b = recorded.UTC().AppendFormat(append(b, metaRecorded...), timeFormat)
	}
	if e.Meta[0] != '{' {
		return append(append(append(b, metaWhole...), e.Meta...), '}'), nil
	}
	b = append(b, metaEnd...)
	if bytes.TrimLeft(e.Meta[1:], " \t\r\n")[0] != '}' {
		b = append(b, ',')
	}
	return append(b, e.Meta[1:]...), nil
}

var errForm = errors.New("eventstoredb: metadata of another form")

// decodeMeta is the inverse of encodeMeta, which leaves RecordedAt alone if there is not one. It writes into b, which becomes
// the event's.
func decodeMeta(b []byte, e *eventlog.Event) error {
	rest, ok := bytes.CutPrefix(b, []byte(metaFront))
	if !ok {
		return errForm
	}
	schema, rest, ok := bytes.Cut(rest, []byte(metaTime))
	if !ok {
		return errForm
	}
	var err error
	if e.Schema, err = strconv.Atoi(string(schema)); err != nil || e.Schema < 1 || e.Schema > math.MaxInt32 {
		return errForm
	}
	if e.OccurredAt, rest, ok = cutTime(rest); !ok {
		return errForm
	}
	if recorded, ok := bytes.CutPrefix(rest, []byte(metaRecorded)); ok {
		if e.RecordedAt, rest, ok = cutTime(recorded); !ok {
			return errForm
		}
	}
	if whole, ok := bytes.CutPrefix(rest, []byte(metaWhole)); ok {
		if e.Meta = whole[:max(0, len(whole)-1)]; !validJSON(e.Meta) || whole[len(whole)-1] != '}' {
			return errForm
		}
		return nil
	}
	if !bytes.HasPrefix(rest, []byte(metaEnd)) {
		return errForm
	}
	rest = rest[1:] // from our closing brace on, in whose place, or the comma's, the object's opening brace goes
	if len(rest) > 1 && rest[1] == ',' {
		rest = rest[1:]
	}
	if !bytes.HasSuffix(bytes.TrimRight(rest[1:], " \t\r\n"), []byte("}")) {
		return errForm
	}
	rest[0] = '{'
	e.Meta = rest
	return nil
}

func cutTime(b []byte) (at time.Time, rest []byte, ok bool) {
	if len(b) < len(timeFormat) {
		return at, b, false
	}
	at, err := time.Parse(time.RFC3339, string(b[:len(timeFormat)]))
	return at, b[len(timeFormat):], err == nil
}

// decode returns an event of the log. It reports false for one of a stream that is not the log's.
func (n names) decode(r *esdb.RecordedEvent) (e eventlog.Event, ok bool) {
	if e.Stream, ok = n.parse(r.StreamID); !ok {
		return e, false
	}
	e.ID, e.Type, e.Data = r.EventID, r.EventType, r.Data
	e.Version, e.Position = eventlog.Version(r.EventNumber+1), eventlog.Position(r.Position.Commit)
	created := r.CreatedDate.UTC().Truncate(time.Microsecond)
	e.RecordedAt = created
	if err := decodeMeta(r.UserMetadata, &e); err != nil {
		e.Type, e.Schema, e.OccurredAt, e.RecordedAt = Foreign, 1, created, created
		e.Data, e.Meta = orNull(r.Data), orNull(r.UserMetadata)
	}
	return e, true
}

func orNull(b []byte) json.RawMessage {
	if validJSON(b) {
		return b
	}
	return json.RawMessage("null")
}

func validJSON(b []byte) bool { return json.Valid(b) && utf8.Valid(b) }

// proposed returns an event in the client's form, and its size as the server counts it. recorded is zero unless another log
// has recorded the event.
func proposed(e eventlog.NewEvent, recorded time.Time) (data esdb.EventData, size int, err error) {
	meta, err := encodeMeta(e, recorded)
	data = esdb.EventData{EventID: e.ID, EventType: e.Type, ContentType: esdb.ContentTypeJson, Data: e.Data, Metadata: meta}
	return data, len(e.Data) + len(meta) + 2*len(e.Type), err
}
