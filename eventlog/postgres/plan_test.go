package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/pgtest"
)

// A group of appends to streams that the process does not know looks up as many, and reads nothing else of a long log: a plan
// that hashes the whole table for it took ten times as long at 20 000 events, and would have taken minutes at millions.
func TestAGroupOfUnknownStreamsReadsNoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, postgres.Migrate)
	log, err := postgres.Open(t.Context(), pool, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	const writers, each = 200, 100
	var work sync.WaitGroup
	for range writers {
		work.Go(func() {
			for range each {
				s := eventlog.Stream{Organization: uuid.New(), Category: "account", ID: uuid.New()}
				e := eventlog.NewEvent{ID: uuid.New(), Type: "account.invited", Schema: 1, Data: []byte("{}"), Meta: []byte("{}"), OccurredAt: time.Now()}
				if _, err := log.Append(context.Background(), s, 0, e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	log.Close() // its sessions tell what they have counted
	var read int64
	if err := pool.QueryRow(t.Context(), `select (select seq_tup_read from pg_stat_user_tables where relid = 'eventlog.events'::regclass)
		+ (select sum(idx_tup_read) from pg_stat_user_indexes where relid = 'eventlog.events'::regclass)`).Scan(&read); err != nil {
		t.Fatal(err)
	}
	if read > writers*each {
		t.Errorf("%d rows of the log were read to append %d new streams", read, writers*each)
	}
}
