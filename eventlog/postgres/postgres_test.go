package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/logtest"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/pgtest"
)

// open returns a client of the log in the pool's database.
func open(t *testing.T, pool *pgxpool.Pool) *postgres.Log {
	t.Helper()
	log, err := postgres.Open(t.Context(), pool, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log
}

func TestContract(t *testing.T) {
	pools := make(map[eventlog.Log]*pgxpool.Pool)
	logtest.Run(t, logtest.Options{
		New: func(t *testing.T) eventlog.Log {
			pool := pgtest.New(t, postgres.Migrate)
			log := open(t, pool)
			pools[log] = pool
			return log
		},
		Second: func(t *testing.T, log eventlog.Log) eventlog.Log { return open(t, pools[log]) },
	})
}
