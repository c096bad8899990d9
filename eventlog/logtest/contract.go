package logtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
)

func (s *suite) appends() {
	before := time.Now()
	a, b := newStream(), newStream()
	b.Organization, b.Category = a.Organization, "customer"
	first, second, other := newEvents(2), newEvents(1), newEvents(3)
	r1 := s.append(a, 0, first...)
	r2 := s.append(b, 0, other...)
	r3 := s.append(a, 2, second...)
	if !(r1.Position < r2.Position && r2.Position < r3.Position) {
		s.Fatalf("positions do not grow: %d, %d, %d", r1.Position, r2.Position, r3.Position)
	}
	s.written(s.stream(a, 0), a, 0, append(first, second...))
	s.written(s.stream(b, 0), b, 0, other)
	all := s.all(100)
	s.inOrder(all)
	s.same("the order of everything", []eventlog.Position{all[1].Position, all[4].Position, all[5].Position, s.head()},
		[]eventlog.Position{r1.Position, r2.Position, r3.Position, r3.Position})
	for _, e := range all {
		// A minute for clocks that differ between log and test.
		if e.RecordedAt.Location() != time.UTC || e.RecordedAt.Before(before.Add(-time.Minute)) || e.RecordedAt.After(time.Now().Add(time.Minute)) {
			s.Fatalf("recorded at %v, now %v", e.RecordedAt, time.Now())
		}
	}
	// The same id in another category or organization is another stream.
	c, d := a, a
	c.Category, d.Organization = "customer", uuid.New()
	s.append(c, 0, newEvents(1)...)
	s.append(d, 0, newEvents(1)...)
}

func (s *suite) bytes() {
	texts := []string{
		`{}`, ` { "b" : 1 , "a" : [ ] } `, "{\n\t\"a\":1}\n", `{"a":1,"a":2}`, `{"n":12345678901234567890.123456789e-400}`,
		`{"zero":"\u0000"}`, `{"half":"\ud800"}`, `{"slash":"\/","e":"\u00e9"}`, `{"é":"Zoë 東京 🦉"}`, `null`, `"text"`, `[[[[1]]]]`,
		`{"long":"` + strings.Repeat("x", 500_000) + `"}`,
	}
	stream, events := newStream(), newEvents(len(texts))
	for i, text := range texts {
		events[i].Data, events[i].Meta = json.RawMessage(text), json.RawMessage(texts[len(texts)-1-i])
	}
	given := slices.Clone(events)
	for i := range given {
		given[i].Data = bytes.Clone(given[i].Data)
	}
	s.append(stream, 0, given...)
	for i := range given {
		clear(given[i].Data) // the caller's again
	}
	s.written(s.stream(stream, 0), stream, 0, events)
	s.written(s.all(5), stream, 0, events)
}

func (s *suite) times() {
	zone := time.FixedZone("", -7*3600)
	times := []time.Time{
		time.Date(2017, 3, 1, 12, 30, 0, 123_456_789, zone), time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(1999, 12, 31, 23, 59, 59, 999_999_001, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(1582, 10, 10, 0, 0, 0, 0, time.UTC),
	}
	stream, events := newStream(), newEvents(len(times))
	for i, at := range times {
		events[i].OccurredAt = at
	}
	s.append(stream, 0, events...)
	for i, at := range times {
		events[i].OccurredAt = at.UTC().Truncate(time.Microsecond)
	}
	s.written(s.stream(stream, 0), stream, 0, events)
}

func (s *suite) empty() {
	if head := s.head(); head != 0 {
		s.Fatalf("the head of an empty log is %d", head)
	}
	s.same("everything", len(s.all(10)), 0)
	s.same("an unknown stream", len(s.stream(newStream(), 0)), 0)
	s.append(newStream(), 0, newEvents(1)...)
	s.same("an unknown stream", len(s.stream(newStream(), 0)), 0)
}

func (s *suite) conflicts() {
	stream := newStream()
	s.append(stream, 0, newEvents(3)...)
	head := s.head()
	for _, test := range []struct {
		stream   eventlog.Stream
		expected eventlog.Version
	}{
		{stream, 0}, {stream, 2}, {stream, 4}, {stream, 5}, {newStream(), 1}, {newStream(), 7},
		{stream, math.MaxInt64}, {stream, math.MaxUint64}, {newStream(), math.MaxInt64 - 1},
	} {
		for range 2 { // a log may have learned something from the first time
			receipt, err := s.log.Append(s.Context(), test.stream, test.expected, newEvents(2)...)
			if !errors.Is(err, eventlog.ErrConflict) || errors.Is(err, eventlog.ErrUnavailable) {
				s.Fatalf("append at %d: %+v, %v", test.expected, receipt, err)
			}
		}
	}
	s.same("the head after conflicts", s.head(), head)
	s.append(stream, 3, newEvents(1)...)
	s.inOrder(s.all(10))
}

func (s *suite) resends() {
	stream, events, later := newStream(), newEvents(3), newEvents(1)
	first := s.append(stream, 0, events...)
	s.same("sent again", s.append(stream, 0, events...), first)
	second := s.append(stream, 3, later...)
	s.same("sent again after more", s.append(stream, 0, events...), first)
	s.same("the newest sent again", s.append(stream, 3, later...), second)
	others := newEvents(2)
	for name, test := range map[string]struct {
		expected eventlog.Version
		events   []eventlog.NewEvent
	}{
		"other events":             {0, others},
		"one of them":              {0, []eventlog.NewEvent{events[0], others[0], events[2]}},
		"another order":            {0, []eventlog.NewEvent{events[1], events[0], events[2]}},
		"at another version":       {1, events},
		"at a version yet to come": {5, events},
		"more than there are":      {3, append(slices.Clone(later), others...)},
	} {
		if receipt, err := s.log.Append(s.Context(), stream, test.expected, test.events...); !errors.Is(err, eventlog.ErrConflict) {
			s.Fatalf("%s: %+v, %v", name, receipt, err)
		}
	}
	s.written(s.stream(stream, 0), stream, 0, append(events, later...))
	s.same("the head", s.head(), second.Position)
}

func (s *suite) refuses() {
	valid := newEvents(1)[0]
	change := func(f func(*eventlog.NewEvent)) []eventlog.NewEvent {
		e := valid
		f(&e)
		return []eventlog.NewEvent{e}
	}
	text := func(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`) }
	big := newEvents(9)
	for i := range big {
		big[i].Data, big[i].Meta = text(eventlog.MaxEventSize-2), json.RawMessage(`{}`)
	}
	stream := newStream()
	noCategory, noID, zero, long := stream, stream, stream, stream
	noCategory.Category, noID.ID, zero.Category, long.Category = "", uuid.Nil, "a\x00", strings.Repeat("x", eventlog.MaxNameSize+1)
	for name, test := range map[string]struct {
		stream eventlog.Stream
		events []eventlog.NewEvent
	}{
		"no category":         {noCategory, []eventlog.NewEvent{valid}},
		"a zero in a name":    {zero, []eventlog.NewEvent{valid}},
		"a long name":         {long, []eventlog.NewEvent{valid}},
		"no stream id":        {noID, []eventlog.NewEvent{valid}},
		"no events":           {stream, nil},
		"too many":            {stream, newEvents(eventlog.MaxEvents + 1)},
		"no id":               {stream, change(func(e *eventlog.NewEvent) { e.ID = uuid.Nil })},
		"an id twice":         {stream, []eventlog.NewEvent{valid, valid}},
		"no type":             {stream, change(func(e *eventlog.NewEvent) { e.Type = "" })},
		"a type not in UTF-8": {stream, change(func(e *eventlog.NewEvent) { e.Type = "a\xff" })},
		"no schema":           {stream, change(func(e *eventlog.NewEvent) { e.Schema = 0 })},
		"a huge schema":       {stream, change(func(e *eventlog.NewEvent) { e.Schema = math.MaxInt32 + 1 })},
		"no data":             {stream, change(func(e *eventlog.NewEvent) { e.Data = nil })},
		"no metadata":         {stream, change(func(e *eventlog.NewEvent) { e.Meta = nil })},
		"broken data":         {stream, change(func(e *eventlog.NewEvent) { e.Data = json.RawMessage(`{"a":`) })},
		"data not in UTF-8":   {stream, change(func(e *eventlog.NewEvent) { e.Data = json.RawMessage("\"\xff\"") })},
		"big data":            {stream, change(func(e *eventlog.NewEvent) { e.Data = text(eventlog.MaxEventSize) })},
		"a big append":        {stream, big},
		"the year 10000":      {stream, change(func(e *eventlog.NewEvent) { e.OccurredAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })},
	} {
		if receipt, err := s.log.Append(s.Context(), test.stream, 0, test.events...); !errors.Is(err, eventlog.ErrInvalid) {
			s.Errorf("%s: %+v, %v", name, receipt, err)
		}
	}
	s.same("the head", s.head(), eventlog.Position(0))
	// What is just small enough is taken.
	s.append(stream, 0, newEvents(eventlog.MaxEvents)...)
	if most := s.options.MaxAppendSize; most > 0 {
		large := newEvents(2)
		large[0].Data, large[1].Data = text(most-1024), text(1024)
		if receipt, err := s.log.Append(s.Context(), stream, eventlog.MaxEvents, large...); !errors.Is(err, eventlog.ErrInvalid) {
			s.Fatalf("more than the log takes: %+v, %v", receipt, err)
		}
		s.append(stream, eventlog.MaxEvents, large[:1]...)
		return
	}
	s.append(stream, eventlog.MaxEvents, big[:8]...)
}

func (s *suite) cancelled() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	stream := newStream()
	if receipt, err := s.log.Append(ctx, stream, 0, newEvents(1)...); !errors.Is(err, context.Canceled) {
		s.Fatalf("%+v, %v", receipt, err)
	}
	if _, err := s.log.ReadAll(ctx, 0, 10); !errors.Is(err, context.Canceled) {
		s.Fatal(err)
	}
	for _, err := range s.log.ReadStream(ctx, stream, 0) {
		if !errors.Is(err, context.Canceled) {
			s.Fatal(err)
		}
	}
	s.append(stream, 0, newEvents(1)...)
}

func (s *suite) readsStream() {
	stream, events := newStream(), newEvents(2500) // some pages of any log
	for after := 0; after < len(events); after += 500 {
		s.append(stream, eventlog.Version(after), events[after:after+500]...)
		s.append(newStream(), 0, newEvents(1)...)
	}
	for _, after := range []int{0, 1, 999, 1000, 1500, 2499, 2500} {
		s.written(s.stream(stream, eventlog.Version(after)), stream, eventlog.Version(after), events[after:])
	}
	s.same("after the end", len(s.stream(stream, 2501)), 0)
	s.same("far after the end", len(s.stream(stream, math.MaxUint64)), 0)
	seen := 0
	for range s.log.ReadStream(s.Context(), stream, 0) {
		if seen++; seen == 3 {
			break
		}
	}
	s.same("read before leaving", seen, 3)
}

func (s *suite) readsStreams() {
	a, b, unknown := newStream(), newStream(), newStream()
	s.append(a, 0, newEvents(3)...)
	s.append(b, 0, newEvents(2)...)
	s.append(a, 3, newEvents(1)...)
	tails, err := s.log.ReadStreams(s.Context(), eventlog.Tail{Stream: b}, eventlog.Tail{Stream: unknown}, eventlog.Tail{Stream: a, After: 2},
		eventlog.Tail{Stream: a, After: 4}, eventlog.Tail{Stream: a}, eventlog.Tail{Stream: b, After: math.MaxUint64})
	if err != nil {
		s.Fatal(err)
	}
	s.same("number of tails", len(tails), 6)
	s.same("b", tails[0], s.stream(b, 0))
	s.same("unknown", len(tails[1]), 0)
	s.same("a after 2", tails[2], s.stream(a, 2))
	s.same("a after its end", len(tails[3]), 0)
	s.same("a", tails[4], s.stream(a, 0))
	s.same("b far after its end", len(tails[5]), 0)
	if tails, err := s.log.ReadStreams(s.Context()); err != nil || len(tails) != 0 {
		s.Fatalf("no tails: %v, %v", tails, err)
	}
}

func (s *suite) readsAll() {
	for range 10 {
		s.append(newStream(), 0, newEvents(7)...)
	}
	all := s.all(1000)
	s.same("number of events", len(all), 70)
	s.inOrder(all)
	for _, page := range []int{1, 7, 69, 70} {
		s.same("pages", s.all(page), all)
	}
	for i, e := range all {
		rest, err := s.log.ReadAll(s.Context(), e.Position, 1000)
		if err != nil || len(rest) != len(all)-i-1 {
			s.Fatalf("%d events after position %d: %v", len(rest), e.Position, err)
		}
		if counter, ok := s.log.(eventlog.Counter); ok {
			if n, err := counter.CountAfter(s.Context(), e.Position); err != nil || n != int64(len(rest)) {
				s.Fatalf("%d counted after position %d: %v", n, e.Position, err)
			}
		}
	}
	if _, ok := s.log.(eventlog.Counter); ok == s.options.NoCount {
		s.Fatalf("a Counter: %v, declared as none: %v", ok, s.options.NoCount)
	}
	for _, limit := range []int{0, -1} {
		if events, err := s.log.ReadAll(s.Context(), 0, limit); err != nil || len(events) != 0 {
			s.Fatalf("limit %d: %d events, %v", limit, len(events), err)
		}
	}
	if events, err := s.log.ReadAll(s.Context(), math.MaxInt64, 10); err != nil || len(events) != 0 {
		s.Fatalf("far after the end: %d events, %v", len(events), err)
	}
}

func (s *suite) waits() {
	ctx, cancel := context.WithTimeout(s.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.log.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		s.Fatalf("waiting for nothing: %v", err)
	}
	ctx, cancel = context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	logs := []eventlog.Log{s.log, s.log}
	if s.options.Second != nil {
		logs = append(logs, s.options.Second(s.T, s.log))
	}
	var head eventlog.Position
	for round := range 5 {
		after := head
		woken := make(chan error, len(logs))
		for _, log := range logs {
			go func() { woken <- log.Wait(ctx, after) }()
		}
		if round > 0 { // in the first round the append may come before or after the wait
			time.Sleep(5 * time.Millisecond)
		}
		head = s.append(newStream(), 0, newEvents(1)...).Position
		for range logs {
			if err := <-woken; err != nil {
				s.Fatalf("waiting for growth after %d: %v", after, err)
			}
		}
		for _, log := range logs {
			if events, err := log.ReadAll(ctx, after, 10); err != nil || len(events) != 1 {
				s.Fatalf("%d events after waiting, %v", len(events), err)
			}
			if err := log.Wait(ctx, after); err != nil {
				s.Fatalf("waiting for what is there: %v", err)
			}
		}
	}
}

func (s *suite) identifies() {
	identity := func(log eventlog.Log) uuid.UUID {
		id, err := log.Identity(s.Context())
		if err != nil || id == uuid.Nil {
			s.Fatalf("identity %v, %v", id, err)
		}
		return id
	}
	mine := identity(s.log)
	s.append(newStream(), 0, newEvents(1)...)
	s.same("identity after an append", identity(s.log), mine)
	if s.options.Second != nil {
		s.same("identity for a second process", identity(s.options.Second(s.T, s.log)), mine)
	}
	s.Run("and no other has it", func(t *testing.T) {
		if identity(s.options.New(t)) == mine {
			t.Fatal("two logs have one identity")
		}
	})
}
