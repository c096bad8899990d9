package eventstoredb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

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
	return s, err1 == nil && err2 == nil && n.stream(s) == name
}

// The server keeps an event's metadata and has no place for its schema version and time. They go in front of the members
// of the metadata object, where the server's tools find $correlationId and $causationId as they look for them, and are cut
// out again:
//
//	{"annal":{"schema":1,"occurredAt":"2026-01-02T15:04:05.000000Z"},"$correlationId":…}
//
// Metadata that does not begin with a brace goes behind them whole: {"annal":{…,"whole":true},"meta":…}.
const (
	metaFront  = `{"annal":{"schema":`
	metaTime   = `,"occurredAt":"`
	timeFormat = "2006-01-02T15:04:05.000000Z"
	metaEnd    = `"}`
	metaWhole  = `","whole":true},"meta":`
)

func encodeMeta(e eventlog.NewEvent) ([]byte, error) {
	at := e.OccurredAt.UTC()
	if at.Year() < 1 || at.Year() > 9999 {
		return nil, fmt.Errorf("%w: %s occurred in the year %d", eventlog.ErrInvalid, e.Type, at.Year())
	}
	b := make([]byte, 0, len(metaFront)+len(metaTime)+len(timeFormat)+len(metaWhole)+len(e.Meta)+12)
	b = strconv.AppendInt(append(b, metaFront...), int64(e.Schema), 10)
	b = at.AppendFormat(append(b, metaTime...), timeFormat)
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

// decodeMeta is the inverse of encodeMeta. It writes into b, which becomes the event's.
func decodeMeta(b []byte, e *eventlog.NewEvent) error {
	rest, ok := bytes.CutPrefix(b, []byte(metaFront))
	if !ok {
		return errForm
	}
	schema, rest, ok := bytes.Cut(rest, []byte(metaTime))
	if !ok || len(rest) < len(timeFormat)+len(metaEnd) {
		return errForm
	}
	var err1, err2 error
	e.Schema, err1 = strconv.Atoi(string(schema))
	e.OccurredAt, err2 = time.Parse(time.RFC3339, string(rest[:len(timeFormat)]))
	if err1 != nil || err2 != nil || e.Schema < 1 {
		return errForm
	}
	rest = rest[len(timeFormat):]
	if whole, ok := bytes.CutPrefix(rest, []byte(metaWhole)); ok {
		e.Meta = whole[:len(whole)-1]
		return nil
	}
	if !bytes.HasPrefix(rest, []byte(metaEnd)) {
		return errForm
	}
	rest = rest[1:] // from our closing brace on, in whose place, or the comma's, the object's opening brace goes
	if len(rest) > 1 && rest[1] == ',' {
		rest = rest[1:]
	}
	rest[0] = '{'
	e.Meta = rest
	return nil
}

// decode returns an event of the log. It reports false for one of a stream that is not the log's.
func (n names) decode(r *esdb.RecordedEvent) (e eventlog.Event, ok bool) {
	if e.Stream, ok = n.parse(r.StreamID); !ok {
		return e, false
	}
	e.ID, e.Type, e.Data = r.EventID, r.EventType, r.Data
	e.Version, e.Position = eventlog.Version(r.EventNumber+1), eventlog.Position(r.Position.Commit)
	e.RecordedAt = r.CreatedDate.UTC().Truncate(time.Microsecond)
	if err := decodeMeta(r.UserMetadata, &e.NewEvent); err != nil {
		e.Type, e.Schema, e.OccurredAt = Foreign, 1, e.RecordedAt
		e.Data, e.Meta = orNull(r.Data), orNull(r.UserMetadata)
	}
	return e, true
}

func orNull(b []byte) json.RawMessage {
	if json.Valid(b) {
		return b
	}
	return json.RawMessage("null")
}

// proposed returns the events in the client's form, and their size as the server counts it.
func proposed(events []eventlog.NewEvent) (data []esdb.EventData, size int, err error) {
	data = make([]esdb.EventData, len(events))
	for i, e := range events {
		meta, err := encodeMeta(e)
		if err != nil {
			return nil, 0, err
		}
		data[i] = esdb.EventData{EventID: e.ID, EventType: e.Type, ContentType: esdb.ContentTypeJson, Data: e.Data, Metadata: meta}
		size += len(e.Data) + len(meta) + 2*len(e.Type)
	}
	return data, size, nil
}
