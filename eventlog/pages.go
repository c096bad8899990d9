package eventlog

import (
	"context"
	"iter"
	"math"
)

// PageSize is how many events are read at once where nothing else bounds them: readers of the log measure no gain from more.
const PageSize = 2000

// End is behind every position: [Pages] up to it end when the log has no more events for now.
const End Position = math.MaxInt64

// Pages yields the events of a log behind the position after and up to the position to, oldest first, size at a time or fewer;
// no page is empty. The loop owns a page and may change it. An error ends the sequence.
func Pages(ctx context.Context, log Log, after, to Position, size int) iter.Seq2[[]Event, error] {
	return func(yield func([]Event, error) bool) {
		for after < to {
			page, err := log.ReadAll(ctx, after, size)
			if err != nil {
				yield(nil, err)
				return
			}

			if len(page) > 0 {
				after = page[len(page)-1].Position
			}
			for len(page) > 0 && page[len(page)-1].Position > to {
				page = page[:len(page)-1]
			}
			if len(page) == 0 || !yield(page, nil) {
				return
			}
		}
	}
}

// Events yields the events of pages one by one.
func Events(pages iter.Seq2[[]Event, error]) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for page, err := range pages {
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// Ahead yields what a sequence yields, which a goroutine computes up to n values ahead of the loop. The goroutine, whose
// context ends with the loop, has ended when the loop has. If ctx ends before the sequence does, its error is the last value.
func Ahead[T any](ctx context.Context, n int, sequence func(context.Context) iter.Seq2[T, error]) iter.Seq2[T, error] {
	type item struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		ahead, cancel := context.WithCancel(ctx)
		items := make(chan item, n)
		defer func() {
			cancel()
			for range items { // until the goroutine has closed it
			}
		}()

		go func() {
			defer close(items)
			for value, err := range sequence(ahead) {
				select {
				case items <- item{value, err}:
				case <-ahead.Done():
					return
				}
			}
		}()

		for i := range items {
			if !yield(i.value, i.err) || i.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			var none T
			yield(none, err)
		}
	}
}
