package eventlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
)

func TestPages(t *testing.T) {
	log := memory.New()
	for range 10 {
		e := eventlog.NewEvent{ID: uuid.New(), Type: "test.done", Schema: 1, Data: json.RawMessage(`{}`), Meta: json.RawMessage(`{}`), OccurredAt: time.Now()}
		if _, err := log.Append(t.Context(), eventlog.Stream{Category: "test", ID: uuid.New()}, 0, e); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name      string
		after, to eventlog.Position
		want      [][]eventlog.Position
	}{
		{"everything", 0, eventlog.End, [][]eventlog.Position{{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10}}},
		{"from the middle of a page to the middle of another", 2, 7, [][]eventlog.Position{{3, 4, 5, 6}, {7}}},
		{"to the end of a page", 0, 4, [][]eventlog.Position{{1, 2, 3, 4}}},
		{"nothing", 4, 4, nil},
		{"behind the end", 10, eventlog.End, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got [][]eventlog.Position
			for page, err := range eventlog.Pages(t.Context(), log, test.after, test.to, 4) {
				if err != nil {
					t.Fatal(err)
				}
				var positions []eventlog.Position
				for _, e := range page {
					positions = append(positions, e.Position)
				}
				got = append(got, positions)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for page, err := range eventlog.Pages(ended, log, 0, eventlog.End, 4) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%d events, %v", len(page), err)
		}
	}
}

func TestAhead(t *testing.T) {
	var yielded, running atomic.Int64
	count := func(to int, last error) func(context.Context) iter.Seq2[int, error] {
		return func(context.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				running.Add(1)
				defer running.Add(-1)
				for i := range to {
					yielded.Add(1)
					if !yield(i, nil) {
						return
					}
				}
				if last != nil {
					yield(0, last)
				}
			}
		}
	}

	t.Run("an error ends the loop", func(t *testing.T) {
		broken := errors.New("broken")
		var got []error
		for _, err := range eventlog.Ahead(t.Context(), 1, count(3, broken)) {
			got = append(got, err)
		}
		if !reflect.DeepEqual(got, []error{nil, nil, nil, broken}) {
			t.Errorf("%v", got)
		}
	})

	t.Run("a loop that is left ends the goroutine", func(t *testing.T) {
		yielded.Store(0)
		for range eventlog.Ahead(t.Context(), 2, count(1_000_000, nil)) {
			break
		}
		if running.Load() != 0 || yielded.Load() > 4 { // the one taken, two ahead and one in hand
			t.Errorf("running %d, %d values were computed", running.Load(), yielded.Load())
		}
	})

	t.Run("a context that ends is no end of the sequence", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		for i, err := range eventlog.Ahead(ctx, 1, count(1_000_000, nil)) {
			if last = err; i == 3 {
				cancel()
			}
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("%v", last)
		}
	})
}
