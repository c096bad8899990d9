package eventstoredb_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/eventlog/logtest"
)

func TestTheServersToolsFindTheirWay(t *testing.T) {
	t.Parallel()
	url := server(t, esdbtest.Config{})
	log := open(t, url, eventstoredb.Config{})
	stream, events := newStream(), newEvents(2)
	events[1].Meta = json.RawMessage(` {"$correlationId":"c"}`) // not from its first byte on an object
	mustAppend(t, log, stream, 0, events...)
	name := fmt.Sprintf("%s~customer-%s.%s", log.config.Name, stream.Organization, stream.ID)
	read, err := bare(t, url).ReadStream(t.Context(), name, esdb.ReadStreamOptions{From: esdb.Start{}}, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	for i, e := range events {
		r, err := read.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if r.Event.EventID != e.ID || r.Event.EventType != e.Type || string(r.Event.Data) != string(e.Data) || r.Event.ContentType != "application/json" {
			t.Fatalf("event %d: %+v", i, r.Event)
		}
		var meta struct {
			Correlation string `json:"$correlationId"`
			Annal       struct {
				Schema     int
				OccurredAt time.Time
			}
		}
		if err := json.Unmarshal(r.Event.UserMetadata, &meta); err != nil {
			t.Fatal(err)
		}
		if meta.Annal.Schema != 1 || !meta.Annal.OccurredAt.Equal(e.OccurredAt) || i == 0 && meta.Correlation != "c" {
			t.Fatalf("metadata %s", r.Event.UserMetadata)
		}
	}
}

func TestAnyCategoryIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	log := open(t, server(t, esdbtest.Config{}), eventstoredb.Config{})
	for _, category := range []string{"a", "$a", "a-b", "a%2Db", "a~b", "~", "%", "東京", strings.Repeat("-", eventlog.MaxNameSize), "a.b c"} {
		stream := newStream()
		stream.Category = category
		position := mustAppend(t, log, stream, 0, newEvents(1)...).Position
		read := readStream(t, log, stream, 0)
		all, err := log.ReadAll(t.Context(), position-1, 10)
		if errors.Is(err, eventlog.ErrUnavailable) { // no event's position
			all = readAll(t, log, 100)
			all, err = all[len(all)-1:], nil
		}
		if err != nil || len(read) != 1 || read[0].Stream != stream || len(all) != 1 || all[0].Stream != stream {
			t.Errorf("%q: %d events in its stream, %d in all, %v", category, len(read), len(all), err)
		}
	}
}

// A log that has the database for itself has no name, and streams that look like other logs' are not its own.
func TestLogsInOneDatabaseAreApart(t *testing.T) {
	t.Parallel()
	url := double(t, esdbtest.Config{}).URL()
	first, err := eventstoredb.Open(t.Context(), url, eventstoredb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Close)
	second := open(t, url, eventstoredb.Config{Name: "second"})
	litter(t, url)
	stream := newStream()
	a, b := mustAppend(t, first, stream, 0, newEvents(1)...), mustAppend(t, second, stream, 0, newEvents(2)...)
	for _, log := range []struct {
		eventlog.Log
		receipt eventlog.Receipt
		count   int
	}{{first, a, 1}, {second, b, 2}} {
		head, err := log.Head(t.Context())
		if all := readAll(t, log, 10); err != nil || head != log.receipt.Position || len(all) != log.count {
			t.Fatalf("head %d after %+v, %d events, %v", head, log.receipt, len(all), err)
		}
	}
}

func TestAnotherProgramsEventInAStreamOfOursIsCarriedAlong(t *testing.T) {
	t.Parallel()
	url := server(t, esdbtest.Config{})
	log := open(t, url, eventstoredb.Config{})
	stream, events := newStream(), newEvents(2)
	mustAppend(t, log, stream, 0, events[0])
	name := fmt.Sprintf("%s~customer-%s.%s", log.config.Name, stream.Organization, stream.ID)
	client := bare(t, url)
	metas := []string{
		"", "\xff", `{}`, `{"annal":{}}`, `{"annal":{"schema":1,"occurredAt":"`, `{"annal":{"schema":0,"occurredAt":"2026-01-02T15:04:05.000000Z"}}`,
		`{"annal":{"schema":1,"occurredAt":"2026-01-02T15:04:05.000000Z"`, `{"annal":{"schema":1,"occurredAt":"2026-99-02T15:04:05.000000Z"}}`,
	}
	for i, meta := range metas {
		event := esdb.EventData{EventID: uuid.New(), EventType: "customer.registered", Data: []byte("\x00"), Metadata: []byte(meta)}
		if i == 2 {
			event.Data, event.ContentType = []byte(`{"a":1}`), esdb.ContentTypeJson
		}
		if _, err := client.AppendToStream(t.Context(), name, esdb.AppendToStreamOptions{ExpectedRevision: esdb.StreamExists{}}, event); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Append(t.Context(), stream, 1, events[1]); !errors.Is(err, eventlog.ErrConflict) {
		t.Fatalf("append at a version that a foreign event took: %v", err)
	}
	mustAppend(t, log, stream, eventlog.Version(1+len(metas)), events[1])
	for _, read := range [][]eventlog.Event{readStream(t, log, stream, 0), readAll(t, log, 3)} {
		if len(read) != 2+len(metas) {
			t.Fatalf("%d events", len(read))
		}
		logtest.InOrder(t, read, true)
		for i, e := range read[1 : 1+len(metas)] {
			if e.Type != eventstoredb.Foreign || !json.Valid(e.Data) || !json.Valid(e.Meta) || (string(e.Data) == `{"a":1}`) != (i == 2) {
				t.Fatalf("foreign event %d: %+v", i, e)
			}
		}
	}
}

// The pages of a reader stay full while others write all around.
func TestOthersEventsDoNotEndAPage(t *testing.T) {
	t.Parallel()
	url := server(t, esdbtest.Config{})
	log := open(t, url, eventstoredb.Config{})
	for i := range 30 {
		mustAppend(t, log, newStream(), 0, newEvents(1)...)
		if i%10 == 5 {
			for range 5 {
				litter(t, url)
			}
		}
	}
	litter(t, url)
	first, err := log.ReadAll(t.Context(), 0, 20)
	if err != nil || len(first) != 20 {
		t.Fatalf("%d events, %v", len(first), err)
	}
	rest, err := log.ReadAll(t.Context(), first[19].Position, 20)
	if err != nil || len(rest) != 10 {
		t.Fatalf("%d events, %v", len(rest), err)
	}
	if head, err := log.Head(t.Context()); err != nil || head != rest[9].Position {
		t.Fatalf("head %d, %v", head, err)
	}
	again := open(t, url, log.config) // which finds the head from the database's end
	if head, err := again.Head(t.Context()); err != nil || head != rest[9].Position {
		t.Fatalf("head %d, %v", head, err)
	}
}

func TestWhatTheServerWouldNotTakeIsRefusedBefore(t *testing.T) {
	t.Parallel()
	cluster := double(t, esdbtest.Config{MaxAppendSize: 2000})
	log := open(t, cluster.URL(), eventstoredb.Config{MaxAppendSize: 2000})
	before := cluster.Len()
	event := newEvents(1)[0]
	event.OccurredAt = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7*3600))
	if _, err := log.Append(t.Context(), newStream(), 0, event); !errors.Is(err, eventlog.ErrInvalid) {
		t.Fatalf("the year 10000 in UTC: %v", err)
	}
	// To the byte: the largest that is let through is the largest that the server takes.
	taken := 0
	for size := 1700; size < 2000; size++ {
		event := newEvents(1)[0]
		event.Data = json.RawMessage(`"` + strings.Repeat("x", size-2) + `"`)
		_, err := log.Append(t.Context(), newStream(), 0, event)
		switch {
		case err == nil && taken == size-1700:
			taken++
		case !errors.Is(err, eventlog.ErrInvalid):
			t.Fatalf("%d bytes of data: %v", size, err)
		}
	}
	if taken == 0 || taken == 300 || cluster.Len() != before+taken {
		t.Fatalf("%d of 300 taken, %d there", taken, cluster.Len()-before)
	}
	small := open(t, cluster.URL(), eventstoredb.Config{}) // which believes in the default
	event = newEvents(1)[0]
	event.Data = json.RawMessage(`"` + strings.Repeat("x", 3000) + `"`)
	if _, err := small.Append(t.Context(), newStream(), 0, event); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Fatalf("too large for a server with another setting: %v", err)
	}
	large := double(t, esdbtest.Config{MaxAppendSize: 3 << 20})
	event.Data = json.RawMessage(`"` + strings.Repeat("x", 900_000) + `"`)
	two := newEvents(1)[0]
	two.Data = event.Data
	for url, want := range map[string]error{large.URL(): eventlog.ErrInvalid, large.URL() + "&maxAppendSize=3145728": nil} {
		if _, err := open(t, url, eventstoredb.Config{}).Append(t.Context(), newStream(), 0, event, two); !errors.Is(err, want) {
			t.Errorf("two of 0.9 MB with %s: %v", url, err)
		}
	}
}

func TestALongStreamFlows(t *testing.T) {
	t.Parallel()
	log := open(t, server(t, esdbtest.Config{}), eventstoredb.Config{})
	stream, events := newStream(), newEvents(3000)
	for after := 0; after < len(events); after += 1000 {
		mustAppend(t, log, stream, eventlog.Version(after), events[after:after+1000]...)
	}
	seen := 0
	for e, err := range log.ReadStream(t.Context(), stream, 0) {
		if err != nil || e.ID != events[seen].ID {
			t.Fatalf("event %d: %+v, %v", seen, e, err)
		}
		if seen++; seen == 100 { // a reader that is slow, and writes meanwhile
			mustAppend(t, log, stream, 3000, newEvents(1)...)
		}
		if seen == 3000 {
			break
		}
	}
	if seen != 3000 {
		t.Fatalf("%d events", seen)
	}
}

func TestReadersOfSeveralPlacesEachGoOn(t *testing.T) {
	t.Parallel()
	log := open(t, server(t, esdbtest.Config{}), eventstoredb.Config{})
	stream, events := newStream(), newEvents(300)
	mustAppend(t, log, stream, 0, events...)
	at := make([]eventlog.Position, 7) // more than the cursors that are kept
	counts := make([]int, len(at))
	for round := range 6 {
		for i := range at {
			page, err := log.ReadAll(t.Context(), at[i], 40+i)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				if e.ID != events[counts[i]].ID {
					t.Fatalf("reader %d, round %d: event %d is another", i, round, counts[i])
				}
				counts[i]++
			}
			at[i] = page[len(page)-1].Position
		}
	}
	if slices.Min(counts) < 240 {
		t.Fatalf("%v", counts)
	}
}

func TestAClosedLogIsUnavailable(t *testing.T) {
	t.Parallel()
	log := open(t, server(t, esdbtest.Config{}), eventstoredb.Config{})
	stream := newStream()
	mustAppend(t, log, stream, 0, newEvents(1)...)
	waiting := make(chan error, 1)
	go func() { waiting <- log.Wait(context.Background(), math.MaxInt64) }()
	log.Close()
	log.Close()
	_, appended := log.Append(t.Context(), stream, 1, newEvents(1)...)
	_, read := log.ReadAll(t.Context(), 0, 1)
	_, tails := log.ReadStreams(t.Context(), eventlog.Tail{Stream: stream})
	for i, err := range []error{appended, read, tails, <-waiting} {
		if !errors.Is(err, eventlog.ErrUnavailable) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if state := log.State(); state.Connected {
		t.Errorf("%+v", state)
	}
}

// A subscription that is kept for the next page says what was true when the server sent it.
func TestAnEndIsOneOfNow(t *testing.T) {
	t.Parallel()
	url := server(t, esdbtest.Config{})
	log := open(t, url, eventstoredb.Config{})
	other := open(t, url, log.config)
	stream, after := newStream(), eventlog.Position(0)
	for i := range 40 {
		mustAppend(t, other, stream, eventlog.Version(i), newEvents(1)...)
		page, err := log.ReadAll(t.Context(), after, 1) // full, so that nobody knows yet that this is the end
		if err != nil || len(page) != 1 {
			t.Fatalf("round %d: %d events, %v", i, len(page), err)
		}
		after = page[0].Position
		if i%2 == 0 {
			continue
		}
		for range 2 {
			if page, err := log.ReadAll(t.Context(), after, 1); err != nil || len(page) != 0 {
				t.Fatalf("round %d: %d events after the end, %v", i, len(page), err)
			}
		}
	}
	if losses := log.State().Losses; losses != 0 {
		t.Fatalf("the end cost %d connections", losses)
	}
}

// What the subscription of those who wait has brought is bounded; who is slower than that reads the rest as anybody does.
func TestFastAndSlowFollowersSeeTheSame(t *testing.T) {
	t.Parallel()
	url := server(t, esdbtest.Config{})
	log := open(t, url, eventstoredb.Config{})
	other := open(t, url, log.config)
	stream, events := newStream(), newEvents(6000) // more than are kept
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = log.Wait(ctx, math.MaxInt64) }() // somebody always waits
	follow := func(page int, pause time.Duration) error {
		after, seen := eventlog.Position(0), 0
		for seen < len(events) {
			if err := log.Wait(t.Context(), after); err != nil {
				return err
			}
			read, err := log.ReadAll(t.Context(), after, page)
			if err != nil {
				return err
			}
			for _, e := range read {
				if e.ID != events[seen].ID || e.Version != eventlog.Version(seen+1) {
					return fmt.Errorf("a page of %d: event %d is another", page, seen)
				}
				after, seen = e.Position, seen+1
			}
			time.Sleep(pause)
		}
		return nil
	}
	done := make(chan error)
	go func() { done <- follow(2000, 0) }()
	go func() { done <- follow(90, 10*time.Millisecond) }()
	for at := 0; at < len(events); at += 500 {
		mustAppend(t, other, stream, eventlog.Version(at), events[at:at+500]...)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if all := readAll(t, log, 3000); len(all) != len(events) {
		t.Fatalf("%d events", len(all))
	}
}
