package transparency_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/transparency"
)

// world is a log with a tree over it, and its database's owner, who may do what nobody should.
type world struct {
	*testing.T
	pool *pgxpool.Pool
	log  eventlog.Log
	tree *transparency.Tree
	key  string
	dir  string // of what is remembered
}

// newWorld is a world on Postgres with some events.
func newWorld(t *testing.T, events int) *world {
	t.Helper()
	pool := pgtest.New(t, postgres.Migrate, transparency.Migrate)
	log, err := postgres.Open(t.Context(), pool, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return over(t, pool, log, events)
}

func over(t *testing.T, pool *pgxpool.Pool, log eventlog.Log, events int) *world {
	t.Helper()
	w := &world{T: t, pool: pool, log: log, key: transparency.NewKey(), dir: t.TempDir()}
	w.tree = w.open()
	w.append(events)
	return w
}

// open opens the tree as another process with the same key and directory would.
func (w *world) open() *transparency.Tree {
	w.Helper()
	tree, _, err := transparency.Open(w.Context(), w.pool, w.log, transparency.Config{Key: transparency.KeySource{Value: w.key}, Remember: w.dir})
	if err != nil {
		w.Fatal(err)
	}
	return tree
}

// append appends events to a few streams, in appends of many sizes.
func (w *world) append(events int) {
	w.Helper()
	versions := map[eventlog.Stream]eventlog.Version{}
	var streams []eventlog.Stream
	for range 5 {
		streams = append(streams, eventlog.Stream{Organization: uuid.New(), Category: "customer", ID: uuid.New()})
	}
	for events > 0 {
		s := streams[rand.IntN(len(streams))]
		var some []eventlog.NewEvent
		for range min(events, 1+rand.IntN(min(1000, 100+events/50))) {
			some = append(some, eventlog.NewEvent{
				ID: uuid.New(), Type: "customer.edited", Schema: 1, OccurredAt: time.Now().Add(-time.Hour),
				Data: fmt.Appendf(nil, `{"phone": "+1 555 %d"}`, rand.IntN(1e6)), Meta: []byte(`{"ip":"192.0.2.7"}`),
			})
		}
		r, err := w.log.Append(w.Context(), s, versions[s], some...)
		if err != nil {
			w.Fatal(err)
		}
		versions[s] = r.Version
		events -= len(some)
	}
}

func (w *world) checkpoint() transparency.Checkpoint {
	w.Helper()
	c, err := w.tree.Checkpoint(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) verify(checkpoint []byte) transparency.Verdict {
	w.Helper()
	v, err := w.tree.Verify(w.Context(), transparency.VerifyOptions{Checkpoint: checkpoint})
	if err != nil {
		w.Fatal(err)
	}
	return v
}

// force runs statements as somebody who can switch the triggers off.
func (w *world) force(statements string, args ...any) {
	w.Helper()
	conn, err := w.pool.Acquire(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(w.Context(), "set session_replication_role = replica"); err != nil {
		w.Fatal(err)
	}
	defer conn.Exec(w.Context(), "set session_replication_role = origin")
	if _, err := conn.Exec(w.Context(), statements, args...); err != nil {
		w.Fatal(statements, err)
	}
}
