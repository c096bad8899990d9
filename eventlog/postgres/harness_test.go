package postgres_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/logtest"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/pgtest"
)

// open returns a client of the log in the pool's database.
func open(t *testing.T, pool *pgxpool.Pool, config postgres.Config) *postgres.Log {
	t.Helper()
	log, err := postgres.Open(t.Context(), pool, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log
}

// client is a log and how to get another client of it.
type client struct {
	*postgres.Log
	pool *pgxpool.Pool
}

func TestContract(t *testing.T) {
	logtest.Run(t, logtest.Options{
		New: func(t *testing.T) eventlog.Log {
			pool := pgtest.New(t, postgres.Migrate)
			return client{open(t, pool, postgres.Config{}), pool}
		},
		Second: func(t *testing.T, log eventlog.Log) eventlog.Log {
			return open(t, log.(client).pool, postgres.Config{})
		},
	})
}

func newStream() eventlog.Stream {
	return eventlog.Stream{Organization: uuid.New(), Category: "customer", ID: uuid.New()}
}

func newEvent() eventlog.NewEvent {
	return eventlog.NewEvent{
		ID: uuid.New(), Type: "customer.registered", Schema: 1,
		Data: json.RawMessage(`{}`), Meta: json.RawMessage(`{}`), OccurredAt: time.Now(),
	}
}

func mustAppend(t *testing.T, log eventlog.Log, s eventlog.Stream, expected eventlog.Version, events ...eventlog.NewEvent) eventlog.Receipt {
	t.Helper()
	receipt, err := log.Append(t.Context(), s, expected, events...)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func readAll(t *testing.T, log eventlog.Log) []eventlog.Event {
	t.Helper()
	var all []eventlog.Event
	for {
		page, err := log.ReadAll(t.Context(), eventlog.Position(len(all)), 5000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// hold takes the head row, so that appends wait, and returns how to let go.
func hold(t *testing.T, pool *pgxpool.Pool) (release func()) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "select from eventlog.head for update"); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// blocked waits until an append of some log waits for the head row.
func blocked(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	eventually(t, "an append waits for the head row", func() bool {
		var n int
		if err := pool.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0
	})
}

// inQueue waits until so many appends of a log wait behind one that is [blocked].
func inQueue(t *testing.T, log *postgres.Log, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " appends are in the queue"), func() bool { waiting, _ := log.Queue(); return waiting == n })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// together has the log take all of the functions' appends, one each, in one group, and returns when they have been answered.
func together(t *testing.T, pool *pgxpool.Pool, log *postgres.Log, appends ...func()) {
	t.Helper()
	release := hold(t, pool)
	var wg sync.WaitGroup
	wg.Go(func() { // a group of its own, for which the others wait
		if _, err := log.Append(t.Context(), newStream(), 0, newEvent()); err != nil {
			t.Error(err)
		}
	})
	blocked(t, pool)
	for _, f := range appends {
		wg.Go(f)
	}
	inQueue(t, log, len(appends))
	release()
	wg.Wait()
}
