package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// percentile returns a percentile of durations, in seconds.
func percentile(all []time.Duration, p float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(float64(len(all))*p/100))].Seconds()
}

// rate runs work, which says how much it did, and returns how much that was in a second.
func rate[N int | int64 | ~uint64](work func() N) float64 {
	began := time.Now()
	return float64(work()) / time.Since(began).Seconds()
}

// load lets clients make calls over and over for some time. It returns the calls a second, and how long each took.
func load(clients int, span time.Duration, client func(n int) (call func() error)) (rate float64, took []time.Duration) {
	var group errgroup.Group
	var mu sync.Mutex
	began := time.Now()
	for n := range clients {
		call := client(n)
		group.Go(func() error {
			mine := make([]time.Duration, 0, 4096)
			for time.Since(began) < span {
				start := time.Now()
				if err := call(); err != nil {
					return err
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			return nil
		})
	}
	check(group.Wait())
	return float64(len(took)) / time.Since(began).Seconds(), took
}

const arrivals = 2000 // a second

// arrive makes calls at that rate, whether those before them have returned or not, and returns at what rate they did return.
func arrive(ctx context.Context, span time.Duration, call func(ctx context.Context, n int) error) float64 {
	group, ctx := errgroup.WithContext(ctx)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	return rate(func() int {
		began, total := time.Now(), planned(span)
		for n := 0; n < total && ctx.Err() == nil; <-tick.C {
			for due := min(total, planned(time.Since(began))); n < due; n++ {
				number := n
				group.Go(func() error { return call(ctx, number) })
			}
		}
		check(group.Wait())
		return total
	})
}

// planned is how many calls arrive in some time.
func planned(span time.Duration) int { return int(span.Seconds() * arrivals) }

// peak runs work and returns the most memory that the Go runtime held from the system meanwhile, in MB: heap, stacks and
// what the collector had not given back, of the whole process.
func peak(work func()) (most float64) {
	runtime.GC()
	debug.FreeOSMemory()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(samples)
			most = max(most, float64(samples[0].Value.Uint64()-samples[1].Value.Uint64())/1e6)
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	work()
	close(stop)
	<-done
	return most
}
