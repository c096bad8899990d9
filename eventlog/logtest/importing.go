package logtest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
)

// importer is the log as one, unless it is declared to be none.
func (s *suite) importer() (i eventlog.Importer, ok bool) {
	if i, ok = s.log.(eventlog.Importer); ok == s.options.NoImport {
		s.Fatalf("an Importer: %v, declared as none: %v", ok, s.options.NoImport)
	}
	if !ok {
		s.Log("declared: the log takes over no other's events")
	}
	return i, ok
}

// recorded returns events of several streams in a mixed order, as another log has recorded them, in runs of any length.
func recorded(n int) []eventlog.Event {
	streams, versions := make([]eventlog.Stream, 7), make(map[eventlog.Stream]eventlog.Version)
	for i := range streams {
		streams[i] = newStream()
	}
	events := make([]eventlog.Event, n)
	clock := time.Date(2019, 5, 6, 7, 8, 9, 123_456_000, time.UTC)
	for i, e := range newEvents(n) {
		s := streams[i*i/3%len(streams)]
		versions[s]++
		e.OccurredAt = clock.AddDate(-2, 0, i)
		clock = clock.Add(time.Duration(i%3) * time.Millisecond)
		events[i] = eventlog.Event{NewEvent: e, Stream: s, Version: versions[s], Position: eventlog.Position(1000 + 17*i), RecordedAt: clock}
	}
	return events
}

// held demands that the log holds just these events, positions apart.
func (s *suite) held(want []eventlog.Event) {
	s.Helper()
	all := s.all(100)
	for i := range all {
		if i < len(want) {
			want[i].Position = all[i].Position
		}
	}
	s.same("everything", all, want)
}

func (s *suite) imports() {
	log, ok := s.importer()
	if !ok {
		return
	}
	events := recorded(500)
	texts := []string{`{}`, ` { "b" : 1 } `, `{"a":1,"a":2}`, `null`, `[1]`, `"é🦉"`, `{"long":"` + strings.Repeat("x", 300_000) + `"}`}
	for i, text := range texts {
		events[i].Data, events[i+1].Meta = json.RawMessage(text), json.RawMessage(text)
	}
	for begin := range slices.Chunk(slices.Clone(events), 120) {
		if err := log.Import(s.Context(), begin); err != nil {
			s.Fatal(err)
		}
	}
	s.same("nothing more", log.Import(s.Context(), nil), nil)
	s.held(events)
	s.inOrder(s.all(1000))
	stream, own := events[0].Stream, []eventlog.Event{}
	for _, e := range events {
		if e.Stream == stream {
			own = append(own, e)
		}
	}
	s.same("a stream", s.stream(stream, 0), own)
	// The log goes on from there.
	if err := log.Wait(s.Context(), events[498].Position); err != nil {
		s.Fatal(err)
	}
	s.same("the head", s.head(), events[499].Position)
	next := eventlog.Version(len(own))
	for _, expected := range []eventlog.Version{0, next - 1, next + 1} {
		if _, err := log.Append(s.Context(), stream, expected, newEvents(1)...); !errors.Is(err, eventlog.ErrConflict) {
			s.Fatalf("append at %d of %d: %v", expected, next, err)
		}
	}
	before := time.Now().Add(-time.Minute)
	s.append(stream, next, newEvents(1)...)
	if all := s.all(1000); all[500].RecordedAt.Before(before) {
		s.Fatalf("appended now, recorded at %v", all[500].RecordedAt)
	}
	if s.options.Second != nil {
		s.log = s.options.Second(s.T, s.log)
		s.append(stream, next+1, newEvents(1)...)
	}
}

func (s *suite) importsRefused() {
	log, ok := s.importer()
	if !ok {
		return
	}
	events := recorded(40)
	if err := log.Import(s.Context(), events[:20]); err != nil {
		s.Fatal(err)
	}
	change := func(f func(*eventlog.Event)) []eventlog.Event {
		e := events[20]
		f(&e)
		return []eventlog.Event{e}
	}
	again := events[0]
	again.ID = uuid.New()
	for name, test := range map[string]struct {
		events []eventlog.Event
		want   error
	}{
		"a version that is taken":      {[]eventlog.Event{again}, eventlog.ErrConflict},
		"a version skipped":            {change(func(e *eventlog.Event) { e.Version++ }), eventlog.ErrConflict},
		"a version skipped on the way": {append(change(func(*eventlog.Event) {}), change(func(e *eventlog.Event) { e.Version += 2 })...), eventlog.ErrConflict},
		"a stream begun in the middle": {change(func(e *eventlog.Event) { e.Stream.ID = uuid.New(); e.Version = 3 }), eventlog.ErrConflict},
		"no version":                   {change(func(e *eventlog.Event) { e.Version = 0 }), eventlog.ErrConflict},
		"no id":                        {change(func(e *eventlog.Event) { e.ID = uuid.Nil }), eventlog.ErrInvalid},
		"no category":                  {change(func(e *eventlog.Event) { e.Stream.Category = "" }), eventlog.ErrInvalid},
		"broken data":                  {change(func(e *eventlog.Event) { e.Data = json.RawMessage("{") }), eventlog.ErrInvalid},
		"metadata not in UTF-8":        {change(func(e *eventlog.Event) { e.Meta = json.RawMessage("\"\xff\"") }), eventlog.ErrInvalid},
		"the year 10000":               {change(func(e *eventlog.Event) { e.RecordedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), eventlog.ErrInvalid},
	} {
		if err := log.Import(s.Context(), test.events); !errors.Is(err, test.want) || errors.Is(err, eventlog.ErrUnavailable) {
			s.Errorf("%s: %v", name, err)
		}
	}
	if err := log.Import(s.Context(), events[20:]); err != nil {
		s.Fatal(err)
	}
	s.held(events)
}

func (s *suite) importsTimes() {
	log, ok := s.importer()
	if !ok {
		return
	}
	events := recorded(30)
	for _, i := range []int{7, 8, 20} {
		events[i].RecordedAt = events[i].RecordedAt.Add(-time.Hour)
	}
	for _, part := range [][]eventlog.Event{events[:8], events[8:]} { // once on the way and once at the border
		if err := log.Import(s.Context(), part); err != nil {
			s.Fatal(err)
		}
	}
	if !s.options.TimesRunBack {
		for i := range events[1:] {
			if events[i+1].RecordedAt.Before(events[i].RecordedAt) {
				events[i+1].RecordedAt = events[i].RecordedAt
			}
		}
	}
	s.held(events)
	if s.options.TimesRunBack {
		return
	}
	s.append(newStream(), 0, newEvents(1)...)
	s.inOrder(s.all(100))
}

// largePages demands that a page of large events ends before its limit.
func (s *suite) largePages() {
	large := newEvents(18)
	size := eventlog.MaxEventSize - 16<<10 // with room for what a log adds
	for i := range large {
		large[i].Data, large[i].Meta = json.RawMessage(`"`+strings.Repeat("x", size-2)+`"`), json.RawMessage(`{}`)
		s.append(newStream(), 0, large[i])
	}
	first, err := s.log.ReadAll(s.Context(), 0, 1000)
	if most := eventlog.MaxPageSize/size + 1; err != nil || len(first) != most {
		s.Fatalf("a page of %d events of %d bytes, wanted %d; %v", len(first), size, most, err)
	}
	rest, err := s.log.ReadAll(s.Context(), first[len(first)-1].Position, 1000)
	if err != nil || len(first)+len(rest) != len(large) {
		s.Fatalf("%d and %d events of %d, %v", len(first), len(rest), len(large), err)
	}
	for i, e := range append(first, rest...) {
		if e.ID != large[i].ID {
			s.Fatalf("event %d is another", i)
		}
	}
}
