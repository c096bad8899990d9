package projections

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/eventlog"
)

//go:embed schema.sql
var schema string

// migrationLock keeps processes that start at the same time from making the same tables: "projecti" in ASCII.
const migrationLock = 0x70726f6a65637469

// Migrate makes what the engine keeps for itself. It can run again and again, in several processes at once. The tables of
// the read models are made by [Engine.Prepare].
func Migrate(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return fmt.Errorf("projections: migrate: %w", err)
	}
	return nil
}

// errMoved reports that a checkpoint is not where this runner has left it: another one folds as well, or a rebuild has
// replaced the tables. Nothing was written.
var errMoved = errors.New("projections: somebody else has moved the checkpoint")

// ErrForeign reports a checkpoint that does not fit the log: of another log, or ahead of it (a log restored from an older
// backup). Its read model is not folded on; a rebuild is the way out.
var ErrForeign = errors.New("projections: checkpoint does not belong to this log")

// checkpoint is where a read model stands.
type checkpoint struct {
	log        uuid.UUID
	position   eventlog.Position
	generation int64
	failed     eventlog.Position // 0: nothing has failed
	err        string
}

const selectCheckpoint = "select log, position, generation, coalesce(failed, 0), coalesce(error, '') from projections.checkpoints where name = $1 and version = $2"

func readCheckpoint(ctx context.Context, db DB, s Schema, lock string) (c checkpoint, err error) {
	err = db.QueryRow(ctx, selectCheckpoint+lock, s.Name, s.Version).Scan(&c.log, &c.position, &c.generation, &c.failed, &c.err)
	if err != nil {
		err = fmt.Errorf("projections: read the checkpoint of %s: %w", s.Name, err)
	}
	return c, err
}

// fits tells whether a checkpoint can be folded on from.
func (c checkpoint) fits(s Schema, log uuid.UUID, head eventlog.Position) error {
	switch {
	case c.log != log:
		return fmt.Errorf("%w: %s was folded from log %s, this is %s; to fold it from this one: annal reproject %s", ErrForeign, s.Name, c.log, log, s.Name)
	case c.position > head:
		return fmt.Errorf("%w: %s is at position %d, the log ends at %d (was it restored from an older backup?); to fold what there is: annal reproject %s",
			ErrForeign, s.Name, c.position, head, s.Name)
	}
	return nil
}

// advance queues the move of the checkpoint c to another position; it belongs first into its batch.
func (c checkpoint) advance(batch *pgx.Batch, s Schema, to eventlog.Position, failed *foldError) {
	var at, text any
	if failed != nil {
		at, text = int64(failed.fact.Position), failed.err.Error()
	}
	batch.Queue("select projections.advance($1, $2, $3, $4, $5, $6, $7)", s.Name, s.Version, c.generation, int64(c.position), int64(to), at, text)
}

// sendBatch runs a batch, which is one transaction and, once its statements are prepared, one round trip.
func sendBatch(ctx context.Context, db interface {
	SendBatch(context.Context, *pgx.Batch) pgx.BatchResults
}, batch *pgx.Batch) error {
	results := db.SendBatch(ctx, batch)
	var err error
	for i := 0; i < batch.Len() && err == nil; i++ {
		_, err = results.Exec()
	}
	err = errors.Join(err, results.Close())
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "AN001" {
		return errMoved
	}
	return err
}

// refused tells whether Postgres will never take the values of a statement: a text with a NUL, a number out of range.
func refused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code[:2] == "22" || e.Code[:2] == "23")
}
