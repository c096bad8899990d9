package logcopy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/pgtest"
)

func TestMain(m *testing.M) {
	pageSize = 100
	m.Run()
}

func inPostgres(t *testing.T) (*postgres.Log, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.New(t, postgres.Migrate)
	log, err := postgres.Open(t.Context(), pool, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log, pool
}

func inEventStore(t *testing.T) (*eventstoredb.Log, string) {
	t.Helper()
	double, err := esdbtest.New(esdbtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(double.Close)
	log, err := eventstoredb.Open(t.Context(), double.URL(), eventstoredb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log, double.URL()
}

var places = map[string]func(*testing.T) eventlog.Importer{
	"Postgres":     func(t *testing.T) eventlog.Importer { log, _ := inPostgres(t); return log },
	"EventStoreDB": func(t *testing.T) eventlog.Importer { log, _ := inEventStore(t); return log },
}

func newEvent(data string) eventlog.NewEvent {
	return eventlog.NewEvent{ID: uuid.New(), Type: "customer.edited", Schema: 2, Data: json.RawMessage(data), Meta: json.RawMessage(` {"$correlationId" : "c"}`),
		OccurredAt: time.Date(2021, 2, 3, 4, 5, 6, 789_000, time.UTC)}
}

func newStream() eventlog.Stream {
	return eventlog.Stream{Organization: uuid.New(), Category: "customer", ID: uuid.New()}
}

// history returns n events of many streams, in runs of one to three, as they were recorded years ago.
func history(n int) []eventlog.Event {
	streams, versions := make([]eventlog.Stream, 50), make([]eventlog.Version, 50)
	for i := range streams {
		streams[i] = newStream()
	}
	events := make([]eventlog.Event, n)
	for i := range events {
		s := i / 2 * i / 3 % len(streams)
		versions[s]++
		events[i] = eventlog.Event{NewEvent: newEvent(fmt.Sprintf(`{ "n":%d}`, i)), Stream: streams[s], Version: versions[s],
			RecordedAt: time.Date(2022, 1, 1, 0, 0, i, 1000, time.UTC)}
	}
	return events
}

func all(t *testing.T, log eventlog.Log) (events []eventlog.Event) {
	t.Helper()
	for page, err := range pages(t.Context(), log, 0) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, page...)
	}
	return events
}

// meddled is a target to which something happens at each page.
type meddled struct {
	eventlog.Importer
	meddle func(page []eventlog.Event) (rest []eventlog.Event)
}

func (m meddled) Import(ctx context.Context, page []eventlog.Event) error {
	page = m.meddle(slices.Clone(page))
	if err := m.Importer.Import(context.WithoutCancel(ctx), page); err != nil {
		return err
	}
	return ctx.Err()
}

func copied(t *testing.T, source eventlog.Log, target eventlog.Importer) Result {
	t.Helper()
	r, err := Copy(t.Context(), source, target, func(_ string, part float64) {
		if part < 0 || part > 1 {
			t.Errorf("%v done", part)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestALogMovesAndMovesBack(t *testing.T) {
	for from, source := range places {
		for to, target := range places {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				a, b, back := source(t), target(t), source(t)
				events := history(2 * pageSize)
				if err := a.Import(t.Context(), events); err != nil {
					t.Fatal(err)
				}
				own := newEvent(`{}`) // recorded by the log itself
				if _, err := a.Append(t.Context(), newStream(), 0, own); err != nil {
					t.Fatal(err)
				}
				there := copied(t, a, b)
				if there.Events != len(events)+1 || there.Copied != there.Events || there.Held != 0 || there.Growing || there.Later > 0 || there.Foreign > 0 {
					t.Fatalf("%+v", there)
				}
				home := copied(t, b, back)
				if home.Hash != there.Hash || home.Events != there.Events || home.Streams != there.Streams {
					t.Fatalf("%+v after %+v", home, there)
				}
				originals, copies := all(t, a), all(t, back)
				for i, e := range originals {
					if what := different(e, copies[i]); what != "" {
						t.Fatalf("event %d: %s", i, what)
					}
				}
				one, err1 := a.Identity(t.Context())
				other, err2 := b.Identity(t.Context())
				if one == other || err1 != nil || err2 != nil {
					t.Fatal("an identity was copied", err1, err2)
				}
				// The house that was left is brought up to date by what has happened in the new one.
				if _, err := b.Append(t.Context(), events[0].Stream, 0, newEvent(`{}`)); !errors.Is(err, eventlog.ErrConflict) {
					t.Fatal(err)
				}
				if _, err := b.Append(t.Context(), newStream(), 0, newEvent(`{}`)); err != nil {
					t.Fatal(err)
				}
				if again := copied(t, b, a); again.Held != there.Events || again.Copied != 1 {
					t.Fatalf("%+v", again)
				}
			})
		}
	}
}

func TestAnInterruptedCopyGoesOn(t *testing.T) {
	for to, target := range places {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			source, _ := inPostgres(t)
			events := history(2*pageSize + 50)
			if err := source.Import(t.Context(), events); err != nil {
				t.Fatal(err)
			}
			log := target(t)
			pages := 0
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// Ends in the middle of the second page.
			r, err := Copy(ctx, source, meddled{log, func(page []eventlog.Event) []eventlog.Event {
				if pages++; pages == 2 {
					cancel()
					return page[:77]
				}
				return page
			}}, nil)
			if !errors.Is(err, context.Canceled) || r.Copied != pageSize {
				t.Fatalf("%+v, %v", r, err)
			}
			r = copied(t, source, log)
			if r.Held != pageSize+77 || r.Events != len(events) || r.Held+r.Copied != len(events) {
				t.Fatalf("%+v", r)
			}
			if done := copied(t, source, log); done.Copied != 0 || done.Held != len(events) || done.Hash != r.Hash {
				t.Fatalf("%+v", done)
			}
		})
	}
}

func TestATargetWithOtherEventsIsLeftAlone(t *testing.T) {
	for to, target := range places {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			source, _ := inPostgres(t)
			events := history(20)
			if err := source.Import(t.Context(), events); err != nil {
				t.Fatal(err)
			}
			for name, held := range map[string][]eventlog.Event{
				"another log's":          history(3),
				"more than the source's": append(slices.Clone(events), eventlog.Event{NewEvent: newEvent(`{}`), Stream: newStream(), Version: 1, RecordedAt: time.Now()}),
				"one left out":           events[1:2],
			} {
				if name == "one left out" {
					held[0].Stream, held[0].Version = newStream(), 1
				}
				log := target(t)
				if err := log.Import(t.Context(), held); err != nil {
					t.Fatal(err)
				}
				_, err := Copy(t.Context(), source, log, nil)
				of, ok := errors.AsType[Difference](err)
				if !errors.Is(err, ErrOccupied) || !ok || of.Target == 0 || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: %v", name, err)
				}
				if n := len(all(t, log)); n != len(held) {
					t.Errorf("%s: %d events after the refusal, %d before", name, n, len(held))
				}
			}
			if _, err := Copy(t.Context(), source, source, nil); !errors.Is(err, ErrSame) {
				t.Error(err)
			}
		})
	}
}

// What goes wrong on the way is found by reading again; what went wrong later, by the next run.
func TestATamperedCopyIsFound(t *testing.T) {
	source, _ := inEventStore(t)
	events := history(60)
	if err := source.Import(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	original := all(t, source)
	for name, tamper := range map[string]func(*eventlog.Event){
		"an id":              func(e *eventlog.Event) { e.ID = uuid.New() },
		"a space":            func(e *eventlog.Event) { e.Data = append(json.RawMessage(" "), e.Data...) },
		"metadata":           func(e *eventlog.Event) { e.Meta = json.RawMessage(`{}`) },
		"a type":             func(e *eventlog.Event) { e.Type = "customer.registered" },
		"a schema version":   func(e *eventlog.Event) { e.Schema++ },
		"when it occurred":   func(e *eventlog.Event) { e.OccurredAt = e.OccurredAt.Add(time.Microsecond) },
		"when it was stored": func(e *eventlog.Event) { e.RecordedAt = e.RecordedAt.Add(time.Microsecond) },
		"a stream":           func(e *eventlog.Event) { e.Stream.Organization, e.Version = uuid.New(), 1 },
	} {
		target, pool := inPostgres(t)
		_, err := Copy(t.Context(), source, meddled{target, func(page []eventlog.Event) []eventlog.Event {
			last := len(page) - 1 // nothing of its stream comes later
			tamper(&page[last])
			return page
		}}, nil)
		of, _ := errors.AsType[Difference](err)
		if !errors.Is(err, ErrDiffers) || of.Source != original[59].Position || of.Target != 60 || of.What == "" {
			t.Errorf("%s: %v", name, err)
		}
		pool.Close()
	}
	lost, _ := inPostgres(t)
	_, err := Copy(t.Context(), source, meddled{lost, func(page []eventlog.Event) []eventlog.Event { return page[:50] }}, nil)
	if of, _ := errors.AsType[Difference](err); !errors.Is(err, ErrDiffers) || of.Source != original[49].Position {
		t.Errorf("events that were lost: %v", err)
	}

	target, pool := inPostgres(t)
	copied(t, source, target)
	for _, sql := range []string{
		`alter table eventlog.events disable trigger immutable`,
		`update eventlog.events set data = '{ "n":1001}' where position = 31`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Copy(t.Context(), source, target, nil)
	if of, _ := errors.AsType[Difference](err); !errors.Is(err, ErrOccupied) || of != (Difference{original[30].Position, 31, "the data differ"}) {
		t.Errorf("%+v, %v", of, err)
	}
}

func TestASourceThatGrowsIsFollowedAndSaidToGrow(t *testing.T) {
	source, _ := inPostgres(t)
	target, _ := inEventStore(t)
	if err := source.Import(t.Context(), history(100)); err != nil {
		t.Fatal(err)
	}
	grow := func() {
		if _, err := source.Append(t.Context(), newStream(), 0, newEvent(`{}`)); err != nil {
			t.Error(err)
		}
	}
	r := copied(t, source, meddled{target, func(page []eventlog.Event) []eventlog.Event { grow(); return page }})
	if r.Events != 100+rounds-1 || !r.Growing {
		t.Fatalf("%+v", r)
	}
	left := 3
	r = copied(t, source, meddled{target, func(page []eventlog.Event) []eventlog.Event {
		if left--; left > 0 {
			grow()
		}
		return page
	}})
	if r.Copied != 3 || r.Growing {
		t.Fatalf("%+v", r)
	}
}

func TestTimesThatRunBackAndOtherProgramsEventsAreCarriedAlong(t *testing.T) {
	source, url := inEventStore(t)
	events := history(50)
	for _, i := range []int{10, 11, 30} {
		events[i].RecordedAt = events[i].RecordedAt.Add(-time.Hour)
	}
	if err := source.Import(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	config, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = nil
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	name := fmt.Sprintf("customer-%s.%s", events[0].Stream.Organization, events[0].Stream.ID)
	const huge = 2 * eventlog.MaxEventSize / 3
	for _, data := range []string{"\x00\xff", `"` + "\xff" + `"`, `{"a":1}`, "", `"` + strings.Repeat("x", huge) + `"`} {
		for _, stream := range []string{name, "customer\x00-" + name[len("customer-"):], "other-" + uuid.NewString()} {
			event := esdb.EventData{EventID: uuid.New(), EventType: "something\x00.else", Data: []byte(data), Metadata: []byte(data)[:min(len(data), 100)]}
			if _, err := client.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, event); err != nil {
				t.Fatal(err)
			}
		}
	}
	away, _ := inPostgres(t)
	r := copied(t, source, away)
	if r.Events != 55 || r.Foreign != 5 || r.Later != 3 {
		t.Fatalf("%+v", r)
	}
	var foreign []string
	for e, err := range away.ReadStream(t.Context(), events[0].Stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == eventstoredb.Foreign {
			foreign = append(foreign, string(e.Data[:min(len(e.Data), 10)]))
		}
	}
	if want := []string{"null", "null", `{"a":1}`, "null", `"xxxxxxxxx`}; !slices.Equal(foreign, want) {
		t.Errorf("%q", foreign)
	}
	back, _ := inEventStore(t)
	if again := copied(t, away, back); again.Hash != r.Hash || again.Foreign != 5 || again.Later != 0 {
		t.Fatalf("%+v after %+v", again, r)
	}
}
