package transparency

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
)

// Step is a part of keeping a tree that can fail.
type Step int

// The steps, in their order.
const (
	Growing Step = iota
	Signing
	Cosigning
	Publishing
	steps
)

func (s Step) String() string { return [steps]string{"grow", "sign", "cosign", "publish"}[s] }

// failures counts, in this process.
type failures [steps]atomic.Uint64

func (f *failures) count(s Step) { f[s].Add(1) }

// Failures is how often each step has failed in this process.
func (t *Tree) Failures() map[Step]uint64 {
	all := make(map[Step]uint64)
	for s := range steps {
		all[s] = t.failures[s].Load()
	}
	return all
}

// Status is how far the checkpoints of a log are.
type Status struct {
	Signed   uint64        // events under the newest checkpoint in the database, whose signature is not looked at
	Age      time.Duration // of that checkpoint, by the database's clock; 0 if there is not one
	Unsigned uint64        // events that are not under it; of a log that cannot count, those that are in the tree
}

// Status asks the database how far the checkpoints are.
func (t *Tree) Status(ctx context.Context) (s Status, err error) {
	var signed, size int64
	var age float64
	err = t.pool.QueryRow(ctx, `select coalesce(c.size, 0), (case when c.size is null then 0 else greatest(extract(epoch from now() - c.made_at), 0.001) end)::float8, coalesce(t.size, 0)
		from (select) one left join transparency.trees t on t.log = $1
		left join lateral (select size, made_at from transparency.checkpoints where log = $1 order by size desc limit 1) c on true`, t.id).Scan(&signed, &age, &size)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return s, unavailable(err)
	}
	if log, ok := t.log.(eventlog.Counter); ok {
		if size, err = log.CountAfter(ctx, 0); err != nil {
			return s, err
		}
	}
	return Status{uint64(signed), time.Duration(age * float64(time.Second)), uint64(max(size-signed, 0))}, nil
}
