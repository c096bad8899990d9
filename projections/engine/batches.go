package engine

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// batcher is a pool, a connection or a transaction.
type batcher interface {
	SendBatch(context.Context, *pgx.Batch) pgx.BatchResults
}

// byIndex keeps Postgres, for a batch, from a plan made when the table was small that reads all of one which has
// grown since.
const byIndex = "select set_config('enable_seqscan', 'off', true)"

// load reads the rows that were asked for, in one query per table and one round trip.
func (r *Rows) load(ctx context.Context, db batcher, schema string) error {
	batch := &pgx.Batch{}
	batch.Queue(byIndex)
	for i, t := range r.model.Tables {
		if asked := r.stores[i].asked(); len(asked) > 0 {
			rel := t.relation()
			batch.Queue(rel.load(schema), arrays(rel.keys, asked)...).Query(r.stores[i].load)
		}
	}
	if batch.Len() == 1 {
		return nil
	}
	return db.SendBatch(ctx, batch).Close()
}

// write queues a statement per table and kind of change.
func (r *Rows) write(batch *pgx.Batch, schema string) {
	for i, t := range r.model.Tables {
		t.relation().write(batch, schema, r.stores[i].changes())
	}
}

func (r *relation) write(batch *pgx.Batch, schema string, c changes) {
	if len(c.deleted) > 0 {
		batch.Queue(r.delete(schema), arrays(r.keys, c.deleted)...)
	}
	if r.appended && len(c.added) > 0 {
		batch.Queue(r.insert(schema), arrays(r.columns, c.added)...)
	} else if puts := append(c.added, c.replaced...); len(puts) > 0 {
		batch.Queue(r.put(schema), arrays(r.columns, puts)...)
	}
}
