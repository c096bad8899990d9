package postgres_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/pgtest"
)

// What is recalled is what would be read, to the last byte and microsecond, whoever else appends, and however appends fare.
func TestWhatIsRecalledIsWhatIsRead(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	log, other := open(t, pool, postgres.Config{}), open(t, pool, postgres.Config{})
	mustAppend(t, log, newStream(), 0, newEvent())
	recall := func(after eventlog.Position, limit int) []eventlog.Event {
		events := make([]eventlog.Event, limit)
		return events[:log.Recall(after, events)]
	}
	if events := recall(0, 10); len(events) > 0 {
		t.Errorf("kept for nobody: %v", events)
	}
	appending := func(log *postgres.Log, clients, rounds int) {
		var wg sync.WaitGroup
		for client := range clients {
			wg.Go(func() {
				s := newStream()
				for version := range eventlog.Version(rounds) {
					e := newEvent()
					e.Data, e.Meta = fmt.Appendf(nil, `{ "n":%d, "name" : "Grüße\u00e9"}`, version), fmt.Appendf(nil, `{"client":%d}`, client)
					e.OccurredAt = time.Date(1969, 7, 20, 20, 17, int(version), 123_456_789, time.FixedZone("", 3600))
					mustAppend(t, log, s, version*3, e, newEvent(), newEvent())
					if _, err := log.Append(t.Context(), s, version*3+7, newEvent()); !errors.Is(err, eventlog.ErrConflict) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	appending(log, 8, 10)
	recalled := 0
	compare := func() {
		read := readAll(t, log)
		for after := range eventlog.Position(len(read)) {
			for _, limit := range []int{1, 7, 1000} {
				events := recall(after, limit)
				if recalled += len(events); len(events) > limit || len(events) > 0 && !reflect.DeepEqual(events, read[after:int(after)+len(events)]) {
					t.Fatalf("recalled after %s:\n%+v\nread:\n%+v", after, events, read[after:int(after)+len(events)])
				}
			}
		}
		if events := recall(eventlog.Position(len(read)), 10); len(events) > 0 {
			t.Error(events)
		}
	}
	if events := recall(1, 1000); len(events) != 8*10*3 {
		t.Errorf("%d events are recalled", len(events))
	}
	compare()
	if events := recall(1, 1000); len(events) > 0 {
		t.Error("what nobody needs any more is kept")
	}
	var wg sync.WaitGroup
	wg.Go(func() { appending(other, 4, 20) })
	wg.Go(func() { appending(log, 4, 20) })
	wg.Wait()
	appending(log, 1, 2)
	compare()
	last := mustAppend(t, other, newStream(), 0, newEvent()).Position
	if events := recall(last-1, 10); len(events) > 0 {
		t.Error("an event of another process is recalled:", events)
	}
	if recalled == 0 {
		t.Error("nothing was ever recalled")
	}
}

// What is kept is bounded, by number and by bytes.
func TestWhatIsRecalledIsBounded(t *testing.T) {
	log := open(t, pgtest.New(t, postgres.Migrate), postgres.Config{})
	some := make([]eventlog.Event, 40_000)
	wanted := func() { log.Recall(0, nil) } // forgets nothing
	large := []byte(`{"n":"` + strings.Repeat("7", 1<<19) + `"}`)
	for range 40 { // 20 MB
		e := newEvent()
		e.Data = large
		wanted()
		mustAppend(t, log, newStream(), 0, e)
	}
	if n := log.Recall(5, some); n > 0 {
		t.Error(n, "from old ones on are kept")
	}
	if n := log.Recall(10, some); n != 30 || len(some[0].Data) != len(large) {
		t.Errorf("%d of the newest", n)
	}
	for range 40 {
		events := make([]eventlog.NewEvent, 1000)
		for i := range events {
			events[i] = newEvent()
		}
		wanted()
		mustAppend(t, log, newStream(), 0, events...)
	}
	if n := log.Recall(40+7000, some); n > 0 {
		t.Error(n, "from old ones on are kept")
	}
	if n := log.Recall(40+8000, some); n != 32_000 {
		t.Errorf("%d of the newest", n)
	}
}
