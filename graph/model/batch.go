package model

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// Batch holds the edges that the rows of one page share: the first that is asked for loads them all, in one query. It is
// filled with [Batch.Want] while the page is made, then read by any number of goroutines.
//
// It knows the ids beforehand, so there is no timer and no waiting as in a dataloader, and it serves edges at any depth,
// which gqlgen's own batch resolvers do not.
type Batch[T any] struct {
	load  func(context.Context, []uuid.UUID) (map[uuid.UUID]*T, error)
	ids   []uuid.UUID
	once  sync.Once
	found map[uuid.UUID]*T
	err   error
}

// NewBatch returns an empty Batch that loads by load. What load does not find is null.
func NewBatch[T any](load func(context.Context, []uuid.UUID) (map[uuid.UUID]*T, error)) *Batch[T] {
	return &Batch[T]{load: load}
}

// Want adds an id to be loaded with the others. The zero id is nobody.
func (b *Batch[T]) Want(id uuid.UUID) {
	if id == uuid.Nil {
		return
	}
	for _, have := range b.ids { // a page has at most a few hundred
		if have == id {
			return
		}
	}
	b.ids = append(b.ids, id)
}

// Get returns one of the objects, nil if it does not exist or may not be seen.
func (b *Batch[T]) Get(ctx context.Context, id uuid.UUID) (*T, error) {
	if id == uuid.Nil {
		return nil, nil
	}
	b.once.Do(func() { b.found, b.err = b.load(ctx, b.ids) })
	return b.found[id], b.err
}
