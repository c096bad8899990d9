package engine

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A new program folds a new version of a read model beside the one that the old program goes on serving. Each process says
// now and then which versions it reads, so that nobody drops tables that somebody needs.

const (
	attendEvery = 20 * time.Second // far below what [Config.KeepFormer] may sensibly be
	tidyEvery   = time.Hour
)

// Attend tells, until ctx ends, that this process reads its read models, whoever folds them. [Engine.Run] does so as well.
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

// tidy drops, until ctx ends, former versions of read models that nobody serves any more. Kept for good they would hold
// personal data that nobody erases.
func (e *Engine) tidy(ctx context.Context) {
	e.every(ctx, min(tidyEvery, e.config.KeepFormer), func() error {
		for _, r := range e.runners {
			if err := e.dropFormer(ctx, r.model); err != nil {
				return err
			}
		}
		return nil
	})
}

// every does something now, and again and again until ctx ends; sooner if it has failed.
func (e *Engine) every(ctx context.Context, d time.Duration, do func() error) {
	for ctx.Err() == nil {
		pause := d
		if err := do(); err != nil {
			pause = min(d, recheck)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// dropFormer drops the tables of versions before one that has begun to serve, unless they have been served lately, and those from before
// a rebuild that it could not drop, because somebody read them for long.
func (e *Engine) dropFormer(ctx context.Context, m *ReadModel) error {
	_, err := e.pool.Exec(ctx, "set local lock_timeout = '1s'; drop schema if exists "+m.former()+" cascade")
	if of, ok := errors.AsType[*pgconn.PgError](err); err != nil && (!ok || of.Code != "55P03") {
		return err
	}
	rows, err := e.pool.Query(ctx, `select version from projections.checkpoints where name = $1 and version < $2 and served_at < clock_timestamp() - $3::interval
		and exists (select from projections.checkpoints where name = $1 and version = $2 and position > 0)`, m.Name, m.Version, e.config.KeepFormer)
	if err != nil {
		return err
	}
	former, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return err
	}
	for _, version := range former {
		s := Schema{m.Name, version}
		err := pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
			// Readers queue behind whoever waits for a lock; one that reads for long is met again at the next look.
			for _, statement := range []string{"set local lock_timeout = '1s'", "drop schema if exists " + s.String() + " cascade"} {
				if _, err := tx.Exec(ctx, statement); err != nil {
					return err
				}
			}
			for _, table := range []string{"checkpoints", "parked"} {
				if _, err := tx.Exec(ctx, "delete from projections."+table+" where name = $1 and version = $2", s.Name, s.Version); err != nil {
					return err
				}
			}
			return nil
		})
		if of, ok := errors.AsType[*pgconn.PgError](err); ok && of.Code == "55P03" {
			continue
		}
		if err != nil {
			return err
		}
		e.config.Logger.Info("dropped a previous version of a read model that nobody serves any more", "model", s.Name, "version", version)
	}
	return nil
}
