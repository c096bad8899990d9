package engine

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	attendEvery = 20 * time.Second // far below what [Config.KeepPrevious] may sensibly be
	tidyEvery   = time.Hour
)

// Attend records, until ctx ends, that this process reads its read models, whichever process folds them. [Engine.Run]
// does so as well.
func (e *Engine) Attend(ctx context.Context) {
	e.every(ctx, attendEvery, func() error {
		var names []string
		var versions []int32
		for _, r := range e.runners {
			names, versions = append(names, r.model.Name), append(versions, int32(r.model.Version))
		}
		_, err := e.pool.Exec(ctx, `with mine as materialized (
				select name, version from projections.checkpoints where (name, version) in (select * from unnest($1::text[], $2::int[])) for update skip locked
			) update projections.checkpoints c set served_at = clock_timestamp() from mine where (c.name, c.version) = (mine.name, mine.version)`, names, versions)
		return err
	})
}

// tidy drops, until ctx ends, previous versions of read models that nobody serves any more, and expired results. Kept
// for good they would hold personal data that nobody erases.
func (e *Engine) tidy(ctx context.Context) {
	e.every(ctx, min(tidyEvery, e.config.KeepPrevious), func() error {
		for _, r := range e.runners {
			if err := e.dropPrevious(ctx, r.model); err != nil {
				return err
			}
		}
		return e.dropExpired(ctx)
	})
}

// every does something now, and again and again until ctx ends; sooner if it has failed.
func (e *Engine) every(ctx context.Context, d time.Duration, do func() error) {
	for ctx.Err() == nil {
		pause := d
		if err := do(); err != nil {
			pause = min(d, recheck)
		}
		_ = sleep(ctx, pause)
	}
}

// dropPrevious drops the tables of versions before one that has begun to serve, unless they have been served lately,
// and those from before a rebuild that it could not drop, because somebody read them for long.
func (e *Engine) dropPrevious(ctx context.Context, m *ReadModel) error {
	const wait = time.Second // one that reads for long is met again at the next look
	if _, err := dropSchema(ctx, e.pool, m.replaced(), wait, ""); err != nil {
		return err
	}
	rows, err := e.pool.Query(ctx, `select version from projections.checkpoints where name = $1 and version < $2 and served_at < clock_timestamp() - $3::interval
		and exists (select from projections.checkpoints where name = $1 and version = $2 and position > 0)`, m.Name, m.Version, e.config.KeepPrevious)
	if err != nil {
		return err
	}
	previous, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return err
	}

	for _, version := range previous {
		read, err := dropSchema(ctx, e.pool, Schema{m.Name, version}.String(), wait, `with parked as (delete from projections.parked where name = $1 and version = $2)
			delete from projections.checkpoints where name = $1 and version = $2`, m.Name, version)
		if err != nil {
			return err
		}
		if !read {
			e.config.Logger.Info("dropped a previous version of a read model that nobody serves any more", "model", m.Name, "version", version)
		}
	}
	return nil
}
