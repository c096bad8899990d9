// Package logtest says, in tests, what every log must do.
//
// A log's own tests call [Run]. What a log cannot promise its [Options] declare, for all to read; everything else is
// demanded of it, first by one writer (contract.go, importing.go), then by many at once (concurrency.go).
package logtest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
)

// Options tell the suite how to get logs and what not to ask of them.
type Options struct {
	// New returns an empty log that ends with the test.
	New func(t *testing.T) eventlog.Log
	// Second returns another client of a log that New has made, as another process would have it. Nil declares that the
	// log lives in one process.
	Second func(t *testing.T, log eventlog.Log) eventlog.Log
	// Gaps declares that positions may have gaps between them.
	Gaps bool
	// NoCount declares that the log is no [eventlog.Counter].
	NoCount bool
	// NoImport declares that the log is no [eventlog.Importer].
	NoImport bool
	// TimesRunBack declares that an event may be recorded earlier than one at a lower position, as where several machines
	// write in turn, each by its own clock.
	TimesRunBack bool
	// MaxAppendSize declares that the log takes no more bytes in one append, less than [eventlog.MaxAppendSize]. What the
	// log itself adds counts as well, up to a kilobyte for one event. 0 declares nothing.
	MaxAppendSize int
}

// Run demands the contract of a log, each part of a fresh one, several at a time.
func Run(t *testing.T, o Options) {
	for _, part := range []struct {
		name string
		test func(*suite)
	}{
		{"an append gets the next versions and is read as it was written", (*suite).appends},
		{"data and metadata come back byte for byte", (*suite).bytes},
		{"times come back to the microsecond in UTC", (*suite).times},
		{"what nobody wrote is empty", (*suite).empty},
		{"an append at another version is a conflict", (*suite).conflicts},
		{"an append sent again gets its first receipt", (*suite).resends},
		{"what no log takes is refused", (*suite).refuses},
		{"an append whose context has ended is not made", (*suite).cancelled},
		{"a stream is read after a version, however long", (*suite).readsStream},
		{"several tails are read in the order asked for", (*suite).readsStreams},
		{"everything is read in pages", (*suite).readsAll},
		{"a page of large events ends before its limit", (*suite).largePages},
		{"waiting ends with growth or with its context", (*suite).waits},
		{"a log has an identity of its own", (*suite).identifies},
		{"events of another log are taken over as they are", (*suite).imports},
		{"what does not follow is not taken over", (*suite).importsRefused},
		{"times of another log are kept", (*suite).importsTimes},
		{"of many writers on one stream one wins per version", (*suite).contend},
		{"of many writers and readers nobody misses, repeats or reorders an event", (*suite).crowd},
		{"two processes append to one log", (*suite).twoProcesses},
	} {
		t.Run(strings.ReplaceAll(part.name, " ", "_"), func(t *testing.T) {
			t.Parallel() // making a database takes longer than most parts
			part.test(&suite{T: t, options: o, log: o.New(t)})
		})
	}
}

// suite is one part's test and log.
type suite struct {
	*testing.T
	options Options
	log     eventlog.Log
}

func newStream() eventlog.Stream {
	return eventlog.Stream{Organization: uuid.New(), Category: "account", ID: uuid.New()}
}

// newEvents returns n events that differ.
func newEvents(n int) []eventlog.NewEvent {
	events := make([]eventlog.NewEvent, n)
	for i := range events {
		id := uuid.New()
		events[i] = eventlog.NewEvent{
			ID: id, Type: "account.logged_in", Schema: 1 + i%3,
			Data: json.RawMessage(fmt.Sprintf(`{"session": %q}`, id)), Meta: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)),
			OccurredAt: time.Now().UTC().Truncate(time.Microsecond),
		}
	}
	return events
}

// append demands success and the version that follows.
func (s *suite) append(stream eventlog.Stream, expected eventlog.Version, events ...eventlog.NewEvent) eventlog.Receipt {
	s.Helper()
	receipt, err := s.log.Append(s.Context(), stream, expected, events...)
	if err != nil {
		s.Fatalf("append at %d: %v", expected, err)
	}
	if want := expected + eventlog.Version(len(events)); receipt.Version != want || receipt.Position == 0 {
		s.Fatalf("append of %d at %d: receipt %+v", len(events), expected, receipt)
	}
	return receipt
}

// stream reads a stream to its end.
func (s *suite) stream(stream eventlog.Stream, after eventlog.Version) (events []eventlog.Event) {
	s.Helper()
	for e, err := range s.log.ReadStream(s.Context(), stream, after) {
		if err != nil {
			s.Fatalf("read stream: %v", err)
		}
		events = append(events, e)
	}
	return events
}

// all reads the whole log, page by page.
func (s *suite) all(page int) (events []eventlog.Event) {
	s.Helper()
	var after eventlog.Position
	for {
		read, err := s.log.ReadAll(s.Context(), after, page)
		if err != nil {
			s.Fatalf("read all: %v", err)
		}
		if len(read) > page {
			s.Fatalf("a page of %d has %d events", page, len(read))
		}
		if len(read) == 0 {
			return events
		}
		events = append(events, read...)
		after = read[len(read)-1].Position
	}
}

func (s *suite) head() eventlog.Position {
	s.Helper()
	head, err := s.log.Head(s.Context())
	if err != nil {
		s.Fatalf("head: %v", err)
	}
	return head
}

// same demands that two readings are equal.
func (s *suite) same(what string, got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// written demands that the events read are those that were appended to the stream after a version.
func (s *suite) written(read []eventlog.Event, stream eventlog.Stream, after eventlog.Version, events []eventlog.NewEvent) {
	s.Helper()
	if len(read) != len(events) {
		s.Fatalf("%d events read, %d written", len(read), len(events))
	}
	for i, e := range read {
		s.same(fmt.Sprintf("event %d", i), e, eventlog.Event{
			NewEvent: events[i], Stream: stream, Version: after + eventlog.Version(i) + 1,
			Position: e.Position, RecordedAt: e.RecordedAt, // inOrder looks at these
		})
	}
}

func (s *suite) inOrder(events []eventlog.Event) {
	s.Helper()
	if s.options.TimesRunBack {
		events = slices.Clone(events)
		for i := range events {
			events[i].RecordedAt = time.Time{}
		}
	}
	InOrder(s.T, events, s.options.Gaps)
}

// InOrder demands of a reading of a whole log that positions, versions and times follow each other and that no event is
// there twice.
func InOrder(t testing.TB, events []eventlog.Event, gaps bool) {
	t.Helper()
	versions := make(map[eventlog.Stream]eventlog.Version)
	ids := make(map[uuid.UUID]bool)
	var last eventlog.Event
	for _, e := range events {
		switch {
		case e.Position <= last.Position:
			t.Fatalf("position %d after %d", e.Position, last.Position)
		case e.Position != last.Position+1 && !gaps:
			t.Fatalf("a gap between positions %d and %d", last.Position, e.Position)
		case e.Version != versions[e.Stream]+1:
			t.Fatalf("position %d: version %d after %d", e.Position, e.Version, versions[e.Stream])
		case ids[e.ID]:
			t.Fatalf("position %d: event %s again", e.Position, e.ID)
		case e.RecordedAt.Before(last.RecordedAt):
			t.Fatalf("position %d: recorded at %v after %v", e.Position, e.RecordedAt, last.RecordedAt)
		}
		versions[e.Stream], ids[e.ID], last = e.Version, true, e
	}
}
